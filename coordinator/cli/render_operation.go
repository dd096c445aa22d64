package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// operationLine is a line of `ha apply -o json` and every other command that follows an
// operation. Exactly one of the fields after Type is set, the one Type names.
type operationLine struct {
	At      time.Time            `json:"at"`   // this machine's clock
	Type    string               `json:"type"` // preview, view or result
	Preview *ha.OperationPreview `json:"preview,omitempty"`
	View    *ha.OperationView    `json:"view,omitempty"`
	Result  *operationResult     `json:"result,omitempty"`
}

// operationResult is the last line of the stream.
type operationResult struct {
	ID string `json:"id"`
	// Outcome is done, failed, cancelled, refused, deadline, interrupted or detached.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// Notices are what is left to whoever asked.
	Notices  []string `json:"notices,omitempty"`
	ExitCode int      `json:"exit_code"`
}

func fullOperationView(v ha.OperationView) *ha.OperationView {
	v.Operation.Steps = full(v.Operation.Steps)
	return &v
}

func (a *app) operationResult(o ha.Operation, word string, code int) error {
	return a.line(operationLine{At: time.Now().Round(0), Type: "result",
		Result: &operationResult{ID: o.ID, Outcome: word, Reason: o.Reason, Notices: o.Notices, ExitCode: code}})
}

// showOperationPreview shows how an operation would go. Blockers end it with exit code 3,
// unless it is under way already: then they are why it is stuck.
func (a *app) showOperationPreview(r ha.OperationRequest, p ha.OperationPreview, dryRun, continues bool) error {
	refused := len(p.Blockers) > 0 && !continues
	var err error
	switch {
	case a.json() && dryRun:
		err = a.document(p)
	case a.json():
		err = a.line(operationLine{At: time.Now().Round(0), Type: "preview", Preview: &p})
	default:
		a.print(append(operationPreviewLines(a.style, operationHead(r), p, a.flags.quiet, dryRun || a.flags.verbose), "")...)
	}
	if err != nil || !refused {
		return err
	}
	if a.json() && !dryRun {
		if err := a.operationResult(ha.Operation{Kind: p.Kind}, "refused", exitRefused); err != nil {
			return err
		}
	}
	return exit(exitRefused, "cannot begin %s: %s, listed above; nothing was done", p.Kind.Command(), count(len(p.Blockers), "blocker"))
}

// operationPreviewLines renders an operation as it would go.
func operationPreviewLines(st style, head string, p ha.OperationPreview, quiet, commands bool) []string {
	var lines []string
	notices := p.Notices
	switch {
	case p.Plan != nil:
		lines, notices = planLines(st, *p.Plan, quiet), nil
	case p.Moves != nil:
		m := *p.Moves
		m.Blockers = nil
		lines, notices = movesLines(st, head, m, commands, len(p.Blockers) > 0), nil
	default:
		lines = stepPreviewLines(st, p, commands)
	}
	for _, n := range notices {
		lines = append(lines, sentence("NOTICE: ", n)...)
	}
	if len(p.Blockers) > 0 {
		lines = append(lines, "")
		lines = append(lines, blockerLines(st, p.Blockers)...)
	}
	return lines
}

// operationHead is the command that asks for an operation, as it was typed.
func operationHead(r ha.OperationRequest) string {
	words := []string{"psw", r.Kind.Command(), r.Target, string(r.Node), string(r.Options.To)}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// movesLines are a preview's under the command that asks for it. One that is refused does
// nothing to anybody.
func movesLines(st style, head string, m ha.Preview, commands, refused bool) []string {
	m.Node = ""
	lines := previewLines(st, head, m, commands)
	lines[0] = head + ": " + stepCount(m.Steps)
	switch {
	case len(m.Steps) == 0 && (refused || len(m.Commands) > 0):
		lines[0] = head
	case len(m.Steps) == 0:
		lines[0] = head + ": nothing to do"
	case m.Estimate > 0:
		lines[0] += ", about " + span(m.Estimate)
	}
	lines[0] = st.bold(lines[0])
	return lines
}

func stepPreviewLines(st style, p ha.OperationPreview, commands bool) []string {
	todo := 0
	t := table{indent: "  "}
	var typed []string
	for _, s := range p.Steps {
		mark, text := "+", s.Text
		switch s.State {
		case ha.StepUnchanged, ha.StepDone:
			mark = "="
		case ha.StepSkipped, ha.StepFailed:
			mark, text = "-", text+": "+s.Note
		case ha.StepTodo, ha.StepDoing:
			todo++
			if s.Command != "" {
				typed = append(typed, s.Command)
			}
		}
		t.row(mark, string(s.State), s.Key, text)
	}
	title := fmt.Sprintf("%s: %s to do", "psw "+p.Kind.Command(), count(todo, "step"))
	if todo == 0 {
		title = "psw " + p.Kind.Command() + ": nothing to do"
	}
	lines := append([]string{st.bold(title), ""}, t.lines()...)
	if commands && len(typed) > 0 {
		lines = append(lines, "", "The same by hand, in this order:")
		for _, c := range typed {
			lines = append(lines, "  "+c)
		}
	}
	return append(lines, "")
}

// nothingToDo reports whether a preview holds nothing that would be changed.
func nothingToDo(p ha.OperationPreview) bool {
	switch {
	case p.Plan != nil:
		return !slices.ContainsFunc(p.Plan.Changes, func(c ha.Change) bool {
			return c.Kind == ha.ChangeAdd || c.Kind == ha.ChangeChange || c.Kind == ha.ChangeRemove
		})
	case p.Moves != nil:
		return len(p.Moves.Commands) == 0
	}
	return !slices.ContainsFunc(p.Steps, func(s ha.OperationStep) bool { return !s.State.Over() })
}

// operationSummary is the last line about an operation that is over.
func operationSummary(st style, o ha.Operation) string {
	states := make(map[ha.StepState]int)
	for _, s := range o.Steps {
		states[s.State]++
	}
	text := fmt.Sprintf("%s: %s", "psw "+o.Kind.Command(), o.Outcome)
	if states[ha.StepDone]+states[ha.StepFailed]+states[ha.StepSkipped] == 0 && o.Outcome == ha.OperationDone {
		return st.good(text + ", everything was as it should be already.")
	}
	for _, s := range []ha.StepState{ha.StepDone, ha.StepUnchanged, ha.StepSkipped, ha.StepFailed} {
		if states[s] > 0 {
			text += fmt.Sprintf(", %d %s", states[s], s)
		}
	}
	text += fmt.Sprintf(" (%s).", span(o.EndedAt.Sub(o.RequestedAt)))
	if o.Outcome == ha.OperationDone {
		return st.good(text)
	}
	return st.bad(text)
}

// operationRows lists operations, a row each.
func operationRows(st style, views []ha.OperationView) []string {
	var t table
	t.head(st, "ASKED", "WHAT", "ABOUT", "BY", "OUTCOME", "ID")
	for _, v := range views {
		o := v.Operation
		outcome := cmp.Or(string(o.Outcome), "under way")
		if o.Cancelling && !o.Closed() {
			outcome = "being given up"
		}
		t.row(stamp(o.RequestedAt), o.Kind.Command(), o.Subject(), dash(o.By), outcome, o.ID)
	}
	return t.lines()
}

func saidWait(old []ha.Wait, w ha.Wait) bool {
	return slices.ContainsFunc(old, func(o ha.Wait) bool { return steadyWait(o) == steadyWait(w) })
}
