package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The steps of a recovery, in their order.
const (
	stepDisable = "disable"
	stepMend    = "mend"
	stepEnable  = "enable"
)

// recoverSettleMax is how long a target that was put under HA again may take to run: a CRM
// round, an LRM round, and the start of a guest.
const recoverSettleMax = 5 * time.Minute

// recover leads a target out of the HA manager's error state, the way Proxmox documents:
// disabled, which is the only thing it takes of a resource in error; mended by the
// operator; enabled. While the guest is disabled nothing protects it, so that the operation
// stays open and says so until somebody has said that it is mended, or gives up.
func (w *world) recover(o ha.Operation) (ha.Operation, ha.Plan) {
	var p ha.Plan
	if g := w.gates(); len(g) > 0 {
		blockAll(&p, g)
		return o, p
	}
	g, res, why := w.resourceOf(o.Target)
	if why != "" {
		w.closeOperation(&o, ha.OperationFailed, why)
		return o, p
	}
	svc, known := w.Inventory.HA.Service(g.SID)
	inError := known && svc.State == ha.ServiceError
	if o.Was == "" {
		o.Was = res.State
	}
	back := ha.RequestStarted
	if o.Was == ha.RequestStopped {
		back = ha.RequestStopped // it was its stop that failed: it was to be stopped
	}
	for _, st := range []ha.OperationStep{
		{Key: stepDisable, Text: "disable it, so that the HA manager lets go of it"},
		{Key: stepMend, Text: "mend what led it into error; that is yours to do"},
		{Key: stepEnable, Text: fmt.Sprintf("have it %s again, and see that it is", back)},
	} {
		stepOf(&o, st.Key).Text = st.Text
	}
	enabled := *stepOf(&o, stepEnable)
	switch {
	case enabled.Asked.IsZero() && inError && res.State != ha.RequestDisabled:
		w.ask(&o, &p, stepDisable, withState(res, ha.RequestDisabled))
	case enabled.Asked.IsZero() && inError:
		w.seen(&o, stepDisable)
		p.Wait(w.label(g.SID), "waiting for the HA manager to let go of it")
	case enabled.Asked.IsZero() && res.State != ha.RequestDisabled && stepOf(&o, stepDisable).Asked.IsZero():
		w.closeOperation(&o, ha.OperationDone, "it is not in error any more")
	case enabled.Asked.IsZero() && res.State != ha.RequestDisabled:
		w.closeOperation(&o, ha.OperationDone, fmt.Sprintf("somebody else has made its request state %s", res.State))
	case enabled.Asked.IsZero():
		w.mend(&o, &p, g, res, back)
	default:
		w.enabled(&o, &p, g, res, back)
	}
	if st := stepOf(&o, stepDisable); st.State == ha.StepFailed {
		w.closeOperation(&o, ha.OperationFailed, "it could not be disabled: "+st.Note)
	}
	return o, p
}

// mend waits for the operator's word that the cause is gone, and for what can be seen of
// it, and then enables.
func (w *world) mend(o *ha.Operation, p *ha.Plan, g ha.Guest, res ha.Resource, back ha.RequestState) {
	w.seen(o, stepDisable)
	mend := stepOf(o, stepMend)
	if faults := w.faults(g); len(faults) > 0 {
		mend.State = ha.StepDoing
		for _, f := range faults {
			p.Block(f.Subject, f.Reason, f.Fix)
		}
		if o.Options.Mended {
			p.Block(w.label(g.SID), "it is not enabled yet, though you say it is mended", "the lines above say what is still wrong")
		}
	}
	if !o.Options.Mended {
		mend.State = ha.StepDoing
		p.Block(w.label(g.SID), "it is disabled, and nothing protects it, until you have mended it and said so",
			fmt.Sprintf("`psw ha recover %s --mended` enables it; why it failed: `journalctl -u pve-ha-lrm` on %s", o.Target, w.at(g)))
	}
	if len(p.Waits) > 0 {
		return
	}
	mend.State, mend.Ended = ha.StepDone, w.At
	w.ask(o, p, stepEnable, withState(res, back))
}

// enabled waits until the target is as it was to be.
func (w *world) enabled(o *ha.Operation, p *ha.Plan, g ha.Guest, res ha.Resource, back ha.RequestState) {
	st := stepOf(o, stepEnable)
	svc, known := w.Inventory.HA.Service(g.SID)
	switch {
	case res.State == ha.RequestDisabled:
		w.ask(o, p, stepEnable, withState(res, back))
		if st := stepOf(o, stepEnable); st.State == ha.StepFailed {
			w.closeOperation(o, ha.OperationFailed, "it is still disabled, and could not be enabled: "+st.Note)
		}
	case known && svc.State == ha.ServiceError:
		st.State, st.Ended, st.Note = ha.StepFailed, w.At, "it is in error again"
		w.closeOperation(o, ha.OperationFailed, fmt.Sprintf("it is in error again: the cause is still there; `journalctl -u pve-ha-lrm` on %s", svc.Node))
	case back == ha.RequestStopped && known && svc.State == ha.ServiceStopped,
		back == ha.RequestStarted && known && svc.State == ha.ServiceStarted && w.runsOn(g.SID, svc.Node):
		w.seen(o, stepEnable)
		w.closeOperation(o, ha.OperationDone, "")
	case w.At.Sub(st.Asked) > recoverSettleMax:
		w.closeOperation(o, ha.OperationFailed, fmt.Sprintf("it is enabled, but after %s it is not %s: `psw ha explain %s`", short(recoverSettleMax), back, o.Target))
	default:
		p.Wait(w.label(g.SID), "waiting until it is %s (the HA manager: %s)", back, cmp.Or(svc.State, "not taken up yet"))
	}
}

// cancelRecover says what state a recovery leaves behind: it cannot put a resource back into
// error, and enabling it is what the operator has not asked for.
func (w *world) cancelRecover(o ha.Operation) (ha.Operation, ha.Plan) {
	reason := "given up"
	if g, res, why := w.resourceOf(o.Target); why == "" && res.State == ha.RequestDisabled {
		reason = fmt.Sprintf("given up; %s stays disabled and nothing protects it: `psw ha recover %s` goes on when it is mended, or `ha-manager set %s --state started`", o.Target, o.Target, g.SID)
	}
	w.closeOperation(&o, ha.OperationCancelled, reason)
	return o, ha.Plan{}
}

// PreviewRecover says how a target would be led out of error, and what forbids it.
func PreviewRecover(o ha.Operation, s ha.Snapshot) ha.Preview {
	w := newWorld(s)
	v := ha.Preview{Blockers: w.gates()}
	if !w.InventoryFresh() {
		return v
	}
	refuse := func(code ha.Code, reason, fix string) {
		v.Blockers = append(v.Blockers, ha.Blocker{Code: code, Subject: o.Target, Reason: reason, Fix: fix})
	}
	g, res, why := w.resourceOf(o.Target)
	if why != "" {
		refuse(codeTargetUnclear, why, "`psw ha plan` shows what is registered")
		return v
	}
	svc, _ := w.Inventory.HA.Service(g.SID)
	if svc.State != ha.ServiceError && res.State != ha.RequestDisabled {
		refuse(codeNotInError, fmt.Sprintf("it is not in error: the HA manager has it in state %s", cmp.Or(svc.State, "none")), fmt.Sprintf("`psw ha explain %s` says why it is not as it should be", o.Target))
		return v
	}
	back := ha.RequestStarted
	if res.State == ha.RequestStopped {
		back = ha.RequestStopped
	}
	disable := withState(res, ha.RequestDisabled)
	v.Commands = []string{disable.Command(), fmt.Sprintf("# mend %s", g.SID), withState(disable.Resource, back).Command()}
	v.Notices = append(v.Notices, fmt.Sprintf("while %s is disabled the HA manager stops it and nothing protects it", w.label(g.SID)))
	if len(svc.FailedNodes) > 0 {
		v.Notices = append(v.Notices, "it failed on "+joinNodes(slices.Compact(slices.Sorted(slices.Values(svc.FailedNodes)))))
	}
	v.Notices = append(v.Notices, fmt.Sprintf("why it failed: `journalctl -u pve-ha-lrm` on %s, and the newest task of %s", cmp.Or(svc.Node, w.at(g)), g.SID))
	for _, f := range w.faults(g) {
		v.Notices = append(v.Notices, fmt.Sprintf("to mend: %s: %s; %s", f.Subject, f.Reason, f.Fix))
	}
	return v
}

// resourceOf is the guest and the resource of a target, or of a SID; why says what is
// missing.
func (w *world) resourceOf(name string) (g ha.Guest, r ha.Resource, why string) {
	g, why = w.guestNamed(name)
	if why != "" {
		return g, r, why
	}
	r, ok := w.Inventory.Resource(g.SID)
	if !ok {
		return g, r, fmt.Sprintf("%s is not registered with the HA manager", w.label(g.SID))
	}
	return g, r, ""
}

// named is what a guest is called on a command line: its target, or its SID.
func (w *world) named(g ha.Guest) string {
	if t, ok := w.TargetOf(g); ok {
		return t.Name
	}
	return g.SID.String()
}

// guestNamed is the guest a target or a SID names.
func (w *world) guestNamed(name string) (ha.Guest, string) {
	if t, ok := w.Policy.Target(name); ok {
		g, err := w.GuestOf(t)
		if err != nil {
			return g, err.Error()
		}
		return g, ""
	}
	if sid, err := ha.ParseSID(name); err == nil {
		if g, ok := w.Inventory.Guest(sid); ok {
			return g, ""
		}
		return ha.Guest{}, fmt.Sprintf("there is no guest %s", sid)
	}
	names := make([]string, 0, len(w.Policy.Targets))
	for _, t := range w.Policy.Targets {
		names = append(names, t.Name)
	}
	return ha.Guest{}, fmt.Sprintf("network.yml declares no target %q; it declares %s", name, strings.Join(names, ", "))
}

// withState is a resource with another request state and nothing else changed.
func withState(r ha.Resource, s ha.RequestState) ha.UpdateResource {
	to := r
	to.State, to.Digest = s, ""
	return ha.UpdateResource{Resource: to, Was: r}
}

// faults are what can be seen of why a guest does not start or stop: what is to be
// consistent before the HA manager is let at it again.
func (w *world) faults(g ha.Guest) []ha.Blocker {
	var out []ha.Blocker
	add := func(code ha.Code, reason, fix string) {
		out = append(out, ha.Blocker{Code: code, Subject: w.label(g.SID), Reason: reason, Fix: fix})
	}
	n, ok := w.Inventory.Node(g.Node)
	if ok && !n.Online {
		add(codeNodeOffline, fmt.Sprintf("its configuration lies on %s, which is offline", g.Node), fmt.Sprintf("power %s on", g.Node))
		return out
	}
	for _, pr := range w.processOn[g.SID] {
		if pr.node != g.Node && !pr.guest.Incoming {
			add(codeInconsistent, fmt.Sprintf("a process of it runs on %s, but its configuration lies on %s", pr.node, g.Node),
				fmt.Sprintf("stop the process on %s: `ps -fp %d`", pr.node, pr.guest.PID))
		}
	}
	c, known := w.config(g)
	if lock := cmp.Or(c.Lock, g.Lock); lock != "" {
		add(codeLocked, fmt.Sprintf("its configuration is locked (%s)", lock), fmt.Sprintf("if no task is at work: `%s unlock %d`", tool(g.SID), g.SID.ID))
	}
	if known {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(c.Storages))) {
			if why := w.storageMissing(name, g.Node); why != "" {
				add(codeUnfit, why, fmt.Sprintf("on %s: `pvesm status`", g.Node))
			}
		}
	}
	if why := w.strictly(g, g.Node); why != "" {
		add(codeRuleForbids, fmt.Sprintf("it is on %s, where it may not run: %s", g.Node, why), "make network.yml and the HA rules agree: `psw ha plan`")
	}
	return out
}
