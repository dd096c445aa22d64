package planner

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// gates are what forbids doing anything at all to the cluster now, whatever the node.
func (w *world) gates() []ha.Blocker {
	if !w.InventoryFresh() {
		return []ha.Blocker{{Code: codeStaleInventory, Subject: "cluster", Reason: "the Proxmox API has not answered lately",
			Fix: "see whether a node's API answers: `curl -k https://NODE:8006/`, `systemctl status pveproxy`"}}
	}
	var out []ha.Blocker
	if !w.Inventory.Cluster.Quorate {
		out = append(out, ha.Blocker{Code: codeNoQuorum, Subject: "cluster", Reason: "cluster is not quorate",
			Fix: "bring nodes or the QDevice back: `pvecm status` on each node says who is missing"})
	}
	if a := w.Inventory.HA.Armed; a == "disarmed" || a == "disarming" {
		out = append(out, ha.Blocker{Code: codeDisarmed, Subject: "cluster", Reason: "HA is " + a,
			Fix: "arm it: `ha-manager crm-command arm-ha` on any node"})
	}
	return out
}

// votesAfter tells how many votes remain and are needed if node goes away, from the view
// of its own corosync (which counts a QDevice), else from the API's node list.
func (w *world) votesAfter(node ha.NodeName) (left, needed int) {
	c := w.Inventory.Cluster
	left, needed = c.Votes, c.Expected/2+1
	for _, r := range w.Reports {
		if fresh, ok := w.FreshReport(r.Node); ok && fresh.Corosync.Running && fresh.Corosync.Quorum > 0 && w.online(r.Node) {
			left, needed = fresh.Corosync.Votes, fresh.Corosync.Quorum
			if r.Node == node {
				break
			}
		}
	}
	if w.online(node) {
		left--
	}
	return left, needed
}

// survives tells why the cluster would not survive the loss of node; "" if it would.
func (w *world) survives(node ha.NodeName) string {
	if left, needed := w.votesAfter(node); left < needed {
		return fmt.Sprintf("without %s the cluster has %d of the %d votes it needs and would lose quorum", node, left, needed)
	}
	return ""
}

// drainGates are what forbids emptying node now. begin also asks what only matters
// before the first guest moves.
func (w *world) drainGates(node ha.NodeName, begin bool) []ha.Blocker {
	out := w.gates()
	n, ok := w.Inventory.Node(node)
	switch {
	case !w.InventoryFresh():
		return out
	case !ok:
		return append(out, ha.Blocker{Code: codeUnknownNode, Subject: string(node), Reason: "no such node in the cluster",
			Fix: "the nodes are: " + joinNodes(w.nodeNames())})
	case !n.Online:
		return append(out, ha.Blocker{Code: codeNodeOffline, Subject: string(node), Reason: "it is offline: there is nothing to drain",
			Fix: "Proxmox's HA manager restarts its HA guests by itself: `psw ha status --watch`"})
	}
	if st := w.haState(node); st == ha.NodeFence || st == ha.NodeUnknown || st == ha.NodeGone {
		out = append(out, ha.Blocker{Code: codeNodeFenced, Subject: string(node), Reason: "the HA manager calls it " + st,
			Fix: "wait until it is online again: `psw ha status --watch`"})
	}
	if _, ok := w.FreshReport(node); !ok {
		out = append(out, ha.Blocker{Code: codeStaleReport, Subject: string(node), Reason: w.silence(node),
			Fix: fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", node)})
	}
	if begin {
		out = append(out, w.otherMaintenance(node)...)
		if why := w.survives(node); why != "" {
			out = append(out, ha.Blocker{Code: codeQuorumAtRisk, Subject: "cluster", Reason: why,
				Fix: "bring the missing nodes back first, or add a QDevice: `pvecm qdevice setup ADDRESS`"})
		}
	}
	return out
}

// otherMaintenance: one node at a time, the next only when the previous is back.
func (w *world) otherMaintenance(node ha.NodeName) []ha.Blocker {
	var out []ha.Blocker
	for _, n := range w.Inventory.Nodes {
		if n.Name == node {
			continue
		}
		if m, ok := w.OpenMaintenance(n.Name); ok {
			out = append(out, ha.Blocker{Code: codeOtherMaintenance, Subject: string(n.Name),
				Reason: fmt.Sprintf("it is in maintenance (%s)", m.Phase),
				Fix:    fmt.Sprintf("end it first: `psw maintenance end %s`", n.Name)})
			continue
		}
		if st := w.haState(n.Name); st == ha.NodeMaintenance {
			out = append(out, ha.Blocker{Code: codeOtherMaintenance, Subject: string(n.Name),
				Reason: "Proxmox has it in maintenance mode",
				Fix: fmt.Sprintf("adopt it and end it: `psw maintenance start %s`, then `psw maintenance end %s`; or, as whoever began it: `ha-manager crm-command node-maintenance disable %s`",
					n.Name, n.Name, n.Name)})
		}
	}
	return out
}

func (w *world) nodeNames() []ha.NodeName {
	out := make([]ha.NodeName, len(w.Inventory.Nodes))
	for k, n := range w.Inventory.Nodes {
		out[k] = n.Name
	}
	return out
}

// blockAll turns blockers into waits.
func blockAll(p *ha.Plan, list []ha.Blocker) {
	for _, b := range list {
		p.Block(b.Subject, b.Reason, b.Fix)
	}
}
