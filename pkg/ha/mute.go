package ha

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A Mute is an operator's word that he knows of a finding and wants to hear no more of it
// for a time. It silences the messenger and never the verdict: a FAIL or an UNKNOWN that is
// muted is shown all the same, and HA is not ready. It ends by itself when its time is
// over, and sooner if the trouble becomes worse than it was when it was muted.
type Mute struct {
	Code Code `json:"code"`
	// Subject narrows it to one node, target or storage; empty is every subject.
	Subject string    `json:"subject,omitempty"`
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Message string    `json:"message,omitempty"`
	// Worst and Subjects are what it was muted at: the highest verdict and whom it was
	// about, sorted. Empty if there was nothing to mute yet: then it holds whatever comes.
	Worst    Status   `json:"worst,omitempty"`
	Subjects []string `json:"subjects,omitempty"`
}

// MuteMax is the longest time for which anything is muted: what shall be silent for longer
// is a decision, and belongs into network.yml or the profile that is asked for.
const MuteMax = 90 * 24 * time.Hour

// Covers reports whether the mute is about f, and its time is not over.
func (m Mute) Covers(f Finding, at time.Time) bool {
	return m.Code == f.Code && (m.Subject == "" || m.Subject == f.Subject) && at.Before(m.Until)
}

// Compare orders mutes by code and subject.
func (m Mute) Compare(o Mute) int {
	return cmp.Or(strings.Compare(string(m.Code), string(o.Code)), strings.Compare(m.Subject, o.Subject))
}

// Worse says why the findings are worse than they were when they were muted; "" if they
// are not. More subjects than before, or a higher verdict.
func (m Mute) Worse(findings []Finding) string {
	if m.Worst == "" {
		return ""
	}
	var subjects []string
	for _, f := range findings {
		if f.Code != m.Code || m.Subject != "" && m.Subject != f.Subject || f.Status.Gravity() == 0 {
			continue
		}
		if f.Status.Gravity() > m.Worst.Gravity() {
			return "it is " + string(f.Status) + " on " + f.Subject + " and was " + string(m.Worst)
		}
		subjects = append(subjects, f.Subject)
	}
	if len(subjects) <= len(m.Subjects) {
		return ""
	}
	more := slices.DeleteFunc(subjects, func(s string) bool { return slices.Contains(m.Subjects, s) })
	return "it is about " + strings.Join(more, ", ") + " as well"
}

// MuteRequest is what an operator asks to mute, and for how long.
type MuteRequest struct {
	Code    Code
	Subject string
	For     time.Duration
	Message string
	// By is filled in by the server from the client's certificate.
	By string
}
