package crm

import (
	"fmt"
	"maps"
	"slices"
)

// clusterEnv is a Cluster as one daemon sees it.
type clusterEnv struct {
	c      *Cluster
	n      *clusterNode
	daemon string
}

func (e *clusterEnv) Node() string      { return e.n.name }
func (e *clusterEnv) Now() int64        { return e.c.now }
func (e *clusterEnv) Log(Level, string) {}
func (e *clusterEnv) Refresh() bool     { return true }
func (e *clusterEnv) Quorate() bool     { return e.n.quorate }
func (e *clusterEnv) HasCommands() bool { return len(e.c.commands) > 0 }
func (e *clusterEnv) access() error {
	if !e.n.quorate {
		return ErrNoAccess
	}
	return nil
}

func (e *clusterEnv) Members() []Member {
	out := make([]Member, len(e.c.nodes))
	for k, n := range e.c.nodes {
		out[k] = Member{Node: n.name, Online: n.power && n.side == e.n.side}
	}
	return out
}

// ReadManagerStatus hands out what the manager wrote: whoever changes it clones it first.
func (e *clusterEnv) ReadManagerStatus() (ManagerStatus, error) { return e.c.manager, nil }

func (e *clusterEnv) WriteManagerStatus(m ManagerStatus) error {
	if err := e.access(); err != nil {
		return err
	}
	before := e.c.manager
	e.c.manager = m
	if e.c.set.Observe == nil {
		return nil
	}
	for _, n := range sortedKeys(m.Nodes) {
		if was := before.Nodes[n]; was != m.Nodes[n] {
			e.c.tell(Event{At: e.c.now, Kind: NodeChange, Node: n, From: was, To: m.Nodes[n]})
		}
	}
	var changed []string
	for sid, s := range m.Services {
		if was := before.Services[sid]; was.State != s.State || was.Node != s.Node {
			changed = append(changed, sid)
		}
	}
	slices.Sort(changed)
	for _, sid := range changed {
		e.c.tell(Event{At: e.c.now, Kind: ServiceMoved, SID: sid, Node: m.Services[sid].Node, From: before.Services[sid].State, To: m.Services[sid].State})
	}
	return nil
}

func (e *clusterEnv) ReadLRMStatus(node string) (LRMStatus, error) { return e.c.lrm[node], nil }

func (e *clusterEnv) WriteLRMStatus(l LRMStatus) error {
	e.c.lrm[e.n.name] = l
	return e.access()
}

func (e *clusterEnv) Config() (Config, error) {
	c := e.c
	if c.stale {
		c.stale = false
		c.config = Config{Rules: c.set.Rules, Groups: c.set.Groups, RulesDigest: "rules", Datacenter: c.set.Options,
			Services: make([]Service, 0, len(c.set.Services))}
		if len(c.set.Groups) > 0 {
			c.config.GroupsDigest = "groups"
		}
		for _, sid := range sortedKeys(c.set.Services) {
			c.config.Services = append(c.config.Services, c.set.Services[sid])
		}
	}
	return c.config, nil
}

func (e *clusterEnv) Commands() ([]string, error) {
	list := e.c.commands
	e.c.commands = nil
	return list, nil
}

func (e *clusterEnv) change(sid string, f func(*Service)) {
	s := e.c.set.Services[sid]
	f(&s)
	e.c.set.Services[sid] = s
	e.c.stale = true
}

func (e *clusterEnv) SetRequest(sid, state string) error {
	e.change(sid, func(s *Service) { s.State = state })
	return nil
}

func (e *clusterEnv) Steal(sid, from, to string) error {
	if at := e.c.set.Services[sid].Node; at != from {
		return fmt.Errorf("guest %s is not on node %s", sid, from)
	}
	e.change(sid, func(s *Service) { s.Node = to })
	return nil
}

func (e *clusterEnv) Unlock(sid string) string {
	lock := e.c.set.World.Locks[sid]
	if !slices.Contains(removableLocks, lock) {
		return ""
	}
	delete(e.c.set.World.Locks, sid)
	return lock
}

func (e *clusterEnv) ReplaceGroups(rules []Rule, services []Service) error {
	e.c.set.Rules, e.c.set.Groups = rules, nil
	for _, s := range services {
		e.c.set.Services[s.SID] = s
	}
	e.c.stale = true
	return nil
}

// lock takes or refreshes a lock as the real cluster filesystem lets it: the first attempt
// after it expired only has it deleted, a later one takes it (seen in recordings: a lock
// is taken one round after the first attempt that finds it expired).
func (e *clusterEnv) lock(name string, retries bool) bool {
	if !e.n.quorate {
		return false
	}
	now := e.c.now
	l, held := e.c.locks[name]
	switch {
	case !held || l.holder == e.n.name:
	case l.gone && now > l.at:
	case l.gone || now-l.at <= LockLifetime:
		return false
	case !retries:
		e.c.locks[name] = clusterLock{at: now, gone: true}
		return false
	}
	e.c.locks[name] = clusterLock{holder: e.n.name, at: now}
	return true
}

// LockManager tries several times within a round, so that it has an expired lock at once.
func (e *clusterEnv) LockManager() bool { return e.lock(managerLock, true) }

func (e *clusterEnv) LockAgent(node string) bool { return e.lock(agentLock(node), false) }

func (e *clusterEnv) unlock(name string) {
	if e.c.locks[name].holder == e.n.name {
		delete(e.c.locks, name)
	}
}

func (e *clusterEnv) ReleaseManager() { e.unlock(managerLock) }
func (e *clusterEnv) ReleaseAgent()   { e.unlock(agentLock(e.n.name)) }

func (e *clusterEnv) FeedWatchdog(daemon string)  { e.n.dogs[daemon] = e.c.now }
func (e *clusterEnv) CloseWatchdog(daemon string) { delete(e.n.dogs, daemon) }

func (e *clusterEnv) HoldsWatchdog(daemon string) bool {
	_, ok := e.n.dogs[daemon]
	return ok
}

// measure makes the figures the schedulers read.
func (c *Cluster) measure() {
	u := Usage{Nodes: make(map[string]NodeUsage, len(c.nodes)), Services: make(map[string]GuestUsage, len(c.set.Static)), Others: c.set.Others}
	for sid, g := range c.set.Static {
		d := c.set.Dynamic[sid]
		g.CPU, g.Memory = d.CPU, d.Memory
		u.Services[sid] = g
	}
	for name, h := range c.set.Nodes {
		if h.CPUs > 0 && h.Memory > 0 {
			u.Nodes[name] = NodeUsage{CPUs: h.CPUs, Memory: h.Memory}
		}
	}
	c.usage = u
	if len(c.set.Load) > 0 {
		for name, n := range u.Nodes {
			n.CPUUsed, n.MemoryUsed = c.set.Load[name].CPUUsed, c.set.Load[name].MemoryUsed
			u.Nodes[name] = n
		}
		return
	}
	for _, g := range c.set.Others {
		c.burden(u, g.Node, g.GuestUsage, 1)
	}
	for _, n := range c.nodes {
		for _, sid := range sortedKeys(n.running) {
			c.burden(u, n.name, u.Services[sid], 1)
		}
	}
}

func (c *Cluster) burden(u Usage, node string, g GuestUsage, sign float64) {
	if n, known := u.Nodes[node]; known {
		n.CPUUsed += sign * g.CPU
		n.MemoryUsed += sign * g.Memory
		u.Nodes[node] = n
	}
}

func (e *clusterEnv) Usage() Usage {
	u := e.c.usage
	u.Nodes = maps.Clone(u.Nodes)
	return u
}

func (e *clusterEnv) Version(node string) string { return e.c.set.Nodes[node].Version }

// Busy counts the workers that are not free any more in this round.
func (e *clusterEnv) Busy() int {
	busy := 0
	for _, free := range e.n.slots {
		if free >= e.c.now+workLoop {
			busy++
		}
	}
	return busy
}

func (e *clusterEnv) Running(sid string) bool { return e.n.running[sid] }

// Run carries out a job. One that ends while the LRM still looks after its workers in this
// round is done at once.
func (e *clusterEnv) Run(j Job) (Result, bool) {
	w, working := e.n.jobs[j.SID]
	if !working {
		seconds, how, code := e.begin(j)
		if seconds < 0 {
			return Result{SID: j.SID, State: j.Verb, Code: code}, true
		}
		slot := 0
		for k, free := range e.n.slots {
			if free < e.n.slots[slot] {
				slot = k
			}
		}
		w = clusterJob{end: max(e.c.now, e.n.slots[slot], e.c.free[j.SID]) + seconds, how: how}
		if how == Hangs {
			w.end = 1 << 40
			e.c.tell(Event{At: e.c.now, Kind: GuestHangs, Node: e.n.name, SID: j.SID})
		}
		e.n.slots[slot] = w.end
		e.n.jobs[j.SID] = w
	}
	if w.end > e.c.now+workLoop {
		return Result{}, false
	}
	delete(e.n.jobs, j.SID)
	return Result{SID: j.SID, State: j.Verb, Code: e.finish(j, w)}, true
}

// begin tells how long a job will take; less than nothing for one that is over with code.
func (e *clusterEnv) begin(j Job) (seconds int64, how Ending, code int) {
	s, configured := e.c.set.Services[j.SID]
	running := e.n.running[j.SID]
	const over = -1
	switch {
	case !configured:
		return over, 0, ExitUnknownService
	case j.Verb == ErrorState:
		return over, 0, ExitOK
	case s.Node != e.n.name:
		return over, 0, ExitWrongNode
	}
	switch j.Verb {
	case Started:
		if running {
			return over, 0, ExitOK
		}
		if e.c.set.World.Locks[j.SID] != "" {
			e.c.tell(Event{At: e.c.now, Kind: GuestFailed, Node: e.n.name, SID: j.SID})
			return over, 0, ExitError
		}
		seconds, how = e.c.set.Start(j.SID, e.n.name)
	case RequestStop, Stopped:
		if !running {
			return over, 0, ExitOK
		}
		seconds = e.c.set.Stop(j.SID)
	case Migrate, Relocate, RequestStartBalance:
		switch {
		case j.Target == "":
			return over, 0, ExitCrashed
		case j.Verb == RequestStartBalance && running:
			return over, 0, ExitIgnored
		}
		online := j.Verb == Migrate && running && kindOf(j.SID) == "vm"
		seconds, how = e.c.set.Move(j.SID, e.n.name, j.Target, online)
		if to := e.c.byName[j.Target]; to == nil || !to.power || to.side != e.n.side {
			how = Fails
		}
	default:
		return over, 0, ExitUnknownCommand
	}
	return seconds, how, ExitOK
}

// finish carries out what a job that ends did.
func (e *clusterEnv) finish(j Job, w clusterJob) int {
	if w.how == Fails {
		e.c.tell(Event{At: w.end, Kind: GuestFailed, Node: e.n.name, SID: j.SID})
		return ExitError
	}
	g := e.c.usage.Services[j.SID]
	switch j.Verb {
	case Started:
		e.n.running[j.SID] = true
		e.c.burden(e.c.usage, e.n.name, g, 1)
		e.c.tell(Event{At: w.end, Kind: GuestStarted, Node: e.n.name, SID: j.SID})
	case RequestStop, Stopped:
		delete(e.n.running, j.SID)
		e.c.burden(e.c.usage, e.n.name, g, -1)
		e.c.tell(Event{At: w.end, Kind: GuestStopped, Node: e.n.name, SID: j.SID})
	default:
		e.moved(j, w, g)
	}
	return ExitOK
}

func (e *clusterEnv) moved(j Job, w clusterJob, g GuestUsage) {
	e.change(j.SID, func(s *Service) { s.Node = j.Target })
	e.c.free[j.SID] = w.end
	if !e.n.running[j.SID] {
		return
	}
	delete(e.n.running, j.SID)
	e.c.burden(e.c.usage, e.n.name, g, -1)
	if j.Verb != Migrate || kindOf(j.SID) != "vm" {
		e.c.tell(Event{At: w.end, Kind: GuestStopped, Node: e.n.name, SID: j.SID})
		return
	}
	e.c.byName[j.Target].running[j.SID] = true
	e.c.burden(e.c.usage, j.Target, g, 1)
	e.c.tell(Event{At: w.end, Kind: GuestStarted, Node: j.Target, SID: j.SID})
}
