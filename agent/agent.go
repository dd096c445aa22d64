// Package agent is what runs on each node: it looks, reports to the coordinator and obeys
// it, for ever. Its secret is whom it obeys and what it will do for them: the newest
// coordinator only, and nothing that is not on a short list.
//
// An agent never decides. Without a coordinator it goes on looking and knocking; Proxmox's
// own failover needs neither of the two.
package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casaeureka/psw-ha/agent/metrics"
	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
	"github.com/casaeureka/psw-ha/pkg/version"
)

// Agent is the agent of one node. Run it once; Look, Hello, Welcome and Obey are what it
// consists of, for those who drive one by hand.
type Agent struct {
	// Heartbeat, if set before Run, is called after every round: the agent is alive.
	Heartbeat func()

	config  Config
	host    probe.Host
	log     *slog.Logger
	prober  *probe.Prober
	lineage *lineage
	// interval is the time from one round's beginning to the next, in nanoseconds.
	interval atomic.Int64
	// outcomes are what became of the last orders, oldest first.
	outcomes    []ha.OrderResult
	remembering sync.Mutex
	// pmxcfs is taken while something is done below /etc/pve: see onPmxcfs.
	pmxcfs chan struct{}
	// blind are the probes that could not look in the last round, and why.
	blind map[string]string
	// latest is the last report.
	latest atomic.Pointer[ha.Report]
	// dialer replaces the network in tests.
	dialer rpc.Dialer
}

// New returns the agent of the node that host is, which several goroutines will use.
// Nothing is begun and nobody dialed.
func New(c Config, host probe.Host, log *slog.Logger) *Agent {
	a := &Agent{
		config:  c,
		host:    host,
		log:     log,
		prober:  probe.New(host, c.Node),
		lineage: openLineage(c.StateDir),
		pmxcfs:  make(chan struct{}, 1),
		blind:   make(map[string]string),
	}
	a.prober.TestWrites(c.WriteEvery, c.WritePaths...)
	a.interval.Store(int64(c.Interval))
	if fault := a.lineage.fault; fault != nil {
		log.Error("no order will be obeyed: make sure that only one coordinator runs, then remove the file",
			"file", a.lineage.path, "reason", fault)
	}
	return a
}

// Run looks and reports until ctx ends, and obeys whom it reports to. A coordinator that
// is away, outdated or wrong is no error; a configuration that can never work is.
func (a *Agent) Run(ctx context.Context) error {
	tls, err := rpc.ClientTLS(rpc.FilesIn(a.config.TLSDir, rpc.RoleAgent), rpc.RoleCoordinator)
	if err != nil {
		return err
	}
	gossiped, leave, err := a.join(ctx)
	if err != nil {
		return err
	}
	defer leave()
	session := &rpc.AgentSession{
		Addresses: func() []string { return addresses(gossiped(), a.config.Coordinators) },
		TLS:       tls,
		Hello:     a.Hello,
		Welcome:   a.Welcome,
		Order:     a.Obey,
		Log:       a.log,
		Dialer:    a.dialer,
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var served error
	var serving sync.WaitGroup
	serving.Go(func() {
		defer stop() // a session that cannot even begin ends the agent
		served = session.Run(ctx)
	})
	a.observe(ctx, session.Report)
	serving.Wait()
	return served
}

// observe looks and hands over a report, round after round. Rounds never overlap: one
// that took too long is followed by the next at once, or nearly so.
func (a *Agent) observe(ctx context.Context, report func(ha.Report)) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		began := time.Now()
		r := a.Look(ctx)
		if ctx.Err() != nil {
			return // cut short: what it says of the node is of no use
		}
		a.latest.Store(&r)
		report(r)
		if a.Heartbeat != nil {
			a.Heartbeat()
		}
		interval := time.Duration(a.interval.Load())
		next.Reset(max(interval-time.Since(began), interval/5))
	}
}

// Page is what Prometheus is answered with: of the last report, nil before the first. Any
// goroutine may ask.
func (a *Agent) Page() []byte {
	r := a.latest.Load()
	if r == nil {
		return nil
	}
	return metrics.Page(*r, a.prober.Took(), time.Now())
}

// Look runs all probes once and returns the report. It takes no longer than the probes'
// own deadlines, whatever hangs. One goroutine calls it.
func (a *Agent) Look(ctx context.Context) ha.Report {
	r := a.prober.Look(ctx)
	newest := a.lineage.current()
	r.Agent, r.Generation, r.Coordinator = version.String(), newest.Generation, newest.Coordinator
	a.log.Debug("looked", "took", r.Took, "failures", len(r.Failures))
	if ctx.Err() == nil {
		a.tellBlindness(r.Failures)
	}
	return r
}

// tellBlindness logs which probes cannot look, when that changes.
func (a *Agent) tellBlindness(failures []ha.ProbeFailure) {
	now := make(map[string]string, len(failures))
	for _, f := range failures {
		now[f.Probe] = f.Reason
		if _, known := a.blind[f.Probe]; !known {
			a.log.Warn("a probe cannot look", "probe", f.Probe, "reason", f.Reason)
		}
	}
	for probe := range a.blind {
		if _, still := now[probe]; !still {
			a.log.Info("a probe looks again", "probe", probe)
		}
	}
	a.blind = now
}

// Hello is what the agent says first to a coordinator.
func (a *Agent) Hello() ha.Hello {
	newest := a.lineage.current()
	return ha.Hello{Node: a.config.Node, Version: version.String(), Generation: newest.Generation, Coordinator: newest.Coordinator}
}

// Welcome accepts or refuses the coordinator that answered. A newer one is accepted for
// good. If it cannot be remembered it is still reported to: a coordinator that sees is
// better than a blind one, and its orders are refused.
func (a *Agent) Welcome(w ha.Welcome) error {
	err := a.lineage.admit(accepted{Generation: w.Generation, Coordinator: w.Coordinator})
	if ha.KindOf(err) == ha.Conflict {
		return err
	}
	if err != nil {
		a.log.Error("orders of this coordinator will be refused", "coordinator", w.Coordinator, "reason", err)
	}
	if w.Interval > 0 {
		a.interval.Store(int64(min(max(w.Interval, intervalMin), intervalMax)))
	}
	return nil
}
