package coordinator_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Run ticks by itself, at once when asked, and never faster than the spacing.
func TestRunTicksByItselfAndAtOnceWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		var ticks []time.Time
		w.api.onGet = func(path string) {
			if path == "/cluster/status" {
				ticks = append(ticks, time.Now())
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.c.Run(ctx) }()
		agents := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
				synctest.Wait()
				w.report()
			}
			synctest.Wait()
		}
		agents(time.Minute)
		if n := len(ticks); n < 11 || n > 14 {
			t.Errorf("%d ticks in a minute; want one every %s", n, w.config.Interval)
		}
		began := time.Now()
		ticks = nil
		w.drain("node1") // looks once itself
		time.Sleep(w.config.SpacingMin + time.Millisecond)
		synctest.Wait()
		if len(ticks) < 2 {
			t.Errorf("no tick within %s of a request", time.Since(began))
		}
		agents(5 * time.Minute)
		if !w.view("node1").Safe {
			t.Errorf("not drained:\n%s", w.story(0))
		}
		for k := 2; k < len(ticks); k++ {
			if d := ticks[k].Sub(ticks[k-1]); d < w.config.SpacingMin {
				t.Errorf("two ticks %s apart", d)
			}
		}
		if since := time.Since(w.c.Ticked()); since > 2*w.config.Interval {
			t.Errorf("the last tick ended %s ago", since)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestConfigNamesEveryFault(t *testing.T) {
	if err := coordinator.DefaultConfig().Validate(); err != nil {
		t.Errorf("the default configuration: %v", err)
	}
	err := coordinator.Config{Interval: time.Hour, SpacingMin: -1, OrderTTL: time.Millisecond, ReportsKept: -1}.Validate()
	if ha.KindOf(err) != ha.Invalid {
		t.Fatalf("err = %v; want Invalid", err)
	}
	for _, text := range []string{"interval is 1h", "spacing is -1ns", "order time limit is 1ms", "reports is -1ns"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is missing in: %v", text, err)
		}
	}
}

// A node whose clock is wrong by an hour is known as well as any other, and as briefly.
func TestTheAgeOfAReportCountsFromItsArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home())
		for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
			r := reportOf(w.sim, "node1")
			r.Taken = time.Now().Add(wrong)
			r.Received = r.Taken // what an agent says of it is not believed
			if err := w.c.Report(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if _, fresh := w.c.Snapshot().FreshReport("node1"); !fresh {
				t.Errorf("a report that has just come, with a clock wrong by %s, is not fresh", wrong)
			}
			time.Sleep(ha.ReportAgeMax + time.Second)
			if _, fresh := w.c.Snapshot().FreshReport("node1"); fresh {
				t.Errorf("a report of long ago, with a clock wrong by %s, is fresh", wrong)
			}
		}
	})
}

// Reports are written down, so that a restarted coordinator shows when it last heard of
// each node; it acts on none of them.
func TestOldReportsAreHistoryAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		for range 3 {
			w.step()
		}
		w.crash()
		time.Sleep(time.Minute)
		w.start()
		s := w.c.Snapshot()
		if len(s.Reports) != 3 {
			t.Fatalf("%d reports; want those of the three nodes", len(s.Reports))
		}
		for _, r := range s.Reports {
			if _, fresh := s.FreshReport(r.Node); fresh {
				t.Errorf("the report of %s, %s old, counts as fresh", r.Node, s.At.Sub(r.Received))
			}
		}
	})
}
