package coordinator

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// tally counts what has been done since the start.
type tally struct {
	ticks, tickNanos, incomplete atomic.Int64
	readFailures                 atomic.Int64
}

// ticked counts a tick that began then.
func (t *tally) ticked(began time.Time, err error) {
	t.ticks.Add(1)
	t.tickNanos.Add(int64(time.Since(began)))
	if err != nil {
		t.incomplete.Add(1)
	}
}

// Measures are what a monitoring system asks of a coordinator, at one instant.
type Measures struct {
	At       time.Time
	Identity ha.Identity
	// Acting is false while something keeps it from acting at all.
	Acting   bool
	Profiles []ProfileMeasures
	// Ticks, Ticking and Incomplete are how many ticks there were, how long they took
	// together, and how many could not do everything. Ticked is when the last one ended.
	Ticks, Incomplete int64
	Ticking           time.Duration
	Ticked            time.Time
	// InventoryAge is the age of what is known of Proxmox; ReadFailures counts the readings
	// that failed. Negative: nothing is known yet.
	InventoryAge time.Duration
	ReadFailures int64
	// ReportAges are the ages of the agents' newest reports, by node.
	ReportAges []NodeAge
	// Maintenances are the open ones, by phase.
	Maintenances map[ha.Phase]int
	// OrdersPending wait for an agent's answer.
	OrdersPending             int
	OrdersGiven, OrdersFailed int64
	// StateBytes is the size of the state file; negative if it cannot be told.
	StateBytes int64
}

// NodeAge is the age of one node's report.
type NodeAge struct {
	Node ha.NodeName
	Age  time.Duration
}

// ProfileMeasures are the published verdict by one profile, with what is muted left out.
type ProfileMeasures struct {
	ha.Standing
	// Findings counts those that are WARN, UNKNOWN or FAIL and not muted.
	Findings []FindingCount
	// Muted counts those that are muted, FAIL and UNKNOWN included.
	Muted int
}

// FindingCount is how often one check says one thing.
type FindingCount struct {
	Code   ha.Code
	Status ha.Status
	Count  int
}

// Measures returns them without asking anybody and without waiting for a tick.
func (c *Coordinator) Measures() Measures {
	s, v := c.snapshot()
	m := Measures{
		At: s.At, Identity: c.me, Acting: len(v.closed) == 0 && c.rival.why() == "",
		Ticks: c.tally.ticks.Load(), Incomplete: c.tally.incomplete.Load(), Ticking: time.Duration(c.tally.tickNanos.Load()), Ticked: c.Ticked(),
		InventoryAge: -1, ReadFailures: c.tally.readFailures.Load(),
		Maintenances: make(map[ha.Phase]int),
		StateBytes:   -1,
	}
	m.OrdersPending, m.OrdersGiven, m.OrdersFailed = c.orders.counts()
	if !s.Inventory.At.IsZero() {
		m.InventoryAge = s.At.Sub(s.Inventory.At)
	}
	if size, err := c.store.Size(); err == nil {
		m.StateBytes = size
	}
	for _, r := range s.Reports {
		m.ReportAges = append(m.ReportAges, NodeAge{Node: r.Node, Age: s.At.Sub(r.Received)})
	}
	for _, one := range s.Maintenances {
		if !one.Phase.Closed() {
			m.Maintenances[one.Phase]++
		}
	}
	for _, profile := range profiles {
		verdict := check.Mute(v.published[profile].Readiness(), c.store.Mutes(), s.At)
		m.Profiles = append(m.Profiles, measured(c.standing(s, profile), verdict))
	}
	return m
}

// measured counts a published verdict.
func measured(st ha.Standing, verdict ha.Readiness) ProfileMeasures {
	p := ProfileMeasures{Standing: st}
	for _, f := range verdict.Findings {
		switch {
		case f.Status.Gravity() == 0:
			continue
		case !f.MutedUntil.IsZero():
			p.Muted++
			continue
		}
		k := slices.IndexFunc(p.Findings, func(n FindingCount) bool { return n.Code == f.Code && n.Status == f.Status })
		if k < 0 {
			p.Findings = append(p.Findings, FindingCount{Code: f.Code, Status: f.Status})
			k = len(p.Findings) - 1
		}
		p.Findings[k].Count++
	}
	return p
}

// counts returns how many orders wait for an answer, were given, and came to nothing: those of
// maintenances, operations and proofs alike.
func (d *orderDesk) counts() (pending int, given, failed int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending), d.given, d.failed
}
