package planner

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A drained node that was removed for good has nothing to come back to: its maintenance is
// closed. One that is only missing, or was removed before it was asked for, stays as it is.
func TestTheMaintenanceOfARemovedNodeIsClosed(t *testing.T) {
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	asked := at.Add(-time.Hour)
	removal := func(ended time.Time, how ha.OperationOutcome) []ha.Operation {
		return []ha.Operation{{ID: "o1", Kind: ha.OperationRemoveNode, Node: "node4", Outcome: how, EndedAt: ended}}
	}
	for _, tt := range []struct {
		name       string
		nodes      []ha.Node
		operations []ha.Operation
		want       ha.Phase
	}{
		{"removed", nil, removal(at.Add(-time.Minute), ha.OperationDone), ha.Ended},
		{"missing only", nil, nil, ha.Drained},
		{"the removal failed", nil, removal(at.Add(-time.Minute), ha.OperationFailed), ha.Drained},
		{"removed before, and it had joined again", nil, removal(at.Add(-2*time.Hour), ha.OperationDone), ha.Drained},
		{"listed again", []ha.Node{{Name: "node4"}}, removal(at.Add(-time.Minute), ha.OperationDone), ha.Drained},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ha.Snapshot{At: at, Operations: tt.operations, Inventory: ha.Inventory{At: at, Nodes: tt.nodes, Cluster: ha.Cluster{Quorate: true}}}
			m := ha.Maintenance{ID: "m1", Node: "node4", Phase: ha.Drained, RequestedAt: asked, DrainedAt: asked}
			for range 2 {
				m, _ = Step(m, s)
			}
			if m.Phase != tt.want || m.EndedAt.IsZero() == tt.want.Closed() {
				t.Errorf("it is %s, ended at %s; want %s", m.Phase, m.EndedAt, tt.want)
			}
		})
	}
}

// A node that left stays in the overview until the HA manager forgets it; a member that the
// HA manager calls gone for a moment is a member.
func TestStatusShowsNodesThatLeft(t *testing.T) {
	noon := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: noon, Inventory: ha.Inventory{At: noon, Nodes: []ha.Node{{Name: "node1", Online: true}},
		HA: ha.HAStatus{Nodes: []ha.HANode{
			{Name: "node1", State: ha.NodeOnline},
			{Name: "node3", State: ha.NodeUnknown},
			{Name: "node4", State: ha.NodeGone, LRMAt: noon.Add(-20 * time.Minute)},
			{Name: "node5", State: ha.NodeGone},
		}}}}
	nodes := Status(s).Nodes
	if len(nodes) != 3 || nodes[1].Name != "node4" || !nodes[1].ForgottenAt.Equal(noon.Add(40*time.Minute)) || nodes[2].Name != "node5" || !nodes[2].ForgottenAt.IsZero() {
		t.Errorf("nodes = %+v", nodes)
	}
}
