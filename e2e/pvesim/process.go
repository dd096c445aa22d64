package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// process is a guest's process on a node: the truth of where it runs.
type process struct {
	g       *guestConf
	pid     int
	started instant
	// incoming: a kvm process that waits for a migration's state from the node source.
	incoming bool
	source   *node
	// arrived: it was started by a migration, whether it still waits or not; its command
	// line says -incoming to its end.
	arrived bool
	// finished: it has handed its state over and will exit.
	finished bool
}

// Process is a guest's process as it really runs.
type Process struct {
	// SID is vm:100 or ct:101.
	SID  string
	ID   int
	Type string // qemu or lxc
	PID  int
	// Started is when the process began, in wall time.
	Started time.Time
	// Incoming: it waits for the state of a live migration and executes nothing yet.
	Incoming bool
	// Arrived: a migration started it. Its command line says so even when it has long run.
	Arrived bool
	// Finished: it has handed its state over to another node and is about to exit.
	Finished bool
}

// Running returns the guest processes on a node, by VMID.
func (c *Cluster) Running(name string) []Process {
	c.lock()
	defer c.unlock()
	return c.mustNode(name).processes()
}

func (n *node) processes() []Process {
	list := make([]Process, 0, len(n.procs))
	for _, id := range slices.Sorted(maps.Keys(n.procs)) {
		p := n.procs[id]
		list = append(list, Process{
			SID: p.g.sid(), ID: id, Type: string(p.g.kind), PID: p.pid, Started: n.c.clock.wall(p.started),
			Incoming: p.incoming, Arrived: p.arrived, Finished: p.finished,
		})
	}
	return list
}

// executing reports whether the guest's process runs here and is not merely waiting.
func (n *node) executing(id int) bool {
	p := n.procs[id]
	return p != nil && !p.incoming && !p.finished
}

// startProcess starts a guest here, or with incoming a process that waits for its state.
func (n *node) startProcess(g *guestConf, incoming bool) *process {
	n.nextPID += 7
	p := &process{g: g, pid: n.nextPID, started: n.c.now(), incoming: incoming, arrived: incoming}
	n.procs[g.id] = p
	if incoming {
		n.c.truth.note(n, g, "INCOMING")
	} else {
		n.c.truth.note(n, g, "START")
		n.c.truth.running(n, g)
	}
	return p
}

// endProcess ends a guest's process here, if there is one.
func (n *node) endProcess(id int, why string) {
	p := n.procs[id]
	if p == nil {
		return
	}
	delete(n.procs, id)
	n.c.truth.note(n, p.g, "EXIT "+why)
	n.c.truth.ended(n, p.g)
}

// handOver moves a guest's execution from its process here to the one that waits on to.
func (n *node) handOver(g *guestConf, to *node) {
	from, in := n.procs[g.id], to.procs[g.id]
	from.finished = true
	n.c.truth.note(n, g, "MIGRATE-COMPLETED")
	n.c.truth.ended(n, g)
	in.incoming, in.source = false, nil
	n.c.truth.note(to, g, "STATE-RECEIVED")
	n.c.truth.running(to, g)
}

// Event is something that really happened, whatever the API says.
type Event struct {
	At   time.Time
	Node string
	SID  string // empty if it is about the node
	// What is START, INCOMING, STATE-RECEIVED, MIGRATE-COMPLETED or EXIT (with a reason)
	// of a guest, as in the guests' own log of the recordings; POWER-OFF, POWER-ON, UP,
	// DOWN and RESET of a node.
	What string
}

func (e Event) String() string {
	if e.SID == "" {
		return fmt.Sprintf("%s %s", e.Node, e.What)
	}
	return fmt.Sprintf("%s %s %s", e.Node, e.SID, e.What)
}

// DoubleRun is a guest that ran on two nodes at once: with shared storage, a destroyed disk.
type DoubleRun struct {
	At    time.Time
	SID   string
	Nodes []string
	// Unarmed are those of the nodes whose LRM had not armed its watchdog. That is a gap of
	// the HA manager itself: a node that returns after having been fenced cannot take its
	// own lock for up to 120 s, but guests may already be moved to it; if it is cut off
	// then, nothing resets it.
	Unarmed []string
}

// truth is the log of what really happened.
type truth struct {
	events  []Event
	where   map[int][]string // nodes on which a guest executes, by the guest's number
	doubles []DoubleRun
}

func newTruth() truth { return truth{where: map[int][]string{}} }

func (t *truth) note(n *node, g *guestConf, what string) {
	e := Event{At: n.c.clock.wall(n.c.now()), Node: n.name, What: what}
	if g != nil {
		e.SID = g.sid()
	}
	t.events = append(t.events, e)
}

func (t *truth) running(n *node, g *guestConf) {
	t.where[g.created] = append(t.where[g.created], n.name)
	if nodes := t.where[g.created]; len(nodes) > 1 {
		d := DoubleRun{At: n.c.clock.wall(n.c.now()), SID: g.sid(), Nodes: slices.Clone(nodes)}
		for _, name := range nodes {
			if _, armed := n.c.node(name).dogs["lrm"]; !armed && name != n.name {
				d.Unarmed = append(d.Unarmed, name)
			}
		}
		t.doubles = append(t.doubles, d)
	}
}

func (t *truth) ended(n *node, g *guestConf) {
	t.where[g.created] = slices.DeleteFunc(t.where[g.created], func(name string) bool { return name == n.name })
}

// Events returns everything that really happened, in order.
func (c *Cluster) Events() []Event {
	c.lock()
	defer c.unlock()
	return slices.Clone(c.truth.events)
}

// DoubleRun returns every time a guest began to run while it still ran elsewhere.
func (c *Cluster) DoubleRun() []DoubleRun {
	c.lock()
	defer c.unlock()
	return slices.Clone(c.truth.doubles)
}

// Guest is a guest as it really is.
type Guest struct {
	SID, Name, Type string
	ID              int
	// Config is the node in whose directory the configuration lies, Running the node on
	// which the guest executes; empty if on none.
	Config, Running string
	// Lines is the configuration.
	Lines map[string]string
}

// Guests returns all guests, by VMID.
func (c *Cluster) Guests() []Guest {
	c.lock()
	defer c.unlock()
	var list []Guest
	for _, fs := range c.homes() {
		for _, g := range fs.sortedGuests() {
			list = append(list, c.guestTruth(g))
		}
	}
	return list
}

// homes are the /etc/pve of the clusters and of the nodes that are in none, each once.
func (c *Cluster) homes() []*pmxcfs {
	var list []*pmxcfs
	for _, n := range c.nodes {
		if !slices.Contains(list, n.home) {
			list = append(list, n.home)
		}
	}
	return list
}

// guest finds a guest by its SID, in whatever cluster it is.
func (c *Cluster) guest(sid string) *guestConf {
	for _, fs := range c.homes() {
		if g := fs.guestBySID(sid); g != nil {
			return g
		}
	}
	return nil
}

// Guest returns a guest by its SID.
func (c *Cluster) Guest(sid string) (Guest, bool) {
	c.lock()
	defer c.unlock()
	g := c.guest(sid)
	if g == nil {
		return Guest{}, false
	}
	return c.guestTruth(g), true
}

func (c *Cluster) guestTruth(g *guestConf) Guest {
	v := Guest{SID: g.sid(), Name: g.name(), Type: string(g.kind), ID: g.id, Config: g.node, Lines: maps.Clone(g.conf)}
	if where := c.truth.where[g.created]; len(where) > 0 {
		v.Running = where[len(where)-1]
	}
	return v
}

// guestStat is what pvestatd broadcasts of a guest.
type guestStat struct {
	at      instant
	node    string
	running bool
	since   instant
	mem     int64
}

// nodeStat is what pvestatd broadcasts of its node.
type nodeStat struct {
	at       instant
	mem      int64
	cpu      float64
	storages []string // those that are active there
}

// statsRound is pvestatd, which also mounts what is configured: what /cluster/resources says
// of guests and nodes is as old as its last broadcast, up to 10 s.
func (n *node) statsRound() {
	n.after(10*time.Second, n.statsRound)
	n.broadcast()
}

func (n *node) broadcast() {
	n.activateAll()
	s := n.stat()
	for _, st := range n.fs.storages {
		if n.active(st) {
			s.storages = append(s.storages, st.id)
		}
	}
	n.fs.nodeStats[n.name] = s
	for id, g := range n.fs.guests {
		if g.node == n.name {
			n.fs.guestStats[id] = n.guestStat(g)
		}
	}
}

func (n *node) guestStat(g *guestConf) guestStat {
	s := guestStat{at: n.c.now(), node: n.name}
	if p := n.procs[g.id]; p != nil && !p.incoming {
		s.running, s.since, s.mem = true, p.started, g.memory()/2
	}
	return s
}

// guestLoad is how much of a processor a guest uses.
const guestLoad = 0.1

// stat is the node's load now: what the guests have, as far as guests use half of their
// memory, and a processor's tenth each.
func (n *node) stat() nodeStat {
	s := nodeStat{at: n.c.now(), mem: n.spec.MemoryBase}
	busy := 0.05
	for _, p := range n.procs {
		s.mem += p.g.memory() / 2
		busy += guestLoad
	}
	s.mem = min(s.mem, n.spec.Memory)
	s.cpu = min(busy/float64(n.spec.CPUs), 1)
	return s
}

// compareSID orders SIDs as the HA manager does: by their bytes.
func compareSID(a, b string) int { return cmp.Compare(a, b) }
