package pvesim

import (
	"fmt"
	"strings"
	"time"
)

// What corosync's tools print on a node, in the words of corosync 3.1.

// corosyncDown is what a tool says, and its exit code, where corosync does not run.
type corosyncDown struct {
	text string
	code int
}

// On a node in no cluster corosync does not run; so it says.
var (
	noCFG    = corosyncDown{"Could not initialize corosync configuration API error 2", 1}
	noCmap   = corosyncDown{"Failed to initialize the cmap API. Error CS_ERR_LIBRARY", 1}
	noQuorum = corosyncDown{"Cannot initialize CMAP service", 1}
)

// corosyncTool runs one of corosync's tools.
func (n *node) corosyncTool(line string) (out string, code int, complaint string, known bool) {
	down := noCFG
	switch line {
	case "corosync-quorumtool -s":
		out, code, down = "", 0, noQuorum
		if n.conf != nil {
			out, code = n.quorumtool()
		}
	case "corosync-cfgtool -n":
		out = n.cfgtoolPeers()
	case "corosync-cfgtool -s":
		out = n.cfgtoolStatus()
	case "corosync-cmapctl":
		out, down = n.cmap(), noCmap
	case "corosync-cmapctl -m stats":
		out, down = n.cmapStats(), noCmap
	case "corosync-qdevice-tool -s":
		out, code, complaint = n.deviceTool()
		return out, code, complaint, true
	default:
		return "", 0, "", false
	}
	if n.conf == nil {
		return "", down.code, down.text, true
	}
	return out, code, "", true
}

// quorumtool is corosync-quorumtool -s. Without quorum it exits with 2 and a complete text.
func (n *node) quorumtool() (out string, code int) {
	if !n.quorate {
		code = 2
	}
	return "Quorum information\n" + n.quorumText(fmt.Sprint(n.entry().id), n.rows("%10d", func(m confNode) string { return m.name })), code
}

// quorumText is what quorumtool and pvecm status have in common, from the date on.
func (n *node) quorumText(id, rows string) string {
	yes, flags, blocked := "Yes", "Quorate ", " "
	if !n.quorate {
		yes, flags, blocked = "No", "", "Activity blocked"
	}
	if n.conf.qdevice != "" {
		flags += "Qdevice "
	}
	ring := n.entry().id
	for _, m := range n.conf.members {
		if n.sees(m.name) {
			ring = min(ring, m.id)
		}
	}
	expected := n.conf.expectedVotes()
	return fmt.Sprintf(`------------------
Date:             %s
Quorum provider:  corosync_votequorum
Nodes:            %d
Node ID:          %s
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
%s`, n.c.clock.wall(n.c.now()).UTC().Format(time.ANSIC), len(n.members), id, ring, 13+n.boot, yes,
		expected, expected, n.votesOf(n.members)+n.deviceVotes(), expected/2+1, blocked, flags, rows)
}

// rows are the members this node's corosync sees, with the QDevice at the end.
func (n *node) rows(idFormat string, name func(confNode) string) string {
	var b strings.Builder
	device := n.conf.qdevice != ""
	b.WriteString("    Nodeid      Votes ")
	if device {
		b.WriteString("   Qdevice ")
	}
	b.WriteString("Name\n")
	for _, m := range n.conf.members {
		if !n.sees(m.name) {
			continue
		}
		fmt.Fprintf(&b, idFormat+" %10d ", m.id, m.votes)
		if device {
			fmt.Fprintf(&b, "%10s ", n.c.node(m.name).deviceFlags())
		}
		b.WriteString(name(m))
		if m.name == n.name {
			b.WriteString(" (local)")
		}
		b.WriteString("\n")
	}
	if device {
		fmt.Fprintf(&b, idFormat+" %10d            Qdevice\n", 0, n.deviceVotes())
	}
	return b.String()
}

// cfgtoolPeers is corosync-cfgtool -n, which leaves out whoever cannot be reached.
func (n *node) cfgtoolPeers() string {
	var b strings.Builder
	self := n.entry()
	fmt.Fprintf(&b, "Local node ID %d, transport knet\n", self.id)
	for _, o := range n.peers() {
		if o == n || !joined(n, o) {
			continue
		}
		m := n.conf.member(o.name)
		fmt.Fprintf(&b, "nodeid: %d reachable\n", m.id)
		for link, addr := range m.addrs {
			connected := ""
			if linkUp(n, o, link) {
				connected = "connected "
			}
			fmt.Fprintf(&b, "   LINK: %d udp (%s->%s) enabled %smtu: 1397\n", link, self.addrs[link], addr, connected)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cfgtoolStatus is corosync-cfgtool -s.
func (n *node) cfgtoolStatus() string {
	var b strings.Builder
	self := n.entry()
	fmt.Fprintf(&b, "Local node ID %d, transport knet\n", self.id)
	for link := range n.entryLinks() {
		fmt.Fprintf(&b, "LINK ID %d udp\n\taddr\t= %s\n\tstatus:\n", link, self.addrs[link])
		for _, o := range n.peers() {
			state := "disconnected"
			switch {
			case o == n:
				state = "localhost"
			case linkUp(n, o, link):
				state = "connected"
			}
			fmt.Fprintf(&b, "\t\tnodeid: %10d:\t%s\n", n.idOf(o), state)
		}
	}
	return b.String()
}

// cmap is the part of corosync-cmapctl's output that follows from the configuration.
func (n *node) cmap() string {
	if n.conf == nil {
		return ""
	}
	var b strings.Builder
	for k, m := range n.conf.members {
		if m.name == n.name {
			fmt.Fprintf(&b, "nodelist.local_node_pos (u32) = %d\n", k)
		}
	}
	for k, m := range n.conf.members {
		fmt.Fprintf(&b, "nodelist.node.%d.name (str) = %s\nnodelist.node.%d.nodeid (u32) = %d\nnodelist.node.%d.quorum_votes (u32) = %d\n", k, m.name, k, m.id, k, m.votes)
		for link, addr := range m.addrs {
			fmt.Fprintf(&b, "nodelist.node.%d.ring%d_addr (str) = %s\n", k, link, addr)
		}
	}
	if n.conf.qdevice != "" {
		fmt.Fprintf(&b, "quorum.device.model (str) = net\nquorum.device.net.algorithm (str) = %s\nquorum.device.net.host (str) = %s\nquorum.device.net.tls (str) = on\nquorum.device.votes (u32) = %d\n",
			n.conf.algorithm(), n.conf.qdevice, n.conf.deviceVotes())
	}
	token := n.conf.token()
	fmt.Fprintf(&b, "quorum.provider (str) = corosync_votequorum\nruntime.config.totem.consensus (u32) = %d\n", token*6/5)
	fmt.Fprintf(&b, "runtime.config.totem.token (u32) = %d\n", token)
	for _, m := range n.conf.members {
		if !n.sees(m.name) {
			continue
		}
		fmt.Fprintf(&b, "runtime.members.%d.config_version (u64) = %d\nruntime.members.%d.ip (str) = ", m.id, n.conf.version, m.id)
		for link, addr := range m.addrs {
			fmt.Fprintf(&b, "r(%d) ip(%s) ", link, addr)
		}
		fmt.Fprintf(&b, "\nruntime.members.%d.join_count (u32) = 1\nruntime.members.%d.status (str) = joined\n", m.id, m.id)
	}
	fmt.Fprintf(&b, "runtime.votequorum.this_node_id (u32) = %d\n", n.entry().id)
	fmt.Fprintf(&b, "totem.cluster_name (str) = %s\ntotem.config_version (u64) = %d\ntotem.version (u32) = 2\n", n.conf.name, n.conf.version)
	return b.String()
}

// cmapStats is corosync-cmapctl -m stats, as far as links go. Latencies are microseconds.
func (n *node) cmapStats() string {
	var b strings.Builder
	for _, o := range n.peers() {
		for link := range n.entryLinks() {
			connected, latency, mtu := flag(linkUp(n, o, link)), 200+10*n.idOf(o), 1397
			if o == n {
				connected, latency, mtu = 1, 0, 65535
			}
			key := fmt.Sprintf("stats.knet.node%d.link%d.", n.idOf(o), link)
			fmt.Fprintf(&b, "%sconnected (u8) = %d\n%sdown_count (u32) = %d\n%senabled (u8) = 1\n", key, connected, key, 1-connected, key)
			fmt.Fprintf(&b, "%slatency_ave (u32) = %d\n%slatency_max (u32) = %d\n%smtu (u32) = %d\n", key, latency, key, 4*latency, key, mtu)
		}
	}
	return b.String()
}
