package crm

// Maps gives tests what selection reads.
func (c Compiled) Maps() (nodes map[string]map[string]int, together, apart map[string]map[string]bool) {
	return c.nodes, c.together, c.apart
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
