package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// maintenanceFlags are the flags of maintenance start and end.
type maintenanceFlags struct {
	dryRun   bool
	detach   bool
	deadline time.Duration
	message  string
	options  ha.MaintenanceOptions
	guests   []string
}

func (a *app) startCommand() *cobra.Command {
	var f maintenanceFlags
	cmd := &cobra.Command{
		Use:   "start NODE",
		Short: "Drain a node and follow until it is safe to power off",
		Long: `Show what a drain of NODE would do and what forbids it, ask, then drain and follow until
the node is safe to power off. Virtual machines move live; a container cannot, it is shut
down, moved and started. The node stays empty, across reboots, until maintenance end.

Asked again while the drain is under way, psw goes on with it: failed moves are tried
again and a new --deadline replaces the old one.

Ctrl-C stops following, not the drain: psw maintenance watch NODE re-attaches and
psw maintenance cancel NODE gives the drain up.

Exit codes: 0 safe to power off (or begun, with --detach; or may begin, with --dry-run),
1 failed or cancelled, 3 refused, 4 the deadline passed, 130 no longer following.`,
		Example: `  psw -C ~/my-project maintenance start node1
  psw maintenance start node1 --dry-run
  psw maintenance start node1 --yes --deadline 30m -m "replace a fan"
  psw maintenance start node1 --stop-pinned --guest vm:120`,
		Args:              oneNode,
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.beginCommand(cmd, drain, args[0], &f)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.options.StopPinned, "stop-pinned", false, "shut down guests that cannot move")
	cmd.Flags().BoolVar(&f.options.LeavePinned, "leave-pinned", false, "leave guests that cannot move running until the node goes down")
	return cmd
}

func (a *app) endCommand() *cobra.Command {
	var f maintenanceFlags
	cmd := &cobra.Command{
		Use:   "end NODE",
		Short: "Bring a node back and its guests home",
		Long: `Check that NODE is fit to return, show how its guests come home, ask, then take it into
service again and follow until every guest is at its preferred node.

Ctrl-C stops following, not the return: psw maintenance watch NODE re-attaches.

Exit codes: 0 the maintenance has ended (or begun to, with --detach; or may, with
--dry-run), 1 failed, 3 refused, 4 the deadline passed, 130 no longer following.`,
		Example: `  psw maintenance end node1
  psw maintenance end node1 --dry-run -o json`,
		Args:              oneNode,
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.beginCommand(cmd, restore, args[0], &f)
		},
	}
	f.register(cmd)
	return cmd
}

// register adds the flags that start and end share.
func (f *maintenanceFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and the stock Proxmox commands it equals, and do nothing")
	flags.BoolVar(&f.detach, "detach", false, "begin, and do not follow")
	flags.DurationVar(&f.deadline, "deadline", 0, "begin no new move after `TIME`, e.g. 30m, and stop following then")
	flags.StringVarP(&f.message, "message", "m", "", "why: a `TEXT` for the journal and for colleagues")
	flags.BoolVar(&f.options.AllowOvercommit, "allow-overcommit", false, "let a node hold more assigned memory than it has")
	flags.StringArrayVar(&f.guests, "guest", nil, "move `SID`, e.g. vm:120, although the project does not declare it; may be repeated")
}

// beginCommand runs start and end once their flags make sense.
func (a *app) beginCommand(cmd *cobra.Command, g goal, node string, f *maintenanceFlags) error {
	r, err := f.request(a, cmd, ha.NodeName(node))
	if err != nil {
		return err
	}
	return a.begin(cmd.Context(), g, r, *f)
}

// request checks the flags and makes the request of them. What contradicts itself is
// refused here, before anybody is asked anything.
func (f *maintenanceFlags) request(a *app, cmd *cobra.Command, node ha.NodeName) (ha.MaintenanceRequest, error) {
	r := ha.MaintenanceRequest{Node: node, Options: f.options, Message: f.message}
	switch {
	case f.options.StopPinned && f.options.LeavePinned:
		return r, exit(exitUsage, "--stop-pinned and --leave-pinned contradict each other: a guest that cannot move is either shut down or left running")
	case f.dryRun && f.detach:
		return r, exit(exitUsage, "--dry-run and --detach contradict each other: a dry run begins nothing that could be followed")
	case cmd.Flags().Changed("deadline") && f.deadline <= 0:
		return r, exit(exitUsage, "--deadline is how long it may take, e.g. 30m, not %s", f.deadline)
	case a.json() && !f.dryRun && !a.flags.yes:
		return r, exit(exitUsage, "with -o json no question is asked: add --yes to begin, or --dry-run to see the plan")
	case !a.askable && !f.dryRun && !a.flags.yes:
		return r, exit(exitUsage, "cannot ask whether to proceed, because this is not a terminal: add --yes to begin, or --dry-run to see the plan only")
	}
	for _, text := range f.guests {
		sid, err := ha.ParseSID(text)
		if err != nil {
			return r, exit(exitUsage, "--guest %v", err)
		}
		r.Options.Guests = append(r.Options.Guests, sid)
	}
	return r, nil
}

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch NODE",
		Short: "Follow a maintenance that is under way",
		Long: `Attach to the newest maintenance of NODE and follow it: a drain until the node is safe to
power off, a return until it has ended, a cancellation until it is over. Ctrl-C stops
following only.`,
		Args:              oneNode,
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(op *rpc.Operator) error {
				return a.follow(cmd.Context(), op, following{node: ha.NodeName(args[0])})
			})
		},
	}
}

func (a *app) cancelCommand() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use:   "cancel NODE",
		Short: "Give a drain up, safely",
		Long: `Give the open maintenance of NODE up: what is on its way lands, nothing new begins, and
maintenance mode is switched off. Guests that already moved stay where they are;
psw maintenance end NODE brings them home.`,
		Args:              oneNode,
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(op *rpc.Operator) error { return a.cancel(cmd.Context(), op, ha.NodeName(args[0]), detach) })
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "give it up, and do not follow")
	return cmd
}

func (a *app) cancel(ctx context.Context, op *rpc.Operator, node ha.NodeName, detach bool) error {
	m, err := op.CancelMaintenance(ctx, node, "")
	if err != nil {
		return cannot("cancel the maintenance of "+string(node), err)
	}
	if detach {
		return a.detached(cancellation, m)
	}
	return a.follow(ctx, op, following{node: node, goal: cancellation, id: m.ID})
}

func (a *app) maintenanceStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [NODE]",
		Short: "The newest maintenance of a node, or every open one",
		Long: `Show the newest maintenance of NODE, ended or not; without NODE, every open one.
Exit code 0 says that it could be asked.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exit(exitUsage, "%s takes one node, not %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			node := ha.NodeName("")
			if len(args) == 1 {
				node = ha.NodeName(args[0])
			}
			return a.with(func(op *rpc.Operator) error { return a.maintenanceStatus(cmd.Context(), op, node) })
		},
	}
}

func (a *app) maintenanceStatus(ctx context.Context, op *rpc.Operator, node ha.NodeName) error {
	views, err := op.Maintenances(ctx, node)
	if err != nil {
		return cannot("look at maintenances", err)
	}
	if a.json() {
		return a.document(struct {
			Maintenances []*ha.MaintenanceView `json:"maintenances"`
		}{each(views, fullView)})
	}
	if len(views) == 0 && node != "" {
		a.print(string(node) + " has never been in maintenance.")
	} else if len(views) == 0 {
		a.print("No node is in maintenance.")
	}
	for k, v := range views {
		if k > 0 {
			a.print("")
		}
		a.print(viewLines(a.style, v, time.Now(), a.flags.verbose)...)
	}
	return nil
}

// oneNode wants exactly one argument: a node.
func oneNode(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return exit(exitUsage, "%s needs a node, e.g. %s node1", cmd.CommandPath(), cmd.CommandPath())
	case len(args) > 1:
		return exit(exitUsage, "%s takes one node at a time, not %d: the next one only when this one is back", cmd.CommandPath(), len(args))
	case args[0] == "":
		return exit(exitUsage, "the node's name is empty")
	}
	return nil
}
