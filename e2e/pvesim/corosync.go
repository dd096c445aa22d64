package pvesim

import (
	"fmt"
	"strings"
	"time"
)

// What corosync's tools print on a node, and its configuration. There is one link between
// each two nodes.

func (c *Cluster) corosyncConf() string {
	var b strings.Builder
	b.WriteString("logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n")
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "  node {\n    name: %s\n    nodeid: %d\n    quorum_votes: %d\n    ring0_addr: %s\n  }\n", n.name, n.id, n.spec.Votes, n.spec.Address)
	}
	fmt.Fprintf(&b, "}\n\nquorum {\n  provider: corosync_votequorum\n}\n\ntotem {\n  cluster_name: %s\n  config_version: %d\n", c.spec.Name, len(c.nodes))
	b.WriteString("  interface {\n    linknumber: 0\n  }\n  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  version: 2\n}\n")
	return b.String()
}

// quorumtool is corosync-quorumtool -s. Without quorum it exits with 2 and a complete text.
func (n *node) quorumtool() (out string, code int) {
	have, expected := n.c.votes(n.members)
	yes, flags, blocked := "Yes", "Quorate ", " "
	if !n.quorate {
		yes, flags, blocked, code = "No", "", "Activity blocked", 2
	}
	ring := n.id
	var rows strings.Builder
	for _, o := range n.c.nodes {
		if !n.sees(o.name) {
			continue
		}
		ring = min(ring, o.id)
		fmt.Fprintf(&rows, "%10d %10d %s", o.id, o.spec.Votes, o.name)
		if o == n {
			rows.WriteString(" (local)")
		}
		rows.WriteString("\n")
	}
	date := n.c.clock.wall(n.c.now()).UTC().Format(time.ANSIC)
	return fmt.Sprintf(`Quorum information
------------------
Date:             %s
Quorum provider:  corosync_votequorum
Nodes:            %d
Node ID:          %d
Ring ID:          %d.%x
Quorate:          %s

Votequorum information
----------------------
Expected votes:   %d
Highest expected: %d
Total votes:      %d
Quorum:           %d %s
Flags:            %s

Membership information
----------------------
    Nodeid      Votes Name
%s`, date, len(n.members), n.id, ring, 13+n.boot, yes, expected, expected, have, expected/2+1, blocked, flags, rows.String()), code
}

// linkUp reports whether packets of the link between two nodes arrive. It is down a second
// or two after the other end is gone, long before the membership changes.
func linkUp(n, o *node) bool { return connected(n, o) }

// cfgtoolPeers is corosync-cfgtool -n, which leaves out whoever cannot be reached.
func (n *node) cfgtoolPeers() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Local node ID %d, transport knet\n", n.id)
	for _, o := range n.c.nodes {
		if o != n && linkUp(n, o) {
			fmt.Fprintf(&b, "nodeid: %d reachable\n   LINK: 0 udp (%s->%s) enabled connected mtu: 1397\n\n", o.id, n.spec.Address, o.spec.Address)
		}
	}
	return b.String()
}

// cfgtoolStatus is corosync-cfgtool -s.
func (n *node) cfgtoolStatus() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Local node ID %d, transport knet\nLINK ID 0 udp\n\taddr\t= %s\n\tstatus:\n", n.id, n.spec.Address)
	for _, o := range n.c.nodes {
		state := "disconnected"
		switch {
		case o == n:
			state = "localhost"
		case linkUp(n, o):
			state = "connected"
		}
		fmt.Fprintf(&b, "\t\tnodeid: %10d:\t%s\n", o.id, state)
	}
	return b.String()
}

// cmap is the part of corosync-cmapctl's output that follows from the configuration.
func (n *node) cmap() string {
	var b strings.Builder
	for k, o := range n.c.nodes {
		if o == n {
			fmt.Fprintf(&b, "nodelist.local_node_pos (u32) = %d\n", k)
		}
	}
	for k, o := range n.c.nodes {
		fmt.Fprintf(&b, "nodelist.node.%d.name (str) = %s\nnodelist.node.%d.nodeid (u32) = %d\n", k, o.name, k, o.id)
		fmt.Fprintf(&b, "nodelist.node.%d.quorum_votes (u32) = %d\nnodelist.node.%d.ring0_addr (str) = %s\n", k, o.spec.Votes, k, o.spec.Address)
	}
	// Three seconds, and 650 ms more for each node beyond the second.
	token := 3000 + 650*max(len(n.c.nodes)-2, 0)
	fmt.Fprintf(&b, "quorum.provider (str) = corosync_votequorum\nruntime.config.totem.consensus (u32) = %d\n", token*6/5)
	fmt.Fprintf(&b, "runtime.config.totem.token (u32) = %d\nruntime.votequorum.this_node_id (u32) = %d\n", token, n.id)
	fmt.Fprintf(&b, "totem.cluster_name (str) = %s\ntotem.version (u32) = 2\n", n.c.spec.Name)
	return b.String()
}

// cmapStats is corosync-cmapctl -m stats, as far as links go. Latencies are microseconds.
func (n *node) cmapStats() string {
	var b strings.Builder
	for _, o := range n.c.nodes {
		connected, latency, mtu := flag(linkUp(n, o)), 200+10*o.id, 1397
		if o == n {
			connected, latency, mtu = 1, 0, 65535
		}
		link := fmt.Sprintf("stats.knet.node%d.link0.", o.id)
		fmt.Fprintf(&b, "%sconnected (u8) = %d\n%sdown_count (u32) = %d\n%senabled (u8) = 1\n", link, connected, link, 1-connected, link)
		fmt.Fprintf(&b, "%slatency_ave (u32) = %d\n%slatency_max (u32) = %d\n%smtu (u32) = %d\n", link, latency, link, 4*latency, link, mtu)
	}
	return b.String()
}
