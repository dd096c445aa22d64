//go:build vm

package vm_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The NFS server freezes: nothing answers, and whoever touches the hard mount blocks for
// ever. The agent says so in its next report or the one after it, goes on reporting
// everything else, and its children do not pile up.
func TestTheNFSServerFreezes(t *testing.T) {
	lab := share(t, "pve1")
	thaw := func() {
		keepsReporting(t, lab, "pve1", func(r ha.Report) string {
			if r.System.Uptime == 0 || !r.Watchdog.MuxRunning || !r.HA.LRMRunning {
				return fmt.Sprintf("other facts are missing: %v", r.Failures)
			}
			return ""
		})
		lab.NAS().Thaw()
	}
	nfsStory(t, lab, lab.NAS().Freeze, thaw, func(m ha.Mount) string {
		if m.Answering || m.Stuck == 0 {
			return fmt.Sprintf("answering %t, stuck for %s", m.Answering, m.Stuck)
		}
		return ""
	})
}

// The NFS service stops, and connections are refused: to a hard mount that is the same.
func TestTheNFSServiceStops(t *testing.T) {
	lab := share(t, "pve1")
	nfsStory(t, lab, lab.NAS().StopNFS, lab.NAS().StartNFS, func(m ha.Mount) string {
		if m.Answering || m.Stuck == 0 {
			return fmt.Sprintf("answering %t, stuck for %s", m.Answering, m.Stuck)
		}
		return ""
	})
}

// The export is withdrawn: the server answers, with a refusal, and the report has its words.
func TestTheExportIsWithdrawn(t *testing.T) {
	lab := share(t, "pve1")
	nfsStory(t, lab, lab.NAS().Unexport, lab.NAS().Export, func(m ha.Mount) string {
		if m.Answering || m.Error == "" {
			return fmt.Sprintf("answering %t, error %q, stuck for %s", m.Answering, m.Error, m.Stuck)
		}
		return ""
	})
}

// nfsStory breaks the storage and mends it again.
func nfsStory(t *testing.T, lab *vm.Lab, break_, fix func(), broken func(ha.Mount) string) {
	t.Helper()
	break_()
	lab.AwaitInTwoReports(lab.Node("pve1"), "it", 30*time.Second, func(r ha.Report) string {
		m, ok := vm.SharedMount(r)
		if !ok {
			return "the shared storage is not among its mounts"
		}
		return broken(m)
	})
	lab.AwaitFinding(check.NFSNotAnswering, "pve1", ha.Fail, 10*time.Second)
	fix()
	lab.AwaitFinding(check.NFSNotAnswering, "pve1", ha.Pass, 2*time.Minute)
}

// roundsWatched is how many reports a story looks at to call an agent alive.
const roundsWatched = 3

// keepsReporting watches a node's agent for some rounds: reports keep coming, they have
// what they must, and neither children nor threads pile up.
func keepsReporting(t *testing.T, lab *vm.Lab, node string, sound func(ha.Report) string) {
	t.Helper()
	children, threads := agentsWeight(t, lab, node)
	var rounds []ha.Report
	good := 0
	lab.Await(fmt.Sprintf("%d more rounds of the agent on %s, its other facts in them", roundsWatched, node), time.Minute, func(v View) string {
		why := "no new report"
		r := mustReport(t, v, node)
		if len(rounds) == 0 || r.Taken.After(rounds[len(rounds)-1].Taken) {
			rounds = append(rounds, r)
			if why = sound(r); why == "" {
				good++
			}
		}
		if good > roundsWatched {
			return ""
		}
		return fmt.Sprintf("%d of %d rounds; the last: %s", good, len(rounds), why)
	})
	var longest, slowest time.Duration
	for k, r := range rounds {
		slowest = max(slowest, r.Took)
		if k > 0 {
			longest = max(longest, r.Taken.Sub(rounds[k-1].Taken))
		}
	}
	nowChildren, nowThreads := agentsWeight(t, lab, node)
	t.Logf("          %d rounds; longest time between two %.1f s, slowest %.1f s; children %d, then %d; threads %d, then %d",
		len(rounds), longest.Seconds(), slowest.Seconds(), children, nowChildren, threads, nowThreads)
	// One child for the mount that hangs, and one or two tools that are just running.
	if nowChildren > children+3 || nowThreads > threads+8 {
		t.Errorf("what the agent on %s started piles up: %d children, %d threads", node, nowChildren, nowThreads)
	}
}

// agentsWeight counts the agent's children and threads.
func agentsWeight(t *testing.T, lab *vm.Lab, node string) (children, threads int) {
	t.Helper()
	count := func(script string) int {
		n, err := strconv.Atoi(lab.Node(node).Run(script))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const pid = "$(systemctl show -P MainPID psw-agent)"
	return count("pgrep -c -P " + pid + " || true"), count("ls /proc/" + pid + "/task | wc -l")
}

// The server is well, and nobody can write: a report that asked only whether it answers
// would call it well. The agent writes a file and reads it back, and says what it was told.
func TestTheStorageCannotBeWritten(t *testing.T) {
	lab := share(t, "pve1")
	nas := lab.NAS()
	for _, cause := range []struct {
		name, break_, fix, words string
	}{
		{"the export is made read-only", "exportfs -o ro,sync,no_subtree_check,no_root_squash,insecure,fsid=1 10.10.2.0/24:/export", "exportfs -ra", "read-only file system"},
		{"the server's file system turns read-only, as after an error of its disk", "mount -o remount,ro /nfsroot", "mount -o remount,rw /nfsroot", "read-only file system"},
		{"the storage is full", "for size in 1M 1k 1k; do dd if=/dev/zero bs=$size of=/nfsroot/export/filler-$size oflag=append conv=notrunc 2>/dev/null; sync; done", "rm /nfsroot/export/filler-*; sync", "no space left"},
	} {
		t.Logf("         -- %s", cause.name)
		nas.Run(cause.break_)
		f := lab.AwaitFinding(check.NFSWriteFailed, "pve1", ha.Fail, 30*time.Second)
		if !strings.Contains(f.Evidence, cause.words) {
			t.Errorf("it does not say that there is %q: %s", cause.words, f.Evidence)
		}
		if cause.words == "no space left" {
			lab.AwaitFinding(check.NFSNearlyFull, "pve1", ha.Warn, 10*time.Second)
		}
		lab.AwaitFinding(check.NFSNotAnswering, "pve1", ha.Pass, 5*time.Second)
		nas.Run(cause.fix)
		lab.AwaitFinding(check.NFSWriteFailed, "pve1", ha.Pass, 30*time.Second)
	}
}
