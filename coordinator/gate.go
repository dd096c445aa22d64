package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of what keeps the coordinator itself from acting. They stand beside the planner's
// in the blockers of a preview.
const (
	codeSuperseded  ha.Code = "COORDINATOR_SUPERSEDED"
	codeNotAccepted ha.Code = "COORDINATOR_NOT_ACCEPTED"
	codeToken       ha.Code = "API_TOKEN_PRIVILEGES"
)

// closed lists what keeps this coordinator from acting at all, whatever the cluster's
// state: a rival, agents that have not accepted it, a token that does not suffice. Quorum
// and the age of the facts are the planner's gates, and mayAct's once more.
func (c *Coordinator) closed(s ha.Snapshot) []ha.Blocker {
	var out []ha.Blocker
	if why := c.rival.why(); why != "" {
		return append(out, ha.Blocker{Code: codeSuperseded, Subject: "coordinator", Reason: why,
			Fix: "stop one of the two coordinators for good, then restart the one that is to act: `systemctl restart psw-coordinator`"})
	}
	if b := c.notAccepted(s); b != nil {
		out = append(out, *b)
	}
	if b := c.rights.lack(); b != nil {
		out = append(out, *b)
	}
	return out
}

// settleTime is how long agents are given to find a coordinator that has just started
// before their absence is somebody's business: they knock again after a second or two,
// and their first report follows at once.
const settleTime = 20 * time.Second

func (c *Coordinator) settling(at time.Time) bool { return at.Sub(c.began) < settleTime }

// notAccepted says if fewer than a majority of the nodes' agents obey this coordinator. A
// majority of them can obey one coordinator only, so that two can never both act.
func (c *Coordinator) notAccepted(s ha.Snapshot) *ha.Blocker {
	nodes := s.Policy.Cluster.Nodes
	if len(nodes) == 0 {
		for _, n := range s.Inventory.Nodes {
			nodes = append(nodes, n.Name)
		}
	}
	if len(nodes) == 0 {
		return &ha.Blocker{Code: codeNotAccepted, Subject: "coordinator", Reason: "the cluster's nodes are not known yet",
			Fix: "wait for the Proxmox API to answer"}
	}
	var without []string
	for _, n := range nodes {
		if r, ok := s.FreshReport(n); !ok || r.Generation != c.me.Generation || r.Coordinator != c.me.ID {
			without = append(without, string(n))
		}
	}
	accepted, need := len(nodes)-len(without), len(nodes)/2+1
	if accepted >= need {
		return nil
	}
	return &ha.Blocker{Code: codeNotAccepted, Subject: "coordinator",
		Reason: fmt.Sprintf("%d of %d agents obey this coordinator, it needs %d; missing: %s", accepted, len(nodes), need, strings.Join(without, ", ")),
		Fix:    "on each of them: `systemctl status psw-agent`, `journalctl -u psw-agent`"}
}

// mayAct says why the next deed may not be done; "" if it may. It is asked before each
// deed anew: a tick may take a while.
func (c *Coordinator) mayAct(ctx context.Context, s ha.Snapshot) string {
	s.At, s.Reports = time.Now(), c.reports.all()
	switch {
	case ctx.Err() != nil:
		return "the coordinator is stopping"
	case c.seen.Load().readError != nil:
		return "the Proxmox API could not be read just now"
	case !s.InventoryFresh():
		return "what is known of the cluster has become too old"
	case !s.Inventory.Cluster.Quorate && !s.Inventory.Cluster.Standalone:
		return "the cluster is not quorate"
	}
	if closed := c.closed(s); len(closed) > 0 {
		return closed[0].Reason
	}
	return ""
}

// rivalry is what is known of other coordinators. Once superseded, a coordinator never acts
// again: the agents that accepted the other will not come back to it.
type rivalry struct {
	mu     sync.Mutex
	reason string
}

func (r *rivalry) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

// found notes a rival and reports whether it is the first.
func (r *rivalry) found(reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != "" {
		return false
	}
	r.reason = reason
	return true
}

// heardOf takes what an agent says of the newest coordinator it has accepted. If that is a
// newer one than this, or another of the same generation (two coordinators on copies of one
// state file), this one stops acting. The generation is remembered, so that this one, when
// it is restarted on purpose, is the newer.
func (c *Coordinator) heardOf(node ha.NodeName, generation uint64, coordinator string) error {
	newer := generation > c.me.Generation
	twin := generation == c.me.Generation && coordinator != "" && coordinator != c.me.ID
	if !newer && !twin {
		return nil
	}
	reason := fmt.Sprintf("the agent of %s obeys another coordinator, %s of generation %d; this one (%s, generation %d) only observes",
		node, coordinator, generation, c.me.ID, c.me.Generation)
	if !c.rival.found(reason) {
		return nil
	}
	c.log.Error("another coordinator has taken over; this one stops acting", "node", node, "other", coordinator, "other_generation", generation)
	c.soon()
	return c.change(time.Now(), func(tx *store.Tx) error {
		if err := tx.SawGeneration(generation); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventSuperseded, Node: node, Text: reason})
	})
}

// Hello lets an agent in, unless it obeys a newer coordinator: then it is told so, and this
// one stops acting.
func (c *Coordinator) Hello(_ context.Context, h ha.Hello) (ha.Welcome, error) {
	if err := c.heardOf(h.Node, h.Generation, h.Coordinator); err != nil {
		return ha.Welcome{}, err
	}
	if h.Generation > c.me.Generation || h.Generation == c.me.Generation && h.Coordinator != "" && h.Coordinator != c.me.ID {
		return ha.Welcome{}, ha.Errorf(ha.Conflict, "the agent of %s has accepted coordinator %s of generation %d; this is %s of generation %d",
			h.Node, h.Coordinator, h.Generation, c.me.ID, c.me.Generation)
	}
	return ha.Welcome{Coordinator: c.me.ID, Generation: c.me.Generation, Interval: ha.ReportInterval}, nil
}

// known reports whether node is one of the cluster's, as far as anybody knows.
func known(s ha.Snapshot, node ha.NodeName) bool {
	_, ok := s.Inventory.Node(node)
	return ok || slices.Contains(s.Policy.Cluster.Nodes, node)
}
