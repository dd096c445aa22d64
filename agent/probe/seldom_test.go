package probe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What changes seldom is asked seldom, and in every report all the same.
func TestSeldomFactsAreInEveryReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newSick(load(t, "busy.pve1"), func(string) bool { return false })
		prober := New(host, "pve1")
		for round := range 120 { // ten minutes
			r := prober.Look(t.Context())
			if failed(r) != "" || len(r.Units) == 0 || r.Hardware.CPUModel == "" || len(r.Interfaces) == 0 || r.Ceph.Health != "HEALTH_OK" || len(r.Ceph.Pools) != 2 || len(r.Fencing.SBD.Devices) != 1 {
				t.Fatalf("round %d: %v", round, r.Failures)
			}
			time.Sleep(ha.ReportInterval)
		}
		for what, most := range map[string]int{
			"systemctl": 20, "chronyc": 20, "ip": 40, "proc/cpuinfo": 2, "sbd": 20,
			"ceph": 10 + 2*2, // the status, and the layout when it is first seen and once more after ten minutes
		} {
			if n := host.calls[what]; n == 0 || n > most {
				t.Errorf("%s was asked %d times in ten minutes, want at most %d", what, n, most)
			}
		}
	})
}

// A tool that begins to hang costs its own facts, after they have become too old, and never
// a slow report.
func TestToolThatBeginsToHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := false
		host := newSick(load(t, "busy.pve1"), func(what string) bool { return hangs && what == "ceph" })
		host.deaf = true
		prober := New(host, "pve1")
		if r := prober.Look(t.Context()); r.Ceph.Health != "HEALTH_OK" {
			t.Fatalf("healthy: %+v, %v", r.Ceph, r.Failures)
		}
		hangs = true
		began := time.Now()
		unknown := time.Duration(0)
		for range 60 {
			time.Sleep(ha.ReportInterval)
			r := prober.Look(t.Context())
			if r.Took > seldomWait {
				t.Errorf("a report took %s", r.Took)
			}
			if why, ok := r.Failed(ha.ProbeCeph); ok && unknown == 0 {
				unknown = time.Since(began)
				if !strings.Contains(why, "hanging") || r.Ceph.Health != "" {
					t.Errorf("unknown, and yet %+v: %s", r.Ceph, why)
				}
			}
		}
		if unknown == 0 || unknown > 90*time.Second {
			t.Errorf("it hangs, and that was said after %s", unknown)
		}
		if n := host.mostOf("ceph"); n != 1 {
			t.Errorf("%d at once", n)
		}
		close(host.healed)
		time.Sleep(ha.ReportInterval)
		prober.Look(t.Context())
		time.Sleep(time.Minute)
		if r := prober.Look(t.Context()); r.Ceph.Health != "HEALTH_OK" || failed(r) != "" {
			t.Errorf("it answers again: %+v, %v", r.Ceph, r.Failures)
		}
	})
}

// One that hangs from the start is a failure at once, within its own deadline.
func TestToolThatHangsFromTheStart(t *testing.T) {
	r := lookAt(t, load(t, "troubled.pve2"))
	why, ok := r.Failed(ha.ProbeCeph)
	if !ok || why != "ceph status did not answer within 5s" || r.Ceph.ID == "" {
		t.Errorf("ceph: %q, %+v", why, r.Ceph)
	}
}

// A seldom probe that could not look tries again soon.
func TestSeldomProbeThatFailedTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := load(t, "busy.pve1")
		good := host.files["proc/cpuinfo"]
		delete(host.files, "proc/cpuinfo")
		prober := New(host, "pve1")
		if r := prober.Look(t.Context()); failed(r) != ha.ProbeHardware {
			t.Errorf("no processor can be seen: %v", r.Failures)
		}
		host.files["proc/cpuinfo"] = good
		time.Sleep(seldomRetry)
		if r := prober.Look(t.Context()); failed(r) != "" {
			t.Errorf("it can be seen now: %v", r.Failures)
		}
	})
}
