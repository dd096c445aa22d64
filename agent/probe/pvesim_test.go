package probe_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The simulated node shows itself by nothing but standard types.
var _ probe.Host = (*pvesim.Host)(nil)

// inCluster runs a story on a simulated cluster of three nodes with six guests, four of
// them under HA, after HA has been armed.
func inCluster(t *testing.T, story func(t *testing.T, c *pvesim.Cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := pvesim.New(pvesim.Spec{
			Nodes: []pvesim.NodeSpec{{Name: "node1", Memory: 64 << 30, CPUs: 8}, {Name: "node2"}, {Name: "node3"}},
			Storages: []pvesim.StorageSpec{
				{ID: "nas", Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw", Size: 4 << 40, Used: 1 << 40},
				{ID: "local", Type: "dir", Content: []string{"images", "iso"}},
			},
			Guests: []pvesim.GuestSpec{
				{ID: 100, Name: "web", Node: "node1", Running: true, Memory: 8 << 30},
				{ID: 101, Name: "db", Node: "node1", Running: true, Memory: 4 << 30},
				{ID: 102, Name: "mail", Node: "node2", Running: true},
				{ID: 200, Name: "core", Type: "lxc", Node: "node1", Running: true},
				{ID: 201, Name: "bound", Type: "lxc", Node: "node1", Config: map[string]string{"mp0": "/srv/data,mp=/data"}},
				{ID: 103, Name: "pinned", Node: "node1", Disks: []pvesim.DiskSpec{{Storage: "local"}}, Config: map[string]string{"hostpci0": "0000:01:00.0", "onboot": "1"}, Snapshots: []string{"before"}},
			},
			Resources: []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:101"}, {SID: "vm:102"}, {SID: "ct:200"}},
		})
		time.Sleep(3 * time.Minute)
		story(t, c)
	})
}

// look looks at a node, where every probe must be able to.
func look(t *testing.T, c *pvesim.Cluster, node string) ha.Report {
	t.Helper()
	r := probe.Look(t.Context(), c.Host(node), ha.NodeName(node))
	if len(r.Failures) != 0 {
		t.Errorf("%s: %v", node, r.Failures)
	}
	return r
}

// running is the report's guests, as "vm:100", or "vm:100<" while it only arrives.
func running(r ha.Report) string {
	var list []string
	for _, g := range r.Running {
		if g.Incoming {
			list = append(list, g.SID.String()+"<")
		} else {
			list = append(list, g.SID.String())
		}
	}
	return strings.Join(list, " ")
}

// links is the report's links: "node2+" is connected.
func links(r ha.Report) string {
	var list []string
	for _, l := range r.Corosync.Links {
		list = append(list, fmt.Sprintf("%s%s", l.Peer, map[bool]string{true: "+", false: "-"}[l.Connected && l.Enabled]))
	}
	return strings.Join(list, " ")
}

func TestSimulatedNodeThatIsHealthy(t *testing.T) {
	inCluster(t, func(t *testing.T, c *pvesim.Cluster) {
		r := look(t, c, "node1")
		s := r.System
		if s.MemoryTotal != 64<<30 || s.MemoryAvailable <= 0 || s.MemoryAvailable >= s.MemoryTotal || s.CPUs != 8 || s.PVEVersion != pvesim.PVEVersion ||
			s.PVEHAVersion != "5.2.0" || !s.PmxcfsMounted || !s.PmxcfsWritable || s.Uptime < time.Hour || s.BootID == "" {
			t.Errorf("system: %+v", s)
		}
		q := r.Corosync
		if !q.Running || !q.Quorate || q.NodeID != 1 || q.Votes != 3 || q.Expected != 3 || q.Quorum != 2 || !slices.Equal(q.Members, []int{1, 2, 3}) || q.TokenTimeout != 3650*time.Millisecond {
			t.Errorf("corosync: %+v", q)
		}
		if got := links(r); got != "node2+ node3+" || q.Links[0].Remote != c.Address("node2") || q.Links[0].Local != c.Address("node1") || q.Links[0].Latency == 0 {
			t.Errorf("links: %s, %+v", got, q.Links)
		}
		if len(r.Mounts) != 1 {
			t.Fatalf("mounts: %+v", r.Mounts)
		}
		m := r.Mounts[0]
		if !m.Answering || m.Stuck != 0 || m.Path != "/mnt/pve/nas" || m.Source != "10.10.0.50:/mnt/pool/psw" || m.Total != 4<<40 || m.Free != 3<<40 || !m.Hard || m.Version != "4.2" || m.Server != "10.10.0.50" || m.RTT != time.Millisecond {
			t.Errorf("mount: %+v", m)
		}
		w := r.Watchdog
		if !w.MuxRunning || w.MuxDevice != "/dev/watchdog" || !w.MuxActive || w.SoftNoboot || w.Module != "" || len(w.Devices) != 1 || w.Devices[0].Identity != "Software Watchdog" ||
			w.Devices[0].State != "active" || w.Devices[0].Timeout != 10*time.Second || !slices.Equal(w.Loaded, []string{"softdog"}) {
			t.Errorf("watchdog: %+v", w)
		}
		h := r.HA
		if !h.LRMRunning || !h.CRMRunning || h.LRMState != "active" || h.LRMMode != "active" || h.NodeState != ha.NodeOnline || h.Master == "" || h.MaintenanceRequested ||
			time.Since(h.LRMAt) > 20*time.Second || time.Since(h.MasterAt) > 20*time.Second {
			t.Errorf("HA: %+v", h)
		}
		if got := running(r); got != "ct:200 vm:100 vm:101" || time.Since(r.Running[0].Started) < 2*time.Minute {
			t.Errorf("running: %s, %+v", got, r.Running)
		}
		compareConfigs(t, r)
	})
}

func compareConfigs(t *testing.T, r ha.Report) {
	t.Helper()
	pinned, ok := r.GuestConfig(ha.MustSID("vm:103"))
	if len(r.GuestConfigs) != 5 || !ok || pinned.Name != "pinned" || !pinned.OnBoot || pinned.Snapshots != 1 || !slices.Equal(pinned.Storages, []string{"local"}) ||
		!slices.Equal(pinned.Local, []string{"hostpci0: passes the device 0000:01:00.0 through", "snapshots: 1, which cannot be copied from local"}) {
		t.Errorf("configurations: %+v", r.GuestConfigs)
	}
	bound, ok := r.GuestConfig(ha.MustSID("ct:201"))
	if !ok || bound.Name != "bound" || !slices.Equal(bound.Storages, []string{"nas"}) || !slices.Equal(bound.Local, []string{"mp0: bind mount /srv/data without shared=1"}) {
		t.Errorf("container: %+v", bound)
	}
}

func TestSimulatedNodeWhoseNFSHangs(t *testing.T) {
	inCluster(t, func(t *testing.T, c *pvesim.Cluster) {
		prober := probe.New(c.Host("node1"), "node1")
		if r := prober.Look(t.Context()); !r.Mounts[0].Answering {
			t.Fatalf("mount: %+v", r.Mounts)
		}
		c.HangNFS("node1")
		for range 3 {
			r := prober.Look(t.Context())
			if m := r.Mounts[0]; m.Answering || m.Stuck == 0 || m.Error != "" || len(r.Failures) != 0 {
				t.Errorf("mount: %+v, %v", m, r.Failures)
			}
			if running(r) != "ct:200 vm:100 vm:101" || !r.Corosync.Quorate || r.HA.LRMState != "active" {
				t.Errorf("other facts: %+v", r)
			}
			time.Sleep(5 * time.Second)
		}
		if r := look(t, c, "node2"); !r.Mounts[0].Answering {
			t.Errorf("only node1's hangs: %+v", r.Mounts)
		}
		c.HealNFS("node1")
		time.Sleep(5 * time.Second)
		if r := prober.Look(t.Context()); !r.Mounts[0].Answering || r.Mounts[0].Stuck != 0 {
			t.Errorf("it answers again: %+v", r.Mounts)
		}
	})
}

func TestSimulatedNodeThatIsCutOff(t *testing.T) {
	inCluster(t, func(t *testing.T, c *pvesim.Cluster) {
		c.Partition([]string{"node1"})
		time.Sleep(20 * time.Second)
		r := look(t, c, "node1")
		if q := r.Corosync; !q.Running || q.Quorate || q.Votes != 1 || q.Expected != 3 || !slices.Equal(q.Members, []int{1}) || links(r) != "node2- node3-" {
			t.Errorf("corosync: %+v", q)
		}
		if !r.System.PmxcfsMounted || r.System.PmxcfsWritable || !r.Watchdog.MuxActive || running(r) != "ct:200 vm:100 vm:101" {
			t.Errorf("its guests run, its watchdog counts: %+v", r)
		}
		other := look(t, c, "node2")
		if q := other.Corosync; !q.Quorate || q.Votes != 2 || !slices.Equal(q.Members, []int{2, 3}) || links(other) != "node1- node3+" {
			t.Errorf("the majority: %+v", q)
		}
		time.Sleep(time.Minute) // its watchdog has reset it
		dead := probe.Look(t.Context(), c.Host("node1"), "node1")
		if len(dead.Failures) != len(probe.All)-1 || dead.Corosync.Quorate || len(dead.Running) != 0 || dead.System.MemoryTotal != 0 {
			t.Errorf("a node without power tells nothing: %+v", dead)
		}
	})
}

func TestSimulatedNodeThatIsDrained(t *testing.T) {
	inCluster(t, func(t *testing.T, c *pvesim.Cluster) {
		if _, err := c.Host("node2").Run(t.Context(), "ha-manager", "crm-command", "node-maintenance", "enable", "node1"); err != nil {
			t.Fatal(err)
		}
		arriving := false
		for range 60 { // until the guests have left
			time.Sleep(2 * time.Second)
			all := running(look(t, c, "node2")) + " " + running(look(t, c, "node3"))
			arriving = arriving || strings.Contains(all, "vm:100<") && strings.Contains(running(look(t, c, "node1")), "vm:100")
		}
		if !arriving {
			t.Error("nobody was seen arriving: a kvm that waits for a migration is not the running guest")
		}
		r := look(t, c, "node1")
		if h := r.HA; h.NodeState != ha.NodeMaintenance || !h.MaintenanceRequested || h.LRMMode != "maintenance" {
			t.Errorf("HA: %+v", h)
		}
		if len(r.Running) != 0 {
			t.Errorf("still here: %+v", r.Running)
		}
		moved := strings.Fields(running(look(t, c, "node2")) + " " + running(look(t, c, "node3")))
		slices.Sort(moved)
		if want := []string{"ct:200", "vm:100", "vm:101", "vm:102"}; !slices.Equal(moved, want) {
			t.Errorf("elsewhere run %v, want %v: one that arrived is no longer incoming", moved, want)
		}
		if left := r.GuestConfigs; len(left) != 2 || left[0].SID != ha.MustSID("ct:201") || left[1].SID != ha.MustSID("vm:103") {
			t.Errorf("configurations left: %+v", left)
		}
	})
}

func TestRecordingOfASimulatedNode(t *testing.T) {
	inCluster(t, func(t *testing.T, c *pvesim.Cluster) {
		file, err := probe.Record(t.Context(), c.Host("node1"), "node1", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		recording, err := probe.ParseRecording(text)
		if err != nil {
			t.Fatal(err)
		}
		want, got := look(t, c, "node1"), probe.Look(t.Context(), recording, recording.Node)
		if diff := cmp.Diff(want, got); diff != "" { // time stands still while nobody waits
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
