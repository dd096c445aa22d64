package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// eachDocument is the answer of `ha simulate --each -o json`.
type eachDocument struct {
	// At is the instant of the facts.
	At      time.Time `json:"at"`
	Project string    `json:"project,omitempty"`
	Cluster string    `json:"cluster"`
	// Survives: every failure is survived.
	Survives bool            `json:"survives"`
	Failures []failureAnswer `json:"failures"`
}

// failureAnswer is what one failure takes along.
type failureAnswer struct {
	forecast.Hazard
	// Survives: it is known that nothing is lost. Where the note says what is not known, it is not.
	Survives bool `json:"survives"`
	// SelfFences are the nodes whose own watchdog resets them.
	SelfFences []ha.NodeName `json:"self_fences"`
	// Restarts run again or are moved, Lost are protected and do not run again, Down are
	// guests nobody protects that do not.
	Restarts []restart `json:"restarts"`
	Lost     []ha.SID  `json:"lost"`
	Down     []ha.SID  `json:"down"`
	// Within is how long after the failure the last one runs again.
	Within      time.Duration         `json:"within"`
	Overcommits []forecast.Overcommit `json:"overcommits"`
}

// restart is a guest that runs again.
type restart struct {
	SID  ha.SID      `json:"sid"`
	Name string      `json:"name,omitempty"`
	To   ha.NodeName `json:"to"`
}

// simulateEach plays every single failure through.
func (a *app) simulateEach(ctx context.Context, file string) error {
	s, err := a.facts(ctx, file)
	if err != nil {
		return err
	}
	d := newEachDocument(s)
	if a.json() {
		err = a.document(d)
	} else {
		a.print(eachLines(a.style, s, d, a.flags.quiet)...)
	}
	if err == nil && !d.Survives {
		return &outcome{code: exitRefused}
	}
	return err
}

func newEachDocument(s ha.Snapshot) eachDocument {
	d := eachDocument{At: s.At, Project: s.Policy.Project, Cluster: s.Inventory.Cluster.Name, Survives: true, Failures: []failureAnswer{}}
	for _, h := range forecast.Hazards(s) {
		f := failureAnswer{Hazard: h, Survives: true, SelfFences: []ha.NodeName{}, Restarts: []restart{}, Lost: []ha.SID{}, Down: []ha.SID{}, Overcommits: []forecast.Overcommit{}}
		if !h.Fault.Idle() {
			f.predict(s)
		}
		f.Survives = f.Survives && f.Note == ""
		d.Failures = append(d.Failures, f)
		d.Survives = d.Survives && f.Survives
	}
	return d
}

func (f *failureAnswer) predict(s ha.Snapshot) {
	p := newSimulateDocument(s, forecast.Forecast(s, f.Fault))
	f.Survives, f.Lost, f.Overcommits = p.Survives, p.Lost, full(p.Overcommits)
	for _, n := range p.Nodes {
		if n.SelfFences {
			f.SelfFences = append(f.SelfFences, n.Node)
		}
	}
	for _, o := range p.Targets {
		switch {
		case o.Fate == forecast.Restarted || o.Fate == forecast.Moved:
			f.Restarts = append(f.Restarts, restart{SID: o.SID, Name: o.Name, To: o.To})
			f.Within = max(f.Within, o.UpAt)
		case !slices.Contains(f.Lost, o.SID):
			f.Down = append(f.Down, o.SID)
		}
	}
}

// eachLines renders what each failure takes along, one paragraph a failure; quiet leaves
// out those that are survived.
func eachLines(st style, s ha.Snapshot, d eachDocument, quiet bool) []string {
	lines := []string{st.bold("What each single failure takes along"), st.faint(factsOf(d.Project, d.Cluster, d.At)), ""}
	names := make([]string, len(d.Failures))
	widest, bad, unknown := 0, 0, 0
	for k, f := range d.Failures {
		names[k] = strings.TrimPrefix(string(f.Kind)+" "+f.Name, "link ")
		widest = max(widest, width(names[k]))
	}
	for k, f := range d.Failures {
		word := st.good("survives")
		switch {
		case f.unknown():
			word = st.warn("UNKNOWN ")
			unknown++
		case !f.Survives:
			word = st.bad("LOSES   ")
			bad++
		}
		if quiet && f.Survives {
			continue
		}
		lead := names[k] + strings.Repeat(" ", widest-width(names[k])) + "  " + word + "  "
		lines = append(lines, sentence(lead, f.text(s))...)
	}
	if bad+unknown == 0 {
		return append(lines, "", st.good("Each of them is survived: every protected guest runs again, and no node is given more memory than it has."))
	}
	var sums []string
	if bad > 0 {
		sums = append(sums, fmt.Sprintf("%d of %d are not survived.", bad, len(d.Failures)))
	}
	if unknown > 0 {
		sums = append(sums, fmt.Sprintf("Not known of %d of %d.", unknown, len(d.Failures)))
	}
	return append(lines, "", st.bad(strings.Join(sums, " "))+" The whole story of one: psw ha simulate --fail NODE, --fail-link N, --fail-nfs")
}

// unknown reports whether nothing is seen to be lost, and not everything can be seen.
func (f failureAnswer) unknown() bool {
	return f.Note != "" && len(f.Lost)+len(f.Overcommits) == 0
}

// text says in a sentence what a failure takes along.
func (f failureAnswer) text(s ha.Snapshot) string {
	var parts []string
	if len(f.SelfFences) > 0 {
		parts = append(parts, "reset by the own watchdog: "+join(f.SelfFences, ", "))
	}
	if len(f.Restarts) > 0 {
		again := make([]string, len(f.Restarts))
		for k, r := range f.Restarts {
			again[k] = named(s, r.SID) + " on " + string(r.To)
		}
		text := "runs again: " + strings.Join(again, ", ")
		if f.Within > 0 {
			text += ", the last after " + span(f.Within)
		}
		parts = append(parts, text)
	}
	if len(f.Lost) > 0 {
		parts = append(parts, "does not run again: "+namedAll(s, f.Lost))
	}
	if len(f.Down) > 0 {
		parts = append(parts, "not protected: "+namedAll(s, f.Down))
	}
	for _, o := range f.Overcommits {
		parts = append(parts, fmt.Sprintf("%s is given %s more than it has", o.Node, size(o.Over)))
	}
	switch {
	case f.Note != "":
		parts = append(parts, f.Note)
	case len(parts) == 0:
		parts = append(parts, "nothing is touched")
	}
	return strings.Join(parts, "; ")
}

func namedAll(s ha.Snapshot, list []ha.SID) string {
	names := make([]string, len(list))
	for k, sid := range list {
		names[k] = named(s, sid)
	}
	return strings.Join(names, ", ")
}

// named is a guest as people know it.
func named(s ha.Snapshot, sid ha.SID) string {
	if g, ok := s.Inventory.Guest(sid); ok && g.Name != "" {
		return g.Name
	}
	return sid.String()
}
