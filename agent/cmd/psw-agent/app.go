package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/version"
)

// Exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotReady = 3
)

// app is the program without the process around it.
type app struct {
	env      map[string]string
	stdout   io.Writer
	stderr   io.Writer
	hostname func() (string, error)
	host     func() probe.Host
}

// main runs one command line and returns the exit code.
func (a app) main(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(a.stderr, "psw-agent: %s\n", strings.ReplaceAll(err.Error(), "\n", "\npsw-agent: "))
	}
	switch ha.KindOf(err) {
	case "":
		return exitDone
	case ha.Invalid:
		return exitUsage
	case ha.NotReady:
		return exitNotReady
	case ha.NotFound, ha.Conflict, ha.Unavailable, ha.Denied, ha.Internal:
		return exitFailed
	}
	return exitFailed
}

func (a app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "psw-agent",
		Short: "The agent of psw-ha on a Proxmox node",
		Long: `psw-agent looks at what decides high availability on the node it runs on (NFS mounts,
watchdog, corosync links, the HA services, guests), reports it to the coordinator, and
switches maintenance mode when the coordinator orders it.

Exit codes: 0 done or ready, 1 failed, 2 wrong usage or configuration, 3 not ready.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return ha.Errorf(ha.Invalid, "there is no command %q: want run, check, record or version", args[0])
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
	root.AddCommand(a.runCommand(), a.checkCommand(), a.recordCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(0),
		Run:   func(*cobra.Command, []string) { fmt.Fprintf(a.stdout, "psw-agent %s\n", version.String()) },
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

// node is the name of the node we are on: the host name without its domain.
func (a app) node() (ha.NodeName, error) {
	name, err := a.hostname()
	if err != nil {
		return "", fmt.Errorf("cannot tell the name of this node: %w", err)
	}
	name, _, _ = strings.Cut(name, ".")
	return ha.NodeName(name), nil
}
