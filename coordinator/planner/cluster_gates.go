package planner

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of what forbids forming or extending a cluster.
const (
	codeNoCluster     ha.Code = "CLUSTER_NOT_DECLARED"
	codeOtherCluster  ha.Code = "OTHER_CLUSTER"
	codeHoldsGuests   ha.Code = "NODE_HOLDS_GUESTS"
	codeOtherVersion  ha.Code = "OTHER_VERSION"
	codeAddress       ha.Code = "ADDRESS_NOT_LOCAL"
	codeUnreachable   ha.Code = "LINK_UNREACHABLE"
	codeClock         ha.Code = "CLOCK_OFF"
	codeDuplicate     ha.Code = "ADDRESS_TAKEN"
	codeHalfJoined    ha.Code = "JOIN_HALF_DONE"
	codeWrongAPI      ha.Code = "API_OF_ANOTHER_NODE"
	codeForeignDevice ha.Code = "QDEVICE_NOT_DECLARED"
	codeKeysUnknown   ha.Code = "SSH_KEYS_UNKNOWN"
)

// clockSkewMax is how far two nodes' clocks may differ. The HA manager takes a
// timestamp of another node for stale after a minute; a report's way here takes seconds.
const clockSkewMax = 15 * time.Second

// clusterGates are what forbids touching the cluster at all.
func (w *world) clusterGates() []ha.Blocker {
	out := w.gates()
	if !w.InventoryFresh() {
		return out
	}
	c, inv := w.Policy.Cluster, w.Inventory.Cluster
	switch {
	case len(c.Nodes) == 0:
		return append(out, ha.Blocker{Code: codeNoCluster, Subject: "cluster", Reason: "network.yml declares no cluster.nodes",
			Fix: "name the nodes under cluster.nodes in network.yml, then ask again: `psw node cluster --dry-run`"})
	case inv.Standalone && w.Inventory.Source != c.Nodes[0]:
		return append(out, ha.Blocker{Code: codeWrongAPI, Subject: "coordinator",
			Reason: fmt.Sprintf("the coordinator asks the API of %s, but the cluster begins with %s, and a join replaces what a node has in /etc/pve, the API token included", w.Inventory.Source, c.Nodes[0]),
			Fix:    fmt.Sprintf("make the API token on %s (`pveum user token add`) and name it in the coordinator's configuration, or name %s first under cluster.nodes; then `psw node cluster --dry-run`", c.Nodes[0], w.Inventory.Source)})
	case !inv.Standalone && c.Name != "" && inv.Name != "" && inv.Name != c.Name:
		return append(out, ha.Blocker{Code: codeOtherCluster, Subject: "cluster",
			Reason: fmt.Sprintf("%s is in the cluster %s, and network.yml declares %s", w.Inventory.Source, inv.Name, c.Name),
			Fix:    fmt.Sprintf("set cluster.name: %s in network.yml, or name the API of another cluster in the coordinator's configuration; `pvecm status` on %s says which it is in", inv.Name, w.Inventory.Source)})
	}
	if len(w.joiners()) > 0 || c.QDevice != nil {
		out = append(out, w.deviceUnknown()...)
	}
	return append(out, w.maintenanceOpen()...)
}

// deviceUnknown: only a member's agent tells of the QDevice, and what nobody tells of must
// not be taken for none, or for removed.
func (w *world) deviceUnknown() []ha.Blocker {
	told := func(known ha.Report) bool {
		r, fresh := w.FreshReport(known.Node)
		_, blind := r.Failed(ha.ProbeCorosync)
		return fresh && !blind && w.online(r.Node)
	}
	if w.Inventory.Cluster.Standalone || slices.ContainsFunc(w.Reports, told) {
		return nil
	}
	return []ha.Blocker{{Code: codeStaleReport, Subject: "cluster",
		Reason: "no member's agent tells whether the cluster has a QDevice, which must be removed before the number of nodes changes",
		Fix:    "on the nodes: `systemctl status psw-agent`, `psw-agent check`"}}
}

// maintenanceOpen forbids changing the cluster under a node that is being emptied.
func (w *world) maintenanceOpen() []ha.Blocker {
	var out []ha.Blocker
	for _, m := range w.Maintenances {
		if !m.Phase.Closed() {
			out = append(out, ha.Blocker{Code: codeOtherMaintenance, Subject: string(m.Node), Reason: fmt.Sprintf("it is in maintenance (%s)", m.Phase),
				Fix: fmt.Sprintf("end it first: `psw maintenance end %s`", m.Node)})
		}
	}
	return out
}

// joiners are the declared nodes the cluster does not list.
func (w *world) joiners() []ha.NodeName {
	var out []ha.NodeName
	for _, n := range w.Policy.Cluster.Nodes {
		if _, listed := w.Inventory.Node(n); !listed && (!w.Inventory.Cluster.Standalone || n != w.first()) {
			out = append(out, n)
		}
	}
	return out
}

// joinGates are what forbids the joins that are to be done, each node looked at before any
// of them is touched.
func (w *world) joinGates() []ha.Blocker {
	if !w.InventoryFresh() || len(w.Policy.Cluster.Nodes) == 0 {
		return nil
	}
	var out []ha.Blocker
	if w.Inventory.Cluster.Standalone {
		out = append(out, w.nodeGates(w.first(), true)...)
	}
	joiners := w.joiners()
	for _, n := range joiners {
		out = append(out, w.nodeGates(n, false)...)
	}
	if len(joiners) > 0 {
		out = append(out, w.quorumGate()...)
	}
	for _, n := range w.Policy.Cluster.Nodes {
		if why, fix := w.halfJoined(n); why != "" {
			out = append(out, ha.Blocker{Code: codeHalfJoined, Subject: string(n), Reason: why, Fix: fix})
		}
	}
	out = append(out, w.deviceGate()...)
	if host := w.device(); host != "" && len(joiners) > 0 && w.Policy.Cluster.QDevice == nil {
		out = append(out, ha.Blocker{Code: codeForeignDevice, Subject: "cluster",
			Reason: fmt.Sprintf("the cluster has the QDevice %s, which network.yml does not declare; Proxmox wants it removed before a node joins", host),
			Fix:    "declare it as cluster.qdevice, or remove it: `pvecm qdevice remove`"})
	}
	return out
}

// quorumGate: from the moment a node is listed its vote is expected, and it cannot vote yet.
func (w *world) quorumGate() []ha.Blocker {
	c := w.Inventory.Cluster
	if c.Standalone || c.Expected < 2 {
		return nil // one node cannot but lose quorum until the second has joined
	}
	votes, expected := c.Votes, c.Expected
	if need := (expected+1)/2 + 1; votes < need {
		return []ha.Blocker{{Code: codeQuorumAtRisk, Subject: "cluster",
			Reason: fmt.Sprintf("while a node joins the cluster would have %d of the %d votes it then needs, and lose quorum: %s", votes, need, orNobody(w.offline())),
			Fix:    "bring those nodes back first: `pvecm status` on a node says who is missing"}}
	}
	return nil
}

// deviceGate: Proxmox changes a QDevice only while every node is online, and while there is
// none the cluster has but its nodes' votes.
func (w *world) deviceGate() []ha.Blocker {
	off := w.offline()
	if !w.deviceChanges() || len(off) == 0 {
		return nil
	}
	b := ha.Blocker{Code: codeNodeOffline, Subject: "cluster",
		Reason: "the QDevice is to change, which Proxmox does only while every node is online; " + orNobody(off),
		Fix:    "bring those nodes back first: `pvecm status` on a node says who is missing"}
	c := w.Inventory.Cluster
	if need := c.Expected/2 + 1; w.device() != "" && c.Votes < need {
		b.Code = codeQuorumAtRisk
		b.Reason = fmt.Sprintf("without its QDevice, which is to change, the cluster has %d of the %d votes it needs; %s", c.Votes, need, orNobody(off))
	}
	return []ha.Blocker{b}
}

// deviceChanges reports whether a QDevice is to be removed or set up.
func (w *world) deviceChanges() bool {
	joiners := len(w.joiners())
	if w.device() != "" {
		return joiners > 0 || w.otherDevice()
	}
	return w.Policy.Cluster.QDevice != nil && (len(w.Inventory.Nodes)+joiners)%2 == 0
}

// offline are the nodes the cluster does not see.
func (w *world) offline() []string {
	var out []string
	for _, n := range w.Inventory.Nodes {
		if !n.Online {
			out = append(out, string(n.Name))
		}
	}
	return out
}

func orNobody(off []string) string {
	if len(off) == 0 {
		return "a vote is missing"
	}
	return "offline: " + strings.Join(off, ", ")
}

// nodeGates are what forbids a node to be the first, or to join.
func (w *world) nodeGates(n ha.NodeName, first bool) []ha.Blocker {
	var out []ha.Blocker
	add := func(code ha.Code, fix, format string, args ...any) {
		out = append(out, ha.Blocker{Code: code, Subject: string(n), Reason: fmt.Sprintf(format, args...), Fix: fix})
	}
	r, ok := w.FreshReport(n)
	if !ok {
		add(codeStaleReport, fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", n), "%s", w.silence(n))
		return out
	}
	for _, probe := range []string{ha.ProbeMembership, ha.ProbeGuests, ha.ProbeGuestConfigs, ha.ProbeNetwork} {
		if why, failed := r.Failed(probe); failed {
			add(codeStaleReport, fmt.Sprintf("on %s: `psw-agent check`", n), "its agent could not look (%s): %s", probe, why)
		}
	}
	if len(out) > 0 {
		return out
	}
	m := r.Membership
	if m.Clustered {
		add(codeOtherCluster, "a node leaves its cluster for good only: `pvecm delnode` there, then install it anew, or separate it as Proxmox's manual says (Cluster Manager, Separate a Node Without Reinstalling)",
			"it is in a cluster already: %s", cmp.Or(m.ClusterName, "its corosync.conf is there"))
		return out
	}
	if guests := guestsOf(r); !first && len(guests) > 0 {
		add(codeHoldsGuests, fmt.Sprintf("back them up and remove them: `vzdump`, `qm destroy`, `pct destroy` on %s; restore them after the join", n),
			"it holds guests, and a join would lose their configuration: %s", strings.Join(guests, ", "))
	}
	if len(m.RootKeys) == 0 || len(m.HostKeys) == 0 {
		add(codeKeysUnknown, fmt.Sprintf("on %s: `ssh-keygen -t rsa` as root, `ssh-keygen -A`", n), "it has no SSH key of root or of its SSH server, over which nodes join")
	}
	out = append(out, w.linkGates(n, r)...)
	if !first {
		out = append(out, w.peerGates(n, r)...)
	}
	return out
}

func guestsOf(r ha.Report) []string {
	var out []string
	for _, c := range r.GuestConfigs {
		out = append(out, c.SID.String())
	}
	for _, g := range r.Running {
		if sid := g.SID.String(); !slices.Contains(out, sid) {
			out = append(out, sid)
		}
	}
	slices.Sort(out)
	return out
}

// links are a node's declared corosync addresses.
func (w *world) links(n ha.NodeName) []netip.Addr {
	h, ok := w.Policy.Host(n)
	switch {
	case !ok:
		return nil
	case len(h.Links) > 0:
		return h.Links
	case h.IP.IsValid():
		return []netip.Addr{h.IP}
	}
	return nil
}

// linkGates: every declared address is on an interface of the node that is up, and nobody
// else's.
func (w *world) linkGates(n ha.NodeName, r ha.Report) []ha.Blocker {
	var out []ha.Blocker
	add := func(code ha.Code, fix, format string, args ...any) {
		out = append(out, ha.Blocker{Code: code, Subject: string(n), Reason: fmt.Sprintf(format, args...), Fix: fix})
	}
	links := w.links(n)
	if len(links) == 0 {
		add(codeAddress, fmt.Sprintf("declare management.hosts.%s.ip, or links, in network.yml; `ip -br addr` on it says what it has", n), "network.yml names no address of it")
	}
	for k, a := range links {
		i, _, ok := interfaceOf(r, a)
		switch {
		case !ok:
			add(codeAddress, "correct the address in network.yml, or give it to the node: `ip addr`, /etc/network/interfaces",
				"link %d is to be %s, which is no address of it; it has %s", k, a, addressesOf(r))
		case !i.Carrier && i.State != "up" && i.State != "unknown":
			add(codeUnreachable, fmt.Sprintf("on %s: `ip link show %s`; see to its cable and its switch", n, i.Name), "link %d, %s on %s, is %s", k, a, i.Name, i.State)
		}
		for _, other := range w.Policy.Cluster.Nodes {
			if other != n && slices.Contains(w.links(other), a) {
				add(codeDuplicate, fmt.Sprintf("give each node addresses of its own in network.yml: `ip -br addr` on %s and %s says whose it is", n, other), "%s is declared for %s as well", a, other)
			}
		}
		for _, member := range w.Inventory.Nodes {
			if member.Name != n && member.IP == a.String() {
				add(codeDuplicate, fmt.Sprintf("give it another address, in /etc/network/interfaces and in network.yml: `ip -br addr` on %s", n), "%s is the address of %s in the cluster", a, member.Name)
			}
		}
	}
	return out
}

// peerGates compare a joining node with the one it joins.
func (w *world) peerGates(n ha.NodeName, r ha.Report) []ha.Blocker {
	var out []ha.Blocker
	add := func(code ha.Code, fix, format string, args ...any) {
		out = append(out, ha.Blocker{Code: code, Subject: string(n), Reason: fmt.Sprintf(format, args...), Fix: fix})
	}
	first := w.first()
	p, ok := w.FreshReport(first)
	if !ok {
		return append(out, ha.Blocker{Code: codeStaleReport, Subject: string(first), Reason: w.silence(first),
			Fix: fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", first)})
	}
	if a, b := release(r.System.PVEVersion), release(p.System.PVEVersion); a != b {
		add(codeOtherVersion, "bring both to the same version: `apt update && apt dist-upgrade`, then `pveversion` on each",
			"it runs Proxmox VE %s, and %s runs %s", cmp.Or(r.System.PVEVersion, "of an unknown version"), first, cmp.Or(p.System.PVEVersion, "an unknown version"))
	}
	if skew := (skewOf(r) - skewOf(p)).Abs(); skew > clockSkewMax {
		add(codeClock, fmt.Sprintf("on both: `chronyc tracking`, `systemctl restart chrony`; `timedatectl` on %s", n),
			"its clock and that of %s differ by %s", first, short(skew))
	}
	mine, theirs := w.links(n), w.links(first)
	if len(mine) != len(theirs) {
		add(codeUnreachable, fmt.Sprintf("declare as many links for each node in network.yml: `ip -br addr` on %s and %s says what they have", n, first), "it has %d links declared, and %s has %d", len(mine), first, len(theirs))
		return out
	}
	for k := range mine {
		_, prefix, ok := interfaceOf(r, mine[k])
		if ok && !prefix.Contains(theirs[k]) && !slices.ContainsFunc(r.Interfaces, func(i ha.Interface) bool { return i.Gateway }) {
			add(codeUnreachable, fmt.Sprintf("put both into one network, in network.yml and on the nodes: `ip route get %s` on %s", theirs[k], n),
				"on link %d it has %s, and no way to %s of %s", k, prefix, theirs[k], first)
		}
	}
	return out
}

// release is a version without its last part: 9.2 of 9.2.11.
func release(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// skewOf is how far a node's clock is from the coordinator's, and how long its report was
// on its way.
func skewOf(r ha.Report) time.Duration { return r.Received.Sub(r.Taken.Add(r.Took)) }

func interfaceOf(r ha.Report, a netip.Addr) (ha.Interface, netip.Prefix, bool) {
	for _, i := range r.Interfaces {
		for _, text := range i.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil && p.Addr() == a {
				return i, p, true
			}
		}
	}
	return ha.Interface{}, netip.Prefix{}, false
}

func addressesOf(r ha.Report) string {
	var out []string
	for _, i := range r.Interfaces {
		for _, a := range i.Addresses {
			if !strings.HasPrefix(a, "127.") && !strings.HasPrefix(a, "::1") {
				out = append(out, a+" on "+i.Name)
			}
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// expectFewer names the one command that lets a part of a cluster act for the whole, and why
// it is the last way. We never run it.
func expectFewer(votes int) string {
	return fmt.Sprintf("the last and DANGEROUS way is `pvecm expected %d`, only when every node that is missing is off and stays off: "+
		"one that still runs apart from the others would start the same guests and write to the same disks", votes)
}

// halfJoined says that a node is a member by the cluster's account and not by its own, and
// Proxmox's documented way out.
func (w *world) halfJoined(n ha.NodeName) (why, fix string) {
	listed, ok := w.Inventory.Node(n)
	if w.Inventory.Cluster.Standalone || !ok || listed.Online {
		return "", ""
	}
	r, fresh := w.FreshReport(n)
	out := fmt.Sprintf("`pvecm delnode %s`", n)
	if !w.Inventory.Cluster.Quorate { // nothing can be changed without quorum
		out = fmt.Sprintf("%s, which needs quorum: bring the nodes that are missing back; %s; then %s", out, expectFewer(max(1, w.Inventory.Cluster.Votes)), out)
	}
	switch {
	case !fresh:
		return "", ""
	case !r.Membership.Clustered:
		return "a join died half way: the cluster lists it, and it knows of no cluster",
			fmt.Sprintf("on %s: %s; then ask again", w.first(), out)
	case !r.Membership.Quorate:
		return "it has the cluster's configuration but is not in it: a join died half way, or it is cut off",
			fmt.Sprintf("on %s: `systemctl restart corosync pve-cluster && pvecm updatecerts`, or boot it; if it stays so, on %s: %s, and on %s separate it as Proxmox's manual says: "+
				"`systemctl stop pve-cluster corosync; pmxcfs -l; rm /etc/pve/corosync.conf; rm -r /etc/corosync/*; killall pmxcfs; systemctl start pve-cluster`; then ask again", n, w.first(), out, n)
	}
	return "", ""
}
