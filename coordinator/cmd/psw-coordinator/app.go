package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/version"
)

// Exit codes, the same as psw's where both have them.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

// app is the program without the process around it.
type app struct {
	env      map[string]string
	stdout   io.Writer
	stderr   io.Writer
	hostname func() (string, error)
}

// main runs one command line and returns the exit code.
func (a app) main(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintf(a.stderr, "psw-coordinator: %s\n", strings.ReplaceAll(err.Error(), "\n", "\npsw-coordinator: "))
	}
	switch ha.KindOf(err) {
	case "":
		return exitDone
	case ha.Invalid, ha.NotFound:
		return exitUsage
	case ha.Conflict, ha.NotReady:
		return exitRefused
	case ha.Unavailable, ha.Denied, ha.Internal:
		return exitFailed
	}
	return exitFailed
}

func (a app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "psw-coordinator",
		Short: "The coordinator of psw-ha",
		Long: `psw-coordinator judges whether high availability will work, drains nodes and brings them
back, for the operator's psw. It speaks to Proxmox with an API token and to the agents on
the nodes with mutual TLS. Proxmox's own HA manager restarts guests after a failure,
whether a coordinator runs or not.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return ha.Errorf(ha.Invalid, "there is no command %q: see psw-coordinator --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return ha.Errorf(ha.Invalid, "%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(a.serveCommand(), a.checkConfigCommand(), a.caCommand(), a.gossipKeyCommand(), a.backupCommand(), a.restoreCommand(),
		&cobra.Command{
			Use:   "version",
			Short: "Print the version",
			Args:  arguments(0),
			Run:   func(*cobra.Command, []string) { fmt.Fprintf(a.stdout, "psw-coordinator %s\n", version.String()) },
		})
	return root
}

// arguments demands exactly n arguments.
func arguments(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return ha.Errorf(ha.Invalid, "usage: %s", cmd.UseLine())
		}
		return nil
	}
}

func (a app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the state to FILE, also while the coordinator runs",
		Long: `Copy the state (policy, maintenances, generation, journal, last reports) to a new FILE and
verify the copy. The coordinator may run meanwhile.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.statePath(cmd)
			if err != nil {
				return err
			}
			if err := store.CopyLive(path, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "The state %s is copied to %s and verified.\n", path, args[0])
			return nil
		},
	}
	stateFlags(cmd)
	return cmd
}

func (a app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a copy made by backup in the place of the state",
		Long: `Verify FILE and put a copy of it in the place of the state, which is kept beside it. Refused
while a coordinator runs on that state. Maintenances and the journal are then as they were
at the time of the backup; where guests are is read from Proxmox, as always.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.statePath(cmd)
			if err != nil {
				return err
			}
			aside, err := store.Restore(args[0], path, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "The state %s is now that of %s.\n", path, args[0])
			if aside != "" {
				fmt.Fprintf(a.stdout, "What was there before is kept as %s.\n", aside)
			}
			return nil
		},
	}
	stateFlags(cmd)
	return cmd
}
