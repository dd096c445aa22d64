package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The steps of a move past the HA manager, around the move itself.
const (
	stepIgnore = "ignore"
	stepManage = "manage"
)

// move brings one guest to a node. A guest of the HA manager is moved by the HA manager;
// where that cannot, or the operator says so, past it: the HA manager is told to ignore the
// guest, it is migrated, and its request state is put back, whether the migration went
// well or not and whoever crashed in between: what it was is stored before it is changed.
// While it is ignored nothing protects the guest, and the operation says so.
func (w *world) move(o ha.Operation) (ha.Operation, ha.Plan) {
	var p ha.Plan
	w.settleMoves(o.Moves)
	g, why := w.guestNamed(o.Target)
	if why != "" {
		w.closeOperation(&o, ha.OperationFailed, why)
		return o, p
	}
	gates := w.gates()
	if disarmedOnly(gates) && w.manually(o, g) != "" {
		gates = nil // ignored is ignored, armed or not
	}
	if len(gates) > 0 {
		blockAll(&p, gates)
		return w.orGiveUp(o, p)
	}
	res, registered := w.Inventory.Resource(g.SID)
	arrived := w.at(g) == o.Options.To && !w.open(o, g.SID)
	failed := w.movedInVain(o, g)
	if o.Was != "" && registered && (arrived || failed != "" || w.late(o) && !w.open(o, g.SID)) {
		return w.manageAgain(o, g, res, arrived, failed)
	}
	switch {
	case arrived:
		w.tellMoves(&o, p)
		w.closeOperation(&o, ha.OperationDone, "")
		return o, p
	case failed != "":
		w.tellMoves(&o, p)
		w.closeOperation(&o, ha.OperationFailed, failed)
		return o, p
	case o.Was == "" && registered && res.State != ha.RequestIgnored && w.manually(o, g) != "":
		o.Was = res.State
	}
	if o.Was != "" && !registered {
		o.Was = "" // somebody took it out of HA altogether: there is nothing to put back
	}
	if o.Was != "" && !w.ignored(&o, &p, g, res) {
		return o, p
	}
	busy := w.movesUnderWay(o, &p)
	m := standIn(o, o.Options.To)
	a := arrival{guest: g, running: w.running(g), self: !w.Coordinator.Guest.IsZero() && w.Coordinator.Guest == g.SID}
	_, a.managed = w.resource(g.SID)
	if gs := w.unfitFor(o.Options.To, []arrival{a}); len(gs) > 0 {
		blockAll(&p, gs)
	} else {
		w.bringHome(homecoming{Maintenance: &m, list: []arrival{a}, again: w.moveAgain(o), asked: true}, &p, busy)
		o.Moves = m.Moves
	}
	w.tellMoves(&o, p)
	if allBlocked(p) && busy == 0 && o.Was == "" {
		w.closeOperation(&o, ha.OperationFailed, waitsText(p.Waits))
		return o, ha.Plan{}
	}
	return w.orGiveUp(o, p)
}

func (w *world) moveAgain(o ha.Operation) string {
	return fmt.Sprintf("psw ha move %s %s", o.Target, o.Options.To)
}

func disarmedOnly(list []ha.Blocker) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(b ha.Blocker) bool { return b.Code != codeDisarmed })
}

// open reports whether a move of the guest has an outcome nobody knows yet.
func (w *world) open(o ha.Operation, sid ha.SID) bool {
	m := standIn(o, "")
	_, open := m.OpenMove(sid)
	return open
}

// movedInVain says why a guest is given up on: as many failures as make a wait of a drain
// one for somebody to look at.
func (w *world) movedInVain(o ha.Operation, g ha.Guest) string {
	if f := failures(standIn(o, ""), g.SID); len(f) >= triesBlocked {
		return fmt.Sprintf("%d tries failed, the last: %s", len(f), f[len(f)-1].Failed)
	}
	return ""
}

// manually says why a guest of the HA manager is moved past it; "" if the HA manager is to
// do it.
func (w *world) manually(o ha.Operation, g ha.Guest) string {
	if _, managed := w.resource(g.SID); !managed && o.Was == "" {
		return ""
	}
	svc, known := w.Inventory.HA.Service(g.SID)
	switch armed := w.Inventory.HA.Armed; {
	case o.Was != "":
		return "it was begun so"
	case o.Options.Manual:
		return "you asked for it"
	case armed == "disarmed" || armed == "disarming":
		return "HA is " + armed + ", and takes requests without acting on them"
	case known && svc.State == ha.ServiceFreeze:
		return "the HA manager has frozen it"
	case w.Inventory.HA.Master == "":
		return "no CRM is master"
	}
	return ""
}

// ignored makes sure that the HA manager does not care for the guest, and reports whether
// it has let go of it.
func (w *world) ignored(o *ha.Operation, p *ha.Plan, g ha.Guest, res ha.Resource) bool {
	st := stepOf(o, stepIgnore)
	st.Text = fmt.Sprintf("have the HA manager ignore %s", g.SID)
	_, known := w.Inventory.HA.Service(g.SID)
	switch {
	case res.State != ha.RequestIgnored && st.State.Over():
		w.closeOperation(o, ha.OperationFailed, fmt.Sprintf("somebody has made its request state %s meanwhile", res.State))
		o.Was = ""
		return false
	case res.State != ha.RequestIgnored:
		w.ask(o, p, stepIgnore, withState(res, ha.RequestIgnored))
		if st := stepOf(o, stepIgnore); st.State == ha.StepFailed {
			w.closeOperation(o, ha.OperationFailed, "the HA manager cannot be made to ignore it: "+st.Note)
		}
		return false
	}
	w.seen(o, stepIgnore)
	if asleep := w.Inventory.HA.Master == "" || w.Inventory.HA.Armed == "disarmed"; known && !asleep {
		p.Wait(w.label(g.SID), "waiting for the HA manager to let go of it")
		return false
	}
	p.Wait(w.label(g.SID), "the HA manager ignores it until it is on %s: nothing protects it", o.Options.To)
	return true
}

// manageAgain puts the request state back, looks that it is, and ends.
func (w *world) manageAgain(o ha.Operation, g ha.Guest, res ha.Resource, arrived bool, failed string) (ha.Operation, ha.Plan) {
	var p ha.Plan
	w.tellMoves(&o, p)
	if res.State == ha.RequestIgnored && o.Was != ha.RequestIgnored {
		stepOf(&o, stepManage).Text = fmt.Sprintf("have the HA manager keep %s %s again", g.SID, o.Was)
		w.ask(&o, &p, stepManage, withState(res, o.Was))
		if st := stepOf(&o, stepManage); st.State == ha.StepFailed {
			st.State, st.Tries = ha.StepTodo, 1 // it goes on trying: it must not end unprotected
			p.Block(w.label(g.SID), "it is still ignored by the HA manager, nothing protects it: "+st.Note,
				fmt.Sprintf("`ha-manager set %s --state %s`", g.SID, o.Was))
		}
		return o, p
	}
	w.seen(&o, stepManage)
	switch {
	case arrived:
		w.closeOperation(&o, ha.OperationDone, "")
	default:
		w.closeOperation(&o, ha.OperationFailed, cmp.Or(failed, "the deadline has passed"))
	}
	return o, p
}

// cancelMove lets what is under way land and puts the request state back.
func (w *world) cancelMove(o ha.Operation) (ha.Operation, ha.Plan) {
	var p ha.Plan
	w.settleMoves(o.Moves)
	g, why := w.guestNamed(o.Target)
	if why == "" && w.open(o, g.SID) {
		w.movesUnderWay(o, &p)
		w.tellMoves(&o, p)
		return o, p
	}
	if res, registered := w.Inventory.Resource(g.SID); why == "" && registered && o.Was != "" && res.State == ha.RequestIgnored {
		next, p := w.manageAgain(o, g, res, false, "given up")
		if next.Closed() {
			next.Outcome = ha.OperationCancelled
		}
		return next, p
	}
	w.tellMoves(&o, p)
	if st, ok := o.Step(stepManage); ok && !st.Asked.IsZero() {
		w.seen(&o, stepManage)
	}
	w.closeOperation(&o, ha.OperationCancelled, "given up")
	return o, p
}

// claimed forbids moving a guest that an open maintenance takes away or brings home, or to
// the node that it empties: the two would move it in turn.
func (w *world) claimed(g ha.Guest, to ha.NodeName) []ha.Blocker {
	var out []ha.Blocker
	for _, m := range w.Maintenances {
		emptied := to == m.Node && m.Phase != ha.Restoring
		if m.Phase.Closed() || !emptied && w.at(g) != m.Node && !slices.ContainsFunc(w.homeward(m), func(a arrival) bool { return a.guest.SID == g.SID }) {
			continue
		}
		out = append(out, ha.Blocker{Code: codeOtherMaintenance, Subject: string(m.Node),
			Reason: fmt.Sprintf("it is in maintenance (%s), which moves %s itself, or would", m.Phase, w.label(g.SID)),
			Fix:    fmt.Sprintf("end it first: `psw maintenance end %s`, or give it up: `psw maintenance cancel %s`", m.Node, m.Node)})
	}
	return out
}

// PreviewMove says how a guest would be moved, and what forbids it.
func PreviewMove(o ha.Operation, s ha.Snapshot) ha.Preview {
	w := newWorld(s)
	v := ha.Preview{Node: o.Options.To, Blockers: w.gates()}
	if !w.InventoryFresh() {
		return v
	}
	g, why := w.guestNamed(o.Target)
	if why != "" {
		v.Blockers = append(v.Blockers, ha.Blocker{Code: codeTargetUnclear, Subject: o.Target, Reason: why, Fix: "`psw ha status` lists the targets"})
		return v
	}
	v.Blockers = append(v.Blockers, w.claimed(g, o.Options.To)...)
	manual := w.manually(o, g)
	if manual != "" {
		v.Blockers = slices.DeleteFunc(v.Blockers, func(b ha.Blocker) bool { return b.Code == codeDisarmed })
	}
	a := arrival{guest: g, running: w.running(g)}
	_, a.managed = w.resource(g.SID)
	v.Blockers = append(v.Blockers, w.unfitFor(o.Options.To, []arrival{a})...)
	before := w.fit(nil)
	m := standIn(o, o.Options.To)
	if w.nodes[o.Options.To] == nil || w.at(g) == o.Options.To {
		return v
	}
	a.managed = a.managed && manual == ""
	home := homecoming{Maintenance: &m, again: w.moveAgain(o), asked: true}
	why, blocked, fix := w.notHomeYet(home, a, 0)
	if blocked {
		v.Blockers = append(v.Blockers, ha.Blocker{Code: codeRuleForbids, Subject: w.label(g.SID), Reason: why, Fix: fix})
	}
	st, command, _ := w.homeStep(home, a)
	st.Reason = "you asked for it"
	v.Steps = []ha.Step{st}
	res, _ := w.Inventory.Resource(g.SID)
	switch {
	case command == "":
	case manual != "":
		ignore := withState(res, ha.RequestIgnored)
		v.Commands = []string{ignore.Command(), command, withState(ignore.Resource, res.State).Command()}
		v.Notices = append(v.Notices, fmt.Sprintf("it is moved past the HA manager: %s; until it is there nothing protects %s", manual, w.label(g.SID)))
	default:
		v.Commands = []string{command}
	}
	v.Estimate = w.estimate(v.Steps)
	v.Fit = w.fit(before)
	w.leaveRooms(&v)
	return v
}
