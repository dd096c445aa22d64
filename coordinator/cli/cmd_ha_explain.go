package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain TARGET",
		Short: "Why is a target not where, or as, it should be? And what to type next",
		Long: `Say how a target stands, every reason that is known why it is not where or as it should
be, whether each node could run it and if not why, the rules that bind it, what Proxmox
and the coordinator did with it lately, and the commands that look further or help.

Exit codes: 0 it is as it should be, 3 it is not.`,
		Example: `  psw ha explain media
  psw ha explain media -o json | jq -r '.next[].command'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exit(exitUsage, "%s wants one target of network.yml", cmd.CommandPath())
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args[0]) },
		ValidArgsFunction: a.completeTargets,
	}
}

func (a *app) explain(ctx context.Context, target string) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	var e ha.Explanation
	err = a.with(func(op *rpc.Operator) (err error) {
		e, err = op.Explain(ctx, target, policy)
		return err
	})
	if err != nil {
		return cannot("explain "+target, err)
	}
	if a.json() {
		err = a.document(newExplainDocument(e))
	} else {
		a.print(explainLines(a.style, e, a.flags.quiet)...)
	}
	if err == nil && !e.Well {
		return &outcome{code: exitRefused}
	}
	return err
}

// explainDocument is the answer of `ha explain -o json`.
type explainDocument struct {
	ha.Explanation
	Findings []findingDocument `json:"findings"`
}

func newExplainDocument(e ha.Explanation) explainDocument {
	e.Reasons, e.Places, e.Rules, e.Tasks = full(e.Reasons), full(e.Places), full(e.Rules), full(e.Tasks)
	e.Events, e.Next, e.Log = full(e.Events), full(e.Next), full(e.Log)
	return explainDocument{Explanation: e, Findings: each(e.Findings, func(f ha.Finding) findingDocument { return findingDocument{f, docsAnchor(f.Code)} })}
}

// explainLines renders an explanation: how it stands, why, what to do; then, unless it is
// to be quiet, what else is known.
func explainLines(st style, e ha.Explanation, quiet bool) []string {
	lines := sentence("", strings.TrimSuffix(e.Summary, ".")+".")
	if e.Well {
		lines = append(lines, st.good("It is where and as it should be."))
	} else {
		lines = append(lines, "", st.bold("Why"))
		for _, r := range e.Reasons {
			lines = append(lines, sentence("  "+r.Subject+": ", r.Text)...)
		}
	}
	if len(e.Next) > 0 {
		lines = append(lines, "", st.bold("Next"))
		for _, h := range e.Next {
			lines = append(lines, "  "+h.Command)
			lines = append(lines, sentence("      ", h.Why)...)
		}
	}
	if quiet {
		return lines
	}
	places, tasks := table{}, table{}
	for _, p := range e.Places {
		word := st.bad("no")
		if p.OK {
			word = st.good("yes")
		}
		places.row(string(p.Node), word, p.Text)
	}
	for _, t := range e.Tasks {
		status := t.Status
		if t.Ended.IsZero() {
			status = "runs"
		}
		tasks.row(stamp(t.Started), t.Type, string(t.Node), status)
	}
	var rules, findings []string
	for _, r := range e.Rules {
		rules = append(rules, sentence("", r)...)
	}
	for _, f := range e.Findings {
		findings = append(findings, sentence(fmt.Sprintf("%s: %s on %s: ", st.status(f.Status, string(f.Status)), f.Code, f.Subject), cmp.Or(f.Evidence, f.Title))...)
	}
	lines = append(lines, titled(st, "Places", places.lines())...)
	lines = append(lines, titled(st, "Rules", rules)...)
	lines = append(lines, titled(st, "Findings", findings)...)
	lines = append(lines, titled(st, "What pve-ha-lrm wrote", e.Log)...)
	lines = append(lines, titled(st, "Proxmox's tasks", tasks.lines())...)
	return append(lines, titled(st, "The coordinator's journal", each(e.Events, func(ev ha.Event) string { return eventLine(st, ev) }))...)
}

// titled is a part of an answer with a heading; nothing if there is nothing in it.
func titled(st style, title string, items []string) []string {
	if len(items) == 0 {
		return nil
	}
	lines := []string{"", st.bold(title)}
	for _, i := range items {
		lines = append(lines, "  "+i)
	}
	return lines
}

func each[A, B any](list []A, to func(A) B) []B {
	out := make([]B, len(list))
	for k, v := range list {
		out[k] = to(v)
	}
	return out
}
