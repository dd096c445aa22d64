package forecast_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func ask(t interface {
	Helper()
	Fatal(...any)
}, s ha.Snapshot, o forecast.CapacityOptions) forecast.CapacityReport {
	t.Helper()
	r, err := forecast.Capacity(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Three nodes of 64 GiB with a reserve of 3.2 GiB each.
func TestCapacityOfASmallHouse(t *testing.T) {
	s := cluster(3)
	runs(&s, "vm:100", "media", node(1), 40*gib, true)
	runs(&s, "vm:101", "files", node(2), 30*gib, true)
	runs(&s, "vm:102", "games", node(3), 20*gib, false)
	r := ask(t, s, forecast.DefaultCapacity())
	first := r.Losses[0]
	if first.Could != forecast.Fits || first.Guests != 1 {
		t.Errorf("media has room on node03: %+v", first)
	}
	// The manager counts guests, not memory: node02 and node03 are equal to it, and node02
	// comes first. That node has 30 GiB assigned already.
	if first.Will != forecast.DoesNotFit || !strings.Contains(strings.Join(first.WillWhy, "\n"), "node02 is given 9.2 GiB more than it has") {
		t.Errorf("Proxmox puts media on node02 and overcommits it: %+v", first.WillWhy)
	}
	if last := r.Losses[2]; last.Guests != 0 || !slices.Equal(last.Pinned, []ha.SID{ha.MustSID("vm:102")}) {
		t.Errorf("games is not under HA and stays down: %+v", last)
	}
}

func TestCapacityNamesTheCounterExampleAndTheFix(t *testing.T) {
	s := cluster(3)
	runs(&s, "vm:100", "media", node(1), 50*gib, true)
	runs(&s, "vm:101", "files", node(2), 20*gib, true)
	runs(&s, "vm:102", "mail", node(3), 15*gib, true)
	l := ask(t, s, forecast.DefaultCapacity()).Losses[0]
	if l.Could != forecast.DoesNotFit || !slices.Equal(l.CounterExample, []ha.SID{ha.MustSID("vm:100")}) {
		t.Fatalf("media fits nowhere: %+v", l)
	}
	if want := "vm:100 (media) needs 50 GiB: node02 has 40.8 GiB free; node03 has 45.8 GiB free"; l.Why != want {
		t.Errorf("why: %s\nwant %s", l.Why, want)
	}
	var fixes []string
	for _, f := range l.Fixes {
		fixes = append(fixes, f.Text)
	}
	if d := cmp.Diff([]string{"move mail to node02", "+5 GiB on node03"}, fixes); d != "" {
		t.Errorf("fixes (-want +got):\n%s", d)
	}
}

func TestCapacityProvesThatTwoDoNotFitThoughTheSumDoes(t *testing.T) {
	s := cluster(3)
	runs(&s, "vm:100", "a", node(1), 30*gib, true)
	runs(&s, "vm:101", "b", node(1), 30*gib, true)
	runs(&s, "vm:102", "c", node(2), 40*gib, false)
	runs(&s, "vm:103", "d", node(3), 10*gib, false)
	l := ask(t, s, forecast.DefaultCapacity()).Losses[0]
	if l.Could != forecast.DoesNotFit || len(l.CounterExample) != 2 {
		t.Errorf("71.6 GiB are free, but 20.8 and 50.8: %+v", l)
	}
}

func TestCapacityHonoursRulesStorageAndDevices(t *testing.T) {
	base := func() ha.Snapshot {
		s := cluster(3)
		runs(&s, "vm:100", "media", node(1), 8*gib, true)
		runs(&s, "vm:101", "files", node(2), 8*gib, true)
		return s
	}
	media, files := ha.MustSID("vm:100"), ha.MustSID("vm:101")
	for name, change := range map[string]func(*ha.Snapshot){
		"a strict rule": func(s *ha.Snapshot) {
			s.Inventory.Rules = []ha.Rule{{ID: "here", Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{media}, Nodes: []ha.RuleNode{{Node: node(1)}}}}
		},
		"a rule that keeps apart, and a full node": func(s *ha.Snapshot) {
			s.Inventory.Rules = []ha.Rule{{ID: "apart", Type: ha.ResourceAffinity, Affinity: ha.Negative, Resources: []ha.SID{media, files}}}
			runs(s, "vm:102", "other", node(3), 60*gib, false)
		},
		"a disk on local storage": func(s *ha.Snapshot) {
			s.Inventory.Storages = []ha.Storage{{Name: "local-lvm", Type: "lvmthin"}}
			s.Reports = []ha.Report{{Node: node(1), GuestConfigs: []ha.GuestConfig{{SID: media, Storages: []string{"local-lvm"}}}}}
		},
		"a device passed through": func(s *ha.Snapshot) {
			s.Reports = []ha.Report{{Node: node(1), GuestConfigs: []ha.GuestConfig{{SID: media, Local: []string{"hostpci0: passes a device through"}}}}}
		},
		"the other nodes in maintenance": func(s *ha.Snapshot) {
			for k := range 2 {
				s.Inventory.HA.Nodes[k+1].State = ha.NodeMaintenance
				s.Inventory.HA.Nodes[k+1].LRMMode = "maintenance"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := base()
			change(&s)
			l := ask(t, s, forecast.DefaultCapacity()).Losses[0]
			if l.Could != forecast.DoesNotFit || l.Will == forecast.Fits || !slices.Equal(l.CounterExample, []ha.SID{media}) {
				t.Errorf("media cannot leave node01: %+v", l)
			}
		})
	}
}

func TestCapacityWithoutQuorum(t *testing.T) {
	s := cluster(3)
	runs(&s, "vm:100", "media", node(1), 8*gib, true)
	o := forecast.DefaultCapacity()
	o.Losses = 2
	l := ask(t, s, o).Losses[0]
	if l.Quorate || l.Will != forecast.NotAsked || !strings.Contains(l.Why, "no quorum") {
		t.Errorf("one node of three has no quorum: %+v", l)
	}
}

// random makes a small cluster, full enough for placement to be a question.
func random(seed uint64) ha.Snapshot {
	r := rand.New(rand.NewPCG(seed, 1))
	n := 3 + r.IntN(3)
	s := cluster(n)
	s.Inventory.Options.Scheduler = []string{"basic", "static", "dynamic"}[r.IntN(3)]
	for k := range n {
		s.Inventory.Nodes[k].MemoryMax = int64(16+r.IntN(16)) * gib
	}
	for k := range 3 + r.IntN(9) {
		runs(&s, fmt.Sprintf("vm:%d", 100+k), fmt.Sprintf("g%d", k), node(1+r.IntN(n)), int64(1+r.IntN(9))*gib, r.IntN(6) > 0)
	}
	for k := range r.IntN(4) {
		g := s.Inventory.Guests
		a, b := g[r.IntN(len(g))].SID, g[r.IntN(len(g))].SID
		if a == b {
			continue
		}
		rule := ha.Rule{ID: fmt.Sprintf("rule%d", k), Resources: []ha.SID{a, b}}
		switch r.IntN(4) {
		case 0:
			rule.Type, rule.Affinity = ha.ResourceAffinity, ha.Negative
		case 1:
			rule.Type, rule.Affinity = ha.ResourceAffinity, ha.Positive
		default:
			rule.Type, rule.Strict = ha.NodeAffinity, r.IntN(2) == 0
			rule.Nodes = []ha.RuleNode{{Node: node(1), Priority: r.IntN(3)}, {Node: node(2)}}
		}
		s.Inventory.Rules = append(s.Inventory.Rules, rule)
	}
	return s
}

func shuffled(s ha.Snapshot, seed uint64) ha.Snapshot {
	r := rand.New(rand.NewPCG(seed, 2))
	inv := &s.Inventory
	inv.Nodes, inv.Guests, inv.Rules = mixed(r, inv.Nodes), mixed(r, inv.Guests), mixed(r, inv.Rules)
	inv.Resources, inv.HA.Nodes, inv.HA.Services = mixed(r, inv.Resources), mixed(r, inv.HA.Nodes), mixed(r, inv.HA.Services)
	return s
}

func mixed[T any](r *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	return list
}

func TestShuffledInputSameAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		s := random(seed)
		if d := cmp.Diff(ask(t, s, forecast.DefaultCapacity()), ask(t, shuffled(s, seed), forecast.DefaultCapacity())); d != "" {
			t.Fatalf("capacity depends on the order of the input:\n%s", d)
		}
		f := forecast.Fault{Nodes: []ha.NodeName{node(2)}}
		if d := cmp.Diff(forecast.Forecast(s, f), forecast.Forecast(shuffled(s, seed), f)); d != "" {
			t.Fatalf("the forecast depends on the order of the input:\n%s", d)
		}
	})
}

// everyWay answers by trying every placement of a lost node's guests, from the snapshot
// alone; worlds it is asked about are small.
func everyWay(s ha.Snapshot, lost ha.NodeName, ratio float64) bool {
	compiled := compile(s)
	var moving, rest []ha.Guest
	for _, g := range s.Inventory.Guests {
		_, managed := s.Inventory.Resource(g.SID)
		switch {
		case g.Node != lost:
			rest = append(rest, g)
		case managed:
			moving = append(moving, g)
		}
	}
	memory, cores := map[ha.NodeName]int64{}, map[ha.NodeName]float64{}
	for _, n := range s.Inventory.Nodes {
		memory[n.Name], cores[n.Name] = n.MemoryMax-ha.HostReserve(n.MemoryMax), float64(n.CPUs)*ratio
	}
	at := map[string]ha.NodeName{}
	for _, g := range rest {
		memory[g.Node] -= g.MemoryMax
		cores[g.Node] -= g.CPUs
		if _, managed := s.Inventory.Resource(g.SID); managed {
			at[g.SID.String()] = g.Node
		}
	}
	together := func(sid string) bool {
		peers := compiled.Together(sid)
		elsewhere := map[ha.NodeName]bool{}
		for _, p := range peers {
			_, managed := s.Inventory.Resource(ha.MustSID(p))
			if g, ok := s.Inventory.Guest(ha.MustSID(p)); ok && managed && g.Node != lost {
				elsewhere[g.Node] = true
			}
		}
		if len(elsewhere) > 0 && !elsewhere[at[sid]] {
			return false
		}
		return !slices.ContainsFunc(peers, func(p string) bool {
			g, ok := s.Inventory.Guest(ha.MustSID(p))
			_, managed := s.Inventory.Resource(ha.MustSID(p))
			return ok && managed && g.Node == lost && at[p] != at[sid]
		})
	}
	var try func(k int) bool
	try = func(k int) bool {
		if k == len(moving) {
			return !slices.ContainsFunc(moving, func(g ha.Guest) bool { return !together(g.SID.String()) })
		}
		g := moving[k]
		sid := g.SID.String()
		for _, n := range s.Inventory.Nodes {
			name := n.Name
			if name == lost || memory[name] < g.MemoryMax || cores[name] < g.CPUs || !compiled.Allows(sid, string(name)) ||
				slices.ContainsFunc(compiled.Apart(sid), func(p string) bool { return at[p] == name }) {
				continue
			}
			memory[name] -= g.MemoryMax
			cores[name] -= g.CPUs
			at[sid] = name
			if try(k + 1) {
				return true
			}
			delete(at, sid)
			memory[name] += g.MemoryMax
			cores[name] += g.CPUs
		}
		return false
	}
	return try(0)
}

// compile gives the rules as the manager honours them.
func compile(s ha.Snapshot) crm.Compiled {
	var rules []crm.Rule
	for _, r := range s.Inventory.Rules {
		c := crm.Rule{ID: r.ID, Type: string(r.Type), Strict: r.Strict, Affinity: string(r.Affinity)}
		for _, sid := range r.Resources {
			c.Resources = append(c.Resources, sid.String())
		}
		for _, n := range r.Nodes {
			c.Nodes = append(c.Nodes, crm.RuleNode{Node: string(n.Node), Priority: n.Priority})
		}
		rules = append(rules, c)
	}
	var nodes []string
	for _, n := range s.Inventory.Nodes {
		nodes = append(nodes, string(n.Name))
	}
	compiled, _ := crm.Compile(rules, nodes)
	return compiled
}

func TestCouldFitIsExact(t *testing.T) {
	verdicts := map[bool]int{}
	for seed := range uint64(4000) {
		s := random(seed)
		o := forecast.CapacityOptions{CoreRatio: 4}
		for _, l := range ask(t, s, o).Losses {
			want := everyWay(s, l.Nodes[0], o.CoreRatio)
			verdicts[want]++
			if (l.Could == forecast.Fits) != want || l.Could == forecast.NotFound {
				t.Fatalf("seed %d, loss of %s: %s, and every way says %v", seed, l.Nodes, l.Could, want)
			}
		}
	}
	if verdicts[true] < 1000 || verdicts[false] < 1000 {
		t.Fatalf("the worlds are one-sided: %v", verdicts)
	}
}

// atHome tells whether every guest is where the rules want it, so that the manager moves
// nobody before the fault.
func atHome(s ha.Snapshot, compiled crm.Compiled) bool {
	at := map[string]ha.NodeName{}
	for _, g := range s.Inventory.Guests {
		if _, managed := s.Inventory.Resource(g.SID); managed {
			at[g.SID.String()] = g.Node
		}
	}
	for sid, n := range at {
		if !compiled.Allows(sid, string(n)) || slices.ContainsFunc(compiled.Apart(sid), func(p string) bool { return at[p] == n }) ||
			slices.ContainsFunc(compiled.Together(sid), func(p string) bool { return at[p] != n && at[p] != "" }) {
			return false
		}
	}
	return !slices.ContainsFunc(s.Inventory.Rules, func(r ha.Rule) bool {
		return r.Type == ha.NodeAffinity && r.Nodes[0].Priority > 0 || !r.Strict && r.Type == ha.NodeAffinity
	})
}

// The manager never starts a guest where a strict rule forbids it, and never two that a
// rule keeps apart on one node.
func TestForecastNeverBreaksAStrictRule(t *testing.T) {
	restarted := 0
	for seed := range uint64(500) {
		s := random(seed)
		compiled := compile(s)
		if !atHome(s, compiled) {
			continue
		}
		p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(2)}})
		if !p.Settled {
			t.Fatalf("seed %d: the forecast does not settle", seed)
		}
		at := map[string]ha.NodeName{}
		for _, g := range s.Inventory.Guests {
			if g.Node != node(2) {
				at[g.SID.String()] = g.Node
			}
		}
		for _, o := range p.Targets {
			at[o.SID.String()] = o.To
		}
		for _, o := range p.Targets {
			if o.Fate != forecast.Restarted {
				continue
			}
			restarted++
			sid := o.SID.String()
			if !compiled.Allows(sid, string(o.To)) {
				t.Fatalf("seed %d: a strict rule forbids %s on %s", seed, sid, o.To)
			}
			for _, peer := range compiled.Apart(sid) {
				if at[peer] == o.To {
					t.Fatalf("seed %d: %s and %s are both on %s", seed, sid, peer, o.To)
				}
			}
		}
	}
	if restarted < 100 {
		t.Fatalf("only %d guests were ever restarted", restarted)
	}
}

func TestWhatWillFitCouldFit(t *testing.T) {
	will := 0
	for seed := range uint64(2000) {
		for _, l := range ask(t, random(seed), forecast.DefaultCapacity()).Losses {
			if l.Will == forecast.Fits {
				will++
				if l.Could != forecast.Fits {
					t.Fatalf("seed %d: Proxmox places everybody, and it is called impossible: %+v", seed, l)
				}
			}
		}
	}
	if will == 0 {
		t.Fatal("nothing ever fitted: the worlds are too full to prove anything")
	}
}
