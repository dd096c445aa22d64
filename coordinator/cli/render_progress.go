package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// progressLines renders the live table of a maintenance at the instant now: who moves
// on top, then who failed, who waits, and last who is done. It shows at most so many
// guests and counts the rest; 0 shows all.
func progressLines(st style, v ha.MaintenanceView, now time.Time, most int) []string {
	return append([]string{"", st.bold(progressTitle(v, now))}, progressBody(st, v, now, most)...)
}

func progressBody(st style, v ha.MaintenanceView, now time.Time, most int) []string {
	var lines []string
	if len(v.Guests) > 0 {
		t := table{indent: "  "}
		t.head(st, "GUEST", "NAME", "METHOD", "FROM -> TO", "STATE", "FOR", "NOTE")
		guests, rest := byUrgency(v.Guests), []ha.GuestProgress(nil)
		if most > 0 && len(guests) > most {
			guests, rest = guests[:most], guests[most:]
		}
		for _, g := range guests {
			t.row(g.SID.String(), dash(g.Name), progressMethod(g), route(g.From, g.To, false),
				st.progress(g.State), progressFor(g, now), progressNote(g, v.Waits))
		}
		lines = append(lines, t.lines()...)
		if len(rest) > 0 {
			lines = append(lines, "  and "+st.faint(stateCounts(rest)))
		}
	}
	for _, w := range v.Waits {
		if w.Blocked || !isGuest(v.Guests, w.Subject) {
			for _, l := range waitLines(st, w) {
				lines = append(lines, "  "+l)
			}
		}
	}
	return lines
}

// stateCounts counts guests by state, in the order they are in.
func stateCounts(guests []ha.GuestProgress) string {
	var parts []string
	for k := 0; k < len(guests); {
		n := k
		for n < len(guests) && guests[n].State == guests[k].State {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d %s", n-k, guests[k].State))
		k = n
	}
	return strings.Join(parts, ", ")
}

// progressTitle says what goes on, for how long, and how far it is.
func progressTitle(v ha.MaintenanceView, now time.Time) string {
	m := v.Maintenance
	verb, since := "Draining", m.RequestedAt
	switch {
	case m.Cancelling:
		verb = "Cancelling the maintenance of"
	case m.Phase == ha.Drained:
		verb = "Making sure of"
	case m.Phase == ha.Restoring:
		verb, since = "Bringing guests home to", m.RestoreAt
	}
	title := fmt.Sprintf("%s %s", verb, m.Node)
	if !since.IsZero() {
		title += "  " + span(now.Sub(since).Truncate(time.Second))
	}
	done, all := doneOf(v.Guests)
	if all > 0 {
		title += fmt.Sprintf(", %d of %s done", done, count(all, "guest"))
	}
	return title + deadlineText(m.Options.Deadline, now)
}

func doneOf(guests []ha.GuestProgress) (done, all int) {
	for _, g := range guests {
		if g.State == progressStays {
			continue
		}
		all++
		if g.State == progressDone {
			done++
		}
	}
	return done, all
}

// byUrgency orders guests for a screen that may be too low for all of them.
func byUrgency(guests []ha.GuestProgress) []ha.GuestProgress {
	order := []string{progressMoving, progressFailed, progressWaiting, progressStays, progressDone}
	list := slices.Clone(guests)
	slices.SortStableFunc(list, func(a, b ha.GuestProgress) int {
		return slices.Index(order, a.State) - slices.Index(order, b.State)
	})
	return list
}

// progressMethod is how the guest moves; as long as it waits that is not decided.
func progressMethod(g ha.GuestProgress) string {
	if g.State == progressWaiting && g.Method == ha.MethodStays {
		return "-"
	}
	return string(g.Method)
}

// progressFor is how long a guest has been in its state; for one that arrived, how long
// it was away, as measured.
func progressFor(g ha.GuestProgress, now time.Time) string {
	switch {
	case g.State == progressDone && g.Downtime > 0:
		return downtimeText(g)
	case g.State == progressDone || g.Since.IsZero():
		return ""
	default:
		return span(max(0, now.Sub(g.Since)).Truncate(time.Second))
	}
}

// progressNote is the guest's note, else the reason it waits for.
func progressNote(g ha.GuestProgress, waits []ha.Wait) string {
	if g.Note != "" || g.State == progressMoving {
		return g.Note
	}
	w, _ := findBy(waits, func(w ha.Wait) bool { return w.Subject == g.SID.String() && !w.Blocked })
	return w.Reason
}

func isGuest(guests []ha.GuestProgress, subject string) bool {
	_, found := findBy(guests, func(g ha.GuestProgress) bool { return g.SID.String() == subject })
	return found
}

// leftLines say which guests are not where they should be.
func leftLines(guests []ha.GuestProgress, waits []ha.Wait) []string {
	t := table{indent: "  "}
	for _, g := range byUrgency(guests) {
		if g.State == progressDone || g.State == progressStays {
			continue
		}
		text := g.State
		if n := progressNote(g, waits); n != "" {
			text += ": " + n
		}
		t.row(strings.TrimSpace(g.SID.String()+" "+g.Name), route(g.From, g.To, false), text)
	}
	return t.lines()
}

// summary says in one sentence what the guests went through, once it is over; empty if
// none was touched.
func summary(v ha.MaintenanceView) string {
	var moved int
	var pause, down ha.GuestProgress
	var unknown []string
	for _, g := range v.Guests {
		if g.State != progressDone || g.Method == ha.MethodStays {
			continue
		}
		moved++
		switch {
		case g.Method == ha.MethodLive && g.Downtime > pause.Downtime:
			pause = g
		case g.Method == ha.MethodRestart && g.Downtime > down.Downtime:
			down = g
		case g.Downtime == 0 && (g.Method == ha.MethodLive || g.Method == ha.MethodRestart):
			unknown = append(unknown, g.SID.String())
		}
	}
	if moved == 0 {
		return ""
	}
	m := v.Maintenance
	text, took := fmt.Sprintf("%s left %s", count(moved, "guest"), m.Node), m.DrainedAt.Sub(m.RequestedAt)
	if m.Phase == ha.Ended {
		text, took = fmt.Sprintf("%s came home to %s", count(moved, "guest"), m.Node), m.EndedAt.Sub(m.RestoreAt)
	}
	if took > 0 {
		text += " in " + span(took)
	}
	if pause.Downtime > 0 {
		text += fmt.Sprintf("; longest pause of a live move %s (%s %s)", span(pause.Downtime), pause.SID, pause.Name)
	}
	if down.Downtime > 0 {
		text += fmt.Sprintf("; longest downtime of a restart %s (%s %s)", span(down.Downtime), down.SID, down.Name)
	}
	if len(unknown) > 0 {
		text += "; not measured: " + listed(unknown)
	}
	return text + "."
}

// viewLines renders a maintenance for maintenance status. Verbose, and for one that is
// over, lists every move that was asked of Proxmox.
func viewLines(st style, v ha.MaintenanceView, now time.Time, verbose bool) []string {
	m := v.Maintenance
	lines := []string{st.bold(maintenanceLine(m))}
	if v.Safe {
		lines = append(lines, st.good(fmt.Sprintf("%s is safe to power off.", m.Node)))
	}
	if m.Phase.Closed() {
		return append(lines, moveLines(st, m.Moves)...)
	}
	lines = append(lines, progressBody(st, v, now, 0)...)
	if verbose {
		lines = append(lines, moveLines(st, m.Moves)...)
	}
	return lines
}

// moveLines list what was asked of Proxmox and what became of it.
func moveLines(st style, moves []ha.Move) []string {
	if len(moves) == 0 {
		return nil
	}
	t := table{indent: "  "}
	t.head(st, "ASKED", "GUEST", "METHOD", "FROM -> TO", "TOOK", "OUTCOME")
	for _, m := range moves {
		took, outcome := "-", st.bold("open")
		switch {
		case m.Failed != "":
			outcome = st.bad("failed: " + m.Failed)
			if !m.FailedAt.IsZero() {
				took = span(m.FailedAt.Sub(m.Asked))
			}
		case !m.Done.IsZero():
			took, outcome = span(m.Done.Sub(m.Asked)), st.good("done")
			if m.Downtime > 0 {
				outcome += ", " + map[bool]string{true: "paused ", false: "down "}[m.Method == ha.MethodLive] + span(m.Downtime)
			}
		}
		t.row(stamp(m.Asked), m.SID.String(), string(m.Method), route(m.From, m.To, false), took, outcome)
	}
	return append([]string{""}, t.lines()...)
}
