package pvesim_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// story runs a test in virtual time on three nodes, with HA at work.
func story(t *testing.T, spec func(*pvesim.Spec), tell func(*lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := threeNodes()
		spec(&s)
		l := start(t, s)
		time.Sleep(40 * time.Second)
		tell(l)
		l.noDoubleRun()
	})
}

// A node goes into maintenance and comes back; its guests go and return. What HA does not
// manage stays.
func TestMaintenanceMovesGuestsAwayAndBack(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{
			{ID: 100, Node: "pve2", Running: true}, {ID: 101, Type: "lxc", Node: "pve2", Running: true}, {ID: 102, Node: "pve2", Running: true},
		}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "ct:101"}}
	}, func(l *lab) {
		l.command("pve1", "node-maintenance enable pve2")
		l.until(2*time.Minute, "both to have left", func() bool {
			m := l.manager("pve1")
			return m.Status.Nodes["pve2"] == "maintenance" && m.Status.Services["vm:100"].State == "started" &&
				m.Status.Services["ct:101"].State == "started" && l.runs("ct:101") != "pve2" && l.runs("ct:101") != "" && l.runs("vm:100") != "pve2"
		})
		if got := l.runs("vm:102"); got != "pve2" {
			l.t.Errorf("a guest HA does not manage is on %q now", got)
		}
		types := l.taskTypes("101")
		if want := "vzshutdown vzmigrate vzstart"; types != want {
			l.t.Errorf("the container moved by the tasks %q, want %q", types, want)
		}
		l.command("pve3", "node-maintenance disable pve2")
		l.until(2*time.Minute, "both to be back", func() bool { return l.runs("vm:100") == "pve2" && l.runs("ct:101") == "pve2" })
		if _, ok := l.manager("pve1").Status.Requests["pve2"]; !ok {
			l.t.Error("node_request of pve2 is gone, it should stay as an empty object")
		}
	})
}

// taskTypes are the tasks about a guest, in order.
func (l *lab) taskTypes(id string) string {
	var list []string
	for _, t := range l.Tasks() {
		if t.ID == id {
			list = append(list, t.Type)
		}
	}
	return strings.Join(list, " ")
}

// The master is put into maintenance and then dies: its successor keeps the request.
func TestMaintenanceSurvivesTheMaster(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
	}, func(l *lab) {
		l.command("pve1", "node-maintenance enable pve2")
		l.until(time.Minute, "the node in maintenance", func() bool { return l.manager("pve1").Status.Nodes["pve2"] == "maintenance" })
		master := l.manager("pve2").Status.Master
		l.PowerOff(master)
		other := map[string]string{"pve1": "pve3", "pve2": "pve3", "pve3": "pve1"}[master]
		took := l.until(4*time.Minute, "a new master", func() bool { return l.manager(other).Status.Master != master })
		if took < 100*time.Second {
			l.t.Errorf("a new master after %v, the lock lives for 120 s", took)
		}
		if l.manager(other).Status.Requests["pve2"]["maintenance"] != 1 {
			l.t.Error("the new master forgot the maintenance request")
		}
	})
}

// A strict rule keeps a guest on the node forever, and nothing says so.
func TestStrictGuestNeverDrains(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
		s.Rules = []pvesim.RuleSpec{{ID: "only2", Type: "node-affinity", Resources: []string{"vm:100"}, Nodes: []string{"pve2"}, Strict: true}}
	}, func(l *lab) {
		l.command("pve1", "node-maintenance enable pve2")
		time.Sleep(10 * time.Minute)
		m := l.manager("pve1")
		if s := m.Status.Services["vm:100"]; s.Node != "pve2" || s.State != "started" || s.Maintenance != "pve2" {
			l.t.Errorf("the strict guest is %+v", s)
		}
	})
}

// The power of a node is cut. Its HA guests run elsewhere after the fence delay and the
// lock's lifetime; the others stay down until the node is back.
func TestPowerCut(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{
			{ID: 100, Node: "pve3", Running: true}, {ID: 102, Node: "pve3", Running: true, Config: map[string]string{"onboot": "1"}}, {ID: 103, Node: "pve3", Running: true},
		}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
	}, func(l *lab) {
		l.PowerOff("pve3")
		if got := l.Running("pve3"); len(got) != 0 {
			l.t.Errorf("processes without power: %v", got)
		}
		took := l.until(5*time.Minute, "the HA guest elsewhere", func() bool { return l.runs("vm:100") != "" })
		if took < 110*time.Second || took > 150*time.Second {
			l.t.Errorf("recovered after %v, recorded are 130 to 140 s", took)
		}
		var row struct{ Status string }
		l.until(time.Minute, "the API to see it", func() bool {
			var rows []struct{ ID, Status string }
			l.data("pve1", "GET", "/cluster/resources?type=vm", "", &rows)
			for _, r := range rows {
				if r.ID == "qemu/102" {
					row.Status = r.Status
				}
			}
			return true
		})
		if row.Status != "running" {
			l.t.Errorf("a dead node's guest is shown as %q, Proxmox says running for minutes", row.Status)
		}
		l.PowerOn("pve3")
		l.until(5*time.Minute, "the onboot guest", func() bool { return l.runs("vm:102") == "pve3" })
		if l.runs("vm:103") != "" {
			l.t.Error("a guest without onboot was started at boot")
		}
	})
}

// A node cut off with guests under HA is reset by its own watchdog before the others may
// start them.
func TestPartitionResetsTheMinority(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
	}, func(l *lab) {
		l.Partition([]string{"pve1"})
		a := l.call("pve1", "POST", "/cluster/ha/resources", "sid=vm:100")
		time.Sleep(10 * time.Second)
		if l.Quorate("pve1") {
			l.t.Fatal("the minority is quorate")
		}
		if a = l.call("pve1", "POST", "/cluster/ha/resources", "sid=vm:100"); a.reason != "cluster not ready - no quorum?" {
			l.t.Errorf("a write without quorum: %d %s", a.code, a.reason)
		}
		reset := l.until(2*time.Minute, "the reset", func() bool { return !l.Up("pve1") })
		started := l.until(3*time.Minute, "the guest elsewhere", func() bool { return l.runs("vm:100") != "" })
		if reset+10*time.Second > 75*time.Second || started < 30*time.Second {
			l.t.Errorf("reset after %v, started %v later", reset+10*time.Second, started)
		}
		l.Heal()
		l.until(5*time.Minute, "all three together", func() bool { return l.Up("pve1") && l.Quorate("pve1") })
	})
}

// Two of three nodes are gone: nothing may be started on the one that is left.
func TestNothingHappensWithoutQuorum(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}, {ID: 101, Node: "pve3", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:101"}}
	}, func(l *lab) {
		l.PowerOff("pve2")
		l.PowerOff("pve3")
		time.Sleep(15 * time.Minute)
		if n := len(l.Running("pve1")); n != 0 {
			l.t.Errorf("%d guests run on a node without quorum", n)
		}
		l.PowerOn("pve2")
		l.until(10*time.Minute, "both guests to run again", func() bool { return l.runs("vm:100") != "" && l.runs("vm:101") != "" })
	})
}

// A guest that cannot start is tried here, then elsewhere, then left in error; disabled is
// the way out.
func TestStartFailuresEndInError(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2"}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100", State: "stopped"}}
	}, func(l *lab) {
		l.FailStart("vm:100", -1)
		l.data("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=started", nil)
		l.until(5*time.Minute, "the error state", func() bool { return l.manager("pve1").Status.Services["vm:100"].State == "error" })
		starts := map[string]int{}
		for _, task := range l.Tasks() {
			if task.Type == "qmstart" {
				starts[task.Node]++
			}
		}
		if len(starts) != 2 {
			l.t.Errorf("starts per node: %v, want two here and two elsewhere", starts)
		}
		for node, n := range starts {
			if n != 2 {
				l.t.Errorf("%d starts on %s, want 2 (max_restart 1)", n, node)
			}
		}
		a := l.call("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=started")
		if want := "service 'vm:100' in error state, must be disabled and fixed first"; a.reason != want {
			l.t.Errorf("started in error: %s", a.reason)
		}
		l.FailStart("vm:100", 0)
		l.data("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=disabled", nil)
		l.until(time.Minute, "the error to be cleared", func() bool { return l.manager("pve1").Status.Services["vm:100"].State == "stopped" })
		l.data("pve1", "PUT", "/cluster/ha/resources/vm:100", "state=started", nil)
		l.until(time.Minute, "the guest to run", func() bool { return l.runs("vm:100") != "" })
	})
}

// A migration that fails leaves the guest running where it was; HA does not try again.
func TestFailedMigrationLeavesTheGuest(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
	}, func(l *lab) {
		l.FailMigration("vm:100", 1)
		l.data("pve1", "POST", "/cluster/ha/resources/vm:100/migrate", "node=pve1", nil)
		time.Sleep(2 * time.Minute)
		if got := l.service("pve1", "vm:100"); got != "pve2 started" || l.runs("vm:100") != "pve2" {
			l.t.Errorf("after a failed migration: %s, running on %s", got, l.runs("vm:100"))
		}
		var g pvesim.Guest
		if g, _ = l.Guest("vm:100"); g.Lines["lock"] != "" {
			l.t.Errorf("left locked: %s", g.Lines["lock"])
		}
		if n := len(l.Running("pve1")); n != 0 {
			l.t.Errorf("%d processes left on the target", n)
		}
	})
}

// Where NFS hangs a container cannot be stopped, so a drain gets nowhere.
func TestHungNFSKeepsGuests(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 101, Type: "lxc", Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "ct:101"}}
	}, func(l *lab) {
		l.HangNFS("pve2")
		l.command("pve1", "node-maintenance enable pve2")
		time.Sleep(10 * time.Minute)
		if l.runs("ct:101") != "pve2" {
			l.t.Errorf("moved to %q although its storage hung", l.runs("ct:101"))
		}
		l.HealNFS()
		l.until(5*time.Minute, "it to leave once NFS answers", func() bool { r := l.runs("ct:101"); return r != "" && r != "pve2" })
	})
}

// A node that returns after it was fenced cannot arm its watchdog until the lock the
// master took has expired. A guest moved there meanwhile has no protection: cut off, the
// node goes on running it while the others start it again.
func TestReturnedNodeIsUnprotectedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := threeNodes()
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve3", Running: true}, {ID: 101, Node: "pve2", Running: true}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:101"}}
		s.Options.Timing.Boot = 5 * time.Second
		l := start(t, s)
		time.Sleep(40 * time.Second)
		l.PowerOff("pve3")
		l.until(5*time.Minute, "the recovery", func() bool { return l.runs("vm:100") != "" })
		l.PowerOn("pve3")
		l.until(time.Minute, "pve3 to be online", func() bool { return l.manager("pve1").Status.Nodes["pve3"] == "online" })
		l.data("pve1", "POST", "/cluster/ha/resources/vm:101/migrate", "node=pve3", nil)
		l.until(time.Minute, "vm:101 on pve3", func() bool { return l.runs("vm:101") == "pve3" })
		if got := l.manager("pve1").LRM["pve3"].State; got != "wait_for_agent_lock" {
			t.Fatalf("pve3's LRM is %s", got)
		}
		l.Partition([]string{"pve3"})
		l.until(5*time.Minute, "vm:101 to run elsewhere", func() bool { return l.runs("vm:101") != "pve3" })
		if d := l.DoubleRun(); len(d) != 1 || len(d[0].Unarmed) != 1 || d[0].Unarmed[0] != "pve3" {
			t.Errorf("ran twice: %v", d)
		}
	})
}
