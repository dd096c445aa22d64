package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (a *app) capacityCommand() *cobra.Command {
	var file string
	terms := forecast.DefaultCapacity()
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "Is there room for everybody when a node is lost? And where would Proxmox put them?",
		Long: `For every loss of a node, tell whether the HA guests on it find room on the others. Two
answers are told apart: whether they could fit, in the best placement there is, and
whether they will, where Proxmox's HA manager really puts them. Proxmox never refuses a
start for lack of memory, and so the two may differ. What does not fit is named, with
the cheapest ways out. It is computed here from facts, the coordinator's or a file's.

Exit codes: 0 every loss fits, 3 one does not.`,
		Example: `  psw ha capacity
  psw ha capacity --losses 2 --quiet
  psw ha capacity -f facts.json -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case terms.Losses < 1:
				return exit(exitUsage, "--losses is how many nodes are lost at once, at least 1, not %d", terms.Losses)
			case !(terms.CoreRatio >= 0): // so written because NaN is neither
				return exit(exitUsage, "--core-ratio is how many assigned cores a processor may carry, e.g. 4, or 0 to leave cores out, not %g", terms.CoreRatio)
			}
			return a.capacity(cmd.Context(), terms, file)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&terms.Losses, "losses", terms.Losses, "`K` nodes are lost at once")
	f.Float64Var(&terms.CoreRatio, "core-ratio", terms.CoreRatio, "a processor may carry `R` assigned cores; 0 leaves cores out")
	f.StringVarP(&file, "file", "f", "", "from `FILE`, which psw ha facts wrote, without a coordinator")
	must(cmd.MarkFlagFilename("file", "json"))
	return cmd
}

// capacityDocument is the answer of `ha capacity -o json`.
type capacityDocument struct {
	// At is the instant of the facts.
	At      time.Time `json:"at"`
	Project string    `json:"project,omitempty"`
	Cluster string    `json:"cluster"`
	// Fits: every loss fits, wherever Proxmox puts the guests.
	Fits bool `json:"fits"`
	forecast.CapacityReport
}

func newCapacityDocument(s ha.Snapshot, r forecast.CapacityReport) capacityDocument {
	r.Losses, r.Assumptions = full(r.Losses), full(r.Assumptions)
	d := capacityDocument{At: s.At, Project: s.Policy.Project, Cluster: s.Inventory.Cluster.Name, Fits: true, CapacityReport: r}
	for _, l := range r.Losses {
		d.Fits = d.Fits && lossFits(l)
	}
	return d
}

// lossFits reports whether nothing is wrong after a loss: there is quorum, there is room,
// and Proxmox finds it.
func lossFits(l forecast.Loss) bool {
	return l.Quorate && l.Could == forecast.Fits && (l.Will == forecast.Fits || l.Will == forecast.NotAsked)
}

func (a *app) capacity(ctx context.Context, terms forecast.CapacityOptions, file string) error {
	s, err := a.facts(ctx, file)
	if err != nil {
		return err
	}
	online := 0
	for _, n := range s.Inventory.Nodes {
		if n.Online {
			online++
		}
	}
	if terms.Losses >= online {
		return exit(exitUsage, "--losses %d leaves no node of the %d that are online", terms.Losses, online)
	}
	report, err := forecast.Capacity(s, terms)
	if err != nil {
		return err
	}
	d := newCapacityDocument(s, report)
	if a.json() {
		err = a.document(d)
	} else {
		a.print(capacityLines(a.style, d, a.flags.quiet, a.flags.verbose)...)
	}
	if err == nil && !d.Fits {
		return &outcome{code: exitRefused}
	}
	return err
}
