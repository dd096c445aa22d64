package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Nodes, votes, HA master, targets: what is where",
		Long: `Show the cluster at a glance: votes and how many losses they tolerate, the HA master,
every node with its LRM, watchdog, shared storage and agent, every target with its
preferred and current node. --watch shows it again whenever it changes: on a terminal in
place, in a pipe one line a change.

Exit code 0 says that it could be asked, not that all is well: that is psw ha check.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(op *rpc.Operator) error {
				if watch {
					return cannot("watch the status", a.watchStatus(cmd.Context(), op))
				}
				return cannot("show the status", a.status(cmd.Context(), op))
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again whenever it changes, until Ctrl-C")
	return cmd
}

func (a *app) status(ctx context.Context, op *rpc.Operator) error {
	s, err := op.Status(ctx, a.knownPolicy())
	if err != nil {
		return err
	}
	if a.json() {
		return a.document(fullStatus(s))
	}
	a.print(statusLines(a.style, s, a.flags.verbose)...)
	return nil
}

// statusInterval is how often --watch asks: as often as agents report.
const statusInterval = ha.ReportInterval

func (a *app) watchStatus(ctx context.Context, op *rpc.Operator) error {
	var last *ha.ClusterStatus
	a.openScreen()
	return keepAsking(ctx, a.warnLine, func(answered func()) error {
		for {
			s, err := op.Status(ctx, a.knownPolicy())
			if err != nil {
				return err
			}
			answered()
			if err := a.showStatus(last, s); err != nil {
				return err
			}
			last = &s
			if err := pause(ctx, statusInterval); err != nil {
				return err
			}
		}
	})
}

// showStatus shows an overview that follows another one: in place, as a JSON line, or as
// the changes between the two.
func (a *app) showStatus(last *ha.ClusterStatus, s ha.ClusterStatus) error {
	switch {
	case a.json():
		return a.line(fullStatus(s))
	case a.screen != nil:
		a.screen.Draw(append(statusLines(a.style, s, a.flags.verbose), "", a.style.faint("Ctrl-C ends the watching.")))
	case last == nil:
		a.print(statusLines(a.style, s, a.flags.verbose)...)
	default:
		for _, l := range statusChanges(*last, s) {
			a.print(stamp(s.At) + " " + l)
		}
	}
	return a.stdout.err
}

// openScreen makes a live block if the answer goes to a terminal and is meant for people.
func (a *app) openScreen() {
	if a.terminal != nil && !a.json() && !a.flags.quiet {
		a.screen = newScreen(a.terminal)
	}
}
