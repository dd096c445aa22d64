package pvesim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// The second series of recordings is many small ones, made side by side. Each scene sets a
// cluster to the state one of them began with and repeats its calls at the same intervals.

// scene replays those exchanges whose label the pattern matches.
func (r *replay) scene(exchanges []exchange, labels string) {
	r.t.Helper()
	re := regexp.MustCompile("^(?:" + labels + ")")
	begin, t0 := time.Now(), 0.0
	for _, e := range exchanges {
		if !re.MatchString(e.Label) {
			continue
		}
		if t0 == 0 {
			t0 = e.T
		}
		r.wait(begin, e.T-t0)
		if creates(e) {
			r.create(e)
			continue
		}
		got := r.send(e)
		r.compare(e, got)
		if strings.HasSuffix(e.Label, "-tasklog") && r.differs[e.Label] == "" {
			r.compareLog(e, got)
		}
	}
	r.t.Logf("%d answers compared", r.counted)
}

var clockTime = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
var duration = regexp.MustCompile(`\(duration \d\d:\d\d:\d\d\)`)

// compareLog compares a task's log, times aside.
func (r *replay) compareLog(e exchange, got answer) {
	r.t.Helper()
	lines := func(body string) (list []string) {
		var out struct{ Data []struct{ T string } }
		if err := json.Unmarshal([]byte(body), &out); err != nil {
			r.t.Fatal(err)
		}
		for _, l := range out.Data {
			if strings.Contains(l.T, "user config - ignore invalid acl token") {
				continue // a token the recording had deleted
			}
			s := clockTime.ReplaceAllString(l.T, "TIME")
			list = append(list, duration.ReplaceAllString(s, "(duration)"))
		}
		return list
	}
	if a, b := lines(got.body), lines(e.Body); !slices.Equal(a, b) {
		r.t.Errorf("%s\n  is %s\nwant %s", e.Label, strings.Join(a, "\n     "), strings.Join(b, "\n     "))
	}
}

func secondSeries(t *testing.T, change func(*pvesim.Spec)) *replay {
	spec := pvesim.Spec{
		Name:  "realpve",
		Nodes: []pvesim.NodeSpec{{Name: "pve1", CPUs: 2}, {Name: "pve2", CPUs: 2}, {Name: "pve3", CPUs: 2}},
		Storages: []pvesim.StorageSpec{
			{ID: "local", Type: "dir", Content: []string{"iso", "backup", "vztmpl"}},
			{ID: "shared", Type: "dir", Shared: true, Path: "/mnt/shared/storage", Content: []string{"images", "rootdir", "iso"}},
		},
		Tokens: []pvesim.TokenSpec{
			{User: "root@pam", ID: "lab", Secret: secret}, {User: "coord@pve", ID: "ha", Secret: "c"},
			{User: "coord@pve", ID: "ro", Secret: "o", PrivSep: true, ACL: []pvesim.ACL{{Path: "/", Role: "PVEAuditor"}}},
		},
		Options: pvesim.Options{Timing: pvesim.Timing{Start: 400 * time.Millisecond, Shutdown: time.Second, CTMigrate: 1500 * time.Millisecond}},
	}
	change(&spec)
	// Statistics are there when the recording begins.
	l := start(t, spec)
	time.Sleep(time.Minute)
	return &replay{
		lab: l, upids: map[string]string{}, digests: map[string]string{}, differs: map[string]string{}, moving: map[string]string{},
		tokens: map[string]string{"root": "PVEAPIToken=root@pam!lab=" + secret, "coord": "PVEAPIToken=coord@pve!ha=c", "ro": "PVEAPIToken=coord@pve!ro=o"},
	}
}

func TestReplayOptionsAndPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := secondSeries(t, func(*pvesim.Spec) {})
		r.differs["idle-nodes"] = "right after the cluster was formed the fingerprints of other nodes were null"
		r.differs["idle-resources"] = "cgroup-mode is known only some minutes after the first start"
		r.scene(recorded(t, "testdata/series2.jsonl.gz"), "idle-|node-version|config-|opt-|perm-")
	})
}

func TestReplayStorages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := recorded(t, "testdata/series2.jsonl.gz")
		r := secondSeries(t, func(s *pvesim.Spec) { s.Guests = append(s.Guests, pvesim.GuestSpec{ID: 100, Node: "pve1"}) })
		r.CutNFSServer("10.99.7.1") // nobody serves NFS there
		r.CutNFSServer("10.99.7.99")
		r.scene(all, "storage-|node-storage-|nfs-")
	})
}

// configured makes a guest of a recorded configuration.
func configured(t *testing.T, all []exchange, label string) pvesim.GuestSpec {
	t.Helper()
	at := slices.IndexFunc(all, func(e exchange) bool { return e.Label == label })
	if at < 0 {
		t.Fatalf("no recording %s", label)
	}
	e := all[at]
	var out struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(e.Body), &out); err != nil {
		t.Fatal(err)
	}
	path := strings.Split(e.URL, "/")
	g := pvesim.GuestSpec{Node: path[2], Type: path[3], ID: atoi(path[4]), Bare: true, Config: map[string]string{}}
	for k, v := range out.Data {
		switch k {
		case "digest":
		case "parent":
			g.Snapshots = []string{fmt.Sprint(v)}
		default:
			g.Config[k] = fmt.Sprint(v)
		}
	}
	return g
}

// awkward are guests with everything that may bind one to its node.
func awkward(t *testing.T, all []exchange) []pvesim.GuestSpec {
	t.Helper()
	var list []pvesim.GuestSpec
	for id := 110; id <= 120; id++ {
		list = append(list, configured(t, all, fmt.Sprintf("vmc-%d-config", id)))
	}
	for id := 200; id <= 203; id++ {
		list = append(list, configured(t, all, fmt.Sprintf("ct-%d-config", id)))
	}
	return list
}

func TestReplayGuestsThatCannotMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := recorded(t, "testdata/series2.jsonl.gz")
		r := secondSeries(t, func(s *pvesim.Spec) {
			s.Storages[0].Content = []string{"iso", "vztmpl", "backup", "images", "rootdir"}
			s.Guests = awkward(t, all)
			for id, node := range map[int]string{100: "pve1", 101: "pve2", 102: "pve2", 103: "pve3", 104: "pve2", 105: "pve2", 150: "pve1", 151: "pve1"} {
				s.Guests = append(s.Guests, pvesim.GuestSpec{ID: id, Node: node})
			}
		})
		for _, sid := range []string{"vm:100", "vm:103", "vm:104"} {
			r.data("pve1", "POST", "/cluster/ha/resources", "sid="+sid, nil)
		}
		r.differs["vmc-115-config-snap"] = "the recorded snapshot has a description"
		r.differs["vmm-113-start-tasklog"] = "the recording's nodes lacked the PCI device, ours have it"
		r.differs["vmm-112-tasklog"] = "the recorded log has the lines of dd"
		r.differs["vmm-110-tasklog"] = "the recorded log has the lines of dd"
		r.scene(all, "vmc-|vmm-|ct-|resources-vm")
	})
}

func TestReplayLiveMigrationsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := recorded(t, "testdata/series2.jsonl.gz")
		r := secondSeries(t, func(s *pvesim.Spec) {
			s.Storages[0].Content = []string{"iso", "vztmpl", "backup", "images", "rootdir"}
			s.Storages = append(s.Storages, pvesim.StorageSpec{ID: "s2", Type: "dir", Shared: true, Path: "/mnt/shared/s2", Nodes: []string{"pve1", "pve2"}})
			s.Guests = append(s.Guests, configured(t, all, "vmc-111-config"), configured(t, all, "vmc-112-config"))
			s.Guests[1].Node = "pve3"
			s.Options.Timing.Start, s.Options.Timing.Stop = 200*time.Millisecond, 200*time.Millisecond
		})
		r.differs["vmr2-121-create-taskstatus"] = "creation is not served"
		r.differs["vmr2-121-create-tasklog"] = "creation is not served"
		r.scene(all, "vmr2-111|vmr2-112|vmr2-121")
	})
}

// A guest with mapped devices can go only where the mappings have them.
func TestReplayMappedDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := recorded(t, "testdata/series2.jsonl.gz")
		r := secondSeries(t, func(s *pvesim.Spec) {
			s.Guests = append(awkward(t, all), pvesim.GuestSpec{ID: 100, Node: "pve1"}, pvesim.GuestSpec{ID: 103, Node: "pve3"})
			s.Mappings = map[string][]string{"gpu1": {"pve1"}, "key1": {"pve1", "pve2"}, "share1": {"pve1"}}
			s.Resources = []pvesim.ResourceSpec{
				{SID: "vm:113", State: "ignored"}, {SID: "vm:112", State: "ignored"},
				{SID: "vm:103", State: "stopped", Options: map[string]string{"max_restart": "1", "max_relocate": "1"}},
			}
		})
		r.shapes = true // guests in other numbers
		r.scene(all, "vmr-118|vmr-ct|vmr-ha-list")
	})
}

// Tokens with few rights see less, and nothing tells them so but what they may not do.
func TestReplayTokensWithFewRights(t *testing.T) {
	few := []pvesim.ACL{{Path: "/vms/100", Role: "PVEVMUser"}}
	low := []pvesim.ACL{{Path: "/vms/104", Role: "PVEVMAdmin"}, {Path: "/nodes/pve1", Role: "PVEAuditor"}, {Path: "/storage/shared", Role: "PVEDatastoreUser"}}
	tokens := map[string]pvesim.TokenSpec{
		"tok-none":     {User: "few@pve", ID: "none", PrivSep: true, UserACL: few},
		"tok-vm":       {User: "few@pve", ID: "vm", PrivSep: true, ACL: []pvesim.ACL{{Path: "/vms/100", Role: "PVEAuditor"}}},
		"tok-coordfew": {User: "coord@pve", ID: "few", PrivSep: true, ACL: []pvesim.ACL{{Path: "/nodes/pve2", Role: "PVEAuditor"}}},
		"low-all":      {User: "low@pve", ID: "all", UserACL: low},
		"low-sep":      {User: "low@pve", ID: "sep", PrivSep: true},
		"low-sepacl":   {User: "low@pve", ID: "sepacl", PrivSep: true, ACL: []pvesim.ACL{{Path: "/vms/104", Role: "PVEAuditor"}, {Path: "/vms/105", Role: "PVEAuditor"}}},
		"root-sep":     {User: "root@pam", ID: "sep", PrivSep: true},
	}
	synctest.Test(t, func(t *testing.T) {
		all := recorded(t, "testdata/series2.jsonl.gz")
		lab := func() *replay {
			r := secondSeries(t, func(s *pvesim.Spec) {
				for _, name := range slices.Sorted(maps.Keys(tokens)) {
					tok := tokens[name]
					tok.Secret = name
					s.Tokens = append(s.Tokens, tok)
				}
				s.Guests = []pvesim.GuestSpec{
					{ID: 100, Node: "pve1", Running: true, Config: map[string]string{"onboot": "0"}},
					{ID: 104, Node: "pve1", Running: true}, {ID: 150, Node: "pve3", Running: true}, {ID: 105, Node: "pve2", Running: true},
					{ID: 106, Node: "pve2"},
				}
				for _, g := range awkward(t, all) {
					if g.ID == 115 {
						g.Node = "pve2"
					}
					s.Guests = append(s.Guests, g)
				}
				s.Storages = append(s.Storages, pvesim.StorageSpec{ID: "s2", Type: "dir", Shared: true, Path: "/mnt/shared/s2", Nodes: []string{"pve1", "pve2"}})
				s.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}, {SID: "vm:104"}, {SID: "vm:105"}, {SID: "vm:106"}}
				s.Options.Timing.MigrateBase = 20 * time.Second
			})
			for name, tok := range tokens {
				r.tokens[name] = fmt.Sprintf("PVEAPIToken=%s!%s=%s", tok.User, tok.ID, name)
			}
			return r
		}
		lab().scene(all, "fewpriv-")
		r := lab()
		r.data("pve2", "POST", "/nodes/pve2/qemu/115/status/start", "", nil)
		r.command("pve1", "node-maintenance enable pve2")
		r.until(time.Minute, "a migration to run", func() bool {
			g, _ := r.Guest("vm:105")
			return g.Lines["lock"] == "migrate"
		})
		for _, label := range []string{"resources", "resources-vm", "qemu"} {
			r.differs["privview-low-all-"+label] = "vm:104 was locked by its migration for a moment"
		}
		r.differs["privview-header-space"] = "the recording's secret was replaced by the one of privview-wrong-secret"
		r.shapes = true // the same state as there, but other guests
		r.scene(all, "privview-")
	})
}
