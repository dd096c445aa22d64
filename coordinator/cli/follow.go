package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// following is what is followed, and until when.
type following struct {
	node ha.NodeName
	// goal is what is waited for; empty: whatever the first view says is under way.
	goal goal
	// id is the maintenance that was asked for; views of older ones are not looked at.
	id string
	// deadline ends the following; zero means none.
	deadline time.Time
	// lost: the coordinator does not answer now.
	lost bool
}

// ctrlC says what Ctrl-C does, and what not.
func (f following) ctrlC() string {
	return "Ctrl-C stops following, not the " + string(cmp.Or(f.goal, "maintenance")) + "."
}

// follow shows a maintenance until its goal is reached or out of reach, the deadline
// passes, or ctx ends. It only looks: nothing that happens here changes what goes on.
func (a *app) follow(ctx context.Context, op *rpc.Operator, f following) error {
	a.openScreen()
	if a.screen != nil {
		defer a.screen.Close()
	}

	watch, stop := context.WithCancel(ctx)
	views, said, ended := make(chan ha.MaintenanceView), make(chan string), make(chan error, 1)
	go func() { ended <- watchAgain(watch, op.WatchMaintenance, f.node, views, said) }()
	defer stop()

	redraw, late := a.clocks(f.deadline)
	var last ha.MaintenanceView
	for {
		select {
		case v := <-views:
			if v.Maintenance.ID < f.id {
				continue // from before it was asked for
			}
			if last.Maintenance.ID == "" {
				f.goal = cmp.Or(f.goal, goalOf(v.Maintenance))
				if a.screen == nil && !a.json() {
					a.talk("%s", f.ctrlC())
				}
			}
			if err := a.showView(f, last, v); err != nil {
				return err
			}
			if word, code := settled(f.goal, last.Maintenance, v); word != "" {
				return a.settle(f, v, word, code)
			}
			last = v
		case line := <-said:
			f.lost = line != foundAgain
			a.warnLine(line)
		case now := <-redraw:
			a.draw(f, last, now)
		case <-late:
			return a.late(f, last)
		case <-ctx.Done():
			return a.leave(f, last)
		case err := <-ended:
			if ctx.Err() != nil {
				return a.leave(f, last)
			}
			return cannot("follow the maintenance of "+string(f.node), err)
		}
	}
}

// clocks tick when a live table is to be drawn anew, and at the deadline; what there is none
// of never does.
func (a *app) clocks(deadline time.Time) (redraw, late <-chan time.Time) {
	if a.screen != nil {
		redraw = time.NewTicker(time.Second).C
	}
	if !deadline.IsZero() {
		late = time.After(time.Until(deadline))
	}
	return redraw, late
}

// watchAgain feeds views of one subject until ctx ends or the coordinator says no, and says
// when it was lost and found.
func watchAgain[Subject, View any](ctx context.Context, watch func(context.Context, Subject, func(View) error) error, subject Subject, views chan<- View, said chan<- string) error {
	say := func(line string) {
		select {
		case said <- line:
		case <-ctx.Done():
		}
	}
	return keepAsking(ctx, say, func(answered func()) error {
		return endless(watch(ctx, subject, func(v View) error {
			answered()
			select {
			case views <- v:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	})
}

// goalOf is what somebody who attaches to a maintenance waits for.
func goalOf(m ha.Maintenance) goal {
	switch {
	case m.Cancelling || m.Phase == ha.Cancelled:
		return cancellation
	case m.Phase == ha.Restoring || m.Phase == ha.Ended:
		return restore
	default:
		return drain
	}
}

// settled says whether following is over, as the word of the outcome and the exit code.
// before is the maintenance as it was seen last. A goal that somebody else's request has
// put out of reach is superseded.
func settled(g goal, before ha.Maintenance, v ha.MaintenanceView) (word string, code int) {
	m := v.Maintenance
	switch {
	case g == drain && v.Safe:
		return "safe", exitDone
	case g == drain && m.Phase == ha.Drained && len(leftRunning(v)) > 0:
		return "drained", exitDone
	case m.Phase == ha.Ended && g == restore:
		return "ended", exitDone
	case m.Phase.Closed() && g == cancellation: // of a drain or of a return
		return "cancelled", exitDone
	case m.Phase == ha.Cancelled:
		return "cancelled", exitFailed
	case m.Phase == ha.Ended,
		g == drain && m.Phase == ha.Restoring,
		g == restore && m.Phase == ha.Draining && before.Phase == ha.Restoring,
		g == cancellation && m.Phase == ha.Restoring && !m.Cancelling:
		return "superseded", exitFailed
	}
	return "", 0
}

// leftRunning are the guests that stay on a drained node because somebody chose so. Such
// a node is never called safe, and waiting for it would be waiting for ever.
func leftRunning(v ha.MaintenanceView) []string {
	var names []string
	for _, g := range v.Guests {
		if g.State == progressStays {
			names = append(names, strings.TrimSpace(g.SID.String()+" "+g.Name))
		}
	}
	return names
}

// showView shows what changed since the last view.
func (a *app) showView(f following, last, v ha.MaintenanceView) error {
	if a.json() {
		return a.stream(streamLine{Type: "view", View: fullView(v)})
	}
	if f.goal == restore && goalOf(v.Maintenance) == drain {
		return nil // what the drain came to is no news to whoever ends it, least of all "safe to power off"
	}
	for _, n := range narrate(last, v) {
		if a.flags.quiet && n.tone != bad && !v.Safe {
			continue
		}
		lead := stamp(time.Now())
		if a.screen != nil {
			lead = clock(time.Now())
		}
		a.print(a.style.faint(lead) + " " + a.style.note(n))
	}
	a.draw(f, v, time.Now())
	return a.stdout.err
}

// draw draws the live table, where there is one.
func (a *app) draw(f following, v ha.MaintenanceView, now time.Time) {
	if a.screen == nil || v.Maintenance.ID == "" {
		return
	}
	_, rows := a.screen.size()
	lines := progressLines(a.style, v, now, max(3, rows/2))
	if f.lost {
		lines = append(lines, a.style.bad("The coordinator does not answer: this is what it said last."))
	}
	a.screen.Draw(append(lines, a.style.faint(f.ctrlC())))
}

// settle ends the following with its outcome.
func (a *app) settle(f following, v ha.MaintenanceView, word string, code int) error {
	a.closeScreen()
	if a.json() {
		if err := a.result(f.node, word, code, left(v.Guests)); err != nil {
			return err
		}
	} else if s := summary(v); s != "" && code == exitDone {
		a.print(s)
	}
	switch {
	case word == "drained" && !a.json():
		a.print(fmt.Sprintf("%s is drained, but not empty: left running there as asked, and going down with it: %s.", f.node, strings.Join(leftRunning(v), ", ")))
	case word == "safe":
		a.talk("%s stays empty, across reboots, until: %s", f.node, a.command("maintenance end", f.node))
	case word == "cancelled" && code == exitDone:
		a.talk("Guests that moved stay where they are. To bring them home: %s", a.command("maintenance end", f.node))
	case word == "cancelled":
		return exit(code, "the maintenance of %s was cancelled before the %s was over; to begin again: %s",
			f.node, f.goal, a.command("maintenance start", f.node))
	case word == "superseded":
		return exit(code, "somebody asked for something else of %s before the %s was over (it is %s now); look: %s",
			f.node, f.goal, v.Maintenance.Phase, a.command("maintenance status", f.node))
	}
	return nil
}

// late ends the following at the deadline.
func (a *app) late(f following, v ha.MaintenanceView) error {
	a.closeScreen()
	if a.json() {
		if err := a.result(f.node, "deadline", exitDeadline, left(v.Guests)); err != nil {
			return err
		}
	} else {
		a.print(leftLines(v.Guests, v.Waits)...)
		for _, w := range v.Waits {
			if !isGuest(v.Guests, w.Subject) || w.Blocked {
				a.print(waitLines(a.style, w)...)
			}
		}
	}
	return exit(exitDeadline, `the deadline passed before the %s of %s was over: no new move is begun, those under way land
  look:        %s
  go on:       %s --deadline 30m
  give it up:  %s`, f.goal, f.node, a.command("maintenance watch", f.node),
		a.command("maintenance "+f.goal.verb(), f.node), a.command("maintenance cancel", f.node))
}

// leave ends the following on Ctrl-C and says what goes on without us.
func (a *app) leave(f following, v ha.MaintenanceView) error {
	a.closeScreen()
	if a.json() {
		if err := a.result(f.node, "interrupted", exitInterrupted, left(v.Guests)); err != nil {
			return err
		}
	}
	what := cmp.Or(f.goal, "maintenance")
	text := fmt.Sprintf("stopped following; the %s of %s goes on\n  follow it again:  %s", what, f.node, a.command("maintenance watch", f.node))
	if what == drain {
		text += fmt.Sprintf("\n  give it up:       %s", a.command("maintenance cancel", f.node))
	}
	return exit(exitInterrupted, "%s", text)
}

// result writes the last line of a JSON stream.
func (a *app) result(node ha.NodeName, word string, code int, left []ha.SID) error {
	return a.stream(streamLine{Type: "result", Result: &streamResult{Node: node, Outcome: word, ExitCode: code, Left: full(left)}})
}

// left are the guests that are not where they should be.
func left(guests []ha.GuestProgress) []ha.SID {
	var list []ha.SID
	for _, g := range guests {
		if g.State != progressDone && g.State != progressStays {
			list = append(list, g.SID)
		}
	}
	return list
}

// command spells a psw command to type next, for the project that is spoken of now.
func (a *app) command(words string, node ha.NodeName) string {
	parts := []string{"psw"}
	if a.flags.project != "" {
		parts = append(parts, "-C", shellWord(a.flags.project))
	}
	for _, c := range a.flags.coordinators {
		parts = append(parts, "--coordinator", shellWord(c))
	}
	if a.flags.tls != "" {
		parts = append(parts, "--tls", shellWord(a.flags.tls))
	}
	return strings.TrimSpace(strings.Join(append(parts, words, string(node)), " "))
}

// shellWord quotes a word where the shell would take it apart.
func shellWord(w string) string {
	if strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-:,+@%") == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
