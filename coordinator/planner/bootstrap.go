package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// hookPatience is how long the hook for the core apps is waited for; the coordinator ends
// it before that.
const hookPatience = 31 * time.Minute

// Keys of legs.
const (
	readiness = "readiness"
	coreApps  = "core apps"
	// readinessAgain and what follows it is only for targets that did not exist before.
	readinessAgain = "readiness with the core apps"
)

// bootstrap is cluster, shared storage, registration and the hook for core apps, in this
// order. Whether HA is ready is asked when the turn of registration has come.
func (w *world) bootstrap(o ha.Operation, a Aside) (ha.Operation, ha.Plan) {
	if dead, ended := w.deadJoin(o); ended {
		return dead, ha.Plan{}
	}
	return w.walk(o, w.clusterGates(), func(j *journey) { j.bootstrap(a) })
}

// PreviewBootstrap is how everything would go, and what forbids its beginning.
func PreviewBootstrap(o ha.Operation, s ha.Snapshot, a Aside) ha.OperationPreview {
	w := newWorld(s)
	a.Unready, a.Accepted = nil, nil // it is asked when its turn has come
	return w.previewJourney(o, slices.Concat(w.clusterGates(), w.joinGates(), w.storageGate()), func(j *journey) {
		j.bootstrap(a)
		switch names := j.absent(); {
		case names == "":
		case a.Hook:
			j.notice("not there yet, to be made by the core apps and registered after that: %s", names)
		default:
			j.notice("not there yet, so that they are left out: %s; once they exist: `psw ha apply`", names)
		}
	})
}

func (j *journey) bootstrap(a Aside) {
	j.cluster()
	j.storage()
	begun := j.doing(coreApps) || j.done(coreApps)
	if begun {
		j.keep(readiness) // it was asked when its turn had come
	} else {
		j.ready(readiness, "HA is ready, by the minimum profile", a)
		j.registered(a)
	}
	j.apps(a)
	if j.done(coreApps) && !j.pending && j.failed == "" {
		j.brought(a)
	}
}

// appsListed is how long guests that were just made are looked for: Proxmox lists their names
// when pvestatd has next told them, every ten seconds, and we read after that.
const appsListed = 20 * time.Second

// apps is the leg of the hook. What it made is looked at in a reading that began after it
// had ended, and for a while if something is missing then.
func (j *journey) apps(a Aside) {
	l := leg{key: coreApps, text: "deploy the core apps", word: true, patience: hookPatience, tries: 2,
		action: ha.RunHook{Project: j.Policy.Project, Nodes: j.Policy.Cluster.Nodes, Storage: storageName}}
	if !a.Hook {
		l.skip = "no hook is configured: PSW deploys them itself (PSW_HA_BOOTSTRAP_HOOK in the coordinator's configuration)"
	}
	if a.HookBusy {
		l.wait = "the command for the core apps of an earlier bootstrap is still at work; two at once would be in each other's way"
	}
	if !a.HookRuns {
		l.patience = time.Nanosecond
	}
	st, _ := j.o.Step(coreApps)
	unseen := !j.Inventory.At.After(st.Answered) || j.absent() != "" && j.At.Sub(st.Answered) < appsListed
	if st.State == ha.StepDoing && st.Answered.After(st.Asked) && unseen {
		j.keep(coreApps)
		j.plan.Wait(coreApps, "deployed; looking at what they brought")
		return
	}
	j.step(l)
}

// brought registers the targets that the core apps brought into being, once HA has been
// found ready with them.
func (j *journey) brought(a Aside) {
	if why, fix := j.unreadable(); why != "" {
		j.step(leg{key: "registration", text: "register what the core apps brought", wait: why, fix: fix})
		return
	}
	due := 0
	for _, deeds := range j.registration().deeds {
		due += len(deeds)
	}
	if _, asked := j.o.Step(readinessAgain); asked || due > 0 {
		j.ready(readinessAgain, "HA is ready with what the core apps brought, by the minimum profile", a)
	}
	if !j.pending && j.failed == "" {
		j.register(true)
	}
}

// keep states a leg that stays as it is.
func (j *journey) keep(key string) {
	j.stated[key] = true
	j.after(stepOf(j.o, key))
}

func (j *journey) done(key string) bool {
	st, ok := j.o.Step(key)
	return ok && (st.State == ha.StepDone || st.State == ha.StepUnchanged)
}

// absent are the targets that are to be protected and have no guest, in words; "" if there
// is none.
func (w *world) absent() string {
	var names []string
	for _, t := range w.Policy.Targets {
		if _, err := w.GuestOf(t); t.HA && t.Type != ha.TargetBare && ha.KindOf(err) == ha.NotFound {
			names = append(names, t.Name)
		}
	}
	return strings.Join(names, ", ")
}

// ready is the leg that asks the readiness verdict. Some checks need a moment to see what
// was just made, so that it waits before it refuses. What was accepted is said by the leg,
// and so by the journal.
func (j *journey) ready(key, text string, a Aside) {
	unready := a.Unready
	l := leg{key: key, text: text, reached: len(unready) == 0, patience: storagePatience}
	if len(unready) > 0 && j.overdue(l.key, l.patience) {
		lines := make([]string, len(unready))
		for k, b := range unready {
			lines[k] = fmt.Sprintf("%s of %s: %s; %s", b.Code, b.Subject, b.Reason, b.Fix)
		}
		l.fail = strings.Join(lines, "; ") + "; mend it, or accept it by its code: `psw bootstrap --accept CODE`"
	}
	if st, known := j.o.Step(l.key); known && st.State == ha.StepDone {
		l.text = st.Text // what was accepted then
	} else if l.reached && len(a.Accepted) > 0 && !j.pending && j.failed == "" {
		stepOf(j.o, l.key).Asked = j.At // somebody decided: it is done, not as it was
		l.text = "HA is not ready, by the minimum profile, and goes on all the same: " + acceptedBy(j.o.By, a.Accepted)
	}
	j.step(l)
	st, _ := j.o.Step(l.key)
	if !l.reached && l.fail == "" && len(unready) > 0 && j.waitedFor(l.key) && j.At.Sub(st.Asked) > readinessSettle {
		j.plan.Waits = append(j.plan.Waits, eachCode(unready)...)
	}
}

// readinessSettle: what was just made is in an agent's next report, and what came of it in the
// one after. Before that a check that could not look is nobody's business.
const readinessSettle = 3 * ha.ReportInterval

// eachCode is a wait for each check that stands in the way, however many targets or nodes it
// is about: forty lines that say the same are not read.
func eachCode(unready []ha.Blocker) []ha.Wait {
	var out []ha.Wait
	more := make(map[string][]string)
	for _, b := range unready {
		code := string(b.Code)
		if _, known := more[code]; known {
			more[code] = append(more[code], b.Subject)
			continue
		}
		more[code] = nil
		out = append(out, ha.Wait{Subject: code, Reason: b.Subject + ": " + b.Reason, Blocked: true, Fix: b.Fix})
	}
	for k := range out {
		if also := more[out[k].Subject]; len(also) > 0 {
			out[k].Reason += "; so it is of " + strings.Join(also, ", ")
		}
	}
	return out
}

// acceptedBy says who accepted what.
func acceptedBy(who string, accepted []ha.Blocker) string {
	parts := make([]string, len(accepted))
	for k, b := range accepted {
		parts[k] = fmt.Sprintf("%s of %s (%s)", b.Code, b.Subject, b.Reason)
	}
	return fmt.Sprintf("%s accepts %s", cmp.Or(who, "somebody"), strings.Join(parts, ", "))
}

// waitedFor reports whether a leg is being waited for.
func (j *journey) waitedFor(key string) bool {
	st, ok := j.o.Step(key)
	return ok && st.State == ha.StepDoing
}

// registered is a leg for each line of the registration, some at a time.
func (j *journey) registered(a Aside) {
	const text = "register every target with ha: true"
	if j.pending || j.failed != "" {
		j.step(leg{key: "registration", text: text})
		return
	}
	if why, fix := j.unreadable(); why != "" {
		j.step(leg{key: "registration", text: text, wait: why, fix: fix})
		return
	}
	j.register(!a.Hook)
	if k := slices.IndexFunc(j.o.Steps, func(st ha.OperationStep) bool { return st.Key == coreApps }); k >= 0 {
		last := j.o.Steps[k] // what came of it is kept
		j.o.Steps = append(slices.Delete(j.o.Steps, k, k+1), last)
	}
}

// register brings the registration one tick further. final: what cannot be registered then
// is left out, and said.
func (j *journey) register(final bool) {
	j.o.Steps = slices.DeleteFunc(j.o.Steps, func(st ha.OperationStep) bool { return st.Key == "registration" && !j.stated[st.Key] })
	mine := func(st ha.OperationStep) bool { return j.stated[st.Key] || st.Key == coreApps }
	part := *j.o
	part.Steps = slices.DeleteFunc(slices.Clone(j.o.Steps), mine)
	p, r, over := j.applySteps(&part)
	if over && final {
		j.leaveOut(&part, r)
	}
	for _, x := range p.Waits {
		if final || !x.Blocked { // what is missing may be what the core apps will bring
			j.plan.Waits = append(j.plan.Waits, x)
		}
	}
	if j.o.Cancelling || j.late(*j.o) {
		j.unasked(part.Steps)
	} else {
		j.plan.Actions = append(j.plan.Actions, p.Actions...)
	}
	for _, st := range part.Steps {
		*stepOf(j.o, st.Key) = st
		j.after(&st)
	}
}

// unasked makes steps of a registration as if nothing had been asked for in this tick. What
// was asked for before is under way no more: Proxmox takes such a change at once, so that it
// was made, and the step is over, or it was not.
func (j *journey) unasked(steps []ha.OperationStep) {
	for k := range steps {
		st := &steps[k]
		if st.State.Over() {
			continue
		}
		if was, ok := j.o.Step(st.Key); ok {
			*st = was
		} else {
			*st = ha.OperationStep{Key: st.Key, Text: st.Text, Command: st.Command}
		}
		st.State = ha.StepTodo
	}
}
