package crm

import (
	"strconv"
	"strings"
)

// runCommands executes the queued CRM commands in their order.
func (m *manager) runCommands() {
	lines, err := m.env.Commands()
	m.must(err)
	for _, line := range lines {
		m.command(line)
	}
}

func (m *manager) command(line string) {
	f := strings.Fields(line)
	if len(f) == 0 {
		return
	}
	switch verb := f[0]; {
	case (verb == "migrate" || verb == "relocate") && len(f) == 3:
		m.commandMove(line, verb, f[1], f[2])
	case verb == "stop" && len(f) == 3:
		m.commandStop(line, f[1], f[2])
	case verb == "enable-node-maintenance" && len(f) == 2:
		m.commandMaintenance(line, f[1])
	case verb == "disable-node-maintenance" && len(f) == 2:
		if m.nodeState(f[1]) != NodeMaintenance {
			m.log(Warning, "clearing maintenance of node %s requested, but it's not in maintenance state", f[1])
		}
		m.status.Requests[f[1]] = false // the entry stays, empty
	case verb == "disarm-ha" && len(f) == 2 && (f[1] == "freeze" || f[1] == "ignore"):
		if m.status.Disarm != nil {
			m.log(Notice, "ignoring disarm-ha command - already in disarm state (%s)", m.status.Disarm.State)
			return
		}
		m.log(Info, "got crm command: %s", line)
		m.status.Disarm = &Disarm{Mode: f[1], State: "disarming"}
	case verb == "arm-ha" && len(f) == 1:
		m.commandArm(line)
	default:
		m.log(Err, "unable to parse crm command: %s", line)
	}
}

func (m *manager) commandMaintenance(line, node string) {
	switch st := m.nodeState(node); {
	case m.status.Disarm != nil:
		m.log(Warning, "ignoring maintenance command for node %s - HA stack is disarmed", node)
	case st == NodeMaintenance:
		m.log(Info, "ignoring crm command - node %s is already in maintenance state", node)
	case st != NodeOnline:
		m.log(Err, "crm command error - node not online: %s", line)
	default:
		m.status.Requests[node] = true
	}
}

func (m *manager) commandStop(line, sid, timeout string) {
	n, err := strconv.Atoi(timeout)
	sd, known := m.status.Services[sid]
	if err != nil || !known {
		m.log(Err, "crm command error - no such service: %s", line)
		return
	}
	m.log(Info, "got crm command: %s", line)
	sd.Command = &Command{Verb: "stop", Timeout: n}
	m.status.Services[sid] = sd
}

// commandMove queues a move, unless a negative peer is on the target; positive peers get
// the same command.
func (m *manager) commandMove(line, verb, sid, node string) {
	sd, known := m.status.Services[sid]
	switch {
	case !known:
		m.log(Err, "crm command error - no such service: %s", line)
		return
	case m.nodeState(node) != NodeOnline:
		m.log(Err, "crm command error - node not online: %s", line)
		return
	case node == sd.Node:
		m.log(Info, "ignore crm command - service already on target node: %s", line)
		return
	}
	for _, peer := range sortedKeys(m.compiled.apart[sid]) {
		p, known := m.status.Services[peer]
		if !known || p.Node != node || p.Target != "" && p.Target != node {
			continue
		}
		m.log(Err, "crm command '%s' error - service '%s' on node '%s' in negative affinity with service '%s'", line, peer, p.Node, sid)
		return
	}
	m.log(Info, "got crm command: %s", line)
	sd.Command = &Command{Verb: verb, Node: node}
	m.status.Services[sid] = sd
	for _, peer := range sortedKeys(m.compiled.together[sid]) {
		p, known := m.status.Services[peer]
		if !known || p.Node == node || p.Target == node {
			continue
		}
		m.log(Info, "crm command '%s' - %s service '%s' to node '%s' (service '%s' in positive affinity with service '%s')", line, verb, peer, node, peer, sid)
		p.Command = &Command{Verb: verb, Node: node}
		m.status.Services[peer] = p
	}
}

func (m *manager) commandArm(line string) {
	d := m.status.Disarm
	if d == nil {
		m.log(Notice, "ignoring arm-ha command - HA stack is not disarmed")
		return
	}
	m.log(Info, "got crm command: %s", line)
	if d.Mode == "ignore" {
		for _, sid := range m.order() {
			sd, cd := m.status.Services[sid], m.services[sid]
			if cd.Node == "" || cd.Node == sd.Node {
				continue
			}
			m.log(Info, "service '%s': updating node '%s' => '%s' (changed while disarmed)", sid, sd.Node, cd.Node)
			sd.Node = cd.Node
			m.status.Services[sid] = sd
		}
	}
	m.status.Disarm = nil
	clear(m.suspended)
}

// disarm handles a pass while a disarm record exists. It reports whether the pass is over.
func (m *manager) disarm() bool {
	deferred := make(map[string]bool)
	for _, sid := range m.order() {
		switch st := m.status.Services[sid].State; st {
		case Fence, Recovery, Migrate, Relocate:
			if len(deferred) == 0 {
				m.log(Warning, "deferring disarm - service '%s' is in '%s' state", sid, st)
			}
			deferred[sid] = true
		}
	}
	if len(deferred) > 0 {
		m.sweep(func(sid string) bool { return deferred[sid] })
		m.write()
		return true
	}
	for _, sid := range m.order() {
		m.suspend(sid)
	}
	if m.status.Disarm.State != "disarmed" && m.allDisarmed() {
		m.log(Info, "all LRMs disarmed, HA stack is now fully disarmed")
		m.status.Disarm.State = "disarmed"
	}
	m.write()
	return true
}

// suspend takes one service out of HA's hands.
func (m *manager) suspend(sid string) {
	sd := m.status.Services[sid]
	if m.status.Disarm.Mode == "ignore" {
		if !m.suspended[sid] {
			m.log(Info, "disarm: suspending HA tracking for service '%s'", sid)
			m.suspended[sid] = true
		}
		m.status.Services[sid] = ServiceStatus{Node: sd.Node, State: sd.State, UID: sd.UID, MaintenanceNode: sd.MaintenanceNode}
		return
	}
	switch sd.State {
	case Started, Stopped, RequestStop, RequestStart, RequestStartBalance:
		m.log(Info, "disarm: freezing service '%s' (was '%s')", sid, sd.State)
		frozen := ServiceStatus{Node: sd.Node, State: Freeze, UID: m.newUID(), MaintenanceNode: sd.MaintenanceNode}
		m.status.Services[sid] = frozen
		m.usage.add(sid, frozen)
	}
}

// allDisarmed tells whether every online node's LRM has disarmed.
func (m *manager) allDisarmed() bool {
	for _, n := range sortedKeys(m.status.Nodes) {
		if m.status.Nodes[n] == NodeOnline && m.mode(n) != ModeDisarm {
			return false
		}
	}
	return true
}
