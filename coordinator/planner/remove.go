package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of what forbids removing a node.
const (
	codeNodeGuests  ha.Code = "NODE_HAS_GUESTS"
	codeLastNode    ha.Code = "LAST_NODE"
	codeNotOff      ha.Code = "NODE_NOT_OFF"
	codeNodeUnknown ha.Code = "NODE_UNKNOWN"
)

// delnodePatience is how long pvecm delnode is waited for.
const delnodePatience = 3 * time.Minute

// removeNode takes a node out of the cluster for good, in Proxmox's documented order: it is
// empty, no rule of ours names it, no QDevice is there, it is off, and only then a remaining node removes it.
func (w *world) removeNode(o ha.Operation) (ha.Operation, ha.Plan) {
	return w.walk(o, w.removeGates(o), (*journey).remove)
}

// PreviewRemove is how a node would be removed, and what forbids it.
func PreviewRemove(o ha.Operation, s ha.Snapshot) ha.OperationPreview {
	w := newWorld(s)
	return w.previewJourney(o, w.removeGates(o), (*journey).remove)
}

// removeGates are what forbids removing the node, before anything is touched and later.
func (w *world) removeGates(o ha.Operation) []ha.Blocker {
	out := w.gates()
	if !w.InventoryFresh() {
		return out
	}
	n := o.Node
	add := func(code ha.Code, subject, fix, format string, args ...any) {
		out = append(out, ha.Blocker{Code: code, Subject: subject, Reason: fmt.Sprintf(format, args...), Fix: fix})
	}
	node, listed := w.Inventory.Node(n)
	if !listed {
		if len(o.Steps) == 0 && !slices.Contains(w.Policy.Cluster.Nodes, n) && !w.removed(n) {
			add(codeNodeUnknown, string(n), fmt.Sprintf("its nodes are %s: `psw node remove NODE`", joinNodes(w.nodeNames())), "the cluster has no such node")
		}
		return out
	}
	switch {
	case w.Inventory.Cluster.Standalone || len(w.Inventory.Nodes) < 2:
		add(codeLastNode, string(n), fmt.Sprintf("a node that stands alone is simply installed anew: `poweroff` on %s, then the installer", n), "it is the last node of the cluster")
		return out
	case !o.Options.PoweredOff:
		add(codeNotOff, string(n), w.sayOff(n),
			"nobody has said that it is off, and will never be started on this network again as it is")
	}
	out = append(out, w.deviceUnknown()...)
	if why, fix := w.unreadable(); why != "" { // a rule that could not be read may name the node
		add(codeRegistrationUnknown, "cluster", fix, "%s", why)
	}
	var guests []string
	for _, g := range w.Inventory.Guests {
		if g.Node == n {
			guests = append(guests, w.label(g.SID))
		}
	}
	if len(guests) > 0 {
		add(codeNodeGuests, string(n), fmt.Sprintf("move them: `psw maintenance start %s`; what is left: `qm destroy`, `pct destroy`", n),
			"%d guests are on it: %s", len(guests), strings.Join(guests, ", "))
	}
	for _, m := range w.Maintenances {
		if m.Node != n && !m.Phase.Closed() {
			add(codeOtherMaintenance, string(m.Node), fmt.Sprintf("end it first: `psw maintenance end %s`", m.Node), "it is in maintenance (%s)", m.Phase)
		}
	}
	rest, online := 0, 0
	for _, x := range w.Inventory.Nodes {
		if x.Name != n {
			rest++
			if x.Online {
				online++
			}
		}
	}
	// The node's vote is expected until it is removed, and it is off by then; a QDevice is
	// removed before it, and has no vote then either.
	need := w.Inventory.Cluster.Expected/2 + 1
	switch {
	case !node.Online && w.device() != "":
		add(codeNodeOffline, string(n), fmt.Sprintf("power %s on once more and ask again: `psw node remove %s --powered-off %s` says when it is to be off", n, n, n),
			"it is off, and the cluster's QDevice must go first, which Proxmox removes only while every node is online")
	case online >= need || !node.Online:
	case rest == 1 && online == 1:
		add(codeQuorumAtRisk, "cluster", fmt.Sprintf("join a third node first: `psw node cluster`; without one it is done by hand, as Proxmox's manual says: `poweroff` on %s; on %s %s; then `pvecm delnode %s`",
			n, w.remaining(n), expectFewer(1), n),
			"without %s the cluster has %d of the %d votes it needs%s", n, online, need, deviceGone(w.device()))
	default:
		add(codeQuorumAtRisk, "cluster", "bring the other nodes back first: `pvecm status` says who is missing",
			"without %s the cluster has %d of the %d votes it needs%s", n, online, need, deviceGone(w.device()))
	}
	if online < rest {
		add(codeQuorumAtRisk, "cluster", "bring the other nodes back first: `pvecm status` says who is missing", "%d of the %d nodes that remain are offline", rest-online, rest)
	}
	return out
}

// sayOff is how to say that a node is off. It is shut down last where a QDevice goes first.
func (w *world) sayOff(n ha.NodeName) string {
	if w.device() != "" {
		return fmt.Sprintf("`psw node remove %s --powered-off %s` says that it will be, and when to do it: `poweroff` on %s", n, n, n)
	}
	return fmt.Sprintf("`poweroff` on %s, then `psw node remove %s --powered-off %s`", n, n, n)
}

func deviceGone(host string) string {
	if host == "" {
		return ""
	}
	return ", since the QDevice is removed before"
}

// removed reports whether the node was removed by an operation.
func (w *world) removed(n ha.NodeName) bool {
	return slices.ContainsFunc(w.Operations, func(o ha.Operation) bool {
		return o.Kind == ha.OperationRemoveNode && o.Node == n && o.Outcome == ha.OperationDone
	})
}

// left reports whether a maintenance's node has been removed from the cluster since it was
// asked for. Only an operation of ours that ended well says so: a node that is merely
// missing from one reading has not left.
func (w *world) left(m ha.Maintenance) bool {
	if _, listed := w.Inventory.Node(m.Node); listed || m.Phase.Closed() || !w.InventoryFresh() {
		return false
	}
	return slices.ContainsFunc(w.Operations, func(o ha.Operation) bool {
		return o.Kind == ha.OperationRemoveNode && o.Node == m.Node && o.Outcome == ha.OperationDone && o.EndedAt.After(m.RequestedAt)
	})
}

// part closes the maintenance of a node that is no member any more: there is nothing to
// bring it back to. A drained one passes through its return, one phase a tick.
func (w *world) part(m ha.Maintenance) (ha.Maintenance, ha.Plan) {
	var p ha.Plan
	switch {
	case m.CanAdvance(ha.Ended):
		return w.end(m), p
	case m.CanAdvance(ha.Restoring):
		m = m.Advance(ha.Restoring)
		m.RestoreAt = w.At
		p.Wait(string(m.Node), "it was removed from the cluster: nothing is brought back to it, and its maintenance is closed")
	}
	return m, p
}

// remove is the legs.
func (j *journey) remove() {
	n := j.o.Node
	node, listed := j.Inventory.Node(n)
	on := j.remaining(n)
	j.rulesWithout(n)
	// Proxmox removes a QDevice only while every node is online, this one too.
	if _, begun := j.o.Step("qdevice remove"); begun || listed && j.device() != "" {
		j.step(leg{key: "qdevice remove", text: "remove the QDevice while the cluster changes", reached: j.device() == "",
			action: ha.RemoveQDevice{On: on}, patience: devicePatience})
	}
	off := leg{key: "off " + string(n), text: fmt.Sprintf("%s is off", n), reached: !listed || !node.Online}
	if !off.reached {
		off.wait, off.fix = "the cluster still sees it online", fmt.Sprintf("shut it down: `poweroff` on %s; never start it on this network again", n)
	}
	j.step(off)
	j.step(leg{key: "delnode " + string(n), text: fmt.Sprintf("remove %s from the cluster", n), reached: !listed,
		action: ha.RemoveClusterNode{On: on, Node: n}, patience: delnodePatience})
	j.setUpDevice()
	st, _ := j.o.Step("delnode " + string(n))
	if touched := !st.Asked.IsZero() || j.removed(n); !touched && (!listed || j.o.ID != "") {
		return // it was no member, or nothing was done to it
	}
	j.notice("%s must never boot again on this network as it is: it still believes that it is a member, and would disturb the cluster. Install it anew before", n)
	if slices.Contains(j.Policy.Cluster.Nodes, n) {
		j.notice("take %s out of network.yml: `psw node cluster` would have it join again", n)
	}
}

// remaining is the node whose agent removes another one.
func (w *world) remaining(n ha.NodeName) ha.NodeName {
	for _, x := range w.Inventory.Nodes {
		if r, ok := w.FreshReport(x.Name); ok && x.Name != n && x.Online && r.Membership.Quorate {
			return x.Name
		}
	}
	return w.Inventory.Source
}

// rulesWithout is a leg for each rule of ours that names the node; those of others are told.
func (j *journey) rulesWithout(n ha.NodeName) {
	if j.Inventory.UsesGroups() {
		j.groupsWithout(n)
	} else {
		for _, r := range j.Inventory.Rules {
			rest := slices.DeleteFunc(slices.Clone(r.Nodes), func(x ha.RuleNode) bool { return x.Node == n })
			if len(rest) == len(r.Nodes) {
				continue
			}
			if !ha.Marked(r.Comment) {
				j.notice("the rule %s, which others made, names %s: `ha-manager rules config`", r.ID, n)
				continue
			}
			to := r
			to.Nodes = rest
			l := leg{key: "rule " + r.ID, text: fmt.Sprintf("take %s out of the rule %s", n, r.ID), action: ha.PutRule{Rule: to, Was: r}}
			if len(rest) == 0 {
				l.text, l.action = fmt.Sprintf("remove the rule %s, which names %s only", r.ID, n), ha.RemoveRule{ID: r.ID, Was: r}
			}
			j.step(l)
		}
	}
	for k := range j.o.Steps { // what does not name it any more
		st := &j.o.Steps[k]
		kind, _, _ := strings.Cut(st.Key, " ")
		if (kind == "rule" || kind == "group") && !j.stated[st.Key] && !st.State.Over() {
			j.seen(j.o, st.Key)
		}
	}
}

// groupsWithout is rulesWithout before Proxmox VE 9, where groups say what rules say now. A
// group that names the node only goes, once no resource is in it.
func (j *journey) groupsWithout(n ha.NodeName) {
	for _, g := range j.Inventory.Groups {
		rest := slices.DeleteFunc(slices.Clone(g.Nodes), func(x ha.RuleNode) bool { return x.Node == n })
		if len(rest) == len(g.Nodes) {
			continue
		}
		if !ha.Marked(g.Comment) {
			j.notice("the group %s, which others made, names %s: `ha-manager groupconfig`", g.Name, n)
			continue
		}
		to := g
		to.Nodes = rest
		l := leg{key: "group " + g.Name, text: fmt.Sprintf("take %s out of the group %s", n, g.Name), action: ha.PutGroup{Group: to, Was: g}}
		if len(rest) == 0 {
			l.text, l.action = fmt.Sprintf("remove the group %s, which names %s only", g.Name, n), ha.RemoveGroup{Name: g.Name, Was: g}
			if k := slices.IndexFunc(j.Inventory.Resources, func(r ha.Resource) bool { return r.Group == g.Name }); k >= 0 {
				sid := j.Inventory.Resources[k].SID
				l.wait, l.fix = fmt.Sprintf("%s is in it", j.label(sid)), fmt.Sprintf("declare another node for it in network.yml and `psw ha apply`, or `ha-manager set %s --delete group`", sid)
			}
		}
		j.step(l)
	}
}
