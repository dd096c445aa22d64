package pvesim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pvecm. What it prints is what its manual, Proxmox's documentation and people's logs show;
// none of it was recorded for this simulator except `status` and `nodes` of a cluster.
// Exit codes other than 0 are 255, as of every one of Proxmox's tools that gives up.
//
// Known to be plainer than reality: a join copies everything over SSH although a peer could
// do it by its API; the text of ssh-copy-id and of the QDevice's certificates is left out;
// what happens to a node whose address no link has is the same for create as for add.

// clusterName is what a cluster may be called.
var clusterName = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$`)

// command is a command that runs on a node. It takes time; its steps follow one another as
// long as it lives and its node is up.
type command struct {
	n         *node
	boot      int
	out       strings.Builder
	complaint string
	code      int
	done      bool
	killed    bool
}

// start begins a command on the node; it is the caller who lets it run.
func (n *node) start() *command { return &command{n: n, boot: n.boot} }

func (k *command) say(format string, args ...any) { fmt.Fprintf(&k.out, format+"\n", args...) }

// fail ends the command.
func (k *command) fail(code int, format string, args ...any) {
	k.complaint, k.code, k.done = fmt.Sprintf(format, args...), code, true
}

// then does the next step after some time, if there still is a command.
func (k *command) then(d time.Duration, step func()) {
	k.n.c.after(d, func() {
		if !k.killed && !k.done && k.n.up && k.n.boot == k.boot {
			step()
		}
	})
}

// over reports that nothing more will come of the command: it has ended, or its node has, or
// it was killed.
func (k *command) over() bool { return k.done || k.killed || !k.n.up || k.n.boot != k.boot }

// pvecmUnit runs pvecm as an agent does, by systemd-run in a unit of its own: it goes on
// when the agent ends, and there is one at a time.
func (n *node) pvecmUnit(args []string) *command {
	if n.unit != nil && !n.unit.over() {
		k := n.start()
		k.fail(1, "Failed to start transient service unit: Unit psw-pvecm.service was already loaded or has a fragment file.")
		return k
	}
	n.unit = n.pvecm(args)
	return n.unit
}

// KillJoin ends a join, or whatever else of pvecm runs on the node, where it is.
func (c *Cluster) KillJoin(name string) {
	c.lock()
	defer c.unlock()
	if n := c.mustNode(name); n.unit != nil {
		n.unit.killed = true
	}
}

// pvecm begins a pvecm command.
func (n *node) pvecm(args []string) *command {
	k := n.start()
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	words, options := parseArgs(args[min(1, len(args)):])
	switch {
	case verb == "create" && len(words) == 1:
		k.create(words[0], options)
	case verb == "add" && len(words) == 1:
		k.add(words[0], options)
	case verb == "delnode" && len(words) == 1:
		k.then(time.Second, func() { k.delnode(words[0]) })
	case verb == "qdevice" && len(words) == 2 && words[0] == "setup":
		k.then(time.Second, func() { k.setupDevice(words[1], options) })
	case verb == "qdevice" && len(words) == 1 && words[0] == "remove":
		k.then(time.Second, k.removeDevice)
	case verb == "status" && len(words) == 0:
		k.status()
	case verb == "nodes" && len(words) == 0:
		k.nodes()
	case verb == "apiver" && len(words) == 0:
		k.say(joinVersion)
		k.done = true
	default:
		k.fail(255, "ERROR: unknown command 'pvecm %s'", strings.Join(args, " "))
	}
	return k
}

// parseArgs tells words from options: --link0 A, -link0 A and --link0=A are the same.
func parseArgs(args []string) (words []string, options map[string]string) {
	options = map[string]string{}
	for k := 0; k < len(args); k++ {
		name, isOption := strings.CutPrefix(args[k], "-")
		if !isOption {
			words = append(words, args[k])
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if !given {
			value = "1"
			if k+1 < len(args) && !strings.HasPrefix(args[k+1], "-") {
				k++
				value = args[k]
			}
		}
		options[name] = value
	}
	return words, options
}

// links are the addresses of --link0 to --link7, in order. A link may say its priority.
func (n *node) links(options map[string]string) []string {
	var list []string
	for link := range 8 {
		if v, ok := options[fmt.Sprintf("link%d", link)]; ok {
			list = append(list, properties(v, "address")["address"])
		}
	}
	if len(list) == 0 {
		list = []string{n.spec.Address}
	}
	return list
}

// foreign are those of the addresses that are not the node's own.
func (n *node) foreign(addrs []string) []string {
	return slices.DeleteFunc(slices.Clone(addrs), func(a string) bool { return a == n.spec.Address || slices.Contains(n.spec.Links, a) })
}

const noConfig = "Error: Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?"

func (k *command) status() {
	n := k.n
	k.done = true
	if n.conf == nil {
		k.fail(255, noConfig)
		return
	}
	k.say("Cluster information\n-------------------\nName:             %s\nConfig Version:   %d\nTransport:        knet\nSecure auth:      on\n", n.conf.name, n.conf.version)
	text := n.quorumText(fmt.Sprintf("0x%08x", n.entry().id), n.rows("0x%08x", func(m confNode) string { return m.addrs[0] }))
	k.out.WriteString("Quorum information\n" + text)
	if !n.quorate {
		k.code = 2
	}
}

func (k *command) nodes() {
	k.done = true
	if k.n.conf == nil {
		k.fail(255, noConfig)
		return
	}
	k.say("\nMembership information\n----------------------")
	k.out.WriteString(k.n.rows("%10d", func(m confNode) string { return m.name }))
}

// create makes a cluster of one node.
func (k *command) create(name string, options map[string]string) {
	n, addrs := k.n, k.n.links(options)
	switch {
	case !clusterName.MatchString(name):
		k.fail(255, "400 Parameter verification failed.\nclustername: invalid format - value does not look like a valid node name")
		return
	case n.conf != nil:
		k.fail(255, "cluster config '/etc/pve/corosync.conf' already exists")
		return
	case len(n.foreign(addrs)) > 0:
		k.fail(255, "cannot use IP '%s', not found on local node!", n.foreign(addrs)[0])
		return
	}
	k.say("Corosync Cluster Engine Authentication key generator.\nGathering 2048 bits for key from /dev/urandom.\nWriting corosync key to /etc/corosync/authkey.")
	k.then(2*time.Second, func() {
		k.say("Writing corosync config to /etc/pve/corosync.conf\nRestart corosync and cluster filesystem")
		id := max(1, atoi(options["nodeid"]))
		votes := max(1, atoi(options["votes"]))
		n.conf = &conf{name: name, version: 1, links: len(addrs), members: []confNode{{name: n.name, id: id, votes: votes, addrs: addrs}}}
		n.home.corosync = n.conf
		n.home.trust(n)
		n.apiRestarts()
		n.adopt([]string{n.name})
		k.done = true
	})
}

// delnode takes a node out of the configuration. Nothing is done to the node itself: one
// that runs goes on, and believes in a cluster that does not know it any more.
func (k *command) delnode(name string) {
	n := k.n
	k.done = true
	m := n.conf.member(name)
	switch {
	case n.conf == nil:
		k.fail(255, noConfig)
		return
	case !n.quorate:
		k.fail(255, "cluster not ready - no quorum?")
		return
	case m == nil:
		k.fail(255, "Node/IP: %s is not a known host of the cluster.", name)
		return
	case name == n.name:
		k.fail(255, "Cannot delete myself from cluster!")
		return
	}
	if k.say("Killing node %d", m.id); !n.sees(name) {
		k.say("Could not kill node (error = CS_ERR_NOT_EXIST)")
	}
	n.home.install(n.c, n.conf.without(name))
	// What pmxcfs has of it stays: /etc/pve/nodes/NAME, and a status the HA manager knows.
}

// setupDevice gives the cluster a QDevice. It goes over SSH to that host, of which it is only
// known whether the nodes reach it.
func (k *command) setupDevice(host string, options map[string]string) {
	n := k.n
	k.done = true
	switch {
	case n.conf == nil:
		k.fail(255, noConfig)
		return
	case !n.quorate:
		k.fail(255, "cluster not ready - no quorum?")
		return
	case n.conf.qdevice != "":
		k.fail(255, "QDevice already configured!")
		return
	case len(n.conf.members)%2 == 1 && options["force"] == "":
		k.fail(255, "Clusters with an odd node count are not officially supported!")
		return
	case len(n.members) < len(n.conf.members):
		k.fail(255, "All nodes must be online! Node %s is offline, aborting.", n.offline())
		return
	}
	for _, o := range n.peers() {
		if o.deviceAway {
			k.fail(255, "ssh: connect to host %s port 22: No route to host", host)
			return
		}
	}
	k.say("INFO: initializing qnetd server\nINFO: copying CA cert and initializing on all nodes\nINFO: generating cert request\n" +
		"INFO: copying exported cert request to qnetd server\nINFO: sign and export cluster cert\nINFO: import certificate\nINFO: add QDevice to cluster configuration")
	for _, o := range n.peers() {
		k.say("INFO: start and enable corosync qdevice daemon on node '%s'...", o.name)
	}
	k.say("Reloading corosync.conf...\nDone")
	n.home.install(n.c, n.conf.withQDevice(host))
}

// offline is the first member corosync does not see.
func (n *node) offline() string {
	for _, m := range n.conf.members {
		if !n.sees(m.name) {
			return m.name
		}
	}
	return ""
}

func (k *command) removeDevice() {
	n := k.n
	k.done = true
	switch {
	case n.conf == nil:
		k.fail(255, noConfig)
	case !n.quorate:
		k.fail(255, "cluster not ready - no quorum?")
	case n.conf.qdevice == "":
		k.fail(255, "No QDevice configured!")
	case len(n.members) < len(n.conf.members):
		k.fail(255, "All nodes must be online! Node %s is offline, aborting.", n.offline())
	default:
		k.say("Stopping and disabling corosync-qdevice on all nodes\nReloading corosync.conf...\n\nRemoved Qdevice.")
		n.home.install(n.c, n.conf.withQDevice(""))
	}
}

// nodeID is the id a joining node gets.
func (k *conf) nodeID(asked string) int {
	id, _ := strconv.Atoi(asked) // not a number: none was asked for
	return cmp.Or(id, k.freeID())
}
