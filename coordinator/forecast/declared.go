package forecast

import (
	"cmp"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Declared makes a snapshot out of what a project declares, so that capacity can be judged
// before there is a cluster: each target runs on its preferred node, with its declared
// memory and cores; nodes have what hardware.yml says. Nodes without a hardware.yml and
// targets without memory or a known node are left out and named in missing.
func Declared(p ha.Policy) (s ha.Snapshot, missing []string) {
	s.Policy = p
	inv := &s.Inventory
	nodes := slices.Clone(p.Cluster.Nodes)
	slices.Sort(nodes)
	for k, name := range nodes {
		h, _ := p.Host(name)
		if h.Capacity == nil || h.Capacity.Memory <= 0 {
			missing = append(missing, "node "+string(name)+" has no hardware.yml: its memory is not known")
			continue
		}
		inv.Nodes = append(inv.Nodes, ha.Node{Name: name, ID: k + 1, Online: true, CPUs: h.Capacity.CPUs, MemoryMax: h.Capacity.Memory})
		inv.HA.Nodes = append(inv.HA.Nodes, ha.HANode{Name: name, State: ha.NodeOnline, LRMState: "active", LRMMode: "active"})
	}
	inv.Cluster = ha.Cluster{Name: p.Cluster.Name, Quorate: true, Votes: len(inv.Nodes), Expected: len(inv.Nodes)}
	used := make(map[int]bool)
	for _, t := range p.Targets {
		used[t.VMID] = true
	}
	next := 100 // where Proxmox begins to number guests
	for _, t := range p.Targets {
		if t.Type == ha.TargetBare {
			continue
		}
		known := slices.ContainsFunc(inv.Nodes, func(n ha.Node) bool { return n.Name == t.Node })
		if t.Memory <= 0 || !known {
			missing = append(missing, "target "+t.Name+" has no declared memory, or its node's is not known")
			continue
		}
		for used[next] {
			next++
		}
		id := cmp.Or(t.VMID, next)
		used[id] = true
		addTarget(&s, t, id)
	}
	s = inOrder(s)
	return s, missing
}

// addTarget puts a declared target on its preferred node.
func addTarget(s *ha.Snapshot, t ha.Target, id int) {
	inv := &s.Inventory
	sid := ha.SID{Kind: ha.VM, ID: id}
	if t.Type == ha.TargetLXC {
		sid.Kind = ha.CT
	}
	inv.Guests = append(inv.Guests, ha.Guest{SID: sid, Name: t.Name, Node: t.Node, Status: ha.GuestRunning, CPUs: t.Cores, MemoryMax: t.Memory, DiskMax: t.Disk})
	if !t.HA {
		return
	}
	inv.Resources = append(inv.Resources, ha.Resource{SID: sid, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1})
	inv.HA.Services = append(inv.HA.Services, ha.HAService{SID: sid, Node: t.Node, State: ha.ServiceStarted, Running: true})
	if len(t.Options.Nodes) == 0 {
		return
	}
	r := ha.Rule{ID: "declared-" + t.Name, Type: ha.NodeAffinity, Strict: t.Options.Strict, Resources: []ha.SID{sid}}
	for _, n := range t.Options.Nodes {
		node := ha.RuleNode{Node: n}
		for _, p := range t.Options.Priority {
			if p.Node == n {
				node.Priority = p.Priority
			}
		}
		r.Nodes = append(r.Nodes, node)
	}
	inv.Rules = append(inv.Rules, r)
}
