// Package pvesim is a Proxmox VE 9.2 cluster made of plain values: nodes, guests, storages,
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
	Name     string
	Nodes    []NodeSpec
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
	// Address is its address on the cluster network; 10.99.7.(10+position) if empty.
	Address string
	// CPUs and Memory (bytes) are 4 and 16 GiB if 0.
	CPUs   int
	Memory int64
	// MemoryBase is what the host itself uses, in bytes; 1.5 GiB if 0.
	MemoryBase int64
	// Votes are its corosync votes; 1 if 0.
	Votes int
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
	mu    sync.Mutex
	clock clock
	spec  Spec
	nodes []*node // by name
	// fs is what the quorate part of the cluster has in /etc/pve. A node without quorum
	// keeps the copy it had when it lost it.
	fs     *pmxcfs
	access *access
	faults faults
	truth  truth
	timing Timing
	seq    int // of anything that needs a unique, reproducible number
}

// node is a machine with its part of the cluster's services.
type node struct {
	c    *Cluster
	name string
	id   int // corosync's node id, from 1
	spec NodeSpec

	up     bool    // the operating system runs
	power  bool    // it has power; power without up is booting
	boot   int     // counts boots: what was scheduled before a power cut must not happen after it
	booted instant // when it came up
	died   instant // when it last went down
	group  int     // partition: nodes talk to each other if equal

	members []string // who corosync on this node says is there, sorted
	quorate bool
	fs      *pmxcfs // this node's view of /etc/pve

	procs    map[int]*process // guest processes, by VMID
	nextPID  int
	tasks    []*task // newest last
	crm      *crm.CRM
	lrm      *lrm
	dogs     map[string]instant // armed watchdog clients and when each last fed the watchdog
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
	c.fs = newPmxcfs()
	c.access = newAccess(spec.Tokens)
	for k, ns := range spec.Nodes {
		c.nodes = append(c.nodes, c.newNode(k, ns))
	}
	slices.SortFunc(c.nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	for _, n := range c.nodes {
		n.fs = c.fs
	}
	for _, s := range spec.Storages {
		c.fs.addStorage(s)
	}
	maps.Copy(c.fs.datacenter, spec.Datacenter)
	maps.Copy(c.fs.mappings, spec.Mappings)
	for _, g := range spec.Guests {
		c.addGuest(g)
	}
	for _, r := range spec.Resources {
		c.fs.addResource(r)
	}
	for _, r := range spec.Rules {
		c.fs.addRule(r)
	}
	for _, g := range spec.Groups {
		c.fs.addGroup(g)
	}
	c.firstMembership()
	for _, n := range c.nodes {
		if n.up {
			n.broadcast()
			n.startServices()
		}
	}
	return c
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
		c: c, name: s.Name, id: k + 1, spec: s,
		up: !s.Off, power: !s.Off, booted: -instant(time.Hour),
		procs: map[int]*process{}, nextPID: 1000, dogs: map[string]instant{},
	}
}

// startServices starts what runs on a node that is up: statistics, CRM and LRM.
func (n *node) startServices() {
	stagger := time.Duration(n.id) * time.Second
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
	names := make([]string, len(c.nodes))
	for k, n := range c.nodes {
		names[k] = n.name
	}
	return names
}

// Address returns a node's address on the cluster network.
func (c *Cluster) Address(name string) string { return c.mustNode(name).spec.Address }

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
