package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// operationFlags are the flags of every command that begins an operation.
type operationFlags struct {
	options  ha.OperationOptions
	dryRun   bool
	detach   bool
	deadline time.Duration
	message  string
	accept   []string
	// confirm asks in words of the operation's own whether to proceed; nil: yes or no.
	confirm func(context.Context, ha.OperationPreview) error
}

// register adds the flags that all operations share.
func (f *operationFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and the stock Proxmox commands it equals, and do nothing")
	flags.BoolVar(&f.detach, "detach", false, "begin, and do not follow")
	flags.DurationVar(&f.deadline, "deadline", 0, "begin nothing new after `TIME`, e.g. 30m, and stop following then")
	flags.StringVarP(&f.message, "message", "m", "", "why: a `TEXT` for the journal and for colleagues")
}

// registerAccept adds --accept, for operations that ask the readiness verdict first.
func (f *operationFlags) registerAccept(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.accept, "accept", nil, "go on although the check `CODE` fails or could not look; may be repeated, and is recorded")
}

// request checks the flags and makes the request of them.
func (f *operationFlags) request(a *app, cmd *cobra.Command, r ha.OperationRequest) (ha.OperationRequest, error) {
	r.Message = f.message
	switch {
	case f.dryRun && f.detach:
		return r, exit(exitUsage, "--dry-run and --detach contradict each other: a dry run begins nothing that could be followed")
	case cmd.Flags().Changed("deadline") && f.deadline <= 0:
		return r, exit(exitUsage, "--deadline is how long it may take, e.g. 30m, not %s", f.deadline)
	case a.json() && !f.dryRun && !a.flags.yes:
		return r, exit(exitUsage, "with -o json no question is asked: add --yes to begin, or --dry-run to see the plan")
	case !a.askable && !f.dryRun && !a.flags.yes && f.confirm == nil:
		return r, exit(exitUsage, "cannot ask whether to proceed, because this is not a terminal: add --yes to begin, or --dry-run to see the plan only")
	}
	r.Options = f.options
	for _, code := range f.accept {
		r.Options.Accept = append(r.Options.Accept, ha.Code(code))
	}
	policy, err := a.policy()
	r.Policy = policy
	return r, err
}

// operateCommand runs a command that begins an operation, once its flags make sense.
func (a *app) operateCommand(cmd *cobra.Command, r ha.OperationRequest, f *operationFlags) error {
	r, err := f.request(a, cmd, r)
	if err != nil {
		return err
	}
	return a.with(func(op *rpc.Operator) error { return a.operate(cmd.Context(), op, r, *f) })
}

// operate shows the plan, refuses if something forbids it, asks, has the coordinator begin,
// and follows.
func (a *app) operate(ctx context.Context, op *rpc.Operator, r ha.OperationRequest, f operationFlags) error {
	what := "begin " + r.Kind.Command()
	p, err := op.PreviewOperation(ctx, r)
	if err != nil {
		return cannot(what, err)
	}
	open, continues, err := a.goesOn(ctx, op, r)
	if err != nil {
		return cannot(what, err)
	}
	if err := a.showOperationPreview(r, p, f.dryRun, continues); err != nil || f.dryRun {
		return err
	}
	switch {
	case continues:
		a.talk("It is under way already, asked for at %s; this goes on with it.", stamp(open.RequestedAt))
	case nothingToDo(p):
		a.talk("Nothing is to be done.")
	case f.confirm != nil:
		if err := f.confirm(ctx, p); err != nil {
			return err
		}
	default:
		if err := a.ask(ctx); err != nil {
			return err
		}
	}
	if f.deadline > 0 {
		r.Options.Deadline = time.Now().Add(f.deadline)
	}
	o, err := a.startOperation(ctx, op, r)
	if err != nil {
		return cannot(what, err)
	}
	if f.detach {
		return a.operationDetached(o, p)
	}
	return a.followOperation(ctx, op, operationFollowing{id: o.ID, deadline: r.Options.Deadline, nothing: !continues && nothingToDo(p)})
}

// goesOn looks whether what is asked for is under way.
func (a *app) goesOn(ctx context.Context, op *rpc.Operator, r ha.OperationRequest) (ha.Operation, bool, error) {
	views, err := op.Operations(ctx, "")
	if err != nil {
		return ha.Operation{}, false, err
	}
	for _, v := range views {
		if o := v.Operation; !o.Closed() && o.Kind == r.Kind && o.Node == r.Node && o.Target == r.Target {
			return o, true, nil
		}
	}
	return ha.Operation{}, false, nil
}

// startOperation has the coordinator begin. Repeating it is safe: asking for what is under
// way only returns it.
func (a *app) startOperation(ctx context.Context, op *rpc.Operator, r ha.OperationRequest) (o ha.Operation, err error) {
	patience, stop := context.WithTimeout(ctx, requestFor)
	defer stop()
	err = keepAsking(patience, a.warnLine, func(func()) error {
		o, err = op.StartOperation(patience, r)
		return err
	})
	if patience.Err() != nil && err != nil {
		code := exitFailed
		if ctx.Err() != nil {
			code = exitInterrupted
		}
		return o, exit(code, "it is not known whether the coordinator has begun it; look: %s", a.command("operation list", ""))
	}
	return o, err
}

// operationDetached ends a command that began something and does not follow it.
// Nobody reads its end then, so what will be left to do is said now.
func (a *app) operationDetached(o ha.Operation, p ha.OperationPreview) error {
	if o.Kind == ha.OperationRemoveNode {
		o.Notices = p.Notices
	}
	if a.json() {
		return a.operationResult(o, "detached", exitDone)
	}
	a.print(fmt.Sprintf("psw %s has begun.", o.Kind.Command()))
	for _, line := range noticeLines(o) {
		a.warnLine(line)
	}
	a.talk("Follow it: %s", a.command("operation watch", ""))
	return nil
}

func (a *app) operationListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "What was asked for, and what came of it",
		Long:  `List the operations that are kept, the newest last: what was asked for beside maintenances.`,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(op *rpc.Operator) error { return a.listOperations(cmd.Context(), op) })
		},
	}
}

func (a *app) listOperations(ctx context.Context, op *rpc.Operator) error {
	views, err := op.Operations(ctx, "")
	if err != nil {
		return cannot("list operations", err)
	}
	if a.json() {
		return a.document(struct {
			Operations []*ha.OperationView `json:"operations"`
		}{each(views, fullOperationView)})
	}
	if len(views) == 0 {
		a.print("There has been no operation yet.")
		return nil
	}
	a.print(operationRows(a.style, views)...)
	for k, v := range views {
		o := v.Operation
		again := func(later ha.OperationView) bool {
			return later.Operation.Kind == o.Kind && later.Operation.Subject() == o.Subject()
		}
		if len(o.Notices) > 0 && !slices.ContainsFunc(views[k+1:], again) {
			a.print("", fmt.Sprintf("Left to you by %s %s of %s:", o.Kind.Command(), o.Subject(), stamp(o.RequestedAt)))
			a.print(noticeLines(o)...)
		}
	}
	return nil
}

func (a *app) operationWatchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch [ID]",
		Short: "Follow an operation that is under way, or look at one that is over",
		Long: `Follow the newest operation, or the one of that ID, until it is over. Ctrl-C stops
following only.

Exit codes: 0 it is done, 1 it failed or was given up, 3 something was left out, 130 no longer following.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exit(exitUsage, "%s follows one operation, not %d: their IDs are in psw operation list", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var f operationFollowing
			if len(args) == 1 {
				f.id = args[0]
			}
			return a.with(func(op *rpc.Operator) error { return a.followOperation(cmd.Context(), op, f) })
		},
	}
}

func (a *app) operationCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel",
		Short: "Give the operation that is under way up, safely",
		Long: `Give the open operation up: what is under way lands, nothing new is begun, and what was
changed only for its sake is put back. What was done stays.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(op *rpc.Operator) error {
				o, err := op.CancelOperation(cmd.Context(), "", "")
				if err != nil {
					return cannot("give the operation up", err)
				}
				return a.followOperation(cmd.Context(), op, operationFollowing{id: o.ID, cancelled: true})
			})
		},
	}
}
