package crm

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Defaults of the automatic rebalancing as pve-ha-manager 5.2.0 reads them.
const (
	defaultThreshold = 0.3
	defaultMargin    = 0.1
	defaultHold      = 3
)

// A candidate is a move that automatic rebalancing could make: a service, with the
// positive peers that go along, from one node to another.
type candidate struct {
	leader    string
	bundle    []string
	from, to  string
	imbalance float64
	criteria  [4]float64
}

// autoRebalance moves one bundle when the nodes have been unevenly loaded for some rounds.
func (m *manager) autoRebalance() {
	dc := m.config.Datacenter
	if !dc.AutoRebalance || m.usage.mode == "basic" {
		return
	}
	for _, s := range m.status.Services {
		if s.State == Migrate || s.State == Relocate || s.Command != nil && s.Command.Verb != "stop" {
			return
		}
	}
	now := imbalance(m.usage.now(nil, "", ""))
	if now <= dc.Threshold {
		m.holdRounds = 0
		return
	}
	if m.holdRounds++; m.holdRounds < dc.Hold {
		return
	}
	m.holdRounds = 0
	c, ok := m.bestMove(dc.Method)
	if !ok || (now-c.imbalance)/now < dc.Margin {
		return
	}
	verb := Relocate
	if kindOf(c.leader) == "vm" {
		verb = Migrate
	}
	m.log(Info, "auto rebalance - %s %s to %s (expected change for imbalance from %.2f to %.2f)", verb, c.leader, c.to, now, c.imbalance)
	m.commandMove(fmt.Sprintf("%s %s %s", verb, c.leader, c.to), verb, c.leader, c.to)
}

// bundles are the started services that may move, each with its started positive peers.
func (m *manager) bundles() [][]string {
	var out [][]string
	done := make(map[string]bool)
	for _, sid := range m.order() {
		s := m.status.Services[sid]
		if s.State != Started || done[sid] {
			continue
		}
		bundle := []string{sid}
		whole := true
		for _, peer := range sortedKeys(m.compiled.together[sid]) {
			p, known := m.status.Services[peer]
			if !known {
				continue
			}
			done[peer] = true
			switch {
			case p.State == Migrate || p.State == Relocate || p.State == Started && p.Node != s.Node:
				whole = false
			case p.State == Started:
				bundle = append(bundle, peer)
			}
		}
		if whole {
			slices.Sort(bundle)
			out = append(out, bundle)
		}
	}
	return out
}

func (m *manager) bestMove(method string) (candidate, bool) {
	var list []candidate
	for _, b := range m.bundles() {
		leader := b[0]
		from := m.status.Services[leader].Node
		if !m.usage.knows(from) {
			continue
		}
		_, best := m.affinity(leader)
		_, separate := m.peers(leader)
		for _, n := range slices.Sorted(maps.Keys(best)) {
			if n == from || separate[n] {
				continue
			}
			table := m.usage.now(b, from, n)
			list = append(list, candidate{leader: leader, bundle: b, from: from, to: n, imbalance: imbalance(table), criteria: criteria(table, -1, 0, 0)})
		}
	}
	if len(list) == 0 {
		return candidate{}, false
	}
	if method == "topsis" {
		rows := make([][4]float64, len(list))
		for k, c := range list {
			rows[k] = c.criteria
		}
		scores := topsis(rows)
		best := 0
		for k := range list {
			if scores[k] > scores[best] {
				best = k
			}
		}
		return list[best], true
	}
	best := 0
	for k := range list {
		if trunc15(list[k].imbalance) < trunc15(list[best].imbalance) {
			best = k
		}
	}
	return list[best], true
}

func trunc15(x float64) float64 { return math.Trunc(x*1e15) / 1e15 }

// now is the load of every node, as it would be with a bundle moved.
func (l *load) now(bundle []string, from, to string) []NodeUsage {
	out := make([]NodeUsage, len(l.names))
	for k, n := range l.names {
		u := l.figures.Nodes[n]
		if l.mode == "static" {
			u = l.sum(n)
		}
		for _, sid := range bundle {
			cpu, mem := l.figures.Services[sid].CPU, l.figures.Services[sid].Memory
			if l.mode == "static" {
				cpu, mem = l.figures.Services[sid].MaxCPU, l.figures.Services[sid].MaxMemory
			}
			switch n {
			case from:
				u.CPUUsed = max(0, u.CPUUsed-cpu)
				u.MemoryUsed = max(0, u.MemoryUsed-mem)
			case to:
				u.CPUUsed += cpu
				u.MemoryUsed += mem
			}
		}
		out[k] = u
	}
	return out
}

// imbalance is how unevenly nodes are loaded: the population standard deviation of their
// loads over the mean, load being the mean of the CPU and memory fractions
// (proxmox-resource-scheduling 2.0.0; 2.1.0 divides by the root of the nodes less one).
func imbalance(table []NodeUsage) float64 {
	if len(table) == 0 {
		return 0
	}
	loads := make([]float64, len(table))
	sum := 0.0
	for k, u := range table {
		loads[k] = (u.CPUUsed/u.CPUs + u.MemoryUsed/u.Memory) / 2
		sum += loads[k]
	}
	mean := sum / float64(len(loads))
	if mean == 0 {
		return 0
	}
	dev := 0.0
	for _, l := range loads {
		dev += sq(l - mean)
	}
	return math.Sqrt(dev/float64(len(loads))) / mean
}

// DefaultDatacenter are the options of an empty datacenter.cfg.
func DefaultDatacenter() Datacenter {
	return Datacenter{ShutdownPolicy: "conditional", Scheduler: "basic", Threshold: defaultThreshold, Margin: defaultMargin,
		Hold: defaultHold, Method: "bruteforce", MaxWorkers: DefaultMaxWorkers}
}
