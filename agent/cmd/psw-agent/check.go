package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (a app) checkCommand() *cobra.Command {
	var output string
	var less, more, write bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Judge this node by itself: is it ready for high availability?",
		Long: `check looks at this node once and judges it, without a coordinator, a project or any
network of its own: for installers, and for a node that behaves oddly. What needs the
view of the whole cluster is left to psw ha check.

It ends with 0 if the node is ready and with 3 if it is not.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return ha.Errorf(ha.Invalid, "-o is text or json, not %q", output)
			}
			if less && more {
				return ha.Errorf(ha.Invalid, "--quiet and --verbose exclude each other")
			}
			node, err := a.node()
			if err != nil {
				return err
			}
			prober := probe.New(a.host(), node)
			if write {
				prober.TestWrites(probe.WriteEvery)
			}
			report := prober.Look(cmd.Context())
			if err := cmd.Context().Err(); err != nil {
				return ha.Errorf(ha.Internal, "cannot check %s: interrupted", node)
			}
			readiness := check.JudgeNode(report)
			if output == "json" {
				err = writeJSON(a.stdout, node, readiness)
			} else {
				much := usual
				switch {
				case less:
					much = quiet
				case more:
					much = verbose
				}
				err = writeText(a.stdout, readiness, much)
			}
			if err != nil || readiness.Ready() {
				return err
			}
			return ha.Errorf(ha.NotReady, "") // the output has said it
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "the answer's `FORMAT`: text or json")
	cmd.Flags().BoolVar(&write, "write", true, "write a small file to each mount of Proxmox's NFS storages and read it back")
	cmd.Flags().BoolVar(&less, "quiet", false, "leave out what is well")
	cmd.Flags().BoolVar(&more, "verbose", false, "name the checks that have nothing to look at, or are effects of another")
	return cmd
}

// document is the answer of check -o json: a contract, the same as that of psw ha check
// with the node's name added. Fields are added, never renamed or removed.
type document struct {
	Node     ha.NodeName       `json:"node"`
	Ready    bool              `json:"ready"`
	Totals   totals            `json:"totals"`
	Findings []findingDocument `json:"findings"`
}

type totals struct {
	Total    int `json:"total"`
	Passed   int `json:"passed"`
	Notices  int `json:"notices"`
	Warnings int `json:"warnings"`
	Failures int `json:"failures"`
	Skipped  int `json:"skipped"`
	Unknown  int `json:"unknown"`
}

// findingDocument is a finding with the place where its check is explained.
type findingDocument struct {
	ha.Finding
	Docs string `json:"docs"`
}

func writeJSON(w io.Writer, node ha.NodeName, r ha.Readiness) error {
	d := document{Node: node, Ready: r.Ready(), Totals: count(r), Findings: make([]findingDocument, len(r.Findings))}
	for k, f := range r.Findings {
		d.Findings[k] = findingDocument{Finding: f, Docs: docs(f.Code)}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}

func count(r ha.Readiness) totals {
	return totals{Total: len(r.Findings), Passed: r.Count(ha.Pass), Notices: r.Count(ha.Notice), Warnings: r.Count(ha.Warn),
		Failures: r.Count(ha.Fail), Skipped: r.Count(ha.Skip), Unknown: r.Count(ha.Unknown)}
}

func docs(code ha.Code) string { return "docs/checks.md#" + check.Anchor(code) }
