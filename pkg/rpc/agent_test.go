package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

const here = "coordinator:8007"

// node1 is the session of agent node1 in a lan, not running yet.
func node1(p pki, n *lan, addresses ...string) *AgentSession {
	if len(addresses) == 0 {
		addresses = []string{here}
	}
	return &AgentSession{
		Addresses: func() []string { return addresses },
		TLS:       p.client(RoleAgent, "node1"),
		Hello:     func() ha.Hello { return ha.Hello{Node: "node1", Version: "1.0.0"} },
		Welcome:   func(ha.Welcome) error { return nil },
		Order:     func(context.Context, ha.Order) ha.OrderResult { return ha.OrderResult{} },
		Log:       slog.New(slog.DiscardHandler),
		Dialer:    n.dial,
	}
}

// run runs a session until the test ends or stop is called; stop waits for it.
func run(t *testing.T, s *AgentSession) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var stopped bool
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		if err := <-done; err != nil {
			t.Errorf("Run: %v, want nil when its context ends", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func order(id string) ha.Order {
	return ha.Order{ID: id, TTL: time.Minute, Deed: ha.SetNodeMaintenance{Node: "node1", On: true}}
}

// pass lets time pass in the bubble, and then everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAnAgentReportsAndObeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 3, Interval: 5 * time.Second}}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		var welcomed ha.Welcome
		s.Welcome = func(w ha.Welcome) error { welcomed = w; return nil }
		var obeyed []ha.Order
		s.Order = func(_ context.Context, o ha.Order) ha.OrderResult {
			obeyed = append(obeyed, o)
			return ha.OrderResult{Output: "queued"}
		}
		run(t, s)
		synctest.Wait()
		if len(d.hellos) != 1 || d.hellos[0].Version != "1.0.0" {
			t.Fatalf("hellos: %v, want one of version 1.0.0", d.hellos)
		}
		if welcomed != d.welcome {
			t.Errorf("welcomed with %v, want %v", welcomed, d.welcome)
		}

		s.Report(ha.Report{Node: "node1", Took: time.Second})
		synctest.Wait()
		if len(d.reports) != 1 || d.reports[0].Took != time.Second {
			t.Errorf("reports: %v, want the one handed in", d.reports)
		}

		d.give(t, "node1", order("o1"))
		synctest.Wait()
		if want := []ha.Order{order("o1")}; !slices.Equal(obeyed, want) {
			t.Errorf("obeyed %v, want %v", obeyed, want)
		}
		want := []ha.OrderResult{{ID: "o1", Node: "node1", Output: "queued"}}
		if diff := cmp.Diff(want, d.results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		if len(s.box.results) != 0 {
			t.Errorf("%d results are kept after they were taken", len(s.box.results))
		}
	})
}

// An agent that finds nobody waits longer and longer, never longer than half a minute, and
// begins afresh after a session that was a good one.
func TestAnAgentBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		run(t, node1(p, n))
		pass(5 * time.Minute)

		at := n.attempts()
		base := []time.Duration{1, 2, 4, 8, 16, 20, 20, 20}
		if len(at) < len(base)+1 {
			t.Fatalf("%d attempts in 5 minutes, want more", len(at))
		}
		for k, b := range base {
			b *= time.Second
			if gap := at[k+1].at.Sub(at[k].at); gap < b || gap > b+b/2 {
				t.Errorf("pause %d was %s, want %s to %s", k+1, gap, b, b+b/2)
			}
		}
		if gap := at[1].at.Sub(at[0].at); gap%time.Second == 0 {
			t.Errorf("the first pause was %s: without jitter all agents come at once", gap)
		}

		stop := n.serve(t, here, d, p.server())
		pass(time.Minute)
		if len(d.hellos) != 1 {
			t.Fatalf("%d hellos, want 1", len(d.hellos))
		}
		stop()
		stopped, before := time.Now(), len(n.attempts())
		pass(1500 * time.Millisecond)
		after := n.attempts()[before:]
		if len(after) == 0 || after[0].at.Sub(stopped) < time.Second {
			t.Errorf("after a good session that ended at %v the next attempts were %v, want one 1 to 1.5 s later", stopped, after)
		}
	})
}

// Two machines with the certificate of one node take the session from each other. They
// must not do so every second for ever.
func TestTwoAgentsOfOneNodeBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		run(t, node1(p, n))
		run(t, node1(p, n))
		pass(10 * time.Minute)
		if len(d.hellos) < 4 {
			t.Fatalf("%d sessions: they do not take over from each other at all", len(d.hellos))
		}
		if len(d.hellos) > 100 {
			t.Errorf("%d sessions in 10 minutes, want the back-off to slow them down", len(d.hellos))
		}
	})
}

func TestANewSessionTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		old := node1(p, n)
		run(t, old)
		synctest.Wait()
		young := node1(p, n)
		var obeyed int
		young.Order = func(context.Context, ha.Order) ha.OrderResult { obeyed++; return ha.OrderResult{} }
		run(t, young)
		synctest.Wait()
		if over := seen(d, func() int { return d.sessionsOver }); over != 1 {
			t.Fatalf("%d sessions are over, want the first one", over)
		}
		d.give(t, "node1", order("o1"))
		synctest.Wait()
		if obeyed != 1 {
			t.Error("the order did not go to the session that took over")
		}
	})
}

// The first address is dead, the second an old coordinator, the third the right one.
func TestAddressesAreTriedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		old, young := &desk{welcome: ha.Welcome{Generation: 1}}, &desk{welcome: ha.Welcome{Generation: 2}}
		n.serve(t, "b:8007", old, p.server())
		n.serve(t, "c:8007", young, p.server())
		s := node1(p, n, "a:8007", "b:8007", "c:8007")
		s.Welcome = func(w ha.Welcome) error {
			if w.Generation < 2 {
				return errors.New("an older generation")
			}
			return nil
		}
		run(t, s)
		synctest.Wait()
		var tried []string
		for _, a := range n.attempts() {
			tried = append(tried, a.address)
		}
		if diff := cmp.Diff([]string{"a:8007", "b:8007", "c:8007"}, tried); diff != "" {
			t.Errorf("addresses tried (-want +got):\n%s", diff)
		}
		s.Report(ha.Report{Node: "node1"})
		synctest.Wait()
		if len(old.reports) != 0 || len(young.reports) != 1 {
			t.Errorf("%d reports to the old coordinator, %d to the young one, want 0 and 1", len(old.reports), len(young.reports))
		}
	})
}

func TestTheLatestReportWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		s := node1(p, n)
		run(t, s)
		began := time.Now()
		for k := range 100 {
			s.Report(ha.Report{Node: "node1", Generation: uint64(k)})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("handing in reports without a connection took %s", took)
		}
		n.serve(t, here, d, p.server())
		pass(2 * time.Second)
		if len(d.reports) != 1 || d.reports[0].Generation != 99 {
			t.Errorf("reports that arrived: %v, want the last one only", d.reports)
		}
	})
}

// The coordinator dates a report by its arrival: one that lay about must not look fresh.
func TestAReportThatLayAboutIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		s := node1(p, n)
		run(t, s)
		s.Report(ha.Report{Node: "node1", Generation: 1})
		pass(ha.ReportInterval + time.Second)
		n.serve(t, here, d, p.server())
		pass(time.Minute)
		if len(d.hellos) != 1 || len(d.reports) != 0 {
			t.Errorf("%d sessions, reports %v; want a session without the old report", len(d.hellos), d.reports)
		}
		s.Report(ha.Report{Node: "node1", Generation: 2})
		synctest.Wait()
		if len(d.reports) != 1 || d.reports[0].Generation != 2 {
			t.Errorf("reports: %v, want the new one", d.reports)
		}
	})
}

// The coordinator dies while an order is carried out. Its successor asks for the same
// order again: it gets the result, and the deed is not done twice.
func TestAResultOutlivesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		stop := n.serve(t, here, d, p.server())
		s := node1(p, n)
		release, obeyed := make(chan struct{}), 0
		s.Order = func(ctx context.Context, _ ha.Order) ha.OrderResult {
			obeyed++
			select {
			case <-release:
				return ha.OrderResult{Output: "done"}
			case <-ctx.Done():
				return ha.OrderResult{Failed: "stopped half way"}
			}
		}
		run(t, s)
		synctest.Wait()
		d.give(t, "node1", order("o1"))
		synctest.Wait()
		stop()
		successor := &desk{}
		n.serve(t, here, successor, p.server())
		pass(time.Minute)
		successor.give(t, "node1", order("o1")) // while it is still under way
		synctest.Wait()
		close(release)
		synctest.Wait()
		successor.give(t, "node1", order("o2"))
		synctest.Wait()
		if diff := cmp.Diff([]string{"o1", "o2"}, successor.resultIDs()); diff != "" {
			t.Errorf("results at the successor (-want +got):\n%s", diff)
		}
		if obeyed != 2 || successor.results[0].Output != "done" {
			t.Errorf("orders were carried out %d times, results %v; want each once and whole", obeyed, successor.results)
		}
	})
}

// A result counts as delivered when the coordinator has stored it, not when it was sent.
func TestAResultIsSentUntilItIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		d := &desk{resultErr: []error{errors.New("the disk is full"), nil, ha.Errorf(ha.NotFound, "no such order")}}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		run(t, s)
		synctest.Wait()
		d.give(t, "node1", order("o1"))
		pass(time.Minute)
		if diff := cmp.Diff([]string{"o1", "o1"}, d.resultIDs()); diff != "" {
			t.Fatalf("results after the first was not stored (-want +got):\n%s", diff)
		}
		d.give(t, "node1", order("o2"))
		pass(time.Minute)
		if diff := cmp.Diff([]string{"o1", "o1", "o2"}, d.resultIDs()); diff != "" {
			t.Errorf("a result that the coordinator will never accept must not be repeated (-want +got):\n%s", diff)
		}
		if len(d.hellos) != 2 || len(s.box.results) != 0 {
			t.Errorf("%d sessions, %d results kept; want 2 and 0", len(d.hellos), len(s.box.results))
		}
	})
}

func TestOrdersAreCarriedOutOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		var left []time.Duration
		s.Order = func(_ context.Context, o ha.Order) ha.OrderResult {
			left = append(left, o.TTL)
			time.Sleep(40 * time.Second)
			return ha.OrderResult{}
		}
		run(t, s)
		synctest.Wait()
		for k := range 3 {
			d.give(t, "node1", order(fmt.Sprintf("o%d", k)))
		}
		pass(5 * time.Minute)
		if want := []time.Duration{60 * time.Second, 20 * time.Second}; !slices.Equal(left, want) {
			t.Errorf("TTLs of the orders carried out: %v, want %v: the second waited 40 s", left, want)
		}
		if last := d.results[2]; last.ID != "o2" || last.Refused == "" {
			t.Errorf("the third order: %+v, want it refused because it expired in the queue", last)
		}
	})
}

func TestTooManyOrdersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		s.Order = func(ctx context.Context, _ ha.Order) ha.OrderResult { <-ctx.Done(); return ha.OrderResult{} }
		run(t, s)
		synctest.Wait()
		d.give(t, "node1", order("first"))
		synctest.Wait()
		for k := range ordersWaitingMax + 1 {
			d.give(t, "node1", order(fmt.Sprintf("o%d", k)))
		}
		synctest.Wait()
		if len(d.results) != 1 || d.results[0].ID != fmt.Sprintf("o%d", ordersWaitingMax) || d.results[0].Refused == "" {
			t.Errorf("results %v, want the one order too many refused", d.results)
		}
	})
}

// A newer coordinator orders what this agent has never heard of.
func TestAnUnknownOrderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		s.Order = func(context.Context, ha.Order) ha.OrderResult {
			t.Error("an order without a known deed was carried out")
			return ha.OrderResult{}
		}
		run(t, s)
		synctest.Wait()
		d.give(t, "node1", ha.Order{ID: "o1", TTL: time.Minute})
		synctest.Wait()
		if len(d.results) != 1 || d.results[0].Refused == "" {
			t.Errorf("results %v, want a refusal", d.results)
		}
	})
}

func TestAnOrderThatPanicsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		s.Order = func(_ context.Context, o ha.Order) ha.OrderResult {
			if o.ID == "o1" {
				panic("a bug in the agent")
			}
			return ha.OrderResult{}
		}
		run(t, s)
		synctest.Wait()
		d.give(t, "node1", order("o1"))
		d.give(t, "node1", order("o2"))
		synctest.Wait()
		if len(d.results) != 2 || d.results[0].Failed == "" || d.results[1].Failed != "" {
			t.Errorf("results %v, want the first failed and the second done", d.results)
		}
	})
}

// A switch loses power: no packet says that the connection is gone. Both ends must notice
// before the reports are too old to act on.
func TestADeadConnectionIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		run(t, node1(p, n))
		pass(time.Minute)
		n.pull()
		pass(ha.ReportAgeMax)
		if over := seen(d, func() int { return d.sessionsOver }); over != 1 {
			t.Errorf("%d sessions are over for the coordinator %s after the cable was pulled, want 1", over, ha.ReportAgeMax)
		}
		if len(n.attempts()) < 2 {
			t.Errorf("the agent has not dialed again %s after the cable was pulled", ha.ReportAgeMax)
		}
		n.plug()
		pass(time.Minute)
		if len(d.hellos) != 2 {
			t.Errorf("%d sessions after the cable was plugged in again, want 2", len(d.hellos))
		}
	})
}

func TestASessionStopsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		s := node1(p, n)
		var stopped bool
		s.Order = func(ctx context.Context, _ ha.Order) ha.OrderResult {
			<-ctx.Done()
			stopped = true
			return ha.OrderResult{Failed: "stopped"}
		}
		stop := run(t, s)
		synctest.Wait()
		d.give(t, "node1", order("o1"))
		synctest.Wait()
		stop()
		if !stopped {
			t.Error("Run returned while an order was being carried out")
		}
		synctest.Wait()
		if over := seen(d, func() int { return d.sessionsOver }); over != 1 {
			t.Error("the coordinator does not know that the agent went away")
		}
	})
}

func TestRunNeedsItsFields(t *testing.T) {
	if err := (&AgentSession{}).Run(t.Context()); ha.KindOf(err) != ha.Invalid {
		t.Errorf("Run of an empty session: %v, want an Invalid error", err)
	}
}

func TestTheOutboxForgetsTheOldestResults(t *testing.T) {
	var b outbox
	for k := range resultsMax + 5 {
		b.result(&hav1.OrderResult{Id: fmt.Sprint(k)})
	}
	if len(b.results) != resultsMax || b.results[0].result.GetId() != "5" {
		t.Errorf("%d results from %s on, want %d from 5 on", len(b.results), b.results[0].result.GetId(), resultsMax)
	}
}
