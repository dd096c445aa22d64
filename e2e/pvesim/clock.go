package pvesim

import (
	"cmp"
	"slices"
	"time"
)

// An instant is model time: nanoseconds since New.
type instant int64

func (t instant) add(d time.Duration) instant { return t + instant(d) }
func (t instant) sub(o instant) time.Duration { return time.Duration(t - o) }

// clock is model time and what is to happen in it.
type clock struct {
	epoch time.Time
	speed float64
	now   instant
	seq   int
	queue []event // by (at, seq): the next is the last
}

type event struct {
	at  instant
	seq int
	do  func()
}

func (k *clock) begin(now time.Time, speed float64) {
	k.epoch, k.speed = now, speed
	if k.speed == 0 {
		k.speed = 1
	}
}

// wall is the wall time at which model time reads t.
func (k *clock) wall(t instant) time.Time {
	if k.speed == 1 {
		return k.epoch.Add(time.Duration(t))
	}
	return k.epoch.Add(time.Duration(float64(t) / k.speed))
}

// real is how long a model duration takes on the wall.
func (k *clock) real(d time.Duration) time.Duration {
	if k.speed == 1 {
		return d
	}
	return time.Duration(float64(d) / k.speed)
}

func (k *clock) model(wall time.Time) instant {
	d := wall.Sub(k.epoch)
	if k.speed == 1 {
		return instant(d)
	}
	return instant(float64(d) * k.speed)
}

// at schedules do. What is scheduled for the past happens at the next catchUp.
func (k *clock) at(t instant, do func()) {
	k.seq++
	e := event{max(t, k.now), k.seq, do}
	at, _ := slices.BinarySearchFunc(k.queue, e, func(a, b event) int {
		return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.seq, a.seq))
	})
	k.queue = slices.Insert(k.queue, at, e)
}

// catchUp lets everything happen that was due by now. A wall clock that jumped back
// leaves the model where it is.
func (k *clock) catchUp(wall time.Time) {
	target := k.model(wall)
	for len(k.queue) > 0 {
		e := k.queue[len(k.queue)-1]
		if e.at > target {
			break
		}
		k.queue = k.queue[:len(k.queue)-1]
		k.now = max(k.now, e.at)
		e.do()
	}
	k.now = max(k.now, target)
}

func (c *Cluster) now() instant { return c.clock.now }

func (c *Cluster) after(d time.Duration, do func()) { c.clock.at(c.clock.now.add(d), do) }

// unix is the wall time of a model instant as Proxmox shows times.
func (c *Cluster) unix(t instant) int64 { return c.clock.wall(t).Unix() }

// after schedules something that happens on this node: it does not if the node has lost
// power or rebooted by then.
func (n *node) after(d time.Duration, do func()) {
	boot := n.boot
	n.c.after(d, func() {
		if n.up && n.boot == boot {
			do()
		}
	})
}

// Timing is how long things take in model time. Zero fields take the default.
type Timing struct {
	// MigrateRate is how much memory a live migration copies per second, in bytes
	// (1 GiB); MigrateBase is what one takes besides that (2 s).
	MigrateRate int64
	MigrateBase time.Duration
	// MigrateDowntime is what a live migration's task log gives as downtime (20 ms).
	MigrateDowntime time.Duration
	// Start and Shutdown are of virtual machines (5 s and 5 s), CTStart and CTShutdown of
	// containers (5 s and 3 s), Stop pulls the plug of either (1 s).
	Start, Shutdown, CTStart, CTShutdown, Stop time.Duration
	// CTMigrate is the move of a container whose disks are on shared storage (2 s).
	CTMigrate time.Duration
	// DiskRate is how much of a local disk is copied per second, in bytes (200 MiB).
	DiskRate int64
	// Boot is from power-on to a running system (60 s).
	Boot time.Duration
	// Membership is how long corosync takes to notice that a node came or went (7 s in the
	// power cut recordings: the token timeout and the consensus after it).
	Membership time.Duration
}

func (t Timing) withDefaults() Timing {
	def := func(p *time.Duration, d time.Duration) { *p = cmp.Or(*p, d) }
	t.MigrateRate = cmp.Or(t.MigrateRate, 1<<30)
	t.DiskRate = cmp.Or(t.DiskRate, 200<<20)
	def(&t.MigrateBase, 2*time.Second)
	def(&t.MigrateDowntime, 20*time.Millisecond)
	def(&t.Start, 5*time.Second)
	def(&t.Shutdown, 5*time.Second)
	def(&t.CTStart, 5*time.Second)
	def(&t.Stop, time.Second)
	def(&t.CTShutdown, 3*time.Second)
	def(&t.CTMigrate, 2*time.Second)
	def(&t.Boot, time.Minute)
	def(&t.Membership, 7*time.Second)
	return t
}
