package coordinator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// texts are the journal's texts of the given types.
func (w *world) texts(types ...ha.EventType) []string {
	var out []string
	for _, e := range w.events(0) {
		if slices.Contains(types, e.Type) {
			out = append(out, e.Text)
		}
	}
	return out
}

// demand demands these texts, in this order; others may stand between them.
func (w *world) demand(texts []string, want ...string) {
	w.t.Helper()
	rest := texts
	for _, text := range want {
		k := slices.IndexFunc(rest, func(s string) bool { return strings.Contains(s, text) })
		if k < 0 {
			w.t.Errorf("%q is missing, or not in its place, in:\n%s", text, strings.Join(texts, "\n"))
			return
		}
		rest = rest[k+1:]
	}
}

// node1 loses its power. What happened, in order.
func TestTheJournalTellsAPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.PowerOff("node1")
		w.until(6*time.Minute, "recovery", func() bool { return w.count(ha.EventGuestMoved, "") >= 2 })
		w.sim.PowerOn("node1")
		w.until(4*time.Minute, "return", func() bool { return w.count(ha.EventHAState, "node1 as online") == 1 })
		if seen := w.c.Snapshot().Witnessed; seen.Fence.Node != "node1" || seen.Failover.From != "node1" || seen.Failover.To == "node1" ||
			seen.Failover.Lost.IsZero() || seen.Failover.At.Sub(seen.Failover.Lost) > 4*time.Minute {
			t.Errorf("of all that is remembered as a proof only %+v", seen)
		}
		all := w.texts(ha.EventNodeDown, ha.EventNodeUp, ha.EventAgent, ha.EventFenced, ha.EventHAState, ha.EventGuestMoved)
		w.demand(all, "node1 has left the cluster", "the agent of node1 has been silent", "node1 as unknown (was online)",
			"the HA manager fences node1", "node1 is fenced", "(it ran on node1)", "node1 is back in the cluster", "node1 as online")
		w.demand(w.texts(ha.EventAgent), "has been silent", "the agent of node1 reports again")
		if n := w.count(ha.EventSplitBrain, ""); n != 0 {
			t.Errorf("%d false alarms", n)
		}
	})
}

// The coordinator's own node dies with it; started elsewhere it tells what happened.
func TestACoordinatorTellsWhatHappenedWhileItWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.crash()
		w.sim.PowerOff("node1")
		time.Sleep(5 * time.Minute)
		w.start()
		for range 3 {
			w.step()
		}
		w.demand(w.texts(ha.EventStarted, ha.EventNodeDown, ha.EventGuestMoved), "generation 1", "generation 2",
			"node1 has left the cluster", "(it ran on node1)", "(it ran on node1)")
	})
}

func TestTheJournalTellsOfGuestsThatStopAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.Crash("vm:103")
		w.until(time.Minute, "stop", func() bool { return w.count(ha.EventGuestDown, "vm:103 (nas) no longer runs on node2") == 1 })
		w.sim.Crash("vm:101") // HA-managed: it is started again
		w.until(3*time.Minute, "restart", func() bool {
			return w.count(ha.EventGuestUp, "vm:101 (media) runs on node1") == w.count(ha.EventGuestDown, "vm:101 (media)") && w.runs("vm:101") == "node1"
		})
	})
}

// double lets node3's agent claim that it runs nas as well.
func (w *world) double(pid int) {
	w.t.Helper()
	time.Sleep(w.config.Interval)
	w.report()
	r := reportOf(w.sim, "node3")
	r.Generation, r.Coordinator = w.agents["node3"].generation, w.agents["node3"].coordinator
	r.Running = append(r.Running, ha.LocalGuest{SID: ha.MustSID("vm:103"), PID: pid})
	if err := w.c.Report(context.Background(), r); err != nil {
		w.t.Fatal(err)
	}
	if err := w.c.Tick(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func TestASplitBrainIsAlarmedWithinOneReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.double(4711)
		if n := w.count(ha.EventSplitBrain, ""); n != 0 {
			t.Error("alarmed at once: two reports that do not overlap prove nothing")
		}
		if err := w.c.Tick(t.Context()); err != nil || w.count(ha.EventSplitBrain, "") != 0 {
			t.Errorf("alarmed by the same two reports again (%v)", err)
		}
		w.double(4711)
		w.demand(w.texts(ha.EventSplitBrain), "SPLIT BRAIN: vm:103 runs on node2 (pid ")
		w.demand(w.texts(ha.EventSplitBrain), "its configuration lies on node2, so stop the other at once, on node3: `kill 4711`")
		for range 5 {
			w.double(4711)
		}
		if n := w.count(ha.EventSplitBrain, ""); n != 1 {
			t.Errorf("alarmed %d times", n)
		}
		w.step()
		w.demand(w.texts(ha.EventSplitBrain), "SPLIT BRAIN", "vm:103 runs on node2 only, again")
	})
}

// A guest that moves is in the old report of its source and the new one of its destination
// for a moment, perhaps again and again. That is no alarm.
func TestAMoveIsNoSplitBrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		for pid := range 10 {
			w.double(5000 + pid) // another process each time: nothing ran all along
		}
		if n := w.count(ha.EventSplitBrain, ""); n != 0 {
			t.Errorf("%d false alarms", n)
		}
	})
}

func TestAWaitIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.FailMigration("vm:102", -1)
		w.drain("node1")
		for range 60 {
			w.step()
		}
		for _, e := range w.events(0) {
			if e.Type == ha.EventWait && strings.Contains(e.Text, "vm:102") && e.SID != ha.MustSID("vm:102") {
				t.Errorf("%+v does not name its guest", e)
			}
		}
		waits := w.texts(ha.EventWait)
		w.demand(waits, "vm:102: try 1 failed: migration problems; next try in 30 s")
		if n := len(waits); n > 3 {
			t.Errorf("%d waits in 60 ticks:\n%s", n, strings.Join(waits, "\n"))
		}
	})
}

func TestSafeIsSaidOnceAlsoAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		w.crash()
		w.start()
		w.until(time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		if n := w.count(ha.EventSafe, ""); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

func TestFollowersMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		ctx, stop := context.WithCancel(t.Context())
		var seqs []uint64
		done := make(chan error)
		go func() {
			done <- w.c.Events(ctx, 0, true, func(e ha.Event) error {
				seqs = append(seqs, e.Seq)
				time.Sleep(3 * time.Second) // slower than the coordinator writes
				return nil
			})
		}()
		w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		last := w.lastSeq()
		time.Sleep(time.Duration(last) * 3 * time.Second)
		synctest.Wait()
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v; want that it was cancelled", err)
		}
		for k, s := range seqs {
			if s != uint64(k)+1 {
				t.Fatalf("entry %d has the number %d", k, s)
			}
		}
		if uint64(len(seqs)) != last {
			t.Errorf("followed %d of %d entries", len(seqs), last)
		}
	})
}

// A watcher that does not read blocks nobody, and when it reads again it sees the newest.
func TestASlowWatcherSeesTheNewestAndBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		if err := w.c.WatchMaintenance(t.Context(), "node1", nil); ha.KindOf(err) != ha.NotFound {
			t.Errorf("err = %v; want NotFound", err)
		}
		w.drain("node1")
		ctx, stop := context.WithCancel(t.Context())
		views := make(chan ha.MaintenanceView)
		done := make(chan error)
		go func() {
			done <- w.c.WatchMaintenance(ctx, "node1", func(v ha.MaintenanceView) error { views <- v; return nil })
		}()
		if v := <-views; v.Maintenance.Phase != ha.Requested {
			t.Errorf("first view: %s", v.Maintenance.Phase)
		}
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		<-views // the one it was stuck with
		if v := <-views; !v.Safe {
			t.Errorf("the next view: %+v; want the newest, that node1 is safe", v)
		}
		synctest.Wait()
		select {
		case v := <-views:
			t.Errorf("a view without a change: %+v", v)
		default:
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
}
