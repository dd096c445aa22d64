package cli

import (
	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (a *app) applyCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Register what network.yml declares",
		Long: `Show the difference between network.yml and what is registered, ask, and make it so:
HA resources, and the rules that say where targets may run. What others made is left alone.

It asks first whether HA is ready, by the minimum profile, and refuses if a check fails or
could not look; --accept CODE goes on all the same, and is recorded.

Exit codes: 0 everything is registered (or has begun to be, with --detach), 1 failed,
3 refused, or something could not be registered, such as a target without a guest, 4 the
deadline passed, 130 no longer following.`,
		Example: `  psw ha apply --dry-run
  psw ha apply --yes --keep`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationApply}, &f)
		},
	}
	f.register(cmd)
	f.registerAccept(cmd)
	cmd.Flags().BoolVar(&f.options.Keep, "keep", false, "put drift right from now on, whenever no maintenance is open")
	return cmd
}

func (a *app) rebalanceCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Bring every target to its preferred node",
		Long: `Show which targets are not on their preferred node and how each would come home, ask, and
bring them there, in an order in which every node has room for what it gets.

Exit codes: 0 everything is home, 1 failed, 3 refused, 4 the deadline passed, 130 no longer
following.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationRebalance}, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.options.AllowOvercommit, "allow-overcommit", false, "let a node hold more assigned memory than it has")
	return cmd
}

func (a *app) recoverCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "recover TARGET",
		Short: "Lead a target out of the HA manager's error state",
		Long: `Lead TARGET out of error, the way Proxmox documents: it is disabled, which stops it; you
mend the cause; it is enabled again. While it is disabled nothing protects it, so that the
operation stays open, and says so, until you say that it is mended: --mended.

Exit codes: 0 it is as it should be, 1 failed, 3 refused, 4 the deadline passed, 130 no
longer following.`,
		Example: `  psw ha recover media
  psw ha recover media --mended`,
		Args: oneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationRecover, Target: args[0]}, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.options.Mended, "mended", false, "what led it into error is mended: enable it")
	return cmd
}

func (a *app) moveCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "move TARGET NODE",
		Short: "Move one target to a node",
		Long: `Move TARGET to NODE: through the HA manager where that can do it, else past it. Then the HA
manager is told to ignore the guest, it is migrated, and its request state is put back,
whether the migration went well or not.

Exit codes: 0 it is there, 1 failed, 3 refused, 4 the deadline passed, 130 no longer
following.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return exit(exitUsage, "%s needs a target and a node, e.g. %s media node2", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.To = ha.NodeName(args[1])
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationMove, Target: args[0]}, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.options.Manual, "manual", false, "past the HA manager, even where that could do it")
	cmd.Flags().BoolVar(&f.options.AllowOvercommit, "allow-overcommit", false, "let a node hold more assigned memory than it has")
	return cmd
}

// oneTarget wants exactly one argument: a target, or a guest such as vm:101.
func oneTarget(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return exit(exitUsage, "%s needs one target, e.g. %s media", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}
