package forecast_test

import (
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// house is three nodes with two HA guests and one without on the first.
func house() ha.Snapshot {
	s := cluster(3)
	runs(&s, "ct:101", "core", node(1), 40*gib, true)
	runs(&s, "vm:102", "media", node(1), 16*gib, true)
	runs(&s, "vm:103", "games", node(1), 2*gib, false)
	runs(&s, "vm:104", "files", node(2), 40*gib, true)
	return s
}

func expect(t *testing.T, p forecast.Prediction, sid string, fate forecast.Fate, to ha.NodeName, why string) {
	t.Helper()
	o := target(t, p, sid)
	if o.Fate != fate || o.To != to || !strings.Contains(o.Why, why) {
		t.Errorf("%s: %s on %q, %q; want %s on %q, %q", sid, o.Fate, o.To, o.Why, fate, to, why)
	}
}

func TestWhereEverybodyLands(t *testing.T) {
	p := forecast.Forecast(house(), forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	tell(t, p)
	expect(t, p, "ct:101", forecast.Restarted, node(3), "")
	expect(t, p, "vm:102", forecast.Restarted, node(2), "")
	expect(t, p, "vm:103", forecast.StaysDown, "", "not HA-managed")
	if p.Untouched != 1 || len(p.Nodes) != 3 || p.Nodes[0].Up || !p.Nodes[1].Quorate {
		t.Errorf("%d untouched, nodes %+v", p.Untouched, p.Nodes)
	}
}

func TestProxmoxOvercommitsAndIsToldSo(t *testing.T) {
	s := house()
	runs(&s, "vm:105", "large", node(3), 50*gib, true)
	p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	if len(p.Overcommits) == 0 {
		t.Fatalf("40 GiB and 50 GiB do not fit in 64: %+v", p.Targets)
	}
	for _, o := range p.Overcommits {
		if o.Over != o.Assigned-(o.Memory-o.Reserve) || o.Over <= 0 || len(o.Guests) == 0 {
			t.Errorf("%+v", o)
		}
	}
}

func TestTwoOfThreeNodesLost(t *testing.T) {
	p := forecast.Forecast(house(), forecast.Fault{Nodes: []ha.NodeName{node(2), node(3)}})
	tell(t, p)
	if n := p.Nodes[0]; !n.LosesQuorum || !n.SelfFences || n.Up {
		t.Errorf("the last node has no quorum and resets itself: %+v", n)
	}
	for _, sid := range []string{"ct:101", "vm:102", "vm:104"} {
		expect(t, p, sid, forecast.StaysDown, "", "no side of the cluster has quorum")
	}
}

func TestAQDeviceKeepsTwoNodesAlive(t *testing.T) {
	s := cluster(2)
	runs(&s, "vm:100", "media", node(1), gib, true)
	without := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	if o := target(t, without, "vm:100"); o.Fate != forecast.StaysDown {
		t.Errorf("one of two nodes has no majority: %+v", o)
	}
	s.Reports = []ha.Report{{Node: node(2), Corosync: ha.Corosync{Quorate: true, Votes: 3, Expected: 3, Quorum: 2, QDevice: true, QDeviceAlive: true}}}
	with := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	expect(t, with, "vm:100", forecast.Restarted, node(2), "")
}

func TestAStrictGuestWaitsInRecovery(t *testing.T) {
	s := house()
	s.Inventory.Rules = []ha.Rule{{ID: "media-here", Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{ha.MustSID("vm:102")}, Nodes: []ha.RuleNode{{Node: node(1)}}}}
	p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	expect(t, p, "vm:102", forecast.NoPlace, "", "rule media-here allows node01 only")
	if !p.Settled {
		t.Error("waiting in recovery is where it ends")
	}
}

func TestADiskThatStaysBehind(t *testing.T) {
	s := house()
	s.Inventory.Storages = []ha.Storage{{Name: "local-lvm", Type: "lvmthin"}}
	s.Reports = []ha.Report{{Node: node(1), GuestConfigs: []ha.GuestConfig{{SID: ha.MustSID("vm:102"), Storages: []string{"local-lvm"}}}}}
	p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	tell(t, p)
	expect(t, p, "vm:102", forecast.InError, "", "its disk on local-lvm is on node01 only")
}

func TestADisarmedStackDoesNothing(t *testing.T) {
	s := house()
	s.Inventory.HA.Armed, s.Inventory.HA.DisarmMode = "disarmed", "freeze"
	for k := range s.Inventory.HA.Services {
		s.Inventory.HA.Services[k].State = ha.ServiceFreeze
	}
	for k := range s.Inventory.HA.Nodes {
		s.Inventory.HA.Nodes[k].LRMMode = "disarm"
	}
	p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	expect(t, p, "vm:102", forecast.StaysDown, "", "disarmed")
}

func TestADeadNFSServerMovesNobody(t *testing.T) {
	s := house()
	s.Inventory.Storages = []ha.Storage{{Name: "psw", Type: "nfs", Shared: true}}
	p := forecast.Forecast(s, forecast.Fault{NFS: true})
	for _, sid := range []string{"ct:101", "vm:102"} {
		expect(t, p, sid, forecast.Hanging, node(1), "Proxmox does not look at storage")
	}
	for _, n := range p.Nodes {
		if n.SelfFences || n.LosesQuorum || !n.Up {
			t.Errorf("no node is fenced for its storage: %+v", n)
		}
	}
	both := forecast.Forecast(s, forecast.Fault{NFS: true, Nodes: []ha.NodeName{node(1)}})
	tell(t, both)
	if o := target(t, both, "vm:102"); o.Fate != forecast.Hanging || o.To == node(1) {
		t.Errorf("a start from a dead server hangs: %+v", o)
	}
}

// links gives every node a link to every other one, by number.
func links(s *ha.Snapshot, numbers ...int) {
	s.Reports = nil
	for _, n := range s.Inventory.Nodes {
		r := ha.Report{Node: n.Name, Corosync: ha.Corosync{Quorate: true, Quorum: len(s.Inventory.Nodes)/2 + 1}}
		for _, o := range s.Inventory.Nodes {
			for _, k := range numbers {
				if o.Name != n.Name {
					r.Corosync.Links = append(r.Corosync.Links, ha.Link{Number: k, PeerID: o.ID, Enabled: true, Connected: true})
				}
			}
		}
		s.Reports = append(s.Reports, r)
	}
}

func TestTheOnlyLinkIsCut(t *testing.T) {
	s := house()
	links(&s, 0, 1)
	p := forecast.Forecast(s, forecast.Fault{Links: []int{0}})
	if len(p.Targets) != 0 {
		t.Errorf("there is another link: %+v", p.Targets)
	}
	links(&s, 0)
	p = forecast.Forecast(s, forecast.Fault{Links: []int{0}})
	tell(t, p)
	for _, n := range p.Nodes[:2] {
		if !n.LosesQuorum || !n.SelfFences {
			t.Errorf("alone and armed, every node resets itself: %+v", n)
		}
	}
	if n := p.Nodes[2]; n.SelfFences {
		t.Errorf("%s has no HA guest, so its watchdog is not armed: %+v", n.Node, n)
	}
}

func TestAFaultThatNamesNobody(t *testing.T) {
	s := house()
	for _, f := range []forecast.Fault{
		{},
		{Nodes: []ha.NodeName{"node9"}},
		{Links: []int{8}},
		{Partition: [][]ha.NodeName{{node(1)}, {node(1), node(2)}}},
	} {
		if err := f.Check(s); ha.KindOf(err) != ha.Invalid {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if err := (forecast.Fault{Nodes: []ha.NodeName{node(1)}}).Check(s); err != nil {
		t.Error(err)
	}
}

// Two nodes with corosync's two_node: one vote is quorum, also after a cut.
func TestTwoNodesThatBothGoOn(t *testing.T) {
	s := cluster(2)
	runs(&s, "vm:100", "media", node(1), gib, true)
	s.Reports = []ha.Report{{Node: node(2), Corosync: ha.Corosync{Quorate: true, Votes: 2, Expected: 2, Quorum: 1, Flags: []string{"2Node", "Quorate"}}}}
	died := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	expect(t, died, "vm:100", forecast.Restarted, node(2), "")
	if !strings.Contains(strings.Join(died.Assumptions, "\n"), "both halves may go on") {
		t.Errorf("a split brain is possible, and nobody is told: %q", died.Assumptions)
	}
}

func TestEverybodyLosesPower(t *testing.T) {
	p := forecast.Forecast(house(), forecast.Fault{Nodes: []ha.NodeName{node(1), node(2), node(3)}})
	for _, o := range p.Targets {
		if o.Fate != forecast.StaysDown {
			t.Errorf("%+v", o)
		}
	}
	if len(p.Targets) != 4 || !p.Settled {
		t.Errorf("%d guests, settled %v", len(p.Targets), p.Settled)
	}
}

// A cluster that never used HA has nothing to say, and says it.
func TestWithoutHA(t *testing.T) {
	s := cluster(3)
	runs(&s, "vm:100", "media", node(1), gib, false)
	s.Inventory.HA = ha.HAStatus{}
	p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(1)}})
	expect(t, p, "vm:100", forecast.StaysDown, "", "not HA-managed")
	if !p.Settled {
		t.Error("nothing was going to happen")
	}
}
