package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// operationFollowing is the operation that is followed, and until when.
type operationFollowing struct {
	// id is empty for the newest.
	id string
	// cancelled: that it is given up is what is waited for.
	cancelled bool
	// deadline ends the following; zero means none.
	deadline time.Time
	// nothing: there is nothing to do, so that it is over at once.
	nothing bool
	// lost: the coordinator does not answer now.
	lost bool
}

func ctrlCOperation(o ha.Operation) string {
	return fmt.Sprintf("Ctrl-C stops following, not %s.", o.Kind.Command())
}

// followOperation shows an operation until it is over, the deadline passes, or ctx ends. It
// only looks: nothing that happens here changes what goes on.
func (a *app) followOperation(ctx context.Context, op *rpc.Operator, f operationFollowing) error {
	a.openScreen()
	if a.screen != nil {
		defer a.screen.Close()
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	views, said, ended := make(chan ha.OperationView), make(chan string), make(chan error, 1)
	go func() { ended <- watchAgain(watch, op.WatchOperation, f.id, views, said) }()

	redraw, late := a.clocks(f.deadline)
	var last ha.OperationView
	for {
		select {
		case v := <-views:
			if last.Operation.ID == "" && !v.Operation.Closed() && a.screen == nil && !a.json() && !f.nothing {
				a.talk("%s", ctrlCOperation(v.Operation))
			}
			if err := a.showOperation(f, last, v); err != nil {
				return err
			}
			if last = v; v.Operation.Closed() {
				return a.settleOperation(f, v)
			}
		case line := <-said:
			f.lost = line != foundAgain
			a.warnLine(line)
		case now := <-redraw:
			a.drawOperation(f, last, now)
		case <-late:
			return a.lateOperation(last)
		case <-ctx.Done():
			return a.leaveOperation(last)
		case err := <-ended:
			if ctx.Err() != nil {
				return a.leaveOperation(last)
			}
			return cannot("follow the operation", err)
		}
	}
}

// showOperation shows what changed since the last view.
func (a *app) showOperation(f operationFollowing, last, v ha.OperationView) error {
	if a.json() {
		return a.line(operationLine{At: time.Now().Round(0), Type: "view", View: fullOperationView(v)})
	}
	for _, n := range narrateOperation(last, v) {
		if a.flags.quiet && n.tone != bad {
			continue
		}
		lead := stamp(time.Now())
		if a.screen != nil {
			lead = clock(time.Now())
		}
		a.print(a.style.faint(lead) + " " + a.style.note(n))
	}
	a.drawOperation(f, v, time.Now())
	return a.stdout.err
}

// drawOperation draws the live table, where there is one. What is over has none.
func (a *app) drawOperation(f operationFollowing, v ha.OperationView, now time.Time) {
	if a.screen == nil || v.Operation.ID == "" || v.Operation.Closed() {
		return
	}
	_, rows := a.screen.size()
	lines := operationTable(a.style, v, now, max(3, rows/2))
	if f.lost {
		lines = append(lines, a.style.bad("The coordinator does not answer: this is what it said last."))
	}
	a.screen.Draw(append(lines, a.style.faint(ctrlCOperation(v.Operation))))
}

// closeScreen takes the live table away, where there is one.
func (a *app) closeScreen() {
	if a.screen != nil {
		a.screen.Close()
	}
}

// settleOperation ends the following with what came of it.
func (a *app) settleOperation(f operationFollowing, v ha.OperationView) error {
	a.closeScreen()
	o := v.Operation
	code := exitFailed
	if o.Outcome == ha.OperationDone || o.Outcome == ha.OperationCancelled && f.cancelled {
		code = exitDone
	}
	out := o.LeftOut()
	if len(out) > 0 {
		code = exitRefused
	}
	if a.json() {
		if err := a.operationResult(o, string(o.Outcome), code); err != nil {
			return err
		}
		if code != exitDone {
			return &outcome{code: code}
		}
		return nil
	}
	a.print(operationSummary(a.style, o))
	for _, line := range noticeLines(o) { // where it is read: below all that scrolled by
		a.warnLine(line)
	}
	if code == exitDone {
		return nil
	}
	if len(out) > 0 {
		lines := make([]string, len(out))
		for k, st := range out {
			lines[k] = strings.TrimPrefix(st.Key, ha.LeftOutPrefix) + ": " + st.Note
		}
		return exit(code, "%s could not be registered as declared, and HA may not protect what is named here; the rest is as declared:\n  %s\nonce that is mended: %s",
			count(len(out), "item"), strings.Join(lines, "\n  "), a.command("ha apply", ""))
	}
	return exit(code, "%s of %s: %s: %s", o.Kind.Command(), o.Subject(), o.Outcome, o.Reason)
}

func (a *app) lateOperation(v ha.OperationView) error {
	a.closeScreen()
	o := v.Operation
	if a.json() {
		if err := a.operationResult(o, "deadline", exitDeadline); err != nil {
			return err
		}
	}
	for _, w := range v.Waits {
		a.print(waitLines(a.style, w)...)
	}
	return exit(exitDeadline, "the deadline passed before %s was over: nothing new is begun, what is under way ends\n  look:  %s",
		o.Kind.Command(), a.command("operation watch", ""))
}

// leaveOperation ends the following on Ctrl-C and says what goes on without us.
func (a *app) leaveOperation(v ha.OperationView) error {
	a.closeScreen()
	o := v.Operation
	if a.json() {
		if err := a.operationResult(o, "interrupted", exitInterrupted); err != nil {
			return err
		}
	}
	return exit(exitInterrupted, "stopped following; %s goes on\n  follow it again:  %s\n  give it up:       %s",
		o.Kind.Command(), a.command("operation watch", ""), a.command("operation cancel", ""))
}

// narrateOperation says what happened between two views: a line a step.
func narrateOperation(last, v ha.OperationView) []note {
	var out []note
	for _, st := range v.Operation.Steps {
		was, known := last.Operation.Step(st.Key)
		line := func(t tone, format string, args ...any) {
			out = append(out, note{tone: t, text: fmt.Sprintf(format, args...)})
		}
		name := st.Key
		if st.Text != "" && st.Text != st.Key {
			name += ": " + st.Text
		}
		switch {
		case known && was.State == st.State && (was.Note == st.Note || st.State != ha.StepDoing):
		case st.State == ha.StepDone && st.Note != "":
			line(good, "done       %s (%s)", name, st.Note)
		case st.State == ha.StepDone:
			line(good, "done       %s", name)
		case st.State == ha.StepUnchanged:
			line(plain, "unchanged  %s", name)
		case st.State == ha.StepSkipped:
			line(plain, "skipped    %s: %s", name, st.Note)
		case st.State == ha.StepFailed:
			line(bad, "failed     %s: %s", name, st.Note)
		case st.State == ha.StepDoing && st.Note != "":
			line(bad, "refused    %s: %s; it is tried again", name, st.Note)
		case st.State == ha.StepDoing:
			line(plain, "doing      %s", name)
		}
	}
	for _, w := range v.Waits {
		if !saidWait(last.Waits, w) {
			t := plain
			text := "waiting    " + w.String()
			if w.Blocked {
				t, text = bad, "blocked    "+w.String()+"; "+w.Fix
			}
			out = append(out, note{tone: t, text: text})
		}
	}
	return out
}
