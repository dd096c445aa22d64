package pvesim

import "slices"

// corosync and pmxcfs: who is there, and who may write.

// related reports whether two nodes' corosyncs would talk to each other if they could: both
// run, and the cluster's configuration has both. A node that was removed finds nobody,
// whatever its own copy says.
func related(a, b *node) bool {
	k := a.home.corosync
	return a.home == b.home && !a.stopped && !b.stopped && a.conf != nil && b.conf != nil && k.member(b.name) != nil && k.member(a.name) != nil
}

// linkUp reports whether packets of a corosync link arrive, both there and back: a link
// that is cut one way gets no answer to its pings and is down at both ends. It is down a
// second or two after the other end is gone, long before the membership changes.
func linkUp(a, b *node, link int) bool {
	return a.up && b.up && a.group == b.group && related(a, b) && link < a.conf.links &&
		!a.c.faults.links.cut(link, a, b) && !a.c.faults.links.cut(link, b, a)
}

// joined reports whether corosync on two nodes can talk over any link.
func joined(a, b *node) bool {
	if a == b {
		return a.up && !a.stopped
	}
	for link := range a.entryLinks() {
		if linkUp(a, b, link) {
			return true
		}
	}
	return false
}

func (n *node) entryLinks() int {
	if n.conf == nil {
		return 0
	}
	return n.conf.links
}

// connected reports whether two nodes reach each other by their addresses, which are those
// of the first link.
func connected(a, b *node) bool {
	return a.up && b.up && a.group == b.group && !a.c.faults.links.cut(0, a, b) && !a.c.faults.links.cut(0, b, a)
}

// parts are the memberships corosync comes to: everybody in one can talk to everybody else
// in it. Each node is in one.
func (c *Cluster) parts() [][]*node {
	var parts [][]*node
next:
	for _, n := range c.nodes {
		if !n.up || n.conf == nil || n.stopped {
			continue
		}
		for k, p := range parts {
			if !slices.ContainsFunc(p, func(o *node) bool { return !joined(n, o) }) {
				parts[k] = append(p, n)
				continue next
			}
		}
		parts = append(parts, []*node{n})
	}
	return parts
}

// votesOf are the votes of those nodes, by the configuration of one of them.
func (n *node) votesOf(names []string) int {
	votes := 0
	for _, m := range n.conf.members {
		if slices.Contains(names, m.name) {
			votes += m.votes
		}
	}
	return votes
}

// updateMembership lets every node's corosync see who is there.
func (c *Cluster) updateMembership() {
	parts := c.parts()
	chosen := chosenByDevice(parts)
	for _, p := range parts {
		names := make([]string, len(p))
		for k, n := range p {
			names[k] = n.name
		}
		for _, n := range p {
			n.deviceVote = chosen[n]
			n.adopt(names)
		}
	}
	for _, n := range c.nodes {
		if n.up && n.conf == nil {
			n.adopt([]string{n.name})
		}
	}
}

// membershipChanged lets corosync find out, after the time it needs, who is there now.
func (c *Cluster) membershipChanged() { c.after(c.timing.Membership, c.updateMembership) }

// adopt makes the node see members. Gaining or losing quorum swaps its view of /etc/pve:
// without quorum it is what it was. A node in no cluster has nobody to ask.
func (n *node) adopt(members []string) {
	n.members = members
	quorate := n.conf == nil
	if n.conf != nil {
		quorate = n.votesOf(members)+n.deviceVotes() > n.conf.expectedVotes()/2
	}
	switch {
	case quorate:
		n.fs = n.home
		if n.conf != nil && n.home.corosync != nil {
			n.conf = n.home.corosync
		}
	case n.quorate || n.fs == nil || n.fs == n.home:
		n.fs = n.home.clone()
	}
	n.quorate = quorate
}

// sees reports whether corosync on n says that the other node is there.
func (n *node) sees(other string) bool { return slices.Contains(n.members, other) }
