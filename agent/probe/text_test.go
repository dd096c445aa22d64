package probe

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// quorumText is what corosync-quorumtool -s prints, with one part replaced.
func quorumText(old, new string) string {
	const text = `Quorum information
------------------
Date:             Sat Nov 21 12:26:40 2026
Quorum provider:  corosync_votequorum
Nodes:            2
Node ID:          1
Ring ID:          1.d
Quorate:          Yes

Votequorum information
----------------------
Expected votes:   3
Highest expected: 3
Total votes:      3
Quorum:           2  
Flags:            Quorate Qdevice 

Membership information
----------------------
    Nodeid      Votes    Qdevice Name
         1          1    A,V,NMW pve1 (local)
         2          1    A,V,NMW pve2
         0          1            Qdevice
`
	return strings.Replace(text, old, new, 1)
}

func TestQuorumtool(t *testing.T) {
	good := ha.Corosync{
		Running: true, NodeID: 1, Quorate: true, Votes: 3, Expected: 3, Quorum: 2,
		Flags: []string{"Quorate", "Qdevice"}, QDevice: true, QDeviceAlive: true, Members: []int{1, 2},
	}
	with := func(change func(*ha.Corosync)) *ha.Corosync {
		c := good
		change(&c)
		return &c
	}
	for _, tt := range []struct {
		name, old, new string
		want           *ha.Corosync // nil: an error
	}{
		{"as it is", "", "", &good},
		{"ids in hexadecimal, as pvecm status prints them", "1\nRing", "0x00000001\nRing", &good},
		{"members by IPv6 address", "pve2", "fd00::2", &good},
		{"the QDevice does not vote for us", "A,V,NMW pve1", "A,NV,NMW pve1", with(func(c *ha.Corosync) { c.QDeviceAlive = false })},
		{"the QDevice is not registered here", "A,V,NMW pve1", "NR pve1", with(func(c *ha.Corosync) { c.QDeviceAlive = false })},
		{"the QDevice votes for the other node only", "(local)", "", with(func(c *ha.Corosync) { c.QDeviceAlive = false })},
		{"the flag and the line disagree", "Flags:            Quorate ", "Flags:            ", with(func(c *ha.Corosync) { c.Quorate, c.Flags = false, []string{"Qdevice"} })},
		{"no quorum", "Quorate:          Yes", "Quorate:          No", with(func(c *ha.Corosync) { c.Quorate = false })},
		{"no word about quorum", "Quorate:          Yes\n", "", nil},
		{"another word about quorum", "Quorate:          Yes", "Quorate:          Maybe", nil},
		{"two words about quorum", "Quorate:          Yes", "Quorate:          No\nQuorate:          Yes", nil},
		{"no votes", "Total votes:      3\n", "", nil},
		{"strange votes", "Total votes:      3", "Total votes:      many", nil},
		{"negative votes", "Total votes:      3", "Total votes:      -3", nil},
		{"strange member", "         2          1    A,V,NMW pve2", "         2          x    A,V,NMW pve2", nil},
		{"cut off", "Total votes:      3\nQuorum:           2  \nFlags:            Quorate Qdevice \n", "", nil},
	} {
		got, err := parseQuorumtool(quorumText(tt.old, tt.new))
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s: want an error, got %+v", tt.name, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(*tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// The exit code has to agree with the text: a text cut in half must not make quorum.
func TestQuorumtoolContradictsItself(t *testing.T) {
	for code, text := range map[int]string{
		0: quorumText("Yes", "No"),
		2: quorumText("", ""),
		1: quorumText("", ""),
	} {
		host := newRecording("pve1")
		host.runs["corosync-quorumtool -s"] = recordedAnswer{code: code, output: []byte(text)}
		if got := lookAt(t, host); got.Corosync.Quorate || got.Corosync.Running {
			t.Errorf("exit code %d: %+v", code, got.Corosync)
		} else if _, failed := got.Failed(ha.ProbeCorosync); !failed {
			t.Errorf("exit code %d: no failure", code)
		}
	}
}

func TestLinkIsConnectedOnlyIfAllSourcesSaySo(t *testing.T) {
	peers := "Local node ID 1, transport knet\nnodeid: 2 reachable\n   LINK: 0 udp (a->b) enabled connected mtu: 1397\n"
	stats := "stats.knet.node2.link0.connected (u8) = 1\nstats.knet.node2.link0.enabled (u8) = 1\n"
	status := "Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= a\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\n"
	for _, tt := range []struct {
		name                 string
		peers, stats, status string
		connected, unknown   bool
	}{
		{"all agree", peers, stats, "", true, false},
		{"no statistics, but the status", peers, "", status, true, false},
		{"only the peers are known", peers, "", "", false, true},
		{"only the statistics", "", stats, "", false, true},
		{"the statistics differ", peers, strings.Replace(stats, "= 1", "= 0", 1), "", false, false},
		{"the peers differ", strings.Replace(peers, " connected", "", 1), stats, "", false, false},
		{"the peer is not listed", "Local node ID 1, transport knet\n", stats, "", false, false},
		{"the peer is not reachable", strings.Replace(peers, "reachable", "unreachable", 1), stats, "", false, false},
		{"a newer corosync says more", strings.Replace(peers, "2 reachable", "2: reachable onwire (min/max/cur): 0, 1, 1", 1), stats, "", true, false},
		{"the status differs", peers, "", strings.Replace(status, "\tconnected", "\tdisconnected", 1), false, false},
	} {
		host := newRecording("pve1")
		host.runs["corosync-quorumtool -s"] = recordedAnswer{output: []byte(quorumText("", ""))}
		for line, text := range map[string]string{
			"corosync-cfgtool -n": tt.peers, "corosync-cmapctl -m stats": tt.stats, "corosync-cfgtool -s": tt.status,
		} {
			if text != "" {
				host.runs[line] = recordedAnswer{output: []byte(text)}
			}
		}
		r := lookAt(t, host)
		_, unknown := r.Failed(ha.ProbeCorosync)
		connected := len(r.Corosync.Links) == 1 && r.Corosync.Links[0].Connected
		if connected != tt.connected || unknown != tt.unknown {
			t.Errorf("%s: connected %t, unknown %t: %+v", tt.name, connected, unknown, r.Corosync.Links)
		}
	}
}

func TestTokenTimeoutIsAskedAgainWhenTheConfigurationChanges(t *testing.T) {
	host := load(t, "busy.pve1")
	p := New(host, "pve1")
	token := func() time.Duration { return p.Look(t.Context()).Corosync.TokenTimeout }
	if got := token(); got != 3*time.Second {
		t.Fatal(got)
	}
	host.runs["corosync-cmapctl"] = recordedAnswer{output: []byte("runtime.config.totem.token (u32) = 5000\n")}
	if got := token(); got != 3*time.Second {
		t.Errorf("asked again though nothing changed: %s", got)
	}
	host.add("etc/corosync/corosync.conf", string(host.files["etc/corosync/corosync.conf"].data)+"# token: 5000\n")
	if got := token(); got != 5*time.Second {
		t.Errorf("not asked again: %s", got)
	}
	delete(host.runs, "corosync-cmapctl")
	host.add("etc/corosync/corosync.conf", "")
	if r := p.Look(t.Context()); r.Corosync.TokenTimeout != 0 || !r.Corosync.Quorate {
		t.Errorf("without an answer it is unknown: %+v", r.Corosync)
	}
}

func TestPackageDatabaseIsReadAgainWhenItChanges(t *testing.T) {
	host := load(t, "busy.pve1")
	p := New(host, "pve1")
	p.Look(t.Context())
	host.add(packageDatabase, "Package: pve-manager\nStatus: deinstall ok config-files\nVersion: 9.2.11\n\n"+
		"Package: pve-ha-manager-dbg\nStatus: install ok installed\nVersion: 1\n\nPackage: pve-ha-manager\nPriority: x\nStatus: hold ok installed\nVersion: 5.2.5\n")
	if s := p.Look(t.Context()).System; s.PVEVersion != "" || s.PVEHAVersion != "5.2.5" {
		t.Errorf("%+v", s)
	}
}

// TestHAFiles reads every shape of status file the HA manager was seen to write.
func TestHAFiles(t *testing.T) {
	f, err := os.Open("testdata/ha-files.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	states := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var file struct{ File, Content string }
		if err := json.Unmarshal(lines.Bytes(), &file); err != nil {
			t.Fatal(err)
		}
		var l ha.LocalHA
		if strings.HasSuffix(file.File, "lrm_status") {
			err = parseLRMStatus([]byte(file.Content), &l)
			states[l.LRMState+"/"+l.LRMMode]++
			if l.LRMAt.Year() != 2026 {
				t.Errorf("time %s in %s", l.LRMAt, file.Content)
			}
		} else {
			for _, node := range []ha.NodeName{"pve1", "pve2", "pve3"} {
				err = parseManagerStatus([]byte(file.Content), node, &l)
				states[string(node)+" "+l.NodeState+map[bool]string{true: " requested"}[l.MaintenanceRequested]]++
			}
			if l.MasterAt.Year() != 2026 || !strings.HasPrefix(string(l.Master), "pve") {
				t.Errorf("%+v from %s", l, file.Content)
			}
		}
		if err != nil {
			t.Errorf("%s: %v in %s", file.File, err, file.Content)
		}
	}
	want := map[string]int{
		"active/active": 1, "active/maintenance": 1, "active/restart": 1, "maintenance/active": 1, "maintenance/maintenance": 1,
		"wait_for_agent_lock/active": 1, "wait_for_agent_lock/disarm": 1, "wait_for_agent_lock/restart": 1,
		"pve1 online": 12,
		"pve2 online": 9, "pve2 online requested": 1, "pve2 maintenance requested": 1, "pve2 maintenance": 1,
		"pve3 online": 9, "pve3 unknown": 1, "pve3 fence": 1, "pve3 maintenance": 1,
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states seen (-want +got):\n%s", diff)
	}
}

func TestStatusFilesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"state":1}`, `{"timestamp":"soon"}`, "\x00\x00"} {
		var l ha.LocalHA
		if err := parseLRMStatus([]byte(text), &l); err == nil || !cmp.Equal(l, ha.LocalHA{}) {
			t.Errorf("%q: %v, %+v", text, err, l)
		}
	}
}

// TestMountsAgreeWithProcfs holds our reading of every recorded mountinfo and mountstats
// to that of Prometheus' procfs, which reads folders only and so cannot read a Host.
func TestMountsAgreeWithProcfs(t *testing.T) {
	names, err := filepath.Glob("testdata/hosts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, file := range names {
		host := load(t, strings.TrimSuffix(filepath.Base(file), ".txt"))
		info, stats := host.files["proc/self/mountinfo"].data, host.files["proc/self/mountstats"].data
		if len(stats) == 0 || strings.Contains(file, "busy") || strings.Contains(file, "troubled") { // put together by hand, and too short for procfs
			continue
		}
		compared += compareWithProcfs(t, file, procFolder(t, info, stats), string(info), string(stats))
	}
	if compared < 20 {
		t.Errorf("only %d mounts compared", compared)
	}
}

// procFolder writes mountinfo and mountstats where procfs looks for them.
func procFolder(t testing.TB, info, stats []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"mountinfo": info, "mountstats": stats} {
		if err := os.WriteFile(filepath.Join(dir, "1", name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSimulatedMountsAgreeWithProcfs(t *testing.T) {
	host := pvesim.New(pvesim.Spec{
		Nodes:    []pvesim.NodeSpec{{Name: "node1"}},
		Storages: []pvesim.StorageSpec{{ID: "nas"}, {ID: "old", Options: "vers=3,soft"}},
	}).Host("node1")
	info, err := host.ReadFile("proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	stats, err := host.ReadFile("proc/self/mountstats")
	if err != nil {
		t.Fatal(err)
	}
	if n := compareWithProcfs(t, "pvesim", procFolder(t, info, stats), string(info), string(stats)); n != 2 {
		t.Errorf("%d mounts compared", n)
	}
}

func compareWithProcfs(t *testing.T, file, dir, info, stats string) (compared int) {
	t.Helper()
	fsys, err := procfs.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	process, err := fsys.Proc(1)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := process.MountStats()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	ours, err := parseMountinfo(info)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	counters := parseMountstats(stats)
	for _, m := range mounts {
		nfs, ok := m.Stats.(*procfs.MountStatsNFS)
		if !ok {
			continue
		}
		compared++
		var want mountCounters
		for _, op := range nfs.Operations {
			want.operations += int64(op.Requests)
			want.timeouts += int64(op.MajorTimeouts)
			want.roundTrips += time.Duration(op.CumulativeTotalResponseMilliseconds) * time.Millisecond
		}
		if counters[m.Mount] != want {
			t.Errorf("%s: %s: %+v, procfs says %+v", file, m.Mount, counters[m.Mount], want)
		}
		found := false
		for _, o := range ours {
			_, hard := nfs.Opts["hard"]
			found = found || o.Path == m.Mount && o.Source == m.Device && o.Type == m.Type && o.Version == nfs.Opts["vers"] && o.Hard == hard
		}
		if !found {
			t.Errorf("%s: procfs knows %s, we have %+v", file, m.Mount, ours)
		}
	}
	return compared
}
