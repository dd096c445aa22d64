package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// drawWorld draws a cluster of a few nodes with guests, rules and troubles.
func drawWorld(t *rapid.T) ha.Snapshot {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: at, Inventory: ha.Inventory{At: at, Cluster: ha.Cluster{Quorate: true},
		HA: ha.HAStatus{Quorate: true, Armed: "armed"}, Options: ha.Options{MaxWorkers: rapid.IntRange(1, 5).Draw(t, "workers")}}}
	count := rapid.IntRange(3, 6).Draw(t, "nodes")
	shared := ha.Storage{Name: "nfs", Type: "nfs", Shared: true, Path: "/mnt/shared"}
	local := ha.Storage{Name: "local", Type: "dir"}
	for k := range count {
		n := ha.NodeName(fmt.Sprintf("node%d", k+1))
		s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: n, ID: k + 1, Online: k == 0 || rapid.IntRange(0, 9).Draw(t, "online") > 0,
			MemoryMax: int64(rapid.IntRange(16, 96).Draw(t, "memory")) << 30})
		s.Inventory.HA.Nodes = append(s.Inventory.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline})
		received := at
		if k > 0 && rapid.IntRange(0, 9).Draw(t, "silent") == 0 {
			received = at.Add(-time.Minute)
		}
		s.Reports = append(s.Reports, ha.Report{Node: n, Received: received, System: ha.System{PmxcfsMounted: true, PmxcfsWritable: true},
			HA:       ha.LocalHA{LRMRunning: true},
			Corosync: ha.Corosync{Running: true, Votes: count, Expected: count, Quorum: count/2 + 1},
			Mounts:   []ha.Mount{{Path: "/mnt/shared", Answering: rapid.IntRange(0, 9).Draw(t, "nfs") > 0}}})
		shared.On = append(shared.On, ha.StorageOn{Node: n, Available: true})
		local.On = append(local.On, ha.StorageOn{Node: n, Available: true})
	}
	s.Inventory.Storages = []ha.Storage{local, shared}
	for k := range rapid.IntRange(0, 25).Draw(t, "guests") {
		drawGuest(t, &s, k)
	}
	drawRules(t, &s)
	for k := range s.Reports {
		s.Reports[k].Sort()
	}
	slices.SortFunc(s.Policy.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func drawGuest(t *rapid.T, s *ha.Snapshot, k int) {
	g := ha.Guest{SID: ha.SID{Kind: ha.VM, ID: 100 + k}, Name: fmt.Sprintf("g%d", k), Status: ha.GuestRunning}
	if rapid.Bool().Draw(t, "container") {
		g.SID.Kind = ha.CT
	}
	at := rapid.IntRange(0, len(s.Inventory.Nodes)-1).Draw(t, "at")
	if k%2 == 0 {
		at = 0
	}
	g.Node = s.Inventory.Nodes[at].Name
	g.MemoryMax = int64(rapid.IntRange(1, 24).Draw(t, "size")) << 30
	g.MemoryUsed = g.MemoryMax / int64(rapid.IntRange(1, 4).Draw(t, "use"))
	if s.Inventory.Nodes[at].Online {
		s.Inventory.Nodes[at].MemoryUsed += g.MemoryUsed
	}
	target := ha.Target{Name: g.Name, Type: ha.TargetVM, Node: g.Node, HA: rapid.Bool().Draw(t, "ha")}
	s.Policy.Targets = append(s.Policy.Targets, target)
	c := ha.GuestConfig{SID: g.SID, Storages: []string{"nfs"}}
	if rapid.IntRange(0, 9).Draw(t, "local") == 0 {
		c.Storages = []string{"local"}
	}
	s.Reports[at].GuestConfigs = append(s.Reports[at].GuestConfigs, c)
	s.Reports[at].Running = append(s.Reports[at].Running, ha.LocalGuest{SID: g.SID, PID: 1000 + k})
	insert := func() {
		s.Inventory.Guests = append(s.Inventory.Guests, g)
		slices.SortFunc(s.Inventory.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
		if target.HA {
			s.Inventory.Resources = append(s.Inventory.Resources, ha.Resource{SID: g.SID, State: ha.RequestStarted, Failback: rapid.Bool().Draw(t, "failback")})
			slices.SortFunc(s.Inventory.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
			s.Inventory.HA.Services = append(s.Inventory.HA.Services, ha.HAService{SID: g.SID, Node: g.Node, State: ha.ServiceStarted, Running: true})
			slices.SortFunc(s.Inventory.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
		}
	}
	insert()
}

func drawRules(t *rapid.T, s *ha.Snapshot) {
	if len(s.Inventory.Resources) < 2 {
		return
	}
	pick := func(label string) ha.SID {
		return s.Inventory.Resources[rapid.IntRange(0, len(s.Inventory.Resources)-1).Draw(t, label)].SID
	}
	for k := range rapid.IntRange(0, 5).Draw(t, "rules") {
		r := ha.Rule{ID: fmt.Sprintf("rule%d", k), Resources: []ha.SID{pick("a")}}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			r.Type, r.Strict = ha.NodeAffinity, rapid.Bool().Draw(t, "strict")
			for _, n := range s.Inventory.Nodes {
				if rapid.Bool().Draw(t, "in") {
					r.Nodes = append(r.Nodes, ha.RuleNode{Node: n.Name, Priority: rapid.IntRange(0, 3).Draw(t, "prio")})
				}
			}
		default:
			r.Type, r.Affinity = ha.ResourceAffinity, ha.Negative
			if rapid.Bool().Draw(t, "positive") {
				r.Affinity = ha.Positive
			}
			if b := pick("b"); b != r.Resources[0] {
				r.Resources = append(r.Resources, b)
			}
			slices.SortFunc(r.Resources, ha.SID.Compare)
		}
		s.Inventory.Rules = append(s.Inventory.Rules, r)
	}
}

// What a drain asks for keeps every promise: nobody is sent to a node that is down,
// silent, without the storage, forbidden by a strict rule, shared with somebody it must
// be apart from, or without room; and nothing is asked twice.
func TestADrainBreaksNoPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawWorld(t)
		m := ha.Maintenance{ID: "m", Node: "node1", Phase: ha.Draining}
		m2, p := Step(m, s)
		again, q := Step(m, s)
		if d := cmp.Diff(p, q); d != "" || cmp.Diff(m2, again) != "" {
			t.Fatalf("the same snapshot gives two plans:\n%s", d)
		}
		checkMoves(t, s, p)
		s.Maintenances = []ha.Maintenance{m2}
		s.At = s.At.Add(time.Second)
		_, later := Step(m2, s)
		for _, a := range migrations(later) {
			if slices.ContainsFunc(migrations(p), func(b ha.Migrate) bool { return a.SID == b.SID }) {
				t.Fatalf("asked again one second later: %v", a)
			}
		}
	})
}

func migrations(p ha.Plan) []ha.Migrate {
	var out []ha.Migrate
	for _, a := range p.Actions {
		if m, ok := a.(ha.Migrate); ok {
			out = append(out, m)
		}
	}
	return out
}

func checkMoves(t *rapid.T, s ha.Snapshot, p ha.Plan) {
	moves := migrations(p)
	if len(moves) > s.Inventory.Options.MaxWorkers {
		t.Fatalf("%d moves at once, %d are allowed", len(moves), s.Inventory.Options.MaxWorkers)
	}
	assigned := make(map[ha.NodeName]int64)
	at := make(map[ha.SID]ha.NodeName)
	for _, g := range s.Inventory.Guests {
		assigned[g.Node] += g.MemoryMax
		at[g.SID] = g.Node
	}
	for _, m := range moves {
		n, _ := s.Inventory.Node(m.To)
		if !n.Online {
			t.Fatalf("%v: its destination is offline", m)
		}
		r, fresh := s.FreshReport(m.To)
		if !fresh || !r.Mounts[0].Answering {
			t.Fatalf("%v: its destination is silent or without storage", m)
		}
		g, _ := s.Inventory.Guest(m.SID)
		if assigned[m.To] += g.MemoryMax; assigned[m.To] > n.MemoryMax-ha.HostReserve(n.MemoryMax) {
			t.Fatalf("%v: no room", m)
		}
		for _, rule := range s.Inventory.Rules {
			if !slices.Contains(rule.Resources, m.SID) {
				continue
			}
			if _, managed := s.Inventory.Resource(m.SID); !managed {
				continue
			}
			if rule.Type == ha.NodeAffinity && rule.Strict && !ruleHas(rule, m.To) {
				t.Fatalf("%v breaks strict rule %s", m, rule.ID)
			}
			if rule.Affinity == ha.Negative {
				for _, peer := range rule.Resources {
					if peer != m.SID && at[peer] == m.To {
						t.Fatalf("%v joins %s, which rule %s keeps apart", m, peer, rule.ID)
					}
				}
			}
		}
		at[m.SID] = m.To
	}
}

// The order in which rules and tasks happen to be listed does not matter.
func TestShuffledInputGivesTheSamePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawWorld(t)
		m := ha.Maintenance{ID: "m", Node: "node1", Phase: ha.Draining}
		_, p := Step(m, s)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		s.Inventory.Rules = slices.Clone(s.Inventory.Rules)
		r.Shuffle(len(s.Inventory.Rules), func(i, j int) {
			s.Inventory.Rules[i], s.Inventory.Rules[j] = s.Inventory.Rules[j], s.Inventory.Rules[i]
		})
		_, q := Step(m, s)
		if d := cmp.Diff(p.Actions, q.Actions, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("another order of rules, another plan:\n%s", d)
		}
	})
}

// Without quorum, or on an old inventory, nothing at all is done.
func TestNothingWithoutQuorumOrOnOldFacts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawWorld(t)
		if rapid.Bool().Draw(t, "quorum") {
			s.Inventory.Cluster.Quorate = false
		} else {
			s.At = s.At.Add(ha.InventoryAgeMax + time.Second)
		}
		phase := rapid.SampledFrom([]ha.Phase{ha.Requested, ha.Draining, ha.Drained, ha.Restoring}).Draw(t, "phase")
		m := ha.Maintenance{ID: "m", Node: "node1", Phase: phase, Cancelling: rapid.Bool().Draw(t, "cancelling")}
		if _, p := Step(m, s); len(p.Actions) > 0 {
			t.Fatalf("in phase %s: %v", phase, p.Actions)
		}
	})
}

// bigCluster is an even cluster, half full, a fifth of the guests under rules.
func bigCluster(nodes, guests int) ha.Snapshot {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: at, Inventory: ha.Inventory{At: at, Cluster: ha.Cluster{Quorate: true}, HA: ha.HAStatus{Armed: "armed"}}}
	shared := ha.Storage{Name: "nfs", Type: "nfs", Shared: true, Path: "/mnt/shared"}
	for k := range nodes {
		n := ha.NodeName(fmt.Sprintf("node%03d", k))
		s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: n, ID: k + 1, Online: true, MemoryMax: 512 << 30})
		s.Inventory.HA.Nodes = append(s.Inventory.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline})
		s.Reports = append(s.Reports, ha.Report{Node: n, Received: at, System: ha.System{PmxcfsMounted: true, PmxcfsWritable: true},
			Corosync: ha.Corosync{Running: true, Votes: nodes, Expected: nodes, Quorum: nodes/2 + 1},
			Mounts:   []ha.Mount{{Path: "/mnt/shared", Answering: true}}})
		shared.On = append(shared.On, ha.StorageOn{Node: n, Available: true})
	}
	s.Inventory.Storages = []ha.Storage{shared}
	for k := range guests {
		g := ha.Guest{SID: ha.SID{Kind: ha.VM, ID: 10000 + k}, Name: fmt.Sprintf("guest%05d", k), Node: s.Inventory.Nodes[k%nodes].Name,
			Status: ha.GuestRunning, MemoryMax: int64(1+k%4) << 30, MemoryUsed: 1 << 30}
		s.Inventory.Guests = append(s.Inventory.Guests, g)
		s.Inventory.Resources = append(s.Inventory.Resources, ha.Resource{SID: g.SID, State: ha.RequestStarted})
		s.Inventory.HA.Services = append(s.Inventory.HA.Services, ha.HAService{SID: g.SID, Node: g.Node, State: ha.ServiceStarted, Running: true})
		s.Policy.Targets = append(s.Policy.Targets, ha.Target{Name: g.Name, Type: ha.TargetVM, Node: g.Node, HA: true, VMID: g.SID.ID})
		r := &s.Reports[k%nodes]
		r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: g.SID, Storages: []string{"nfs"}})
		r.Running = append(r.Running, ha.LocalGuest{SID: g.SID, PID: k})
		if k%5 == 0 && k > 0 {
			s.Inventory.Rules = append(s.Inventory.Rules, ha.Rule{ID: fmt.Sprintf("r%d", k), Type: ha.ResourceAffinity, Affinity: ha.Negative,
				Resources: []ha.SID{s.Inventory.Guests[k-1].SID, g.SID}})
		}
	}
	return s
}

func BenchmarkDrainPlan(b *testing.B) {
	for _, size := range []struct{ nodes, guests int }{{32, 2000}, {100, 10000}} {
		b.Run(fmt.Sprintf("%dx%d", size.nodes, size.guests), func(b *testing.B) {
			s := bigCluster(size.nodes, size.guests)
			m := ha.Maintenance{ID: "m", Node: s.Inventory.Nodes[0].Name, Phase: ha.Draining}
			for b.Loop() {
				if _, p := Step(m, s); len(p.Actions) == 0 {
					b.Fatal("nothing planned")
				}
			}
		})
	}
}

func BenchmarkDrainPreview(b *testing.B) {
	s := bigCluster(100, 10000)
	for b.Loop() {
		if v := PreviewDrain(ha.MaintenanceRequest{Node: s.Inventory.Nodes[0].Name}, s); len(v.Blockers) > 0 {
			b.Fatal(v.Blockers)
		}
	}
}
