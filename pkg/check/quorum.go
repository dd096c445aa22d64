package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on votes.
const (
	NodeNotQuorate        ha.Code = "NODE_NOT_QUORATE"
	QuorumLost            ha.Code = "QUORUM_LOST"
	QuorumTwoNodeMode     ha.Code = "QUORUM_TWO_NODE_MODE"
	QuorumExpectedLow     ha.Code = "QUORUM_EXPECTED_LOW"
	QDeviceNotVoting      ha.Code = "QDEVICE_NOT_VOTING"
	QuorumTooFewVotes     ha.Code = "QUORUM_TOO_FEW_VOTES"
	QuorumNoLossTolerated ha.Code = "QUORUM_NO_LOSS_TOLERATED"
)

var quorumChecks = []Check{
	{Code: NodeNotQuorate, Title: "the node is in the quorate part of the cluster", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: nodeNotQuorate},
	{Code: QuorumLost, Title: "the cluster is quorate", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone}, parts: []string{partCluster}, cluster: quorumLost},
	{Code: QuorumTwoNodeMode, Title: "a majority is needed for quorum", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: quorumTwoNodeMode},
	{Code: QuorumExpectedLow, Title: "every member's vote is expected", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone}, parts: []string{partNodes}, cluster: quorumExpectedLow},
	{Code: QDeviceNotVoting, Title: "the QDevice votes", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: qdeviceNotVoting},
	{Code: QuorumTooFewVotes, Title: "there are three votes or more", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone, ClusterTooSmall}, parts: []string{partNodes}, cluster: quorumTooFewVotes},
	{Code: QuorumNoLossTolerated, Title: "quorum survives the loss of a node", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering, ClusterStandalone, ClusterTooSmall, QuorumLost, QuorumTooFewVotes},
		parts:     []string{partNodes}, cluster: quorumNoLossTolerated},
}

func nodeNotQuorate(n node) verdict {
	c := n.Corosync
	if !c.Running {
		return unknown("", "corosync does not answer")
	}
	if !c.Quorate {
		return broken("", fmt.Sprintf("%d of %d votes, quorum is %d: the node resets itself if it holds HA guests, and /etc/pve is read-only",
			c.Votes, c.Expected, c.Quorum),
			"bring the other nodes back, or their network; do not lower pvecm expected while the others may be running: both sides would start the same guests")
	}
	return pass("", "%d of %d votes, quorum is %d", c.Votes, c.Expected, c.Quorum)
}

func quorumLost(w *world) []verdict {
	i := w.s.Inventory
	if !i.Cluster.Quorate {
		return []verdict{broken(clusterSubject, fmt.Sprintf("%s sees %d of %d nodes", i.Source, i.Cluster.Votes, i.Cluster.Expected),
			"bring nodes back until a majority is online; a QDevice adds a vote; pvecm expected is the last and dangerous way")}
	}
	return []verdict{pass(clusterSubject, "%d of %d nodes are online", i.Cluster.Votes, i.Cluster.Expected)}
}

func quorumTwoNodeMode(n node) verdict {
	if !n.Corosync.Running {
		return unknown("", "corosync does not answer")
	}
	if slices.Contains(n.Corosync.Flags, "2Node") {
		return broken("", "corosync runs in two_node mode: when the nodes lose sight of each other both stay quorate and start the same guests",
			"pvecm qdevice setup ADDRESS, then remove two_node from /etc/pve/corosync.conf and raise config_version")
	}
	return pass("", "quorum is %d of %d votes", n.Corosync.Quorum, n.Corosync.Expected)
}

// quorumExpectedLow finds a forgotten `pvecm expected`: with fewer votes expected than
// there are nodes, two halves can be quorate at once.
func quorumExpectedLow(w *world) []verdict {
	members := len(w.s.Inventory.Nodes)
	return w.judgeVotes(func(r ha.Report) verdict {
		if r.Corosync.Expected < members {
			return broken("", fmt.Sprintf("corosync on %s expects %d votes, but the cluster has %d nodes", r.Node, r.Corosync.Expected, members),
				fmt.Sprintf("once all nodes are back: pvecm expected %d", members))
		}
		return pass("", "%d votes are expected of %d nodes", r.Corosync.Expected, members)
	})
}

func qdeviceNotVoting(n node) verdict {
	declared := n.w.policy.Cluster.QDevice
	c := n.Corosync
	switch {
	case declared == nil && !c.QDevice:
		return skip("", "there is no QDevice")
	case !c.Running:
		return unknown("", "corosync does not answer")
	case !c.QDevice:
		return broken("", "network.yml declares a QDevice, but corosync here has none", fmt.Sprintf("pvecm qdevice setup %s", declared.Host))
	case !c.QDeviceAlive:
		state := ""
		if c.QDeviceState != "" {
			state = "; corosync-qdevice says " + c.QDeviceState
		}
		return broken("", "corosync has a QDevice that does not vote"+state, "systemctl status corosync-qdevice; on the QDevice host: systemctl status corosync-qnetd; is TCP 5403 open?")
	}
	return pass("", "it votes%s", connectedState(c.QDeviceState))
}

func connectedState(state string) string {
	if state == "" {
		return ""
	}
	return ", " + state
}

func quorumTooFewVotes(w *world) []verdict {
	return w.judgeVotes(func(r ha.Report) verdict {
		if r.Corosync.Expected < 3 {
			return broken("", fmt.Sprintf("corosync expects %d votes: no node may ever be lost", r.Corosync.Expected),
				"add a third node (pvecm add), or a QDevice: pvecm qdevice setup ADDRESS")
		}
		return pass("", "%d votes", r.Corosync.Expected)
	})
}

func quorumNoLossTolerated(w *world) []verdict {
	return w.judgeVotes(func(r ha.Report) verdict {
		c := r.Corosync
		if c.Votes-c.Quorum < 1 {
			return broken("", fmt.Sprintf("%d of %d votes are there and quorum is %d: the next loss stops everything", c.Votes, c.Expected, c.Quorum),
				"bring the missing nodes or the QDevice back")
		}
		return pass("", "%d of %d votes are there, quorum is %d: %d may be lost", c.Votes, c.Expected, c.Quorum, c.Votes-c.Quorum)
	})
}

// judgeVotes judges the votes as every node counts them and answers with the worst. A
// minority's count is no cluster's count, so it matters only where nobody is quorate; a
// node that is offline need not be asked, but one that should answer must.
func (w *world) judgeVotes(judge func(ha.Report) verdict) []verdict {
	var quorate, others []ha.Report
	var blind []string
	for _, name := range w.nodes {
		r, why, ok := w.answered(name, ha.ProbeCorosync)
		switch {
		case ok && r.Corosync.Running && r.Corosync.Quorate:
			quorate = append(quorate, r)
		case ok:
			others = append(others, r)
		case w.online(name):
			blind = append(blind, why)
		}
	}
	if len(quorate) == 0 {
		quorate = slices.DeleteFunc(others, func(r ha.Report) bool { return !r.Corosync.Running })
	}
	var v verdict
	for k, r := range quorate {
		if next := judge(r); k == 0 || next.status == "" {
			v = next
		}
		if v.status == "" {
			v.subject = clusterSubject
			return []verdict{v}
		}
	}
	switch {
	case len(blind) > 0:
		return []verdict{unknown(clusterSubject, "%s", strings.Join(blind, "; "))}
	case len(quorate) == 0:
		return []verdict{unknown(clusterSubject, "no agent reports a corosync that answers")}
	}
	v.subject = clusterSubject
	return []verdict{v}
}
