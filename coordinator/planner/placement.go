package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// searchStepsMax bounds the search for a placement when the obvious one leaves a guest
// over. A drain of a hundred guests over a hundred nodes visits about as many places as
// there are guests; the rest is for the packed little cluster, where order decides. A
// search cut short answers "no room" for a case that may have had one: safe, and rare.
const searchStepsMax = 20_000

// rearmTime: a node that was fenced cannot take its own lock, and so cannot arm its
// watchdog, until the lock the master took has expired after 120 s (pve-ha-behaviour
// experiment E10). A guest moved to it meanwhile would run there unprotected: if the node
// were cut off, it would run twice.
const rearmTime = 150 * time.Second

// A unit is what must find a place together: one guest, or the members of a positive
// resource-affinity set, which the HA manager moves as one.
type unit struct {
	guests   []ha.Guest // the leader first; by SID
	from     ha.NodeName
	assigned int64
	used     int64
	// refused says for each node why it cannot take the unit, found before memory is looked at.
	refused map[ha.NodeName]string
	// priority is the HA rules' preference among the nodes that can; higher is better.
	priority map[ha.NodeName]int
	// failed are destinations that failed this unit before: taken last.
	failed map[ha.NodeName]bool
	// apart are the guests it must not share a node with.
	apart []ha.SID
}

func (u *unit) sid() ha.SID { return u.guests[0].SID }

// unplaced is a unit for which there is no node, with the reason per node.
type unplaced struct {
	unit    *unit
	reasons []string // "node2: needs 40.0 GiB, 12.3 GiB free", by node
}

// A placer finds a node for each unit without breaking a rule or a node's memory. It
// keeps promises in the world's rooms, so that what it placed counts for what follows.
type placer struct {
	w          *world
	overcommit bool
	where      map[ha.SID]ha.NodeName // guests placed so far
	steps      int
}

// place assigns a node to each unit. Units that find none are returned with reasons; the
// others keep their places, so that a drain can begin where it can.
func (w *world) place(units []*unit, overcommit bool) (map[ha.SID]ha.NodeName, []unplaced) {
	p := &placer{w: w, overcommit: overcommit, where: make(map[ha.SID]ha.NodeName)}
	order := slices.Clone(units)
	slices.SortStableFunc(order, func(a, b *unit) int {
		return cmp.Or(
			cmp.Compare(len(b.refused), len(a.refused)), // fewest choices first
			cmp.Compare(b.assigned, a.assigned),         // then the largest
			a.sid().Compare(b.sid()),
		)
	})
	var left []*unit
	for _, u := range order {
		if n, ok := p.best(u); ok {
			p.take(u, n)
		} else {
			left = append(left, u)
		}
	}
	if len(left) > 0 && len(order) > 1 {
		// The obvious order left something over: undo it and search.
		greedy := maps.Clone(p.where)
		p.undo(order)
		if p.search(order) {
			return p.where, nil
		}
		for _, u := range order {
			if n, ok := greedy[u.sid()]; ok {
				p.take(u, n)
			}
		}
	}
	var none []unplaced
	for _, u := range left {
		none = append(none, unplaced{unit: u, reasons: p.reasons(u)})
	}
	slices.SortFunc(none, func(a, b unplaced) int { return a.unit.sid().Compare(b.unit.sid()) })
	return p.where, none
}

// search places all units or none, depth first over the nodes in order of preference.
func (p *placer) search(units []*unit) bool {
	if len(units) == 0 {
		return true
	}
	u := units[0]
	for _, n := range p.choices(u) {
		if p.steps++; p.steps > searchStepsMax {
			return false
		}
		p.take(u, n)
		if p.search(units[1:]) {
			return true
		}
		p.drop(u)
	}
	return false
}

func (p *placer) undo(units []*unit) {
	for _, u := range units {
		p.drop(u)
	}
}

func (p *placer) take(u *unit, n ha.NodeName) {
	for _, g := range u.guests {
		p.where[g.SID] = n
		p.w.reserve(n, g)
	}
}

func (p *placer) drop(u *unit) {
	for _, g := range u.guests {
		if n, ok := p.where[g.SID]; ok {
			p.w.release(n, g)
			delete(p.where, g.SID)
		}
	}
}

func (p *placer) best(u *unit) (ha.NodeName, bool) {
	c := p.choices(u)
	if len(c) == 0 {
		return "", false
	}
	return c[0], true
}

// choices are the nodes that can take u now: rules' preference first, nodes that failed
// it before last, then the emptiest after the move, then by name.
func (p *placer) choices(u *unit) []ha.NodeName {
	var out []ha.NodeName
	for _, n := range p.w.Inventory.Nodes {
		if p.why(u, n.Name) == "" {
			out = append(out, n.Name)
		}
	}
	fill := func(n ha.NodeName) float64 {
		r := p.w.nodes[n]
		return float64(r.assigned+u.assigned) / float64(max(r.node.MemoryMax, 1))
	}
	slices.SortStableFunc(out, func(a, b ha.NodeName) int {
		return cmp.Or(
			compareBool(u.failed[a], u.failed[b]),
			cmp.Compare(u.priority[b], u.priority[a]),
			cmp.Compare(fill(a), fill(b)),
			cmp.Compare(a, b),
		)
	})
	return out
}

// why says why node cannot take u now; "" if it can.
func (p *placer) why(u *unit, node ha.NodeName) string {
	if node == u.from {
		return "it is leaving there"
	}
	if r, no := u.refused[node]; no {
		return r
	}
	for _, peer := range u.apart {
		if p.location(peer, node) {
			return fmt.Sprintf("a rule keeps it apart from %s", p.w.label(peer))
		}
	}
	return p.w.nodes[node].lacks(u.assigned, u.used, p.overcommit)
}

// location tells whether peer is, is going to be, or was just placed on node.
func (p *placer) location(peer ha.SID, node ha.NodeName) bool {
	if n, ok := p.where[peer]; ok {
		return n == node
	}
	if p.w.incoming[peer] == node {
		return true
	}
	g, ok := p.w.Inventory.Guest(peer)
	return ok && p.w.running(g) && p.w.at(g) == node
}

// lacks says how much memory is missing for a guest of that size; "" if it fits. With
// overcommit only what is really used must fit.
func (r *room) lacks(assigned, used int64, overcommit bool) string {
	limit := r.node.MemoryMax - r.reserve
	if free := limit - r.assigned; !overcommit && assigned > free {
		return fmt.Sprintf("needs %s of assigned memory, %s is free", gib(assigned), gib(max(free, 0)))
	}
	if free := limit - r.used; used > free {
		return fmt.Sprintf("needs %s of memory now, %s is free", gib(used), gib(max(free, 0)))
	}
	return ""
}

// reasons lists why no node takes u, by node.
func (p *placer) reasons(u *unit) []string {
	var out []string
	for _, n := range p.w.Inventory.Nodes {
		if n.Name == u.from {
			continue
		}
		if why := p.why(u, n.Name); why != "" {
			out = append(out, fmt.Sprintf("%s: %s", n.Name, why))
		}
	}
	return out
}

// unit builds the unit of guests that leave from together; failed are destinations that
// failed before. latched: node from is, or will be, in maintenance when they go.
func (w *world) unit(guests []ha.Guest, from ha.NodeName, failed map[ha.NodeName]bool, latched bool) *unit {
	u := &unit{
		guests:   guests,
		from:     from,
		refused:  make(map[ha.NodeName]string),
		priority: make(map[ha.NodeName]int),
		failed:   failed,
	}
	for _, g := range guests {
		if w.holdsMemory(g) {
			u.assigned += g.MemoryMax
			u.used += memoryUsed(g)
		}
		u.apart = append(u.apart, w.peers(g.SID, ha.Negative)...)
	}
	for _, n := range w.Inventory.Nodes {
		if n.Name == from {
			continue
		}
		if why := w.unfit(n.Name); why != "" {
			u.refused[n.Name] = why
			continue
		}
		for _, g := range guests {
			why := w.forbids(g, n.Name)
			if why == "" && !latched {
				why = w.bouncesFrom(g, from, n.Name)
			}
			if why != "" {
				u.refused[n.Name] = why
				break
			}
			u.priority[n.Name] += w.priority(g, n.Name)
		}
	}
	return u
}

// unfit says why nothing at all may be sent to node; "" if it may.
func (w *world) unfit(node ha.NodeName) string {
	why, ok := w.unfitNodes[node]
	if !ok {
		why = w.judgeNode(node)
		w.unfitNodes[node] = why
	}
	return why
}

func (w *world) judgeNode(node ha.NodeName) string {
	if !w.online(node) {
		return "offline"
	}
	switch st := w.haState(node); st {
	case "", ha.NodeOnline:
	case ha.NodeMaintenance:
		return "in maintenance"
	default:
		return fmt.Sprintf("the HA manager calls it %s", st)
	}
	if m, ok := w.OpenMaintenance(node); ok {
		return "in maintenance (" + string(m.Phase) + ")"
	}
	r, ok := w.FreshReport(node)
	if !ok {
		return w.silence(node)
	}
	if r.System.PmxcfsMounted && !r.System.PmxcfsWritable {
		return "its /etc/pve is read-only: no quorum there"
	}
	if _, failed := r.Failed("watchdog"); !failed && w.usesHA() && !r.Watchdog.MuxActive && r.System.Uptime > 0 && r.System.Uptime < rearmTime {
		return fmt.Sprintf("it booted %s ago and its watchdog is not armed yet", short(r.System.Uptime))
	}
	return ""
}

// silence says since when a node's agent has not reported.
func (w *world) silence(node ha.NodeName) string {
	r, ok := w.Report(node)
	if !ok || r.Received.IsZero() {
		return "its agent has not reported"
	}
	return fmt.Sprintf("its agent has not reported for %s", short(w.At.Sub(r.Received)))
}

// forbids says why this guest cannot run on node, memory aside; "" if it can.
func (w *world) forbids(g ha.Guest, node ha.NodeName) string {
	c, known := w.config(g)
	if known {
		for _, name := range c.Storages {
			if why := w.storageMissing(name, node); why != "" {
				return why
			}
		}
	}
	return w.strictly(g, node)
}

// storageMissing says why a storage cannot be used on node; "" if it can.
func (w *world) storageMissing(name string, node ha.NodeName) string {
	st, ok := w.Inventory.Storage(name)
	switch {
	case !ok:
		return fmt.Sprintf("storage %s does not exist", name)
	case !st.Offers(node):
		return fmt.Sprintf("storage %s is not configured there", name)
	case !st.AvailableOn(node):
		return fmt.Sprintf("storage %s is not active there", name)
	}
	if st.Type != "nfs" || st.Path == "" {
		return ""
	}
	r, _ := w.FreshReport(node)
	if _, failed := r.Failed("nfs"); failed {
		return fmt.Sprintf("its agent could not look at storage %s", name)
	}
	k := slices.IndexFunc(r.Mounts, func(m ha.Mount) bool { return m.Path == st.Path })
	switch {
	case k < 0:
		return fmt.Sprintf("storage %s is not mounted there", name)
	case !r.Mounts[k].Answering:
		return fmt.Sprintf("storage %s does not answer there", name)
	}
	return ""
}

// label is a guest as people know it: vm:100 (media).
func (w *world) label(sid ha.SID) string {
	if n := w.name(sid); n != "" {
		return fmt.Sprintf("%s (%s)", sid, n)
	}
	return sid.String()
}

func joinNodes(list []ha.NodeName) string {
	parts := make([]string, len(list))
	for k, n := range list {
		parts[k] = string(n)
	}
	return strings.Join(parts, ", ")
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
