package cli

import (
	"net"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/version"
)

// rootCommand builds the tree of commands: noun, then verb.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "psw",
		Short: "High availability for a PSW project on Proxmox VE",
		Long: `psw declares nothing and decides nothing: it asks the coordinator of a cluster, shows
the answer, and follows what was begun. Ctrl-C stops following, never what is under way.

Exit codes: 0 done or ready, 1 failed, 2 wrong usage or invalid project,
3 refused or not ready, 4 the deadline passed, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version.String(),
		Args:          cobra.ArbitraryArgs,
		RunE:          nounOnly,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if err := a.checkGlobalFlags(); err != nil {
				return err
			}
			a.style = style{on: a.terminal != nil && !a.flags.noColor && a.env["NO_COLOR"] == ""}
			a.began = true
			return nil
		},
	}
	root.SetVersionTemplate("psw {{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)

	root.Flags().Bool("version", false, "print the version")

	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVarP(&a.flags.project, "project", "C", "", "the project is in `DIR` (default: the nearest folder upwards that holds network.yml)")
	f.StringArrayVar(&a.flags.coordinators, "coordinator", nil, "the coordinator is at `HOST:PORT`; may be repeated")
	f.StringVar(&a.flags.tls, "tls", "", "ca.crt, operator.crt and operator.key are in `DIR` (default: .psw/ha in the project)")
	f.StringVarP(&a.flags.output, "output", "o", "text", "the answer's `FORMAT`: text or json")
	f.BoolVar(&a.flags.quiet, "quiet", false, "say only what is wrong, and the result")
	f.BoolVar(&a.flags.verbose, "verbose", false, "say more")
	f.BoolVar(&a.flags.yes, "yes", false, "ask no question")
	f.BoolVar(&a.flags.noColor, "no-color", false, "no colours (also: NO_COLOR in the environment)")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	must(root.MarkPersistentFlagDirname("project"))
	must(root.MarkPersistentFlagDirname("tls"))

	project := noun("project", "The project folder itself, offline")
	project.AddCommand(a.projectValidateCommand())
	cluster := noun("ha", "Look at high availability: is it ready, where is what, what happened, what if")
	cluster.AddCommand(a.statusCommand(), a.checkCommand(), a.planCommand(), a.eventsCommand(),
		a.simulateCommand(), a.capacityCommand(), a.factsCommand())
	cluster.AddCommand(a.explainCommand(), a.muteCommand(), a.unmuteCommand(), a.ackCommand())
	cluster.AddCommand(a.applyCommand(), a.rebalanceCommand(), a.recoverCommand(), a.moveCommand())
	cluster.AddCommand(a.proveCommand(), a.fenceCommand())
	maintenance := noun("maintenance", "Take a node out of service and bring it back")
	maintenance.AddCommand(a.startCommand(), a.endCommand(), a.maintenanceStatusCommand(), a.watchCommand(), a.cancelCommand())
	operation := noun("operation", "Look at what takes its time beside maintenances: apply, bootstrap, …")
	operation.AddCommand(a.operationListCommand(), a.operationWatchCommand(), a.operationCancelCommand())
	node := noun("node", "Form the cluster, extend it, and take a node out for good")
	node.AddCommand(a.nodeClusterCommand(), a.nodeRemoveCommand())
	root.AddCommand(project, node, a.bootstrapCommand(), cluster, maintenance, operation, a.versionCommand())
	return root
}

// must is for what can only fail if a name in this package is misspelled.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// noun is a command that only groups others.
func noun(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs, RunE: nounOnly}
}

// nounOnly answers a noun without a verb, or with one that does not exist.
func nounOnly(cmd *cobra.Command, args []string) error {
	var verbs []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			verbs = append(verbs, c.Name())
		}
	}
	if len(args) == 0 {
		return exit(exitUsage, "%s needs a command after it: %s (see %s --help)", cmd.CommandPath(), strings.Join(verbs, ", "), cmd.CommandPath())
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return exit(exitUsage, "there is no %q in %s; did you mean %s?", args[0], cmd.CommandPath(), strings.Join(near, " or "))
	}
	return exit(exitUsage, "there is no %q in %s; there is: %s", args[0], cmd.CommandPath(), strings.Join(verbs, ", "))
}

// flagError explains a flag that does not exist or has a wrong value.
func flagError(cmd *cobra.Command, err error) error {
	if strings.Contains(err.Error(), "--force") {
		return exit(exitUsage, "there is no --force; name what may be overridden: --allow-overcommit, --stop-pinned or --leave-pinned, --guest SID")
	}
	return exit(exitUsage, "%v (see %s --help)", err, cmd.CommandPath())
}

// checkGlobalFlags refuses values and combinations that contradict themselves.
func (a *app) checkGlobalFlags() error {
	switch {
	case !slices.Contains([]string{"text", "json"}, a.flags.output):
		return exit(exitUsage, "-o is text or json, not %q", a.flags.output)
	case a.flags.quiet && a.flags.verbose:
		return exit(exitUsage, "--quiet and --verbose contradict each other: give one of them")
	}
	for _, addr := range a.flags.coordinators {
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
			return exit(exitUsage, "--coordinator %s is not host:port", addr)
		}
	}
	return nil
}

// noArguments refuses anything after the verb.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit(exitUsage, "%s takes no argument, but %q was given", cmd.CommandPath(), args[0])
	}
	return nil
}

// versionDocument is the answer of `version -o json`.
type versionDocument struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of psw",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			v := versionDocument{version.String(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.json() {
				return a.document(v)
			}
			a.print("psw " + v.Version + " (" + v.Go + ", " + v.Platform + ")")
			return nil
		},
	}
}
