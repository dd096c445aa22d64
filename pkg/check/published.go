package check

import (
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// HoldTime is how long a finding must have been better or worse than what is published
// before that changes: three reports of an agent. One lost report, a statfs that once took
// too long, or a coordinator that has just started are no news; whoever asks is shown the
// present truth all the same.
const HoldTime = 15 * time.Second

const (
	// AtOnce is no time at all: the next judgement is published.
	AtOnce time.Duration = -1
	// slowSettle is for what comes and goes by its nature: a link with a bad cable, a server
	// at its limit. It is told as soon as anything else; but that it is gone is believed only
	// after a minute, or it would be told anew with every swing.
	slowSettle = time.Minute
	// slowHold is for what is in order for a moment while nodes join, leave or boot.
	slowHold = 30 * time.Second
)

// Hold is how long a check's verdict must have been graver, and how long lighter, than what
// is published before that changes.
func Hold(code ha.Code) (graver, lighter time.Duration) {
	graver, lighter = HoldTime, HoldTime
	k := slices.IndexFunc(All, func(c Check) bool { return c.Code == code })
	if k < 0 {
		return graver, lighter
	}
	if All[k].Hold != 0 {
		graver = max(All[k].Hold, 0)
	}
	if All[k].Settle != 0 {
		lighter = max(All[k].Settle, 0)
	}
	return graver, lighter
}

// Published is the verdict that is told unasked, in the journal and in metrics: it follows
// what is judged, and lags by the hold time so that it does not flap. The zero value is
// that of a coordinator that has never judged.
type Published struct {
	// Begun is when it was first stepped.
	Begun time.Time
	// At is the last step's time.
	At       time.Time
	findings []Held // in the order they were judged
}

// Held is one finding as it is published, beside what it has been seen as.
type Held struct {
	Finding ha.Finding
	// Status is what is published, Since when the trouble it tells began. Empty: nothing is
	// published yet.
	Status ha.Status
	Since  time.Time
	// Seen is what was judged last, SeenSince since when it was judged so.
	Seen      ha.Status
	SeenSince time.Time
	// Turned is since when what is judged is on the other side of what is published, graver
	// or lighter; zero while it is not.
	Turned time.Time
}

type heldKey struct {
	code    ha.Code
	subject string
}

// Resume makes Published of what an earlier start had published since begun, so that a
// restart neither repeats nor forgets anything.
func Resume(at, begun time.Time, list []Held) Published {
	p := Published{Begun: begun, At: at, findings: slices.Clone(list)}
	for k := range p.findings {
		h := &p.findings[k]
		h.Seen, h.SeenSince, h.Finding.Status = h.Status, h.Since, h.Status
	}
	return p
}

// Step takes a new judgement. What is published of a finding changes when it has been
// graver than that, or lighter, for its hold time; a finding that is gone is lighter.
func (p Published) Step(fresh ha.Readiness, at time.Time) Published {
	next := Published{Begun: p.Begun, At: at}
	if next.Begun.IsZero() {
		next.Begun = at
	}
	known := make(map[heldKey]Held, len(p.findings))
	for _, h := range p.findings {
		known[heldKey{h.Finding.Code, h.Finding.Subject}] = h
	}
	for _, f := range fresh.Findings {
		key := heldKey{f.Code, f.Subject}
		h, had := known[key]
		delete(known, key)
		if !had {
			h = Held{SeenSince: at}
		}
		next.findings = append(next.findings, h.step(f, at))
	}
	for _, h := range p.findings { // what is no longer judged at all
		if _, gone := known[heldKey{h.Finding.Code, h.Finding.Subject}]; !gone || h.Status.Gravity() == 0 {
			continue
		}
		f := h.Finding
		f.Status = ha.Skip
		if h = h.step(f, at); h.Status.Gravity() > 0 {
			next.findings = append(next.findings, h)
		}
	}
	return next
}

func (h Held) step(f ha.Finding, at time.Time) Held {
	if h.Seen != f.Status {
		h.Seen, h.SeenSince = f.Status, at
	}
	now, was := f.Status.Gravity(), h.Status.Gravity()
	side := h.Finding.Status.Gravity() - was // of the last judgement
	h.Finding = f
	switch {
	case now == was:
		if h.Status == "" || h.Status != f.Status {
			h.Since = at
		}
		h.Status, h.Turned = f.Status, time.Time{}
		return h
	case h.Turned.IsZero() || (now > was) != (side > 0):
		h.Turned = at
	}
	hold, settle := Hold(f.Code)
	if now < was {
		hold = settle
	}
	if at.Sub(h.Turned) >= hold {
		h.Status, h.Since, h.Turned = f.Status, h.Turned, time.Time{}
	}
	return h
}

// Known reports whether the verdict has been watched for long enough to be told.
func (p Published) Known() bool {
	return !p.Begun.IsZero() && (p.At.Sub(p.Begun) >= HoldTime || slices.ContainsFunc(p.findings, func(h Held) bool { return h.Status.Gravity() > ha.Unknown.Gravity() }))
}

// Readiness is what is published.
func (p Published) Readiness() ha.Readiness {
	var r ha.Readiness
	for _, h := range p.findings {
		if h.Status == "" {
			continue
		}
		f := h.Finding
		f.Status, f.Since = h.Status, h.Since
		r.Findings = append(r.Findings, f)
	}
	return r
}

// Troubles are the published findings that are WARN, UNKNOWN or FAIL: what must survive a
// restart.
func (p Published) Troubles() []Held {
	var list []Held
	for _, h := range p.findings {
		if h.Status.Gravity() > 0 {
			list = append(list, h)
		}
	}
	return list
}

// Since tells of findings that were just judged since when they are what they are, as far
// as it was watched.
func (p Published) Since(r ha.Readiness) ha.Readiness {
	seen := make(map[heldKey]Held, len(p.findings))
	for _, h := range p.findings {
		seen[heldKey{h.Finding.Code, h.Finding.Subject}] = h
	}
	findings := slices.Clone(r.Findings)
	for k, f := range findings {
		switch h, ok := seen[heldKey{f.Code, f.Subject}]; {
		case ok && h.Seen == f.Status:
			findings[k].Since = h.SeenSince
		case ok && h.Status == f.Status:
			findings[k].Since = h.Since
		}
	}
	r.Findings = findings
	return r
}
