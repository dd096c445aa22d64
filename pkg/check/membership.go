package check

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on who belongs to the cluster and is there.
const (
	ClusterStandalone   ha.Code = "CLUSTER_STANDALONE"
	NodeNotMember       ha.Code = "NODE_NOT_MEMBER"
	NodeOffline         ha.Code = "NODE_OFFLINE"
	NodeUndeclared      ha.Code = "NODE_UNDECLARED"
	MembershipDisagrees ha.Code = "MEMBERSHIP_DISAGREES"
	GossipDisagrees     ha.Code = "GOSSIP_DISAGREES"
)

var membershipChecks = []Check{
	{Code: ClusterStandalone, Title: "the nodes form a cluster", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partCluster}, cluster: clusterStandalone},
	{Code: NodeNotMember, Title: "the declared node is a member of the cluster", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone}, parts: []string{partCluster, partNodes}, cluster: nodeNotMember},
	{Code: NodeOffline, Title: "the node is online", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, NodeNotMember}, parts: []string{partCluster, partNodes}, cluster: nodeOffline},
	{Code: NodeUndeclared, Title: "the project declares every member", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{APINotAnswering, PolicyMissing}, parts: []string{partCluster, partNodes}, cluster: nodeUndeclared},
}

// The views are compared after the agents' own checks: a silent agent explains much.
// That the API calls a node offline explains no disagreement: it may be the half of one.
var viewChecks = []Check{
	{Code: MembershipDisagrees, Title: "the API and corosync agree that the node is there", Minimum: ha.Fail, Production: ha.Fail, Hold: slowHold, Settle: slowSettle,
		DependsOn: []ha.Code{APINotAnswering, NodeNotMember}, parts: []string{partCluster, partNodes}, cluster: membershipDisagrees},
	{Code: GossipDisagrees, Title: "gossip agrees that the node is there", Minimum: ha.Warn, Production: ha.Warn, Hold: slowHold, Settle: slowSettle,
		DependsOn: []ha.Code{APINotAnswering, NodeNotMember, NodeOffline, AgentSilent}, parts: []string{partCluster, partNodes}, cluster: gossipDisagrees},
}

func clusterStandalone(w *world) []verdict {
	c := w.s.Inventory.Cluster
	if c.Standalone {
		return []verdict{broken(clusterSubject, fmt.Sprintf("%s is in no cluster", w.s.Inventory.Source),
			"pvecm create NAME there, then pvecm add ADDRESS on each other node")}
	}
	return []verdict{pass(clusterSubject, "%s, %s", c.Name, number(len(w.s.Inventory.Nodes), "node"))}
}

func nodeNotMember(w *world) []verdict {
	var list []verdict
	for _, name := range w.policy.Cluster.Nodes {
		if _, ok := w.s.Inventory.Node(name); ok {
			list = append(list, pass(string(name), "it is a member"))
			continue
		}
		list = append(list, broken(string(name), fmt.Sprintf("network.yml declares it, but cluster %s has no such node", w.s.Inventory.Cluster.Name),
			fmt.Sprintf("psw -C DIR node cluster joins it; if it left for good, take it out of network.yml; by hand, on %s: pvecm add %s", name, w.s.Inventory.Source)))
	}
	return list
}

func nodeOffline(w *world) []verdict {
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		switch m, open := w.s.OpenMaintenance(n.Name); {
		case n.Online:
			list = append(list, pass(string(n.Name), "up for %s", span(n.Uptime)))
		case open:
			list = append(list, broken(string(n.Name), fmt.Sprintf("it is offline, in maintenance since %s ago: until it is back, one loss less is survived",
				span(w.s.At.Sub(m.RequestedAt))), fmt.Sprintf("power it on, then psw -C DIR maintenance end %s", n.Name)))
		default:
			list = append(list, broken(string(n.Name), fmt.Sprintf("%s does not see it in its partition", w.s.Inventory.Source),
				fmt.Sprintf("look at %s's console and power; if it is up: journalctl -u corosync there", n.Name)))
		}
	}
	return list
}

func nodeUndeclared(w *world) []verdict {
	if len(w.policy.Cluster.Nodes) == 0 {
		return []verdict{passing(clusterSubject, "the project declares no cluster.nodes; every member is judged")}
	}
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		if !w.declared(n.Name) {
			list = append(list, broken(string(n.Name), "it is a member that network.yml does not name; it votes and may be given guests",
				fmt.Sprintf("add %s to cluster.nodes, or leave it to whoever runs it", n.Name)))
		}
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "%s, all declared", number(len(w.s.Inventory.Nodes), "member"))}
	}
	return list
}

// membershipDisagrees compares the API's view of each node with that of every other
// node's corosync. Only quorate observers count: a cut off minority sees nobody.
func membershipDisagrees(w *world) []verdict {
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		list = append(list, w.compareMembership(n))
	}
	return list
}

func (w *world) compareMembership(n ha.Node) verdict {
	subject := string(n.Name)
	if n.ID == 0 {
		return unknown(subject, "the API did not tell its corosync node id")
	}
	var agree, differ []ha.NodeName
	for _, observer := range w.nodes {
		r, _, ok := w.answered(observer, ha.ProbeCorosync)
		if !ok || observer == n.Name || !r.Corosync.Quorate {
			continue
		}
		if slices.Contains(r.Corosync.Members, n.ID) == n.Online {
			agree = append(agree, observer)
		} else {
			differ = append(differ, observer)
		}
	}
	switch {
	case len(differ) > 0 && n.Online:
		return broken(subject, fmt.Sprintf("the API calls it online, but corosync on %s does not list it", joined(differ)),
			fmt.Sprintf("on %s and %s: corosync-quorumtool -s; corosync-cfgtool -n", n.Name, differ[0]))
	case len(differ) > 0:
		return broken(subject, fmt.Sprintf("the API calls it offline, but corosync on %s lists it", joined(differ)),
			fmt.Sprintf("on %s: systemctl status pve-cluster corosync", n.Name))
	case len(agree) == 0:
		return unknown(subject, "no other node's agent reports a quorate corosync")
	}
	return pass(subject, "the API and corosync on %s agree", joined(agree))
}

func gossipDisagrees(w *world) []verdict {
	if len(w.s.Members) == 0 {
		return []verdict{skip(clusterSubject, "gossip is not in use")}
	}
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		k := slices.IndexFunc(w.s.Members, func(m ha.Member) bool { return m.Name == n.Name && m.Role != "coordinator" })
		subject := string(n.Name)
		switch {
		case k < 0:
			list = append(list, broken(subject, "gossip has never heard of its agent",
				fmt.Sprintf("on %s: journalctl -u psw-agent; is the gossip port open between the nodes?", n.Name)))
		case n.Online && w.s.Members[k].State != ha.MemberAlive:
			list = append(list, broken(subject, fmt.Sprintf("the API calls it online, gossip calls it %s", w.s.Members[k].State),
				fmt.Sprintf("on %s: systemctl status psw-agent; is the gossip port open between the nodes?", n.Name)))
		default:
			list = append(list, pass(subject, "gossip calls it %s", w.s.Members[k].State))
		}
	}
	return list
}
