package coordinator_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The main job: node1 is drained, is safe to power off, and everything comes home.
func TestANodeIsDrainedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		before := w.lastSeq()
		m := w.drain("node1")
		if m.Phase != ha.Requested || m.By != "anna" {
			t.Errorf("maintenance = %+v", m)
		}
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		for _, sid := range []string{"ct:100", "vm:101", "vm:102"} {
			if on := w.runs(sid); on == "node1" || on == "" {
				t.Errorf("%s runs on %q; want another node", sid, on)
			}
		}
		w.demand(strings.Split(w.story(before), "\n"),
			"requested anna asks: maintenance start node1",
			"phase maintenance of node1: requested => draining",
			"do restart ct:100 from node1 on node3",
			"do migrate vm:101 live from node1 to node2",
			"do migrate vm:102 live from node1 to node2",
			"guest_moved vm:102 (wiki) runs on node2 (it ran on node1)",
			"done vm:102 is on node2",
			"done vm:102 stood still for 20ms while it moved to node2",
			"done ct:100 is on node3 (after ",
			"do switch maintenance mode of node1 on",
			"done the HA manager shows node1 in maintenance mode",
			"phase maintenance of node1: draining => drained",
			"safe node1 is safe to power off")
		for _, mv := range w.view("node1").Maintenance.Moves {
			if mv.Downtime == 0 {
				t.Errorf("%s by %s has no measured downtime", mv.SID, mv.Method)
			}
		}
		before = w.lastSeq()
		w.end("node1")
		w.until(5*time.Minute, "end", func() bool { return w.phase("node1") == ha.Ended })
		for _, sid := range []string{"ct:100", "vm:101", "vm:102"} {
			if on := w.runs(sid); on != "node1" {
				t.Errorf("%s runs on %q; want node1", sid, on)
			}
		}
		w.demand(strings.Split(w.story(before), "\n"),
			"requested anna asks: maintenance end node1",
			"phase maintenance of node1: drained => restoring",
			"do switch maintenance mode of node1 off",
			"done the HA manager shows node1 online",
			"do restart ct:100 from node3 on node1",
			"done vm:101 is on node1",
			"done ct:100 is on node1",
			"phase maintenance of node1: restoring => ended")
		w.noDoubleRun()
		if n := w.count(ha.EventSafe, "node1 is safe to power off"); n != 1 {
			t.Errorf("the journal says %d times that node1 is safe", n)
		}
		if strings.Contains(w.log.String(), tokenSecret) {
			t.Error("the log holds the token's secret")
		}
	})
}

// A node is being emptied, and somebody brings home what belongs on another one, of which a
// guest is on the first: at one instant both would have it moved, to two places. It is moved
// once, and then again if it is not home.
func TestAGuestIsMovedForOneMaintenanceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		policy := homePolicy()
		policy.Targets[1].Node = "node2" // media runs on node1
		drain, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", By: "anna", Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		home, err := w.c.EndMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node2", By: "bert"})
		if err != nil {
			t.Fatal(err)
		}
		open := func(id string) bool {
			return slices.ContainsFunc(w.store.Maintenances(), func(m ha.Maintenance) bool {
				_, open := m.OpenMove(ha.MustSID("vm:101"))
				return m.ID == id && open
			})
		}
		for range 60 {
			w.step()
			if open(drain.ID) && open(home.ID) {
				t.Fatalf("media is moved for both at once\n%s", w.story(0))
			}
		}
		if at := w.runs("vm:101"); at != "node2" {
			t.Errorf("media is on %q, want node2\n%s", at, w.story(0))
		}
	})
}
