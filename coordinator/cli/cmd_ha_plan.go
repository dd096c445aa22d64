package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "The difference between network.yml and what is registered",
		Long: `Compare the project's network.yml with the HA resources and rules that are registered,
and print the difference with the stock Proxmox commands it equals. Nothing is changed.

Exit codes: 0 the comparison was made, 3 something in it is blocked and says its fix.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd.Context()) },
	}
}

func (a *app) plan(ctx context.Context) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	var p ha.PlanView
	err = a.with(func(op *rpc.Operator) error {
		p, err = op.Plan(ctx, policy)
		return err
	})
	if err != nil {
		return cannot("compare the project with the cluster", err)
	}
	if a.json() {
		p.Changes = full(p.Changes)
		err = a.document(p)
	} else {
		a.print(planLines(a.style, p, a.flags.quiet)...)
	}
	if err == nil && blocked(p.Waits) {
		return &outcome{code: exitRefused}
	}
	return err
}
