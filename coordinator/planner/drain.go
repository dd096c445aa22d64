package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Step is one step of a maintenance: it looks at the snapshot, records what became of
// what was asked, and plans what to do now. It changes nothing but its results. It
// panics on a phase it does not know.
func Step(m ha.Maintenance, s ha.Snapshot) (ha.Maintenance, ha.Plan) {
	m = m.Clone()
	w := newWorld(s)
	if w.InventoryFresh() {
		w.settle(&m)
	}
	if w.left(m) {
		return w.part(m)
	}
	switch m.Phase {
	case ha.Requested:
		if m.Cancelling {
			return w.cancel(m)
		}
		return w.drain(m.Advance(ha.Draining))
	case ha.Draining:
		if m.Cancelling {
			return w.cancel(m)
		}
		return w.drain(m)
	case ha.Drained:
		if m.Cancelling {
			return w.cancel(m)
		}
		return w.keep(m)
	case ha.Restoring:
		return w.restore(m)
	case ha.Ended, ha.Cancelled:
		return m, ha.Plan{}
	}
	panic("maintenance " + m.ID + " is in an unknown phase: " + string(m.Phase))
}

// drain empties the node: our moves first, in our order, then the latch, which takes
// along what the HA manager would bring back, and keeps the node empty.
func (w *world) drain(m ha.Maintenance) (ha.Maintenance, ha.Plan) {
	var p ha.Plan
	if n, ok := w.Inventory.Node(m.Node); w.InventoryFresh() && ok && !n.Online {
		p.Wait(string(m.Node), "it went offline during its drain: Proxmox's HA manager restarts its HA guests elsewhere")
		return m, p
	}
	if g := w.drainGates(m.Node, false); len(g) > 0 {
		blockAll(&p, g)
		return m, p
	}
	list := w.departures(m.Node, m.Options)
	w.remember(&m, list)
	busy := w.waitForMoves(&m, &p)
	if deadline := m.Options.Deadline; !deadline.IsZero() && !w.At.Before(deadline) {
		if len(departing(list)) > 0 {
			p.Block(string(m.Node), "the deadline has passed: nothing new is begun",
				fmt.Sprintf("`psw maintenance start %s --deadline 30m` goes on, `psw maintenance cancel %s` gives up", m.Node, m.Node))
			return m, p
		}
	}
	pending := w.depart(&m, &p, list, busy)
	if pending || busy > 0 {
		return m, p
	}
	return w.latch(m, p, list)
}

// departing are the guests that still have to leave or stop.
func departing(list []departure) []departure {
	var out []departure
	for _, d := range list {
		if d.method != ha.MethodStays {
			out = append(out, d)
		}
	}
	return out
}

// remember notes where the guests of the node belong, once.
func (w *world) remember(m *ha.Maintenance, list []departure) {
	for _, d := range list {
		if _, known := m.Home(d.guest.SID); known || d.left && d.method == ha.MethodStays {
			continue
		}
		home := ha.Home{SID: d.guest.SID, Name: cmp.Or(d.target.Name, d.guest.Name), Node: m.Node, Was: m.Node, Running: d.running}
		if d.target.Node != "" {
			home.Node = d.target.Node
		}
		k, _ := slices.BinarySearchFunc(m.Homes, d.guest.SID, func(h ha.Home, s ha.SID) int { return h.SID.Compare(s) })
		m.Homes = slices.Insert(m.Homes, k, home)
	}
}

// waitForMoves says what is under way and returns how many moves that is, ours and those
// the HA manager makes from this node on its own account.
func (w *world) waitForMoves(m *ha.Maintenance, p *ha.Plan) int {
	n := 0
	for _, mv := range m.Moves {
		if mv.Open() {
			n++
			p.Wait(mv.SID.String(), "%s", moving(mv))
		}
	}
	for _, svc := range w.Inventory.HA.Services {
		if _, ours := m.OpenMove(svc.SID); ours || !svc.Moving() || svc.Node != m.Node && svc.Target != m.Node {
			continue
		}
		n++
		p.Wait(svc.SID.String(), "the HA manager is moving it from %s to %s", svc.Node, svc.Target)
	}
	return n
}

func moving(mv ha.Move) string {
	switch mv.Method {
	case ha.MethodStop:
		return "shutting down on " + string(mv.From)
	case ha.MethodStart:
		return "starting on " + string(mv.From)
	case ha.MethodRestart:
		return fmt.Sprintf("restarting from %s on %s", mv.From, mv.To)
	case ha.MethodOffline:
		return fmt.Sprintf("its configuration is moving from %s to %s", mv.From, mv.To)
	default:
		return fmt.Sprintf("moving live from %s to %s", mv.From, mv.To)
	}
}

// depart asks for as many moves as may run at once. It reports whether anything still
// has to happen before the latch.
func (w *world) depart(m *ha.Maintenance, p *ha.Plan, list []departure, busy int) (pending bool) {
	var self []departure
	var go_ []departure
	for _, d := range list {
		switch {
		case d.blocker != nil:
			pending = true
			p.Block(d.blocker.Subject, d.blocker.Reason, d.blocker.Fix)
		case d.method == ha.MethodStays, d.bounces:
		case d.self:
			self = append(self, d)
		default:
			go_ = append(go_, d)
		}
	}
	if len(go_)+len(self) == 0 {
		return pending
	}
	placed, reasons := w.destinations(*m, append(slices.Clone(go_), self...))
	slots := w.slots() - busy
	for _, d := range go_ {
		pending = true
		if w.begin(m, p, d, placed, reasons, slots > 0) {
			slots--
			busy++
		}
	}
	for _, d := range self {
		if len(go_) > 0 || busy > 0 || pending {
			p.Wait(d.guest.SID.String(), "the coordinator runs in it: it goes last")
			pending = true
			continue
		}
		pending = true
		w.begin(m, p, d, placed, reasons, slots > 0)
	}
	return pending
}

// slots is how many moves may run at once: as many as the administrator lets an LRM run.
func (w *world) slots() int {
	if w.Inventory.Options.MaxWorkers > 0 {
		return w.Inventory.Options.MaxWorkers
	}
	return 4 // Proxmox's default
}

// destinations finds places for what moves. It returns them and, for what finds none, why.
func (w *world) destinations(m ha.Maintenance, list []departure) (map[ha.SID]ha.NodeName, map[ha.SID]string) {
	var units []*unit
	seen := make(map[ha.SID]bool)
	byID := make(map[ha.SID]departure, len(list))
	for _, d := range list {
		byID[d.guest.SID] = d
	}
	for _, d := range list {
		if _, open := m.OpenMove(d.guest.SID); open || seen[d.guest.SID] || d.method == ha.MethodStop {
			continue
		}
		u := w.unit(w.set(d, byID, seen), m.Node, failedAt(m, d.guest.SID), d.bounces)
		units = append(units, u)
	}
	placed, none := w.place(units, m.Options.AllowOvercommit)
	why := make(map[ha.SID]string)
	for _, x := range none {
		for _, g := range x.unit.guests {
			why[g.SID] = "no node can take it: " + summary(x.reasons)
		}
	}
	return placed, why
}

// set returns the guests that leave together with d: the members of its positive-affinity
// set that are on the same list. If members already live elsewhere, the set's new node is
// theirs, since the HA manager would pull them along.
func (w *world) set(d departure, byID map[ha.SID]departure, seen map[ha.SID]bool) []ha.Guest {
	var guests []ha.Guest
	for _, sid := range w.together(d.guest.SID) {
		if other, ok := byID[sid]; ok && !seen[sid] && other.method != ha.MethodStop {
			seen[sid] = true
			guests = append(guests, other.guest)
		}
	}
	return guests
}

func summary(reasons []string) string {
	const most = 6 // a sentence, not a table
	if len(reasons) == 0 {
		return "there is no other node"
	}
	if len(reasons) > most {
		return strings.Join(reasons[:most], "; ") + fmt.Sprintf("; and %d more", len(reasons)-most)
	}
	return strings.Join(reasons, "; ")
}

// begin asks for one departure if it may go now; otherwise it says why not. It reports
// whether it was begun.
func (w *world) begin(m *ha.Maintenance, p *ha.Plan, d departure, placed map[ha.SID]ha.NodeName, why map[ha.SID]string, slot bool) bool {
	sid := d.guest.SID
	if _, open := m.OpenMove(sid); open {
		return false
	}
	if svc, ok := w.Inventory.HA.Service(sid); ok && d.managed && (svc.Moving() || svc.Command != "") {
		return false // waitForMoves has said so
	}
	if t, busy := w.atWork(sid); busy {
		p.Wait(sid.String(), "a %s task is at work on it since %s", t.Type, t.Started.Format(time.TimeOnly))
		return false
	}
	if other := w.movedFor(m, sid); other != "" {
		p.Wait(sid.String(), "it is being moved for %s", other)
		return false
	}
	to := placed[sid]
	if reason := why[sid]; reason != "" {
		p.Block(sid.String(), reason, placeFix(sid, reason))
		return false
	}
	if f := failures(*m, sid); len(f) > 0 {
		last := f[len(f)-1]
		if rest := resting(*m, sid, w.At); rest > 0 {
			text := fmt.Sprintf("try %d failed: %s; next try in %s", len(f), last.Failed, short(rest))
			if len(f) >= triesBlocked {
				p.Block(sid.String(), text, fmt.Sprintf("mend the cause, then `psw maintenance start %s` tries at once", m.Node))
			} else {
				p.Wait(sid.String(), "%s", text)
			}
			return false
		}
	}
	if !slot {
		p.Wait(sid.String(), "its turn")
		return false
	}
	if leader, along := w.ledBy(m, sid, to); along {
		p.Wait(sid.String(), "moves along with %s", leader)
		return false
	}
	mv := ha.Move{SID: sid, Method: d.method, From: m.Node, To: to, HA: d.managed, Asked: w.At}
	switch d.method {
	case ha.MethodStop:
		mv.To = ""
		p.Do(ha.Shutdown{SID: sid, Node: m.Node, HA: d.managed})
	default:
		p.Do(ha.Migrate{SID: sid, From: m.Node, To: to, Method: d.method, HA: d.managed})
	}
	m.Moves = append(m.Moves, mv)
	return true
}

// ledBy tells whether an open move takes sid along: the HA manager gives the same command
// to every member of a positive-affinity set.
func (w *world) ledBy(m *ha.Maintenance, sid ha.SID, to ha.NodeName) (ha.SID, bool) {
	for _, peer := range w.together(sid) {
		if peer == sid {
			continue
		}
		if mv, open := m.OpenMove(peer); open && mv.To == to && mv.HA {
			return peer, true
		}
	}
	return ha.SID{}, false
}

// placeFix says what helps when no node can take a guest.
func placeFix(sid ha.SID, reason string) string {
	if strings.Contains(reason, " is free") {
		return fmt.Sprintf("free memory elsewhere, or set `maintenance: stop` for %s in network.yml; --allow-overcommit ignores assigned memory", sid)
	}
	return "see what is wrong with the other nodes: `psw ha check`"
}
