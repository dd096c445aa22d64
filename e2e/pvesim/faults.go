package pvesim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// faults is what goes wrong, and when.
type faults struct {
	links         linkFaults
	failedStorage map[string]map[string]bool // storage -> node
	noServer      map[string]map[string]bool // NFS server -> nodes without a way to it
	noExport      map[string]map[string]bool // server:export -> nodes it refuses
	migrations    map[string]int             // failures to come, by sid
	starts        map[string]int
	masked        map[string]bool   // "storage node": a folder of that name, nothing mounted
	exports       map[string]string // "storage node": what it mounts instead
	deadBMC       map[string]bool   // "node bmc's node"
	answers       []answerFault
}

func (f *faults) takeMigration(sid string) bool { return take(f.migrations, sid) }
func (f *faults) takeStart(sid string) bool     { return take(f.starts, sid) }

func take(m map[string]int, sid string) bool {
	if m[sid] == 0 {
		return false
	}
	if m[sid] > 0 {
		m[sid]--
	}
	return true
}

func put(m *map[string]int, sid string, n int) {
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[sid] = n
}

// FailMigration makes the next n migrations of a guest fail at the end of the transfer;
// -1 means all of them, 0 none any more.
func (c *Cluster) FailMigration(sid string, n int) {
	c.lock()
	defer c.unlock()
	put(&c.faults.migrations, sid, n)
}

// FailStart makes the next n starts of a guest fail; -1 means all, 0 none any more.
func (c *Cluster) FailStart(sid string, n int) {
	c.lock()
	defer c.unlock()
	put(&c.faults.starts, sid, n)
}

// PowerOff cuts a node's power. Its processes are gone at that instant; the others notice
// when corosync does.
func (c *Cluster) PowerOff(name string) {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	c.truth.note(n, nil, "POWER-OFF")
	n.power = false
	n.die("power cut")
}

// PowerOn gives a node power again; it is up after the boot time.
func (c *Cluster) PowerOn(name string) {
	c.lock()
	defer c.unlock()
	n := c.mustNode(name)
	if n.power {
		return
	}
	c.truth.note(n, nil, "POWER-ON")
	n.powerOn()
}

// reset is what the watchdog does: off and on again.
func (n *node) reset() {
	n.c.truth.note(n, nil, "RESET")
	n.die("watchdog reset")
	n.powerOn()
}

func (n *node) powerOn() {
	n.power = true
	boot := n.boot
	n.c.after(n.c.timing.Boot, func() {
		if n.power && n.boot == boot {
			n.comeUp()
		}
	})
}

// die ends everything that runs on the node.
func (n *node) die(why string) {
	if !n.up {
		n.boot++ // a boot under way does not finish
		return
	}
	n.up, n.stopping, n.died = false, "", n.c.now()
	n.boot++
	for _, p := range n.processes() {
		n.endProcess(p.ID, why)
	}
	for _, t := range n.tasks {
		if !t.ended {
			t.vanish()
		}
	}
	n.dogs = map[string]instant{}
	n.mounts = nil
	n.crm, n.lrm = nil, nil
	n.members, n.quorate, n.deviceVote = nil, false, false
	if n.conf != nil && n.fs == n.home {
		n.fs = n.home.clone() // what it has on its disk
	}
	for _, o := range n.c.nodes {
		for _, p := range o.processes() {
			if p.Incoming && o.procs[p.ID].source == n {
				o.endProcess(p.ID, "migration source is gone")
			}
		}
	}
	n.c.membershipChanged()
}

// comeUp is the end of booting: corosync joins, daemons start, and guests with onboot
// that HA does not manage are started.
func (n *node) comeUp() {
	n.up, n.booted = true, n.c.now()
	n.bootIntoCluster()
	n.c.truth.note(n, nil, "UP")
	n.adopt([]string{n.name})
	n.c.membershipChanged()
	n.startServices()
	n.after(n.c.timing.Membership+time.Second, n.startOnBoot)
}

func (n *node) startOnBoot() {
	if !n.quorate {
		n.after(5*time.Second, n.startOnBoot)
		return
	}
	for _, g := range n.fs.sortedGuests() {
		if g.node == n.name && g.conf["onboot"] == "1" && n.fs.resource(g.sid()) == nil && n.procs[g.id] == nil {
			n.startGuest(g, system, nil)
		}
	}
}

// Partition cuts the cluster network: each group sees only itself. Nodes that are named
// in no group form one more. The API and the storage stay reachable for the others.
func (c *Cluster) Partition(groups ...[]string) {
	c.lock()
	defer c.unlock()
	for _, n := range c.nodes {
		n.group = 0
		for k, g := range groups {
			if slices.Contains(g, n.name) {
				n.group = k + 1
			}
		}
	}
	c.membershipChanged()
}

// Heal ends a partition.
func (c *Cluster) Heal() {
	c.lock()
	defer c.unlock()
	for _, n := range c.nodes {
		n.group = 0
	}
	c.membershipChanged()
}

// HangNFS makes NFS mounts on the nodes, or on every node if none is named, hang: what
// touches them waits.
func (c *Cluster) HangNFS(names ...string) { c.setStuck(true, names) }

// HealNFS lets them answer again.
func (c *Cluster) HealNFS(names ...string) { c.setStuck(false, names) }

func (c *Cluster) setStuck(stuck bool, names []string) {
	c.lock()
	defer c.unlock()
	for _, n := range c.nodes {
		if len(names) == 0 || slices.Contains(names, n.name) {
			n.stuck = stuck
		}
	}
}

// FailStorage makes a storage unusable on the nodes, or on every node if none is named,
// until HealStorage.
func (c *Cluster) FailStorage(id string, names ...string) { c.setStorage(id, true, names) }

// HealStorage ends FailStorage.
func (c *Cluster) HealStorage(id string, names ...string) { c.setStorage(id, false, names) }

func (c *Cluster) setStorage(id string, failed bool, names []string) {
	c.lock()
	defer c.unlock()
	c.setOn(&c.faults.failedStorage, id, failed, names)
}

// answerFault is what happens to answers of the API.
type answerFault struct {
	path     string // empty: any; else a part of the request's path
	left     int    // how many requests it still concerns; -1: all
	mutating bool   // only POST, PUT and DELETE
	lose     bool   // do the deed, then lose the answer
	status   int    // answer this instead of doing anything
	reason   string
	delay    time.Duration // wall time before the request is looked at
}

// LoseAnswers lets the next n POST, PUT and DELETE requests whose path contains path (""
// for any) be done, and loses their answers: the caller sees a broken connection.
func (c *Cluster) LoseAnswers(n int, path string) {
	c.addAnswerFault(answerFault{left: n, path: path, mutating: true, lose: true})
}

// RefuseAnswers answers the next n requests whose path contains path with a status and
// reason and without doing anything: 595 "No route to host", 503, … -1 means all.
func (c *Cluster) RefuseAnswers(n int, path string, status int, reason string) {
	c.addAnswerFault(answerFault{left: n, path: path, status: status, reason: reason})
}

// DelayAnswers lets the next n requests whose path contains path wait for d of wall time
// before they are looked at. -1 means all.
func (c *Cluster) DelayAnswers(n int, path string, d time.Duration) {
	c.addAnswerFault(answerFault{left: n, path: path, delay: d})
}

// ClearAnswers ends LoseAnswers, RefuseAnswers and DelayAnswers.
func (c *Cluster) ClearAnswers() {
	c.lock()
	defer c.unlock()
	c.faults.answers = nil
}

func (c *Cluster) addAnswerFault(f answerFault) {
	c.lock()
	defer c.unlock()
	c.faults.answers = append(c.faults.answers, f)
}

// takeAnswerFault returns what is to go wrong with a request: the first fault that fits.
func (c *Cluster) takeAnswerFault(req *http.Request) answerFault {
	for k := range c.faults.answers {
		f := &c.faults.answers[k]
		if f.left == 0 || f.mutating && req.Method == http.MethodGet || !strings.Contains(req.URL.Path, f.path) {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return *f
	}
	return answerFault{}
}

// Crash ends a guest's process where it runs, as a bug in QEMU would.
func (c *Cluster) Crash(sid string) {
	c.lock()
	defer c.unlock()
	g := c.guest(sid)
	for _, n := range c.nodes {
		if g != nil && n.executing(g.id) {
			n.endProcess(g.id, "crash")
		}
	}
}
