package planner

import (
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// stepOf finds the step of an operation, or adds it at the end.
func stepOf(o *ha.Operation, key string) *ha.OperationStep {
	k := slices.IndexFunc(o.Steps, func(s ha.OperationStep) bool { return s.Key == key })
	if k < 0 {
		o.Steps = append(o.Steps, ha.OperationStep{Key: key, State: ha.StepTodo})
		k = len(o.Steps) - 1
	}
	return &o.Steps[k]
}

// stepRepeat: a deed that Proxmox took shows in the next reading, a few seconds later at
// most. Before this it is not asked for again.
const stepRepeat = 10 * time.Second

// stepRetry are the rests after a step was refused, the last one for every further try;
// stepTriesMax is after how many tries somebody has to look.
var stepRetry = []time.Duration{0, 5 * time.Second, 15 * time.Second, 30 * time.Second}

const stepTriesMax = 5

// ask plans the deed of a step, if its time has come, and says what it waits for. The
// caller has looked: the deed is not done yet.
func (w *world) ask(o *ha.Operation, p *ha.Plan, key string, a ha.Action) {
	st := stepOf(o, key)
	switch {
	case st.State == ha.StepFailed:
		return
	case st.Note != "" && st.Tries >= stepTriesMax:
		st.State, st.Ended = ha.StepFailed, w.At
		return
	case st.Note != "" && w.At.Sub(st.Asked) < stepRetry[min(st.Tries, len(stepRetry))-1]:
		p.Wait(key, "try %d was refused: %s; next try in %s", st.Tries, st.Note, short(stepRetry[min(st.Tries, len(stepRetry))-1]-w.At.Sub(st.Asked)))
		return
	case st.Note == "" && !st.Asked.IsZero() && w.At.Sub(st.Asked) < stepRepeat:
		p.Wait(key, "waiting to see that Proxmox has done it")
		return
	}
	if st.Text == "" {
		st.Text = a.String()
	}
	st.State, st.Command, st.Asked, st.Note, st.Ref, st.Ended = ha.StepDoing, a.Command(), w.At, "", "", time.Time{}
	st.Tries++
	p.Do(a)
}

// seen notes that what a step is for is so: done, if it was asked for, else unchanged.
func (w *world) seen(o *ha.Operation, key string) {
	st := stepOf(o, key)
	if st.State.Over() && st.State != ha.StepFailed {
		return
	}
	st.State = ha.StepUnchanged
	if !st.Asked.IsZero() {
		st.State = ha.StepDone
	}
	st.Ended, st.Note = w.At, ""
}

// closeOperation ends an operation. What was not begun is left out.
func (w *world) closeOperation(o *ha.Operation, how ha.OperationOutcome, reason string) {
	for k := range o.Steps {
		if st := &o.Steps[k]; !st.State.Over() {
			st.State, st.Ended = ha.StepSkipped, w.At
			if st.Note == "" {
				st.Note = reason
			}
		}
	}
	o.Outcome, o.Reason, o.EndedAt = how, reason, w.At
}

// late reports whether the operation's deadline has passed.
func (w *world) late(o ha.Operation) bool {
	return !o.Options.Deadline.IsZero() && !w.At.Before(o.Options.Deadline)
}
