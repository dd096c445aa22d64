package pvesim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// conf is a corosync.conf: who is in a cluster. It is never changed, only replaced by one
// with a higher version. The quorate part of a cluster has one in /etc/pve; each node has
// its own copy in /etc/corosync, and that is the one its corosync goes by.
type conf struct {
	name    string
	version int
	links   int
	members []confNode // by name
	// qdevice is the host whose qnetd has a vote; empty if there is none.
	qdevice string
}

// confNode is a node of a corosync.conf.
type confNode struct {
	name  string
	id    int
	votes int
	addrs []string // by link
}

// member is the entry of a node; nil if there is none.
func (k *conf) member(name string) *confNode {
	if k == nil {
		return nil
	}
	for at := range k.members {
		if k.members[at].name == name {
			return &k.members[at]
		}
	}
	return nil
}

// with is the configuration of the next version with that node in it, instead of one of
// the same name.
func (k *conf) with(m confNode) *conf {
	o := k.without(m.name)
	o.members = append(o.members, m)
	slices.SortFunc(o.members, func(a, b confNode) int { return cmp.Compare(a.name, b.name) })
	return o
}

// without is the configuration of the next version without that node.
func (k *conf) without(name string) *conf {
	o := *k
	o.version++
	o.members = slices.DeleteFunc(slices.Clone(k.members), func(m confNode) bool { return m.name == name })
	return &o
}

// withQDevice is the configuration of the next version with that QDevice, or without one.
func (k *conf) withQDevice(host string) *conf {
	o := *k
	o.version++
	o.qdevice = host
	return &o
}

// freeID is the lowest node id that nobody has.
func (k *conf) freeID() int {
	for id := 1; ; id++ {
		if !slices.ContainsFunc(k.members, func(m confNode) bool { return m.id == id }) {
			return id
		}
	}
}

// deviceVotes are the QDevice's: one more where the nodes are even, and enough to let the
// last of them go on where they are odd.
func (k *conf) deviceVotes() int {
	switch {
	case k == nil || k.qdevice == "":
		return 0
	case len(k.members)%2 == 0:
		return 1
	}
	return len(k.members) - 1
}

func (k *conf) expectedVotes() int {
	votes := k.deviceVotes()
	for _, m := range k.members {
		votes += m.votes
	}
	return votes
}

// token is corosync's token timeout in milliseconds: three seconds, and 650 ms more for
// each node beyond the second.
func (k *conf) token() int { return 3000 + 650*max(len(k.members)-2, 0) }

// text is the file.
func (k *conf) text() string {
	var b strings.Builder
	b.WriteString("logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n")
	for _, m := range k.members {
		fmt.Fprintf(&b, "  node {\n    name: %s\n    nodeid: %d\n    quorum_votes: %d\n", m.name, m.id, m.votes)
		for link, addr := range m.addrs {
			fmt.Fprintf(&b, "    ring%d_addr: %s\n", link, addr)
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n\nquorum {\n")
	if k.qdevice != "" {
		fmt.Fprintf(&b, "  device {\n    model: net\n    net {\n      algorithm: %s\n      host: %s\n      tls: on\n    }\n    votes: %d\n  }\n",
			k.algorithm(), k.qdevice, k.deviceVotes())
	}
	fmt.Fprintf(&b, "  provider: corosync_votequorum\n}\n\ntotem {\n  cluster_name: %s\n  config_version: %d\n", k.name, k.version)
	for link := range k.links {
		fmt.Fprintf(&b, "  interface {\n    linknumber: %d\n  }\n", link)
	}
	b.WriteString("  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  version: 2\n}\n")
	return b.String()
}

// algorithm is the QDevice's, which goes by whether the nodes are even.
func (k *conf) algorithm() string {
	if len(k.members)%2 == 0 {
		return "ffsplit"
	}
	return "lms"
}

// entry is the node in its own corosync.conf, with id 0 if it is in no cluster.
func (n *node) entry() confNode {
	if m := n.conf.member(n.name); m != nil {
		return *m
	}
	return confNode{name: n.name, votes: 1, addrs: []string{n.spec.Address}}
}

// peers are the nodes of the cluster as this node's corosync.conf lists them, by name,
// itself included.
func (n *node) peers() []*node {
	if n.conf == nil {
		return []*node{n}
	}
	list := make([]*node, 0, len(n.conf.members))
	for _, m := range n.conf.members {
		if o := n.c.node(m.name); o != nil {
			list = append(list, o)
		}
	}
	return list
}

// peer is the node of that name in this node's cluster; nil if there is none.
func (n *node) peer(name string) *node {
	if name == n.name || n.conf.member(name) != nil {
		return n.c.node(name)
	}
	return nil
}

// install makes a corosync.conf the cluster's: every node of it with quorum takes it over at
// once, any other when it has quorum again.
func (f *pmxcfs) install(c *Cluster, k *conf) {
	f.corosync = k
	for _, n := range c.nodes {
		if n.up && n.fs == f && k.member(n.name) != nil {
			n.conf = k
		}
	}
	c.membershipChanged()
}
