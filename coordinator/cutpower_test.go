package coordinator_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// drained is a world whose node1 is out of service and has a BMC.
func drained(t *testing.T) (*world, ha.PowerOffRequest) {
	w := newWorld(t, home()).settled()
	w.drain("node1")
	w.until(5*time.Minute, "node that is safe to power off", func() bool { return w.view("node1").Safe })
	policy := homePolicy()
	policy.Hosts = []ha.Host{{Name: "node1", BMC: &ha.BMC{Address: netip.MustParseAddr("10.20.0.11"), Secret: "bmc/node1"}}}
	return w, ha.PowerOffRequest{Node: "node1", Policy: policy, By: "anna"}
}

// answers has the agent of a node answer the next order, which must be the power cut.
func (w *world) answers(node string, r ha.OrderResult) {
	go func() {
		o := <-w.agents[node].orders
		if _, ok := o.Deed.(ha.CutPower); !ok {
			w.t.Errorf("%s was ordered to %v", node, o.Deed)
		}
		r.ID, r.Node = o.ID, ha.NodeName(node)
		if err := w.c.OrderDone(context.Background(), r); err != nil {
			w.t.Error(err)
		}
	}()
}

// An agent that may not cut power says so, the next one is asked, and what came of it is in
// the journal.
func TestThePowerIsCutByWhoeverMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := drained(t)
		w.answers("node2", ha.OrderResult{Refused: "this agent may not cut anybody's power"})
		w.answers("node3", ha.OrderResult{Power: &ha.PowerSight{State: ha.PowerOff, Took: 3 * time.Second}})
		by, err := w.c.CutPower(t.Context(), r)
		if err != nil || by.Node != "node3" {
			t.Fatalf("cut by %q: %v", by.Node, err)
		}
		w.demand(w.texts(ha.EventRequested, ha.EventDone), "anna asks: have the BMC of node1, 10.20.0.11, cut the power", "node3 had the BMC of node1 cut its power; it was off after 3s")
	})
}

// Whoever asks may go away, and an agent may never answer. The order was given all the same,
// and the journal says that nobody knows what came of it.
func TestAPowerCutThatNobodyAnswersForIsInTheJournal(t *testing.T) {
	for name, patience := range map[string]time.Duration{"whoever asked has gone": 5 * time.Second, "no answer": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := drained(t)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				_, err := w.c.CutPower(ctx, r)
				if err == nil || time.Since(began) > 3*time.Minute {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
				failed := w.texts(ha.EventFailed)
				if last := failed[max(0, len(failed)-1):]; len(last) == 0 || !strings.HasPrefix(last[0], "whether it was cut is not known: the agent of node2") {
					t.Errorf("the journal says %q", last)
				}
			})
		})
	}
}
