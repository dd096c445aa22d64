package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// core is on its way from node1 to node3 when the reports are made: node1 was looked at
// while it still ran there, node3 when it ran there already. No disk is in danger.
func TestAGuestThatMovesIsNoSplitBrain(t *testing.T) {
	core := ha.MustSID("ct:101")
	for _, tt := range []struct {
		name string
		sign func(s *ha.Snapshot)
		want ha.Status
	}{
		{"nothing explains it", func(*ha.Snapshot) {}, ha.Fail},
		{"the HA manager moves it", func(s *ha.Snapshot) {
			s.Inventory.HA.Services[0] = ha.HAService{SID: core, Node: "node1", State: ha.ServiceMigrate, Target: "node3"}
		}, ha.Notice},
		{"a migration runs", func(s *ha.Snapshot) {
			s.Inventory.Tasks = []ha.Task{{Type: "vzmigrate", ID: "101", Started: noon.Add(-time.Minute)}}
		}, ha.Notice},
		{"a migration ended after the older report", func(s *ha.Snapshot) {
			s.Inventory.Tasks = []ha.Task{{Type: "vzmigrate", ID: "101", Started: noon.Add(-time.Minute), Ended: noon.Add(-time.Second)}}
		}, ha.Notice},
		{"a migration ended long before both reports", func(s *ha.Snapshot) {
			s.Inventory.Tasks = []ha.Task{{Type: "vzmigrate", ID: "101", Started: noon.Add(-time.Hour), Ended: noon.Add(-50 * time.Minute)}}
		}, ha.Fail},
		{"another guest's migration", func(s *ha.Snapshot) {
			s.Inventory.Tasks = []ha.Task{{Type: "vzmigrate", ID: "102", Started: noon.Add(-time.Minute)}}
		}, ha.Fail},
		{"its configuration is locked for a migration", func(s *ha.Snapshot) {
			report(s, "node1").GuestConfigs[0].Lock = "migrate"
		}, ha.Notice},
		{"it started on node3 after node1 was looked at", func(s *ha.Snapshot) {
			r := report(s, "node3")
			r.Taken, r.Received = noon, noon
			r.Running[0].Started = noon.Add(-time.Second)
		}, ha.Notice},
		{"node3 only waits for its state", func(s *ha.Snapshot) { report(s, "node3").Running[0].Incoming = true }, ha.Pass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy()
			r := report(&s, "node3")
			r.Running = append([]ha.LocalGuest{{SID: core, PID: 77, Started: noon.Add(-time.Hour)}}, r.Running...)
			tt.sign(&s)
			subject := core.String()
			if tt.want == ha.Pass {
				subject = "cluster"
			}
			f, found := find(check.Judge(s, ha.CheckRequest{}), check.SplitBrain, subject)
			if !found || f.Status != tt.want {
				t.Errorf("%q: %s, want %s", f.Status, f.Evidence, tt.want)
			}
		})
	}
}

// What is to be done at once is typed as it stands: where to stop it, and where its backups are.
func TestTheRemedyOfASplitBrainNamesNodeAndBackups(t *testing.T) {
	s := healthy()
	clusterStories[check.SplitBrain].wrong(&s)
	remedy := func() string {
		f, _ := find(check.Judge(s, ha.CheckRequest{}), check.SplitBrain, "ct:101")
		return f.Remedy
	}
	if got := remedy(); !strings.Contains(got, "pct stop 101 on node3 (Proxmox has it on node1)") || !strings.Contains(got, "no storage of the cluster takes backups") {
		t.Errorf("%s", got)
	}
	s.Inventory.Storages = append(s.Inventory.Storages, ha.Storage{Name: "pbs", Type: "pbs", Content: []string{"backup"}})
	if got := remedy(); !strings.Contains(got, "the last line of pvesm list pbs --content backup --vmid 101") {
		t.Errorf("%s", got)
	}
}
