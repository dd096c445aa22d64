package crm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// manager is the master's state: what it imports from manager_status when it becomes
// master, and what it only has in memory.
type manager struct {
	env    Env
	status ManagerStatus
	// lastOnline is when each node was last seen; forgotten by a new master, which is why
	// the death of the master makes a recovery longer.
	lastOnline map[string]int64

	config    Config
	services  map[string]Service // config by SID
	sids      []string           // of status.Services, sorted; see order
	lrm       map[string]LRMStatus
	compiled  Compiled
	rulesKey  string
	usage     *load
	scheduler string
	uid       int

	suspended   map[string]bool // services taken out of HA's hands by disarm-ha ignore
	holdRounds  int             // rounds of imbalance so far
	groupRounds int             // rounds until the next try to turn groups into rules
}

// passError is the cluster filesystem's error in the middle of a pass: the pass ends,
// nothing is written.
type passError struct{ err error }

func (m *manager) must(err error) {
	if err != nil {
		panic(passError{err})
	}
}

// newManager becomes master: it imports node and service states, requests and a disarm.
func newManager(env Env) (*manager, error) {
	old, err := env.ReadManagerStatus()
	if err != nil {
		return nil, fmt.Errorf("could not read manager status: %w", err)
	}
	old = old.Clone()
	m := &manager{env: env, lastOnline: map[string]int64{}, suspended: map[string]bool{}, scheduler: "basic", groupRounds: migrateGroupsFirst,
		status: ManagerStatus{Master: env.Node(), Nodes: old.Nodes, Services: old.Services, Requests: old.Requests, Disarm: old.Disarm}}
	if m.status.Nodes == nil {
		m.status.Nodes = map[string]string{}
	}
	if m.status.Services == nil {
		m.status.Services = map[string]ServiceStatus{}
	}
	if m.status.Requests == nil {
		m.status.Requests = map[string]bool{}
	}
	c, err := env.Config()
	if err != nil {
		return nil, err
	}
	m.setScheduler(c.Datacenter.Scheduler)
	return m, nil
}

func (m *manager) setScheduler(mode string) {
	mode = cmp.Or(mode, "basic")
	if mode != m.scheduler {
		m.env.Log(Info, fmt.Sprintf("using scheduler mode '%s'", mode))
		m.scheduler = mode
	}
}

func (m *manager) log(l Level, format string, args ...any) {
	m.env.Log(l, fmt.Sprintf(format, args...))
}

// pass is one manage pass.
func (m *manager) pass() (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(passError)
			if !ok {
				panic(r)
			}
			err = e.err
		}
	}()
	m.readLRMs()
	m.updateNodes()
	if !m.operational(m.env.Node()) {
		return nil
	}
	m.readConfig()
	if len(m.config.Groups) > 0 {
		m.tryGroupMigration()
	}
	if m.status.Disarm == nil {
		m.followConfig()
	}
	m.countUsage()
	m.compileRules()
	m.runCommands()
	if m.status.Disarm != nil {
		if m.disarm() {
			return nil
		}
	} else {
		m.autoRebalance()
		m.sweep(func(string) bool { return true })
	}
	m.write()
	return nil
}

func (m *manager) write() {
	m.status.Timestamp = m.env.Now()
	m.must(m.env.WriteManagerStatus(m.status.Clone()))
}

// readLRMs reads the LRM status of every node that is known or seen.
func (m *manager) readLRMs() {
	m.lrm = make(map[string]LRMStatus)
	for _, mem := range m.env.Members() {
		m.readLRM(mem.Node)
	}
	for _, n := range sortedKeys(m.status.Nodes) {
		m.readLRM(n)
	}
}

func (m *manager) readLRM(node string) {
	if _, done := m.lrm[node]; done {
		return
	}
	s, err := m.env.ReadLRMStatus(node)
	m.must(err)
	m.lrm[node] = s
}

func (m *manager) mode(node string) string {
	s := m.lrm[node]
	switch {
	case !s.Known:
		return ModeUnknown
	case s.Mode == "":
		return ModeActive
	}
	return s.Mode
}

// updateNodes follows membership and LRM modes with the node states.
func (m *manager) updateNodes() {
	member, online := map[string]bool{}, map[string]bool{}
	for _, mem := range m.env.Members() {
		member[mem.Node] = true
		if !mem.Online {
			continue
		}
		online[mem.Node] = true
		m.lastOnline[mem.Node] = m.env.Now()
		maintenance := m.mode(mem.Node) == ModeMaintenance
		switch m.nodeState(mem.Node) {
		case NodeOnline:
			if maintenance {
				m.setNode(mem.Node, NodeMaintenance)
			}
		case NodeMaintenance:
			if !maintenance {
				m.setNode(mem.Node, NodeOnline)
			}
		case NodeUnknown, NodeGone:
			m.setNode(mem.Node, NodeOnline)
		}
	}
	for _, n := range sortedKeys(m.status.Nodes) {
		if online[n] {
			continue
		}
		switch m.status.Nodes[n] {
		case NodeOnline:
			m.setNode(n, NodeUnknown)
		case NodeMaintenance:
			if m.mode(n) != ModeMaintenance {
				m.setNode(n, NodeUnknown)
			}
		case NodeUnknown:
			if !member[n] {
				m.setNode(n, NodeGone)
			}
		case NodeGone:
			if m.env.Now()-m.seen(n) > GoneAfter {
				delete(m.status.Nodes, n)
			}
		}
	}
}

func (m *manager) nodeState(node string) string { return cmp.Or(m.status.Nodes[node], NodeUnknown) }

func (m *manager) setNode(node, state string) {
	m.log(Info, "node '%s': state changed from '%s' => '%s'", node, m.nodeState(node), state)
	m.status.Nodes[node] = state
}

func (m *manager) operational(node string) bool {
	st := m.nodeState(node)
	return st == NodeOnline || st == NodeMaintenance
}

// seen is when a node was last online; for one never seen, from now on.
func (m *manager) seen(node string) int64 {
	t, ok := m.lastOnline[node]
	if !ok {
		t = m.env.Now()
		m.lastOnline[node] = t
	}
	return t
}

// offline tells whether a node has been away for the fence delay.
func (m *manager) offline(node string) bool {
	if m.nodeState(node) == NodeOnline {
		return false
	}
	return m.env.Now()-m.seen(node) >= FenceDelay
}

func (m *manager) readConfig() {
	c, err := m.env.Config()
	m.must(err)
	same := sameServices(c, m.config)
	m.config = c
	m.setScheduler(c.Datacenter.Scheduler)
	if same {
		return
	}
	m.services = make(map[string]Service, len(c.Services))
	groups := make(map[string]Group, len(c.Groups))
	for _, g := range c.Groups {
		groups[g.ID] = g
	}
	for _, s := range c.Services {
		if s.Group != "" {
			g, ok := groups[s.Group]
			s.Failback = !ok || !g.NoFailback
		}
		m.services[s.SID] = s
	}
}

// sameServices tells whether two readings share one list of services: an environment whose
// configuration did not change may hand out the same again, without groups it then means
// the same.
func sameServices(a, b Config) bool {
	return len(a.Services) > 0 && len(a.Services) == len(b.Services) && &a.Services[0] == &b.Services[0] && len(a.Groups)+len(b.Groups) == 0
}

// order are the SIDs of the services the manager knows, sorted: in this order it works.
func (m *manager) order() []string {
	if m.sids == nil {
		m.sids = sortedKeys(m.status.Services)
	}
	return m.sids
}

// followConfig takes up services that were configured and drops those that are not any more.
func (m *manager) followConfig() {
	for _, c := range m.config.Services {
		sid, cd := c.SID, m.services[c.SID]
		if _, known := m.status.Services[sid]; known || cd.State == WantIgnored {
			continue
		}
		m.log(Info, "adding new service '%s' on node '%s'", sid, cd.Node)
		state := RequestStop
		if cd.State == WantStarted {
			state = RequestStart
		}
		m.status.Services[sid] = ServiceStatus{State: state, Node: cd.Node, UID: m.newUID()}
		m.sids = nil
	}
	for _, sid := range m.order() {
		cd, configured := m.services[sid]
		reason := "no config"
		if configured {
			reason = "ignored state requested"
		}
		if configured && cd.State != WantIgnored {
			continue
		}
		m.log(Info, "removing stale service '%s' (%s)", sid, reason)
		delete(m.status.Services, sid)
		m.sids = nil
	}
}

func (m *manager) newUID() string {
	m.uid++
	b := append(make([]byte, 0, 48), m.env.Node()...)
	b = strconv.AppendInt(append(b, '-'), m.env.Now(), 10)
	return string(strconv.AppendInt(append(b, '-'), int64(m.uid), 10))
}

// countUsage fills the schedulers' table for this pass.
func (m *manager) countUsage() {
	var online []string
	for n, st := range m.status.Nodes {
		if st == NodeOnline {
			online = append(online, n)
		}
	}
	u := m.env.Usage()
	var missing string
	m.usage, missing = newLoad(m.scheduler, online, u, len(m.status.Services))
	if missing != "" {
		m.log(Warning, "fallback to 'basic' scheduler mode, init for '%s' failed - no figures for node '%s'", m.scheduler, missing)
	}
	for _, sid := range m.order() {
		m.usage.add(sid, m.status.Services[sid])
	}
	for _, g := range u.Others {
		m.usage.addOther(g)
	}
}

func (m *manager) compileRules() {
	names := sortedKeys(m.status.Nodes)
	key := strings.Join([]string{m.config.RulesDigest, m.config.GroupsDigest, m.config.ServicesDigest, strings.Join(names, ",")}, "|")
	if key == m.rulesKey {
		return
	}
	m.rulesKey = key
	rules := slices.Concat(m.config.Rules, GroupRules(m.config.Services, m.config.Groups))
	compiled, dropped := Compile(rules, names)
	m.compiled = compiled
	for _, d := range dropped {
		m.log(Info, "Drop rule '%s', because %s.", d.Rule, d.Reason)
	}
}

// sweep runs the state machine until nothing changes, for the services that include says.
func (m *manager) sweep(include func(sid string) bool) {
	for repeat := true; repeat; {
		repeat = false
		for _, sid := range m.order() {
			if !include(sid) {
				continue
			}
			before := m.status.Services[sid].State
			m.advance(sid)
			if m.status.Services[sid].State != before {
				repeat = true
			}
		}
		if m.fenceSweep() {
			repeat = true
		}
	}
}

// fenceSweep tries to fence the nodes of services that wait for it.
func (m *manager) fenceSweep() bool {
	changed := false
	tried := make(map[string]bool)
	fenced := make(map[string]bool)
	for _, sid := range m.order() {
		s := m.status.Services[sid]
		if s.State != Fence {
			continue
		}
		if !tried[s.Node] {
			tried[s.Node] = true
			fenced[s.Node] = m.fenceNode(s.Node)
		}
		if fenced[s.Node] {
			m.change(sid, Recovery, to{})
			changed = true
		}
	}
	for _, n := range sortedKeys(m.status.Nodes) {
		if m.status.Nodes[n] != NodeFence || tried[n] {
			continue
		}
		m.log(Notice, "node '%s' in fence state but no services to-fence! admin interference?!", n)
		if m.fenceNode(n) {
			changed = true
		}
	}
	return changed
}

// fenceNode declares a node dead once its agent lock can be taken: by then its watchdog
// has reset it.
func (m *manager) fenceNode(node string) bool {
	if m.nodeState(node) != NodeFence {
		m.setNode(node, NodeFence)
		m.log(Mail, "FENCE: Try to fence node '%s'", node)
	}
	if !m.env.LockAgent(node) {
		return false
	}
	text := fmt.Sprintf("fencing: acknowledged - got agent lock for node '%s'", node)
	m.log(Info, "%s", text)
	m.setNode(node, NodeUnknown)
	m.log(Mail, "SUCCEED: %s", text)
	return true
}

// to are the parameters of a state change.
type to struct {
	node, target string
	timeout      *int
}

// change moves a service to another state: it keeps where it is, where it failed and where
// it returns to, and drops the rest. Every change has a new UID, so that the LRM acts once
// for each.
func (m *manager) change(sid, state string, p to) {
	old := m.status.Services[sid]
	if old.State == state {
		panic("service " + sid + " changes from " + state + " to itself")
	}
	s := ServiceStatus{Node: cmp.Or(p.node, old.Node), State: state, FailedNodes: old.FailedNodes, MaintenanceNode: old.MaintenanceNode,
		Target: p.target, UID: m.newUID()}
	var params []string
	if p.node != "" {
		params = append(params, "node = "+p.node)
	}
	if p.target != "" {
		params = append(params, "target = "+p.target)
	}
	if p.timeout != nil {
		s.Timeout, s.HasTime = *p.timeout, true
		params = append(params, fmt.Sprintf("timeout = %d", *p.timeout))
	}
	m.status.Services[sid] = s
	m.usage.add(sid, s)
	text := ""
	if len(params) > 0 {
		text = "  (" + strings.Join(params, ", ") + ")"
	}
	m.log(Info, "service '%s': state changed from '%s' to '%s'%s", sid, old.State, state, text)
}

// result returns the LRM's result for the service's current UID.
func (m *manager) result(s ServiceStatus) (Result, bool) {
	for _, n := range [2]string{s.Node, s.Target} { // where it nearly always is
		if r, ok := m.lrm[n].Results[s.UID]; ok {
			return r, true
		}
	}
	for _, l := range m.lrm {
		if r, ok := l.Results[s.UID]; ok {
			return r, true
		}
	}
	return Result{}, false
}
