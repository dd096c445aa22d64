package pvesim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// A node goes into maintenance and comes back; its guests go and return.
func TestMaintenanceMovesGuestsAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		spec.Guests = []pvesim.GuestSpec{
			{ID: 100, Node: "pve2", Running: true}, {ID: 101, Type: "lxc", Node: "pve2", Running: true}, {ID: 102, Node: "pve2", Running: true},
		}
		spec.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "ct:101"}}
		l := start(t, spec)
		l.until(30*time.Second, "HA to be active", func() bool { return l.service("pve1", "vm:100") == "pve2 started" })
		l.command("pve1", "node-maintenance enable pve2")
		l.until(2*time.Minute, "both to have left", func() bool {
			m := l.manager("pve1")
			return m.Status.Nodes["pve2"] == "maintenance" && l.runs("vm:100") != "pve2" && l.runs("ct:101") != "pve2" && l.runs("ct:101") != "" &&
				m.Status.Services["vm:100"].State == "started" && m.Status.Services["ct:101"].State == "started"
		})
		if got := l.runs("vm:102"); got != "pve2" {
			t.Errorf("a guest HA does not manage moved to %q", got)
		}
		l.command("pve3", "node-maintenance disable pve2")
		l.until(2*time.Minute, "both to be back", func() bool { return l.runs("vm:100") == "pve2" && l.runs("ct:101") == "pve2" })
		l.noDoubleRun()
	})
}
