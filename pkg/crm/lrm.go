package crm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// States of an LRM.
const (
	lrmWait        = "wait_for_agent_lock"
	lrmActive      = "active"
	lrmLost        = "lost_agent_lock"
	lrmMaintenance = "maintenance"
)

// LRM is the local resource manager of one node: it does what the master decided for the
// services of its node.
type LRM struct {
	env   Env
	state string
	mode  string
	// begun is shared by what counts as one process: the first iteration writes the status
	// file before anything is read.
	begun *bool

	manager   ManagerStatus
	nodeState string
	config    Config
	results   map[string]Result
	jobs      map[string]Job // queued or at work, by SID
	working   map[string]bool
	tries     map[string]int // failed starts in a row, by SID
	idle      int

	shutdown   bool
	since      int64 // of the shutdown request
	stopErrors int
}

// NewLRM starts an LRM. begun is shared between the LRMs of one process.
func NewLRM(env Env, begun *bool) *LRM {
	l := &LRM{env: env, state: "startup", mode: ModeActive, begun: begun, results: map[string]Result{}, jobs: map[string]Job{},
		working: map[string]bool{}, tries: map[string]int{}}
	l.become(lrmWait)
	return l
}

// State and Mode are as lrm_status shows them.
func (l *LRM) State() string { return l.state }

// Mode is active, maintenance, disarm, restart or shutdown.
func (l *LRM) Mode() string { return l.mode }

func (l *LRM) become(state string) {
	if state != l.state {
		l.env.Log(Info, fmt.Sprintf("status change %s => %s", l.state, state))
		l.state = state
	}
}

func (l *LRM) log(lv Level, format string, args ...any) { l.env.Log(lv, fmt.Sprintf(format, args...)) }

// Shutdown asks the LRM to leave: with the node (shutdown or reboot), or, with neither,
// for a restart of the service alone.
func (l *LRM) Shutdown(shutdown, reboot bool) {
	if l.shutdown {
		return
	}
	l.shutdown = true
	l.since = l.env.Now()
	if !shutdown && !reboot {
		if l.mode == ModeMaintenance {
			return
		}
		l.log(Info, "restart LRM, freeze all services")
		l.mode = ModeRestart
		l.writeStatus()
		return
	}
	policy := "conditional"
	if c, err := l.env.Config(); err == nil && c.Datacenter.ShutdownPolicy != "" {
		policy = c.Datacenter.ShutdownPolicy
	}
	l.log(Info, "got shutdown request with shutdown policy '%s'", policy)
	verb := "shutdown"
	if reboot {
		verb = "reboot"
	}
	freeze := reboot
	switch policy {
	case "freeze":
		freeze = true
	case "failover":
		freeze = false
	}
	switch {
	case l.mode == ModeMaintenance && policy == "migrate":
		l.log(Info, "%s LRM, ignore maintenance policy, already in maintenance mode", verb)
	case l.mode == ModeMaintenance:
		l.log(Info, "%s LRM, ignore %s policy as manual maintenance mode is enabled", verb, policy)
		l.queueStops()
	case policy == "migrate":
		l.log(Info, "%s LRM, doing maintenance, removing this node from active list", verb)
		l.mode = ModeMaintenance
	case freeze:
		l.log(Info, "%s LRM, stop and freeze all services", verb)
		l.queueStops()
		l.mode = ModeRestart
	default:
		l.log(Info, "shutdown LRM, stop all services")
		l.queueStops()
		l.mode = ModeShutdown
	}
	l.writeStatus()
}

// queueStops queues stop jobs for the node's own services.
func (l *LRM) queueStops() {
	s, err := l.env.ReadManagerStatus()
	if err != nil {
		return
	}
	for _, sid := range sortedKeys(s.Services) {
		sd := s.Services[sid]
		if sd.Node != l.env.Node() || sd.State == Recovery || sd.State == Freeze || sd.State == ErrorState {
			continue
		}
		if !l.working[sid] {
			l.jobs[sid] = Job{SID: sid, Verb: RequestStop, Timeout: -1}
		}
	}
}

// Round is one iteration. It returns how long to sleep, in seconds, and whether the
// daemon has left.
func (l *LRM) Round() (sleep int, exit bool) {
	fresh := l.env.Refresh()
	if !*l.begun {
		if !l.writeStatus() {
			return WaitRound, false
		}
		*l.begun = true
	}
	l.update()
	l.transit()
	switch l.state {
	case lrmWait:
		if l.shutdown {
			return 0, true
		}
		l.writeStatus()
		return WaitRound, false
	case lrmActive:
		return l.work(fresh)
	case lrmLost:
		return l.await()
	}
	return l.maintain(fresh)
}

// Attend looks after the jobs at work between two rounds. The real LRM does so within a
// round, for up to 8 seconds, and then writes its status (pve-ha-manager 5.2.0). Whoever
// runs an LRM on guests that take time calls it in these seconds, and publishes the status
// that was written last at their end.
func (l *LRM) Attend() {
	if l.state != lrmActive && l.state != lrmMaintenance {
		return
	}
	l.runWorkers()
	l.writeStatus()
}

// update reads what the master says of this node.
func (l *LRM) update() bool {
	s, err := l.env.ReadManagerStatus()
	if err != nil {
		l.log(Err, "updating service status from manager failed: %v", err)
		return false
	}
	l.manager = s
	l.nodeState = cmp.Or(s.Nodes[l.env.Node()], NodeUnknown)
	if l.shutdown {
		return true
	}
	switch {
	case s.Requests[l.env.Node()]:
		l.mode = ModeMaintenance
	case s.Disarm != nil:
		l.mode = ModeDisarm
	case l.mode == ModeMaintenance || l.mode == ModeDisarm:
		l.mode = ModeActive
	}
	return true
}

func (l *LRM) fenceRequested() bool {
	return l.nodeState == NodeFence || fencing(l.manager, l.env.Node())
}

// activeOn counts the services that keep a node's LRM busy: it is their node or target,
// and they are neither stopped, frozen, in error nor waiting to be started.
func activeOn(m ManagerStatus, node string) int {
	n := 0
	for _, sid := range m.on(node) {
		switch m.Services[sid].State {
		case Stopped, Freeze, ErrorState, RequestStart:
		default:
			n++
		}
	}
	return n
}

func (l *LRM) active() int { return activeOn(l.manager, l.env.Node()) }

func (l *LRM) configured() bool {
	return slices.ContainsFunc(l.manager.on(l.env.Node()), func(sid string) bool {
		return l.manager.Services[sid].Node == l.env.Node()
	})
}

func (l *LRM) workers() int { return len(l.jobs) }

func (l *LRM) lock() bool {
	if !l.env.LockAgent(l.env.Node()) {
		return false
	}
	l.env.FeedWatchdog("lrm")
	return true
}

func (l *LRM) release() {
	l.env.CloseWatchdog("lrm")
	l.env.ReleaseAgent()
}

func (l *LRM) transit() {
	fence := l.fenceRequested()
	switch l.state {
	case lrmWait:
		if l.mode != ModeDisarm && !fence && l.active() > 0 && l.env.Quorate() && l.lock() {
			l.become(lrmActive)
			l.idle = 0
		}
	case lrmLost:
		if !fence && l.env.Quorate() && l.lock() {
			l.become(lrmActive)
		}
	case lrmActive:
		l.transitActive(fence)
	case lrmMaintenance:
		l.transitMaintenance(fence)
	}
}

func (l *LRM) transitActive(fence bool) {
	switch {
	case fence || !l.lock():
		l.become(lrmLost)
	case l.mode == ModeMaintenance:
		l.become(lrmMaintenance)
	case l.mode == ModeDisarm && l.workers() == 0:
		l.log(Info, "HA disarm requested, releasing agent lock and watchdog")
		l.release()
		l.become(lrmWait)
	case l.configured() || l.workers() > 0:
		l.idle = 0
	default:
		if l.idle++; l.idle > lrmIdleRounds {
			l.log(Info, "node had no service configured for %d rounds, going idle.", lrmIdleRounds)
			l.release()
			l.become(lrmWait)
		}
	}
}

func (l *LRM) transitMaintenance(fence bool) {
	busy := l.active() > 0 || l.workers() > 0
	switch {
	case fence:
		l.become(lrmLost)
	case l.mode == ModeDisarm && !busy:
		l.log(Info, "HA disarm requested during maintenance, releasing agent lock and watchdog")
		l.release()
		l.become(lrmWait)
	case busy:
		if !l.lock() {
			l.become(lrmLost)
		}
	case l.mode != ModeMaintenance:
		if l.lock() {
			l.become(lrmActive)
		} else {
			l.become(lrmLost)
		}
	}
}

// work is an active LRM's round.
func (l *LRM) work(fresh bool) (int, bool) {
	if l.shutdown {
		if l.finishShutdown() {
			return 0, true
		}
	} else if !fresh {
		l.log(Notice, "temporary inconsistent cluster state (cfs restart?), skip round")
	} else if l.update() {
		l.manage()
	}
	l.writeStatus()
	return LRMRound, false
}

// finishShutdown runs the stop jobs and tells whether the LRM may leave.
func (l *LRM) finishShutdown() bool {
	l.runWorkers()
	if l.mode == ModeRestart {
		// The master freezes the services first, so that nobody starts them elsewhere.
		if l.active() > 0 || l.workers() > 0 {
			return false
		}
		l.release()
		return true
	}
	if l.workers() > 0 {
		return false
	}
	if l.stopErrors == 0 {
		l.release()
	}
	return true
}

// await is the round of an LRM that lost its lock: the watchdog will reset the node.
func (l *LRM) await() (int, bool) {
	if !l.shutdown {
		return WaitRound, false
	}
	n := l.active()
	if n == 0 {
		l.env.CloseWatchdog("lrm")
		return 0, true
	}
	l.log(Err, "got shutdown request in state 'lost_agent_lock' - detected %d running services", n)
	if l.mode == ModeRestart && l.env.Now()-l.since > lrmRestartGiveUp {
		l.log(Err, "lost agent lock and restart request for over %d seconds - giving up!", lrmRestartGiveUp)
		return 0, true
	}
	return WaitRound, false
}

// maintain is the round of an LRM in maintenance.
func (l *LRM) maintain(fresh bool) (int, bool) {
	if !l.update() {
		return 0, true
	}
	if l.active() == 0 && l.workers() == 0 {
		l.release()
		if l.shutdown {
			return 0, true
		}
	} else if fresh {
		l.manage()
	}
	l.writeStatus()
	return MaintenanceRound, false
}

// manage queues a job for each own service and runs them.
func (l *LRM) manage() {
	c, err := l.env.Config()
	if err != nil {
		l.log(Err, "%v", err)
		return
	}
	l.config = c
	for _, sid := range l.manager.on(l.env.Node()) {
		sd := l.manager.Services[sid]
		if sd.Node != l.env.Node() || sd.UID == "" || sd.State == Recovery || sd.State == Freeze || sd.State == RequestStart {
			continue
		}
		if _, known := l.results[sd.UID]; known && sd.State != Stopped {
			continue
		}
		if l.working[sid] {
			continue // a running job is never interrupted
		}
		timeout := -1
		if sd.HasTime {
			timeout = sd.Timeout
		}
		l.jobs[sid] = Job{SID: sid, UID: sd.UID, Verb: sd.State, Target: sd.Target, Timeout: timeout, Tries: l.jobs[sid].Tries}
	}
	for sid := range l.jobs {
		if _, known := l.manager.Services[sid]; !known && !l.working[sid] {
			delete(l.jobs, sid)
		}
	}
	for uid, r := range l.results {
		if l.manager.Services[r.SID].UID != uid {
			delete(l.results, uid)
		}
	}
	l.runWorkers()
}

// runWorkers runs queued jobs: those with most tries first, then by SID, as many at once
// as allowed.
func (l *LRM) runWorkers() {
	limit := cmp.Or(l.config.Datacenter.MaxWorkers, DefaultMaxWorkers)
	order := sortedKeys(l.jobs)
	slices.SortStableFunc(order, func(a, b string) int {
		return cmp.Or(compareBool(l.working[b], l.working[a]), cmp.Compare(l.jobs[b].Tries, l.jobs[a].Tries))
	})
	for _, sid := range order {
		j := l.jobs[sid]
		if !l.working[sid] {
			if l.env.Busy() >= limit {
				continue
			}
			j.Tries++
			l.jobs[sid] = j
		}
		l.working[sid] = true
		if res, done := l.env.Run(j); done {
			delete(l.jobs, sid)
			delete(l.working, sid)
			l.finish(j, res)
		}
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// finish stores the result of a job, unless the restart policy tries again.
func (l *LRM) finish(j Job, r Result) {
	if j.UID == "" {
		if r.Code != ExitOK {
			l.stopErrors++
		}
		return
	}
	code := l.applyRestartPolicy(j, r.Code)
	if code == ExitAgain {
		return
	}
	l.results[j.UID] = Result{SID: j.SID, State: j.Verb, Code: code}
}

// applyRestartPolicy lets a failed start be tried again on this node up to max_restart times.
func (l *LRM) applyRestartPolicy(j Job, code int) int {
	if j.Verb != Started {
		return code
	}
	switch code {
	case ExitOK:
		delete(l.tries, j.SID)
		return code
	case ExitError:
	default:
		return code
	}
	most := 1
	for _, s := range l.config.Services {
		if s.SID == j.SID {
			most = s.MaxRestart
		}
	}
	if l.tries[j.SID] < most {
		l.tries[j.SID]++
		l.log(Warning, "restart policy: retry number %d for service '%s'", l.tries[j.SID], j.SID)
		return ExitAgain
	}
	l.log(Err, "unable to start service %s on local node after %d retries", j.SID, l.tries[j.SID])
	l.tries[j.SID] = 0
	return code
}

// writeStatus writes lrm_status; it is only possible with quorum.
func (l *LRM) writeStatus() bool {
	if !l.env.Quorate() {
		return false
	}
	s := LRMStatus{State: l.state, Mode: l.mode, Timestamp: l.env.Now(), Results: maps.Clone(l.results), Known: true}
	if err := l.env.WriteLRMStatus(s); err != nil {
		l.log(Err, "unable to write lrm status file - %v", err)
		return false
	}
	return true
}
