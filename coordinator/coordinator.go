// Package coordinator is the conductor of psw-ha: it looks at the cluster, has the planner
// decide, writes down what it is about to do, does it, and keeps a journal. Its secret is
// the order of these, which is what makes it safe to kill at any instant: intent before
// deed, look before repeating, nothing without quorum, on stale facts, or beside a newer
// coordinator.
//
// Tick is one pass, a plain synchronous function; Run repeats it. Everything else answers
// agents and operators (rpc.Backend) from what the last pass saw, and never waits for one.
package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Coordinator is a running coordinator. There is at most one on a state file, and agents
// obey at most one in a cluster: that of the highest generation.
type Coordinator struct {
	config  Config
	store   *store.Store
	pve     *pve.Client
	members func() []ha.Member
	log     *slog.Logger
	me      ha.Identity
	began   time.Time

	// ticking is held for a whole Tick, asking while an operator's request is decided and
	// stored, looking while the API is read. looking is taken last.
	ticking, asking, looking sync.Mutex

	seen      atomic.Pointer[sight]
	rights    rights
	reports   reportBook
	orders    orderDesk
	hooks     hooks
	sweepings sweepings
	rival     rivalry
	changed   broadcast
	wake      chan struct{}
	ticked    atomic.Pointer[time.Time]
	tally     tally

	// What follows belongs to Tick.
	facts    factBook
	said     saidWaits
	safeSaid map[string]time.Time // the DrainedAt for which "safe" was journalled, by maintenance
	pauses   map[pause]int        // how often a live move's pause was looked for
	keptAt   time.Time            // when reports were last written down
	// driftSince is since when what is registered has drifted from what is to be kept.
	driftSince time.Time
}

// sight is what the newest observation saw and the newest tick planned from it. It is
// replaced, never changed.
type sight struct {
	inventory ha.Inventory
	// resources are since when each HA resource is known; zero for those of the first reading.
	resources map[ha.SID]time.Time
	// readError is why the newest reading of the API failed; the inventory is then older.
	readError error
	// plans are what the last tick planned, by maintenance or operation; closed is why it did not act.
	plans  map[string]ha.Plan
	closed []ha.Blocker
	// faults are what else went wrong in the last tick.
	faults []string
	// published are the verdicts that are told unasked, by profile, readySince since when
	// each is what it is.
	published  map[string]check.Published
	readySince map[string]time.Time
	// witnessed is what was seen to happen.
	witnessed ha.Witnessed
}

// New makes a coordinator and takes the next generation, which is stored before it returns.
// members is gossip's opinion of who is there; nil if there is no gossip. The caller keeps
// ownership of the store and closes it after the last call.
func New(cfg Config, st *store.Store, client *pve.Client, members func() []ha.Member, log *slog.Logger) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if members == nil {
		members = func() []ha.Member { return nil }
	}
	generation, err := st.NextGeneration()
	if err != nil {
		return nil, err
	}
	if cfg.ID == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		cfg.ID = hex.EncodeToString(b[:])
	}
	c := &Coordinator{
		config: cfg, store: st, pve: client, members: members, log: log.With("generation", generation),
		began: time.Now(),
		me:    ha.Identity{ID: cfg.ID, Generation: generation, Guest: cfg.Guest},
		wake:  make(chan struct{}, 1), safeSaid: make(map[string]time.Time), pauses: make(map[pause]int),
	}
	c.seen.Store(&sight{})
	if err := c.resume(); err != nil {
		return nil, err
	}
	return c, nil
}

// resume takes up what an earlier start left: its last reports, the facts it knew, what it
// has already said.
func (c *Coordinator) resume() error {
	reports, err := c.store.Reports()
	if err != nil {
		return err
	}
	c.reports.load(reports)
	if err := c.facts.load(c.store); err != nil {
		return err
	}
	c.resumeReadiness()
	c.publish(func(v *sight) { v.witnessed = c.facts.witnessed() })
	open := 0
	for _, m := range c.store.Maintenances() {
		if !m.Phase.Closed() {
			open++
		}
		if m.Phase == ha.Drained && c.saidSafe(m) {
			c.safeSaid[m.ID] = m.DrainedAt
		}
	}
	text := fmt.Sprintf("coordinator %s started, generation %d", c.me.ID, c.me.Generation)
	if open > 0 {
		text += fmt.Sprintf("; it goes on with %d open maintenance(s)", open)
	}
	c.log.Info("coordinator started", "id", c.me.ID, "open_maintenances", open)
	return c.change(time.Now(), func(tx *store.Tx) error {
		return tx.Journal(ha.Event{Type: ha.EventStarted, Text: text})
	})
}

// Identity is who this coordinator is.
func (c *Coordinator) Identity() ha.Identity { return c.me }

// Ticked is when the last Tick ended; zero if none has. A watchdog may look at it.
func (c *Coordinator) Ticked() time.Time {
	if t := c.ticked.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Tick is one pass: observe, step every open maintenance, store what is intended, act,
// store what came of it. Ticks never overlap. The error names what could not be done; the
// next Tick tries again, and nothing was done that is not written down.
func (c *Coordinator) Tick(ctx context.Context) error {
	c.ticking.Lock()
	defer c.ticking.Unlock()
	began := time.Now()
	s, err := c.observe(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	faults := []error{err, c.note(s), c.judge(s)}
	closed := c.closed(s)
	plans := make(map[string]ha.Plan)
	for k := range s.Maintenances {
		m := s.Maintenances[k]
		if m.Phase.Closed() {
			continue
		}
		next, plan, err := c.advance(ctx, m, s, closed)
		faults = append(faults, err)
		plans[m.ID] = plan
		if next.ID != "" {
			s.Maintenances = slices.Clone(s.Maintenances) // the next one's plan counts this one's moves
			s.Maintenances[k] = next
		}
	}
	faults = append(faults, c.operate(ctx, s, closed, plans), c.keep(s, closed))
	faults = append(faults, c.measure(ctx, s), c.prove(s), c.keepReports(s), c.dropLateOrders(s.At))
	err = errors.Join(faults...)
	c.publish(func(v *sight) { v.plans, v.closed, v.faults = plans, closed, texts(faults[1:]) })
	now := time.Now()
	c.ticked.Store(&now)
	c.tally.ticked(began, err)
	return err
}

// Run ticks until ctx ends, every Interval and sooner when a request or an answer gives a
// reason, but not more often than SpacingMin. It returns nil when ctx ends.
func (c *Coordinator) Run(ctx context.Context) error {
	var last string
	for ctx.Err() == nil {
		began := time.Now()
		err := c.Tick(ctx)
		switch text := errorText(err); {
		case ctx.Err() != nil:
		case text == "" && last != "":
			c.log.Info("ticks are fine again")
			last = ""
		case text != last:
			c.log.Warn("tick incomplete, it is repeated", "error", text)
			last = text
		}
		c.pause(ctx, began)
	}
	return nil
}

// pause waits for the time of the next tick.
func (c *Coordinator) pause(ctx context.Context, began time.Time) {
	sooner := time.NewTimer(time.Until(began.Add(c.config.SpacingMin)))
	defer sooner.Stop()
	select {
	case <-sooner.C:
	case <-ctx.Done():
		return
	}
	next := time.NewTimer(time.Until(began.Add(c.config.Interval)))
	defer next.Stop()
	select {
	case <-next.C:
	case <-c.wake:
	case <-ctx.Done():
	}
}

// soon asks Run for an early tick.
func (c *Coordinator) soon() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// change is every change of the stored state. Who watches is told after it.
func (c *Coordinator) change(at time.Time, fn func(*store.Tx) error) error {
	if err := c.store.Change(at, fn); err != nil {
		return err
	}
	c.changed.tell()
	return nil
}

// publish replaces what the last observation and tick saw, and tells who watches.
func (c *Coordinator) publish(fn func(*sight)) {
	for {
		old := c.seen.Load()
		next := *old
		next.plans = maps.Clone(old.plans)
		fn(&next)
		if c.seen.CompareAndSwap(old, &next) {
			break
		}
	}
	c.changed.tell()
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func texts(errs []error) []string {
	var out []string
	for _, err := range errs {
		if t := errorText(err); t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}
