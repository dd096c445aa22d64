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

const (
	// createPatience, joinPatience and devicePatience are how long pvecm is waited for: a
	// little longer than an agent gives it.
	createPatience = 3 * time.Minute
	joinPatience   = 6 * time.Minute
	devicePatience = 4 * time.Minute
	// joinLetIn is how long a node is let in to join; renewed before joinLetInRest is left.
	joinLetIn     = 15 * time.Minute
	joinLetInRest = 8 * time.Minute
	// clockSkewMax is how far two nodes' clocks may differ. The HA manager takes a
	// timestamp of another node for stale after a minute; a report's way here takes seconds.
	clockSkewMax = 15 * time.Second
)

// formCluster forms the declared cluster, or joins the nodes that are not in it yet, one at
// a time. Whether something is done is what the cluster says, never what pvecm said.
func (w *world) formCluster(o ha.Operation) (ha.Operation, ha.Plan) {
	if dead, ended := w.deadJoin(o); ended {
		return dead, ha.Plan{}
	}
	return w.walk(o, w.clusterGates(), (*journey).cluster)
}

// deadJoin ends an operation whose join has died half way. A cluster of one that waits for
// its second has no quorum then, so that no gate may stand before this.
func (w *world) deadJoin(o ha.Operation) (ha.Operation, bool) {
	if !w.InventoryFresh() || w.Inventory.Cluster.Quorate {
		return o, false // the leg itself sees it, and cleans up
	}
	for k := range o.Steps {
		st := &o.Steps[k]
		n, isJoin := strings.CutPrefix(st.Key, "join ")
		if !isJoin || st.State != ha.StepDoing || st.Note == "" && w.At.Sub(st.Asked) < joinPatience {
			continue
		}
		if why, fix := w.halfJoined(ha.NodeName(n)); why != "" {
			st.State, st.Ended, st.Note = ha.StepFailed, w.At, why+"; "+fix
			w.closeOperation(&o, ha.OperationFailed, st.Key+": "+st.Note)
			return o, true
		}
	}
	return o, false
}

// PreviewCluster is how the cluster would be formed, and what forbids it.
func PreviewCluster(o ha.Operation, s ha.Snapshot) ha.OperationPreview {
	w := newWorld(s)
	return w.previewJourney(o, append(w.clusterGates(), w.joinGates()...), (*journey).cluster)
}

// first is the node that the others join: one of the cluster's, or the one to begin with.
func (w *world) first() ha.NodeName {
	if !w.Inventory.Cluster.Standalone {
		for _, n := range w.Policy.Cluster.Nodes {
			if r, ok := w.FreshReport(n); ok && w.online(n) && r.Membership.Clustered && r.Membership.Quorate {
				return n
			}
		}
		return w.Inventory.Source
	}
	return w.Policy.Cluster.Nodes[0]
}

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
			Fix: "name the nodes under cluster.nodes"})
	case inv.Standalone && w.Inventory.Source != c.Nodes[0]:
		return append(out, ha.Blocker{Code: codeWrongAPI, Subject: "coordinator",
			Reason: fmt.Sprintf("the coordinator asks the API of %s, but the cluster begins with %s, and a join replaces what a node has in /etc/pve, the API token included", w.Inventory.Source, c.Nodes[0]),
			Fix:    fmt.Sprintf("make the API token on %s and name it in the coordinator's configuration, or name %s first under cluster.nodes", c.Nodes[0], w.Inventory.Source)})
	case !inv.Standalone && c.Name != "" && inv.Name != "" && inv.Name != c.Name:
		return append(out, ha.Blocker{Code: codeOtherCluster, Subject: "cluster",
			Reason: fmt.Sprintf("%s is in the cluster %s, and network.yml declares %s", w.Inventory.Source, inv.Name, c.Name),
			Fix:    fmt.Sprintf("set cluster.name: %s in network.yml, or name the API of another cluster in the coordinator's configuration", inv.Name)})
	}
	return append(out, w.maintenanceOpen()...)
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
		var off []string
		for _, n := range w.Inventory.Nodes {
			if !n.Online {
				off = append(off, string(n.Name))
			}
		}
		return []ha.Blocker{{Code: codeQuorumAtRisk, Subject: "cluster",
			Reason: fmt.Sprintf("while a node joins the cluster would have %d of the %d votes it then needs, and lose quorum: %s", votes, need, orNobody(off)),
			Fix:    "bring those nodes back first: `pvecm status` on a node says who is missing"}}
	}
	return nil
}

func orNobody(off []string) string {
	if len(off) == 0 {
		return "a vote is missing"
	}
	return strings.Join(off, ", ") + " is offline"
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
		add(codeAddress, fmt.Sprintf("declare management.hosts.%s.ip, or links", n), "network.yml names no address of it")
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
				add(codeDuplicate, "give each node addresses of its own in network.yml", "%s is declared for %s as well", a, other)
			}
		}
		for _, member := range w.Inventory.Nodes {
			if member.Name != n && member.IP == a.String() {
				add(codeDuplicate, "give the node another address, in network.yml too", "%s is the address of %s in the cluster", a, member.Name)
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
		add(codeOtherVersion, "bring both to the same version: `apt update && apt dist-upgrade`, `pveversion`",
			"it runs Proxmox VE %s, and %s runs %s", cmp.Or(r.System.PVEVersion, "of an unknown version"), first, cmp.Or(p.System.PVEVersion, "an unknown version"))
	}
	if skew := (skewOf(r) - skewOf(p)).Abs(); skew > clockSkewMax {
		add(codeClock, fmt.Sprintf("on both: `chronyc tracking`, `systemctl restart chrony`; `timedatectl` on %s", n),
			"its clock and that of %s differ by %s", first, short(skew))
	}
	mine, theirs := w.links(n), w.links(first)
	if len(mine) != len(theirs) {
		add(codeUnreachable, "declare as many links for each node", "it has %d links declared, and %s has %d", len(mine), first, len(theirs))
		return out
	}
	for k := range mine {
		_, prefix, ok := interfaceOf(r, mine[k])
		if ok && !prefix.Contains(theirs[k]) && !slices.ContainsFunc(r.Interfaces, func(i ha.Interface) bool { return i.Gateway }) {
			add(codeUnreachable, "put both into one network, in network.yml and on the nodes",
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
		out = fmt.Sprintf("`pvecm expected %d`, then %s", max(1, w.Inventory.Cluster.Votes), out)
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

// cluster is the legs: the cluster itself, each node, the QDevice.
func (j *journey) cluster() {
	c := j.Policy.Cluster
	first := j.first()
	name := cmp.Or(c.Name, j.Inventory.Cluster.Name, "psw")
	l := leg{key: "cluster " + name, text: fmt.Sprintf("make %s a cluster of one node", first), reached: !j.Inventory.Cluster.Standalone,
		action: ha.CreateCluster{Node: first, Name: name, Links: j.links(first)}, patience: createPatience}
	if g := j.nodeGates(first, true); !l.reached && len(g) > 0 && !j.doing(l.key) {
		l.wait, l.fix = g[0].Reason, g[0].Fix
	}
	j.step(l)
	j.device1(len(j.joiners()) > 0)
	for _, n := range c.Nodes {
		if n != first || !j.Inventory.Cluster.Standalone && !l.reached {
			j.join(n, first)
		}
	}
	j.device2()
	if len(c.Nodes) == 2 && c.QDevice == nil {
		j.notice("two nodes without a QDevice: when one fails the other has no quorum, and nothing is started again; declare cluster.qdevice")
	}
}

// doing reports whether a leg was asked for and has no end yet.
func (j *journey) doing(key string) bool {
	st, ok := j.o.Step(key)
	return ok && st.State == ha.StepDoing && st.Tries > 0
}

// join is the legs of one node: it is let in, joins, and what let it in is taken back.
func (j *journey) join(n, first ha.NodeName) {
	authorize, join, revoke := "authorize "+string(n), "join "+string(n), "revoke "+string(n)
	member, listed := j.Inventory.Node(n)
	in := listed && member.Online && !j.Inventory.Cluster.Standalone
	links := j.links(n)
	_, begun := j.o.Step(authorize)
	r, fresh := j.FreshReport(n)
	peer, _ := j.FreshReport(first)
	if len(links) > 0 && in && member.IP != "" && member.IP != links[0].String() {
		j.notice("%s is a member by the address %s, and network.yml says %s", n, member.IP, links[0])
	}
	if in && !begun {
		j.step(leg{key: join, text: fmt.Sprintf("%s is a member", n), reached: true})
		return
	}
	l := leg{key: join, text: fmt.Sprintf("join %s to the cluster", n), reached: in && fresh && r.Membership.Quorate, patience: joinPatience}
	if len(links) > 0 && len(j.links(first)) > 0 {
		l.action = ha.JoinCluster{Node: n, Peer: j.links(first)[0], PeerKeys: peer.Membership.HostKeys, Links: links}
	}
	st, _ := j.o.Step(join)
	asked := st.State == ha.StepDoing && st.Tries > 0
	why, fix := j.halfJoined(n)
	switch {
	case l.reached:
	case why != "" && (!asked || st.Note != "" || j.At.Sub(st.Asked) >= joinPatience):
		l.fail = why + "; " + fix
	case asked:
	case listed:
		l.wait, l.fix = "the cluster lists it, and it is offline", fmt.Sprintf("power %s on, or see why it is not in the cluster: `pvecm status` on it", n)
	default:
		if g := append(j.nodeGates(n, false), j.quorumGate()...); len(g) > 0 {
			l.wait, l.fix = g[0].Reason, g[0].Fix
		}
	}
	j.letIn(n, first, in, l, r)
	j.step(l)
	ended := st.Answered.After(st.Asked) || st.Note != "" || j.At.Sub(st.Asked) >= joinPatience
	out := leg{key: revoke, text: fmt.Sprintf("take back what let %s in", n), word: true, always: begun,
		action: ha.RevokeJoin{On: first, Node: n, Joined: in}}
	if in && !ended {
		out.wait = fmt.Sprintf("waiting for pvecm on %s to end", n)
	}
	if j.failed != "" && j.pending {
		j.pending = false // the failed join is over, and its key must go
	}
	j.step(out)
}

// letIn is the leg before a join. A permission that runs out is given anew.
func (j *journey) letIn(n, first ha.NodeName, in bool, join leg, r ha.Report) {
	l := leg{key: "authorize " + string(n), text: fmt.Sprintf("let root of %s in for %d min, by its public key", n, int(joinLetIn.Minutes())), word: true,
		action: ha.AuthorizeJoin{On: first, Node: n, Keys: r.Membership.RootKeys, From: j.links(n), For: joinLetIn}}
	if st, ok := j.o.Step(l.key); ok && st.State == ha.StepDone && !in && !j.doing(join.key) && j.At.Sub(st.Asked) > joinLetIn-joinLetInRest {
		again := stepOf(j.o, l.key)
		again.State, again.Answered = ha.StepTodo, time.Time{}
	}
	switch st, ok := j.o.Step(l.key); {
	case ok && st.State == ha.StepDone:
	case in:
		l.reached = true
	case join.fail != "":
		l.skip = "because of " + join.key
	default:
		l.wait, l.fix = join.wait, join.fix
	}
	j.step(l)
}

// device is the host of the cluster's QDevice; "" if it has none, "?" if only that one is
// there is known.
func (w *world) device() string {
	for _, known := range w.Reports {
		if r, ok := w.FreshReport(known.Node); ok && w.online(r.Node) && !w.Inventory.Cluster.Standalone {
			if c := r.Corosync.Config; c.QDeviceHost != "" {
				return c.QDeviceHost
			}
			if r.Corosync.QDevice {
				return "?"
			}
		}
	}
	return ""
}

// device1 removes a QDevice that must not be there while the number of nodes changes, or
// that is another than the declared one.
func (j *journey) device1(changes bool) {
	have, want := j.device(), j.Policy.Cluster.QDevice
	_, begun := j.o.Step("qdevice remove")
	other := want != nil && have != "" && have != "?" && have != want.Host
	if !begun && (have == "" || !changes && !other) {
		return
	}
	j.step(leg{key: "qdevice remove", text: "remove the QDevice while the cluster changes", reached: have == "",
		action: ha.RemoveQDevice{On: j.first()}, patience: devicePatience})
}

// device2 sets the declared QDevice up, where Proxmox supports one: with an even number of
// nodes.
func (j *journey) device2() {
	want := j.Policy.Cluster.QDevice
	if want == nil {
		return
	}
	have := j.device()
	members := slices.Clone(j.joiners())
	for _, n := range j.Inventory.Nodes {
		if j.o.Kind != ha.OperationRemoveNode || n.Name != j.o.Node {
			members = append(members, n.Name)
		}
	}
	l := leg{key: "qdevice " + want.Host, text: "set up the QDevice " + want.Host, reached: have == want.Host || have == "?",
		action: ha.SetupQDevice{On: j.first(), Host: want.Host}, patience: devicePatience}
	if n := len(members); !l.reached && n%2 == 1 {
		l.skip = fmt.Sprintf("the cluster has %d nodes, and Proxmox supports a QDevice with an even number only", n)
	}
	j.step(l)
}
