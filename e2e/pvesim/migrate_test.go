package pvesim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// A live migration: there is a waiting process on the target, then the guest runs there,
// then the task ends, and its log is the recorded one, the downtime included.
func TestLiveMigration(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 150, Node: "pve1", Running: true, Memory: 4 << 30}}
	}, func(l *lab) {
		var upid string
		l.data("pve1", "POST", "/nodes/pve1/qemu/150/migrate", "target=pve3&online=1", &upid)
		l.until(10*time.Second, "an incoming process", func() bool {
			return slices.ContainsFunc(l.Running("pve3"), func(p pvesim.Process) bool { return p.ID == 150 && p.Incoming && p.Arrived })
		})
		if l.runs("vm:150") != "pve1" {
			l.t.Error("the guest runs on the target before the hand-over")
		}
		l.until(20*time.Second, "the hand-over", func() bool { return l.runs("vm:150") == "pve3" })
		var status struct{ Status, Exitstatus string }
		took := l.until(time.Minute, "the task's end", func() bool {
			l.data("pve1", "GET", "/nodes/pve1/tasks/"+upid+"/status", "", &status)
			return status.Status == "stopped"
		})
		if status.Exitstatus != "OK" || took > 5*time.Second {
			l.t.Errorf("ended %v after the hand-over with %q", took, status.Exitstatus)
		}
		var lines []struct{ T string }
		l.data("pve1", "GET", "/nodes/pve1/tasks/"+upid+"/log?limit=500", "", &lines)
		var got []string
		for _, line := range lines {
			got = append(got, duration.ReplaceAllString(clockTime.ReplaceAllString(line.T, "TIME"), "(duration)"))
		}
		want := strings.Split(strings.TrimSpace(liveMigrationLog), "\n")
		if !slices.Equal(got, want) {
			l.t.Errorf("log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if p := l.Running("pve3"); len(p) != 1 || !p[0].Arrived || p[0].Incoming {
			l.t.Errorf("processes on the target: %+v", p)
		}
		if g, _ := l.Guest("vm:150"); g.Config != "pve3" || g.Lines["lock"] != "" {
			l.t.Errorf("afterwards: %+v", g)
		}
	})
}

// The recorded log of a live migration, with this guest's numbers.
const liveMigrationLog = `
TIME conntrack state migration not supported or disabled, active connections might get dropped
TIME starting migration of VM 150 to node 'pve3' (10.99.7.13)
TIME starting VM 150 on remote node 'pve3'
TIME start remote tunnel
TIME ssh tunnel ver 1
TIME starting online/live migration on unix:/run/qemu-server/150.migrate
TIME set migration capabilities
TIME migration downtime limit: 100 ms
TIME migration cachesize: 512.0 MiB
TIME set migration parameters
TIME start migrate command to unix:/run/qemu-server/150.migrate
TIME migration active, transferred 4.0 GiB of 4.0 GiB VM-state, 1.0 GiB/s
TIME average migration speed: 1.0 GiB/s - downtime 20 ms
TIME migration completed, transferred 4.0 GiB VM-state
TIME migration status: completed
TIME migration finished successfully (duration)
TASK OK
`

// The source dies while it hands a guest over: whatever the moment, the guest runs once.
func TestSourceDiesWhileMigrating(t *testing.T) {
	for after := time.Duration(0); after < 9*time.Second; after += 700 * time.Millisecond {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			story(t, func(s *pvesim.Spec) {
				s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true, Memory: 4 << 30}}
				s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
			}, func(l *lab) {
				l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node=pve3", nil)
				l.until(time.Minute, "the migration", func() bool { g, _ := l.Guest("vm:100"); return g.Lines["lock"] == "migrate" })
				time.Sleep(after)
				l.PowerOff("pve2")
				l.until(6*time.Minute, "the guest to run", func() bool { r := l.runs("vm:100"); return r != "" && r != "pve2" })
				time.Sleep(5 * time.Minute)
				if r := l.runs("vm:100"); r == "" || r == "pve2" {
					l.t.Errorf("in the end it runs on %q", r)
				}
			})
		})
	}
}

// The target dies: the guest goes on where it is.
func TestTargetDiesWhileMigrating(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true, Memory: 8 << 30}}
	}, func(l *lab) {
		var upid string
		l.data("pve1", "POST", "/nodes/pve2/qemu/100/migrate", "target=pve3&online=1", &upid)
		time.Sleep(3 * time.Second)
		l.PowerOff("pve3")
		time.Sleep(30 * time.Second)
		if l.runs("vm:100") != "pve2" {
			l.t.Errorf("runs on %q", l.runs("vm:100"))
		}
		var status struct{ Exitstatus string }
		l.data("pve1", "GET", "/nodes/pve2/tasks/"+upid+"/status", "", &status)
		if status.Exitstatus != "migration problems" {
			l.t.Errorf("task ended with %q", status.Exitstatus)
		}
	})
}

// A running container does not migrate alive: without restart it is refused, with it it is
// stopped, moved and started again.
func TestContainerMovesByRestart(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 200, Type: "lxc", Node: "pve1", Running: true}}
	}, func(l *lab) {
		if a := l.call("pve1", "POST", "/nodes/pve1/lxc/200/migrate", "target=pve2"); a.code != 500 {
			l.t.Errorf("without restart: %d %s", a.code, a.reason)
		}
		l.data("pve1", "POST", "/nodes/pve1/lxc/200/migrate", "target=pve2&online=1", nil)
		time.Sleep(10 * time.Second)
		if l.runs("ct:200") != "pve1" {
			l.t.Error("a container migrated alive")
		}
		l.data("pve1", "POST", "/nodes/pve1/lxc/200/migrate", "target=pve2&restart=1", nil)
		l.until(10*time.Second, "the container to be down", func() bool { return l.runs("ct:200") == "" })
		l.until(20*time.Second, "the container on the target", func() bool { return l.runs("ct:200") == "pve2" })
		if got := l.taskTypes("200"); got != "vzmigrate vzmigrate vzstart" {
			l.t.Errorf("tasks: %s", got)
		}
	})
}

// A guest under HA is not moved by its own API: the task that says OK has only queued it.
func TestGuestAPIOnlyQueuesUnderHA(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
	}, func(l *lab) {
		var upid string
		l.data("pve2", "POST", "/nodes/pve2/qemu/100/migrate", "target=pve3&online=1", &upid)
		if !strings.Contains(upid, ":hamigrate:100:root@pam!lab:") {
			l.t.Errorf("upid %s", upid)
		}
		time.Sleep(2 * time.Second)
		var status struct{ Status, Exitstatus string }
		l.data("pve2", "GET", "/nodes/pve2/tasks/"+upid+"/status", "", &status)
		if status.Exitstatus != "OK" || l.runs("vm:100") != "pve2" {
			l.t.Errorf("task %+v while the guest is on %s", status, l.runs("vm:100"))
		}
		l.until(time.Minute, "the move", func() bool { return l.runs("vm:100") == "pve3" })
	})
}

// Moves that will never happen are answered with 200.
func TestMotionsThatAreDropped(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Running: true}, {ID: 101, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:101"}}
		s.Rules = []pvesim.RuleSpec{{ID: "apart", Type: "resource-affinity", Resources: []string{"vm:100", "vm:101"}, Affinity: "negative"}}
	}, func(l *lab) {
		l.command("pve1", "node-maintenance enable pve3")
		time.Sleep(time.Minute)
		for _, node := range []string{"pve1", "pve2", "pve3", "nosuch"} {
			var out struct {
				Blocking []struct{ SID, Cause string } `json:"blocking-resources"`
			}
			l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node="+node, &out)
			if (node == "pve2") != (len(out.Blocking) == 1) {
				l.t.Errorf("%s: blocking %v", node, out.Blocking)
			}
		}
		time.Sleep(2 * time.Minute)
		if l.runs("vm:100") != "pve1" {
			l.t.Errorf("moved to %s", l.runs("vm:100"))
		}
	})
}
