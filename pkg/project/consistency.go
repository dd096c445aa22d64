package project

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// checkCluster looks at the cluster as a whole, once everything is read.
func (n *network) checkCluster() {
	protected := n.protected()
	nodes := n.policy.Cluster.Nodes
	switch {
	case !n.clusterRead:
		return // what is wrong with it is said already
	case len(nodes) == 0 && len(protected) > 0:
		n.src.fault(n.haAt[protected[0]], "add cluster: with nodes: [node1, node2, node3], or remove ha", "%s, but there is no cluster", wantHA(protected))
	case len(nodes) == 1 && len(protected) > 0:
		n.src.fault(n.cluster.at, "add a second node, better two; or remove ha from the targets", "%s has one node, but %s", n.cluster.path, wantHA(protected))
	case len(nodes) == 1:
		n.src.warn(n.cluster.at, "add a second node, better two", "%s has one node: nothing can move", n.cluster.path)
	case len(nodes) == 2 && !n.thirdVote:
		n.src.warn(n.cluster.at, "add a third node, or a third vote outside: qdevice: {host: 10.10.0.60}",
			"%s has two nodes and no qdevice: when one fails the other has no quorum, and HA restarts nothing", n.cluster.path)
	}
	n.checkQDevice()
	n.checkStorage(protected)
	n.checkLinks()
	n.checkSwitches()
	n.checkSites()
	n.checkFencing()
	n.checkBMCs()
	n.checkNetworks()
	n.checkToken()
	n.checkSize(protected)
}

// protected returns the targets that have ha: true, by name.
func (n *network) protected() []string {
	var names []string
	for _, t := range n.policy.Targets {
		if t.HA {
			names = append(names, t.Name)
		}
	}
	return names
}

func wantHA(targets []string) string {
	if len(targets) == 1 {
		return "target " + targets[0] + " has ha: true"
	}
	const shownMax = 3
	shown := targets[:min(shownMax, len(targets))]
	text := "targets " + strings.Join(shown, ", ")
	if more := len(targets) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + " have ha: true"
}

// checkQDevice: its vote must come from outside, or it is lost together with a node.
func (n *network) checkQDevice() {
	q := n.policy.Cluster.QDevice
	if q == nil {
		return
	}
	if node, ok := n.memberAt(q.Host); ok {
		n.src.fault(n.qdevice.at, "name a machine that is not in the cluster; a NAS or a small board will do", "%s is %s, a node of the cluster itself: its vote would be lost together with the node", n.qdevice.path, node)
	}
}

func (n *network) checkStorage(protected []string) {
	s := n.policy.Cluster.Storage
	switch {
	case s == nil && len(protected) > 0 && len(n.policy.Cluster.Nodes) > 0:
		n.src.warn(n.cluster.at, "declare shared_storage, unless their disks are on other shared storage (Ceph, iSCSI)", "%s, but no shared_storage is declared", wantHA(protected))
	case s != nil:
		if node, ok := n.memberAt(s.Server); ok {
			n.src.warn(n.storageServer.at, "use a NAS, or know that nothing can be restarted while "+string(node)+" is down", "%s is %s, a node of the cluster: a single point of failure", n.storageServer.path, node)
		}
	}
}

// memberAt returns the cluster node that host, an address or a name, is.
func (n *network) memberAt(host string) (ha.NodeName, bool) {
	address, err := netip.ParseAddr(host)
	label, _, _ := strings.Cut(host, ".")
	for _, name := range n.policy.Cluster.Nodes {
		h, _ := n.host(name)
		if err == nil && h.IP == address || err != nil && strings.EqualFold(string(name), label) {
			return name, true
		}
	}
	return "", false
}

// sizeMax is the most nodes a cluster has without somebody having thought about it:
// corosync has no fixed limit, but every node adds to what all of them must agree on.
const sizeMax = 32

// checkSize gives advice on how many nodes, and how many protected targets, make sense.
func (n *network) checkSize(protected []string) {
	if nodes := len(n.policy.Cluster.Nodes); nodes > sizeMax {
		n.src.note(ha.Notice, n.cluster.at, "consider two clusters", "%s has %d nodes; beyond %d corosync needs a very fast network and care", n.cluster.path, nodes, sizeMax)
	}
	const fewMax = 3 // so few may well be critical all
	movable := 0
	for _, t := range n.policy.Targets {
		if t.Type != ha.TargetBare {
			movable++
		}
	}
	if len(protected) == movable && movable > fewMax && len(n.policy.Cluster.Nodes) > 0 {
		n.src.note(ha.Notice, n.haAt[protected[0]], "keep ha for what must come back by itself; the rest leaves it room", "every target has ha: true, all %d of them", movable)
	}
}
