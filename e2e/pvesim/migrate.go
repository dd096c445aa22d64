package pvesim

import (
	"fmt"
	"strconv"
	"time"
)

// migration is what was asked of POST …/migrate.
type migration struct {
	target        string
	online        bool
	restart       bool // of a container: stop it, move it, start it
	timeout       time.Duration
	localDisks    bool   // with-local-disks
	targetStorage string // targetstorage or target-storage
}

// moving is a migration under way.
type moving struct {
	*task
	m       migration
	g       *guestConf
	to      *node
	began   instant
	running bool
	locked  bool
}

// migrateGuest moves a guest. What the API refuses at once has been refused before; what
// is found out here ends up in the task only.
func (n *node) migrateGuest(g *guestConf, m migration, who by, done func(string)) *task {
	t := n.guestTask(g, "migrate", who, done)
	mv := &moving{task: t, m: m, g: g, to: n.peer(m.target), began: n.c.now(), running: n.executing(g.id)}
	n.after(0, mv.begin)
	return t
}

func (mv *moving) begin() {
	if why := mv.prepare(); why != "" {
		mv.stampf("ERROR: migration aborted (duration %s): %s", mv.duration(), why)
		mv.finish("migration aborted")
		return
	}
	if mv.g.kind == lxc {
		mv.beginContainer()
		return
	}
	mv.lock()
	if mv.running {
		mv.stampf("conntrack state migration not supported or disabled, active connections might get dropped")
	}
	mv.stampf("starting migration of VM %d to node '%s' (%s)", mv.g.id, mv.to.name, mv.to.spec.Address)
	if !mv.scan() {
		return
	}
	if !mv.running {
		mv.n.after(mv.copyTime(), mv.finishOffline)
		return
	}
	mv.stampf("starting VM %d on remote node '%s'", mv.g.id, mv.to.name)
	mv.n.after(mv.n.c.timing.MigrateBase/2, mv.startIncoming)
}

func (mv *moving) lock() {
	mv.g.conf["lock"] = "migrate"
	mv.locked = true
}

func (mv *moving) unlock() {
	if mv.locked && mv.n.quorate {
		delete(mv.g.conf, "lock")
	}
	mv.locked = false
}

// copyTime is how long local disks take.
func (mv *moving) copyTime() time.Duration {
	d := mv.n.c.timing.CTMigrate
	for _, v := range mv.g.volumes() {
		if s := mv.n.fs.storage(v.storage); s != nil && !s.shared {
			d += time.Duration(float64(v.size) / float64(mv.n.c.timing.DiskRate) * float64(time.Second))
		}
	}
	return d
}

// startIncoming starts the process on the target that waits for the state.
func (mv *moving) startIncoming() {
	if !connected(mv.n, mv.to) {
		mv.fail(fmt.Sprintf("ssh: connect to host %s port 22: No route to host", mv.to.spec.Address))
		return
	}
	start := mv.to.newTask("qmstart", strconv.Itoa(mv.g.id), system)
	if why := mv.to.cannotReceive(mv.g); why != "" {
		start.finish(why)
		mv.stampf("[%s] %s", mv.to.name, why)
		mv.fail("remote command failed with exit code 255")
		return
	}
	p := mv.to.startProcess(mv.g, true)
	p.source = mv.n
	start.ok()
	mv.stampf("start remote tunnel")
	mv.stampf("ssh tunnel ver 1")
	mv.stampf("starting online/live migration on unix:/run/qemu-server/%d.migrate", mv.g.id)
	mv.stampf("set migration capabilities")
	mv.stampf("migration downtime limit: 100 ms")
	mv.stampf("migration cachesize: %s", bytesText(cacheSize(mv.g.memory())))
	mv.stampf("set migration parameters")
	mv.stampf("start migrate command to unix:/run/qemu-server/%d.migrate", mv.g.id)
	d := time.Duration(float64(mv.g.memory()) / float64(mv.n.c.timing.MigrateRate) * float64(time.Second))
	if mv.m.localDisks {
		d += mv.copyTime() - mv.n.c.timing.CTMigrate
	}
	mv.n.after(d, mv.complete)
}

// cannotReceive is why a guest cannot run here.
func (n *node) cannotReceive(g *guestConf) string {
	if n.procs[g.id] != nil {
		return fmt.Sprintf("VM %d already running", g.id)
	}
	for _, v := range g.volumes() {
		s := n.fs.storage(v.storage)
		switch {
		case s == nil || !s.shared:
		case !s.on(n.name):
			return fmt.Sprintf("storage '%s' is not available on node '%s'", s.id, n.name)
		case !n.active(s):
			return fmt.Sprintf("storage '%s' is not online", s.id)
		}
	}
	return ""
}

// complete is the moment of the hand-over: the target runs the guest from here on.
func (mv *moving) complete() {
	src, dst := mv.n.procs[mv.g.id], mv.to.procs[mv.g.id]
	switch {
	case src == nil:
		mv.fail("VM not running")
		return
	case mv.n.c.faults.takeMigration(mv.g.sid()):
		mv.fail("online migrate failure - aborting")
		return
	case mv.n.hangs(mv.g):
		mv.fail("online migrate failure - unable to flush disks")
		return
	case dst == nil || !connected(mv.n, mv.to):
		mv.fail("online migrate failure - aborting")
		return
	case !mv.n.quorate:
		mv.fail("cluster not ready - no quorum?")
		return
	}
	total, rate := bytesText(mv.g.memory()), bytesText(mv.n.c.timing.MigrateRate)
	mv.stampf("migration active, transferred %s of %s VM-state, %s/s", total, total, rate)
	mv.stampf("average migration speed: %s/s - downtime %d ms", rate, mv.n.c.timing.MigrateDowntime.Milliseconds())
	mv.stampf("migration completed, transferred %s VM-state", total)
	mv.stampf("migration status: completed")
	mv.n.handOver(mv.g, mv.to)
	mv.g.node = mv.to.name
	mv.n.fs.resourcesChanged()
	mv.n.after(mv.n.c.timing.MigrateBase/2, func() {
		mv.n.endProcess(mv.g.id, "quit")
		mv.unlock() // until now: a source that dies before it leaves the guest locked
		mv.stampf("migration finished successfully (duration %s)", mv.duration())
		mv.ok()
	})
}

// bytesText is a size as logs say it.
func bytesText(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// cacheSize is an eighth of the memory, down to a power of two.
func cacheSize(memory int64) int64 {
	size := int64(1 << 20)
	for size*2 <= memory/8 {
		size *= 2
	}
	return size
}

// place moves the configuration to the target's directory, which makes the guest the target's.
func (mv *moving) place() {
	mv.unlock()
	mv.g.node = mv.to.name
	mv.n.fs.resourcesChanged()
}

func (mv *moving) finishOffline() {
	switch {
	case !connected(mv.n, mv.to):
		mv.fail(fmt.Sprintf("ssh: connect to host %s port 22: No route to host", mv.to.spec.Address))
	case mv.n.c.faults.takeMigration(mv.g.sid()):
		mv.fail("storage migration failed")
	case !mv.n.quorate:
		mv.fail("cluster not ready - no quorum?")
	default:
		mv.place()
		mv.stampf("migration finished successfully (duration %s)", mv.duration())
		mv.ok()
	}
}

// fail leaves the guest where it was.
func (mv *moving) fail(why string) {
	if p := mv.to.procs[mv.g.id]; p != nil && p.incoming && p.source == mv.n {
		mv.to.endProcess(mv.g.id, "migration failed")
	}
	mv.unlock()
	mv.stampf("ERROR: %s", why)
	mv.stampf("aborting phase 2 - cleanup resources")
	mv.stampf("migrate_cancel")
	mv.stampf("ERROR: migration finished with problems (duration %s)", mv.duration())
	mv.finish("migration problems")
}

func (mv *moving) duration() string {
	d := mv.n.c.clock.real(mv.n.c.now().sub(mv.began)).Truncate(time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// beginContainer: a container cannot be moved alive. With restart it is shut down here,
// moved, and started there.
func (mv *moving) beginContainer() {
	if mv.running {
		mv.stampf("shutdown CT %d", mv.g.id)
		d := mv.n.c.timing.CTShutdown
		if mv.n.hangs(mv.g) {
			mv.n.after(mv.m.timeout, func() { mv.abort("container did not stop") })
			return
		}
		mv.n.after(d, func() {
			mv.n.endProcess(mv.g.id, "guest powerdown")
			mv.moveContainer()
		})
		return
	}
	mv.moveContainer()
}

func (mv *moving) moveContainer() {
	mv.lock()
	mv.stampf("starting migration of CT %d to node '%s' (%s)", mv.g.id, mv.to.name, mv.to.spec.Address)
	for _, v := range mv.g.volumes() {
		if v.storage == "" {
			mv.stampf("ignoring shared 'bind' mount point '%s' ('%s')", v.key, v.id)
		} else if s := mv.n.fs.storage(v.storage); s != nil && s.shared {
			mv.stampf("volume '%s' is on shared storage '%s'", v.id, v.storage)
		}
	}
	mv.n.after(mv.copyTime(), mv.finishContainer)
}

func (mv *moving) finishContainer() {
	if why := mv.containerStuck(); why != "" {
		mv.abort(why)
		return
	}
	mv.stampf("start final cleanup")
	mv.place()
	if mv.running {
		mv.stampf("start container on target node")
		mv.to.startGuest(mv.g, system, nil)
	}
	mv.stampf("migration finished successfully (duration %s)", mv.duration())
	mv.ok()
}

func (mv *moving) containerStuck() string {
	switch {
	case !connected(mv.n, mv.to):
		return fmt.Sprintf("ssh: connect to host %s port 22: No route to host", mv.to.spec.Address)
	case mv.n.c.faults.takeMigration(mv.g.sid()):
		return "storage migration failed"
	case !mv.n.quorate:
		return "cluster not ready - no quorum?"
	}
	return ""
}

// abort ends a container's move; one that was stopped for it is started again here.
func (mv *moving) abort(why string) {
	mv.unlock()
	if mv.running && !mv.n.executing(mv.g.id) && mv.g.node == mv.n.name {
		mv.n.startGuest(mv.g, system, nil)
	}
	mv.stampf("ERROR: migration aborted (duration %s): %s", mv.duration(), why)
	mv.finish("migration aborted")
}

// prepare finds what forbids the move: things the API accepted without looking.
func (mv *moving) prepare() string {
	for _, t := range mv.n.tasks {
		if t != mv.task && t.typ == mv.typ && t.id == mv.id && t.status == "" {
			// A container's configuration is not marked as locked while it is being shut down
			// for a move, but its lock file is held.
			return fmt.Sprintf("can't lock file '/run/lock/%s/pve-config-%d.lock' - got timeout", mv.g.kind, mv.g.id)
		}
	}
	if lock := mv.g.conf["lock"]; lock != "" {
		return fmt.Sprintf("%s is locked (%s)", mv.g.kind.word(), lock)
	}
	if mv.g.node != mv.n.name {
		return fmt.Sprintf("no such %s %d on this node", mv.g.kind.word(), mv.g.id)
	}
	if !connected(mv.n, mv.to) {
		return fmt.Sprintf("Can't connect to destination address using public key (%s)", mv.to.spec.Address)
	}
	for _, b := range mv.n.blockers(mv.g, mv.m, mv.running) {
		return b
	}
	return ""
}
