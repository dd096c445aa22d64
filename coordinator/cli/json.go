package cli

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The JSON of psw is a contract, described field by field in docs/cli.md: fields are
// added, never renamed or removed; readers ignore what they do not know. One document is
// indented; a stream has one object a line.

// document writes one indented JSON value.
func (a *app) document(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// line writes one JSON value on one line.
func (a *app) line(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// stream writes one line of a stream, with the time.
func (a *app) stream(l streamLine) error {
	l.At = time.Now().Round(0)
	return a.line(l)
}

// checkDocument is the answer of `ha check -o json`.
type checkDocument struct {
	Ready    bool              `json:"ready"`
	Totals   checkTotals       `json:"totals"`
	Findings []findingDocument `json:"findings"`
	// Standing is what the coordinator publishes unasked, and the record.
	Standing *ha.Standing `json:"standing,omitempty"`
}

type checkTotals struct {
	Total    int `json:"total"`
	Passed   int `json:"passed"`
	Notices  int `json:"notices"`
	Warnings int `json:"warnings"`
	Failures int `json:"failures"`
	Skipped  int `json:"skipped"`
	Unknown  int `json:"unknown"`
	// Muted count nowhere else.
	Muted int `json:"muted"`
}

// findingDocument is a finding with the place where its check is explained.
type findingDocument struct {
	ha.Finding
	Docs string `json:"docs"`
}

func newCheckDocument(r ha.Readiness) checkDocument {
	d := checkDocument{
		Ready: r.Ready(),
		Totals: checkTotals{
			Total: len(r.Findings), Passed: r.Count(ha.Pass), Notices: r.Count(ha.Notice), Warnings: r.Count(ha.Warn),
			Failures: r.Count(ha.Fail), Skipped: r.Count(ha.Skip), Unknown: r.Count(ha.Unknown),
			Muted: r.CountMuted(),
		},
		Findings: []findingDocument{},
		Standing: r.Standing,
	}
	for _, f := range r.Findings {
		d.Findings = append(d.Findings, findingDocument{f, docsAnchor(f.Code)})
	}
	return d
}

// streamLine is a line of `maintenance start|end|watch|cancel -o json`. Exactly one of
// the fields after Type is set, the one Type names.
type streamLine struct {
	At      time.Time           `json:"at"`   // this machine's clock
	Type    string              `json:"type"` // preview, view or result
	Preview *ha.Preview         `json:"preview,omitempty"`
	View    *ha.MaintenanceView `json:"view,omitempty"`
	Result  *streamResult       `json:"result,omitempty"`
}

// streamResult is the last line of the stream.
type streamResult struct {
	Node ha.NodeName `json:"node"`
	// Outcome is safe, drained (guests left there as asked), ended, refused, cancelled, superseded, deadline, interrupted or detached.
	Outcome  string `json:"outcome"`
	ExitCode int    `json:"exit_code"`
	// Left are the guests that are not where they should be.
	Left []ha.SID `json:"left"`
}

// full replaces missing lists by empty ones, so that a reader of the JSON finds a list
// wherever one is documented.
func full[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func fullPreview(p ha.Preview) *ha.Preview {
	p.Steps, p.Commands = full(p.Steps), full(p.Commands)
	return &p
}

func fullMaintenance(m ha.Maintenance) ha.Maintenance {
	m.Homes, m.Moves = full(m.Homes), full(m.Moves)
	return m
}

func fullView(v ha.MaintenanceView) *ha.MaintenanceView {
	v.Maintenance = fullMaintenance(v.Maintenance)
	return &v
}

func fullStatus(s ha.ClusterStatus) ha.ClusterStatus {
	s.Nodes, s.Targets, s.Maintenances = full(s.Nodes), full(s.Targets), slices.Clone(s.Maintenances)
	for k, m := range s.Maintenances {
		s.Maintenances[k] = fullMaintenance(m)
	}
	return s
}
