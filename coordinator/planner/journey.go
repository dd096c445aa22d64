package planner

import (
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A journey is an operation whose parts are done strictly one after the other, while it is
// being stepped: what cannot be done leaves out all that comes after it.
type journey struct {
	*world
	o    *ha.Operation
	plan ha.Plan
	// pending: a leg that came before is not over. failed is the first that failed.
	pending bool
	failed  string
	notices []string
	// stated are the keys of the legs stated in this step.
	stated map[string]bool
}

// A leg is one part of a journey as it is seen now. Of what is set, the first counts.
type leg struct {
	key, text string
	// reached: it is so.
	reached bool
	// skip is why it is left out, fail why it cannot be done, wait why it is not done now,
	// fix what somebody must do about that, if anybody must.
	skip, fail, wait, fix string
	// action is what is to be done. Without one there is only to wait.
	action ha.Action
	// word: whether it is so cannot be seen, and the agent's answer counts.
	word bool
	// patience is how long its outcome is looked for before it is asked for again, or, if
	// there is nothing to ask for, until it has failed.
	patience time.Duration
	// tries is how often it may be asked for.
	tries int
	// always: it is done even after a failure, to leave nothing behind.
	always bool
}

// Patience of legs.
const (
	legPatience = 30 * time.Second
	legTries    = 3
	// legRest is between two tries.
	legRest = 15 * time.Second
)

// overdue reports whether a leg without an action is looked for in vain for longer than d. One
// that was reached and is not any more has all of that time anew.
func (j *journey) overdue(key string, d time.Duration) bool {
	st, _ := j.o.Step(key)
	return st.State == ha.StepDoing && j.At.Sub(st.Asked) > d
}

// step states a leg and, if it is its turn, asks for it.
func (j *journey) step(l leg) {
	j.stated[l.key] = true
	st := stepOf(j.o, l.key)
	st.Text = l.text
	if l.action != nil {
		st.Command = l.action.Command()
	}
	if l.patience == 0 {
		l.patience = legPatience
	}
	if l.tries == 0 {
		l.tries = legTries
	}
	answered := !st.Answered.IsZero() && !st.Answered.Before(st.Asked)
	waited := j.At.Sub(st.Asked)
	switch {
	case l.reached, l.word && answered && st.Note == "" && st.State == ha.StepDoing:
		j.seen(j.o, l.key)
	case l.word && (st.State == ha.StepDone || st.State == ha.StepUnchanged):
	case j.failed != "" && !l.always:
		j.end(st, ha.StepSkipped, "because of "+j.failed)
	case j.pending:
		j.idle(st, "")
	case st.State == ha.StepFailed:
	case l.skip != "":
		j.end(st, ha.StepSkipped, l.skip)
	case l.fail != "":
		j.end(st, ha.StepFailed, l.fail)
	case l.wait != "":
		j.idle(st, l.wait)
		j.plan.Waits = append(j.plan.Waits, ha.Wait{Subject: l.key, Reason: l.wait, Blocked: l.fix != "", Fix: l.fix})
	case l.action == nil && (st.Asked.IsZero() || st.State.Over()): // over: it was so, and is not any more
		st.State, st.Asked, st.Ended = ha.StepDoing, j.At, time.Time{}
		j.plan.Wait(l.key, "not so yet")
	case l.action == nil && waited > l.patience:
		j.end(st, ha.StepFailed, fmt.Sprintf("not so after %s", short(waited)))
	case l.action == nil:
		j.plan.Wait(l.key, "not so yet, for %s", short(waited))
	case st.State == ha.StepDoing && !st.Asked.IsZero() && st.Note == "" && waited < l.patience:
		j.plan.Wait(l.key, "asked for %s ago", short(waited))
	case st.Tries >= l.tries:
		j.end(st, ha.StepFailed, strings.TrimSuffix(fmt.Sprintf("asked for %s, and it is not so: %s", times(st.Tries), st.Note), ": "))
	case !l.always && (j.o.Cancelling || j.late(*j.o)):
		j.idle(st, st.Note)
	case st.Tries > 0 && st.Note != "" && waited < legRest:
		j.plan.Wait(l.key, "try %d: %s; it is tried again", st.Tries, st.Note)
	default:
		st.State, st.Asked, st.Note, st.Ref, st.Ended, st.Answered = ha.StepDoing, j.At, "", "", time.Time{}, time.Time{}
		st.Tries++
		j.plan.Do(l.action)
	}
	j.after(st)
}

// after is what a leg means for those that follow it.
func (j *journey) after(st *ha.OperationStep) {
	switch {
	case st.State == ha.StepFailed && j.failed == "":
		j.failed = st.Key
	case !st.State.Over():
		j.pending = true
	}
}

func (j *journey) end(st *ha.OperationStep, state ha.StepState, note string) {
	if st.State != state {
		st.State, st.Ended, st.Note = state, j.At, note
	}
}

// idle is a leg whose turn has not come, or that waits. What was asked for stays asked.
func (j *journey) idle(st *ha.OperationStep, note string) {
	if st.State != ha.StepDoing {
		st.State, st.Ended = ha.StepTodo, time.Time{}
		st.Note = note
	}
}

// conclude ends the operation if every leg is over, or nothing more will be begun.
func (j *journey) conclude() (ha.Operation, ha.Plan) {
	under, open, failed := false, false, []string(nil)
	for _, st := range j.o.Steps {
		switch {
		case st.State == ha.StepDoing && st.Tries > 0:
			under = true
		case !st.State.Over():
			open = true
		case st.State == ha.StepFailed:
			failed = append(failed, st.Key+": "+st.Note)
		}
	}
	switch {
	case under || len(j.plan.Actions) > 0:
	case failed != nil:
		j.closeOperation(j.o, ha.OperationFailed, strings.Join(failed, "; "))
	case !open:
		j.closeOperation(j.o, ha.OperationDone, "")
	case j.o.Cancelling:
		j.closeOperation(j.o, ha.OperationCancelled, "given up; what was done stays")
	case j.late(*j.o):
		return j.orGiveUp(*j.o, j.plan)
	}
	if j.o.Closed() {
		j.o.Notices = j.notices
		return *j.o, ha.Plan{}
	}
	return *j.o, j.plan
}

// walk is one step of a journey, its gates first: what forbids it keeps anything new from
// being begun.
func (w *world) walk(o ha.Operation, gates []ha.Blocker, legs func(*journey)) (ha.Operation, ha.Plan) {
	j := &journey{world: w, o: &o, stated: make(map[string]bool)}
	if len(gates) > 0 {
		blockAll(&j.plan, gates)
		if o.Cancelling {
			if given, p := j.conclude(); given.Closed() {
				return given, p
			}
		}
		return w.orGiveUp(o, j.plan)
	}
	legs(j)
	return j.conclude()
}

// previewJourney is a journey as it would go if it began now.
func (w *world) previewJourney(o ha.Operation, blockers []ha.Blocker, legs func(*journey)) ha.OperationPreview {
	j := &journey{world: w, o: &o, stated: make(map[string]bool)}
	if w.InventoryFresh() {
		legs(j)
	}
	for k := range o.Steps {
		st := &o.Steps[k]
		if st.State == ha.StepDoing || st.State == ha.StepSkipped && strings.HasPrefix(st.Note, "because of ") {
			*st = ha.OperationStep{Key: st.Key, Text: st.Text, Command: st.Command, State: ha.StepTodo}
		}
	}
	return ha.OperationPreview{Kind: o.Kind, Steps: o.Steps, Blockers: blockers, Notices: j.notices}
}

func (j *journey) notice(format string, args ...any) {
	j.notices = append(j.notices, fmt.Sprintf(format, args...))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
