package crm

import "slices"

// Recover tells where the manager puts the services of lost nodes once it has fenced them:
// one pass of the real manager, without the minutes before it. The result maps each
// service it recovers to its new node, "" for one that stays in recovery. It is nil if the
// nodes left are not quorate: then nothing is recovered.
func Recover(set Setting, lost []string) map[string]string {
	hardware := make(map[string]Hardware, len(set.Nodes))
	for name, h := range set.Nodes {
		h.Power = h.Power && !slices.Contains(lost, name)
		hardware[name] = h
	}
	set.Nodes = hardware
	set.Observe = nil
	c := NewCluster(set)
	out := make(map[string]string)
	if c.manager.Nodes == nil {
		c.manager.Nodes = make(map[string]string, len(lost))
	}
	for sid, cd := range set.Services {
		if _, known := c.manager.Services[sid]; !known && cd.State == WantStarted {
			c.manager.Services[sid] = ServiceStatus{Node: cd.Node, State: Started, UID: sid}
		}
	}
	for _, name := range lost {
		c.manager.Nodes[name] = NodeUnknown
	}
	for sid, s := range c.manager.Services {
		if !slices.Contains(lost, s.Node) || !recoverable(s, set.Services[sid]) {
			continue
		}
		out[sid] = ""
		c.manager.Services[sid] = ServiceStatus{Node: s.Node, State: Recovery, UID: s.UID, FailedNodes: s.FailedNodes, MaintenanceNode: s.MaintenanceNode}
	}
	k := slices.IndexFunc(c.nodes, func(n *clusterNode) bool {
		st := c.manager.Nodes[n.name]
		return n.quorate && (st == "" || st == NodeOnline || st == NodeMaintenance)
	})
	if k < 0 {
		return nil
	}
	m, err := newManager(&clusterEnv{c: c, n: c.nodes[k], daemon: "crm"})
	if err != nil || m.pass() != nil {
		return nil
	}
	for sid := range out {
		if s := m.status.Services[sid]; s.State != Recovery {
			out[sid] = s.Node
		}
	}
	return out
}

// recoverable tells whether a service of a dead node is fenced and recovered: not one that
// is frozen, in error, or requested disabled and stopped.
func recoverable(s ServiceStatus, cd Service) bool {
	switch s.State {
	case Freeze, ErrorState:
		return false
	case Stopped:
		return cd.State != WantDisabled
	}
	return true
}
