package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// running starts the agent of node1 in a bubble; stop ends it and waits for it.
func running(t *testing.T, n *lan, ca *rpc.CA, m *machine) (a *Agent, stop func()) {
	t.Helper()
	dir := t.TempDir()
	issueInto(t, ca, rpc.RoleAgent, "node1", dir)
	c := DefaultConfig()
	c.Node, c.Coordinators, c.TLSDir, c.StateDir = "node1", []string{here}, dir, filepath.Join(dir, "state")
	a = New(c, m, slog.New(slog.DiscardHandler))
	a.dialer = n.dial
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want nil when it is told to stop", err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

func TestAnAgentReportsEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, n, d := newCA(t), &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}}
		n.serve(t, here, d, ca)
		a, stop := running(t, n, ca, newMachine())
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		reports := seen(d, func() []ha.Report { return d.reports })
		if len(reports) < 11 || len(reports) > 14 {
			t.Errorf("%d reports in a minute, want one every 5 s", len(reports))
		}
		last := reports[len(reports)-1]
		if last.Node != "node1" || last.Generation != 7 || last.Coordinator != "c1" || last.Agent == "" {
			t.Errorf("the report says node %s, agent %q, generation %d of %s", last.Node, last.Agent, last.Generation, last.Coordinator)
		}
		// Machine has no /proc: every probe that needs it says so, instead of inventing.
		if len(last.Failures) == 0 {
			t.Error("a host without /proc is reported without a failure")
		}
		stop()
		if h := a.Hello(); h.Generation != 7 || h.Coordinator != "c1" {
			t.Errorf("it would say hello as %+v", h)
		}
	})
}

func TestACoordinatorSetsTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, n, d := newCA(t), &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7, Interval: time.Second}}
		n.serve(t, here, d, ca)
		running(t, n, ca, newMachine())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := seen(d, func() int { return len(d.reports) }); got < 50 {
			t.Errorf("%d reports in a minute, want one a second", got)
		}
	})
}

func TestAnOrderIsCarriedOutAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, n, d := newCA(t), &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}}
		n.serve(t, here, d, ca)
		m := newMachine()
		running(t, n, ca, m)
		synctest.Wait()
		seen(d, func() any { d.orders <- order("o1"); return nil })
		synctest.Wait()
		results := seen(d, func() []ha.OrderResult { return d.results })
		if len(results) != 1 || results[0].ID != "o1" || results[0].Node != "node1" || results[0].Failed != "" || results[0].Refused != "" {
			t.Errorf("results %+v, want o1 done", results)
		}
		if ran := m.commands(); len(ran) != 1 {
			t.Errorf("it ran %q", ran)
		}
	})
}

// The coordinator is restarted: its next start has a new name and a higher generation.
// The agent finds it, obeys it, and the old one no more.
func TestARestartedCoordinatorIsFoundAndObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, n := newCA(t), &lan{}
		old := &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}}
		stopOld := n.serve(t, here, old, ca)
		m := newMachine()
		a, _ := running(t, n, ca, m)
		time.Sleep(12 * time.Second)
		stopOld()
		time.Sleep(2 * time.Minute)

		next := &desk{welcome: ha.Welcome{Coordinator: "c2", Generation: 8}}
		stopNext := n.serve(t, here, next, ca)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := seen(next, func() int { return len(next.reports) }); got == 0 {
			t.Fatal("the agent did not find the restarted coordinator")
		}
		if h := seen(next, func() []ha.Hello { return next.hellos }); h[0].Generation != 7 {
			t.Errorf("it said hello with generation %d, want 7", h[0].Generation)
		}
		stopNext()

		// The old one wakes up again, from a backup, say.
		n.serve(t, here, old, ca)
		before := seen(old, func() int { return len(old.reports) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := seen(old, func() int { return len(old.reports) }); got != before {
			t.Errorf("the outdated coordinator got %d more reports", got-before)
		}
		if h := a.Hello(); h.Coordinator != "c2" || h.Generation != 8 {
			t.Errorf("it obeys %s of generation %d", h.Coordinator, h.Generation)
		}
	})
}

// A certificate that cannot work is told at once, not tried for ever.
func TestWithoutCertificatesAnAgentDoesNotRun(t *testing.T) {
	a := newAgent(t, newMachine(), t.TempDir())
	a.config.TLSDir = t.TempDir()
	if err := a.Run(t.Context()); ha.KindOf(err) != ha.Invalid {
		t.Errorf("Run: %v, want an Invalid error", err)
	}
}

// Whether the probes can look is told when it changes, not every five seconds.
func TestBlindnessIsLoggedOnce(t *testing.T) {
	var log counter
	c := DefaultConfig()
	c.Node, c.StateDir = "node1", t.TempDir()
	m := newMachine()
	a := New(c, m, slog.New(&log))
	a.Look(t.Context())
	first := log.warnings
	if first == 0 {
		t.Fatal("nothing is said of a host without /proc")
	}
	a.Look(t.Context())
	if log.warnings != first {
		t.Errorf("%d more warnings in the second round", log.warnings-first)
	}
}

// counter counts warnings.
type counter struct{ warnings int }

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *counter) WithGroup(string) slog.Handler            { return c }
func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		c.warnings++
	}
	return nil
}

// The coordinator is at an address nobody configured: gossip leads there.
func TestGossipLeadsToTheCoordinator(t *testing.T) {
	ca, dir := newCA(t), t.TempDir()
	issueInto(t, ca, rpc.RoleAgent, "node1", dir)
	key, err := gossip.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(dir, "gossip.key")
	if err := key.Save(keyFile); err != nil {
		t.Fatal(err)
	}
	const moved = "10.99.0.9:8007"
	n, d := &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}, met: make(chan struct{}, 1)}
	n.serve(t, moved, d, ca)
	log := slog.New(slog.DiscardHandler)
	g, err := gossip.Join(t.Context(), gossip.Config{Name: "core", Role: gossip.RoleCoordinator, Bind: "127.0.0.1:0",
		Key: key, RPCAddress: moved, Log: log, Preset: gossip.Local})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Leave(time.Second) })

	c := DefaultConfig()
	c.Node, c.TLSDir, c.StateDir = "node1", dir, filepath.Join(dir, "state")
	c.Gossip = GossipConfig{Bind: "127.0.0.1:0", KeyFile: keyFile, Peers: []string{g.Members()[0].Address}, Preset: gossip.Local}
	a := New(c, newMachine(), log)
	a.dialer = n.dial
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	select {
	case <-d.met:
	case err := <-done:
		t.Fatalf("the agent stopped: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
