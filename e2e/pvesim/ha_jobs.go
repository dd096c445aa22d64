package pvesim

import "github.com/casaeureka/psw-ha/pkg/crm"

// What an LRM does to the guests of its node: the same tasks as the API's.

// worker is a job at work, or ended and not yet asked about.
type worker struct {
	done bool
	code int
}

func (l *lrm) busy() int {
	n := 0
	for _, w := range l.workers {
		if !w.done {
			n++
		}
	}
	return n
}

// run begins a job, or looks how the one at work is.
func (l *lrm) run(j crm.Job) (crm.Result, bool) {
	w := l.workers[j.SID]
	if w == nil {
		w = &worker{}
		l.workers[j.SID] = w
		l.execute(j, func(code int) { w.done, w.code = true, code })
	}
	if !w.done {
		return crm.Result{}, false
	}
	delete(l.workers, j.SID)
	return crm.Result{SID: j.SID, State: j.Verb, Code: w.code}, true
}

// execute does a job on the guest and calls back with its exit code.
func (l *lrm) execute(j crm.Job, done func(int)) {
	if j.Verb == crm.ErrorState {
		done(crm.ExitOK)
		return
	}
	g := l.n.fs.guestBySID(j.SID)
	motion := j.Verb == crm.Migrate || j.Verb == crm.Relocate || j.Verb == crm.RequestStartBalance
	switch {
	case g == nil:
		done(crm.ExitUnknownService)
	case g.node != l.n.name && motion && g.node == j.Target: // somebody else has moved it there
		done(crm.ExitOK)
	case g.node != l.n.name:
		done(crm.ExitWrongNode)
	case j.Verb == crm.Started:
		l.executeStart(g, done)
	case j.Verb == crm.RequestStop, j.Verb == crm.Stopped:
		l.executeStop(g, j.Timeout, done)
	case motion:
		l.executeMove(g, j, done)
	default:
		done(crm.ExitUnknownCommand)
	}
}

func (l *lrm) executeStart(g *guestConf, done func(int)) {
	if l.n.executing(g.id) {
		done(crm.ExitOK)
		return
	}
	l.n.startGuest(g, system, func(string) { done(codeIf(l.n.executing(g.id))) })
}

// executeStop shuts a guest down; with a timeout of 0 it pulls the plug.
func (l *lrm) executeStop(g *guestConf, timeout int, done func(int)) {
	if !l.n.executing(g.id) {
		done(crm.ExitOK)
		return
	}
	after := func(string) { done(codeIf(!l.n.executing(g.id))) }
	if timeout == 0 {
		l.n.stopGuest(g, system, after)
		return
	}
	l.n.shutdownGuest(g, system, after)
}

// executeMove migrates a running virtual machine; anything else is shut down first, moved
// and started where it then is by that node's LRM. A move before a start (rebalance on
// start) leaves a guest alone that runs.
func (l *lrm) executeMove(g *guestConf, j crm.Job, done func(int)) {
	move := func(online bool) {
		l.n.migrateGuest(g, migration{target: j.Target, online: online}, system, func(string) { done(codeIf(g.node == j.Target)) })
	}
	running := l.n.executing(g.id)
	switch {
	case l.n.peer(j.Target) == nil: // a start for which there is no node
		done(crm.ExitCrashed)
	case running && j.Verb == crm.RequestStartBalance:
		done(crm.ExitIgnored)
	case !running:
		move(false)
	case g.kind == qemu && j.Verb == crm.Migrate:
		move(true)
	default:
		l.n.shutdownGuest(g, system, func(string) {
			if l.n.executing(g.id) {
				done(crm.ExitError)
				return
			}
			move(false)
		})
	}
}

func codeIf(ok bool) int {
	if ok {
		return crm.ExitOK
	}
	return crm.ExitError
}
