package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// caFolder is where the CA is kept unless another folder is named. Whoever has its key may
// speak in any role: it belongs on a machine that only administrators use.
const caFolder = "/etc/psw-ha/ca"

func (a app) caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make the certificates with which agents, coordinator and operators know each other",
		Args:  arguments(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.caInitCommand(), a.caIssueCommand())
	return cmd
}

func (a app) caInitCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a certificate authority in DIR (default: " + caFolder + ")",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := caFolder
			if len(args) == 1 {
				dir = args[0]
			}
			ca, err := rpc.NewCA(name)
			if err != nil {
				return fmt.Errorf("cannot make a certificate authority: %w", err)
			}
			if err := ca.Save(dir); err != nil {
				return ha.Errorf(kindOf(err), "cannot make a certificate authority: %w", err)
			}
			fmt.Fprintf(a.stdout, "The certificate authority is in %s. Keep ca.key there, and there only: whoever has it may speak in any role.\n", dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "psw-ha", "the authority's `NAME`, for people")
	return cmd
}

func (a app) caIssueCommand() *cobra.Command {
	var from, out string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "issue ROLE NAME",
		Short: "Issue a certificate: agent NODE, coordinator NAME, or operator NAME",
		Long: `Issue a certificate and write ca.crt, ROLE.crt and ROLE.key into a folder, replacing what is
there.

  psw-coordinator ca issue agent node1 --out /tmp/node1      then /etc/psw-ha/tls on node1
  psw-coordinator ca issue coordinator core --out /etc/psw-ha/tls
  psw-coordinator ca issue operator anna --out ~/home/.psw/ha

An agent's NAME is its node's, as pvecm nodes prints it. An operator's is written into the
journal with everything they ask for.`,
		Args: arguments(2),
		RunE: func(_ *cobra.Command, args []string) error {
			role, name := rpc.Role(args[0]), args[1]
			ca, err := rpc.LoadCA(from)
			if err != nil {
				return ha.Errorf(kindOf(err), "cannot read the certificate authority: %w\nmake one with: psw-coordinator ca init %s", err, from)
			}
			cert, err := ca.Issue(role, name, hosts...)
			if err != nil {
				return ha.Errorf(kindOf(err), "cannot issue a certificate: %w", err)
			}
			f, err := cert.Save(out)
			if err != nil {
				return fmt.Errorf("cannot write the certificate: %w", err)
			}
			fmt.Fprintf(a.stdout, "%s\n%s\n%s\n", f.CA, f.Cert, f.Key)
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "ca", caFolder, "the authority's `DIR`")
	cmd.Flags().StringVar(&out, "out", ".", "the `DIR` to write into")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "a DNS `NAME` or IP address to write into it, for tools that look for one; may be repeated")
	return cmd
}

// kindOf is an error's kind; a fault of the file system is no fault of ours.
func kindOf(err error) ha.Kind {
	if k := ha.KindOf(err); k != ha.Internal {
		return k
	}
	return ha.Unavailable
}

func (a app) gossipKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "gossip-key FILE",
		Short: "Make the key that encrypts gossip; every member needs the same",
		Args:  arguments(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := gossip.NewKey()
			if err != nil {
				return fmt.Errorf("cannot make a gossip key: %w", err)
			}
			if err := key.Save(args[0]); err != nil {
				return ha.Errorf(ha.Conflict, "cannot make a gossip key: %w", err)
			}
			fmt.Fprintln(a.stdout, args[0])
			return nil
		},
	}
}
