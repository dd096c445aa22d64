package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// statusLines renders the overview of `psw ha status`. Verbose adds gossip's opinion of
// each node and what is asked of each resource.
func statusLines(st style, s ha.ClusterStatus, verbose bool) []string {
	lines := []string{
		st.bold(fmt.Sprintf("%s, cluster %s", cmp.Or(s.Project, "no project"), dash(s.Cluster))) + "  " + st.faint(stamp(s.At)),
		quorumLine(st, s),
		haLine(st, s),
	}
	lines = append(lines, readinessLines(st, s.Readiness)...)
	lines = append(lines, "")
	lines = append(lines, nodeLines(st, s.Nodes, verbose)...)
	for _, n := range s.Nodes {
		if n.HAState == ha.NodeGone {
			lines = append(lines, sentence(string(n.Name)+" ", goneText(n, s.At))...)
		}
	}
	if len(s.Targets) > 0 {
		lines = append(lines, "")
		lines = append(lines, targetLines(st, s.Targets, verbose)...)
	}
	if len(s.Maintenances)+len(s.Operations) > 0 {
		lines = append(lines, "")
	}
	for _, m := range s.Maintenances {
		lines = append(lines, "maintenance  "+maintenanceLine(m))
	}
	for _, v := range s.Operations {
		lines = append(lines, openOperationLines(st, v)...)
	}
	if len(s.Warnings) > 0 {
		lines = append(lines, "")
	}
	for _, w := range s.Warnings {
		lines = append(lines, warningLines(st, w)...)
	}
	return lines
}

// openOperationLines say what is under way, and what of it waits for somebody.
func openOperationLines(st style, v ha.OperationView) []string {
	o := v.Operation
	word := "under way"
	if o.Cancelling {
		word = "being given up"
	}
	line := fmt.Sprintf("%s  %s, asked for at %s", operationName(v), word, stamp(o.RequestedAt))
	if o.By != "" {
		line += " by " + o.By
	}
	lines := sentence("operation    ", line+": `psw operation watch`")
	for _, x := range v.Waits {
		if x.Blocked {
			lines = append(lines, sentence("             ", st.warn("waits for you:")+" "+x.String()+"; "+x.Fix)...)
		}
	}
	return lines
}

func operationName(v ha.OperationView) string {
	return v.Operation.Kind.Command() + " " + v.Operation.Subject()
}

func warningLines(st style, text string) []string {
	return sentence(st.warn("WARN:")+" ", text)
}

func quorumLine(st style, s ha.ClusterStatus) string {
	word := st.good("quorate")
	if !s.Quorate {
		word = st.bad("NO QUORUM")
	}
	line := fmt.Sprintf("quorum   %s, %d of %d votes, %d needed", word, s.Votes, s.Expected, s.Quorum)
	switch {
	case !s.Quorate:
		return line + "; nothing can be started or moved now"
	case s.LossesTolerated <= 0:
		return line + ", " + st.warn("no loss tolerated")
	default:
		return line + ", tolerates the loss of " + count(s.LossesTolerated, "more vote")
	}
}

func haLine(st style, s ha.ClusterStatus) string {
	master := "master " + string(s.Master)
	if s.Master == "" {
		master = st.warn("no master yet")
	}
	line := "HA       " + master
	if s.Armed != "" {
		word := s.Armed
		if word != "armed" {
			word = st.warn(word)
		}
		line += ", " + word
	}
	if s.ShutdownPolicy != "" {
		line += ", shutdown policy " + s.ShutdownPolicy
	}
	return line
}

// readinessLines say whether HA is ready, as it is published, and what the record of the
// last whole check is worth.
func readinessLines(st style, p *ha.Standing) []string {
	switch {
	case p == nil:
		return nil
	case !p.Known:
		return []string{readinessLead + "not known yet: the coordinator has just begun to watch"}
	}
	line := st.good("yes")
	if !p.Ready {
		line = st.bad("NO")
	}
	line += " since " + stamp(p.Since)
	if len(p.Failing) > 0 {
		codes := each(p.Failing, func(c ha.Code) string { return string(c) })
		if more := len(codes) - codesShown; more > 0 {
			codes = append(codes[:codesShown], fmt.Sprintf("%d more", more))
		}
		line += ": " + strings.Join(codes, ", ")
	}
	if p.Warnings > 0 {
		line += ", " + count(p.Warnings, "warning")
	}
	if p.Muted > 0 {
		line += fmt.Sprintf(", %d muted", p.Muted)
	}
	lines := sentence(readinessLead, line)
	if p.Record == nil {
		return append(lines, "         never checked as a whole: psw ha check")
	}
	for _, l := range recordLines(st, p) {
		lines = append(lines, "         "+l)
	}
	return lines
}

const readinessLead = "ready    "

// codesShown is how many codes one line names.
const codesShown = 4

func nodeLines(st style, nodes []ha.NodeStatus, verbose bool) []string {
	t := table{}
	names := []string{"NODE", "CLUSTER", "HA", "LRM", "WATCHDOG", "STORAGE", "MEMORY", "GUESTS", "AGENT"}
	if verbose {
		names = append(names, "GOSSIP")
	}
	t.head(st, append(names, "MAINTENANCE")...)
	for _, n := range nodes {
		online := st.good("online")
		switch {
		case n.HAState == ha.NodeGone:
			online = "left"
		case !n.Online:
			online = st.bad("offline")
		}
		memory := size(n.MemoryUsed) + " / " + size(n.MemoryTotal)
		if n.MemoryTotal == 0 {
			memory = "-"
		}
		seen := age(n.ReportAge)
		switch {
		case n.HAState == ha.NodeGone:
			seen = "-"
		case n.ReportAge < 0 || n.ReportAge > ha.ReportAgeMax:
			seen = st.bad(seen)
		}
		cells := []string{string(n.Name), online, st.nodeState(dash(n.HAState)), dash(n.LRM), dash(n.Watchdog),
			storageWord(st, n.Storage), memory, fmt.Sprint(n.Guests), seen}
		if verbose {
			cells = append(cells, dash(string(n.Gossip)))
		}
		t.row(append(cells, string(n.Phase))...)
	}
	return t.lines()
}

// goneText is what becomes of a node that left the cluster.
func goneText(n ha.NodeStatus, now time.Time) string {
	when := "an hour after it was last online"
	if left := n.ForgottenAt.Sub(now).Round(time.Minute); !n.ForgottenAt.IsZero() {
		when = "any moment now"
		if left > 0 {
			when = "in about " + span(left)
		}
	}
	return fmt.Sprintf("left the cluster: the HA manager forgets it %s, and it must not boot on this network as it is", when)
}

func storageWord(st style, word string) string {
	switch word {
	case "mounted":
		return st.good(word)
	case "":
		return "-"
	default:
		return st.bad(word)
	}
}

func targetLines(st style, targets []ha.TargetStatus, verbose bool) []string {
	t := table{}
	names := []string{"TARGET", "GUEST", "HA", "PREFERRED", "NODE", "STATE"}
	if verbose {
		names = append(names, "REQUEST")
	}
	t.head(st, append(names, "NOTE")...)
	for _, g := range targets {
		managed := "no"
		if g.HA {
			managed = "yes"
		}
		sid := "-"
		if !g.SID.IsZero() {
			sid = g.SID.String()
		}
		node := dash(string(g.Node))
		if g.Node != "" && g.Preferred != "" && g.Node != g.Preferred {
			node = st.warn(node)
		}
		cells := []string{g.Name, sid, managed, dash(string(g.Preferred)), node, targetState(st, g)}
		if verbose {
			cells = append(cells, dash(g.Request))
		}
		t.row(append(cells, g.Note)...)
	}
	return t.lines()
}

// targetState is the HA manager's word where it manages the guest, else whether it runs.
func targetState(st style, g ha.TargetStatus) string {
	switch {
	case g.State != "":
		return st.serviceState(g.State)
	case g.SID.IsZero():
		return "-"
	case g.Running:
		return st.good("running")
	default:
		return "stopped"
	}
}

// maintenanceLine says in one line where a maintenance stands, since when, and who
// wanted it.
func maintenanceLine(m ha.Maintenance) string {
	since := m.RequestedAt
	switch m.Phase {
	case ha.Requested, ha.Draining:
	case ha.Drained:
		since = m.DrainedAt
	case ha.Restoring:
		since = m.RestoreAt
	case ha.Ended, ha.Cancelled:
		since = m.EndedAt
	}
	word := string(m.Phase)
	if m.Cancelling {
		word = "being cancelled"
	}
	line := fmt.Sprintf("%s  %s", m.Node, word)
	switch {
	case since.IsZero():
	case m.Phase.Closed():
		line += " " + stamp(since)
	default:
		line += " since " + stamp(since)
	}
	if m.By != "" {
		line += ", asked by " + m.By
	}
	if m.Message != "" {
		line += fmt.Sprintf(": %q", m.Message)
	}
	return line
}

// statusChanges says what is different between two overviews, one line each: the form
// `psw ha status --watch` takes in a pipe.
func statusChanges(old, now ha.ClusterStatus) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	change := func(what, from, to string) {
		if from != to {
			say("%s %s -> %s", what, dash(from), dash(to))
		}
	}
	if old.Quorate != now.Quorate {
		say("cluster: quorum %s (%d of %d votes, %d needed)", gainedLost(now.Quorate), now.Votes, now.Expected, now.Quorum)
	} else if old.Votes != now.Votes {
		say("cluster: %d of %d votes, %d needed", now.Votes, now.Expected, now.Quorum)
	}
	change("cluster: HA master", string(old.Master), string(now.Master))
	change("cluster: HA", old.Armed, now.Armed)
	for _, n := range now.Nodes {
		was, _ := findBy(old.Nodes, func(o ha.NodeStatus) bool { return o.Name == n.Name })
		who := string(n.Name) + ": "
		change(who+"cluster", onlineWord(was.Online), onlineWord(n.Online))
		change(who+"HA", was.HAState, n.HAState)
		change(who+"LRM", was.LRM, n.LRM)
		change(who+"storage", was.Storage, n.Storage)
		change(who+"agent", freshWord(was), freshWord(n))
		change(who+"maintenance", string(was.Phase), string(n.Phase))
	}
	for _, g := range now.Targets {
		was, _ := findBy(old.Targets, func(o ha.TargetStatus) bool { return o.Name == g.Name })
		change(g.Name+": node", string(was.Node), string(g.Node))
		change(g.Name+": state", targetState(style{}, was), targetState(style{}, g))
	}
	same := func(a ha.OperationView) func(ha.OperationView) bool {
		return func(b ha.OperationView) bool { return a.Operation.ID == b.Operation.ID }
	}
	for _, v := range old.Operations {
		if _, open := findBy(now.Operations, same(v)); !open {
			say("%s: over", operationName(v))
		}
	}
	for _, v := range now.Operations {
		if _, known := findBy(old.Operations, same(v)); !known {
			say("%s: under way", operationName(v))
		}
	}
	for _, w := range now.Warnings {
		if _, known := findBy(old.Warnings, func(o string) bool { return o == w }); !known {
			say("WARN: %s", w)
		}
	}
	return lines
}

func gainedLost(yes bool) string {
	if yes {
		return "regained"
	}
	return "LOST"
}

func onlineWord(online bool) string {
	if online {
		return "online"
	}
	return "offline"
}

func freshWord(n ha.NodeStatus) string {
	if n.ReportAge < 0 || n.ReportAge > ha.ReportAgeMax {
		return "silent"
	}
	return "reporting"
}

func findBy[T any](list []T, is func(T) bool) (T, bool) {
	for _, v := range list {
		if is(v) {
			return v, true
		}
	}
	var zero T
	return zero, false
}
