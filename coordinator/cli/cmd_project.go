package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/project"
)

func (a *app) projectValidateCommand() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check network.yml and what belongs to it, offline",
		Long: `Read the project's files and print every fault with its place, the line, and what would be
right; then warnings and notices. Nothing is asked of any machine.

Exit codes: 0 valid, 2 not valid, or, with --strict, valid with warnings.`,
		Example: `  psw -C ~/my-project project validate
  psw project validate --strict -o json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return a.validate(strict) },
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings make the project invalid")
	return cmd
}

// validateDocument is the answer of `project validate -o json`.
type validateDocument struct {
	Valid bool   `json:"valid"`
	Dir   string `json:"dir"`
	// Faults make the project unusable; Notices (WARN and NOTICE) do not.
	Faults  []project.Fault `json:"faults"`
	Notices []project.Fault `json:"notices"`
	// Policy is the project as it was understood; null if it is not valid.
	Policy *ha.Policy `json:"policy"`
}

func (a *app) validate(strict bool) error {
	dir, err := a.projectDir()
	if err != nil {
		return err
	}
	d := validateDocument{Valid: true, Dir: dir, Faults: []project.Fault{}, Notices: []project.Fault{}}
	p, err := project.Load(dir)
	var faults *project.Faults
	switch {
	case errors.As(err, &faults):
		d.Valid, d.Faults, d.Notices = false, faults.List, full(faults.Notices)
	case err != nil:
		return err
	default:
		d.Notices, d.Policy = full(append(p.Notices, declaredCapacity(p)...)), &p.Policy
	}
	if a.json() {
		err = a.document(d)
	} else {
		err = nil
		a.print(validateLines(a.style, d, a.flags.quiet)...)
	}
	warnings := countFaults(d.Notices, ha.Warn)
	switch {
	case err != nil:
		return err
	case !d.Valid:
		return exit(exitUsage, "the project in %s is not valid: %s", dir, count(len(d.Faults), "fault"))
	case strict && warnings > 0:
		return exit(exitUsage, "the project in %s has %s, and --strict was asked for", dir, count(warnings, "warning"))
	}
	return nil
}

// validateLines renders the faults, then the notices, then the verdict.
func validateLines(st style, d validateDocument, quiet bool) []string {
	var lines []string
	for _, f := range append(d.Faults[:len(d.Faults):len(d.Faults)], d.Notices...) {
		if quiet && f.Status == ha.Notice {
			continue
		}
		lines = append(lines, st.status(f.Status, string(f.Status)+":")+" "+f.String(), "")
	}
	if !d.Valid {
		return lines[:len(lines)-1] // the verdict goes to stderr, as any refusal does
	}
	p := d.Policy
	managed := 0
	for _, t := range p.Targets {
		if t.HA {
			managed++
		}
	}
	line := fmt.Sprintf("%s is a valid project: %s, %s (%d with ha)", d.Dir,
		count(len(p.Cluster.Nodes), "cluster node"), count(len(p.Targets), "target"), managed)
	if s := p.Cluster.Storage; s != nil {
		line += fmt.Sprintf(", shared storage %s:%s", s.Server, s.Export)
	}
	if n := countFaults(d.Notices, ha.Warn); n > 0 {
		line += ", " + count(n, "warning")
	}
	return append(lines, st.good(line+"."))
}

func countFaults(list []project.Fault, s ha.Status) int {
	n := 0
	for _, f := range list {
		if f.Status == s {
			n++
		}
	}
	return n
}
