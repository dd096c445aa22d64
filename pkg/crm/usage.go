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
	count map[string]int
	// on are the services counted on each node, in the order they were added.
	on      map[string]map[string]bool
	figures Usage
	// starting are services counted as started but not confirmed running.
	starting map[string]bool
}

// newLoad makes the table for the online nodes. A static or dynamic scheduler that lacks
// a node's figures works as basic for this pass.
func newLoad(mode string, online []string, u Usage) (*load, string) {
	l := &load{mode: mode, names: slices.Sorted(slices.Values(online)), count: map[string]int{}, on: map[string]map[string]bool{}, figures: u, starting: map[string]bool{}}
	missing := ""
	for _, n := range l.names {
		l.on[n] = make(map[string]bool)
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

// add counts a service where its state counts it.
func (l *load) add(sid string, s ServiceStatus) {
	current, target := counted(s)
	for _, n := range []string{current, target} {
		if n != "" && l.knows(n) && !l.on[n][sid] {
			l.on[n][sid] = true
			l.count[n]++
		}
	}
	l.starting[sid] = (s.State == Started || s.State == RequestStartBalance) && !s.Running
}

func (l *load) addOther(g OtherGuest) {
	if l.knows(g.Node) && !l.on[g.Node][g.SID] {
		l.on[g.Node][g.SID] = true
		l.count[g.Node]++
		if l.figures.Services == nil {
			l.figures.Services = map[string]GuestUsage{}
		}
		l.figures.Services[g.SID] = g.GuestUsage
	}
}

func (l *load) remove(sid string) {
	for n := range l.on {
		if l.on[n][sid] {
			delete(l.on[n], sid)
			l.count[n]--
		}
	}
	delete(l.starting, sid)
}

// scores rates every online node for a start of sid; lower is better.
func (l *load) scores(sid, current string) map[string]float64 {
	out := make(map[string]float64, len(l.names))
	if l.mode == "basic" {
		for _, n := range l.names {
			out[n] = float64(l.count[n])
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
		u := l.figures.Nodes[n]
		if l.mode == "static" {
			u.CPUUsed, u.MemoryUsed = 0, 0
		}
		for _, sid := range sortedKeys(l.on[n]) {
			g := l.figures.Services[sid]
			if l.mode == "dynamic" && !l.starting[sid] {
				continue // it is in the node's own figures
			}
			cpu := g.MaxCPU
			if cpu == 0 {
				cpu = u.CPUs
			}
			u.CPUUsed += cpu
			u.MemoryUsed += g.MaxMemory
		}
		out[k] = u
	}
	return out
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
