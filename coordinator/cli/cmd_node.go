package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (a *app) nodeClusterCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Form the cluster from cluster.nodes, or join the nodes that are not in it yet",
		Long: `Form the Proxmox cluster that network.yml declares: it begins with the first of
cluster.nodes, and the others join one at a time, over the links of management.hosts. Nodes
that are declared later join what is there. The QDevice is set up where one is declared and
the number of nodes is even.

It looks at every node first and refuses before anything is touched: a node that holds
guests, is in another cluster, runs another version, lacks a declared address, or whose join
would cost the cluster its quorum. Run again, it changes nothing.

Exit codes: 0 the cluster is as declared, 1 failed, 3 refused, 4 the deadline passed, 130 no
longer following.`,
		Example: `  psw node cluster --dry-run
  psw node cluster --yes`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationCluster}, &f)
		},
	}
	f.register(cmd)
	return cmd
}

func (a *app) nodeRemoveCommand() *cobra.Command {
	var f operationFlags
	var off string
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node out of the cluster for good",
		Long: `Take NODE out of the cluster for good, in Proxmox's order: no guest is left on it (drain it
first: psw maintenance start NODE), no rule of ours names it, it is off, and then one of the
other nodes removes it. A QDevice is removed before and set up again after, where the number
of nodes allows it.

NODE must be powered off, and must never boot again on this network as it is: it would still
believe that it is a member. That is for you to say: on a terminal you are asked and type its
name, which --yes does not do for you; elsewhere say --powered-off NODE.

Exit codes: 0 it is removed, 1 failed, 3 refused, 4 the deadline passed, 130 no longer
following.`,
		Example: `  psw node remove node3 --dry-run
  psw node remove node3 --powered-off node3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exit(exitUsage, "%s takes one node at a time, not %d: the next one only when this one is out", cmd.CommandPath(), len(args))
			}
			return oneNode(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if off != "" && off != args[0] {
				return exit(exitUsage, "--powered-off says that %s is off, but %s is to be removed", off, args[0])
			}
			node := ha.NodeName(args[0])
			switch {
			case off != "" || f.dryRun: // a dry run does nothing that it would have to be off for
			case a.json():
				return exit(exitUsage, "with -o json no question is asked: say that %s is off with --powered-off %s", node, node)
			case !a.askable:
				return exit(exitUsage, "cannot ask whether %s is off, because this is not a terminal: say so with --powered-off %s", node, node)
			default:
				f.confirm = func(ctx context.Context, p ha.OperationPreview) error { return a.askName(ctx, node, offMeans(node, p)) }
			}
			f.options.PoweredOff = true // nothing is begun before it was said
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationRemoveNode, Node: node}, &f)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&off, "powered-off", "", "`NODE` once more: it is off, and will never boot on this network again as it is")
	return cmd
}

// offMeans is what somebody says who types the name of a node that is to be removed.
func offMeans(n ha.NodeName, p ha.OperationPreview) string {
	is := "%[1]s must be off"
	if off, _ := findBy(p.Steps, func(s ha.OperationStep) bool { return s.Key == "off "+string(n) }); !off.State.Over() {
		is = "The cluster sees %[1]s online: shut it down now, it is removed once it is off. It must stay off"
	}
	return fmt.Sprintf(is+", and must never boot again on this network as it is: it still believes that it is a member.", n)
}

func (a *app) bootstrapCommand() *cobra.Command {
	var f operationFlags
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "From blank nodes to a protected cluster",
		Long: `Cluster, then shared storage, then HA registration, then the hook for the core apps, in this
order: a step that fails stops the later ones. Run again it goes on where it was, and says
unchanged of everything that is as it should be.

Before targets are registered it asks whether HA is ready, by the minimum profile; a check
that fails or could not look stops it, unless --accept CODE names it, which is recorded.
Targets without a guest are left out and named; what the hook made is registered after it.

Exit codes: 0 everything is as declared, 1 failed, 3 refused, or something could not be
registered, such as a target without a guest, 4 the deadline passed, 130 no longer following.`,
		Example: `  psw bootstrap --dry-run
  psw bootstrap --yes`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operateCommand(cmd, ha.OperationRequest{Kind: ha.OperationBootstrap}, &f)
		},
	}
	f.register(cmd)
	f.registerAccept(cmd)
	return cmd
}
