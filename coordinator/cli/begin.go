package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// A goal is what following a maintenance waits for.
type goal string

// The goals. The zero goal follows whatever is under way to its own end.
const (
	drain        goal = "drain"
	restore      goal = "return"
	cancellation goal = "cancellation"
)

// verb is the command that asks for the goal.
func (g goal) verb() string {
	switch g {
	case restore:
		return "end"
	case cancellation:
		return "cancel"
	case drain:
	}
	return "start"
}

// begin is maintenance start and end: show the plan, refuse if something forbids it, ask,
// have the coordinator begin, follow.
func (a *app) begin(ctx context.Context, g goal, r ha.MaintenanceRequest, f maintenanceFlags) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	r.Policy = policy
	return a.with(func(op *rpc.Operator) error { return a.beginWith(ctx, op, g, r, f) })
}

func (a *app) beginWith(ctx context.Context, op *rpc.Operator, g goal, r ha.MaintenanceRequest, f maintenanceFlags) error {
	cannotBegin := fmt.Sprintf("%s maintenance of %s", g.verb(), r.Node)
	now, err := underWay(ctx, op, r.Node)
	if err != nil {
		return cannot(cannotBegin, err)
	}
	if g == drain && now.Safe && !f.dryRun {
		return a.alreadySafe(now)
	}
	continues := continuesWith(g, now.Maintenance)
	if err := a.preview(ctx, op, g, r, f.dryRun, continues); err != nil || f.dryRun {
		return cannot(cannotBegin, err)
	}
	if continues {
		a.talk("The %s of %s is under way already, asked for%s; this goes on with it.", g, r.Node, byWhom(now.Maintenance))
	}
	if err := a.ask(ctx); err != nil {
		return err
	}
	if f.deadline > 0 {
		r.Options.Deadline = time.Now().Add(f.deadline)
	}
	m, err := a.request(ctx, op, g, r)
	if err != nil {
		return cannot(cannotBegin, err)
	}
	if f.detach {
		return a.detached(g, m)
	}
	return a.follow(ctx, op, following{node: r.Node, goal: g, id: m.ID, deadline: r.Options.Deadline})
}

// preview shows how it would go. Blockers end it with exit code 3, unless it is under
// way already: then the coordinator decides, and the blockers are why it is stuck.
func (a *app) preview(ctx context.Context, op *rpc.Operator, g goal, r ha.MaintenanceRequest, dryRun, continues bool) error {
	look, head := op.PreviewStart, "Drain of"
	if g == restore {
		look, head = op.PreviewEnd, "Return of"
	}
	p, err := look(ctx, r)
	if err != nil {
		return err
	}
	refused := len(p.Blockers) > 0 && !continues
	switch {
	case a.json() && dryRun:
		err = a.document(fullPreview(p))
	case a.json():
		err = a.stream(streamLine{Type: "preview", Preview: fullPreview(p)})
	case a.flags.quiet && a.flags.yes && !dryRun:
		if refused {
			a.print(blockerLines(a.style, p.Blockers)...)
		}
	default:
		a.print(append(previewLines(a.style, head, p, dryRun || a.flags.verbose), "")...)
	}
	if err != nil || !refused {
		return err
	}
	if a.json() && !dryRun {
		if err := a.result(r.Node, "refused", exitRefused, nil); err != nil {
			return err
		}
	}
	return exit(exitRefused, "cannot %s maintenance of %s: %s, listed above; nothing was done",
		g.verb(), r.Node, count(len(p.Blockers), "blocker"))
}

// alreadySafe answers maintenance start for a node that is drained.
func (a *app) alreadySafe(v ha.MaintenanceView) error {
	m := v.Maintenance
	if a.json() {
		if err := a.stream(streamLine{Type: "view", View: fullView(v)}); err != nil {
			return err
		}
		return a.result(m.Node, "safe", exitDone, nil)
	}
	a.print(a.style.good(fmt.Sprintf("%s is safe to power off.", m.Node)))
	a.talk("It has been drained since %s, asked for%s. It comes back by: %s", stamp(m.DrainedAt), byWhom(m), a.command("maintenance end", m.Node))
	return nil
}

// detached ends a command that began something and does not follow it.
func (a *app) detached(g goal, m ha.Maintenance) error {
	if a.json() {
		v := fullView(ha.MaintenanceView{Maintenance: m})
		if err := a.stream(streamLine{Type: "view", View: v}); err != nil {
			return err
		}
		return a.result(m.Node, "detached", exitDone, nil)
	}
	a.print(fmt.Sprintf("The %s of %s has begun.", g, m.Node))
	a.talk("Follow it: %s", a.command("maintenance watch", m.Node))
	return nil
}

// ask asks whether to proceed. Anything but yes is no; Ctrl-C is no as well.
func (a *app) ask(ctx context.Context) error {
	if a.flags.yes {
		return nil
	}
	fmt.Fprint(a.stderr, "Proceed? [y/N] ")
	reply := make(chan string, 1)
	go func() { // left behind on Ctrl-C: a read of a terminal cannot be called off
		text, _ := bufio.NewReader(a.stdin).ReadString('\n')
		reply <- strings.ToLower(strings.TrimSpace(text))
	}()
	select {
	case text := <-reply:
		if text == "y" || text == "yes" {
			return nil
		}
		return exit(exitFailed, "nothing was done")
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return exit(exitInterrupted, "nothing was done")
	}
}

// requestFor is how long a request is repeated while the coordinator does not answer.
// Repeating it is safe, because asking for what is under way only returns it. A
// coordinator restarts in seconds; after a minute somebody should look at it.
const requestFor = time.Minute

// request has the coordinator begin.
func (a *app) request(ctx context.Context, op *rpc.Operator, g goal, r ha.MaintenanceRequest) (m ha.Maintenance, err error) {
	call := op.StartMaintenance
	if g == restore {
		call = op.EndMaintenance
	}
	patience, stop := context.WithTimeout(ctx, requestFor)
	defer stop()
	err = keepAsking(patience, a.warnLine, func(answered func()) error {
		m, err = call(patience, r)
		return err
	})
	if patience.Err() != nil && err != nil {
		code := exitFailed
		if ctx.Err() != nil {
			code = exitInterrupted
		}
		return m, exit(code, "it is not known whether the coordinator has begun the %s; look: %s", g, a.command("maintenance status", r.Node))
	}
	return m, err
}

// underWay returns the newest maintenance of a node, the zero view if there is none.
func underWay(ctx context.Context, op *rpc.Operator, node ha.NodeName) (ha.MaintenanceView, error) {
	views, err := op.Maintenances(ctx, node)
	if ha.KindOf(err) == ha.NotFound {
		return ha.MaintenanceView{}, nil
	}
	if err != nil || len(views) == 0 {
		return ha.MaintenanceView{}, err
	}
	return views[0], nil
}

// continuesWith reports whether asking for g only goes on with what m does already.
func continuesWith(g goal, m ha.Maintenance) bool {
	if m.Cancelling {
		return false
	}
	switch m.Phase {
	case ha.Requested, ha.Draining, ha.Drained:
		return g == drain
	case ha.Restoring:
		return g == restore
	case ha.Ended, ha.Cancelled:
		return false
	}
	return false
}
