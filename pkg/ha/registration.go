package ha

import (
	"slices"
	"strings"
	"time"
)

// Mark is how what psw registers is told from what others made: it begins the comment of
// every HA resource, rule and group of ours.
const Mark = "psw-ha: "

// Marked reports whether a comment says that its bearer is ours.
func Marked(comment string) bool { return strings.HasPrefix(comment, Mark) }

// MarkOf is the comment of whatever is registered for a target.
func MarkOf(target string) string { return Mark + "target " + target }

// MarkedTarget is the target a comment of ours names; "" if it is not ours.
func MarkedTarget(comment string) string {
	name, ours := strings.CutPrefix(comment, MarkOf(""))
	if !ours {
		return ""
	}
	return name
}

// PreferredPriority is that of a target's preferred node where the project declares no
// priorities, so that it is above every other node.
const PreferredPriority = 100

// Resource is what the target's guest is registered as. Failback is off: after a failure a
// guest stays where it is until the operator brings it home, which spares it a second move.
func (t Target) Resource(sid SID) Resource {
	r := Resource{SID: sid, State: RequestStarted, MaxRestart: 1, MaxRelocate: 1, Comment: MarkOf(t.Name)}
	if n := t.Options.MaxRestart; n != nil {
		r.MaxRestart = *n
	}
	if n := t.Options.MaxRelocate; n != nil {
		r.MaxRelocate = *n
	}
	return r
}

// RuleNodes are the nodes the target should or may run on, by name: its preferred node
// above all others, or as ha_options orders them.
func (t Target) RuleNodes() []RuleNode {
	names := t.Options.Nodes
	if len(names) == 0 {
		names = []NodeName{t.Node}
	}
	var out []RuleNode
	for _, n := range names {
		if n == "" {
			continue
		}
		x := RuleNode{Node: n}
		for _, o := range t.Options.Priority {
			if o.Node == n {
				x.Priority = o.Priority
			}
		}
		if n == t.Node && len(t.Options.Priority) == 0 {
			x.Priority = PreferredPriority
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b RuleNode) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return out
}

// BestNodes are the nodes with the highest priority.
func BestNodes(nodes []RuleNode) []NodeName {
	best := 0
	for _, n := range nodes {
		best = max(best, n.Priority)
	}
	var out []NodeName
	for _, n := range nodes {
		if n.Priority == best {
			out = append(out, n.Node)
		}
	}
	return out
}

// Keeper is who asks for an apply that puts drift right by itself.
const Keeper = "psw-ha --keep"

// What bounds the keeper: it is a convenience, not a party to a quarrel.
const (
	// KeepFightsMax is how often it puts things right before it leaves them to people:
	// whoever undoes it a third time means it.
	KeepFightsMax = 3
	// KeepWindow is the time within which these count as one quarrel.
	KeepWindow = time.Hour
)

// Kept returns the newest registration that was carried out, and whether it is to be kept:
// an apply without --keep ends the keeping of an earlier one.
func Kept(ops []Operation) (Operation, bool) {
	for _, o := range slices.Backward(ops) { // by ID, which is by time
		if (o.Kind == OperationApply || o.Kind == OperationBootstrap) && o.Outcome == OperationDone {
			return o, o.Options.Keep
		}
	}
	return Operation{}, false
}

// Contested reports whether the keeper has given up: since somebody last asked for an apply
// it has put things right KeepFightsMax times, each within KeepWindow of the next. It begins
// again when somebody asks.
func Contested(ops []Operation) bool {
	fights := 0
	var last time.Time
	for _, o := range slices.Backward(ops) {
		if o.Kind != OperationApply || !o.Closed() {
			continue
		}
		if o.By != Keeper || !last.IsZero() && last.Sub(o.RequestedAt) > KeepWindow {
			break
		}
		if slices.ContainsFunc(o.Steps, func(s OperationStep) bool { return s.State == StepDone || s.State == StepFailed }) {
			fights++
			last = o.RequestedAt
		}
	}
	return fights >= KeepFightsMax
}
