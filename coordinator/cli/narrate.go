package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The states of a guest in a progress table (ha.GuestProgress).
const (
	progressWaiting = "waiting"
	progressMoving  = "moving"
	progressDone    = "done"
	progressFailed  = "failed"
	progressStays   = "stays"
)

// A note is one thing that happened in a maintenance, as one line.
type note struct {
	tone tone
	text string
}

// tone is how a note is coloured.
type tone int

const (
	plain tone = iota
	good
	bad
)

func (st style) note(n note) string {
	switch n.tone {
	case good:
		return st.good(n.text)
	case bad:
		return st.bad(n.text)
	case plain:
	}
	return n.text
}

// narrate says what happened between two views of a node's maintenance. The zero view
// stands for "nothing is known yet": then what is already done is told as well, so that
// whoever re-attaches reads the whole story.
func narrate(old, now ha.MaintenanceView) []note {
	var guests []note
	for _, g := range now.Guests {
		was, _ := findBy(old.Guests, func(o ha.GuestProgress) bool { return o.SID == g.SID })
		guests = append(guests, guestNotes(was, g)...)
	}
	notes := phaseNotes(old.Maintenance, now.Maintenance)
	if p := now.Maintenance.Phase; p == ha.Drained || p.Closed() {
		notes = append(guests, notes...) // the last guest's arrival is why the phase is over
	} else {
		notes = append(notes, guests...)
	}
	notes = append(notes, waitNotes(old.Waits, now)...)
	if now.Safe && !old.Safe {
		notes = append(notes, note{good, fmt.Sprintf("%s is safe to power off.", now.Maintenance.Node)})
	}
	return notes
}

func phaseNotes(old, now ha.Maintenance) []note {
	var notes []note
	say := func(t tone, format string, args ...any) {
		notes = append(notes, note{t, string(now.Node) + ": " + fmt.Sprintf(format, args...)})
	}
	if old.ID != "" && old.ID != now.ID {
		say(plain, "a newer maintenance was asked for%s", byWhom(now))
		old = ha.Maintenance{}
	}
	if now.Cancelling && !old.Cancelling && now.Phase != ha.Cancelled {
		say(plain, "being cancelled: what is on its way lands first")
	}
	if old.Phase != now.Phase {
		tone, text := phaseText(old.Phase, now)
		say(tone, "%s", text)
	}
	if !now.Options.Deadline.IsZero() && !now.Options.Deadline.Equal(old.Options.Deadline) && !now.Phase.Closed() {
		say(plain, "no new move after %s", clock(now.Options.Deadline))
	}
	return notes
}

// phaseText says what it means that a maintenance has come into its phase.
func phaseText(from ha.Phase, m ha.Maintenance) (tone, string) {
	switch m.Phase {
	case ha.Requested:
		return plain, "maintenance requested" + byWhom(m)
	case ha.Draining:
		if from == ha.Drained {
			return bad, "draining again: a guest appeared on it, or maintenance mode was switched off"
		}
		return plain, "draining"
	case ha.Drained:
		return plain, "drained"
	case ha.Restoring:
		return plain, "restoring: its guests come home"
	case ha.Ended:
		return good, "maintenance has ended, the node is back in service"
	case ha.Cancelled:
		return plain, "maintenance cancelled"
	}
	return plain, string(m.Phase)
}

func byWhom(m ha.Maintenance) string {
	text := ""
	if m.By != "" {
		text = " by " + m.By
	}
	if m.Message != "" {
		text += fmt.Sprintf(" (%q)", m.Message)
	}
	return text
}

func guestNotes(was, g ha.GuestProgress) []note {
	who := g.SID.String()
	if g.Name != "" {
		who += " " + g.Name
	}
	switch {
	case was.State == g.State && was.To == g.To && g.State == progressDone && was.Downtime == 0 && g.Downtime > 0:
		return []note{{plain, who + ": " + downtimeText(g)}} // measured a moment after it was seen there
	case was.State == g.State && was.To == g.To && (g.State != progressFailed || steady(was.Note) == steady(g.Note)):
		return nil
	case g.State == progressMoving:
		return []note{{plain, who + ": " + movingText(g)}}
	case g.State == progressDone:
		return []note{{good, who + ": " + doneText(g)}}
	case g.State == progressFailed:
		return []note{{bad, strings.TrimSuffix(fmt.Sprintf("%s: failed: %s", who, g.Note), ": ")}}
	default: // waiting, stays: their reasons are told as waits and in the plan
		return nil
	}
}

func movingText(g ha.GuestProgress) string {
	way := route(g.From, g.To, false)
	switch g.Method {
	case ha.MethodLive:
		return "moving live, " + way
	case ha.MethodRestart:
		return "restarting, " + way
	case ha.MethodOffline:
		return "moving while stopped, " + way
	case ha.MethodStop:
		return "shutting down"
	case ha.MethodStart:
		return "starting"
	case ha.MethodStays:
	}
	return "moving, " + way
}

// doneText never calls a restart anything else, and never invents a downtime that was
// not measured.
func doneText(g ha.GuestProgress) string {
	at := g.To
	if at == "" {
		at = g.From
	}
	measured := ""
	if g.Downtime > 0 {
		measured = ", " + downtimeText(g)
	}
	switch g.Method {
	case ha.MethodLive:
		return fmt.Sprintf("is on %s, moved live%s", at, measured)
	case ha.MethodRestart:
		return fmt.Sprintf("is on %s, restarted%s", at, measured)
	case ha.MethodOffline:
		return fmt.Sprintf("is on %s, moved while stopped", at)
	case ha.MethodStop:
		return "is shut down"
	case ha.MethodStart:
		return fmt.Sprintf("is started on %s", at)
	case ha.MethodStays: // somebody else moved it
	}
	return fmt.Sprintf("is on %s", at)
}

// downtimeText is how long a guest was away, as measured.
func downtimeText(g ha.GuestProgress) string {
	if g.Method == ha.MethodLive {
		return "paused " + span(g.Downtime)
	}
	return "down " + span(g.Downtime)
}

// waitNotes tells the waits that are new; that a guest which is on its way is on its way
// has been told. Guests that wait for the same reason share a
// line: forty guests that wait for their turn are one fact.
func waitNotes(old []ha.Wait, view ha.MaintenanceView) []note {
	var notes []note
	var reasons []string
	subjectsOf := map[string][]string{}
	for _, w := range view.Waits {
		if !w.Blocked && isMoving(view.Guests, w.Subject) {
			continue
		}
		if slices.ContainsFunc(old, func(o ha.Wait) bool { return steadyWait(o) == steadyWait(w) }) {
			continue
		}
		if w.Blocked {
			text := fmt.Sprintf("BLOCKED: %s: %s", w.Subject, w.Reason)
			if w.Fix != "" {
				text += "; fix: " + w.Fix
			}
			notes = append(notes, note{bad, text})
			continue
		}
		key := steady(w.Reason)
		if len(subjectsOf[key]) == 0 {
			reasons = append(reasons, w.Reason)
		}
		subjectsOf[key] = append(subjectsOf[key], w.Subject)
	}
	for _, r := range reasons {
		notes = append(notes, note{plain, waitText(listed(subjectsOf[steady(r)]), r)})
	}
	return notes
}

func isMoving(guests []ha.GuestProgress, subject string) bool {
	return slices.ContainsFunc(guests, func(g ha.GuestProgress) bool { return g.SID.String() == subject && g.State == progressMoving })
}

// spans are lengths of time in a sentence: "next try in 25 s" tells nothing new after
// "next try in 30 s".
var spans = regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|s|min|m|h|d)\b( \d+(\.\d+)? ?(ms|s|min|m|h|d)\b)*`)

func steady(text string) string { return spans.ReplaceAllString(text, "…") }

func steadyWait(w ha.Wait) ha.Wait {
	w.Reason, w.Fix = steady(w.Reason), steady(w.Fix)
	return w
}

// listed names a few subjects and counts the rest.
func listed(names []string) string {
	const most = 6
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
