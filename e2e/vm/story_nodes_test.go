//go:build vm

package vm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A clock that is wrong is found, whichever way, and reports are as fresh as they are.
func TestAClockThatIsWrong(t *testing.T) {
	lab := share(t, "pve1")
	pve1 := lab.Node("pve1")
	for _, skew := range []struct {
		by   time.Duration
		says string
	}{{-time.Hour, "min off"}, {40 * time.Second, "s off"}} {
		pve1.SkewClock(skew.by)
		lab.Await(fmt.Sprintf("CLOCK_SKEW of pve1, whose clock is %s off", skew.by), time.Minute, func(v View) string {
			f, _ := v.Finding(check.ClockSkew, "pve1")
			if f.Status != ha.Warn || !strings.HasSuffix(f.Evidence, skew.says) {
				return fmt.Sprintf("%s: %s", f.Status, f.Evidence)
			}
			return ""
		})
		lab.AwaitFinding(check.AgentSilent, "pve1", ha.Pass, 5*time.Second)
	}
	pve1.SkewClock(0)
	lab.AwaitFinding(check.ClockSkew, "pve1", ha.Pass, time.Minute)
}

// A node that holds HA guests is cut off from corosync. It says so itself, by the network
// that is left; the others go on without it; its watchdog, fed no longer, resets it, and it
// comes back as another boot of the same node.
func TestANodeCutOffIsResetByItsWatchdog(t *testing.T) {
	lab := start(t, "pve1", "pve3")
	pve3 := lab.Node("pve3")
	pve3.Arm()
	lab.Await("the watchdog of pve3 is armed", 30*time.Second, func(v View) string {
		if r, _ := v.Report("pve3"); !r.Watchdog.MuxActive || r.HA.LRMState != "active" {
			return fmt.Sprintf("armed %t, LRM %s", r.Watchdog.MuxActive, r.HA.LRMState)
		}
		return ""
	})
	before := mustReport(t, lab.Look(), "pve3").System.BootID

	cut := time.Now()
	pve3.CutLink(0)
	pve3.CutLink(1)
	lab.Await("pve3 reports that it lost quorum", time.Minute, func(v View) string {
		if f, _ := v.Finding(check.NodeNotQuorate, "pve3"); f.Status != ha.Fail {
			return string(f.Status) + ": " + f.Evidence
		}
		return ""
	})
	lab.Await("pve1 and pve2 go on without it", time.Minute, func(v View) string {
		if r, _ := v.Report("pve1"); !slices.Equal(r.Corosync.Members, []int{1, 2}) || !r.Corosync.Quorate {
			return fmt.Sprintf("pve1 sees members %v", r.Corosync.Members)
		}
		return ""
	})
	var reset time.Time
	lab.Await("its watchdog resets pve3", 90*time.Second, func(View) (why string) {
		var ok bool
		if reset, ok = pve3.ResetAfter(cut); !ok {
			return "QEMU tells of no reset"
		}
		return ""
	})
	t.Logf("%6.1f s  from the cut to the reset", reset.Sub(cut).Seconds())
	pve3.MendLink(0)
	pve3.MendLink(1)
	lab.Await("pve3 is back, as another boot", 5*time.Minute, func(v View) string {
		if r, _ := v.Report("pve3"); r.System.BootID == before || r.System.BootID == "" {
			return "boot " + r.System.BootID
		}
		return ""
	})
	lab.AwaitEach("nobody has lost anybody", time.Minute, map[string]func(View) string{"pve1": wholeOn("pve1"), "pve3": wholeOn("pve3")})
}

// Power is cut. Corosync and gossip both notice; how fast each does, and when agents and
// the coordinator have it, is printed side by side.
func TestANodePoweredOff(t *testing.T) {
	lab := start(t, "pve1", "pve3")
	pve1, pve3 := lab.Node("pve1"), lab.Node("pve3")
	lab.Await("gossip knows pve3", 30*time.Second, func(v View) string {
		if state := v.Member("pve3"); state != ha.MemberAlive {
			return "it is " + string(state)
		}
		return ""
	})
	pve3.CutPower()
	cut := time.Now()
	seen := map[string]time.Duration{}
	saw := func(what string, is bool) {
		if _, known := seen[what]; is && !known {
			seen[what] = time.Since(cut)
		}
	}
	const (
		quorumtool = "corosync: corosync-quorumtool on pve1 shows two members"
		report     = "corosync: pve1's report shows two members"
		suspect    = "gossip: the coordinator suspects pve3"
		dead       = "gossip: the coordinator takes pve3 for dead"
		silent     = "reports: AGENT_SILENT of pve3"
	)
	all := []string{suspect, quorumtool, report, dead, silent}
	lab.Await("everybody has noticed", 2*time.Minute, func(v View) string {
		if _, known := seen[quorumtool]; !known {
			out, _ := pve1.Try("timeout 2 corosync-quorumtool -s")
			saw(quorumtool, strings.Contains(out, "Total votes:      2"))
		}
		r, _ := v.Report("pve1")
		saw(report, slices.Equal(r.Corosync.Members, []int{1, 2}) && r.Corosync.Quorate)
		saw(suspect, v.Member("pve3") == ha.MemberSuspect || v.Member("pve3") == ha.MemberDead)
		saw(dead, v.Member("pve3") == ha.MemberDead)
		f, _ := v.Finding(check.AgentSilent, "pve3")
		saw(silent, f.Status == ha.Fail)
		for _, what := range all {
			if _, ok := seen[what]; !ok {
				return "not yet: " + what
			}
		}
		return ""
	})
	t.Log("         after the power cut:")
	for _, what := range all {
		t.Logf("%6.1f s  %s", seen[what].Seconds(), what)
	}
}
