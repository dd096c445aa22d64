package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A join, step by step. It can die between any two of them, and what is then left is what
// is left on real nodes: a cluster that lists a node which knows nothing of it, or a node
// whose services are stopped. It waits for quorum without a limit.

// JoinStep names what a join does next.
type JoinStep string

// The steps of a join, in their order.
const (
	// JoinAdd lists the node in the cluster's configuration.
	JoinAdd JoinStep = "addnode"
	// JoinCopy copies corosync.conf and authkey to the node.
	JoinCopy JoinStep = "copy"
	// JoinStop stops the node's cluster services and puts its own database away.
	JoinStop JoinStep = "stop"
	// JoinStart starts corosync and pmxcfs.
	JoinStart JoinStep = "start"
	// JoinQuorum waits for quorum.
	JoinQuorum JoinStep = "quorum"
	// JoinCertificate makes the node a certificate of the cluster's authority and restarts
	// its API.
	JoinCertificate JoinStep = "certificate"
)

// apiAway is how long a node's API is away when pveproxy and pvedaemon are restarted.
const apiAway = 3 * time.Second

func (n *node) apiRestarts() { n.apiBack = n.c.now().add(apiAway) }

// HoldJoin lets a join on the node wait before that step until KillJoin ends it, or
// ReleaseJoin lets it go on.
func (c *Cluster) HoldJoin(name string, step JoinStep) {
	c.lock()
	defer c.unlock()
	c.mustNode(name).holdJoin = step
}

// ReleaseJoin ends HoldJoin.
func (c *Cluster) ReleaseJoin(name string) { c.HoldJoin(name, "") }

// Joining is the step a join on the node is at; empty if there is none.
func (c *Cluster) Joining(name string) JoinStep {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	if n.unit == nil || n.unit.over() {
		return ""
	}
	return n.joinStep
}

// add joins the node to the cluster of a peer.
func (k *command) add(peer string, options map[string]string) {
	n := k.n
	if _, ok := options["use_ssh"]; !ok {
		k.fail(255, "Please enter superuser (root) password for '%s': ", peer) // there is no terminal to ask at
		return
	}
	if faults := n.cannotJoin(n.links(options)); len(faults) > 0 {
		k.fail(255, "detected the following error(s):\n* %s\n\nCheck if node may join a cluster failed!", strings.Join(faults, "\n* "))
		return
	}
	o := n.c.machine(peer)
	if o == nil {
		k.fail(255, "unable to resolve hostname '%s'", peer)
		return
	}
	k.steps([]joinStep{
		{JoinAdd, time.Second, func() { k.joinAdd(o, options) }},
		{JoinCopy, 2 * time.Second, func() {
			k.say("copy corosync auth key")
			n.copied, n.joined = o.fs.corosync, o.home
		}},
		{JoinStop, time.Second, func() {
			k.say("stopping pve-cluster service\nbackup old database to '/var/lib/pve-cluster/backup/config-%d.sql.gz'", n.c.unix(n.c.now()))
			n.stopCluster()
		}},
		{JoinStart, 2 * time.Second, n.startCluster},
		{JoinQuorum, time.Second, nil},
		{JoinCertificate, time.Second, func() {
			k.say("waiting for quorum...OK\n(re)generate node files\ngenerate new node certificate\nmerge authorized SSH keys\n" +
				"generated new node certificate, restart pveproxy and pvedaemon services")
			n.updateCertificates()
			k.say("successfully added node '%s' to cluster.", n.name)
			k.done = true
		}},
	})
}

type joinStep struct {
	name JoinStep
	took time.Duration // until it is done
	do   func()        // nil: wait for quorum
}

// steps does one step after the other.
func (k *command) steps(list []joinStep) {
	if k.done || len(list) == 0 {
		return
	}
	step := list[0]
	k.n.joinStep = step.name
	k.then(step.took, func() {
		switch {
		case k.n.holdJoin == step.name, step.do == nil && !k.n.quorate:
			k.steps(list)
			return
		case step.do != nil:
			step.do()
		}
		k.steps(list[1:])
	})
}

// cannotJoin is what speaks against a node's joining any cluster.
func (n *node) cannotJoin(addrs []string) []string {
	var faults []string
	if n.conf != nil || n.copied != nil {
		faults = append(faults, "authentication key '/etc/corosync/authkey' already exists")
	}
	if n.conf != nil {
		faults = append(faults, "cluster config '/etc/pve/corosync.conf' already exists")
	}
	if len(n.fs.guests) > 0 {
		faults = append(faults, "this host already contains virtual guests")
	}
	if n.conf != nil && !n.stopped {
		faults = append(faults, "corosync is already running, is this node already in a cluster?!")
	}
	for _, a := range n.foreign(addrs) {
		faults = append(faults, fmt.Sprintf("cannot use IP '%s', not found on local node!", a))
	}
	return faults
}

// joinAdd is pvecm addnode on the peer.
func (k *command) joinAdd(o *node, options map[string]string) {
	n := k.n
	if why := n.ssh(o); why != "" {
		k.fail(255, "%s\nunable to copy ssh ID: exit code 1", why)
		return
	}
	failed := fmt.Sprintf("unable to add node: command failed (ssh %s -o BatchMode=yes pvecm addnode %s)", o.spec.Address, n.name)
	addrs := n.links(options)
	switch old := o.conf; {
	case old == nil:
		k.fail(255, "%s\n%s", noConfig, failed)
	case !o.quorate:
		k.fail(255, "cluster not ready - no quorum?\n%s", failed)
	case old.member(n.name) != nil:
		k.fail(255, "can't add existing node '%s'\n%s", n.name, failed)
	case len(addrs) != old.links:
		k.fail(255, "Number of links does not match: the cluster has %d, %d given\n%s", old.links, len(addrs), failed)
	case slices.ContainsFunc(old.members, func(m confNode) bool {
		return slices.ContainsFunc(addrs, func(a string) bool { return slices.Contains(m.addrs, a) })
	}):
		k.fail(255, "address of '%s' is already used by another node\n%s", n.name, failed)
	default:
		m := confNode{name: n.name, id: old.nodeID(options["nodeid"]), votes: 1, addrs: addrs}
		if options["votes"] != "" {
			m.votes = atoi(options["votes"])
		}
		o.home.install(n.c, old.with(m))
	}
}

// stopCluster stops corosync and pmxcfs: there is no /etc/pve, and no API without it.
func (n *node) stopCluster() {
	n.stopped, n.quorate, n.members = true, false, nil
	n.enter()
	n.c.membershipChanged()
}

// enter makes the node one of the cluster whose corosync.conf it got; nothing is left of
// what it had in /etc/pve.
func (n *node) enter() {
	n.home, n.conf = n.joined, n.copied
	n.copied, n.joined = nil, nil
	n.fs = newPmxcfs()
	n.fs.access, n.fs.corosync = n.home.access, n.conf
}

// startCluster starts both again; the database comes from the cluster.
func (n *node) startCluster() {
	n.stopped = false
	n.adopt([]string{n.name})
	n.c.membershipChanged()
}

// updateCertificates gives the node a certificate of its cluster's authority, unless it has
// one, and makes its keys known in the cluster.
func (n *node) updateCertificates() {
	n.home.trust(n)
	if n.ca == n.home.ca {
		return
	}
	n.ca = n.home.ca
	n.certificates++
	n.apiRestarts()
}

// Certificate says which certificate a node's API shows: the node whose authority signed it,
// and how many it had before.
func (c *Cluster) Certificate(name string) (authority string, number int) {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	return n.ca, n.certificates
}

// Separate does to a node what Proxmox's documentation says of separating one without
// installing it again: its corosync.conf and authkey are removed, and it is in no cluster.
func (c *Cluster) Separate(name string) {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	n.isolate()
	n.stopped, n.unit, n.copied, n.joined = false, nil, nil, nil
	if n.up {
		n.adopt([]string{n.name})
	}
	c.membershipChanged()
}

// machine finds a node by its name or one of its addresses.
func (c *Cluster) machine(host string) *node {
	short, _, _ := strings.Cut(host, ".")
	for _, n := range c.nodes {
		if host == n.name || host == n.spec.Address || short == n.name || slices.Contains(n.spec.Links, host) {
			return n
		}
	}
	return nil
}

// bootIntoCluster is what a start does with an unfinished join: with a corosync.conf the
// node comes up in that cluster, and what writes its certificate does so at every start.
// One that only was listed knows nothing of it.
func (n *node) bootIntoCluster() {
	n.stopped = false
	if n.joined != nil {
		n.enter()
	}
	n.after(n.c.timing.Membership+time.Second, n.certifyOnBoot)
}

func (n *node) certifyOnBoot() {
	if !n.quorate {
		n.after(5*time.Second, n.certifyOnBoot)
		return
	}
	n.updateCertificates()
}
