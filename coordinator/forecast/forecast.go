// Package forecast tells the future: what Proxmox's HA manager will do after a fault, and
// whether a cluster still has room for everybody when nodes are lost. Its secret is how a
// snapshot becomes a virtual cluster (pkg/crm) and how what happens there is told.
//
// The package is pure. A forecast is made of a snapshot and of durations that are
// assumptions; it lists them.
package forecast

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Fault is what goes wrong, all at one instant.
type Fault struct {
	// Nodes lose power.
	Nodes []ha.NodeName `json:"nodes,omitempty"`
	// NFS: the NFS storages stop answering, on every node. NFSNodes: on these only.
	NFS      bool          `json:"nfs,omitempty"`
	NFSNodes []ha.NodeName `json:"nfs_nodes,omitempty"`
	// Links are the corosync links that are cut everywhere, by number.
	Links []int `json:"links,omitempty"`
	// Partition are the sides a cut of the network leaves; a node in none is alone.
	Partition [][]ha.NodeName `json:"partition,omitempty"`
}

// Check refuses a fault that names what the snapshot does not know: Invalid.
func (f Fault) Check(s ha.Snapshot) error {
	seen := make(map[ha.NodeName]bool)
	for _, n := range slices.Concat(append([][]ha.NodeName{f.Nodes, f.NFSNodes}, f.Partition...)...) {
		if !slices.ContainsFunc(s.Inventory.Nodes, func(o ha.Node) bool { return o.Name == n }) {
			return ha.Errorf(ha.Invalid, "there is no node %s in this cluster", n)
		}
	}
	for _, side := range f.Partition {
		for _, n := range side {
			if seen[n] {
				return ha.Errorf(ha.Invalid, "node %s is on two sides of the partition", n)
			}
			seen[n] = true
		}
	}
	for _, l := range f.Links {
		if l < 0 || l > 7 {
			return ha.Errorf(ha.Invalid, "corosync has links 0 to 7, not %d", l)
		}
	}
	if len(f.Nodes)+len(f.NFSNodes)+len(f.Links)+len(f.Partition) == 0 && !f.NFS {
		return ha.Errorf(ha.Invalid, "nothing fails in this fault")
	}
	return nil
}

// Fate is what becomes of a guest that a fault touches.
type Fate string

// The fates.
const (
	Restarted Fate = "restarted"  // it runs again, on To
	Moved     Fate = "moved"      // it was moved without having been lost
	StaysDown Fate = "stays_down" // nobody starts it until its node is back
	NoPlace   Fate = "no_place"   // the manager finds no node: it waits in recovery
	InError   Fate = "error"      // starts failed until the manager gave it up
	Hanging   Fate = "hangs"      // it runs, or is being started, and waits for its disk
	CutOff    Fate = "cut_off"    // it runs on, on a node outside the quorate side
	Unsettled Fate = "unsettled"  // not decided when the forecast ends
)

// Prediction is what will happen. Durations count from the fault.
type Prediction struct {
	Fault Fault `json:"fault"`
	// Nodes are the outcomes of all nodes, by name.
	Nodes []NodeOutcome `json:"nodes"`
	// Targets are the guests the fault touches, by SID; Untouched counts the other running ones.
	Targets   []TargetOutcome `json:"targets"`
	Untouched int             `json:"untouched"`
	// Overcommits are nodes given more memory than they have.
	Overcommits []Overcommit `json:"overcommits,omitempty"`
	TimeLine    []Entry      `json:"time_line"`
	// Settled: nothing more was going to happen when the forecast ended, After the fault.
	Settled bool          `json:"settled"`
	After   time.Duration `json:"after"`
	// Within is how exact times are: the daemons' rounds run at instants nobody knows.
	Within      time.Duration `json:"within"`
	Assumptions []string      `json:"assumptions"`
}

// NodeOutcome is what becomes of a node.
type NodeOutcome struct {
	Node ha.NodeName `json:"node"`
	// Up: it has power when all is over, and its watchdog has not reset it.
	Up bool `json:"up"`
	// Quorate: it is in the quorate side when all is over.
	Quorate bool `json:"quorate"`
	// LosesQuorum: it was quorate before the fault and still had power, but lost the others.
	LosesQuorum   bool          `json:"loses_quorum,omitempty"`
	LosesQuorumAt time.Duration `json:"loses_quorum_at,omitempty"`
	// SelfFences: its own watchdog resets it, between Earliest and Latest: up to 10 s pass
	// between the last feeding and the fault, and up to 10 s until the device resets.
	SelfFences         bool          `json:"self_fences,omitempty"`
	SelfFencesEarliest time.Duration `json:"self_fences_earliest,omitempty"`
	SelfFencesLatest   time.Duration `json:"self_fences_latest,omitempty"`
	// FencedAt is when the manager takes its agent lock; 0 if it does not.
	FencedAt time.Duration `json:"fenced_at,omitempty"`
}

// TargetOutcome is what becomes of a guest.
type TargetOutcome struct {
	SID ha.SID `json:"sid"`
	// Name is the target's or the guest's.
	Name    string      `json:"name"`
	Managed bool        `json:"managed"` // by the HA manager
	From    ha.NodeName `json:"from"`
	To      ha.NodeName `json:"to,omitempty"`
	Fate    Fate        `json:"fate"`
	// DownAt is when it stops running, UpAt when it runs again; 0 if it does not.
	DownAt time.Duration `json:"down_at"`
	UpAt   time.Duration `json:"up_at,omitempty"`
	// RTO is the time from the fault until it runs again: UpAt. Its own boot comes on top.
	RTO time.Duration `json:"rto,omitempty"`
	Why string        `json:"why,omitempty"`
}

// Overcommit is a node that the manager gives guests it has no memory for. Proxmox never
// refuses a start for lack of memory: the guests run until the kernel kills one.
type Overcommit struct {
	Node ha.NodeName `json:"node"`
	// Assigned is the memory of the guests that run there, Memory what the node has,
	// Reserve what it needs for itself, Over what is missing; bytes.
	Assigned int64 `json:"assigned"`
	Memory   int64 `json:"memory"`
	Reserve  int64 `json:"reserve"`
	Over     int64 `json:"over"`
	// Guests are those the fault brought there.
	Guests []ha.SID `json:"guests"`
}

// Entry is a line of the time line.
type Entry struct {
	At   time.Duration `json:"at"`
	Text string        `json:"text"`
}

// Timing of the virtual cluster, in seconds.
const (
	// warmUp lets the daemons take their locks and settle before the fault: two rounds of
	// the master. The fault then comes half a round after the master's.
	warmUp = 2 * crm.MasterRound
	// detect is corosync's: a node is out of the membership 8 s after its power is cut
	// (recordings of pve-manager 9.2.11, both series).
	detect = 8
	// longest ends a forecast that does not settle.
	longest = 900
	// exactness: the decision comes from the master's round and the deed from an LRM's.
	exactness = 2 * crm.MasterRound
	// A guest's start, in seconds until its process runs.
	startSeconds = 2
	// stopSeconds is a clean shutdown; the HA manager waits up to 60 s for one.
	stopSeconds = 10
	// A move: what it takes beside the memory, and how fast memory goes.
	moveSeconds        = 5
	moveBytesPerSecond = 500 << 20
)

// Forecast tells what Proxmox does after a fault. Names the snapshot does not know are
// passed over: ask Fault.Check first.
func Forecast(s ha.Snapshot, what Fault) Prediction {
	w := newWorld(s, what)
	var log []crm.Event
	set := w.setting()
	set.Observe = func(e crm.Event) { log = append(log, e) }
	c := crm.NewCluster(set)
	for c.Now() < warmUp {
		c.Step()
	}
	log = nil
	before := w.runsNow(c)
	armed := w.armed(c)
	w.strike(c)
	for c.Now() < warmUp+longest {
		c.Step()
		if w.settled(c) {
			break
		}
	}
	slices.SortStableFunc(log, func(a, b crm.Event) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(rank(a), rank(b)))
	})
	t := &teller{w: w, c: c, log: log, before: before, armed: armed}
	p := Prediction{
		Fault:   what,
		Nodes:   t.nodes(),
		Settled: w.settled(c), After: since(c.Now()), Within: exactness * time.Second,
		Assumptions: w.assumptions(),
	}
	p.Targets, p.Untouched = t.targets()
	p.Overcommits = t.overcommits(p.Targets)
	p.TimeLine = t.timeLine()
	return p
}

// rank puts a new master before what it does in its first round.
func rank(e crm.Event) int {
	if e.Kind == crm.MasterChange {
		return 0
	}
	return 1
}

// since turns the virtual cluster's clock into the time since the fault.
func since(at int64) time.Duration { return time.Duration(max(0, at-warmUp)) * time.Second }

// strike applies the fault to the virtual cluster.
func (w *world) strike(c *crm.Cluster) {
	var dead []string
	for _, n := range w.fault.Nodes {
		if _, known := w.node[n]; known {
			dead = append(dead, string(n))
		}
	}
	if sides := w.sides(); len(sides) > 0 {
		c.Partition(sides)
	}
	if len(dead) > 0 {
		c.PowerOff(dead...)
	}
	w.struck = true
}

// sides are the groups of nodes that still see each other; nil if the network is whole.
func (w *world) sides() [][]string {
	var out [][]string
	for _, side := range w.fault.Partition {
		var names []string
		for _, n := range side {
			if _, known := w.node[n]; known {
				names = append(names, string(n))
			}
		}
		out = append(out, names)
	}
	if len(w.fault.Links) > 0 {
		out = meet(out, w.linked())
	}
	return out
}

// meet splits the sides of a by those of b; no sides at all means one.
func meet(a, b [][]string) [][]string {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	var out [][]string
	for _, x := range a {
		for _, y := range b {
			var both []string
			for _, n := range x {
				if slices.Contains(y, n) {
					both = append(both, n)
				}
			}
			if len(both) > 0 {
				out = append(out, both)
			}
		}
	}
	return out
}

// linked are the groups of nodes that corosync still connects without the links that are
// cut, as the agents see the links now; nil if nothing changes.
func (w *world) linked() [][]string {
	group := make(map[ha.NodeName]ha.NodeName)
	var root func(n ha.NodeName) ha.NodeName
	root = func(n ha.NodeName) ha.NodeName {
		if g, ok := group[n]; ok && g != n {
			return root(g)
		}
		return n
	}
	for _, n := range w.s.Inventory.Nodes {
		group[n.Name] = n.Name
	}
	for _, r := range w.s.Reports {
		for _, l := range r.Corosync.Links {
			peer := l.Peer
			if peer == "" {
				peer = w.byID[l.PeerID]
			}
			if _, known := group[peer]; !known || !l.Connected || slices.Contains(w.fault.Links, l.Number) {
				continue
			}
			if a, b := root(r.Node), root(peer); a != b {
				group[max(a, b)] = min(a, b)
			}
		}
	}
	sides := make(map[ha.NodeName][]string)
	for _, n := range w.s.Inventory.Nodes {
		sides[root(n.Name)] = append(sides[root(n.Name)], string(n.Name))
	}
	if len(sides) < 2 {
		return nil
	}
	var out [][]string
	for _, k := range slices.Sorted(maps.Keys(sides)) {
		out = append(out, sides[k])
	}
	return out
}

// settled tells whether nothing more is going to happen.
func (w *world) settled(c *crm.Cluster) bool {
	if c.Now() < warmUp+detect+2*crm.MasterRound || c.Busy() {
		return false
	}
	quorate := ""
	for _, n := range w.s.Inventory.Nodes {
		name := string(n.Name)
		switch {
		case !c.Up(name):
		case c.Quorate(name):
			quorate = name
		case c.Armed(name):
			return false
		}
	}
	if quorate == "" || len(w.services) == 0 {
		return true
	}
	st := c.Status()
	if !c.Up(st.Master) || !c.Quorate(st.Master) {
		return false
	}
	for sid, svc := range st.Services {
		if !w.atRest(c, sid, svc, st) {
			return false
		}
	}
	return true
}

// atRest tells whether a service's state is one it stays in.
func (w *world) atRest(c *crm.Cluster, sid string, svc crm.ServiceStatus, st crm.ManagerStatus) bool {
	switch svc.State {
	case crm.Stopped, crm.Freeze, crm.ErrorState:
		return st.Nodes[svc.Node] != crm.NodeFence
	case crm.Recovery:
		return true
	case crm.Started:
		if st.Disarm != nil || svc.Running && c.Up(svc.Node) && c.Quorate(svc.Node) {
			return true
		}
	}
	return c.Stuck(sid, svc.Node)
}
