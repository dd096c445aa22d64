// Package pvesim is Proxmox VE nodes and their clusters made of plain values: nodes, guests, storages,
// votes, tasks and the HA manager, reached through the REST API of each node. It behaves
// as recordings of real nodes show, warts included, so that what is tested against it
// meets the real answers: strings where numbers were expected, a 200 for a move that will
// never happen, a status that lags behind the truth.
//
// Its secret is how time passes. The cluster is passive: it has no timers and no
// goroutines (only an answer that is slow on real nodes too lets its caller wait).
// Whatever is to happen waits in a queue ordered by (time, sequence), and every call first
// catches up to time.Now(). The same calls at the same times therefore always lead to the
// same cluster, in a testing/synctest bubble as in real time.
//
// It imports the standard library and pkg/crm only: a simulator that shared types with what
// it tests would share its mistakes. The HA manager's model is the exception, because
// Proxmox's own regression suite judges it.
package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// Spec says what the cluster looks like when it begins. New fills in what is left out.
type Spec struct {
	// Name is the cluster's name in corosync.conf; "lab" if empty.
	Name string
	// Version is the nodes' pve-manager; PVEVersion if empty. A version 8 has groups where
	// a 9 has rules.
	Version string
	// Nodes are the machines: those that are the cluster, and those that are Alone.
	Nodes []NodeSpec
	// QDevice is the host of the cluster's QDevice, if it has one.
	QDevice  string
	Storages []StorageSpec
	Guests   []GuestSpec
	// Resources, Rules and Groups are the HA configuration at the start.
	Resources []ResourceSpec
	Rules     []RuleSpec
	Groups    []GroupSpec
	// Datacenter are lines of datacenter.cfg, e.g. "ha": "shutdown_policy=migrate".
	Datacenter map[string]string
	// Mappings are the nodes that have a mapped device or directory, by the mapping's ID.
	Mappings map[string][]string
	// Tokens are the API tokens that may log in.
	Tokens  []TokenSpec
	Options Options
}

// NodeSpec is a node.
type NodeSpec struct {
	Name string
	// Address is its address on the cluster network and the first corosync link's;
	// 10.99.7.(10+position) if empty. Links are those of further links.
	Address string
	Links   []string
	// Alone: it is in no cluster, as a freshly installed node is. The cluster of a Spec is
	// made of the others.
	Alone bool
	// Version is its own pve-manager, if it is another one than the Spec's.
	Version string
	// CPUs and Memory (bytes) are 4 and 16 GiB if 0.
	CPUs   int
	Memory int64
	// MemoryBase is what the host itself uses, in bytes; 1.5 GiB if 0.
	MemoryBase int64
	// Votes are its corosync votes; 1 if 0.
	Votes int
	// BMC is the address of its management controller; empty: it has none.
	BMC string
	// Off leaves the node without power at the start.
	Off bool
}

// Options are how fast and how long things take.
type Options struct {
	// Speed makes every model duration take 1/Speed of wall time; 1 if 0. Timestamps
	// shown outside are always wall time.
	Speed float64
	// Timing overrides durations; zero fields keep their default.
	Timing Timing
}

// Cluster is the model. Its methods may be called from several goroutines.
type Cluster struct {
	mu     sync.Mutex
	clock  clock
	spec   Spec
	nodes  []*node // by name
	faults faults
	shares shares
	truth  truth
	timing Timing
	seq    int // of anything that needs a unique, reproducible number
}

// node is a machine with its part of the cluster's services.
type node struct {
	c    *Cluster
	name string
	rank int // its place in the Spec, from 1
	spec NodeSpec

	up     bool    // the operating system runs
	power  bool    // it has power; power without up is booting
	boot   int     // counts boots: what was scheduled before a power cut must not happen after it
	booted instant // when it came up
	died   instant // when it last went down
	group  int     // partition: nodes talk to each other if equal

	// conf is its /etc/corosync/corosync.conf; nil if it is in no cluster.
	conf       *conf
	members    []string // who corosync on this node says is there, sorted
	quorate    bool
	deviceVote bool // the QDevice votes for this node's part
	deviceAway bool // it does not reach the QDevice's host
	// home is what the quorate part of its cluster has in /etc/pve, fs what this node has
	// there: the same as long as it has quorum, and then the copy it had when it lost it.
	home *pmxcfs
	fs   *pmxcfs
	// stopped: corosync and pmxcfs do not run, in the middle of a join. copied is a
	// corosync.conf that lies in /etc/corosync and that no corosync goes by yet, and joined
	// the home of that cluster: the node's next start is in it.
	stopped  bool
	copied   *conf
	joined   *pmxcfs
	unit     *command // the pvecm that runs, or ran last
	joinStep JoinStep
	holdJoin JoinStep
	// ca is the node whose authority signed its certificate, certificates how many it had before.
	ca           string
	certificates int
	apiBack      instant // its API restarts until then
	known        string  // root's known_hosts

	procs    map[int]*process // guest processes, by VMID
	nextPID  int
	tasks    []*task // newest last
	crm      *crm.CRM
	lrm      *lrm
	dogs     map[string]instant // armed watchdog clients and when each last fed the watchdog
	mounts   []*storage         // NFS storages as they were when mounted
	stuck    bool               // NFS hangs here
	stopping string             // "shutdown" or "reboot" while it is going down
}

// New makes a cluster. It panics if the spec contradicts itself: that is a mistake of the
// test or lab that wrote it.
func New(spec Spec) *Cluster {
	c := &Cluster{spec: spec, timing: spec.Options.Timing.withDefaults(), truth: newTruth()}
	if c.spec.Name == "" {
		c.spec.Name = "lab"
	}
	c.clock.begin(time.Now(), spec.Options.Speed)
	for k, ns := range spec.Nodes {
		c.nodes = append(c.nodes, c.newNode(k, ns))
	}
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	fs := c.newHome()
	for _, s := range spec.Storages {
		fs.addStorage(s)
	}
	maps.Copy(fs.datacenter, spec.Datacenter)
	maps.Copy(fs.mappings, spec.Mappings)
	c.form(fs)
	for _, g := range spec.Guests {
		c.addGuest(g)
	}
	for _, r := range spec.Resources {
		fs.addResource(r)
	}
	for _, r := range spec.Rules {
		fs.addRule(r)
	}
	for _, g := range spec.Groups {
		fs.addGroup(g)
	}
	c.updateMembership()
	for _, n := range c.nodes {
		if n.up {
			n.broadcast()
			n.startServices()
		}
	}
	return c
}

// newHome is an empty /etc/pve with the users and tokens of the Spec.
func (c *Cluster) newHome() *pmxcfs {
	fs := newPmxcfs()
	fs.access = newAccess(c.spec.Tokens)
	return fs
}

// form makes a cluster of the nodes that are not alone, with fs as its /etc/pve.
func (c *Cluster) form(fs *pmxcfs) {
	k := &conf{name: c.spec.Name, links: 1, qdevice: c.spec.QDevice}
	for _, n := range c.nodes {
		if n.spec.Alone {
			n.isolate()
			continue
		}
		n.home, n.fs, n.conf = fs, fs, k
		m := confNode{name: n.name, id: n.rank, votes: n.spec.Votes, addrs: append([]string{n.spec.Address}, n.spec.Links...)}
		k.members, k.links = append(k.members, m), max(k.links, len(m.addrs))
	}
	k.version = len(k.members)
	fs.corosync = k
	if len(k.members) > 0 {
		fs.ca = k.members[0].name
	}
	for _, n := range c.nodes {
		if n.home == fs {
			fs.trust(n)
			n.ca = fs.ca
		}
	}
}

// isolate makes the node what it is after its installation: in no cluster, with a local
// storage only and a certificate of its own authority.
func (n *node) isolate() {
	n.home = n.c.newHome()
	n.home.ca = n.name
	n.home.addStorage(StorageSpec{ID: "local", Type: "dir", Content: []string{"backup", "iso", "vztmpl"}})
	n.home.authorized = []string{n.rootKey()}
	n.fs, n.conf, n.ca = n.home, nil, n.name
}

func (c *Cluster) newNode(k int, s NodeSpec) *node {
	if s.Name == "" || c.node(s.Name) != nil {
		panic(fmt.Sprintf("pvesim: node %d has no name of its own: %q", k, s.Name))
	}
	if s.Address == "" {
		s.Address = fmt.Sprintf("10.99.7.%d", 11+k)
	}
	s.CPUs = cmp.Or(s.CPUs, 4)
	s.Memory = cmp.Or(s.Memory, 16<<30)
	s.MemoryBase = cmp.Or(s.MemoryBase, 3<<29)
	s.Votes = cmp.Or(s.Votes, 1)
	return &node{
		c: c, name: s.Name, rank: k + 1, spec: s,
		up: !s.Off, power: !s.Off, booted: -instant(time.Hour),
		procs: map[int]*process{}, nextPID: 1000, dogs: map[string]instant{},
	}
}

// startServices starts what runs on a node that is up: statistics, CRM and LRM.
func (n *node) startServices() {
	stagger := time.Duration(n.rank) * time.Second
	n.after(stagger/2, n.statsRound)
	n.startHA(stagger)
}

// lock takes the cluster and brings it up to the present.
func (c *Cluster) lock() {
	c.mu.Lock()
	c.clock.catchUp(time.Now())
}

func (c *Cluster) unlock() { c.mu.Unlock() }

func (c *Cluster) node(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// mustNode is for the accessors of tests and labs, where a wrong name is a typing error.
func (c *Cluster) mustNode(name string) *node {
	n := c.node(name)
	if n == nil {
		panic(fmt.Sprintf("pvesim: no node %q", name))
	}
	return n
}

// Nodes returns the names of the nodes, sorted.
func (c *Cluster) Nodes() []string {
	c.lock()
	defer c.unlock()
	names := make([]string, len(c.nodes))
	for k, n := range c.nodes {
		names[k] = n.name
	}
	return names
}

// Address returns a node's address on the cluster network.
func (c *Cluster) Address(name string) string {
	c.lock()
	defer c.unlock()
	return c.mustNode(name).spec.Address
}

// AddNode installs one more machine, in no cluster, while the others run.
func (c *Cluster) AddNode(s NodeSpec) {
	c.lock()
	defer c.unlock()
	n := c.newNode(len(c.nodes), s)
	n.booted = c.now()
	n.isolate()
	c.nodes = append(slices.Clone(c.nodes), n)
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	if n.up {
		n.adopt([]string{n.name})
		n.startServices()
	}
}

// Up reports whether a node's operating system runs.
func (c *Cluster) Up(name string) bool {
	c.lock()
	defer c.unlock()
	return c.mustNode(name).up
}

// Quorate reports whether a node is in the part of the cluster that has quorum.
func (c *Cluster) Quorate(name string) bool {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	return n.up && n.quorate
}

// number returns a number that is unique in this cluster and the same in every replay.
func (c *Cluster) number() int {
	c.seq++
	return c.seq
}
