package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Each letter is what is judged in one report, 5 s apart: P pass, W warn, F fail, U unknown,
// S skip, - not judged at all. Below it is what is published by then.
func TestPublished(t *testing.T) {
	for _, c := range []struct {
		name, judged, published string
		code                    ha.Code
	}{
		{name: "a lost report is no news", judged: "PPUPPPUUPP", published: "PPPPPPPPPP"},
		{name: "what holds is", judged: "PFFFFF", published: "PPPPFF"},
		{name: "what is gone must stay gone", judged: "FFFFPPFPPPP", published: "   FFFFFFFP"},
		{name: "trouble that changes its face is trouble", judged: "PFUFUUU", published: "PPPPUUU"},
		{name: "worse and then better than published", judged: "WWWWFFPFFFF", published: "   WWWWWWWF"},
		{name: "good news among themselves are shown at once", judged: "PSPS", published: "PSPS"},
		{name: "a subject that vanishes is lighter", judged: "FFFF----P", published: "   FFFF P"},
		{name: "a coordinator that has just started", judged: "UUPPP", published: "  PPP"},
		{name: "a link that comes and goes is told once", judged: "PFFFFPPPPPFFFF" + strings.Repeat("P", 14), published: "PPPP" + strings.Repeat("F", 22) + "PP", code: check.CorosyncLinkDown},
		{name: "views that differ while a node boots are no news", judged: "PFFFFFPPPPPPPPFFFFFFF", published: strings.Repeat("P", 20) + "F", code: check.GossipDisagrees},
		{name: "a guest that runs twice is told at once", judged: "PFP", published: "PFP", code: check.SplitBrain},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p check.Published
			var got strings.Builder
			for k, letter := range c.judged {
				p = p.Step(judged(letter, c.code), at(k))
				word := " "
				if r := p.Readiness(); len(r.Findings) == 1 {
					word = string(r.Findings[0].Status[:1])
				}
				got.WriteString(word)
			}
			if got.String() != c.published {
				t.Errorf("judged    %q\npublished %q\nwant      %q", c.judged, got.String(), c.published)
			}
		})
	}
}

var statuses = map[rune]ha.Status{'P': ha.Pass, 'W': ha.Warn, 'F': ha.Fail, 'U': ha.Unknown, 'S': ha.Skip}

func at(report int) time.Time {
	return time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC).Add(time.Duration(report) * ha.ReportInterval)
}

func judged(letter rune, code ha.Code) ha.Readiness {
	if letter == '-' {
		return ha.Readiness{}
	}
	if code == "" {
		code = check.NFSReadOnly
	}
	return ha.Readiness{Findings: []ha.Finding{{Code: code, Subject: "node1", Status: statuses[letter]}}}
}

// Nothing is called ready before it has been watched for the hold time.
func TestPublishedIsNotKnownAtFirst(t *testing.T) {
	var p check.Published
	for k, want := range []bool{false, false, false, true} {
		if p = p.Step(judged('P', ""), at(k)); p.Known() != want {
			t.Errorf("after %d reports known is %v", k+1, p.Known())
		}
	}
}

// An operator who asks sees the present, with its age; what is published is older.
func TestPresentTruthHasItsAge(t *testing.T) {
	var p check.Published
	for k, letter := range "PPFF" {
		p = p.Step(judged(letter, ""), at(k))
	}
	if f := p.Readiness().Findings[0]; f.Status != ha.Pass {
		t.Errorf("published is %s before it has held", f.Status)
	}
	if f := p.Since(judged('F', "")).Findings[0]; f.Status != ha.Fail || !f.Since.Equal(at(2)) {
		t.Errorf("shown is %s since %s, want FAIL since %s", f.Status, f.Since, at(2))
	}
}

// A restart neither repeats what was published nor forgets it.
func TestPublishedSurvivesARestart(t *testing.T) {
	var p check.Published
	for k := range 5 {
		p = p.Step(judged('F', ""), at(k))
	}
	back := check.Resume(at(10), at(0), p.Troubles())
	back = back.Step(judged('F', ""), at(10))
	f := back.Readiness().Findings[0]
	if f.Status != ha.Fail || !f.Since.Equal(at(0)) {
		t.Errorf("after a restart it is %s since %s", f.Status, f.Since)
	}
	for k := 11; k <= 14; k++ {
		back = back.Step(judged('P', ""), at(k))
	}
	if f := back.Readiness().Findings[0]; f.Status != ha.Pass {
		t.Errorf("mended, it is still %s", f.Status)
	}
}

// A mute holds until it is worse; a worse one marks nothing.
func TestMuteMarks(t *testing.T) {
	now := at(0)
	r := ha.Readiness{Findings: []ha.Finding{
		{Code: check.NFSSoftMount, Subject: "node1", Status: ha.Warn},
		{Code: check.NFSSoftMount, Subject: "node2", Status: ha.Pass},
		{Code: check.NFSReadOnly, Subject: "node1", Status: ha.Fail},
	}}
	m := check.MutedAt(ha.Mute{Code: check.NFSSoftMount, Until: now.Add(time.Hour), By: "anna"}, r)
	if m.Worst != ha.Warn || !slices.Equal(m.Subjects, []string{"node1"}) {
		t.Errorf("muted at %s %v", m.Worst, m.Subjects)
	}
	if got := check.Mute(r, []ha.Mute{m}, now); got.CountMuted() != 1 || got.Findings[0].MutedBy != "anna" || got.Count(ha.Warn) != 0 {
		t.Errorf("%+v", got.Findings)
	}
	r.Findings[1].Status = ha.Warn
	if got := check.Mute(r, []ha.Mute{m}, now); got.CountMuted() != 0 || got.Count(ha.Warn) != 2 {
		t.Errorf("a second node warns and the mute still holds: %+v", got.Findings)
	}
}
