package crm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// simEnv is the virtual world as one daemon sees it.
type simEnv struct {
	s      *Sim
	n      *simNode
	daemon string
}

func (e *simEnv) clock() int64 {
	if e.daemon == "crm" {
		return e.n.crmClock
	}
	return e.n.lrmClock
}

func (e *simEnv) Node() string { return e.n.name }
func (e *simEnv) Now() int64   { return e.clock() }

func (e *simEnv) Log(l Level, text string) { e.s.log(l, e.clock(), e.n.name+"/"+e.daemon, text) }

func (e *simEnv) Quorate() bool { return e.s.online(e.n.name) }

func (e *simEnv) Members() []Member {
	var out []Member
	for _, name := range e.s.names() {
		out = append(out, Member{Node: name, Online: e.s.online(name)})
	}
	return out
}

func (e *simEnv) Refresh() bool { return !e.n.stale }

func (e *simEnv) access() error {
	if e.n.broken {
		return ErrNoAccess
	}
	return nil
}

func (e *simEnv) ReadManagerStatus() (ManagerStatus, error) {
	return e.s.manager.Clone(), e.access()
}

func (e *simEnv) WriteManagerStatus(m ManagerStatus) error {
	if err := e.access(); err != nil {
		return err
	}
	e.s.manager = m
	return nil
}

func (e *simEnv) ReadLRMStatus(node string) (LRMStatus, error) {
	l := e.s.lrm[node]
	l.Known = true // a missing file reads as empty here, and empty as active
	return l, e.access()
}

func (e *simEnv) WriteLRMStatus(l LRMStatus) error {
	if err := e.access(); err != nil {
		return err
	}
	e.s.lrm[e.n.name] = l
	return nil
}

func (e *simEnv) Config() (Config, error) {
	w := &e.s.w
	c := Config{Rules: w.Rules, Groups: w.Groups, RulesDigest: strconv.Itoa(e.s.rules), Datacenter: w.Options}
	if len(w.Groups) > 0 {
		c.GroupsDigest = "groups"
	}
	for _, sid := range sortedKeys(w.Services) {
		c.Services = append(c.Services, w.Services[sid])
	}
	return c, e.access()
}

func (e *simEnv) Commands() ([]string, error) {
	if err := e.access(); err != nil {
		return nil, err
	}
	list := e.s.commands
	e.s.commands = nil
	return list, nil
}

func (e *simEnv) HasCommands() bool { return len(e.s.commands) > 0 }

func (e *simEnv) SetRequest(sid, state string) error {
	c := e.s.w.Services[sid]
	c.State = state
	e.s.w.Services[sid] = c
	return e.access()
}

func (e *simEnv) Steal(sid, from, to string) error {
	c := e.s.w.Services[sid]
	if c.Node != from {
		return fmt.Errorf("guest %s is not on node %s", sid, from)
	}
	c.Node = to
	e.s.w.Services[sid] = c
	return nil
}

// removableLocks are the kinds of lock that a recovery takes away.
var removableLocks = []string{"backup", "mounted", "migrate", "clone", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended"}

func (e *simEnv) Unlock(sid string) string {
	lock := e.s.w.Locks[sid]
	if !slices.Contains(removableLocks, lock) {
		return ""
	}
	delete(e.s.w.Locks, sid)
	return lock
}

func (e *simEnv) ReplaceGroups(rules []Rule, services []Service) error {
	if err := e.access(); err != nil {
		return err
	}
	e.s.w.Rules, e.s.w.Groups = rules, nil
	e.s.rules++
	for _, c := range services {
		e.s.w.Services[c.SID] = c
	}
	return nil
}

// lock takes or refreshes a lock of the cluster filesystem.
func (e *simEnv) lock(name string) bool {
	if !e.Quorate() {
		return false
	}
	now := e.clock()
	l, held := e.s.locks[name]
	fresh := held && now-l.at <= LockLifetime
	if fresh && l.holder != e.n.name {
		return false
	}
	e.s.locks[name] = simLock{holder: e.n.name, at: now}
	if !fresh {
		e.Log(Info, fmt.Sprintf("got lock '%s'", name))
	}
	return true
}

func (e *simEnv) unlock(name string) {
	if e.s.locks[name].holder == e.n.name {
		delete(e.s.locks, name)
	}
}

func agentLock(node string) string { return "ha_agent_" + node + "_lock" }

func (e *simEnv) LockManager() bool          { return e.lock("ha_manager_lock") }
func (e *simEnv) LockAgent(node string) bool { return e.lock(agentLock(node)) }
func (e *simEnv) ReleaseManager()            { e.unlock("ha_manager_lock") }
func (e *simEnv) ReleaseAgent()              { e.unlock(agentLock(e.n.name)) }

func (e *simEnv) FeedWatchdog(daemon string)  { e.s.dogs[e.n.name+"/"+daemon] = e.s.now }
func (e *simEnv) CloseWatchdog(daemon string) { delete(e.s.dogs, e.n.name+"/"+daemon) }

func (e *simEnv) HoldsWatchdog(daemon string) bool {
	_, ok := e.s.dogs[e.n.name+"/"+daemon]
	return ok
}

// Sizes of nodes and guests where a story gives none.
const (
	simNodeCPUs     = 24
	simNodeMemory   = 128 << 30
	simGuestCPUs    = 4
	simGuestMemory  = 4 << 30
	simGuestCPU     = 2
	simGuestMemUsed = 2 << 30
)

func (e *simEnv) Usage() Usage {
	u := Usage{Nodes: map[string]NodeUsage{}, Services: map[string]GuestUsage{}}
	for sid := range e.s.w.Services {
		g := GuestUsage{MaxCPU: simGuestCPUs, MaxMemory: simGuestMemory, CPU: simGuestCPU, Memory: simGuestMemUsed}
		if st, ok := e.s.w.Static[sid]; ok {
			g.MaxCPU, g.MaxMemory = st.MaxCPU, st.MaxMemory
		}
		if dy, ok := e.s.w.Dynamic[sid]; ok {
			g.CPU, g.Memory = dy.CPU, dy.Memory
		}
		u.Services[sid] = g
	}
	for name, h := range e.s.w.Nodes {
		n := NodeUsage{CPUs: simNodeCPUs, Memory: simNodeMemory}
		if h.CPUs > 0 {
			n.CPUs = h.CPUs
		}
		if h.Memory > 0 {
			n.Memory = h.Memory
		}
		for _, sid := range sortedKeys(e.s.running[name]) {
			if e.s.running[name][sid] {
				n.CPUUsed += u.Services[sid].CPU
				n.MemoryUsed += u.Services[sid].Memory
			}
		}
		u.Nodes[name] = n
	}
	return u
}

func (e *simEnv) Version(node string) string {
	if v := e.s.w.Nodes[node].Version; v != "" {
		return v
	}
	return "9.0.0~2"
}

func (e *simEnv) Busy() int { return 0 }

func (e *simEnv) Running(sid string) bool { return e.s.running[e.n.name][sid] }

func (e *simEnv) say(l Level, format string, args ...any) { e.Log(l, fmt.Sprintf(format, args...)) }

// Run carries out a job at once.
func (e *simEnv) Run(j Job) (Result, bool) {
	return Result{SID: j.SID, State: j.Verb, Code: e.run(j)}, true
}

func (e *simEnv) run(j Job) int {
	kind := kindOf(j.SID)
	if kind != "vm" && kind != "ct" && kind != "fa" {
		return ExitUnknownType
	}
	c, ok := e.s.w.Services[j.SID]
	if !ok || kind == "fa" && failing(j.SID).missing {
		return ExitUnknownService
	}
	if j.Verb == ErrorState {
		e.say(Err, "service %s is in an error state and needs manual intervention. Look up 'ERROR RECOVERY' in the documentation.", j.SID)
		return ExitOK
	}
	if c.Node != e.n.name {
		e.say(Err, "service '%s' not on this node", j.SID)
		return ExitWrongNode
	}
	switch j.Verb {
	case Started:
		return e.start(j)
	case RequestStop, Stopped:
		return e.stop(j)
	case Migrate, Relocate, RequestStartBalance:
		return e.move(j)
	}
	return ExitUnknownCommand
}

func (e *simEnv) start(j Job) int {
	if e.Running(j.SID) {
		return ExitOK
	}
	e.say(Info, "starting service %s", j.SID)
	if e.startGuest(j.SID) {
		e.s.running[e.n.name][j.SID] = true
		e.say(Info, "service status %s started", j.SID)
		return ExitOK
	}
	e.say(Warning, "unable to start service %s", j.SID)
	return ExitError
}

func (e *simEnv) startGuest(sid string) bool {
	if lock := e.s.w.Locks[sid]; lock != "" {
		e.say(Err, "service '%s' locked (%s), unable to start!", sid, lock)
		return false
	}
	f := failing(sid)
	return !e.failsNow("start "+sid, f.starts, f)
}

// failsNow counts an attempt that is to fail so many times before one succeeds.
func (e *simEnv) failsNow(key string, times int, f failures) bool {
	if f.onlyOn != 0 && e.n.name != fmt.Sprintf("node%d", f.onlyOn) {
		return false
	}
	if e.s.fails[key] < times {
		e.s.fails[key]++
		return true
	}
	delete(e.s.fails, key)
	return false
}

func (e *simEnv) stop(j Job) int {
	if !e.Running(j.SID) {
		return ExitOK
	}
	if j.Timeout >= 0 {
		e.say(Info, "stopping service %s (timeout=%d)", j.SID, j.Timeout)
	} else {
		e.say(Info, "stopping service %s", j.SID)
	}
	return e.stopGuest(j.SID)
}

func (e *simEnv) stopGuest(sid string) int {
	if lock := e.s.w.Locks[sid]; lock != "" {
		e.say(Err, "service '%s' locked (%s), unable to shutdown!", sid, lock)
	} else if !failing(sid).unstoppable {
		delete(e.s.running[e.n.name], sid)
		e.say(Info, "service status %s stopped", sid)
		return ExitOK
	}
	e.say(Info, "unable to stop service %s (still running)", sid)
	return ExitError
}

func (e *simEnv) move(j Job) int {
	if j.Target == "" {
		return ExitCrashed
	}
	running := e.Running(j.SID)
	if j.Verb == RequestStartBalance && running {
		e.say(Info, "ignoring rebalance-on-start for service %s - already running", j.SID)
		return ExitIgnored
	}
	online := j.Verb == Migrate
	f := failing(j.SID)
	if e.failsNow("move "+j.SID, f.moves, f) || !e.moveGuest(j.SID, j.Target, online, running) {
		e.say(Err, "service %s not moved (migration error)", j.SID)
		return ExitError
	}
	return ExitOK
}

func (e *simEnv) moveGuest(sid, target string, online, running bool) bool {
	if online && running && kindOf(sid) == "ct" {
		e.say(Warning, "unable to live migrate running container, fallback to relocate")
		online = false
	}
	cmd := "relocate"
	if online {
		cmd = "migrate"
	}
	e.say(Info, "service %s - start %s to node '%s'", sid, cmd, target)
	if lock := e.s.w.Locks[sid]; lock != "" {
		e.say(Err, "service '%s' locked (%s), unable to migrate!", sid, lock)
		return false
	}
	if cmd == "relocate" && running {
		e.say(Info, "stopping service %s (relocate)", sid)
		e.stopGuest(sid)
	}
	c := e.s.w.Services[sid]
	c.Node = target
	e.s.w.Services[sid] = c
	delete(e.s.running[e.n.name], sid)
	e.say(Info, "service %s - end %s to node '%s'", sid, cmd, target)
	return true
}

// failures are how a fa: service of the suite fails, told by the digits of its number:
// fa:abcdef is one whose next b starts and next c moves fail, that cannot be stopped if d
// is not 0, does not exist if e is not 0, and fails on node f only if f is not 0.
type failures struct {
	starts, moves int
	unstoppable   bool
	missing       bool
	onlyOn        int
}

func failing(sid string) failures {
	id, ok := strings.CutPrefix(sid, "fa:")
	if !ok {
		return failures{}
	}
	digit := func(k, missing int) int {
		if k >= len(id) {
			return missing
		}
		return int(id[k] - '0')
	}
	return failures{starts: digit(1, 0), moves: digit(2, 0), unstoppable: digit(3, 0) != 0, missing: digit(4, 0) != 0, onlyOn: digit(5, 0)}
}
