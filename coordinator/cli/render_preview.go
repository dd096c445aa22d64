package cli

import (
	"cmp"
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// previewLines renders a drain ("Drain of") or a restore ("Return of") as it would go:
// what happens to each guest, how full the nodes are afterwards, what is worth knowing,
// and what forbids it. With commands it adds the stock Proxmox commands it equals.
func previewLines(st style, head string, p ha.Preview, commands bool) []string {
	lines := []string{st.bold(previewTitle(head, p))}
	lines = append(lines, stepLines(st, p.Steps)...)
	lines = append(lines, fitLines(st, p.Fit)...)
	if len(p.Notices) > 0 {
		lines = append(lines, "")
	}
	for _, n := range p.Notices {
		lines = append(lines, sentence("NOTICE: ", n)...)
	}
	if commands && len(p.Commands) > 0 {
		lines = append(lines, "", "The same by hand, in this order:")
		for _, c := range p.Commands {
			lines = append(lines, "  "+c)
		}
	}
	if len(p.Blockers) > 0 {
		lines = append(lines, "")
		lines = append(lines, blockerLines(st, p.Blockers)...)
	}
	return lines
}

func previewTitle(head string, p ha.Preview) string {
	title := fmt.Sprintf("%s %s: %s", head, p.Node, stepCount(p.Steps))
	if p.Estimate > 0 {
		title += ", about " + span(p.Estimate)
	}
	return title
}

// stepCount says how many guests move, and apart from them how many do not.
func stepCount(steps []ha.Step) string {
	stays := 0
	for _, s := range steps {
		if s.Method == ha.MethodStays {
			stays++
		}
	}
	switch {
	case len(steps) == 0:
		return "no guest is concerned"
	case stays == 0:
		return count(len(steps), "guest")
	default:
		return fmt.Sprintf("%s, %d not touched", count(len(steps)-stays, "guest"), stays)
	}
}

func stepLines(st style, steps []ha.Step) []string {
	if len(steps) == 0 {
		return nil
	}
	t := table{indent: "  "}
	t.head(st, "GUEST", "TARGET", "METHOD", "FROM -> TO", "MEMORY", "TAKES", "WHY")
	chosen := false
	for _, s := range steps {
		chosen = chosen || s.Chosen
		takes := "-"
		if s.Estimate > 0 {
			takes = "~" + span(s.Estimate)
		}
		t.row(s.SID.String(), stepName(s), string(s.Method), route(s.From, s.To, s.Chosen),
			size(s.Memory), takes, s.Reason)
	}
	lines := append([]string{""}, t.lines()...)
	if chosen {
		lines = append(lines, "  * the HA manager chooses; this is where we expect it to go")
	}
	return lines
}

// stepName is the target's name; a guest that network.yml does not declare is shown by
// its own name in brackets.
func stepName(s ha.Step) string {
	if s.Target {
		return s.Name
	}
	return "(" + cmp.Or(s.Name, "no name") + ")"
}

func route(from, to ha.NodeName, chosen bool) string {
	if to == "" || to == from {
		return string(from)
	}
	text := fmt.Sprintf("%s -> %s", from, to)
	if chosen {
		text += "*"
	}
	return text
}

// fitLines show each node's memory before and after. Assigned is what its guests may
// use at most: when that exceeds what the host can give, a node may run out of memory.
func fitLines(st style, fit []ha.Fit) []string {
	if len(fit) == 0 {
		return nil
	}
	t := table{indent: "  "}
	t.head(st, "NODE", "MEMORY", "FOR GUESTS", "ASSIGNED NOW -> AFTER", "FULL", "USED NOW -> AFTER")
	for _, f := range fit {
		room := f.Total - f.Reserve
		full := share(f.AssignedAfter, room)
		switch {
		case f.Total > 0 && f.AssignedAfter > room:
			full = st.bad(full + " over")
		case f.Total > 0:
			full = st.good(full)
		}
		t.row(string(f.Node), size(f.Total), size(max(0, room)), nowAfter(f.AssignedNow, f.AssignedAfter), full, nowAfter(f.UsedNow, f.UsedAfter))
	}
	return append([]string{""}, t.lines()...)
}

func nowAfter(now, after int64) string { return sizeOrNone(now) + " -> " + sizeOrNone(after) }

// sizeOrNone writes a sum, where 0 is a fact and not a gap.
func sizeOrNone(bytes int64) string {
	if bytes == 0 {
		return "0"
	}
	return size(bytes)
}

func blockerLines(st style, blockers []ha.Blocker) []string {
	lines := []string{st.bad(fmt.Sprintf("It may not begin: %s.", count(len(blockers), "blocker")))}
	for _, b := range blockers {
		lines = append(lines, sentence("  ", fmt.Sprintf("%s: %s  [%s]", b.Subject, b.Reason, b.Code))...)
		if b.Fix != "" {
			lines = append(lines, sentence("    fix: ", b.Fix)...)
		}
	}
	return lines
}

// lineWidth is where sentences are broken: the width every terminal and every mail has.
const lineWidth = 100

// sentence writes text after lead and indents what does not fit under its first word.
func sentence(lead, text string) []string {
	lines := wrap(text, lineWidth-width(lead))
	if len(lines) == 0 {
		return []string{lead}
	}
	out := []string{lead + lines[0]}
	pad := fmt.Sprintf("%*s", width(lead), "")
	for _, l := range lines[1:] {
		out = append(out, pad+l)
	}
	return out
}
