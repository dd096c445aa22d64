package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// operationTable renders the live table of an operation at the instant now: what is being
// done on top, then what failed, what comes next, and last what is over. It shows at most so
// many steps and counts the rest.
func operationTable(st style, v ha.OperationView, now time.Time, most int) []string {
	lines := []string{"", st.bold(operationTitle(v.Operation, now))}
	steps, rest := stepsByUrgency(v.Operation.Steps), []ha.OperationStep(nil)
	if len(steps) > most {
		steps, rest = steps[:most], steps[most:]
	}
	if len(steps) > 0 {
		t := table{indent: "  "}
		t.head(st, "STEP", "STATE", "FOR", "WHAT")
		for _, s := range steps {
			t.row(s.Key, st.stepState(s.State), stepFor(s, now), stepWhat(s, v.Waits))
		}
		lines = append(lines, t.lines()...)
	}
	if len(rest) > 0 {
		lines = append(lines, "  and "+st.faint(stepCounts(rest)))
	}
	for _, w := range v.Waits {
		if _, isStep := v.Operation.Step(w.Subject); w.Blocked || !isStep {
			for _, l := range waitLines(st, w) {
				lines = append(lines, "  "+l)
			}
		}
	}
	return lines
}

// operationTitle says what goes on, for how long, and how far it is.
func operationTitle(o ha.Operation, now time.Time) string {
	title := "psw " + o.Kind.Command()
	if subject := o.Subject(); subject != "cluster" {
		title += " " + subject
	}
	if o.Cancelling {
		title = "Giving up: " + title
	}
	if !o.RequestedAt.IsZero() {
		title += "  " + span(max(0, now.Sub(o.RequestedAt)).Truncate(time.Second))
	}
	over := 0
	for _, s := range o.Steps {
		if s.State.Over() {
			over++
		}
	}
	if len(o.Steps) > 0 {
		title += fmt.Sprintf(", %d of %s over", over, count(len(o.Steps), "step"))
	}
	return title + deadlineText(o.Options.Deadline, now)
}

// stepsByUrgency orders steps for a screen that may be too low for all of them; those of one
// state stay in the order in which they are done.
func stepsByUrgency(steps []ha.OperationStep) []ha.OperationStep {
	order := []ha.StepState{ha.StepDoing, ha.StepFailed, ha.StepTodo, ha.StepSkipped, ha.StepDone, ha.StepUnchanged}
	list := slices.Clone(steps)
	slices.SortStableFunc(list, func(a, b ha.OperationStep) int {
		return slices.Index(order, a.State) - slices.Index(order, b.State)
	})
	return list
}

// stepCounts counts steps by state, in the order they are in.
func stepCounts(steps []ha.OperationStep) string {
	var parts []string
	for k := 0; k < len(steps); {
		n := k
		for n < len(steps) && steps[n].State == steps[k].State {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d %s", n-k, steps[k].State))
		k = n
	}
	return strings.Join(parts, ", ")
}

// stepFor is how long a step has been under way, or how long it took.
func stepFor(s ha.OperationStep, now time.Time) string {
	switch {
	case s.Asked.IsZero():
		return ""
	case s.State == ha.StepDoing:
		return span(max(0, now.Sub(s.Asked)).Truncate(time.Second))
	case s.State == ha.StepDone && s.Ended.After(s.Asked):
		return span(s.Ended.Sub(s.Asked).Truncate(time.Second))
	}
	return ""
}

// stepWhat is what is done, and why not, where it is not.
func stepWhat(s ha.OperationStep, waits []ha.Wait) string {
	why := s.Note
	if w, waited := findBy(waits, func(w ha.Wait) bool { return w.Subject == s.Key && !w.Blocked }); waited && !s.State.Over() {
		why = w.Reason
	}
	text := s.Text
	if text == s.Key {
		text = ""
	}
	if why == "" || why == text {
		return text
	}
	return strings.TrimPrefix(text+": "+why, ": ")
}

// stepState paints how far a step has come.
func (st style) stepState(s ha.StepState) string {
	switch s {
	case ha.StepDone:
		return st.good(string(s))
	case ha.StepFailed:
		return st.bad(string(s))
	case ha.StepDoing:
		return st.bold(string(s))
	case ha.StepSkipped:
		return st.warn(string(s))
	case ha.StepTodo, ha.StepUnchanged:
	}
	return string(s)
}

// deadlineText is what is left until a deadline, if there is one.
func deadlineText(d, now time.Time) string {
	switch left := d.Sub(now).Truncate(time.Second); {
	case d.IsZero():
		return ""
	case left > 0:
		return ", deadline in " + span(left)
	}
	return ", the deadline has passed"
}

// noticeLines are what is left to whoever asked for an operation, once it is over.
func noticeLines(o ha.Operation) []string {
	var lines []string
	for _, n := range o.Notices {
		lines = append(lines, sentence("NOTICE: ", n)...)
	}
	return lines
}
