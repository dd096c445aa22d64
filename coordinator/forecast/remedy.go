package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on the search for an explanation and a way out: an answer that takes minutes is
// none.
const (
	// fixTriesMax bounds the moves that are tried for one loss; each asks about every loss.
	fixTriesMax = 400
	// fixCasesMax is how many losses there may be for moves to be tried at all.
	fixCasesMax = 256
	// fixNodesMax bounds the nodes that more memory is tried in, the emptiest first.
	fixNodesMax = 32
	// pairsMax and triplesMax are up to how many units all pairs and triples are tried as
	// a smaller counter-example.
	pairsMax, triplesMax = 40, 16
)

// explain finds the smallest guests that do not fit and the cheapest ways out.
func (p *plant) explain(l *Loss, lost []int) {
	a := p.attempt(lost, assigned)
	if l.Could == NotFound {
		l.Why = fmt.Sprintf("no placement was found in %d steps, and none was proved impossible: the nodes are packed to the last", searchStepsMax)
	} else {
		units := a.counterExample()
		for _, u := range units {
			for _, k := range u.items {
				l.CounterExample = append(l.CounterExample, p.items[k].sid)
			}
		}
		slices.SortFunc(l.CounterExample, ha.SID.Compare)
		l.Why = a.why(units)
	}
	if fix, ok := p.moveFix(lost); ok {
		l.Fixes = append(l.Fixes, fix)
	}
	if fix, ok := p.memoryFix(lost); ok {
		l.Fixes = append(l.Fixes, fix)
	}
}

// counterExample are units that cannot all be placed though all but any one of them can:
// one alone if there is one, else a pair, a triple, or what is left when everything that
// may be left out is.
func (a *attempt) counterExample() []unit {
	for k := len(a.units) - 1; k >= 0; k-- { // the smallest first
		if u := a.units[k : k+1]; a.homeless(&u[0]) {
			return u
		}
	}
	units := slices.Clone(a.units)
	for k := len(units) - 1; k >= 0; k-- {
		without := slices.Delete(slices.Clone(units), k, k+1)
		if v, _ := a.solve(without); v == DoesNotFit {
			units = without
		}
	}
	if len(units) > 3 && len(a.units) <= triplesMax {
		if few := a.few(3); few != nil {
			units = few
		}
	}
	if len(units) > 2 && len(a.units) <= pairsMax {
		if few := a.few(2); few != nil {
			units = few
		}
	}
	return units
}

// few are so many units that do not fit, the smallest in memory; nil if any so many do.
func (a *attempt) few(size int) []unit {
	var found []unit
	least := int64(0)
	var choose func(from int, chosen []unit, memory int64)
	choose = func(from int, chosen []unit, memory int64) {
		if len(chosen) == size {
			if found != nil && memory >= least {
				return
			}
			if v, _ := a.solve(chosen); v == DoesNotFit {
				found, least = slices.Clone(chosen), memory
			}
			return
		}
		for k := from; k < len(a.units); k++ {
			choose(k+1, append(chosen, a.units[k]), memory+a.units[k].memory)
		}
	}
	choose(0, nil, 0)
	return found
}

// why says why units do not fit.
func (a *attempt) why(units []unit) string {
	var memory int64
	var names []string
	for _, u := range units {
		memory += u.memory
		for _, k := range u.items {
			names = append(names, a.p.w.label(a.p.items[k].sid))
		}
	}
	who := strings.Join(names, ", ")
	if len(names) > 4 {
		who = fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	verb := "needs"
	if len(names) > 1 {
		verb = "together need"
	}
	return fmt.Sprintf("%s %s %s: %s", who, verb, gib(memory), strings.Join(a.nodesFor(units), "; "))
}

// nodesFor says of each node what it has for the units, or what keeps them off; the
// emptiest eight of many.
func (a *attempt) nodesFor(units []unit) []string {
	var order []int
	for n := range a.free {
		if !a.gone[n] {
			order = append(order, n)
		}
	}
	left := 0
	if len(order) > 8 {
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(a.free[y].memory, a.free[x].memory) })
		left = len(order) - 8
		order = order[:8]
	}
	var out []string
	for _, n := range order {
		name := a.p.names[n]
		switch {
		case !a.p.usable[n]:
			out = append(out, fmt.Sprintf("%s takes no guests now", name))
		case !slices.ContainsFunc(units, func(u unit) bool { return a.allowed(&u, n) }):
			out = append(out, fmt.Sprintf("%s: %s", name, a.keptOff(&units[0], n)))
		case a.free[n].cores < units[0].cores:
			out = append(out, fmt.Sprintf("%s has no cores left at %g a processor", name, a.p.o.CoreRatio))
		default:
			out = append(out, fmt.Sprintf("%s has %s free", name, gib(max(0, a.free[n].memory))))
		}
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("%d other nodes have less", left))
	}
	if len(out) == 0 {
		out = append(out, "no other node is left")
	}
	return out
}

// keptOff says what keeps a unit off a node, memory aside.
func (a *attempt) keptOff(u *unit, n int) string {
	for _, k := range u.items {
		it := &a.p.items[k]
		if why := a.p.w.bound(it.sid, a.p.names[n]); why != "" {
			return why
		}
		if !it.may(n) {
			return "a strict rule forbids it"
		}
		for _, peer := range it.apart {
			if a.where(peer) == n {
				return "a rule keeps it apart from " + a.p.w.label(a.p.items[peer].sid)
			}
		}
	}
	return "its positive peers are elsewhere"
}

// memoryFix finds the node that needs the fewest more GiB for the loss to fit.
func (p *plant) memoryFix(lost []int) (Fix, bool) {
	a := p.attempt(lost, assigned)
	var order []int
	var need int64
	for n := range p.names {
		if !a.gone[n] && p.usable[n] {
			order = append(order, n)
		}
	}
	for _, u := range a.units {
		need += u.memory
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(a.free[y].memory, a.free[x].memory) })
	best, least := -1, int64(0) // in GiB
	for _, n := range order[:min(len(order), fixNodesMax)] {
		// Twice what is missing is enough for any placement: the node keeps a part for itself.
		most := 2*((need+max(0, -a.free[n].memory))>>30) + 8
		if best >= 0 {
			most = min(most, least-1)
		}
		if !p.fitsWith(a, n, most) {
			continue
		}
		low := int64(1)
		for low < most {
			if mid := (low + most) / 2; p.fitsWith(a, n, mid) {
				most = mid
			} else {
				low = mid + 1
			}
		}
		best, least = n, low
	}
	if best < 0 {
		return Fix{}, false
	}
	return Fix{Text: fmt.Sprintf("+%d GiB on %s", least, p.names[best]), Node: p.names[best], AddMemory: least << 30}, true
}

// fitsWith tells whether the attempt fits if node n had so many more GiB.
func (p *plant) fitsWith(a *attempt, n int, more int64) bool {
	if more <= 0 {
		return false
	}
	had := p.w.node[p.names[n]].MemoryMax
	has := had + more<<30
	before := a.free[n].memory
	a.free[n].memory += (has - ha.HostReserve(has)) - (had - ha.HostReserve(had))
	v, _ := a.solve(a.units)
	a.free[n].memory = before
	return v == Fits
}

// moveFix finds the smallest HA guest whose move makes the loss fit and no other loss, of
// those that fit now, not fit.
func (p *plant) moveFix(lost []int) (Fix, bool) {
	cases, ok := p.cases(len(lost))
	if !ok || len(cases) > fixCasesMax {
		return Fix{}, false
	}
	before := make([]bool, len(cases))
	for k, c := range cases {
		before[k] = p.could(c, assigned) == Fits
	}
	var guests []int
	for _, on := range p.on {
		for _, k := range on {
			if it := &p.items[k]; it.set < 0 && !p.preferring(it.sid) {
				guests = append(guests, k)
			}
		}
	}
	slices.SortFunc(guests, func(a, b int) int {
		return cmp.Or(cmp.Compare(p.items[a].memory[assigned], p.items[b].memory[assigned]), cmp.Compare(a, b))
	})
	tries := 0
	for _, k := range guests {
		for n := range p.names {
			from := p.items[k].node
			if n == from || slices.Contains(lost, n) || !p.welcome(k, n) {
				continue
			}
			if tries++; tries > fixTriesMax {
				return Fix{}, false
			}
			p.relocate(k, n)
			good := p.could(lost, assigned) == Fits
			for j := 0; good && j < len(cases); j++ {
				good = !before[j] || p.could(cases[j], assigned) == Fits
			}
			p.relocate(k, from)
			if good {
				sid := p.items[k].sid
				return Fix{Text: fmt.Sprintf("move %s to %s", cmp.Or(p.w.name(sid), sid.String()), p.names[n]), SID: sid, From: p.names[from], To: p.names[n]}, true
			}
		}
	}
	return Fix{}, false
}

// could tells whether some placement has room for everybody on the lost nodes.
func (p *plant) could(lost []int, by measure) Verdict {
	a := p.attempt(lost, by)
	v, _ := a.solve(a.units)
	return v
}

// preferring tells whether a node-affinity rule says where the guest belongs: the manager
// would take a move back.
func (p *plant) preferring(sid ha.SID) bool {
	return slices.ContainsFunc(p.w.rules[sid], func(k int) bool { return p.w.s.Inventory.Rules[k].Type == ha.NodeAffinity })
}

// welcome tells whether a guest can be moved to a node now.
func (p *plant) welcome(k, n int) bool {
	it := &p.items[k]
	r := p.rooms[assigned][n]
	if !p.usable[n] || !it.may(n) || r.memory < it.memory[assigned] || r.cores < it.cores {
		return false
	}
	return !slices.ContainsFunc(it.apart, func(peer int) bool { return p.items[peer].node == n })
}

// relocate puts a guest that moves with its node on another one.
func (p *plant) relocate(k, n int) {
	it := &p.items[k]
	from := it.node
	for by := range p.rooms {
		p.rooms[by][from].cores += it.cores
		p.rooms[by][n].cores -= it.cores
		p.rooms[by][from].memory += it.memory[by]
		p.rooms[by][n].memory -= it.memory[by]
	}
	p.on[from] = slices.DeleteFunc(slices.Clone(p.on[from]), func(j int) bool { return j == k })
	p.on[n] = append(slices.Clone(p.on[n]), k)
	slices.Sort(p.on[n])
	it.node = n
}
