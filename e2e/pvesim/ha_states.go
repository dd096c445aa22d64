package pvesim

import (
	"slices"
)

// The states of a service and what the manager does in each.

// change gives a service a new state. Only what outlives a change is kept.
func (m *manager) change(sid string, sd *service, state string, set ...func(*service)) {
	m.count(sd, -1)
	*sd = service{node: sd.node, failed: sd.failed, maintenance: sd.maintenance, state: state, uid: m.n.c.newUID()}
	for _, f := range set {
		f(sd)
	}
	m.count(sd, +1)
	m.changed = true
}

func toward(node string) func(*service) { return func(s *service) { s.target = node } }
func onto(node string) func(*service)   { return func(s *service) { s.node = node } }
func within(t string) func(*service)    { return func(s *service) { s.timeout = t } }

func (m *manager) wanted(sid string) string {
	if r := m.n.fs.resource(sid); r != nil {
		return r.request()
	}
	return "disabled"
}

// settle is the state after a motion, a start or a thaw: what is asked of the resource.
func (m *manager) settle(sid string) string {
	if m.wanted(sid) == "started" {
		return "started"
	}
	return "request_stop"
}

func (m *manager) handle(sid string, sd *service) {
	switch sd.state {
	case "request_start":
		m.change(sid, sd, "started")
	case "started":
		m.handleStarted(sid, sd)
	case "request_stop":
		m.handleRequestStop(sid, sd)
	case "stopped":
		m.handleStopped(sid, sd)
	case "migrate", "relocate":
		m.handleMotion(sid, sd)
	case "recovery":
		m.handleRecovery(sid, sd)
	case "freeze":
		if m.modes[sd.node] == "active" && m.ms.disarm == nil {
			m.change(sid, sd, m.settle(sid))
		}
	case "error":
		if m.wanted(sid) == "disabled" {
			sd.failed = nil
			m.change(sid, sd, "stopped")
		}
	}
}

func (m *manager) handleMotion(sid string, sd *service) {
	res, done := m.results[sd.uid]
	switch {
	case !done && m.offline(sd.node):
		m.change(sid, sd, "fence")
	case !done:
	case res.code == codeOK:
		m.change(sid, sd, m.settle(sid), onto(sd.target))
	case res.code == codeWrongNode:
		m.change(sid, sd, "error")
	default:
		m.change(sid, sd, m.settle(sid))
	}
}

func (m *manager) handleRequestStop(sid string, sd *service) {
	res, done := m.results[sd.uid]
	switch {
	case !done && m.offline(sd.node):
		m.change(sid, sd, "fence")
	case !done:
	case res.code == codeOK:
		m.change(sid, sd, "stopped")
	default:
		m.change(sid, sd, "error")
	}
}

func (m *manager) handleStopped(sid string, sd *service) {
	if g := m.n.fs.guestBySID(sid); g != nil && g.node != sd.node {
		m.count(sd, -1)
		sd.node = g.node
		m.count(sd, +1)
	}
	if cmd := sd.cmd; len(cmd) > 0 {
		sd.cmd = nil
		if cmd[0] != "stop" && m.ms.nodes[cmd[1]] == "online" && cmd[1] != sd.node {
			m.change(sid, sd, cmd[0], toward(cmd[1]))
			return
		}
	}
	want := m.wanted(sid)
	switch {
	case want == "disabled":
	case m.offline(sd.node) && m.ms.nodes[sd.node] != "maintenance":
		m.change(sid, sd, "fence")
	case want == "started":
		m.change(sid, sd, "request_start")
	}
}

func (m *manager) handleStarted(sid string, sd *service) {
	if state := m.ms.nodes[sd.node]; state != "online" {
		if m.offline(sd.node) {
			m.change(sid, sd, "fence")
			return
		}
		if state != "maintenance" {
			return
		}
		sd.maintenance = sd.node
	}
	if want := m.wanted(sid); want == "disabled" || want == "stopped" {
		m.change(sid, sd, "request_stop")
		return
	}
	if cmd := sd.cmd; len(cmd) > 0 {
		sd.cmd = nil
		if m.obey(sid, sd, cmd) {
			return
		}
	}
	res, done := m.results[sd.uid]
	tryNext := false
	switch {
	case !done:
	case res.code == codeOK:
		sd.failed, sd.running = nil, true
	case res.code == codeError, res.code == codeWrongNode:
		sd.running = false
		sd.failed = append(sd.failed, sd.node)
		if r := m.n.fs.resource(sid); r == nil || len(sd.failed) > r.maxRelocate() {
			m.change(sid, sd, "error")
			return
		}
		tryNext = true
	default:
		sd.failed = append(sd.failed, sd.node)
		m.change(sid, sd, "error")
		return
	}
	m.place(sid, sd, tryNext, done)
}

// obey carries out a queued command on a started service; true if it changed its state.
func (m *manager) obey(sid string, sd *service, cmd []string) bool {
	if cmd[0] == "stop" {
		if r := m.n.fs.resource(sid); r != nil {
			r.opts["state"] = "stopped"
		}
		m.change(sid, sd, "request_stop", within(cmd[1]))
		return true
	}
	if m.ms.nodes[cmd[1]] == "online" && cmd[1] != sd.node {
		m.change(sid, sd, cmd[0], toward(cmd[1]))
		return true
	}
	return false
}

// place moves a started service to where it should be, or leaves it.
func (m *manager) place(sid string, sd *service, tryNext, done bool) {
	want := preferNone
	if tryNext {
		want = preferNext
	}
	node := m.choose(sid, sd, want)
	if node != "" && node != sd.node {
		switch {
		case node == sd.maintenance, sd.node != sd.maintenance:
			sd.maintenance = ""
		}
		motion := "relocate"
		if sid[:2] == "vm" {
			motion = "migrate"
		}
		m.change(sid, sd, motion, toward(node))
		return
	}
	if sd.maintenance == sd.node && m.ms.nodes[sd.node] == "online" {
		sd.maintenance = ""
	}
	if done {
		// A new identity lets the LRM look at the guest again.
		sd.uid = m.n.c.newUID()
	}
}

// fenceSweep tries to take the agent lock of every node that has services to be fenced.
// Having the lock means that the node's own LRM cannot run them any more.
func (m *manager) fenceSweep(sids []string) {
	fenced := map[string]bool{}
	for _, sid := range sids {
		sd := m.ms.services[sid]
		if sd.state != "fence" {
			continue
		}
		ok, tried := fenced[sd.node]
		if !tried {
			ok = m.fence(sd.node)
			fenced[sd.node] = ok
		}
		if ok {
			m.change(sid, sd, "recovery")
		}
	}
	for _, n := range m.n.c.nodes {
		if _, tried := fenced[n.name]; !tried && m.ms.nodes[n.name] == "fence" && m.fence(n.name) {
			m.changed = true
		}
	}
}

func (m *manager) fence(node string) bool {
	m.ms.nodes[node] = "fence"
	// A removed lock can be taken in the next pass only (power cut recordings: fenced 180 s,
	// recovered 190 s after the cut, though the lock had long expired).
	if m.tried[node] || !m.n.tryLock(agentLock(node)) {
		m.tried[node] = true
		return false
	}
	m.ms.nodes[node] = "unknown"
	return true
}

// leftoverLocks are removed from a guest's configuration when it is recovered.
var leftoverLocks = []string{"backup", "mounted", "migrate", "clone", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended"}

func (m *manager) handleRecovery(sid string, sd *service) {
	node := m.choose(sid, sd, preferBest)
	if node == "" {
		if m.wanted(sid) == "disabled" {
			m.change(sid, sd, "stopped")
		}
		return
	}
	if g := m.n.fs.guestBySID(sid); g != nil {
		if g.node != sd.node {
			m.broken = true
			return
		}
		if slices.Contains(leftoverLocks, g.conf["lock"]) {
			delete(g.conf, "lock")
		}
		g.node = node
	}
	m.change(sid, sd, m.settle(sid), onto(node))
}
