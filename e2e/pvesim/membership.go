package pvesim

import "slices"

// corosync and pmxcfs: who is there, and who may write.

// group returns the nodes that can talk to n and are up, n included, sorted by name.
func (c *Cluster) reachable(n *node) []string {
	var names []string
	for _, o := range c.nodes {
		if o.up && o.group == n.group {
			names = append(names, o.name)
		}
	}
	return names
}

func (c *Cluster) votes(names []string) (have, expected int) {
	for _, n := range c.nodes {
		expected += n.spec.Votes
		if slices.Contains(names, n.name) {
			have += n.spec.Votes
		}
	}
	return have, expected
}

// connected reports whether two nodes can talk to each other now.
func connected(a, b *node) bool { return a.up && b.up && a.group == b.group }

func (c *Cluster) firstMembership() {
	for _, n := range c.nodes {
		if n.up {
			n.adopt(c.reachable(n))
		}
	}
}

// membershipChanged lets corosync find out, after the time it needs, who is there now.
func (c *Cluster) membershipChanged() {
	c.after(c.timing.Membership, func() {
		for _, n := range c.nodes {
			if n.up {
				n.adopt(c.reachable(n))
			}
		}
	})
}

// adopt makes the node see members. Gaining or losing quorum swaps its view of /etc/pve:
// without quorum it is what it was.
func (n *node) adopt(members []string) {
	n.members = members
	have, expected := n.c.votes(members)
	quorate := have > expected/2
	switch {
	case quorate:
		n.fs = n.c.fs
	case n.quorate || n.fs == nil || n.fs == n.c.fs:
		n.fs = n.c.fs.clone()
	}
	n.quorate = quorate
}

// sees reports whether corosync on n says that the other node is there.
func (n *node) sees(other string) bool { return slices.Contains(n.members, other) }
