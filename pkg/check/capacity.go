package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// CapacitySingleLoss is the code of the check that the rest can carry a lost node's guests.
const CapacitySingleLoss ha.Code = "CAPACITY_SINGLE_LOSS"

var capacityChecks = []Check{
	{Code: CapacitySingleLoss, Title: "the other nodes can carry the node's HA guests", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: after(inventoryCauses, NodeNotMember, NodeOffline),
		parts:     []string{partCluster, partNodes, partGuests, partResources, partRules, partHA}, cluster: capacitySingleLoss},
}

// room is what a node still has for guests, in bytes.
type room struct {
	node ha.NodeName
	free int64
}

// capacitySingleLoss places, for each node, the HA guests on it on the others: the
// biggest first, each where most is free. It compares assigned memory, not what happens
// to be used now, and asks for a place for each guest, not whether the sums fit.
func capacitySingleLoss(w *world) []verdict {
	load := w.load()
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		if n.Online {
			list = append(list, w.withoutNode(n.Name, load))
		} else {
			list = append(list, skip(string(n.Name), "it is offline already"))
		}
	}
	return list
}

// load is what lies on each node: the memory its guests may take in all, in bytes, and
// the HA guests that must find a place when it is lost, biggest first.
type load struct {
	assigned  map[ha.NodeName]int64
	protected map[ha.NodeName][]ha.Guest
}

func (w *world) load() load {
	l := load{assigned: make(map[ha.NodeName]int64), protected: make(map[ha.NodeName][]ha.Guest)}
	for _, g := range w.s.Inventory.Guests {
		r, found := w.s.Inventory.Resource(g.SID)
		kept := found && keptStarted(r)
		if kept || g.Running() {
			l.assigned[g.Node] += g.MemoryMax
		}
		if kept {
			l.protected[g.Node] = append(l.protected[g.Node], g)
		}
	}
	for _, guests := range l.protected {
		slices.SortStableFunc(guests, func(a, b ha.Guest) int { return cmp.Compare(b.MemoryMax, a.MemoryMax) })
	}
	return l
}

func (w *world) withoutNode(lost ha.NodeName, l load) verdict {
	subject := string(lost)
	guests := l.protected[lost]
	if len(guests) == 0 {
		return pass(subject, "no HA guest is on it")
	}
	rooms, why := w.rooms(lost, l)
	if why != "" {
		return unknown(subject, "%s", why)
	}
	for _, g := range guests {
		k := w.place(g, rooms)
		if k < 0 {
			return broken(subject, fmt.Sprintf("if it is lost, %s (%s, %s) finds no room: %s", g.Name, g.SID, size(g.MemoryMax), describe(rooms)),
				"give a node more memory, the guest less, move or stop something, or spread the targets' preferred nodes")
		}
		rooms[k].free -= g.MemoryMax
	}
	return pass(subject, "%s on it fit elsewhere; then free: %s", number(len(guests), "HA guest"), describe(rooms))
}

// rooms are the nodes that could take guests when lost is lost.
func (w *world) rooms(lost ha.NodeName, l load) (rooms []room, why string) {
	for _, n := range w.s.Inventory.Nodes {
		h, _ := w.s.Inventory.HA.Node(n.Name)
		if n.Name == lost || !n.Online || h.State == ha.NodeMaintenance || h.MaintenanceRequested {
			continue
		}
		if n.MemoryMax <= 0 {
			return nil, fmt.Sprintf("the API does not tell how much memory %s has", n.Name)
		}
		rooms = append(rooms, room{node: n.Name, free: n.MemoryMax - ha.HostReserve(n.MemoryMax) - l.assigned[n.Name]})
	}
	return rooms, ""
}

// place finds the emptiest node that has room for the guest and may run it; -1 if none.
func (w *world) place(g ha.Guest, rooms []room) int {
	rule, bound := w.affinities[g.SID]
	best := -1
	for k, r := range rooms {
		allowed := !bound || !rule.Strict || slices.ContainsFunc(rule.Nodes, func(n ha.RuleNode) bool { return n.Node == r.node })
		if allowed && r.free >= g.MemoryMax && (best < 0 || r.free > rooms[best].free) {
			best = k
		}
	}
	return best
}

func describe(rooms []room) string {
	if len(rooms) == 0 {
		return "there is no other node"
	}
	parts := make([]string, len(rooms))
	for k, r := range rooms {
		parts[k] = fmt.Sprintf("%s %s", r.node, size(r.free))
	}
	return joined(parts)
}
