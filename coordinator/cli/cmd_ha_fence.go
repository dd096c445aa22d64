package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) fenceCommand() *cobra.Command {
	var off string
	cmd := &cobra.Command{
		Use:   "fence-test",
		Short: "Can every node reach every other node's BMC? Asks for the power, touches nothing",
		Long: `Have each node ask each other node's BMC whether that node has power, and print the
matrix. Nothing is switched. The password is in a file on each node, /etc/psw-ha/bmc/NODE,
and leaves it nowhere: not through the coordinator, not in an argument, not in a log.

With --off NODE the power of one node is really cut, to see that fencing works. The node
must be drained and run nothing, the others must keep quorum, the agent that does it must
be allowed to (PSW_HA_ALLOW_POWER_OFF=yes), and you type the node's name; --yes does not.

Exit codes: 0 every cell answers, or the power is off; 3 a cell does not, or it was
refused.`,
		Example: `  psw ha fence-test
  psw maintenance start node3 && psw ha fence-test --off node3`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("off") {
				return a.cutPower(cmd.Context(), ha.NodeName(off))
			}
			policy, err := a.policy()
			if err != nil {
				return err
			}
			return a.prove(cmd.Context(), ha.ProofFence, nil, func(st style, proofs []ha.Proof, verbose bool) []string {
				return append(matrixLines(st, proofs, verbose), methodLines(st, policy)...)
			})
		},
	}
	cmd.Flags().StringVar(&off, "off", "", "cut the power of the drained node `NODE`")
	return cmd
}

// cutPower cuts a node's power, once its name was typed.
func (a *app) cutPower(ctx context.Context, node ha.NodeName) error {
	if node == "" {
		return exit(exitUsage, "--off is the name of a node whose power is to be cut")
	}
	policy, err := a.policy()
	if err != nil {
		return err
	}
	if err := a.askName(ctx, node, fmt.Sprintf("This cuts the power of %s as if its cord were pulled.", node)); err != nil {
		return err
	}
	var by ha.ProofResult
	err = a.with(func(op *rpc.Operator) error {
		by, err = op.CutPower(ctx, ha.PowerOffRequest{Node: node, Policy: policy})
		return err
	})
	if err != nil {
		return err // it says "cannot cut the power of …" itself
	}
	if a.json() {
		return a.document(struct {
			Node ha.NodeName    `json:"node"`
			By   ha.ProofResult `json:"by"`
		}{node, by})
	}
	a.print(fmt.Sprintf("%s: %s is off, %s after %s told its BMC. Switch it on at its BMC; it stays in maintenance until `psw maintenance end %s`.",
		a.style.good("PASS"), node, span(by.Power.Took), by.Node, node))
	return nil
}

// askName has the operator type the node's name, once it was said what that means. A script
// that would pass --yes has no business doing such a thing.
func (a *app) askName(ctx context.Context, node ha.NodeName, meaning string) error {
	a.warnLine(strings.Join(wrap(meaning, lineWidth), "\n"))
	fmt.Fprint(a.stderr, "Type its name to go on: ")
	reply := make(chan string, 1)
	go func() { // left behind on Ctrl-C: a read of a terminal cannot be called off
		text, _ := bufio.NewReader(a.stdin).ReadString('\n')
		reply <- strings.TrimSpace(text)
	}()
	select {
	case text := <-reply:
		if text == string(node) {
			return nil
		}
		return exit(exitFailed, "nothing was done: %q is not %q", text, node)
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return exit(exitInterrupted, "nothing was done")
	}
}
