package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// exactRatio lets cores decide now and then, as memory and rules do.
const exactRatio = 2

// GLPK's exact solver and we answer, for every lost node of many small clusters, whether
// everybody finds a place by memory, cores and rules. Any difference is an error of ours:
// the question is the same, and small enough to be answered for certain.
func TestAgreesWithAnExactSolver(t *testing.T) {
	clusters := 5
	if *rivals {
		clusters = 600
	}
	fit, not, unknown := 0, 0, 0
	dir := t.TempDir()
	for k := range clusters {
		s := tightWorld(*seed + uint64(k))
		report, err := forecast.Capacity(s, forecast.CapacityOptions{CoreRatio: exactRatio})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range report.Losses {
			program := placementProgram(s, l.Nodes[0])
			if !strings.HasSuffix(program, "End\n") {
				t.Fatalf("the linear program is cut off:\n%s", program)
			}
			switch l.Could {
			case forecast.Fits:
				fit++
			case forecast.DoesNotFit:
				not++
			default:
				unknown++
				continue
			}
			if !*rivals {
				continue
			}
			if solved := glpkFits(t, filepath.Join(dir, "placement.lp"), program); solved != (l.Could == forecast.Fits) {
				t.Errorf("seed %d, %s lost: glpsol says fits=%v, we say %s:\n%s", *seed+uint64(k), l.Nodes[0], solved, l.Could, program)
			}
		}
	}
	if fit == 0 || not == 0 {
		t.Errorf("%d losses fit and %d do not: the clusters decide nothing", fit, not)
	}
	t.Logf("%d losses: %d fit, %d do not, %d our search gave up on", fit+not+unknown, fit, not, unknown)
}

// tightWorld is a small cluster with little room, cores that count, pairs that must not
// meet and guests that may run on a few nodes only.
func tightWorld(seed uint64) ha.Snapshot {
	r := rand.New(rand.NewPCG(seed, 99))
	c := size{nodes: 3 + r.IntN(4), guests: 6 + r.IntN(16), full: 0.55 + 0.4*r.Float64()}
	s := world(c, seed)
	inv := &s.Inventory
	for k := range inv.Guests {
		inv.Guests[k].CPUs = float64(1 + r.IntN(6))
	}
	for k := range inv.Nodes {
		inv.Nodes[k].CPUs = 8 + r.IntN(16)
	}
	for k := range inv.Guests {
		if r.IntN(6) > 0 || slices.ContainsFunc(inv.Rules, func(x ha.Rule) bool { return slices.Contains(x.Resources, inv.Guests[k].SID) }) {
			continue
		}
		only := ha.Rule{ID: fmt.Sprintf("only%d", k), Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{inv.Guests[k].SID}}
		for _, n := range inv.Nodes {
			if n.Name == inv.Guests[k].Node || r.IntN(2) == 0 {
				only.Nodes = append(only.Nodes, ha.RuleNode{Node: n.Name})
			}
		}
		inv.Rules = append(inv.Rules, only)
	}
	slices.SortFunc(inv.Rules, func(a, b ha.Rule) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// placementProgram writes "does everybody of the lost node find a place" as a linear
// program in CPLEX's format: one binary variable for each guest and node.
func placementProgram(s ha.Snapshot, lost ha.NodeName) string {
	inv := s.Inventory
	var leaving []ha.Guest
	memory, cores := map[ha.NodeName]int64{}, map[ha.NodeName]float64{}
	var nodes []ha.NodeName
	for _, n := range inv.Nodes {
		if n.Name != lost {
			nodes = append(nodes, n.Name)
			memory[n.Name] = n.MemoryMax - ha.HostReserve(n.MemoryMax)
			cores[n.Name] = exactRatio * float64(n.CPUs)
		}
	}
	for _, g := range inv.Guests {
		if g.Node == lost {
			leaving = append(leaving, g)
			continue
		}
		memory[g.Node] -= g.MemoryMax
		cores[g.Node] -= g.CPUs
	}
	var b strings.Builder
	b.WriteString("Minimize\n obj: 0 dummy\nSubject To\n")
	x := func(g ha.Guest, n ha.NodeName) string { return fmt.Sprintf("x_%d_%s", g.SID.ID, n) }
	sum := func(terms []string, op string, right any) {
		fmt.Fprintf(&b, " %s %s %v\n", strings.Join(terms, " + "), op, right)
	}
	for _, g := range leaving {
		var terms []string
		for _, n := range nodes {
			terms = append(terms, x(g, n))
		}
		sum(terms, "=", 1)
	}
	for _, n := range nodes {
		terms, busy := []string{"0 dummy"}, []string{"0 dummy"}
		for _, g := range leaving {
			terms = append(terms, fmt.Sprintf("%d %s", g.MemoryMax/mib, x(g, n)))
			busy = append(busy, fmt.Sprintf("%g %s", g.CPUs, x(g, n)))
		}
		sum(terms, "<=", max(memory[n], 0)/mib)
		sum(busy, "<=", max(cores[n], 0))
	}
	writeRules(s, lost, leaving, nodes, x, sum)
	b.WriteString("Binary\n")
	for _, g := range leaving {
		for _, n := range nodes {
			fmt.Fprintf(&b, " %s\n", x(g, n))
		}
	}
	b.WriteString("End\n")
	return b.String()
}

// writeRules writes where guests may not be, and who must not meet.
func writeRules(s ha.Snapshot, lost ha.NodeName, leaving []ha.Guest, nodes []ha.NodeName, x func(ha.Guest, ha.NodeName) string, sum func([]string, string, any)) {
	find := func(sid ha.SID) (ha.Guest, bool) {
		k := slices.IndexFunc(leaving, func(g ha.Guest) bool { return g.SID == sid })
		if k < 0 {
			return ha.Guest{}, false
		}
		return leaving[k], true
	}
	for _, r := range s.Inventory.Rules {
		for k, sid := range r.Resources {
			g, leaves := find(sid)
			if !leaves {
				continue
			}
			for _, n := range nodes {
				if r.Type == ha.NodeAffinity && !slices.ContainsFunc(r.Nodes, func(o ha.RuleNode) bool { return o.Node == n }) {
					sum([]string{x(g, n)}, "=", 0)
				}
			}
			for _, other := range r.Resources[k+1:] {
				if o, too := find(other); too && r.Type == ha.ResourceAffinity {
					for _, n := range nodes {
						sum([]string{x(g, n), x(o, n)}, "<=", 1)
					}
				}
			}
			for _, other := range r.Resources {
				if o, ok := s.Inventory.Guest(other); ok && o.Node != lost && r.Type == ha.ResourceAffinity {
					sum([]string{x(g, o.Node)}, "=", 0)
				}
			}
		}
	}
}

// glpkFits asks glpsol whether the program has a solution.
func glpkFits(t *testing.T, path, program string) bool {
	t.Helper()
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	_, out := outside(t, "glpsol", "--lp", path)
	switch {
	case strings.Contains(out, "NO INTEGER FEASIBLE") || strings.Contains(out, "NO PRIMAL FEASIBLE"):
		return false
	case strings.Contains(out, "INTEGER OPTIMAL SOLUTION FOUND") || strings.Contains(out, "\nOPTIMAL SOLUTION FOUND"): // the latter where nobody has to move
		return true
	}
	t.Fatalf("glpsol says neither yes nor no:\n%s", out)
	return false
}
