package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// CutPower has a drained node's BMC cut its power: the one test that shows that fencing
// works. It refuses unless the node is empty and out of service, and the agent that is
// asked judges once more by what it knows itself.
func (c *Coordinator) CutPower(ctx context.Context, r ha.PowerOffRequest) (ha.ProofResult, error) {
	s, err := c.forRequest(ctx, ha.MaintenanceRequest{Node: r.Node, Policy: r.Policy})
	if err != nil {
		return ha.ProofResult{}, err
	}
	deed, why := planner.MayCutPower(r.Node, s)
	if not := c.mayAct(ctx, s); not != "" {
		why = append(why, not)
	}
	if len(why) > 0 {
		return ha.ProofResult{}, ha.Errorf(ha.NotReady, "cannot cut the power of %s:\n  %s", r.Node, strings.Join(why, "\n  "))
	}
	asked := slices.DeleteFunc(c.obedient(r.Node, s), func(n ha.NodeName) bool { return n == r.Node })
	err = c.change(s.At, func(tx *store.Tx) error {
		return tx.Journal(ha.Event{Type: ha.EventRequested, Node: r.Node, Text: fmt.Sprintf("%s asks: %s, to see that fencing works", someone(r.By), deed)})
	})
	if err != nil {
		return ha.ProofResult{}, err
	}
	var refusals []string
	for _, node := range asked {
		answer, err := c.cutPowerFrom(ctx, node, deed)
		switch {
		case err != nil:
			return ha.ProofResult{}, c.powerUnknown(r.Node, err)
		case answer.Refused != "": // it did nothing: another may
			refusals = append(refusals, fmt.Sprintf("%s: %s", node, answer.Refused))
			continue
		}
		return c.powerCut(r, node, answer)
	}
	if len(refusals) == 0 {
		refusals = []string{"no other node's agent is connected"}
	}
	return ha.ProofResult{}, ha.Errorf(ha.NotReady, "cannot cut the power of %s: nobody does it:\n  %s", r.Node, strings.Join(refusals, "\n  "))
}

// cutPowerFrom gives the order to one agent and waits for its answer.
func (c *Coordinator) cutPowerFrom(ctx context.Context, node ha.NodeName, deed ha.CutPower) (ha.OrderResult, error) {
	answers := make(chan ha.OrderResult, 1)
	_, ok := c.orders.give([]ha.NodeName{node}, pendingOrder{
		order:  c.newOrder(deed),
		answer: answers, given: time.Now(),
	})
	if !ok {
		return ha.OrderResult{Refused: "its agent has just disconnected"}, nil
	}
	limit := time.NewTimer(c.config.OrderTTL + answerLimit(deed))
	defer limit.Stop()
	select {
	case r := <-answers:
		return r, nil
	case <-limit.C:
		return ha.OrderResult{}, ha.Errorf(ha.Unavailable, "the agent of %s, which was ordered to cut the power of %s, did not say what came of it: look whether that still runs", node, deed.Node)
	case <-ctx.Done():
		return ha.OrderResult{}, fmt.Errorf("the agent of %s had been ordered to cut the power of %s when whoever asked went away: %w", node, deed.Node, ctx.Err())
	}
}

// powerUnknown journals that nobody knows whether a node's power was cut: the order was given,
// and the journal must not end with that.
func (c *Coordinator) powerUnknown(node ha.NodeName, why error) error {
	e := ha.Event{Type: ha.EventFailed, Node: node, Text: "whether it was cut is not known: " + why.Error()}
	return errors.Join(why, c.change(time.Now(), func(tx *store.Tx) error { return tx.Journal(e) }))
}

// powerCut journals what came of it.
func (c *Coordinator) powerCut(r ha.PowerOffRequest, by ha.NodeName, answer ha.OrderResult) (ha.ProofResult, error) {
	result := ha.ProofResult{Node: by, Fault: answer.Failed, Power: answer.Power}
	e := ha.Event{Type: ha.EventDone, Node: r.Node}
	var failed error
	if answer.Failed != "" || answer.Power == nil {
		why := cmp.Or(answer.Failed, "its agent does not tell what came of it: update it")
		e.Type, e.Text = ha.EventFailed, fmt.Sprintf("%s had its power cut by %s, and was not seen to go off: %s", r.Node, by, why)
		failed = ha.Errorf(ha.Unavailable, "cannot cut the power of %s: as seen from %s: %s", r.Node, by, why)
	} else {
		e.Text = fmt.Sprintf("%s had the BMC of %s cut its power; it was off after %s", by, r.Node, answer.Power.Took.Round(100*time.Millisecond))
	}
	if err := c.change(time.Now(), func(tx *store.Tx) error { return tx.Journal(e) }); err != nil {
		return result, err
	}
	return result, failed
}
