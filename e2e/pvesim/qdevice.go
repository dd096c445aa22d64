package pvesim

import (
	"fmt"
	"strings"
)

// The QDevice: a vote that a machine outside the cluster gives to one part of it.

// deviceVotes are the votes the QDevice gives to this node's part.
func (n *node) deviceVotes() int {
	if n.deviceVote {
		return n.conf.deviceVotes()
	}
	return 0
}

// reachesDevice reports whether the node's corosync-qdevice is connected.
func (n *node) reachesDevice() bool {
	return n.up && n.conf != nil && n.conf.qdevice != "" && !n.deviceAway
}

// chosenByDevice are the nodes whose part the QDevice votes for: of the parts of a cluster
// that reach it the largest, and of equals the one with the lowest node id.
func chosenByDevice(parts [][]*node) map[*node]bool {
	best := map[*pmxcfs][]*node{}
	for _, p := range parts {
		asks := false
		for _, n := range p {
			asks = asks || n.reachesDevice()
		}
		if old := best[p[0].home]; asks && (len(p) > len(old) || len(p) == len(old) && lowest(p) < lowest(old)) {
			best[p[0].home] = p
		}
	}
	chosen := map[*node]bool{}
	for _, p := range best {
		for _, n := range p {
			chosen[n] = n.reachesDevice()
		}
	}
	return chosen
}

func lowest(part []*node) int {
	id := part[0].entry().id
	for _, n := range part {
		id = min(id, n.entry().id)
	}
	return id
}

// deviceFlags are what quorumtool says of the QDevice of a member: alive, voting, and that
// it may not stand in for the master.
func (n *node) deviceFlags() string {
	switch {
	case n.deviceVote:
		return "A,V,NMW"
	case n.reachesDevice():
		return "A,NV,NMW"
	}
	return "NA,NV,NMW"
}

// deviceTool is corosync-qdevice-tool -s.
func (n *node) deviceTool() (out string, code int, complaint string) {
	if n.conf == nil || n.conf.qdevice == "" {
		return "", 1, "Can't connect to QDevice socket (is QDevice running?): No such file or directory"
	}
	var list, members strings.Builder
	for k, m := range n.conf.members {
		fmt.Fprintf(&list, "    %d\tNode ID = %d\n", k, m.id)
		if n.sees(m.name) {
			fmt.Fprintf(&members, ", %d", m.id)
		}
	}
	algorithm, state := "Fifty-Fifty split", "Connected"
	if n.conf.algorithm() == "lms" {
		algorithm = "Last Man Standing"
	}
	if !n.reachesDevice() {
		state = "Connect failed"
	}
	return fmt.Sprintf("Qdevice information\n-------------------\nModel:\t\t\tNet\nNode ID:\t\t%d\nConfigured node list:\n%sMembership node list:\t%s\n\n"+
		"Qdevice-net information\n----------------------\nCluster name:\t\t%s\nQNetd host:\t\t%s:5403\nAlgorithm:\t\t%s\n"+
		"Tie-breaker:\t\tNode with lowest node ID\nState:\t\t\t%s\n",
		n.entry().id, list.String(), strings.TrimPrefix(members.String(), ", "), n.conf.name, n.conf.qdevice, algorithm, state), 0, ""
}
