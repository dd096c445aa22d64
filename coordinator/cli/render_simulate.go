package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// simulateLines renders a forecast: the time line, who is reset by its own watchdog, what
// becomes of each guest, nodes given more than they have, what is assumed, and the result.
// Quiet leaves out what goes well.
func simulateLines(st style, d simulateDocument, quiet bool) []string {
	lines := []string{st.bold(faultTitle(d.Fault)), st.faint(factsOf(d.Project, d.Cluster, d.At))}
	if !quiet {
		lines = append(lines, "")
		lines = append(lines, timeLines(d.TimeLine)...)
	}
	lines = append(lines, apart(fencingLines(st, d.Nodes))...)
	lines = append(lines, apart(outcomeLines(st, d, quiet))...)
	lines = append(lines, apart(overcommitLines(st, d.Overcommits))...)
	if !d.Settled {
		lines = append(lines, "")
		lines = append(lines, warningLines(st, fmt.Sprintf("the forecast ends %s after the fault, and not everything is decided by then", span(d.After)))...)
	}
	if !quiet {
		lines = append(lines, apart(assumptionLines(d.Assumptions))...)
	}
	return append(lines, apart(simulateResult(st, d))...)
}

// apart sets lines off from what stands above, if there are any.
func apart(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return append([]string{""}, lines...)
}

// factsOf says what an answer was computed from.
func factsOf(project, cluster string, at time.Time) string {
	return fmt.Sprintf("from the facts of %s, cluster %s, as of %s", cmp.Or(project, "no project"), dash(cluster), stamp(at))
}

func faultTitle(f forecast.Fault) string {
	var parts []string
	if len(f.Nodes) > 0 {
		parts = append(parts, join(f.Nodes, ", ")+" without power")
	}
	switch {
	case f.NFS:
		parts = append(parts, "NFS silent on every node")
	case len(f.NFSNodes) > 0:
		parts = append(parts, "NFS silent on "+join(f.NFSNodes, ", "))
	}
	for _, l := range f.Links {
		parts = append(parts, fmt.Sprintf("corosync link %d cut", l))
	}
	if len(f.Partition) > 0 {
		sides := make([]string, len(f.Partition))
		for k, side := range f.Partition {
			sides[k] = join(side, ", ")
		}
		parts = append(parts, "network parted "+strings.Join(sides, " | "))
	}
	return "Simulated: " + strings.Join(parts, "; ")
}

func join(nodes []ha.NodeName, with string) string {
	names := make([]string, len(nodes))
	for k, n := range nodes {
		names[k] = string(n)
	}
	return strings.Join(names, with)
}

// timeLines tell when what happens, counted from the fault.
func timeLines(entries []forecast.Entry) []string {
	t := table{indent: "  "}
	for _, e := range entries {
		t.row("+"+span(e.At), e.Text)
	}
	return t.lines()
}

// fencingLines tell whose watchdog resets it, and who merely loses quorum.
func fencingLines(st style, nodes []forecast.NodeOutcome) []string {
	var lines []string
	for _, n := range nodes {
		switch {
		case n.SelfFences:
			text := fmt.Sprintf("its own watchdog resets it between %s and %s after the fault", span(n.SelfFencesEarliest), span(n.SelfFencesLatest))
			if n.LosesQuorum {
				text = "loses quorum; " + text
			}
			lines = append(lines, sentence(st.bad("SELF-FENCES")+" "+string(n.Node)+": ", text)...)
		case n.LosesQuorum:
			lines = append(lines, sentence(st.warn("LOSES QUORUM")+" "+string(n.Node)+": ", "its watchdog is not armed, it is not reset")...)
		}
	}
	return lines
}

func outcomeLines(st style, d simulateDocument, quiet bool) []string {
	t := table{indent: "  "}
	t.head(st, "GUEST", "TARGET", "HA", "FROM -> TO", "FATE", "DOWN AT", "RUNS AT", "WHY")
	rows := len(t.rows)
	for _, o := range d.Targets {
		lost := slices.Contains(d.Lost, o.SID)
		if quiet && !lost {
			continue
		}
		managed := "no"
		if o.Managed {
			managed = "yes"
		}
		down, up := "-", "-"
		if o.Fate != forecast.Hanging && o.Fate != forecast.CutOff {
			down = "+" + span(o.DownAt)
		}
		if o.UpAt > 0 {
			up = "+" + span(o.UpAt)
		}
		t.row(o.SID.String(), dash(o.Name), managed, route(o.From, o.To, false), fateWord(st, o.Fate, lost), down, up, dash(o.Why))
	}
	if len(t.rows) == rows {
		return nil
	}
	lines := t.lines()
	if d.Untouched > 0 && !quiet {
		lines = append(lines, fmt.Sprintf("  %s not touched", count(d.Untouched, "other guest")))
	}
	return lines
}

func fateWord(st style, f forecast.Fate, lost bool) string {
	word := strings.ReplaceAll(string(f), "_", " ")
	switch {
	case lost:
		return st.bad(word)
	case f == forecast.Restarted || f == forecast.Moved:
		return st.good(word)
	default:
		return st.warn(word)
	}
}

func overcommitLines(st style, list []forecast.Overcommit) []string {
	var lines []string
	for _, o := range list {
		lines = append(lines, warningLines(st, fmt.Sprintf("%s is given %s more than it has: %s assigned, %s of memory, %s of that for itself; %s came there",
			o.Node, size(o.Over), size(o.Assigned), size(o.Memory), size(o.Reserve), joinSIDs(o.Guests)))...)
	}
	if len(lines) > 0 {
		lines = append(lines, "Proxmox does not refuse a start for lack of memory: the guests run until the kernel kills one.")
	}
	return lines
}

func assumptionLines(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	lines := []string{"It is assumed:"}
	for _, text := range list {
		lines = append(lines, sentence("  - ", text)...)
	}
	return lines
}

// simulateResult is the answer: who runs again by when, who does not, who has no room.
func simulateResult(st style, d simulateDocument) []string {
	back, last := 0, time.Duration(0)
	var lost, over []string
	for _, o := range d.Targets {
		switch {
		case slices.Contains(d.Lost, o.SID):
			lost = append(lost, strings.TrimSpace(o.SID.String()+" "+o.Name))
		case o.Managed && (o.Fate == forecast.Restarted || o.Fate == forecast.Moved):
			back, last = back+1, max(last, o.UpAt)
		}
	}
	for _, o := range d.Overcommits {
		over = append(over, string(o.Node))
	}
	var lines []string
	switch {
	case last > 0:
		lines = append(lines, fmt.Sprintf("Running again elsewhere: %s, the last %s after the fault, give or take %s.", count(back, "protected guest"), span(last), span(d.Within)))
	case back > 0:
		lines = append(lines, fmt.Sprintf("Running elsewhere: %s.", count(back, "protected guest")))
	case len(lost) == 0:
		lines = append(lines, "No protected guest is touched.")
	}
	if d.Survives {
		lines[0] = st.good(lines[0])
	}
	if len(lost) > 0 {
		lines = append(lines, sentence(st.bad("NOT RUNNING AGAIN:")+" ", strings.Join(lost, ", "))...)
	}
	if len(over) > 0 {
		lines = append(lines, sentence(st.bad("NOT ENOUGH MEMORY:")+" ", strings.Join(over, ", "))...)
	}
	return lines
}
