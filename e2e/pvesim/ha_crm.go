package pvesim

import (
	"slices"
	"strings"
)

// crm is pve-ha-crm of a node. One of them holds the manager lock and is master.
type crm struct {
	n     *node
	state string // wait_for_quorum, slave, master, lost_manager_lock, stopped
	m     *manager
	idle  int
}

func newCRM(n *node) *crm { return &crm{n: n, state: "wait_for_quorum"} }

// round is one iteration: decide what to be, and do it.
func (c *crm) round() {
	if c.state == "stopped" { // the node is going down
		return
	}
	c.transition()
	next := crmWait
	switch c.state {
	case "master":
		next = crmRound
		c.m.pass()
	case "lost_manager_lock":
		c.n.closeWatchdog("crm")
		c.state, c.m = "wait_for_quorum", nil
	}
	c.n.after(next, c.round)
}

func (c *crm) transition() {
	switch c.state {
	case "wait_for_quorum", "slave":
		switch {
		case !c.mayBeActive():
			c.state = "wait_for_quorum"
		case c.lock():
			c.become()
		default:
			c.state = "slave"
		}
	case "master":
		if !c.lock() {
			c.state = "lost_manager_lock"
			return
		}
		if c.idleAllowed() {
			if c.idle++; c.idle > crmIdleRounds {
				c.n.releaseLock(managerLock)
				c.n.closeWatchdog("crm")
				c.state, c.m = "wait_for_quorum", nil
			}
			return
		}
		c.idle = 0
	}
}

// lock takes or refreshes the manager lock and feeds the watchdog. The master of a
// disarmed stack holds the lock without a watchdog.
func (c *crm) lock() bool {
	if !c.n.takeLock(managerLock) {
		return false
	}
	if ms := c.n.fs.manager; ms != nil && ms.disarm != nil && ms.disarm.state == "disarmed" {
		c.n.closeWatchdog("crm")
		return true
	}
	c.n.feed("crm")
	return true
}

func (c *crm) become() {
	c.state, c.idle = "master", 0
	ms := newManagerStatus()
	if c.n.fs.manager != nil {
		ms = c.n.fs.manager.clone()
	}
	ms.master = c.n.name
	c.m = &manager{n: c.n, ms: ms, lastOnline: map[string]instant{}}
}

// mayBeActive: there is something to manage, and this node may be the one to do it.
func (c *crm) mayBeActive() bool {
	if !c.n.quorate {
		return false
	}
	fs := c.n.fs
	if ms := fs.manager; ms != nil {
		for _, sid := range ms.servicesOn(c.n.name) {
			if ms.services[sid].state == "fence" {
				return false
			}
		}
	}
	if len(fs.resources) > 0 {
		return true
	}
	ms := fs.manager
	if ms != nil && ms.master != "" && ms.master != c.n.name && ms.nodes[ms.master] == "online" {
		return false
	}
	return len(fs.commands) > 0 || ms != nil && (len(ms.services) > 0 || ms.disarm != nil || ms.staleMaintenance())
}

// staleMaintenance: a node is in maintenance although nobody asks for it.
func (m *managerStatus) staleMaintenance() bool {
	for n, state := range m.nodes {
		if state == "maintenance" && !m.maintenanceRequested(n) {
			return true
		}
	}
	return false
}

func (c *crm) idleAllowed() bool {
	return c.n.quorate && len(c.n.fs.resources) == 0 && len(c.m.ms.services) == 0 && c.m.ms.disarm == nil
}

// manager is the master's mind. Only ms is kept when the master changes.
type manager struct {
	n          *node
	ms         *managerStatus
	lastOnline map[string]instant
	results    map[string]result
	modes      map[string]string
	rules      compiledRules
	usage      map[string]int
	changed    bool
	tried      map[string]bool // nodes whose lock was tried in this pass
	// broken: the pass died of an exception. That happens in every pass from the moment on
	// in which a node died after a guest of its had moved away but before the manager had
	// seen it: recovery does not find the configuration to move. The status file is then
	// never written again, and services sorted after that one are never looked at.
	broken bool
}

// pass is one manage pass.
func (m *manager) pass() {
	m.tried, m.broken = map[string]bool{}, false
	m.readLRMs()
	m.updateNodes()
	if s := m.ms.nodes[m.n.name]; s != "online" && s != "maintenance" {
		return
	}
	if m.ms.disarm == nil {
		m.syncServices()
	}
	m.buildUsage()
	m.rules = m.compileRules()
	m.runCommands()
	if m.ms.disarm != nil && m.disarmPass() {
		m.write()
		return
	}
	m.sweep(nil)
	m.write()
}

// sweep handles every service until nothing changes any more; only limits it to some
// states.
func (m *manager) sweep(only []string) {
	sids := m.ms.sids()
	for {
		m.changed = false
		for _, sid := range sids {
			sd := m.ms.services[sid]
			if only != nil && !slices.Contains(only, sd.state) {
				continue
			}
			if m.handle(sid, sd); m.broken {
				return
			}
			if m.modes[sd.node] == "restart" && slices.Contains([]string{"started", "stopped", "request_stop"}, sd.state) && only == nil {
				m.change(sid, sd, "freeze")
			}
		}
		m.fenceSweep(sids)
		if !m.changed {
			return
		}
	}
}

func (m *manager) write() {
	if m.broken {
		return
	}
	m.ms.at = m.n.c.now()
	m.n.fs.manager = m.ms.clone()
}

func (m *manager) readLRMs() {
	m.results, m.modes = map[string]result{}, map[string]string{}
	for _, n := range m.n.c.nodes {
		st, ok := m.n.fs.lrm[n.name]
		if !ok {
			m.modes[n.name] = "unknown"
			continue
		}
		m.modes[n.name] = st.mode
		for uid, r := range st.results {
			m.results[uid] = r
		}
	}
}

func (m *manager) updateNodes() {
	now := m.n.c.now()
	for _, n := range m.n.c.nodes {
		state, known := m.ms.nodes[n.name]
		if n != m.n && !m.n.sees(n.name) {
			switch {
			case !known:
			case state == "online", state == "maintenance" && m.modes[n.name] != "maintenance":
				m.ms.nodes[n.name] = "unknown"
			}
			continue
		}
		m.lastOnline[n.name] = now
		switch {
		case !known, state == "unknown", state == "gone":
			m.ms.nodes[n.name] = "online"
		case state == "online" && m.modes[n.name] == "maintenance":
			m.ms.nodes[n.name] = "maintenance"
		case state == "maintenance" && m.modes[n.name] != "maintenance":
			m.ms.nodes[n.name] = "online"
		}
	}
}

// offline reports whether a node has been away for long enough to be fenced. A new master
// begins to count anew.
func (m *manager) offline(node string) bool {
	if m.ms.nodes[node] == "online" {
		return false
	}
	last, ok := m.lastOnline[node]
	if !ok {
		m.lastOnline[node] = m.n.c.now()
		return false
	}
	return m.n.c.now().sub(last) >= fenceDelay
}

// syncServices takes in what was configured and drops what was removed.
func (m *manager) syncServices() {
	fs := m.n.fs
	for _, r := range fs.resources {
		g := fs.guestBySID(r.sid)
		if m.ms.services[r.sid] != nil || r.request() == "ignored" || g == nil {
			continue
		}
		state := "request_stop"
		if r.request() == "started" {
			state = "request_start"
		}
		m.ms.services[r.sid] = &service{node: g.node, state: state, uid: m.n.c.newUID()}
	}
	for _, sid := range m.ms.sids() {
		if r := fs.resource(sid); r == nil || r.request() == "ignored" {
			delete(m.ms.services, sid)
		}
	}
}

// runCommands executes what was queued, in order.
func (m *manager) runCommands() {
	commands := m.n.fs.commands
	m.n.fs.commands = nil
	for _, line := range commands {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && (f[0] == "migrate" || f[0] == "relocate"):
			m.queueMotion(f[0], f[1], f[2])
		case len(f) == 3 && f[0] == "stop":
			if sd := m.ms.services[f[1]]; sd != nil {
				sd.cmd = []string{"stop", f[2]}
			}
		case len(f) == 2 && f[0] == "enable-node-maintenance":
			if m.ms.disarm == nil && m.ms.nodes[f[1]] == "online" {
				m.request(f[1])["maintenance"] = 1
			}
		case len(f) == 2 && f[0] == "disable-node-maintenance":
			delete(m.request(f[1]), "maintenance")
		case len(f) == 2 && f[0] == "disarm-ha":
			if m.ms.disarm == nil {
				m.ms.disarm = &disarm{mode: f[1], state: "disarming"}
			}
		case len(f) == 1 && f[0] == "arm-ha":
			m.arm()
		}
	}
}

func (m *manager) request(node string) map[string]int {
	if m.ms.requests == nil {
		m.ms.requests = map[string]map[string]int{}
	}
	if m.ms.requests[node] == nil {
		m.ms.requests[node] = map[string]int{}
	}
	return m.ms.requests[node]
}

// queueMotion stores a migrate or relocate command on a service. It is dropped, with
// nothing but a line in a log, when the target is not online or a negative peer is there;
// positive peers are sent along. Node affinity is not looked at (5.2.0).
func (m *manager) queueMotion(cmd, sid, target string) {
	sd := m.ms.services[sid]
	if sd == nil || m.ms.nodes[target] != "online" || sd.node == target {
		return
	}
	for _, peer := range m.rules.negative[sid] {
		p := m.ms.services[peer]
		if p != nil && p.node == target && (p.target == "" || p.target == target) {
			return
		}
	}
	sd.cmd = []string{cmd, target}
	for _, peer := range m.rules.positive[sid] {
		if p := m.ms.services[peer]; p != nil && p.node != target && p.target != target {
			p.cmd = []string{cmd, target}
		}
	}
}

func (m *manager) arm() {
	if m.ms.disarm == nil {
		return
	}
	if m.ms.disarm.mode == "ignore" {
		for sid, sd := range m.ms.services {
			if g := m.n.fs.guestBySID(sid); g != nil {
				sd.node = g.node
			}
		}
	}
	m.ms.disarm = nil
}

// disarmPass freezes or forgets the services. It reports true when the pass ends with it.
func (m *manager) disarmPass() bool {
	busy := []string{"fence", "recovery", "migrate", "relocate"}
	deferred := false
	for _, sd := range m.ms.services {
		deferred = deferred || slices.Contains(busy, sd.state)
	}
	if deferred {
		m.sweep(busy)
		return true
	}
	for _, sid := range m.ms.sids() {
		sd := m.ms.services[sid]
		if m.ms.disarm.mode == "freeze" {
			if sd.state != "freeze" && sd.state != "error" {
				m.change(sid, sd, "freeze")
			}
			continue
		}
		m.ms.services[sid] = &service{node: sd.node, state: sd.state, uid: sd.uid, maintenance: sd.maintenance}
	}
	for n, state := range m.ms.nodes {
		if state == "online" && m.modes[n] != "disarm" {
			return true
		}
	}
	m.ms.disarm.state = "disarmed"
	return true
}
