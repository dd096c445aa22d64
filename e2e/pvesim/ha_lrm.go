package pvesim

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// lrm is pve-ha-lrm of a node: it does what the manager decided for the guests here.
type lrm struct {
	n        *node
	state    string // wait_for_agent_lock, active, lost_agent_lock, maintenance
	mode     string // active, maintenance, disarm, restart, shutdown
	stopping bool   // the node is going down: the mode stays
	started  bool   // it has written its status once
	round0   instant
	idle     int
	ms       *managerStatus
	jobs     map[string]*job // by sid
	stops    []*job          // of a shutdown
	tries    map[string]int  // failed starts here, by sid
	results  map[string]result
	exited   func() // what happens when it has ended its work in a shutdown
}

// job is a worker, waiting for its turn or running.
type job struct {
	sid, uid, cmd, target, timeout string
	running, done                  bool
	code                           int
}

func newLRM(n *node) *lrm {
	l := &lrm{n: n, state: "wait_for_agent_lock", mode: "active", jobs: map[string]*job{}, tries: map[string]int{}, results: map[string]result{}}
	return l
}

// round is one iteration. It first publishes its status once per life, so that what a
// node's former life left there, a mode restart for one, ends.
func (l *lrm) round() {
	l.round0 = l.n.c.now()
	if !l.started {
		if l.write(); !l.n.quorate {
			l.n.after(lrmWait, l.round)
			return
		}
		l.started = true
	}
	l.ms = l.n.fs.manager
	l.setMode()
	l.transition()
	switch l.state {
	case "wait_for_agent_lock":
		l.write()
		l.next(lrmWait)
	case "lost_agent_lock":
		l.next(lrmWait)
	case "active":
		if !l.stopping || l.mode == "maintenance" {
			l.manage()
		}
		l.work(lrmRound)
	case "maintenance":
		if l.idleHere() {
			l.letGo()
		} else {
			l.manage()
		}
		l.work(lrmMaintenance)
	}
}

// next ends the iteration. In a shutdown the daemon ends once nothing is left to do.
func (l *lrm) next(period time.Duration) {
	if l.stopping && l.finished() {
		l.letGo()
		l.exited()
		return
	}
	l.n.after(max(period-l.n.c.now().sub(l.round0), 0), l.round)
}

func (l *lrm) setMode() {
	if l.stopping {
		return
	}
	switch {
	case l.ms.maintenanceRequested(l.n.name):
		l.mode = "maintenance"
	case l.ms != nil && l.ms.disarm != nil:
		l.mode = "disarm"
	case l.mode == "maintenance" || l.mode == "disarm":
		l.mode = "active"
	}
}

// fenceRequested: the manager wants this node dead. It stops feeding the watchdog.
func (l *lrm) fenceRequested() bool {
	if l.ms == nil {
		return false
	}
	if l.ms.nodes[l.n.name] == "fence" {
		return true
	}
	return slices.ContainsFunc(l.ms.servicesOn(l.n.name), func(sid string) bool { return l.ms.services[sid].state == "fence" })
}

func (l *lrm) transition() {
	fence := l.fenceRequested()
	active := l.ms.activeServices(l.n.name)
	switch l.state {
	case "wait_for_agent_lock":
		if l.mode != "disarm" && !fence && active > 0 && l.lock() {
			l.become("active")
		}
	case "lost_agent_lock":
		if !fence && l.lock() {
			l.become("active")
		}
	case "active":
		switch {
		case fence, !l.lock():
			l.become("lost_agent_lock")
		case l.mode == "maintenance":
			l.become("maintenance")
		case l.mode == "disarm" && l.busy() == 0:
			l.letGo()
			l.become("wait_for_agent_lock")
		default:
			l.countIdle()
		}
	case "maintenance":
		l.leaveMaintenance(fence, active)
	}
}

// leaveMaintenance: the state ends only when nothing is left here, even if the request was
// withdrawn long before (5.2.0; series2 recordings, surprise 1).
func (l *lrm) leaveMaintenance(fence bool, active int) {
	switch {
	case fence:
		l.become("lost_agent_lock")
	case l.mode == "disarm" && active == 0 && l.busy() == 0:
		l.letGo()
		l.become("wait_for_agent_lock")
	case active > 0 || l.busy() > 0:
		if !l.lock() {
			l.become("lost_agent_lock")
		}
	case l.mode != "maintenance":
		if l.lock() {
			l.become("active")
		} else {
			l.become("lost_agent_lock")
		}
	}
}

func (l *lrm) become(state string) { l.state, l.idle = state, 0 }

// countIdle lets the lock go when there has been nothing here for about ten minutes.
func (l *lrm) countIdle() {
	if len(l.ms.servicesOn(l.n.name)) > 0 {
		l.idle = 0
		return
	}
	if l.idle++; l.idle > lrmIdleRounds && l.busy() == 0 {
		l.letGo()
		l.become("wait_for_agent_lock")
	}
}

func (l *lrm) lock() bool {
	if !l.n.takeLock(agentLock(l.n.name)) {
		return false
	}
	l.n.feed("lrm")
	return true
}

func (l *lrm) letGo() {
	l.n.closeWatchdog("lrm")
	l.n.releaseLock(agentLock(l.n.name))
}

func (l *lrm) busy() int {
	n := 0
	for _, j := range l.jobs {
		if !j.done {
			n++
		}
	}
	for _, j := range l.stops {
		if !j.done {
			n++
		}
	}
	return n
}

func (l *lrm) idleHere() bool { return l.ms.activeServices(l.n.name) == 0 && l.busy() == 0 }

// finished: a shutdown need not wait any longer for this LRM.
func (l *lrm) finished() bool {
	switch {
	case l.state == "wait_for_agent_lock":
		return true
	case l.mode == "shutdown":
		return l.busy() == 0
	}
	return l.idleHere()
}

// manage queues what the manager wants done here.
func (l *lrm) manage() {
	if l.ms == nil {
		return
	}
	for _, sid := range l.ms.servicesOn(l.n.name) {
		sd := l.ms.services[sid]
		if slices.Contains([]string{"recovery", "freeze", "request_start", "fence"}, sd.state) {
			continue
		}
		if j := l.jobs[sid]; j != nil && j.running {
			continue
		}
		if _, have := l.results[sd.uid]; have && sd.state != "stopped" {
			continue
		}
		l.jobs[sid] = &job{sid: sid, uid: sd.uid, cmd: sd.state, target: sd.target, timeout: sd.timeout}
	}
	maps.DeleteFunc(l.results, func(uid string, r result) bool {
		sd := l.ms.services[r.sid]
		return sd == nil || sd.uid != uid
	})
}

// work runs the workers for at most 8 s, looking at them every second, then publishes
// the status. That is why one slow migration delays the results of all others.
func (l *lrm) work(period time.Duration) {
	l.collect()
	l.startJobs()
	l.collect()
	if l.busy() > 0 && l.n.c.now().sub(l.round0) < lrmWorkerLoop {
		l.n.after(lrmPoll, func() { l.work(period) })
		return
	}
	l.write()
	l.next(period)
}

func (l *lrm) startJobs() {
	waiting := slices.Clone(l.stops)
	for _, sid := range slices.Sorted(maps.Keys(l.jobs)) {
		waiting = append(waiting, l.jobs[sid])
	}
	slices.SortStableFunc(waiting, func(a, b *job) int { return cmp.Compare(l.tries[b.sid], l.tries[a.sid]) })
	running := 0
	for _, j := range waiting {
		if j.running && !j.done {
			running++
		}
	}
	for _, j := range waiting {
		if j.running || j.done {
			continue
		}
		if running >= l.n.fs.maxWorkers() {
			return
		}
		j.running = true
		l.execute(j, func(code int) { j.done, j.running, j.code = true, false, code })
		if !j.done {
			running++
		}
	}
}

// collect stores the results of jobs that ended.
func (l *lrm) collect() {
	l.stops = slices.DeleteFunc(l.stops, func(j *job) bool { return j.done })
	for _, sid := range slices.Sorted(maps.Keys(l.jobs)) {
		j := l.jobs[sid]
		if !j.done {
			continue
		}
		delete(l.jobs, sid)
		if j.cmd == "started" && j.code == codeError {
			if l.tries[sid] < l.maxRestart(sid) {
				l.tries[sid]++ // no result: the next round tries again
				continue
			}
		}
		delete(l.tries, sid)
		l.results[j.uid] = result{sid: sid, state: j.cmd, code: j.code}
	}
}

func (l *lrm) maxRestart(sid string) int {
	if r := l.n.fs.resource(sid); r != nil {
		return r.maxRestart()
	}
	return 1
}

func (l *lrm) write() {
	if !l.n.quorate {
		return
	}
	l.n.fs.lrm[l.n.name] = lrmStatus{state: l.state, mode: l.mode, at: l.n.c.now(), results: maps.Clone(l.results)}
}

// execute does a job on the guest and calls back with its exit code.
func (l *lrm) execute(j *job, done func(int)) {
	if j.cmd == "error" {
		done(codeOK)
		return
	}
	g := l.n.fs.guestBySID(j.sid)
	switch {
	case g == nil:
		done(codeNoService)
	case g.node != l.n.name && (j.cmd == "migrate" || j.cmd == "relocate") && g.node == j.target:
		done(codeOK)
	case g.node != l.n.name:
		done(codeWrongNode)
	case j.cmd == "started":
		l.executeStart(g, done)
	case j.cmd == "request_stop", j.cmd == "stopped":
		l.executeStop(g, j.timeout, done)
	case j.cmd == "migrate", j.cmd == "relocate":
		l.executeMove(g, j, done)
	default:
		done(codeError)
	}
}

func (l *lrm) executeStart(g *guestConf, done func(int)) {
	if l.n.executing(g.id) {
		done(codeOK)
		return
	}
	l.n.startGuest(g, system, func(string) { done(codeIf(l.n.executing(g.id))) })
}

func (l *lrm) executeStop(g *guestConf, timeout string, done func(int)) {
	if !l.n.executing(g.id) {
		done(codeOK)
		return
	}
	after := func(string) { done(codeIf(!l.n.executing(g.id))) }
	if timeout == "0" {
		l.n.stopGuest(g, system, after)
		return
	}
	l.n.shutdownGuest(g, system, after)
}

// executeMove migrates a running virtual machine; anything else is shut down first, moved
// and started where it then is by that node's LRM.
func (l *lrm) executeMove(g *guestConf, j *job, done func(int)) {
	move := func(online bool) {
		l.n.migrateGuest(g, migration{target: j.target, online: online}, system, func(string) { done(codeIf(g.node == j.target)) })
	}
	switch {
	case !l.n.executing(g.id):
		move(false)
	case g.kind == qemu && j.cmd == "migrate":
		move(true)
	default:
		l.n.shutdownGuest(g, system, func(string) {
			if l.n.executing(g.id) {
				done(codeError)
				return
			}
			move(false)
		})
	}
}

func codeIf(ok bool) int {
	if ok {
		return codeOK
	}
	return codeError
}
