package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// rebalance brings every protected target to its preferred node, as the end of a
// maintenance does it for one node: only what fits, the largest first, as many at once as
// the administrator allows, the coordinator's own guest last. It ends when everything is
// home, or when nothing is left but what cannot come home, and says why.
func (w *world) rebalance(o ha.Operation) (ha.Operation, ha.Plan) {
	var p ha.Plan
	w.settleMoves(o.Moves)
	if g := w.moveGates(); len(g) > 0 {
		blockAll(&p, g)
		w.tellMoves(&o, p)
		return w.orGiveUp(o, p)
	}
	busy := w.movesUnderWay(o, &p)
	pending := false
	for _, own := range []bool{false, true} {
		for _, n := range w.Inventory.Nodes {
			list := slices.DeleteFunc(w.awayFrom(n.Name), func(a arrival) bool { return a.self != own })
			if len(list) == 0 || own && (pending || busy > 0) {
				continue
			}
			pending = true
			if g := w.returnGates(n.Name, list); len(g) > 0 {
				blockAll(&p, g)
				continue
			}
			m := standIn(o, n.Name)
			before := len(p.Actions)
			w.bringHome(homecoming{Maintenance: &m, list: list, again: "psw ha rebalance"}, &p, busy)
			o.Moves = m.Moves
			busy += len(p.Actions) - before
		}
	}
	w.tellMoves(&o, p)
	switch {
	case !pending && busy == 0:
		w.closeOperation(&o, ha.OperationDone, "")
	case busy == 0 && w.late(o):
		return w.orGiveUp(o, p)
	case busy == 0 && allBlocked(p):
		w.closeOperation(&o, ha.OperationFailed, "not everything is on its node: "+waitsText(p.Waits))
		return o, ha.Plan{}
	}
	return o, p
}

// swap says that another guest is on node, belongs where g is, and has no room there before
// g has left: each is in the other's way. Which of them may be moved twice is the
// operator's to say: a container is down each time.
func (w *world) swap(g ha.Guest, node ha.NodeName) (why, fix string) {
	at := w.at(g)
	if w.nodes[at] == nil {
		return "", ""
	}
	for _, x := range w.awayFrom(at) {
		if sid := x.guest.SID; x.managed && w.at(x.guest) == node && w.holdsMemory(x.guest) && w.nodes[at].lacks(x.guest.MemoryMax, memoryUsed(x.guest), false) != "" {
			return fmt.Sprintf("%s is there, belongs on %s, and does not fit there either: the two would have to swap, and neither can go first", w.label(sid), at),
				fmt.Sprintf("move one of them aside, to a node with room: `psw ha move %s NODE`, then `psw ha rebalance`", w.named(x.guest))
		}
	}
	return "", ""
}

// awayFrom lists the protected targets that belong on node and are elsewhere, by SID.
func (w *world) awayFrom(node ha.NodeName) []arrival {
	return w.homeward(ha.Maintenance{Node: node})
}

// standIn is a maintenance that carries an operation's moves, for what is written for both.
func standIn(o ha.Operation, node ha.NodeName) ha.Maintenance {
	return ha.Maintenance{ID: o.ID, Node: node, Phase: ha.Restoring, Moves: o.Moves,
		Options: ha.MaintenanceOptions{AllowOvercommit: o.Options.AllowOvercommit, Deadline: o.Options.Deadline}}
}

// moveGates are what forbids an operation to move guests now.
func (w *world) moveGates() []ha.Blocker {
	out := w.gates()
	if !w.InventoryFresh() {
		return out
	}
	return append(out, w.otherMaintenance("")...)
}

// movesUnderWay says what is being moved, by us or by the HA manager on its own account,
// and how much that is.
func (w *world) movesUnderWay(o ha.Operation, p *ha.Plan) int {
	n := 0
	for _, mv := range o.Moves {
		if mv.Open() {
			n++
			p.Wait(mv.SID.String(), "%s", moving(mv))
		}
	}
	for _, svc := range w.Inventory.HA.Services {
		ours := slices.ContainsFunc(o.Moves, func(mv ha.Move) bool { return mv.SID == svc.SID && mv.Open() })
		if svc.Moving() && !ours {
			n++
			p.Wait(svc.SID.String(), "the HA manager is moving it from %s to %s", svc.Node, svc.Target)
		}
	}
	return n
}

// tellMoves makes the steps of an operation say what its moves are and what the others
// wait for.
func (w *world) tellMoves(o *ha.Operation, p ha.Plan) {
	for _, mv := range o.Moves {
		st := stepOf(o, mv.SID.String())
		a := ha.Migrate{SID: mv.SID, From: mv.From, To: mv.To, Method: mv.Method, HA: mv.HA}
		st.Text, st.Command, st.Asked, st.Ref, st.Note = a.String(), a.Command(), mv.Asked, mv.UPID, ""
		st.Tries = 0
		for _, x := range o.Moves {
			if x.SID == mv.SID {
				st.Tries++
			}
		}
		switch {
		case mv.Open():
			st.State, st.Ended = ha.StepDoing, time.Time{}
		case mv.Failed != "":
			st.State, st.Ended, st.Note = ha.StepTodo, time.Time{}, mv.Failed
		default:
			st.State, st.Ended = ha.StepDone, mv.Done
			if mv.Downtime > 0 {
				st.Note = "down for " + mv.Downtime.Round(100*time.Millisecond).String()
			}
		}
	}
	for _, wait := range p.Waits {
		if k := slices.IndexFunc(o.Steps, func(st ha.OperationStep) bool { return st.Key == wait.Subject }); k >= 0 && o.Steps[k].State == ha.StepTodo {
			o.Steps[k].Note = wait.Reason
		}
	}
}

// allBlocked: nothing is asked for, and nothing that is waited for passes by itself.
func allBlocked(p ha.Plan) bool {
	return len(p.Actions) == 0 && !slices.ContainsFunc(p.Waits, func(x ha.Wait) bool { return !x.Blocked })
}

func waitsText(list []ha.Wait) string {
	parts := make([]string, len(list))
	for k, x := range list {
		if parts[k] = x.String(); x.Fix != "" {
			parts[k] += "; " + x.Fix
		}
	}
	return strings.Join(parts, "; ")
}

// PreviewRebalance says what would be moved where, what fits, and what forbids it.
func PreviewRebalance(o ha.Operation, s ha.Snapshot) ha.Preview {
	w := newWorld(s)
	v := ha.Preview{Blockers: w.moveGates()}
	if !w.InventoryFresh() {
		return v
	}
	before := w.fit(nil)
	for _, n := range w.Inventory.Nodes {
		list := w.awayFrom(n.Name)
		if len(list) == 0 {
			continue
		}
		for _, g := range w.returnGates(n.Name, list) {
			v.Notices = append(v.Notices, fmt.Sprintf("nothing comes home to %s: %s; %s", n.Name, g.Reason, g.Fix))
			list = nil
		}
		m := standIn(o, n.Name)
		for _, a := range list {
			st, command, notice := w.homeStep(homecoming{Maintenance: &m, again: "psw ha rebalance"}, a)
			if notice != "" {
				v.Notices = append(v.Notices, notice)
			}
			if command != "" {
				v.Commands = append(v.Commands, command)
			}
			v.Steps = append(v.Steps, st)
		}
	}
	v.Fit = w.fit(before)
	w.leaveRooms(&v)
	v.Estimate = w.estimate(v.Steps)
	return v
}
