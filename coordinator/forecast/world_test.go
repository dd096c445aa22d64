package forecast_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const gib = 1 << 30

// at is the instant of every snapshot here.
var at = time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)

// cluster makes a healthy cluster of n nodes with 64 GiB each; the first is HA master.
func cluster(n int) ha.Snapshot {
	s := ha.Snapshot{At: at}
	inv := &s.Inventory
	inv.At, inv.Version = at, "9.2.11"
	inv.Cluster = ha.Cluster{Name: "lab", Quorate: true, Votes: n, Expected: n}
	inv.Options = ha.Options{ShutdownPolicy: "conditional", MaxWorkers: 4, Scheduler: "basic"}
	for k := range n {
		name := node(k + 1)
		inv.Nodes = append(inv.Nodes, ha.Node{Name: name, ID: k + 1, Online: true, CPUs: 16, MemoryMax: 64 * gib, MemoryUsed: 4 * gib, Uptime: time.Hour})
		inv.HA.Nodes = append(inv.HA.Nodes, ha.HANode{Name: name, State: ha.NodeOnline, LRMState: "active", LRMMode: "active", LRMAt: at})
	}
	inv.HA.Master, inv.HA.MasterAt, inv.HA.Quorate, inv.HA.Armed = node(1), at, true, "armed"
	return s
}

func node(k int) ha.NodeName { return ha.NodeName(fmt.Sprintf("node%02d", k)) }

// runs adds a running guest; managed puts it under HA.
func runs(s *ha.Snapshot, sid string, name string, on ha.NodeName, memory int64, managed bool) {
	id := ha.MustSID(sid)
	inv := &s.Inventory
	inv.Guests = append(inv.Guests, ha.Guest{SID: id, Name: name, Node: on, Status: ha.GuestRunning, CPUs: 2, MemoryMax: memory, MemoryUsed: memory / 2, Uptime: time.Hour})
	if managed {
		inv.Resources = append(inv.Resources, ha.Resource{SID: id, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true})
		inv.HA.Services = append(inv.HA.Services, ha.HAService{SID: id, Node: on, State: ha.ServiceStarted, Running: true})
	}
}

func target(t *testing.T, p forecast.Prediction, sid string) forecast.TargetOutcome {
	t.Helper()
	for _, o := range p.Targets {
		if o.SID == ha.MustSID(sid) {
			return o
		}
	}
	t.Fatalf("the forecast says nothing of %s", sid)
	return forecast.TargetOutcome{}
}

func tell(t *testing.T, p forecast.Prediction) {
	t.Helper()
	for _, e := range p.TimeLine {
		t.Logf("%4.0f s  %s", e.At.Seconds(), e.Text)
	}
	for _, o := range p.Targets {
		t.Logf("%s %s -> %s %s down %s up %s: %s", o.SID, o.From, o.To, o.Fate, o.DownAt, o.UpAt, o.Why)
	}
}
