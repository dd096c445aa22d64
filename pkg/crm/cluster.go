package crm

import (
	"cmp"
	"maps"
	"slices"
)

// Setting is what a Cluster begins with, beyond the World: how long things take, who has a
// vote, and whom to tell.
type Setting struct {
	World
	// LRM are the LRM status files, by node.
	LRM map[string]LRMStatus
	// Others are the running guests that HA does not manage.
	Others []OtherGuest
	// Load is what the nodes use now, for the dynamic scheduler. Without it the guests' own
	// figures are summed up.
	Load map[string]NodeUsage
	// Quorum is the number of votes needed; 0 means more than half. Where less would do
	// (corosync's two_node) only the side favoured goes on. QDevice adds one vote, for that
	// side: the largest, on a tie the one with the first node.
	Quorum  int
	QDevice bool
	// Detect is how long corosync needs to form a membership without a node that is gone.
	// Whatever needs the cluster filesystem waits that long.
	Detect int64
	// Start, Stop and Move tell how a job goes: how many seconds, and whether it ends well.
	Start func(sid, node string) (seconds int64, how Ending)
	Stop  func(sid string) (seconds int64)
	Move  func(sid, from, to string, online bool) (seconds int64, how Ending)
	// Observe is told what happens, in the order of the daemons' rounds; At may be some
	// seconds ahead for a job that ends within its round.
	Observe func(Event)
}

// Ending is how a job ends.
type Ending int

// The endings of a job: well, with an error, or never.
const (
	Succeeds Ending = iota
	Fails
	Hangs
)

// EventKind tells events apart.
type EventKind int

// What can happen in a Cluster.
const (
	QuorumLost   EventKind = iota // Node is outside the quorate side from now on
	NodeReset                     // Node's watchdog resets it
	MasterChange                  // Node's CRM is master now
	NodeChange                    // the manager's state of Node goes From To
	ServiceMoved                  // the manager's state of SID goes From To; Node is where it now belongs
	GuestStarted                  // SID runs on Node
	GuestStopped                  // SID was stopped on Node
	GuestFailed                   // SID could not be started or moved on Node
	GuestHangs                    // a job of SID on Node does not end
)

// Event is something that happened at second At.
type Event struct {
	At   int64
	Kind EventKind
	Node string
	SID  string
	From string
	To   string
}

// workLoop is how long an active LRM looks after its workers within a round, in seconds
// (pve-ha-manager 5.2.0).
const workLoop = 8

// lockTries is how long a CRM keeps trying for the manager lock in one round, in seconds:
// six attempts, one a second.
const lockTries = 6

// Cluster is a virtual cluster with the real stack's clock: every daemon has its own
// round, guests take time to start and move, locks are those of the real cluster
// filesystem, a watchdog resets a node that cannot feed it. (Sim keeps the clock of
// Proxmox's test suite instead, in which all daemons run one after the other every 20 s.)
type Cluster struct {
	set    Setting
	now    int64
	formed int64 // until then corosync forms a membership and rounds wait
	nodes  []*clusterNode
	byName map[string]*clusterNode
	due    map[int64][]int // daemons by the second of their next round: 2*node for the CRM, +1 for the LRM

	manager  ManagerStatus
	lrm      map[string]LRMStatus
	commands []string
	locks    map[string]clusterLock
	config   Config
	stale    bool // config is to be made anew
	usage    Usage
	free     map[string]int64 // from when on a guest on its way may be started, by SID
}

type clusterLock struct {
	holder string
	at     int64 // last refresh
	gone   bool  // an attempt found it expired and had it deleted
}

type clusterNode struct {
	name    string
	power   bool
	side    int // nodes of one side see each other
	quorate bool
	crm     *CRM
	lrm     *LRM
	begun   bool
	dogs    map[string]int64 // watchdog clients, when last fed
	running map[string]bool
	slots   []int64 // when each worker is free
	jobs    map[string]clusterJob
}

// clusterJob is a job at work.
type clusterJob struct {
	end int64
	how Ending
}

// NewCluster makes a virtual cluster. Daemons begin their rounds staggered within the
// first ten seconds; the master's, if one is recorded, at second five.
func NewCluster(set Setting) *Cluster {
	c := &Cluster{set: set, byName: map[string]*clusterNode{}, due: map[int64][]int{}, manager: set.Manager.Clone(), lrm: map[string]LRMStatus{},
		locks: map[string]clusterLock{}, stale: true, free: map[string]int64{}}
	maps.Copy(c.lrm, set.LRM)
	c.set.Services = maps.Clone(set.Services)
	c.set.World.Locks = maps.Clone(set.World.Locks)
	workers := cmp.Or(set.Options.MaxWorkers, DefaultMaxWorkers)
	for _, name := range slices.Sorted(maps.Keys(set.Nodes)) {
		h := set.Nodes[name]
		n := &clusterNode{name: name, power: h.Power && h.Network, dogs: map[string]int64{}, running: maps.Clone(set.World.Running[name]),
			slots: make([]int64, workers), jobs: map[string]clusterJob{}}
		if n.running == nil {
			n.running = map[string]bool{}
		}
		c.nodes = append(c.nodes, n)
		c.byName[name] = n
	}
	c.measure()
	for k, n := range c.nodes {
		n.quorate = c.isQuorate(n)
		if !n.power {
			continue
		}
		n.crm = NewCRM(&clusterEnv{c: c, n: n, daemon: "crm"})
		n.lrm = NewLRM(&clusterEnv{c: c, n: n, daemon: "lrm"}, &n.begun)
		phase := int64(k * MasterRound / len(c.nodes))
		c.plan(2*k+1, phase)
		if n.name == set.Manager.Master {
			phase = MasterRound / 2
			c.locks[managerLock] = clusterLock{holder: n.name}
		}
		c.plan(2*k, phase)
	}
	return c
}

const managerLock = "ha_manager_lock"

// Now is the cluster's clock in seconds.
func (c *Cluster) Now() int64 { return c.now }

// Status is the manager status as last written; the caller must not change it.
func (c *Cluster) Status() ManagerStatus { return c.manager }

// Up tells whether a node has power.
func (c *Cluster) Up(node string) bool { return c.node(node).power }

// Quorate tells whether a node is in the quorate side.
func (c *Cluster) Quorate(node string) bool { return c.node(node).quorate }

// Armed tells whether a node's watchdog is open, so that it resets the node if nobody feeds it.
func (c *Cluster) Armed(node string) bool { return len(c.node(node).dogs) > 0 }

// node is the node of that name; a powerless one if there is none.
func (c *Cluster) node(name string) *clusterNode {
	return cmp.Or(c.byName[name], &clusterNode{})
}

// Running is the node each service's guest runs on, by SID.
func (c *Cluster) Running() map[string]string {
	out := make(map[string]string)
	for _, n := range c.nodes {
		if n.power {
			for sid := range n.running {
				out[sid] = n.name
			}
		}
	}
	return out
}

// Busy tells whether a job is at work that will end.
func (c *Cluster) Busy() bool {
	for _, n := range c.nodes {
		for _, j := range n.jobs {
			if n.power && j.how != Hangs {
				return true
			}
		}
	}
	return false
}

// Stuck tells whether a service waits on a node for ever: its own job does not end, or no
// worker of the node's LRM is ever free again.
func (c *Cluster) Stuck(sid, node string) bool {
	n := c.node(node)
	if j, working := n.jobs[sid]; working {
		return n.power && j.how == Hangs
	}
	hanging := 0
	for _, j := range n.jobs {
		if j.how == Hangs {
			hanging++
		}
	}
	return n.power && hanging > 0 && hanging == len(n.slots)
}

func (c *Cluster) plan(daemon int, at int64) { c.due[at] = append(c.due[at], daemon) }

func (c *Cluster) tell(e Event) {
	if c.set.Observe != nil {
		c.set.Observe(e)
	}
}

// PowerOff cuts the power of nodes.
func (c *Cluster) PowerOff(nodes ...string) {
	for _, name := range nodes {
		c.kill(c.byName[name])
	}
	c.reform()
}

// Partition cuts the network so that only the nodes of one side see each other. Nodes that
// no side names are each alone.
func (c *Cluster) Partition(sides [][]string) {
	for k, n := range c.nodes {
		n.side = -1 - k
	}
	for k, side := range sides {
		for _, name := range side {
			c.byName[name].side = k
		}
	}
	c.reform()
}

func (c *Cluster) kill(n *clusterNode) {
	n.power = false
	n.crm, n.lrm = nil, nil
	clear(n.dogs)
	clear(n.running)
	clear(n.jobs)
}

// reform lets corosync form new memberships.
func (c *Cluster) reform() {
	c.formed = max(c.formed, c.now+c.set.Detect)
	for _, n := range c.nodes {
		was := n.quorate
		if n.quorate = c.isQuorate(n); was && !n.quorate && n.power {
			c.tell(Event{At: c.formed, Kind: QuorumLost, Node: n.name})
		}
	}
}

// isQuorate counts the votes on a node's side.
func (c *Cluster) isQuorate(n *clusterNode) bool {
	if !n.power {
		return false
	}
	votes, expected := map[int]int{}, len(c.nodes)
	favoured, most := 0, 0
	for _, o := range c.nodes {
		if o.power {
			votes[o.side]++
		}
	}
	for _, o := range c.nodes { // by name: on a tie the side of the first node
		if o.power && votes[o.side] > most {
			favoured, most = o.side, votes[o.side]
		}
	}
	own := votes[n.side]
	if c.set.QDevice {
		expected++
		if n.side == favoured {
			own++
		}
	}
	need := cmp.Or(c.set.Quorum, expected/2+1)
	if 2*need <= expected && n.side != favoured {
		return false // corosync would let both halves go on: one cluster has one side that does
	}
	return own >= need
}

// Step runs everything that is due in the present second, then lets one second pass.
func (c *Cluster) Step() {
	list := c.due[c.now]
	delete(c.due, c.now)
	slices.Sort(list)
	for _, d := range list {
		if c.now < c.formed {
			c.plan(d, c.formed)
			continue
		}
		c.round(d)
	}
	for _, n := range c.nodes {
		for _, fed := range n.dogs {
			if c.now-fed >= WatchdogTimeout+DeviceTimeout {
				c.tell(Event{At: c.now, Kind: NodeReset, Node: n.name})
				lost := n.quorate
				c.kill(n)
				if lost {
					c.reform()
				}
				break
			}
		}
	}
	c.now++
}

func (c *Cluster) round(d int) {
	n := c.nodes[d/2]
	switch {
	case d%2 == 0 && n.crm != nil:
		before := n.crm.State()
		sleep, exit := n.crm.Round()
		if n.crm.State() == crmMaster && before != crmMaster {
			c.tell(Event{At: c.now, Kind: MasterChange, Node: n.name})
		}
		if n.crm.State() == crmSlave {
			sleep = lockTries
		}
		if !exit {
			c.plan(d, c.now+int64(sleep))
		}
	case d%2 == 1 && n.lrm != nil:
		if sleep, exit := n.lrm.Round(); !exit {
			c.plan(d, c.now+int64(sleep))
		}
	}
}
