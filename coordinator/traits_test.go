package coordinator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// built is a small cluster of which everything is known.
func built() ha.Snapshot {
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	one := 1
	return ha.Snapshot{
		At: now,
		Policy: ha.Policy{Project: "home", Cluster: ha.ClusterPolicy{Nodes: []ha.NodeName{"node1"}},
			Targets: []ha.Target{{Name: "media", Type: ha.TargetVM, HA: true, Options: ha.HAOptions{MaxRestart: &one}}}},
		Inventory: ha.Inventory{At: now,
			Nodes:     []ha.Node{{Name: "node1", ID: 1, IP: "10.0.0.1", MemoryUsed: 1}},
			Storages:  []ha.Storage{{Name: "psw", Type: "nfs", Server: "nas", Export: "/psw", Content: []string{"rootdir", "images"}}},
			Resources: []ha.Resource{{SID: ha.MustSID("vm:101"), State: ha.RequestStarted, Digest: "a"}},
			Rules:     []ha.Rule{{ID: "media-nodes", Type: ha.NodeAffinity, Resources: []ha.SID{ha.MustSID("vm:101")}}},
		},
		Reports: []ha.Report{{Node: "node1", Received: now, System: ha.System{PVEVersion: "9.2.11", Load1: 1},
			Corosync: ha.Corosync{Running: true, Links: []ha.Link{{Number: 0, PeerID: 2, Local: "10.0.0.1"}, {Number: 0, PeerID: 3, Local: "10.0.0.1"}}},
			Watchdog: ha.Watchdog{Devices: []ha.WatchdogDevice{{Name: "watchdog0", Identity: "Software Watchdog"}, {Name: "watchdog1", Identity: "iTCO_wdt"}}}}},
	}
}

// What changes on a good day is no drift; what a verdict stands on is, by name.
func TestDrift(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ha.Snapshot)
		want   []string
	}{
		{"nothing", func(*ha.Snapshot) {}, nil},
		{"load and digests", func(s *ha.Snapshot) {
			s.Inventory.Nodes[0].MemoryUsed, s.Reports[0].System.Load1, s.Inventory.Resources[0].Digest = 9, 9, "b"
		}, nil},
		{"order", func(s *ha.Snapshot) {
			slices.Reverse(s.Inventory.Storages[0].Content)
			slices.Reverse(s.Reports[0].Watchdog.Devices)
		}, nil},
		{"a project read anew", func(s *ha.Snapshot) { one := 1; s.Policy.Targets[0].Options.MaxRestart = &one }, nil},
		{"a silent agent", func(s *ha.Snapshot) { s.Reports = nil }, nil},
		{"a probe that could not look", func(s *ha.Snapshot) {
			s.Reports[0].Failures = []ha.ProbeFailure{{Probe: ha.ProbeWatchdog, Reason: "hangs"}}
		}, nil},
		{"another node", func(s *ha.Snapshot) { s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: "node2"}) }, []string{"node node2 is new"}},
		{"a storage less", func(s *ha.Snapshot) { s.Inventory.Storages = nil }, []string{"storage psw is gone"}},
		{"another export", func(s *ha.Snapshot) { s.Inventory.Storages[0].Export = "/old" }, []string{"storage psw changed"}},
		{"a resource stopped", func(s *ha.Snapshot) { s.Inventory.Resources[0].State = ha.RequestStopped }, []string{"HA resource vm:101 changed"}},
		{"a strict rule", func(s *ha.Snapshot) { s.Inventory.Rules[0].Strict = true }, []string{"HA rule media-nodes changed"}},
		{"a link more", func(s *ha.Snapshot) {
			s.Reports[0].Corosync.Links = append(s.Reports[0].Corosync.Links, ha.Link{Number: 1, PeerID: 2, Local: "10.1.0.1"})
		}, []string{"corosync links of node1 changed"}},
		{"another watchdog", func(s *ha.Snapshot) { s.Reports[0].Watchdog.Devices = nil }, []string{"watchdog of node1 changed"}},
		{"another target", func(s *ha.Snapshot) { s.Policy.Targets[0].HA = false }, []string{"target media changed"}},
		{"another cluster", func(s *ha.Snapshot) { s.Policy.Cluster.RTO = time.Minute }, []string{"cluster in network.yml changed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := built()
			c.change(&now)
			before := traits(built())
			if got := drift(before, traits(now)); !slices.Equal(got, c.want) {
				t.Errorf("drift %q, want %q", got, c.want)
			}
		})
	}
	upgraded := built()
	upgraded.Reports[0].System.PVEVersion = "9.2.12"
	if got := drift(traits(built()), traits(upgraded)); len(got) != 1 || !strings.Contains(got[0], "9.2.11") || !strings.Contains(got[0], "9.2.12") {
		t.Errorf("an upgrade is told as %q", got)
	}
}

// A record is not compared with a cluster that cannot be read, and does not last for ever.
func TestStaleRecord(t *testing.T) {
	s := built()
	r := ha.ReadinessBasis{ReadinessRecord: ha.ReadinessRecord{At: s.At, Ready: true}, Traits: traits(s)}
	if why := stale(r, s); len(why) != 0 {
		t.Errorf("a fresh record does not count: %q", why)
	}
	r.At = s.At.Add(-ha.RecordAgeMax - 24*time.Hour)
	if why := stale(r, s); len(why) != 1 || !strings.HasPrefix(why[0], "it is 91 days old") {
		t.Errorf("an old record: %q", why)
	}
	r.At = s.At
	s.Inventory.Failures = []string{"storage"}
	if why := stale(r, s); len(why) != 1 || !strings.Contains(why[0], "cannot be compared") {
		t.Errorf("without facts: %q", why)
	}
}

// The verdict is told when it turns, and while it is bad for each new reason; what is
// muted is no news, unless it turns the verdict.
func TestVerdictEvents(t *testing.T) {
	until := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	fail := func(code ha.Code) ha.Finding { return ha.Finding{Code: code, Status: ha.Fail, Subject: "node1"} }
	muted := fail("A")
	muted.MutedUntil = until
	r := func(findings ...ha.Finding) ha.Readiness { return ha.Readiness{Findings: findings} }
	for _, c := range []struct {
		name        string
		before, now ha.Readiness
		want        string
	}{
		{"well and well", r(), r(), ""},
		{"turns bad", r(), r(fail("A"), fail("B")), "HA is no longer ready: A on node1, B on node1"},
		{"turns bad, muted", r(), r(muted), "HA is no longer ready: A on node1"},
		{"another reason", r(fail("A")), r(fail("A"), fail("B")), "HA is not ready for more reasons: B on node1"},
		{"another reason, muted", r(fail("B")), r(muted, fail("B")), ""},
		{"one reason less", r(fail("A"), fail("B")), r(fail("A")), ""},
		{"turns well", r(fail("A")), r(), "HA is ready: nothing fails and nothing is unknown"},
	} {
		got := ""
		for _, e := range verdictEvents(c.before, c.now) {
			got += e.Text
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
