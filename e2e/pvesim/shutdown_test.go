package pvesim_test

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// What becomes of HA guests when their node is rebooted or shut down is the datacenter's
// shutdown policy.

func withPolicy(policy string) func(*pvesim.Spec) {
	return func(s *pvesim.Spec) {
		s.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve3", Running: true}, {ID: 101, Node: "pve3", Running: true, Config: map[string]string{"onboot": "1"}}}
		s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
		if policy != "" {
			s.Datacenter = map[string]string{"ha": "shutdown_policy=" + policy}
		}
	}
}

// Conditional, the default: a reboot freezes the guests, which wait for the node.
func TestRebootFreezes(t *testing.T) {
	story(t, withPolicy(""), func(l *lab) {
		l.data("pve1", "POST", "/nodes/pve3/status", "command=reboot", nil)
		l.until(2*time.Minute, "the node to go down", func() bool { return !l.Up("pve3") })
		if got := l.service("pve1", "vm:100"); got != "pve3 freeze" {
			l.t.Errorf("while it reboots: %s", got)
		}
		l.until(5*time.Minute, "both guests where they were", func() bool { return l.runs("vm:100") == "pve3" && l.runs("vm:101") == "pve3" })
		l.until(time.Minute, "the end of the freeze", func() bool { return l.service("pve1", "vm:100") == "pve3 started" })
	})
}

// A shutdown does not: the lock is released, and the guests run elsewhere after the fence delay.
func TestShutdownRecovers(t *testing.T) {
	story(t, withPolicy(""), func(l *lab) {
		l.data("pve1", "POST", "/nodes/pve3/status", "command=shutdown", nil)
		l.until(2*time.Minute, "the node to go down", func() bool { return !l.Up("pve3") })
		took := l.until(3*time.Minute, "the guest elsewhere", func() bool { return l.runs("vm:100") != "" })
		if took < 50*time.Second || took > 95*time.Second {
			l.t.Errorf("recovered after %v, only the fence delay counts", took)
		}
		if l.runs("vm:101") != "" {
			l.t.Error("a guest HA does not manage came back")
		}
	})
}

// Migrate: the guests leave alive before the node goes, and return when it is back.
func TestRebootMigrates(t *testing.T) {
	story(t, withPolicy("migrate"), func(l *lab) {
		l.data("pve1", "POST", "/nodes/pve3/status", "command=reboot", nil)
		l.until(3*time.Minute, "the node to go down", func() bool { return !l.Up("pve3") })
		if r := l.runs("vm:100"); r != "pve1" && r != "pve2" {
			l.t.Errorf("when the node went the guest was on %q", r)
		}
		if got := l.manager("pve1").Status.Nodes["pve3"]; got != "maintenance" {
			l.t.Errorf("node state %s", got)
		}
		l.until(5*time.Minute, "the guest to return", func() bool { return l.runs("vm:100") == "pve3" })
	})
}

// Failover: even a reboot gives the guests away.
func TestRebootFailsOver(t *testing.T) {
	story(t, func(s *pvesim.Spec) {
		withPolicy("failover")(s)
		s.Options.Timing.Boot = 5 * time.Minute
	}, func(l *lab) {
		l.data("pve1", "POST", "/nodes/pve3/status", "command=reboot", nil)
		l.until(4*time.Minute, "the guest elsewhere", func() bool { r := l.runs("vm:100"); return r != "" && r != "pve3" })
	})
}

// In maintenance the policy does not matter: the node goes once it is empty, and is still
// in maintenance when it is back.
func TestRebootInMaintenance(t *testing.T) {
	story(t, withPolicy(""), func(l *lab) {
		l.command("pve1", "node-maintenance enable pve3")
		l.until(2*time.Minute, "the guest to leave", func() bool { r := l.runs("vm:100"); return r != "" && r != "pve3" })
		l.data("pve1", "POST", "/nodes/pve3/status", "command=reboot", nil)
		l.until(2*time.Minute, "the node to go down", func() bool { return !l.Up("pve3") })
		l.until(3*time.Minute, "the node to be back", func() bool { return l.Up("pve3") })
		time.Sleep(time.Minute)
		if got := l.manager("pve1").Status.Nodes["pve3"]; got != "maintenance" {
			l.t.Errorf("node state after the reboot: %s", got)
		}
	})
}
