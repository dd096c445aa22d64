package planner

import (
	"reflect"
	"slices"
	"strings"
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

// Before Proxmox VE 9 groups say where resources may run, and there are no rules to write: a
// node that is removed is taken out of our groups, and a group that would be empty goes when
// nobody is in it.
func TestARemovedNodeLeavesTheGroupsOfProxmoxVE8(t *testing.T) {
	s := threeNodes(3)
	s.Inventory.Version = "8.4.1"
	two := []ha.RuleNode{{Node: "node1", Priority: 1}, {Node: "node3", Priority: 2}}
	s.Inventory.Groups = []ha.Group{
		{Name: "media", Nodes: two, Comment: ha.MarkOf("media")},
		{Name: "old", Nodes: two[1:], Comment: ha.MarkOf("old")},
		{Name: "theirs", Nodes: two},
	}
	s.Inventory.Rules = []ha.Rule{{ID: "ha-group-media", Type: ha.NodeAffinity, Nodes: two, Comment: ha.MarkOf("media")}}
	s.Inventory.Resources = []ha.Resource{{SID: ha.MustSID("vm:101"), Group: "old"}}
	o := ha.Operation{Kind: ha.OperationRemoveNode, ID: "o1", Node: "node3", Policy: s.Policy, Options: ha.OperationOptions{PoweredOff: true}}
	o, p := Operate(o, s, Aside{})
	put := ha.PutGroup{Group: s.Inventory.Groups[0], Was: s.Inventory.Groups[0]}
	put.Group.Nodes = two[:1]
	if !reflect.DeepEqual(p.Actions, []ha.Action{put}) {
		t.Fatalf("want node3 taken out of the group media, got %+v", p.Actions)
	}
	s.Inventory.Groups[0] = put.Group
	o, p = Operate(o, s, Aside{})
	if st, _ := o.Step("group media"); st.State != ha.StepDone || len(p.Actions) > 0 || len(p.Waits) == 0 || !strings.Contains(p.Waits[0].String(), "vm:101 is in it") {
		t.Fatalf("group media is %s; then %v, %v", st.State, p.Actions, p.Waits)
	}
	s.Inventory.Resources[0].Group = ""
	o, p = Operate(o, s, Aside{})
	if want := (ha.RemoveGroup{Name: "old", Was: s.Inventory.Groups[1]}); !reflect.DeepEqual(p.Actions, []ha.Action{want}) {
		t.Fatalf("want the group old removed, got %+v", p.Actions)
	}
	s.Inventory.Groups = slices.Delete(s.Inventory.Groups, 1, 2)
	if o, p = Operate(o, s, Aside{}); len(p.Waits) == 0 || p.Waits[0].Subject != "off node3" {
		t.Errorf("and then the node is to be shut down; got %v: %+v", p.Waits, o.Steps)
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

// What a check says of forty targets is one line, and what an agent has only not seen yet is
// no trouble of anybody's.
func TestReadinessThatIsWaitedForIsOneLineACheck(t *testing.T) {
	var bad []ha.Blocker
	for _, target := range []string{"core", "media", "wiki"} {
		for _, code := range []ha.Code{"TARGET_CPU", "TARGET_LOCKED"} {
			bad = append(bad, ha.Blocker{Code: code, Subject: target, Reason: "not seen yet", Fix: "look"})
		}
	}
	s := stored()
	o := ha.Operation{ID: "op", Kind: ha.OperationBootstrap, Policy: s.Policy}
	blocked := func(after time.Duration) []string {
		s.At = s.At.Add(after)
		s.Inventory.At = s.At
		for k := range s.Reports {
			s.Reports[k].Received = s.At
		}
		var p ha.Plan
		o, p = Operate(o, s, Aside{Unready: bad})
		var out []string
		for _, x := range p.Waits {
			if x.Blocked {
				out = append(out, x.String())
			}
		}
		return out
	}
	if early := append(blocked(0), blocked(5*time.Second)...); len(early) > 0 {
		t.Errorf("at once: %q", early)
	}
	want := []string{"TARGET_CPU: core: not seen yet; so it is of media, wiki", "TARGET_LOCKED: core: not seen yet; so it is of media, wiki"}
	if got := blocked(15 * time.Second); !slices.Equal(got, want) {
		t.Errorf("after a while: %q", got)
	}
}
