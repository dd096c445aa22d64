package cli

import (
	"slices"

	"github.com/spf13/cobra"
)

// completeNodes and completeTargets offer the project's names to the shell.
func (a *app) completeNodes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	policy, err := a.policy()
	if err != nil || policy == nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, n := range policy.Cluster.Nodes {
		names = append(names, string(n))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeTargets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	policy, err := a.policy()
	if err != nil || policy == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range policy.Targets {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
