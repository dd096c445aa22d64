package probe

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// sick is a recorded machine of which parts hang until the channel is closed.
type sick struct {
	*Recording
	hangs  func(what string) bool
	healed chan struct{}
	// deaf: what hangs does not even return when its context ends, as a process in the
	// kernel does not.
	deaf bool

	mu     sync.Mutex
	inside map[string]int // calls that have not returned, by what they do
	most   map[string]int // the most there were at once
	calls  map[string]int // all there ever were
}

func newSick(r *Recording, hangs func(what string) bool) *sick {
	return &sick{Recording: r, hangs: hangs, healed: make(chan struct{}), inside: map[string]int{}, most: map[string]int{}, calls: map[string]int{}}
}

// wait hangs if what is to hang.
func (s *sick) wait(ctx context.Context, what string) error {
	s.mu.Lock()
	s.calls[what]++
	s.mu.Unlock()
	if !s.hangs(what) {
		return nil
	}
	s.mu.Lock()
	s.inside[what]++
	s.most[what] = max(s.most[what], s.inside[what])
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inside[what]--
		s.mu.Unlock()
	}()
	ended := ctx.Done()
	if s.deaf {
		ended = nil
	}
	select {
	case <-s.healed:
		return nil
	case <-ended:
		return ctx.Err()
	}
}

// mostOf is how many calls were stuck at once.
func (s *sick) mostOf(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most[what]
}

func (s *sick) Open(name string) (fs.File, error) {
	if err := s.wait(context.Background(), name); err != nil {
		return nil, err
	}
	return s.Recording.Open(name)
}

func (s *sick) ReadLink(name string) (string, error) {
	if err := s.wait(context.Background(), name); err != nil {
		return "", err
	}
	return s.Recording.ReadLink(name)
}

func (s *sick) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	if err := s.wait(ctx, path); err != nil {
		return 0, 0, err
	}
	return s.Recording.Statfs(ctx, path)
}

func (s *sick) TryWrite(ctx context.Context, path string) error {
	if err := s.wait(ctx, "write "+path); err != nil {
		return err
	}
	return s.Recording.TryWrite(ctx, path)
}

func (s *sick) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if err := s.wait(ctx, name); err != nil {
		return nil, err
	}
	return s.Recording.Run(ctx, name, args...)
}

func mountOf(t *testing.T, r ha.Report, path string) ha.Mount {
	t.Helper()
	for _, m := range r.Mounts {
		if m.Path == path {
			return m
		}
	}
	t.Fatalf("no mount on %s in the report", path)
	return ha.Mount{}
}

// failed lists the probes that could not look.
func failed(r ha.Report) string {
	var names []string
	for _, f := range r.Failures {
		names = append(names, f.Probe)
	}
	return strings.Join(names, " ")
}

func TestHungMountCostsOnlyItself(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			host := newSick(load(t, "busy.pve1"), func(what string) bool { return what == "/mnt/pve/nas" })
			host.deaf = deaf
			prober := New(host, "pve1")

			first := prober.Look(t.Context())
			nas := mountOf(t, first, "/mnt/pve/nas")
			if nas.Answering || nas.Stuck != statfsMax || nas.Error != "" {
				t.Errorf("a mount that hangs: %+v", nas)
			}
			if other := mountOf(t, first, "/mnt/my media"); other.Error == "" || other.Stuck != 0 {
				t.Errorf("the other mount answered at once: %+v", other)
			}
			if first.Took > statfsMax {
				t.Errorf("the report took %s", first.Took)
			}
			if failed(first) != "" || len(first.Running) != 5 || !first.Corosync.Quorate || !first.HA.LRMRunning {
				t.Errorf("the mount took other facts with it: %v", first.Failures)
			}

			// It is known now: asking again must not make every report slow.
			time.Sleep(time.Minute)
			second := prober.Look(t.Context())
			if nas := mountOf(t, second, "/mnt/pve/nas"); nas.Answering || nas.Stuck < time.Minute {
				t.Errorf("still hanging, a minute later: %+v", nas)
			}
			if second.Took > stuckWait {
				t.Errorf("the second report took %s", second.Took)
			}
			if n := host.mostOf("/mnt/pve/nas"); n != 1 {
				t.Errorf("%d questions to a hung mount at once", n)
			}

			close(host.healed)
			time.Sleep(statfsMax)
			if nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas"); !nas.Answering || nas.Stuck != 0 || nas.Total == 0 {
				t.Errorf("the server is back: %+v", nas)
			}
		})
	}
}

// The worst moment for a server to go is just after it was asked. It is in the report after
// that one, and that is out in under two intervals.
func TestHungMountIsReportedInUnderTwoIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return gone.Load() && what == "/mnt/pve/nas" })
		defer close(host.healed)
		prober := New(host, "pve1")
		if nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas"); !nas.Answering {
			t.Fatalf("before: %+v", nas)
		}
		gone.Store(true)
		went := time.Now()
		time.Sleep(ha.ReportInterval)
		nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas")
		if out := time.Since(went); nas.Answering || nas.Stuck == 0 || out >= 2*ha.ReportInterval {
			t.Errorf("reported after %s, two intervals are %s: %+v", out, 2*ha.ReportInterval, nas)
		}
	})
}

func TestMountThatCouldNotBeAskedIsUnknown(t *testing.T) {
	host := load(t, "busy.pve1")
	delete(host.statfs, "/mnt/pve/nas")
	r := lookAt(t, host)
	if why, unknown := r.Failed(ha.ProbeNFS); !unknown || !strings.Contains(why, "/mnt/pve/nas: ") {
		t.Errorf("failures: %v", r.Failures)
	}
	if nas := mountOf(t, r, "/mnt/pve/nas"); nas.Answering || nas.Stuck != 0 {
		t.Errorf("nobody knows: %+v", nas)
	}
}

func TestMountThatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return what == "/mnt/pve/nas" })
		prober := New(host, "pve1")
		prober.Look(t.Context())
		time.Sleep(time.Minute) // the question has been given up

		delete(host.files, "proc/self/mountinfo")
		host.add("proc/self/mountinfo", "29 1 0:23 / / rw - ext4 none\n")
		if r := prober.Look(t.Context()); len(r.Mounts) != 0 || failed(r) != "" {
			t.Errorf("nothing is mounted: %+v, %v", r.Mounts, r.Failures)
		}
		if n := len(prober.mounts.states); n != 0 {
			t.Errorf("%d mounts are remembered", n)
		}
	})
}

func TestStoppedCorosyncCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return strings.HasPrefix(what, "corosync-") })
		r := Look(t.Context(), host, "pve1")
		if failed(r) != ha.ProbeCorosync || r.Corosync.Running || r.Corosync.Quorate {
			t.Errorf("corosync hangs: %+v, %v", r.Corosync, r.Failures)
		}
		if r.Took > corosyncToolMax {
			t.Errorf("the report took %s", r.Took)
		}
		if len(r.Running) != 5 || len(r.Mounts) != 2 {
			t.Errorf("other facts are missing: %+v", r)
		}
	})
}

func TestLinksUnknownWhenTheirToolHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return what == "corosync-cfgtool" })
		r := Look(t.Context(), host, "pve1")
		if failed(r) != ha.ProbeCorosync || len(r.Corosync.Links) != 0 || !r.Corosync.Quorate {
			t.Errorf("corosync-cfgtool hangs: %+v, %v", r.Corosync, r.Failures)
		}
		host = newSick(load(t, "busy.pve1"), func(what string) bool { return what == "corosync-cfgtool" || what == "corosync-cmapctl" })
		if reason, _ := Look(t.Context(), host, "pve1").Failed(ha.ProbeCorosync); reason != "corosync-cmapctl did not answer within 2s; corosync-cfgtool did not answer within 2s" {
			t.Errorf("both hang: %q", reason)
		}
	})
}

// pmxcfs is a FUSE file system: when its process hangs, so does whoever reads /etc/pve,
// and no deadline can interrupt that.
func TestHungPmxcfsCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return strings.HasPrefix(what, "etc/pve/") })
		host.deaf = true
		prober := New(host, "pve1")
		for round := range 3 {
			r := prober.Look(t.Context())
			if got := failed(r); got != "ceph fencing guest_configs guests lrm membership pmxcfs storage" {
				t.Errorf("round %d: without pmxcfs these could not look: %s", round, got)
			}
			if r.System.MemoryTotal == 0 || r.System.PmxcfsMounted || !r.Corosync.Quorate || len(r.Mounts) != 2 || !r.Watchdog.MuxRunning {
				t.Errorf("round %d: other facts are missing: %+v", round, r)
			}
			time.Sleep(time.Minute)
		}
		if n := host.mostOf("etc/pve/local"); n > 7 {
			t.Errorf("%d readers are stuck in pmxcfs after three rounds: one a probe is enough", n)
		}
		close(host.healed)
		time.Sleep(time.Minute)
		if r := prober.Look(t.Context()); failed(r) != "" || len(r.GuestConfigs) != 14 {
			t.Errorf("pmxcfs is back: %d configurations, %v", len(r.GuestConfigs), r.Failures)
		}
	})
}

// A command line can only be read while the process is not waiting for its disk. A guest
// that is known stays known; a new one makes the list of guests unknown, not shorter.
func TestCommandLineOfAGuestThatWaitsForItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := false
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return stuck && strings.HasSuffix(what, "/cmdline") })
		host.deaf = true
		prober := New(host, "pve1")
		if r := prober.Look(t.Context()); len(r.Running) != 5 {
			t.Fatalf("running: %+v", r.Running)
		}
		stuck = true
		if r := prober.Look(t.Context()); len(r.Running) != 5 || failed(r) != "" {
			t.Errorf("known guests: %+v, %v", r.Running, r.Failures)
		}
		host.add("proc/1005/comm", "kvm\n")
		host.add("proc/1005/stat", strings.Replace(string(host.files["proc/1000/stat"].data), "1000", "1005", 1))
		host.add("proc/1005/cmdline", "/usr/bin/kvm\x00-id\x00105\x00")
		if r := prober.Look(t.Context()); len(r.Running) != 0 || failed(r) != ha.ProbeGuests {
			t.Errorf("a guest that cannot be told: %+v, %v", r.Running, r.Failures)
		}
		close(host.healed)
	})
}

func TestLookEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(string) bool { return true })
		host.deaf = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := Look(ctx, host, "pve1")
		if r.Took > time.Second || len(r.Failures) != len(All)-1 { // the LRM's journal is not asked where nothing failed
			t.Errorf("took %s, failures: %v", r.Took, r.Failures)
		}
		close(host.healed)
	})
}

func TestFaultyProbeIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := Probe{Name: "broken", Deadline: time.Second, look: func(context.Context, *round) (facts, error) { panic("nobody foresaw this") }}
		p := New(load(t, "busy.pve1"), "pve1")
		got := <-p.start(t.Context(), broken, newRound(p))
		if got.err == nil || !strings.Contains(got.err.Error(), "nobody foresaw this") {
			t.Errorf("a probe that panics: %v", got.err)
		}
		partial := Probe{Name: "partial", Deadline: time.Second, look: func(context.Context, *round) (facts, error) {
			return func(r *ha.Report) { r.Watchdog.MuxRunning = true }, errors.New("half of it")
		}}
		if got := <-p.start(t.Context(), partial, newRound(p)); got.facts == nil || got.err == nil {
			t.Errorf("a probe that sees half: %+v", got)
		}
	})
}

// A mount that has been dead for an hour: the round is as quick as ever, there is one
// question to it at a time and no write, and every other fact is as fresh as before.
func TestMountDeadForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return strings.HasSuffix(what, "/mnt/pve/nas") })
		host.deaf = true // nothing that waits for it can be killed
		prober := New(host, "pve1")
		prober.TestWrites(WriteEvery)
		prober.Look(t.Context())
		slowest := time.Duration(0)
		for range 720 {
			time.Sleep(ha.ReportInterval)
			r := prober.Look(t.Context())
			slowest = max(slowest, r.Took)
			if nas := mountOf(t, r, "/mnt/pve/nas"); nas.Answering || nas.Stuck == 0 || nas.Write != (ha.WriteTest{}) {
				t.Fatalf("it is dead: %+v", nas)
			}
			if failed(r) != "" || len(r.Running) != 5 || len(r.Interfaces) == 0 || !r.Clock.Synchronized {
				t.Fatalf("other facts are missing: %v", r.Failures)
			}
		}
		if slowest > stuckWait {
			t.Errorf("a report took %s", slowest)
		}
		if host.mostOf("/mnt/pve/nas") != 1 || host.mostOf("write /mnt/pve/nas") != 0 {
			t.Errorf("%d questions and %d writes at once", host.mostOf("/mnt/pve/nas"), host.mostOf("write /mnt/pve/nas"))
		}
		close(host.healed)
		time.Sleep(ha.ReportInterval)
		prober.Look(t.Context())
		time.Sleep(ha.ReportInterval)
		if nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas"); !nas.Answering || nas.Write.At.IsZero() {
			t.Errorf("two rounds after the server is back: %+v", nas)
		}
	})
}

// A server may answer statfs and yet block whoever writes.
func TestMountThatBlocksWrites(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			host := newSick(load(t, "busy.pve1"), func(what string) bool { return what == "write /mnt/pve/nas" })
			host.deaf = deaf
			prober := New(host, "pve1")
			prober.TestWrites(WriteEvery)
			for round := range 60 {
				r := prober.Look(t.Context())
				nas := mountOf(t, r, "/mnt/pve/nas")
				if !nas.Answering || nas.Write.Stuck == 0 || !nas.Write.At.IsZero() || failed(r) != "" {
					t.Fatalf("round %d: %+v, %v", round, nas, r.Failures)
				}
				if r.Took > writeWait {
					t.Errorf("round %d took %s", round, r.Took)
				}
				time.Sleep(ha.ReportInterval)
			}
			if nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas"); nas.Write.Stuck < 5*time.Minute {
				t.Errorf("after five minutes: %+v", nas.Write)
			}
			if n := host.mostOf("write /mnt/pve/nas"); n != 1 {
				t.Errorf("%d attempts at once", n)
			}
			close(host.healed)
			time.Sleep(WriteEvery)
			if nas := mountOf(t, prober.Look(t.Context()), "/mnt/pve/nas"); nas.Write.Stuck != 0 || nas.Write.At.IsZero() || nas.Write.Error != "" {
				t.Errorf("it can be written again: %+v", nas.Write)
			}
		})
	}
}

// Only what a storage or the agent's settings name is written to, never what is read-only,
// and not oftener than asked for.
func TestWritesAreFewAndWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(string) bool { return false })
		host.add("proc/self/mountinfo", string(host.files["proc/self/mountinfo"].data)+
			"60 29 0:70 / /mnt/backup rw - nfs4 10.10.0.50:/backup rw,hard\n61 29 0:71 / /mnt/nobody rw - nfs4 10.10.0.50:/nobody rw,hard\n")
		for _, path := range []string{"/mnt/backup", "/mnt/nobody", "/mnt/my media"} {
			host.statfs[path] = recordedAnswer{total: 1, free: 1}
		}
		host.writes["/mnt/backup"] = recordedAnswer{err: "permission denied"}
		prober := New(host, "pve1")
		prober.TestWrites(time.Minute, "/mnt/backup", "/mnt/my media")
		var r ha.Report
		for range 60 {
			r = prober.Look(t.Context())
			time.Sleep(ha.ReportInterval)
		}
		for path, want := range map[string]int{"/mnt/pve/nas": 5, "/mnt/backup": 5, "/mnt/nobody": 0, "/mnt/my media": 0} {
			if n := host.calls["write "+path]; n != want {
				t.Errorf("%d writes to %s in five minutes, want %d", n, path, want)
			}
		}
		if got := mountOf(t, r, "/mnt/backup").Write; got.Error != "permission denied" {
			t.Errorf("a mount that refuses: %+v", got)
		}
		if got := mountOf(t, r, "/mnt/pve/nas").Write; got.Error != "" || got.At.IsZero() {
			t.Errorf("a mount that takes it: %+v", got)
		}
	})
}
