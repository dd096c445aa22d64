// Package planner decides: from a snapshot and what is intended it computes what to do
// now and what is waited for. Its secret is the judgement, which guest goes where, in
// which order, and when a node is really empty.
//
// The package is pure. A step never says "done" from memory: it looks at the snapshot.
// Every step plans afresh, because the world changes under a drain; what is remembered
// (ha.Maintenance) is intent, where guests lived, and what was asked for.
package planner

import (
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// world is a snapshot with the indexes a step needs, built once per step.
type world struct {
	ha.Snapshot
	nodes map[ha.NodeName]*room
	// rulesOf are the binding rules of each guest.
	rulesOf map[ha.SID][]ha.Rule
	// targetOf is the target each guest is.
	targetOf map[ha.SID]ha.Target
	// processOn lists the nodes whose fresh reports show a process of the guest.
	processOn map[ha.SID][]process
	// incoming counts the guests on their way to a node, by guest.
	incoming map[ha.SID]ha.NodeName
	// restarting are those of them that are stopped, moved and started.
	restarting map[ha.SID]bool
	// managed are the resources the HA manager manages, configs the configurations asked
	// for so far, fresh the reports that may be acted upon.
	managed map[ha.SID]ha.Resource
	configs map[ha.SID]ha.GuestConfig
	fresh   map[ha.NodeName]*ha.Report
	// unfitNodes remembers unfit's answers: the same question is asked for every guest.
	unfitNodes map[ha.NodeName]string
	// tasksOf are the tasks about a guest number, newest first.
	tasksOf map[string][]ha.Task
}

// process is a guest process as an agent reports it.
type process struct {
	node  ha.NodeName
	guest ha.LocalGuest
}

// room is the memory of one node, in bytes: what is there and what is promised.
type room struct {
	node     ha.Node
	reserve  int64
	assigned int64 // maximum memory of the guests that run here or are on their way here
	used     int64 // used now, and what is on its way
	guests   int   // running or on their way
}

func newWorld(s ha.Snapshot) *world {
	w := &world{
		Snapshot:   s,
		nodes:      make(map[ha.NodeName]*room, len(s.Inventory.Nodes)),
		rulesOf:    make(map[ha.SID][]ha.Rule),
		targetOf:   make(map[ha.SID]ha.Target),
		processOn:  make(map[ha.SID][]process),
		incoming:   make(map[ha.SID]ha.NodeName),
		restarting: make(map[ha.SID]bool),
		managed:    make(map[ha.SID]ha.Resource, len(s.Inventory.Resources)),
		configs:    make(map[ha.SID]ha.GuestConfig),
		fresh:      make(map[ha.NodeName]*ha.Report, len(s.Reports)),
		unfitNodes: make(map[ha.NodeName]string),
		tasksOf:    make(map[string][]ha.Task),
	}
	for _, n := range s.Inventory.Nodes {
		w.nodes[n.Name] = &room{node: n, reserve: ha.HostReserve(n.MemoryMax), used: n.MemoryUsed}
	}
	// By ID, whoever made the snapshot: where rules contradict each other the first counts.
	for _, r := range slices.SortedFunc(slices.Values(s.Inventory.Rules), func(a, b ha.Rule) int { return strings.Compare(a.ID, b.ID) }) {
		if r.Binds() {
			for _, sid := range r.Resources {
				w.rulesOf[sid] = append(w.rulesOf[sid], r)
			}
		}
	}
	for _, r := range s.Inventory.Resources {
		if r.State != ha.RequestIgnored {
			w.managed[r.SID] = r
		}
	}
	w.matchTargets()
	for k := range s.Reports {
		r := &s.Reports[k]
		if _, fresh := s.FreshReport(r.Node); !fresh {
			continue
		}
		w.fresh[r.Node] = r
		for _, g := range r.Running {
			w.processOn[g.SID] = append(w.processOn[g.SID], process{node: r.Node, guest: g})
		}
	}
	for _, t := range s.Inventory.Tasks {
		if t.ID != "" {
			w.tasksOf[t.ID] = append(w.tasksOf[t.ID], t)
		}
	}
	w.fillRooms()
	return w
}

// matchTargets finds the guest of each target, as Snapshot.GuestOf does, for all at once.
func (w *world) matchTargets() {
	byName := make(map[string][]ha.SID, len(w.Inventory.Guests))
	byID := make(map[int][]ha.SID, len(w.Inventory.Guests))
	for _, g := range w.Inventory.Guests {
		if !g.Template {
			byName[g.Name] = append(byName[g.Name], g.SID)
			byID[g.SID.ID] = append(byID[g.SID.ID], g.SID)
		}
	}
	for _, t := range w.Policy.Targets {
		found := byName[t.Name]
		if t.VMID != 0 {
			found = byID[t.VMID]
		}
		if t.Type != ha.TargetBare && len(found) == 1 {
			w.targetOf[found[0]] = t
		}
	}
}

// fillRooms counts every running guest where it is, and every moving one also where it
// goes: during a live migration both sides hold its memory.
func (w *world) fillRooms() {
	moving := func(moves []ha.Move) {
		for _, mv := range moves {
			if mv.Open() && mv.To != "" {
				w.incoming[mv.SID] = mv.To
				w.restarting[mv.SID] = mv.Method == ha.MethodRestart
			}
		}
	}
	for _, m := range w.Maintenances {
		moving(m.Moves)
	}
	for _, o := range w.Operations {
		moving(o.Moves)
	}
	for _, svc := range w.Inventory.HA.Services {
		if svc.Moving() && svc.Target != "" {
			w.incoming[svc.SID] = svc.Target
		}
	}
	for _, g := range w.Inventory.Guests {
		if g.Template || !w.holdsMemory(g) {
			continue
		}
		at := w.at(g)
		if r := w.nodes[at]; r != nil {
			r.assigned += g.MemoryMax
			r.guests++
		}
		if to := w.incoming[g.SID]; to != "" && to != at {
			w.reserve(to, g)
		}
	}
}

// reserve promises node the memory of g.
func (w *world) reserve(node ha.NodeName, g ha.Guest) {
	if r := w.nodes[node]; r != nil {
		r.assigned += g.MemoryMax
		r.used += memoryUsed(g)
		r.guests++
	}
}

// release takes a promise back.
func (w *world) release(node ha.NodeName, g ha.Guest) {
	if r := w.nodes[node]; r != nil {
		r.assigned -= g.MemoryMax
		r.used -= memoryUsed(g)
		r.guests--
	}
}

// memoryUsed is what a guest needs at once on a new node; an unknown use counts whole.
func memoryUsed(g ha.Guest) int64 {
	if g.MemoryUsed <= 0 {
		return g.MemoryMax
	}
	return g.MemoryUsed
}

// running tells whether a guest runs: by its process where its node's agent reports
// freshly, otherwise by the API, which calls guests of a dead node running for minutes.
func (w *world) running(g ha.Guest) bool {
	if len(w.processOn[g.SID]) > 0 {
		return true
	}
	if r, ok := w.FreshReport(g.Node); ok {
		if _, failed := r.Failed("guests"); !failed {
			// No process there. It may just be arriving elsewhere, which processOn
			// would have shown.
			return false
		}
	}
	return g.Running()
}

// holdsMemory tells whether a guest has to be given its memory where it is: it runs, or
// the HA manager is to have it running and will start it at any moment, or it is down only
// for its way to another node, at the end of which it is started.
func (w *world) holdsMemory(g ha.Guest) bool {
	if w.running(g) || w.restarting[g.SID] {
		return true
	}
	r, managed := w.resource(g.SID)
	if !managed || r.State != ha.RequestStarted {
		return false
	}
	svc, ok := w.Inventory.HA.Service(g.SID)
	return !ok || svc.State != ha.ServiceError
}

// at is where a guest is: where its process runs, or else where the API has it. The API
// lags a move by some seconds, the HA manager's answer by up to 20 s (series2
// recordings, surprise 5).
func (w *world) at(g ha.Guest) ha.NodeName {
	at := g.Node
	for _, p := range w.processOn[g.SID] {
		if p.guest.Incoming {
			continue
		}
		if p.node == g.Node {
			return g.Node
		}
		at = p.node
	}
	return at
}

// runsOn tells whether a fresh report of node shows the guest's own process there, not
// one that waits for a migration's state.
func (w *world) runsOn(sid ha.SID, node ha.NodeName) bool {
	return slices.ContainsFunc(w.processOn[sid], func(p process) bool { return p.node == node && !p.guest.Incoming })
}

// processAt tells whether a fresh report of node shows any process of the guest.
func (w *world) processAt(sid ha.SID, node ha.NodeName) bool {
	return slices.ContainsFunc(w.processOn[sid], func(p process) bool { return p.node == node })
}

// resource returns the HA configuration of a guest; false if the HA manager does not
// manage it, which "ignored" means too.
func (w *world) resource(sid ha.SID) (ha.Resource, bool) {
	r, ok := w.managed[sid]
	return r, ok
}

// online tells whether a node may be given guests or orders: a member of the quorate
// partition, and online to the HA manager where that has an opinion.
func (w *world) online(node ha.NodeName) bool {
	r := w.nodes[node]
	return r != nil && r.node.Online
}

// haState is what the HA manager holds of a node; "" if it holds nothing (HA never used).
func (w *world) haState(node ha.NodeName) string {
	n, _ := w.Inventory.HA.Node(node)
	return n.State
}

// FreshReport is Snapshot's, by a lookup instead of a search.
func (w *world) FreshReport(node ha.NodeName) (ha.Report, bool) {
	if r := w.fresh[node]; r != nil {
		return *r, true
	}
	return ha.Report{}, false
}

// config is what the guest's configuration says, from the agent of the node it lies on.
func (w *world) config(g ha.Guest) (ha.GuestConfig, bool) {
	if c, ok := w.configs[g.SID]; ok {
		return c, true
	}
	for _, node := range []ha.NodeName{w.at(g), g.Node} {
		if r := w.fresh[node]; r != nil {
			if c, ok := r.GuestConfig(g.SID); ok {
				w.configs[g.SID] = c
				return c, true
			}
		}
	}
	return ha.GuestConfig{}, false
}

// name is how people know a guest.
func (w *world) name(sid ha.SID) string {
	if t, ok := w.targetOf[sid]; ok {
		return t.Name
	}
	if g, ok := w.Inventory.Guest(sid); ok {
		return g.Name
	}
	return ""
}
