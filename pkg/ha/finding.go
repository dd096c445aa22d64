package ha

import "time"

// Code is the stable name of a check, e.g. NFS_NOT_ANSWERING. It is also the anchor in
// docs/checks.md (lower case, dashes).
type Code string

// Status is the verdict of a check on one subject, in pve8to9's words.
type Status string

// The verdicts. Unknown means that nobody could look; it is never ready.
const (
	Pass    Status = "PASS"
	Notice  Status = "NOTICE"
	Warn    Status = "WARN"
	Fail    Status = "FAIL"
	Skip    Status = "SKIP"
	Unknown Status = "UNKNOWN"
)

// Finding is a check's verdict on one subject.
type Finding struct {
	Code   Code   `json:"code"`
	Status Status `json:"status"`
	// Subject is what was judged: a node, a target, a storage, or "cluster".
	Subject string `json:"subject"`
	// Title says in the affirmative what was checked: "corosync has two links".
	Title string `json:"title"`
	// Evidence is what was seen.
	Evidence string `json:"evidence,omitempty"`
	// Remedy is what to type or do; empty when nothing is wrong.
	Remedy string `json:"remedy,omitempty"`
	// Because is the code of the finding this one is only an effect of; it is then a SKIP.
	Because Code `json:"because,omitempty"`
	// Since is when it became what it is, as far as the coordinator watched; zero if nobody did.
	Since time.Time `json:"since,omitzero"`
	// MutedUntil is when it is heard of again; zero if it is not muted. See Muted.
	MutedUntil time.Time `json:"muted_until,omitzero"`
	MutedBy    string    `json:"muted_by,omitempty"`
}

// Gravity orders the verdicts by how much they ask for: 0 for PASS, NOTICE and SKIP, then
// WARN, UNKNOWN and FAIL.
func (s Status) Gravity() int {
	switch s {
	case Warn:
		return 1
	case Unknown:
		return 2
	case Fail:
		return 3
	case Pass, Notice, Skip:
	}
	return 0
}

// Idle reports whether the check had nothing to look at: it is skipped, and not because of
// another finding.
func (f Finding) Idle() bool { return f.Status == Skip && f.Because == "" }

// Muted reports whether the finding is to be passed over. A FAIL or an UNKNOWN never is: a
// mute silences the messenger, not the verdict.
func (f Finding) Muted() bool {
	return !f.MutedUntil.IsZero() && f.Status != Fail && f.Status != Unknown
}

// Readiness is the verdict: all findings, in the order of the checks.
type Readiness struct {
	Findings []Finding `json:"findings"`
	// Standing is what the coordinator publishes unasked, by the same profile; nil where
	// there is no coordinator.
	Standing *Standing `json:"standing,omitempty"`
}

// Ready reports whether HA is ready: nothing fails and nothing is unknown.
func (r Readiness) Ready() bool { return r.Count(Fail) == 0 && r.Count(Unknown) == 0 }

// Count counts the findings of one status, without those that are muted.
func (r Readiness) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s && !f.Muted() {
			n++
		}
	}
	return n
}

// CountMuted counts the findings that are passed over.
func (r Readiness) CountMuted() int {
	n := 0
	for _, f := range r.Findings {
		if f.Muted() {
			n++
		}
	}
	return n
}
