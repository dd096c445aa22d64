package pvesim

import (
	"fmt"
	"strconv"
)

// What can be done to a guest on its node: each is a task, and done is called with its status.

func (g *guestConf) taskType(verb string) string {
	if g.kind == lxc {
		return "vz" + verb
	}
	if verb == "migrate" {
		return "qmigrate" // the one task of a VM that is not called qm-something
	}
	return "qm" + verb
}

func (n *node) guestTask(g *guestConf, verb string, who by, done func(string)) *task {
	t := n.newTask(g.taskType(verb), strconv.Itoa(g.id), who)
	t.whenEnded = done
	return t
}

// startGuest starts a guest's process.
func (n *node) startGuest(g *guestConf, who by, done func(string)) *task {
	t := n.guestTask(g, "start", who, done)
	if why := n.cannotStart(g); why != "" {
		n.after(0, func() { t.finish(why) })
		return t
	}
	d := n.c.timing.Start
	if g.kind == lxc {
		d = n.c.timing.CTStart
	}
	// The process is there at once; the task ends when the guest has been set up.
	n.after(0, func() {
		if n.c.faults.takeStart(g.sid()) {
			t.finish("start failed: QEMU exited with code 1")
			return
		}
		if n.procs[g.id] != nil {
			t.finish(fmt.Sprintf("%s %d already running", g.kind.word(), g.id))
			return
		}
		n.startProcess(g, false)
		n.after(d, t.ok)
	})
	return t
}

// cannotStart is why a guest's start fails at once.
func (n *node) cannotStart(g *guestConf) string {
	if lock := g.conf["lock"]; lock != "" {
		return fmt.Sprintf("%s is locked (%s)", g.kind.word(), lock)
	}
	if n.procs[g.id] != nil {
		if g.kind == lxc {
			return fmt.Sprintf("CT %d already running", g.id)
		}
		return fmt.Sprintf("VM %d already running", g.id)
	}
	for _, v := range g.volumes() {
		if v.storage == "" {
			continue
		}
		s := n.fs.storage(v.storage)
		switch {
		case s == nil:
			return fmt.Sprintf("storage '%s' does not exist", v.storage)
		case !s.on(n.name):
			return fmt.Sprintf("storage '%s' is not available on node '%s'", v.storage, n.name)
		case !n.active(s):
			return fmt.Sprintf("storage '%s' is not online", v.storage)
		}
	}
	return ""
}

// stopGuest ends a guest's process at once, as pulling its plug.
func (n *node) stopGuest(g *guestConf, who by, done func(string)) *task {
	t := n.guestTask(g, "stop", who, done)
	n.after(n.c.timing.Stop, func() {
		n.endProcess(g.id, "quit")
		t.ok()
	})
	return t
}

// shutdownGuest asks the guest to end. One whose disk hangs on a dead NFS server cannot.
func (n *node) shutdownGuest(g *guestConf, who by, done func(string)) *task {
	t := n.guestTask(g, "shutdown", who, done)
	d := n.c.timing.Shutdown
	if g.kind == lxc {
		d = n.c.timing.CTShutdown
	}
	if n.hangs(g) {
		n.after(haStopTimeout, func() { t.finish(fmt.Sprintf("%s quit/powerdown failed - got timeout", g.kind.word())) })
		return t
	}
	n.after(d, func() {
		n.endProcess(g.id, "guest powerdown")
		t.ok()
	})
	return t
}

// hangs reports whether a guest waits for an NFS server that does not answer.
func (n *node) hangs(g *guestConf) bool {
	for _, v := range g.volumes() {
		if s := n.fs.storage(v.storage); s != nil && s.typ == "nfs" && n.silent(s) {
			return true
		}
	}
	return false
}

// silent reports whether what touches an NFS storage here waits for an answer.
func (n *node) silent(s *storage) bool { return n.stuck || n.c.faults.cutOff(s.server, n) }
