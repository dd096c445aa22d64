package crm

import (
	"math"
	"slices"
)

// Usage is what the schedulers read: sizes and loads as the environment knows them.
type Usage struct {
	// Nodes are the nodes with known figures.
	Nodes map[string]NodeUsage
	// Services are the figures of HA services, by SID.
	Services map[string]GuestUsage
	// Others are running guests that HA does not manage.
	Others []OtherGuest
}

// NodeUsage is a node's capacity and load: CPUs and bytes.
type NodeUsage struct {
	CPUs   float64
	Memory float64
	// CPUUsed and MemoryUsed are its load now, for the dynamic scheduler.
	CPUUsed    float64
	MemoryUsed float64
}

// GuestUsage is a guest's size and load.
type GuestUsage struct {
	MaxCPU    float64
	MaxMemory float64
	CPU       float64
	Memory    float64
}

// OtherGuest is a running guest without HA.
type OtherGuest struct {
	SID  string
	Node string
	GuestUsage
}

// load is the usage table of one pass: online nodes and the services counted on each.
type load struct {
	mode  string // basic, static or dynamic: what is really used in this pass
	names []string
	on    map[string]*nodeLoad
	// where are the nodes each service is counted on.
	where   map[string]counts
	figures Usage
}

// nodeLoad are the services counted on one node.
type nodeLoad struct {
	sids []string
	// usage is the node's usage with them; stale when they changed.
	usage NodeUsage
	fresh bool
}

// counts are the nodes a service is counted on, nil for none, and whether it is counted as
// started but not confirmed running.
type counts struct {
	current, target *nodeLoad
	starting        bool
}

// newLoad makes the table for the online nodes. A static or dynamic scheduler that lacks
// a node's figures works as basic for this pass.
func newLoad(mode string, online []string, u Usage, services int) (*load, string) {
	l := &load{mode: mode, names: slices.Sorted(slices.Values(online)), on: make(map[string]*nodeLoad, len(online)),
		where: make(map[string]counts, services), figures: u}
	missing := ""
	for _, n := range l.names {
		l.on[n] = &nodeLoad{}
		if _, ok := u.Nodes[n]; !ok && mode != "basic" {
			missing = n
		}
	}
	if missing != "" {
		l.mode = "basic"
	}
	return l, missing
}

func (l *load) nodes() []string { return l.names }

func (l *load) knows(node string) bool { return l.on[node] != nil }

// placeOf is where a service's state counts it.
func (l *load) placeOf(s ServiceStatus) counts {
	current, target := counted(s)
	c := counts{current: l.on[current], target: l.on[target], starting: (s.State == Started || s.State == RequestStartBalance) && !s.Running}
	if c.target == c.current {
		c.target = nil
	}
	return c
}

// add counts a service where its state counts it, and no longer where it did.
func (l *load) add(sid string, s ServiceStatus) {
	old, now := l.where[sid], l.placeOf(s)
	if old == now {
		return
	}
	old.remove(sid)
	now.add(sid)
	l.where[sid] = now
}

func (c counts) add(sid string) {
	for _, n := range [2]*nodeLoad{c.current, c.target} {
		if n != nil {
			n.sids = append(n.sids, sid)
			n.fresh = false
		}
	}
}

func (c counts) remove(sid string) {
	for _, n := range [2]*nodeLoad{c.current, c.target} {
		if n != nil {
			k := slices.Index(n.sids, sid)
			n.sids[k] = n.sids[len(n.sids)-1]
			n.sids = n.sids[:len(n.sids)-1]
			n.fresh = false
		}
	}
}

// addOther counts a running guest that HA does not manage.
func (l *load) addOther(g OtherGuest) {
	n, old := l.on[g.Node], l.where[g.SID]
	if n == nil || old.current == n || old.target == n {
		return
	}
	counts{current: n}.add(g.SID)
	if _, known := l.figures.Services[g.SID]; known {
		return
	}
	if l.figures.Services == nil {
		l.figures.Services = map[string]GuestUsage{}
	}
	l.figures.Services[g.SID] = g.GuestUsage
}

// scores rates every online node for a start of sid; lower is better.
func (l *load) scores(sid, current string) map[string]float64 {
	out := make(map[string]float64, len(l.names))
	if l.mode == "basic" {
		for _, n := range l.names {
			out[n] = float64(len(l.on[n].sids))
		}
		return out
	}
	g := l.figures.Services[sid]
	table := l.table()
	rows := make([][4]float64, len(l.names))
	for k := range l.names {
		cpu := g.MaxCPU
		if cpu == 0 {
			cpu = table[k].CPUs
		}
		rows[k] = criteria(table, k, cpu, g.MaxMemory)
	}
	for k, s := range topsis(rows) {
		out[l.names[k]] = -s
	}
	return out
}

// table is each node's usage in this pass, in the order of names.
func (l *load) table() []NodeUsage {
	out := make([]NodeUsage, len(l.names))
	for k, n := range l.names {
		on := l.on[n]
		if !on.fresh {
			on.usage, on.fresh = l.sum(n), true
		}
		out[k] = on.usage
	}
	return out
}

// sum adds up the services counted on a node, by SID: floating-point sums depend on the order.
func (l *load) sum(node string) NodeUsage {
	u := l.figures.Nodes[node]
	if l.mode == "static" {
		u.CPUUsed, u.MemoryUsed = 0, 0
	}
	on := l.on[node]
	slices.Sort(on.sids)
	for _, sid := range on.sids {
		if l.mode == "dynamic" && !l.where[sid].starting {
			continue // it is in the node's own figures
		}
		g := l.figures.Services[sid]
		cpu := g.MaxCPU
		if cpu == 0 {
			cpu = u.CPUs
		}
		u.CPUUsed += cpu
		u.MemoryUsed += g.MaxMemory
	}
	return u
}

// criteria are the four figures of a cluster in which node k has that much more to carry:
// root mean square and maximum of the CPU and of the memory fractions, plus one.
func criteria(table []NodeUsage, k int, cpu, memory float64) [4]float64 {
	var sumC, maxC, sumM, maxM float64
	for i, u := range table {
		if i == k {
			u.CPUUsed += cpu
			u.MemoryUsed += memory
		}
		c, m := u.CPUUsed/u.CPUs, u.MemoryUsed/u.Memory
		sumC += c * c
		sumM += m * m
		maxC, maxM = max(maxC, c), max(maxM, m)
	}
	n := float64(len(table))
	return [4]float64{1 + math.Sqrt(sumC/n), 1 + maxC, 1 + math.Sqrt(sumM/n), 1 + maxM}
}

// weights of the criteria in proxmox-resource-scheduling: average CPU, highest CPU,
// average memory, highest memory.
var weights = [4]float64{1.0 / 18, 2.0 / 18, 5.0 / 18, 10.0 / 18}

// topsis rates alternatives whose criteria are all to be small: 0 is worst, 1 is best.
func topsis(rows [][4]float64) []float64 {
	a := slices.Clone(rows)
	for c := range 4 {
		norm := 0.0
		for _, r := range a {
			norm += r[c] * r[c]
		}
		if norm = math.Sqrt(norm); norm != 0 {
			for k := range a {
				a[k][c] /= norm
			}
		}
	}
	var best, worst [4]float64
	for c := range 4 {
		for k, r := range a {
			if k == 0 || r[c] < best[c] {
				best[c] = r[c]
			}
			if k == 0 || r[c] > worst[c] {
				worst[c] = r[c]
			}
		}
	}
	out := make([]float64, len(a))
	for k, r := range a {
		var near, far float64
		for c := range 4 {
			near += sq(weights[c] * (r[c] - best[c]))
			far += sq(weights[c] * (r[c] - worst[c]))
		}
		near, far = math.Sqrt(near), math.Sqrt(far)
		if near+far > 0 {
			out[k] = far / (near + far)
		}
	}
	return out
}

func sq(x float64) float64 { return x * x }
