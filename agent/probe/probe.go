// Package probe looks at one machine and says what is there: NFS mounts, watchdog,
// corosync links, pve-ha-lrm, guests. Its secret is where each fact comes from and how
// that text is read; nobody else parses /proc, /etc/pve or the output of a corosync tool.
//
// Probes fetch facts and never judge. What a probe could not look at becomes a
// ha.ProbeFailure with the reason, never a guess. A hung server, a stopped corosync or a
// stuck pmxcfs costs its own facts and a bounded time, nothing else.
package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A Probe fetches one part of a report.
type Probe struct {
	// Name is the one a ha.ProbeFailure carries.
	Name string
	// Deadline is how long the probe may take.
	Deadline time.Duration
	// Every is how old what it saw may get before it looks again; 0 is every round. What
	// changes seldom, or costs a process, is not read every five seconds, but every report
	// has it.
	Every time.Duration
	// look returns the facts it could get, and an error if they are not all of them.
	look func(context.Context, *round) (facts, error)
}

// facts writes what a probe saw into a report.
type facts func(*ha.Report)

// All is every probe, in the order in which failures are worth reading. The deadlines are
// what a healthy but busy node needs, many times over; together they bound a round, since
// probes run side by side.
var All = []Probe{
	{Name: ha.ProbeSystem, Deadline: 2 * time.Second, look: lookSystem},
	{Name: ha.ProbePmxcfs, Deadline: 2 * time.Second, look: lookPmxcfs},
	{Name: ha.ProbeNFS, Deadline: statfsMax + time.Second, look: lookNFS},
	{Name: ha.ProbeWatchdog, Deadline: 2 * time.Second, look: lookWatchdog},
	{Name: ha.ProbeCorosync, Deadline: 2*corosyncToolMax + time.Second, look: lookCorosync},
	{Name: ha.ProbeLRM, Deadline: 2 * time.Second, look: lookLRM},
	{Name: ha.ProbeGuests, Deadline: 4 * time.Second, look: lookGuests},
	{Name: ha.ProbeGuestConfigs, Deadline: 4 * time.Second, look: lookGuestConfigs},
	{Name: ha.ProbeMembership, Deadline: 2 * time.Second, look: lookMembership},
	{Name: ha.ProbeNetwork, Deadline: 3 * time.Second, Every: 15 * time.Second, look: lookNetwork},
	{Name: ha.ProbeStorage, Deadline: 2 * time.Second, Every: 15 * time.Second, look: lookStorage},
	{Name: ha.ProbeJournal, Deadline: 5 * time.Second, Every: 15 * time.Second, look: lookJournal},
	{Name: ha.ProbeStalls, Deadline: 5 * time.Second, Every: 30 * time.Second, look: lookStalls},
	{Name: ha.ProbeClock, Deadline: 3 * time.Second, Every: 30 * time.Second, look: lookClock},
	{Name: ha.ProbeUnits, Deadline: systemctlMax + time.Second, Every: 30 * time.Second, look: lookUnits},
	{Name: ha.ProbeFencing, Deadline: 5 * time.Second, Every: time.Minute, look: lookFencing},
	{Name: ha.ProbeCeph, Deadline: 6 * time.Second, Every: time.Minute, look: lookCeph},
	{Name: ha.ProbeHardware, Deadline: 3 * time.Second, Every: 5 * time.Minute, look: lookHardware},
}

// graceMax is what a probe gets beyond its deadline to hand over what it has: one that
// obeys its context returns at the deadline, not before it.
const graceMax = 250 * time.Millisecond

// Prober looks at one host again and again. Between rounds it remembers what has not come
// back yet, so that a call that hangs for ever is made once and not once a round, and a
// few things that cost much and change seldom. One goroutine uses it.
type Prober struct {
	host Host
	node ha.NodeName

	mu      sync.Mutex
	pending map[string]time.Time // probes that have not returned, and since when
	seen    map[string]sight     // what probes with Every saw last
	took    map[string]time.Duration

	mounts   mountWatch
	writes   writeWatch
	packages packageCache
	cmap     cmapCache
	device   struct { // the QDevice's server
		asked time.Time
		state string
	}
	settings watchdogSettings
	ceph     cephCache
	stalls   stallWatch
	// jobsFailed: the LRM has jobs that did not end well, as the lrm probe saw it last.
	jobsFailed atomic.Bool
	commands   commandLineCache
	threads    kernelThreads
}

// New returns a Prober for a host that is the node of that name.
func New(h Host, node ha.NodeName) *Prober {
	return &Prober{host: h, node: node, pending: map[string]time.Time{}, seen: map[string]sight{}, took: map[string]time.Duration{}}
}

// Look runs all probes once: New(h, node).Look(ctx). An agent, which looks again and
// again, keeps a Prober instead.
func Look(ctx context.Context, h Host, node ha.NodeName) ha.Report {
	return New(h, node).Look(ctx)
}

// Look runs all probes side by side and returns what they saw. It takes no longer than
// the longest deadline in All, whatever hangs, and less if ctx ends before. Agent,
// Generation, Coordinator and Received are left for others to fill in.
func (p *Prober) Look(ctx context.Context) ha.Report {
	began := time.Now()
	r := newRound(p)
	results := make([]<-chan result, len(All))
	for k, probe := range All {
		results[k] = p.start(ctx, probe, r)
	}
	report := ha.Report{Node: p.node, Taken: began.UTC()}
	for k, probe := range All {
		got := await(ctx, results[k], p.patience(probe)-time.Since(began))
		if probe.Every > 0 {
			got = p.recall(probe, got)
		}
		if got.facts != nil {
			got.facts(&report)
		}
		if got.err != nil {
			report.Failures = append(report.Failures, ha.ProbeFailure{Probe: probe.Name, Reason: got.err.Error()})
		}
	}
	nameLinks(&report)
	report.Took = time.Since(began)
	report.Sort()
	return report
}

// Took is how long each probe took when it last came back, by name. Any goroutine may ask.
func (p *Prober) Took() map[string]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.took)
}

// result is what a probe came back with.
type result struct {
	facts facts
	err   error
}

// errLate says that a probe has not come back yet.
var errLate = errors.New("it did not come back in time")

// hanging says for how long the last run of a probe has not come back.
type hanging struct{ since time.Duration }

func (h hanging) Error() string {
	return fmt.Sprintf("it has been hanging for %s", h.since.Round(time.Second))
}

// await waits for a result. One that is there counts, however late it is read: the probes
// before this one may have used up all the time.
func await(ctx context.Context, done <-chan result, patience time.Duration) result {
	select {
	case got := <-done:
		return got
	default:
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
		return result{err: fmt.Errorf("stopped waiting for it: %w", context.Cause(ctx))}
	case <-limit.C:
		return result{err: errLate}
	}
}

// start runs a probe unless its last run is still under way: files of pmxcfs and of a
// process can block a reader for ever, and one blocked goroutine a probe is enough.
func (p *Prober) start(ctx context.Context, probe Probe, r *round) <-chan result {
	done := make(chan result, 1)
	p.mu.Lock()
	if p.fresh(probe) {
		done <- p.seen[probe.Name].result
		p.mu.Unlock()
		return done
	}
	since, pending := p.pending[probe.Name]
	if !pending {
		p.pending[probe.Name] = time.Now()
	}
	p.mu.Unlock()
	if pending {
		done <- result{err: hanging{time.Since(since)}}
		return done
	}
	go func() {
		parent := ctx
		if probe.Every > 0 { // it may outlive this round: see patience
			parent = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(parent, probe.Deadline)
		defer cancel()
		began := time.Now()
		got := guarded(ctx, probe, r)
		p.mu.Lock()
		p.took[probe.Name] = time.Since(began)
		delete(p.pending, probe.Name)
		if probe.Every > 0 {
			p.seen[probe.Name] = sight{result: got, at: time.Now()}
		}
		p.mu.Unlock()
		done <- got
	}()
	return done
}

// guarded runs a probe and turns a panic into a failure of that probe: the agent is a
// daemon on a hypervisor, and input nobody foresaw must not end it.
func guarded(ctx context.Context, probe Probe, r *round) (got result) {
	defer func() {
		if fault := recover(); fault != nil {
			got = result{err: fmt.Errorf("a fault in the probe itself: %v", fault)}
		}
	}()
	f, err := probe.look(ctx, r)
	return result{facts: f, err: err}
}

// round is one run of all probes: the host, and what several probes share.
type round struct {
	*Prober
	// stat reads proc/stat once: on a machine of many processors and devices it is long, and
	// the kernel adds it up anew for each reader.
	stat    func() ([]byte, error)
	scan    sync.Once
	scanned chan struct{}
	list    []process
	scanErr error
}

func newRound(p *Prober) *round {
	return &round{Prober: p, scanned: make(chan struct{}),
		stat: sync.OnceValues(func() ([]byte, error) { return read(p.host, "proc/stat") })}
}

// processes lists the processes that matter. /proc is walked once a round, for whoever
// asks first; the others wait for it. If the walk hangs, so do all who asked, and none of
// them is started again before it ends.
func (r *round) processes() ([]process, error) {
	r.scan.Do(func() {
		go func() {
			defer close(r.scanned)
			defer func() {
				if fault := recover(); fault != nil {
					r.scanErr = fmt.Errorf("list processes: a fault in the probe itself: %v", fault)
				}
			}()
			r.list, r.scanErr = scanProcesses(r.host, &r.threads, r.stat)
		}()
	})
	<-r.scanned
	return r.list, r.scanErr
}

// faults collects why facts are missing, for one sentence in the end.
type faults []error

// add notes an error, with what was being done; nil is ignored.
func (f *faults) add(doing string, err error) {
	if err != nil {
		*f = append(*f, fmt.Errorf("%s: %w", doing, err))
	}
}

// err is nil if nothing was added.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return faultsError{errors.Join(f...)}
}

// faultsError prints joined errors on one line.
type faultsError struct{ error }

func (e faultsError) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e faultsError) Unwrap() error { return e.error }
