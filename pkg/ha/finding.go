package ha

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
}

// Readiness is the verdict: all findings, in the order of the checks.
type Readiness struct {
	Findings []Finding `json:"findings"`
}

// Ready reports whether HA is ready: nothing fails and nothing is unknown.
func (r Readiness) Ready() bool { return r.Count(Fail) == 0 && r.Count(Unknown) == 0 }

// Count counts the findings of one status.
func (r Readiness) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}
