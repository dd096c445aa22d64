package cli

import (
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// planMarks are the signs a change is read by at the left edge.
var planMarks = map[ha.ChangeKind]string{
	ha.ChangeAdd: "+", ha.ChangeChange: "~", ha.ChangeRemove: "-", ha.ChangeUnchanged: "=", ha.ChangeForeign: "?",
}

// planLines renders the difference between network.yml and what is registered. Quiet
// leaves out what is as it should be and what belongs to others.
func planLines(st style, p ha.PlanView, quiet bool) []string {
	lines := []string{st.bold(planTitle(p))}
	t := table{indent: "  "}
	var commands []string
	for _, c := range p.Changes {
		if c.Command != "" {
			commands = append(commands, c.Command)
		}
		if quiet && (c.Kind == ha.ChangeUnchanged || c.Kind == ha.ChangeForeign) {
			continue
		}
		t.row(planMark(st, c.Kind), string(c.Kind), c.Subject, c.Text)
	}
	if len(t.rows) > 0 {
		lines = append(lines, "")
		lines = append(lines, t.lines()...)
	}
	if len(commands) > 0 {
		lines = append(lines, "", "The same by hand, in this order:")
		for _, c := range commands {
			lines = append(lines, "  "+c)
		}
	}
	if len(p.Waits)+len(p.Notices) > 0 {
		lines = append(lines, "")
	}
	for _, n := range p.Notices {
		lines = append(lines, sentence("NOTICE: ", n)...)
	}
	for _, w := range p.Waits {
		lines = append(lines, waitLines(st, w)...)
	}
	return lines
}

func planMark(st style, k ha.ChangeKind) string {
	mark := planMarks[k]
	switch k {
	case ha.ChangeAdd:
		return st.good(mark)
	case ha.ChangeChange:
		return st.warn(mark)
	case ha.ChangeRemove:
		return st.bad(mark)
	case ha.ChangeUnchanged, ha.ChangeForeign:
	}
	return mark
}

// planTitle counts the changes, or says that there is nothing to do.
func planTitle(p ha.PlanView) string {
	n := make(map[ha.ChangeKind]int)
	for _, c := range p.Changes {
		n[c.Kind]++
	}
	var parts []string
	for _, of := range []struct {
		kind ha.ChangeKind
		text string
	}{{ha.ChangeAdd, "%d to add"}, {ha.ChangeChange, "%d to change"}, {ha.ChangeRemove, "%d to remove"}} {
		if n[of.kind] > 0 {
			parts = append(parts, fmt.Sprintf(of.text, n[of.kind]))
		}
	}
	title := "The HA manager is as network.yml says"
	if len(parts) > 0 {
		title = "network.yml and the HA manager differ: " + strings.Join(parts, ", ")
	}
	if n[ha.ChangeUnchanged] > 0 {
		title += fmt.Sprintf("; %d unchanged", n[ha.ChangeUnchanged])
	}
	if n[ha.ChangeForeign] > 0 {
		title += fmt.Sprintf("; %d of others, left alone", n[ha.ChangeForeign])
	}
	return title + "."
}

// waitLines renders something that is not done now: a line, and a second one with what
// to do if it will not go away by itself.
func waitLines(st style, w ha.Wait) []string {
	if !w.Blocked {
		return sentence("", waitText(w.Subject, w.Reason))
	}
	lines := sentence("BLOCKED: ", w.Subject+": "+w.Reason)
	lines[0] = st.bad("BLOCKED:") + lines[0][len("BLOCKED:"):]
	if w.Fix != "" {
		lines = append(lines, sentence("    fix: ", w.Fix)...)
	}
	return lines
}

// waitText says who waits for what, and says "waiting" once.
func waitText(who, reason string) string {
	if strings.HasPrefix(reason, "waiting ") {
		return who + ": " + reason
	}
	return "waiting: " + who + ": " + reason
}

// blocked reports whether somebody must do something before this can go on.
func blocked(waits []ha.Wait) bool {
	_, found := findBy(waits, func(w ha.Wait) bool { return w.Blocked })
	return found
}
