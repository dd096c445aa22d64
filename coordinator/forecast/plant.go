package forecast

import (
	"math"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// plant is a cluster as a packing problem: nodes and guests are numbers, so that a
// thousand losses of a hundred guests each are looked at in a moment.
type plant struct {
	w       *world
	o       CapacityOptions
	names   []ha.NodeName
	index   map[ha.NodeName]int
	usable  []bool // may be given guests
	rooms   [2][]room
	items   []item
	on      [][]int    // the items that must move when a node is lost
	pinned  [][]ha.SID // running guests without HA
	sets    map[int][]int
	quorum  int
	qdevice bool
}

// measure is by which memory a guest is sized.
type measure int

const (
	assigned measure = iota // what it may use
	inUse                   // what it uses now
)

// room is what a node has left, in bytes and cores.
type room struct {
	memory int64
	cores  float64
}

// item is a guest.
type item struct {
	sid    ha.SID
	node   int
	memory [2]int64
	cores  float64
	// set is its positive-affinity set, -1 if it is in none; apart are its negative peers.
	set   int
	apart []int
	// allowed are the nodes it can run on; nil means all.
	allowed []bool
}

func (it *item) size(m measure) int64 { return it.memory[m] }

func (it *item) may(node int) bool { return it.allowed == nil || it.allowed[node] }

func newPlant(w *world, o CapacityOptions) *plant {
	inv := w.s.Inventory
	p := &plant{w: w, o: o, index: make(map[ha.NodeName]int, len(inv.Nodes)), on: make([][]int, len(inv.Nodes)),
		pinned: make([][]ha.SID, len(inv.Nodes)), sets: make(map[int][]int)}
	p.quorum, p.qdevice = w.votes()
	for k, n := range inv.Nodes {
		p.names = append(p.names, n.Name)
		p.index[n.Name] = k
		h, _ := inv.HA.Node(n.Name)
		p.usable = append(p.usable, n.Online && n.MemoryMax > 0 && !h.MaintenanceRequested && (h.State == "" || h.State == ha.NodeOnline))
		limit := n.MemoryMax - ha.HostReserve(n.MemoryMax)
		cores := math.Inf(1)
		if o.CoreRatio > 0 && n.CPUs > 0 {
			cores = float64(n.CPUs) * o.CoreRatio
		}
		p.rooms[assigned] = append(p.rooms[assigned], room{memory: limit, cores: cores})
		p.rooms[inUse] = append(p.rooms[inUse], room{memory: limit - n.MemoryUsed, cores: cores})
	}
	p.addGuests()
	p.applyRules()
	return p
}

// addGuests puts every running guest where it is.
func (p *plant) addGuests() {
	frozen := make(map[ha.SID]bool)
	for _, svc := range p.w.s.Inventory.HA.Services {
		if svc.State == ha.ServiceFreeze || svc.State == ha.ServiceError {
			frozen[svc.SID] = true
		}
	}
	p.items = make([]item, 0, len(p.w.s.Inventory.Guests))
	for _, g := range p.w.s.Inventory.Guests {
		n, known := p.index[g.Node]
		if g.Template || !known || !g.Running() {
			continue
		}
		k := len(p.items)
		it := item{sid: g.SID, node: n, cores: g.CPUs, set: -1, memory: [2]int64{g.MemoryMax, g.MemoryUsed}}
		if g.MemoryUsed <= 0 {
			it.memory[inUse] = g.MemoryMax
		}
		p.rooms[assigned][n].memory -= g.MemoryMax
		p.rooms[assigned][n].cores -= g.CPUs
		p.rooms[inUse][n].cores -= g.CPUs
		p.items = append(p.items, it)
		if r, managed := p.w.services[g.SID]; !managed {
			p.pinned[n] = append(p.pinned[n], g.SID)
		} else if r.State == ha.RequestStarted && !frozen[g.SID] { // the others are not restarted
			p.on[n] = append(p.on[n], k)
		}
	}
}

// applyRules takes over the rules as the manager compiles them: what contradicts itself is
// dropped, what is implied is added. Then storage and devices.
func (p *plant) applyRules() {
	rules := make([]crm.Rule, 0, len(p.w.s.Inventory.Rules))
	for _, r := range p.w.s.Inventory.Rules {
		rules = append(rules, rule(r))
	}
	names := make([]string, len(p.names))
	for k, n := range p.names {
		names[k] = string(n)
	}
	compiled, _ := crm.Compile(rules, names)
	number := make(map[string]int)
	text := make([]string, len(p.items))
	bound := slices.ContainsFunc(rules, func(r crm.Rule) bool { return !r.Disabled })
	for k := range p.items {
		if _, managed := p.w.services[p.items[k].sid]; managed && bound {
			text[k] = p.items[k].sid.String()
			number[text[k]] = k
		}
	}
	for k := range p.items {
		it := &p.items[k]
		if text[k] != "" {
			p.peers(it, k, text[k], compiled, number)
		}
		strict := text[k] != "" && compiled.Strict(text[k])
		if _, read := p.w.config[it.sid]; !strict && !read {
			continue
		}
		allowed, all := make([]bool, len(p.names)), true
		for n, name := range p.names {
			allowed[n] = !(strict && !compiled.Allows(text[k], names[n])) && p.w.bound(it.sid, name) == ""
			all = all && allowed[n]
		}
		if !all {
			it.allowed = allowed
		}
	}
}

// peers notes whom a guest must be with and whom it must not meet.
func (p *plant) peers(it *item, k int, sid string, compiled crm.Compiled, number map[string]int) {
	for _, peer := range compiled.Apart(sid) {
		if j, known := number[peer]; known {
			it.apart = append(it.apart, j)
		}
	}
	together := compiled.Together(sid)
	if len(together) == 0 {
		return
	}
	it.set = k
	for _, peer := range together {
		if j, known := number[peer]; known {
			it.set = min(it.set, j)
		}
	}
	p.sets[it.set] = append(p.sets[it.set], k)
}

// unit is what must be placed together.
type unit struct {
	items  []int
	memory int64
	cores  float64
	// only are the nodes where its positive peers are, nil if it is free to go anywhere.
	only []int
	// bound: a rule or a device restricts it.
	bound bool
}

// attempt is one loss being solved.
type attempt struct {
	p     *plant
	by    measure
	lost  []int
	gone  []bool
	free  []room
	at    map[int]int // where the items of bound units are placed
	units []unit
	steps int
	any   bool // some unit is bound: nodes with equal room are not alike
}

// attempt sets up the loss of nodes.
func (p *plant) attempt(lost []int, by measure) *attempt {
	a := &attempt{p: p, by: by, lost: lost, gone: make([]bool, len(p.names)), free: slices.Clone(p.rooms[by])}
	for _, n := range lost {
		a.gone[n] = true
	}
	placed := make(map[int]int) // set -> unit
	for _, n := range lost {
		for _, k := range p.on[n] {
			it := &p.items[k]
			at := len(a.units)
			if it.set >= 0 {
				if j, known := placed[it.set]; known {
					at = j
				} else {
					placed[it.set] = at
				}
			}
			if at == len(a.units) {
				a.units = append(a.units, unit{only: p.peerNodes(it.set, a.gone)})
			}
			u := &a.units[at]
			u.items = append(u.items, k)
			u.memory += it.size(by)
			u.cores += it.cores
			u.bound = u.bound || it.allowed != nil || len(it.apart) > 0 || u.only != nil
			a.any = a.any || u.bound
		}
	}
	if a.any {
		a.at = make(map[int]int)
	}
	slices.SortFunc(a.units, a.harder)
	return a
}

// where is the node an item is on, -1 while it has none.
func (a *attempt) where(k int) int {
	n := a.p.items[k].node
	if !a.gone[n] {
		return n
	}
	if n, placed := a.at[k]; placed {
		return n
	}
	return -1
}

// peerNodes are the nodes where the members of a set are that were not lost.
func (p *plant) peerNodes(set int, gone []bool) []int {
	var out []int
	for _, k := range p.sets[set] {
		if n := p.items[k].node; !gone[n] && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// moving are the items of the lost nodes.
func (a *attempt) moving() []int {
	var out []int
	for _, u := range a.units {
		out = append(out, u.items...)
	}
	slices.Sort(out)
	return out
}
