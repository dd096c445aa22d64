package crm

import (
	"slices"
	"strings"
)

// advance runs the handler of a service's state once, then freezes it if its node's LRM
// is restarting.
func (m *manager) advance(sid string) {
	cd, sd := m.services[sid], m.status.Services[sid]
	switch sd.State {
	case RequestStart:
		m.onRequestStart(sid, cd, sd)
	case RequestStartBalance, Migrate, Relocate:
		m.onMotion(sid, cd, sd)
	case Started:
		m.onStarted(sid, cd)
	case RequestStop:
		m.onRequestStop(sid, sd)
	case Stopped:
		m.onStopped(sid, cd)
	case Recovery:
		m.onRecovery(sid, cd, sd)
	case Freeze:
		if m.mode(sd.Node) == ModeActive {
			m.change(sid, wantedState(cd), to{})
		}
	case ErrorState:
		if cd.State == WantDisabled {
			sd.FailedNodes = nil
			m.status.Services[sid] = sd
			m.change(sid, Stopped, to{})
		}
	}
	sd = m.status.Services[sid]
	if m.mode(sd.Node) == ModeRestart && (sd.State == Started || sd.State == Stopped || sd.State == RequestStop) {
		m.change(sid, Freeze, to{})
	}
}

// wantedState is where a service goes when nothing else holds it.
func wantedState(cd Service) string {
	if cd.State == WantStarted {
		return Started
	}
	return RequestStop
}

func (m *manager) onRequestStart(sid string, cd Service, sd ServiceStatus) {
	if !m.config.Datacenter.RebalanceOnStart {
		m.change(sid, Started, to{node: sd.Node})
		return
	}
	n := m.selectNode(sid, cd, sd, bestScore)
	if n == sd.Node {
		m.log(Info, "service %s: re-balance selected current node %s for startup", sid, n)
		m.change(sid, Started, to{node: sd.Node})
		return
	}
	// With no node to select this asks for a move to nowhere, which the LRM refuses.
	m.log(Info, "service %s: re-balance selected new node %s for startup", sid, n)
	m.change(sid, RequestStartBalance, to{node: sd.Node, target: n})
}

func (m *manager) onMotion(sid string, cd Service, sd ServiceStatus) {
	res, ok := m.result(sd)
	switch {
	case !ok:
		if m.offline(sd.Node) {
			m.change(sid, Fence, to{})
		}
	case res.Code == ExitOK:
		m.change(sid, wantedState(cd), to{node: sd.Target})
	case res.Code == ExitWrongNode:
		m.log(Err, "service '%s' - migration failed: service registered on wrong node!", sid)
		m.change(sid, ErrorState, to{})
		if m.offline(sd.Node) {
			m.change(sid, Fence, to{})
		}
	case res.Code == ExitIgnored && sd.State == RequestStartBalance:
		m.log(Info, "service '%s' - rebalance-on-start request ignored - service already running", sid)
		m.change(sid, wantedState(cd), to{node: sd.Node})
	default:
		m.log(Err, "service '%s' - migration failed (exit code %d)", sid, res.Code)
		m.change(sid, wantedState(cd), to{node: sd.Node})
	}
}

func (m *manager) onStarted(sid string, cd Service) {
	sd := m.status.Services[sid]
	if m.nodeState(sd.Node) != NodeOnline {
		if m.offline(sd.Node) {
			m.change(sid, Fence, to{})
			sd = m.status.Services[sid]
		}
		if m.nodeState(sd.Node) != NodeMaintenance {
			return
		}
		sd.MaintenanceNode = sd.Node
		m.status.Services[sid] = sd
	}
	if cd.State == WantDisabled || cd.State == WantStopped {
		m.change(sid, RequestStop, to{})
		return
	}
	if sd.Command != nil {
		m.obey(sid, sd)
		return
	}
	prefer := preferNone
	res, had := m.result(sd)
	if had {
		var stop bool
		if prefer, stop = m.judgeStart(sid, cd, res); stop {
			return
		}
		sd = m.status.Services[sid]
	}
	m.place(sid, cd, sd, prefer, had)
}

// obey carries out a queued command of a started service.
func (m *manager) obey(sid string, sd ServiceStatus) {
	c := *sd.Command
	sd.Command = nil
	m.status.Services[sid] = sd
	switch c.Verb {
	case "stop":
		if c.Timeout == 0 {
			m.log(Info, "request immediate service hard-stop for service '%s'", sid)
		} else {
			m.log(Info, "request graceful stop with timeout '%d' for service '%s'", c.Timeout, sid)
		}
		m.must(m.env.SetRequest(sid, WantStopped))
		cd := m.services[sid]
		cd.State = WantStopped
		m.services[sid] = cd
		m.change(sid, RequestStop, to{timeout: &c.Timeout})
	default:
		switch {
		case m.nodeState(c.Node) != NodeOnline:
			m.log(Info, "ignore service '%s' %s request - node '%s' not online", sid, c.Verb, c.Node)
		case c.Node == sd.Node:
			m.log(Info, "ignore service '%s' %s request - service already on node '%s'", sid, c.Verb, c.Node)
		default:
			m.log(Info, "%s service '%s' to node '%s'", c.Verb, sid, c.Node)
			m.change(sid, c.Verb, to{node: sd.Node, target: c.Node})
		}
	}
}

// judgeStart looks at the LRM's word about a started service.
func (m *manager) judgeStart(sid string, cd Service, res Result) (p preference, stop bool) {
	sd := m.status.Services[sid]
	switch res.Code {
	case ExitOK:
		if len(sd.FailedNodes) > 0 {
			m.log(Info, "relocation policy successful for '%s' on node '%s', failed nodes: %s", sid, sd.Node, strings.Join(sd.FailedNodes, ", "))
			sd.FailedNodes = nil
		}
		sd.Running = true
		m.status.Services[sid] = sd
		m.usage.add(sid, sd)
		return preferNone, false
	case ExitError, ExitWrongNode:
		sd.Running = false
		sd.FailedNodes = append(slices.Clone(sd.FailedNodes), sd.Node)
		m.status.Services[sid] = sd
		if len(sd.FailedNodes) <= cd.MaxRelocate {
			m.log(Warning, "starting service %s on node '%s' failed, relocating service.", sid, sd.Node)
			return tryNext, false
		}
		m.log(Err, "recovery policy for service %s failed, entering error state. Failed nodes: %s", sid, strings.Join(sd.FailedNodes, ", "))
	default:
		sd.Running = false
		sd.FailedNodes = append(slices.Clone(sd.FailedNodes), sd.Node)
		m.status.Services[sid] = sd
		m.log(Err, "service '%s' got unrecoverable error (exit code %d))", sid, res.Code)
	}
	m.change(sid, ErrorState, to{})
	return preferNone, true
}

// place moves a started service if another node is selected for it.
func (m *manager) place(sid string, cd Service, sd ServiceStatus, p preference, had bool) {
	n := m.selectNode(sid, cd, sd, p)
	if n != "" && n != sd.Node {
		switch {
		case n == sd.MaintenanceNode:
			m.log(Info, "moving service '%s' back to '%s', node came back from maintenance.", sid, n)
			sd.MaintenanceNode = ""
		case sd.MaintenanceNode != "" && sd.Node != sd.MaintenanceNode:
			sd.MaintenanceNode = ""
		}
		m.status.Services[sid] = sd
		if kindOf(sid) == "vm" {
			m.log(Info, "migrate service '%s' to node '%s' (running)", sid, n)
			m.change(sid, Migrate, to{node: sd.Node, target: n})
		} else {
			m.log(Info, "relocate service '%s' to node '%s'", sid, n)
			m.change(sid, Relocate, to{node: sd.Node, target: n})
		}
		return
	}
	if p == tryNext && n == "" {
		m.log(Warning, "Start Error Recovery: Tried all available nodes for service '%s', retry start on current node. Tried nodes: %s",
			sid, strings.Join(sd.FailedNodes, ", "))
	}
	if sd.MaintenanceNode != "" && sd.MaintenanceNode == sd.Node && m.nodeState(sd.Node) == NodeOnline {
		m.log(Info, "service '%s': clearing stale maintenance node '%s' setting (is current node)", sid, sd.Node)
		sd.MaintenanceNode = ""
	}
	if had {
		sd.UID = m.newUID()
	}
	m.status.Services[sid] = sd
}

func (m *manager) onRequestStop(sid string, sd ServiceStatus) {
	res, ok := m.result(sd)
	switch {
	case !ok:
		if m.offline(sd.Node) {
			m.change(sid, Fence, to{})
		}
	case res.Code == ExitOK:
		m.change(sid, Stopped, to{})
	default:
		m.log(Err, "service '%s' stop failed (exit code %d)", sid, res.Code)
		m.change(sid, ErrorState, to{})
	}
}

func (m *manager) onStopped(sid string, cd Service) {
	sd := m.status.Services[sid]
	if cd.Node != "" && cd.Node != sd.Node {
		m.log(Info, "fixup service '%s' location (%s => %s)", sid, sd.Node, cd.Node)
		sd.Node = cd.Node
		m.status.Services[sid] = sd
	}
	if sd.Command != nil {
		c := *sd.Command
		sd.Command = nil
		m.status.Services[sid] = sd
		switch {
		case c.Verb == "stop":
			m.log(Info, "ignore service '%s' stop request - service already stopped", sid)
		case m.nodeState(c.Node) != NodeOnline:
			m.log(Info, "ignore service '%s' %s request - node '%s' not online", sid, c.Verb, c.Node)
		case c.Node == sd.Node:
			m.log(Info, "ignore service '%s' %s request - service already on node '%s'", sid, c.Verb, c.Node)
		default:
			m.change(sid, c.Verb, to{node: sd.Node, target: c.Node})
			return
		}
	}
	if cd.State == WantDisabled {
		return
	}
	if m.offline(sd.Node) && m.nodeState(sd.Node) != NodeMaintenance {
		m.change(sid, Fence, to{})
		return
	}
	if cd.State == WantStarted {
		m.change(sid, RequestStart, to{node: sd.Node})
	}
}

func (m *manager) onRecovery(sid string, cd Service, sd ServiceStatus) {
	n := m.selectNode(sid, cd, sd, bestScore)
	if n == "" {
		m.log(Err, "recovering service '%s' from fenced node '%s' failed, no recovery node found", sid, sd.Node)
		if cd.State == WantDisabled {
			m.change(sid, Stopped, to{})
		}
		return
	}
	if n == sd.Node {
		m.log(Info, "recover service '%s' to previous failed and fenced node '%s' again", sid, n)
	} else {
		m.log(Info, "recover service '%s' from fenced node '%s' to node '%s'", sid, sd.Node, n)
	}
	if lock := m.env.Unlock(sid); lock != "" {
		m.log(Warning, "removed leftover lock '%s' from recovered service '%s' to allow its start.", lock, sid)
	}
	if n != sd.Node {
		m.must(m.env.Steal(sid, sd.Node, n))
	}
	m.change(sid, wantedState(cd), to{node: n})
}
