package crm

import "maps"

// Maps gives tests what selection reads, for the nodes it is asked about.
func (c Compiled) Maps(known []string) (nodes map[string]map[string]int, together, apart map[string]map[string]bool) {
	nodes = make(map[string]map[string]int)
	for sid, r := range c.nodes {
		nodes[sid] = maps.Clone(r.priority)
		for _, n := range known {
			if p, allowed := r.class(n); allowed {
				nodes[sid][n] = p
			}
		}
	}
	return nodes, c.together, c.apart
}

// Topsis and Imbalance are tested against figures of Proxmox's own scheduler.
var Topsis, Imbalance = topsis, imbalance

// VersionAtLeast is tested by itself.
var VersionAtLeast = versionAtLeast

// StartScores rates nodes for a start in a world of static figures.
func StartScores(mode string, nodes map[string]NodeUsage, services map[string]GuestUsage, on map[string]ServiceStatus, guest GuestUsage) map[string]float64 {
	var names []string
	for n := range nodes {
		names = append(names, n)
	}
	u := Usage{Nodes: nodes, Services: services}
	l, _ := newLoad(mode, names, u, len(on))
	for sid, s := range on {
		l.add(sid, s)
	}
	l.figures.Services["new"] = guest
	return l.scores("new", "")
}
