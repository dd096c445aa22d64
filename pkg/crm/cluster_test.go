package crm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// setting is a healthy cluster: node1 is master, jobs take two seconds and end well.
func setting(nodes int) crm.Setting {
	set := crm.Setting{Detect: 8,
		Start: func(string, string) (int64, crm.Ending) { return 2, crm.Succeeds },
		Stop:  func(string) int64 { return 2 },
		Move:  func(string, string, string, bool) (int64, crm.Ending) { return 2, crm.Succeeds },
	}
	set.World = crm.World{Nodes: map[string]crm.Hardware{}, Services: map[string]crm.Service{}, Options: crm.DefaultDatacenter(),
		Static: map[string]crm.GuestUsage{}, Running: map[string]map[string]bool{},
		Manager: crm.ManagerStatus{Master: "node1", Nodes: map[string]string{}, Services: map[string]crm.ServiceStatus{}}}
	set.LRM = map[string]crm.LRMStatus{}
	for k := range nodes {
		name := fmt.Sprintf("node%d", k+1)
		set.Nodes[name] = crm.Hardware{Power: true, Network: true, CPUs: 16, Memory: 64 << 30}
		set.Running[name] = map[string]bool{}
		set.Manager.Nodes[name] = crm.NodeOnline
		set.LRM[name] = crm.LRMStatus{State: "active", Mode: crm.ModeActive, Known: true}
	}
	return set
}

func service(set *crm.Setting, sid, node string, memory float64) {
	set.Services[sid] = crm.Service{SID: sid, Node: node, State: crm.WantStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}
	set.Static[sid] = crm.GuestUsage{MaxCPU: 1, MaxMemory: memory}
	set.Running[node][sid] = true
	set.Manager.Services[sid] = crm.ServiceStatus{Node: node, State: crm.Started, UID: sid, Running: true}
}

func run(c *crm.Cluster, until int64) {
	for c.Now() < until {
		c.Step()
	}
}

// A guest never runs on two nodes: one that is cut off is reset before its lock can be
// taken, whenever the cut comes.
func TestACutOffNodeIsResetBeforeItsGuestsRunElsewhere(t *testing.T) {
	for cut := int64(20); cut < 40; cut++ {
		set := setting(3)
		service(&set, "vm:100", "node3", 1<<30)
		var reset, started int64
		set.Observe = func(e crm.Event) {
			switch e.Kind {
			case crm.NodeReset:
				reset = e.At
			case crm.GuestStarted:
				started = e.At
			}
		}
		c := crm.NewCluster(set)
		run(c, cut)
		c.Partition([][]string{{"node1", "node2"}, {"node3"}})
		run(c, cut+200)
		if reset == 0 || started <= reset {
			t.Fatalf("cut at %d: reset at %d, started elsewhere at %d", cut, reset, started)
		}
		if after := reset - cut; after < 50 || after > 70 {
			t.Errorf("cut at %d: reset after %d s; the watchdog resets 60 to 70 s after it was last fed", cut, after)
		}
	}
}

// Recover, one pass, places everybody where the minutes of fencing and recovery do.
func TestRecoverIsWhereEverybodyLands(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		nodes := 3 + r.IntN(3)
		set := setting(nodes)
		set.Options.Scheduler = []string{"basic", "static"}[r.IntN(2)]
		var sids []string
		for k := range 3 + r.IntN(12) {
			sid := fmt.Sprintf("vm:%d", 100+k)
			sids = append(sids, sid)
			service(&set, sid, fmt.Sprintf("node%d", 1+k%nodes), float64(1+r.IntN(8))*(1<<30))
		}
		for k := 0; k+1 < len(sids) && r.IntN(3) > 0; k += 2 {
			rule := crm.Rule{ID: fmt.Sprintf("rule%d", k), Type: crm.ResourceAffinity, Affinity: crm.Negative, Resources: sids[k : k+2]}
			if r.IntN(2) == 0 {
				rule = crm.Rule{ID: rule.ID, Type: crm.NodeAffinity, Strict: true, Resources: sids[k : k+1],
					Nodes: []crm.RuleNode{{Node: set.Services[sids[k]].Node}, {Node: fmt.Sprintf("node%d", 1+r.IntN(nodes))}}}
			}
			set.Rules = append(set.Rules, rule)
		}
		lost := fmt.Sprintf("node%d", 1+r.IntN(nodes))
		c := crm.NewCluster(set)
		run(c, 20)
		c.PowerOff(lost)
		run(c, 320)
		want := map[string]string{}
		for _, sid := range sids {
			if set.Services[sid].Node == lost {
				want[sid] = c.Running()[sid]
			}
		}
		if d := cmp.Diff(want, crm.Recover(set, []string{lost})); d != "" {
			t.Fatalf("seed %d, %s lost (-in the end, +in one pass):\n%s", seed, lost, d)
		}
	}
}

func TestNobodyIsRecoveredWithoutQuorum(t *testing.T) {
	set := setting(3)
	service(&set, "vm:100", "node3", 1<<30)
	if got := crm.Recover(set, []string{"node2", "node3"}); got != nil {
		t.Errorf("one node of three recovers %v", got)
	}
}
