package check

import (
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Mute marks the findings that operators have muted. A mute whose trouble has become worse
// marks nothing: see ha.Mute.Worse.
func Mute(r ha.Readiness, mutes []ha.Mute, at time.Time) ha.Readiness {
	findings := slices.Clone(r.Findings)
	for _, m := range mutes {
		if m.Worse(r.Findings) != "" {
			continue
		}
		for k, f := range findings {
			if f.Status.Gravity() > 0 && m.Covers(f, at) && m.Until.After(f.MutedUntil) {
				findings[k].MutedUntil, findings[k].MutedBy = m.Until, m.By
			}
		}
	}
	r.Findings = findings
	return r
}

// MutedAt is a mute with what there is to mute now: its mark for becoming worse.
func MutedAt(m ha.Mute, r ha.Readiness) ha.Mute {
	m.Worst, m.Subjects = "", nil
	for _, f := range r.Findings {
		if f.Code != m.Code || m.Subject != "" && m.Subject != f.Subject || f.Status.Gravity() == 0 {
			continue
		}
		if f.Status.Gravity() > m.Worst.Gravity() {
			m.Worst = f.Status
		}
		m.Subjects = append(m.Subjects, f.Subject)
	}
	slices.Sort(m.Subjects)
	return m
}

// Known reports whether there is a check of that code.
func Known(code ha.Code) bool { return known(code) }
