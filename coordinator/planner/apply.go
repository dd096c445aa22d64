package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// writesPerTick bounds what a registration asks of Proxmox before it looks again. Every
// write takes the cluster-wide lock of the HA configuration for a moment, one after the
// other, and the HA manager needs it too: so there are pauses. A new target costs two
// writes, so 200 of them are 400 writes in 16 ticks, and nine reads a tick: 544 calls.
const writesPerTick = 25

// apply registers what the operation's policy declares. Every tick plans anew from what is
// registered then, so that what somebody edits meanwhile is taken as it is.
func (w *world) apply(o ha.Operation) (ha.Operation, ha.Plan) {
	if g := w.applyGates(); len(g) > 0 {
		var p ha.Plan
		blockAll(&p, g)
		return w.orGiveUp(o, p)
	}
	p, r, over := w.applySteps(&o)
	if over {
		w.endApply(&o, r)
		return o, ha.Plan{}
	}
	return w.orGiveUp(o, p)
}

// applySteps brings the steps of a registration one tick further, and reports whether all
// of them are over.
func (w *world) applySteps(o *ha.Operation) (p ha.Plan, r *registration, over bool) {
	r = w.registration()
	p.Waits = r.waits.Waits
	due := make(map[string]bool)
	held := false // a stage is not over yet: the next ones wait for it
	for _, list := range r.deeds {
		over := true
		for _, d := range list {
			key := d.change.Subject
			due[key] = true
			st := stepOf(o, key)
			st.Text, st.Command = d.change.Text, d.change.Command
			if !held && len(p.Actions) < writesPerTick {
				w.ask(o, &p, key, d.action)
			}
			over = over && stepOf(o, key).State == ha.StepFailed
		}
		held = held || !over
	}
	for k := range o.Steps {
		if st := &o.Steps[k]; !due[st.Key] && !st.State.Over() {
			w.seen(o, st.Key)
		}
	}
	for _, c := range r.as {
		st := stepOf(o, c.Subject)
		st.Text = c.Text
		w.seen(o, c.Subject)
	}
	return p, r, !slices.ContainsFunc(o.Steps, func(st ha.OperationStep) bool { return !st.State.Over() })
}

// endApply ends a registration that has nothing left to do: well, unless Proxmox refused
// something for good. What cannot be registered yet, because its guest is not there, is
// left out and says so; the rest is protected all the same.
func (w *world) endApply(o *ha.Operation, r *registration) {
	w.leaveOut(o, r)
	var failed []string
	for _, st := range o.Steps {
		if st.State == ha.StepFailed {
			failed = append(failed, st.Key+": "+st.Note)
		}
	}
	if failed != nil {
		w.closeOperation(o, ha.OperationFailed, strings.Join(failed, "; "))
		return
	}
	w.closeOperation(o, ha.OperationDone, "")
}

// orGiveUp ends an operation whose deadline has passed while it waits.
func (w *world) orGiveUp(o ha.Operation, p ha.Plan) (ha.Operation, ha.Plan) {
	if !w.late(o) || len(p.Actions) > 0 {
		return o, p
	}
	why := "the deadline has passed"
	if len(p.Waits) > 0 {
		why += ", and it waits: " + p.Waits[0].String()
	}
	w.closeOperation(&o, ha.OperationFailed, why)
	return o, ha.Plan{}
}

// leaveOut is a step for everything that cannot be registered yet.
func (w *world) leaveOut(o *ha.Operation, r *registration) {
	for _, wait := range r.waits.Waits {
		st := stepOf(o, ha.LeftOutPrefix+wait.Subject)
		st.State, st.Ended = ha.StepSkipped, w.At
		st.Text, st.Note = st.Key, wait.Reason+"; "+wait.Fix
	}
}

// applyGates are what forbids changing the registration now.
func (w *world) applyGates() []ha.Blocker {
	out := w.gates()
	if !w.InventoryFresh() {
		return out
	}
	for _, m := range w.Maintenances {
		if !m.Phase.Closed() {
			out = append(out, ha.Blocker{Code: codeOtherMaintenance, Subject: string(m.Node),
				Reason: fmt.Sprintf("it is in maintenance (%s): what is registered now, the HA manager moves at once", m.Phase),
				Fix:    fmt.Sprintf("end it first: `psw maintenance end %s`", m.Node)})
		}
	}
	if why, fix := w.unreadable(); why != "" {
		out = append(out, ha.Blocker{Code: codeRegistrationUnknown, Subject: "cluster", Reason: why, Fix: fix})
	}
	return out
}

// PreviewApply says what registering what the policy declares would do, and what forbids
// it as a whole. What forbids a single target stands in the plan's waits.
func PreviewApply(s ha.Snapshot) (ha.PlanView, []ha.Blocker) {
	v, blockers := RegistrationView(s), newWorld(s).applyGates()
	v.Waits = slices.DeleteFunc(v.Waits, func(x ha.Wait) bool {
		return slices.ContainsFunc(blockers, func(b ha.Blocker) bool { return b.Subject == x.Subject && b.Reason == x.Reason })
	})
	return v, blockers
}
