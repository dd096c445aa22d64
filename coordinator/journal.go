package coordinator

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// tell says for the journal what one step of a maintenance found done or failed, and what
// it is about to do, what is waited for and was not before, and, once, that the node is
// safe to power off. Between the two stands the change of phase, which the store tells.
func (c *Coordinator) tell(base, next ha.Maintenance, p ha.Plan, s ha.Snapshot) (found, intended []ha.Event) {
	event := func(t ha.EventType, sid ha.SID, format string, args ...any) ha.Event {
		return ha.Event{Type: t, Node: base.Node, SID: sid, Maintenance: base.ID, Text: fmt.Sprintf(format, args...)}
	}
	for k, mv := range next.Moves {
		if k >= len(base.Moves) || !base.Moves[k].Open() {
			continue // about to be asked, or settled before
		}
		switch {
		case !mv.Done.IsZero():
			found = append(found, event(ha.EventDone, mv.SID, "%s", doneText(mv)))
		case mv.Failed != "":
			found = append(found, event(ha.EventFailed, mv.SID, "failed: %s: %s", moveText(mv), mv.Failed))
		}
	}
	if base.LatchSeen.IsZero() && !next.LatchSeen.IsZero() {
		found = append(found, event(ha.EventDone, ha.SID{}, "the HA manager shows %s in maintenance mode", base.Node))
	}
	if base.OnlineSeen.IsZero() && !next.OnlineSeen.IsZero() {
		found = append(found, event(ha.EventDone, ha.SID{}, "the HA manager shows %s online", base.Node))
	}
	for _, a := range p.Actions {
		intended = append(intended, event(ha.EventDo, aboutGuest(a), "%s", a))
	}
	for _, w := range p.Waits {
		sid, _ := ha.ParseSID(subjectWord(w.Subject))
		if _, underWay := next.OpenMove(sid); underWay && !w.Blocked || !c.said.isNew(base.ID, w, s.At) {
			continue // "do" has said so, or this was said before
		}
		text := w.String()
		if w.Fix != "" {
			text += "; " + w.Fix
		}
		intended = append(intended, event(ha.EventWait, sid, "%s", text))
	}
	if c.becameSafe(next, p, s) {
		intended = append(intended, event(ha.EventSafe, ha.SID{}, "%s is safe to power off", base.Node))
	}
	return found, intended
}

// told remembers what tell said, once it is stored.
func (c *Coordinator) told(next ha.Maintenance, p ha.Plan, events []ha.Event, s ha.Snapshot) {
	for _, w := range p.Waits {
		c.said.add(next.ID, w, s.At)
	}
	if slices.ContainsFunc(events, func(e ha.Event) bool { return e.Type == ha.EventSafe }) {
		c.safeSaid[next.ID] = next.DrainedAt
	}
	if next.Phase.Closed() {
		c.said.forget(next.ID)
		delete(c.safeSaid, next.ID)
	}
}

// becameSafe reports whether the node is safe to power off and nobody was told since it was
// drained.
func (c *Coordinator) becameSafe(m ha.Maintenance, p ha.Plan, s ha.Snapshot) bool {
	if m.Phase != ha.Drained || c.safeSaid[m.ID].Equal(m.DrainedAt) {
		return false
	}
	return planner.View(m, p, s).Safe
}

// saidSafe looks the same up in the journal, for a coordinator that was restarted.
func (c *Coordinator) saidSafe(m ha.Maintenance) bool {
	const lookBack = 10_000 // entries; beyond that saying it again does no harm
	e, ok, err := c.store.LastEvent(lookBack, func(e ha.Event) bool { return e.Type == ha.EventSafe && e.Maintenance == m.ID })
	return err == nil && ok && !e.At.Before(m.DrainedAt)
}

func moveText(mv ha.Move) string {
	switch mv.Method {
	case ha.MethodStop:
		return ha.Shutdown{SID: mv.SID, Node: mv.From, HA: mv.HA}.String()
	case ha.MethodStart:
		return ha.Start{SID: mv.SID, Node: mv.From, HA: mv.HA}.String()
	default:
		return ha.Migrate{SID: mv.SID, From: mv.From, To: mv.To, Method: mv.Method, HA: mv.HA}.String()
	}
}

func doneText(mv ha.Move) string {
	took := mv.Done.Sub(mv.Asked).Round(time.Second)
	switch mv.Method {
	case ha.MethodStop:
		return fmt.Sprintf("%s is shut down on %s (after %s)", mv.SID, mv.From, took)
	case ha.MethodStart:
		return fmt.Sprintf("%s is started on %s (after %s)", mv.SID, mv.From, took)
	}
	text := fmt.Sprintf("%s is on %s (after %s)", mv.SID, mv.To, took)
	if mv.Method == ha.MethodRestart && mv.Downtime > 0 {
		text = fmt.Sprintf("%s is on %s (after %s; it was down for %s)", mv.SID, mv.To, took, mv.Downtime.Round(100*time.Millisecond))
	}
	return text
}

// subjectWord is the SID or node at the head of a wait's subject, "vm:102 (media)".
func subjectWord(subject string) string {
	word, _, _ := strings.Cut(subject, " ")
	return word
}

// saidWaits remembers which waits were journalled, so that each is said once and not on
// every tick. It is in memory only: after a restart they are said again, once.
type saidWaits struct {
	last map[string]map[string]time.Time // by maintenance and wait
}

// waitForgotten: a reason that was gone for this long is news when it comes back.
const waitForgotten = 10 * time.Minute

var figures = regexp.MustCompile(`([0-9][0-9.]*( (ms|s|min|h)\b)?\s*)+`)

// key tells waits apart. Figures do not count: "next try in 25 s" is what was said before.
func (saidWaits) key(w ha.Wait) string {
	return w.Subject + "\x00" + figures.ReplaceAllString(w.Reason, "#")
}

func (s *saidWaits) isNew(maintenance string, w ha.Wait, at time.Time) bool {
	last, said := s.last[maintenance][s.key(w)]
	return !said || at.Sub(last) > waitForgotten
}

func (s *saidWaits) add(maintenance string, w ha.Wait, at time.Time) {
	if s.last == nil {
		s.last = make(map[string]map[string]time.Time)
	}
	if s.last[maintenance] == nil {
		s.last[maintenance] = make(map[string]time.Time)
	}
	s.last[maintenance][s.key(w)] = at
}

func (s *saidWaits) forget(maintenance string) { delete(s.last, maintenance) }
