package project

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

var compareAddr = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// everything is a network.yml with every key we know.
const everything = `
management:
  gateway: 10.10.0.1
  hosts:
    vault: {ip: 10.10.0.201, roles: [proxmox, storage], links: [10.30.0.3, 10.31.0.3]}
    node1:
      ip: 10.10.0.198
      roles: [proxmox]
      bmc: {address: 10.20.0.11, secret: bmc/node1, type: ilo, switch: mgmt}
      links: [10.30.0.1, 10.31.0.1]
      switches: {eno2: sw2, eno1: sw1}
      ups: [rack@10.10.0.70]
    router: {ip: "fd00::1", roles: [opnsense]}
    node2: {ip: 10.10.0.199, roles: [proxmox], links: [10.30.0.2, 10.31.0.2]}
cluster:
  name: home
  token_timeout: 3s
  networks: {storage: 10.40.0.0/24, bmc: 10.20.0.0/24}
  sites: [{name: cellar, nodes: [vault, node1, node2]}, {name: attic, arbiter: true}]
  fencing: {methods: [watchdog, sbd], watchdog: i6300esb, sbd: {device: /dev/disk/by-id/x, watchdog_timeout: 1m, msgwait: 2m}}
  ceph: {stretch_mode: true, public_network: 10.50.0.0/24, cluster_network: 10.51.0.0/24}
  nodes: [vault, node1, node2]
  qdevice: {host: qnetd.home.lan}
  rto: 2m30s
  shared_storage:
    type: nfs
    server: 10.10.0.50
    export: /mnt/pool/psw/
    mount: /mnt/shared
    options: vers=4.2,nconnect=4
    redundant: true
targets:
  vps: {type: bare, ip: 203.0.113.7}
  media:
    type: vm
    node: node1
    ha: true
    cores: 4
    memory: 4096
    disk: 100
    ip: 10.10.0.21/24
    maintenance: move
    ready: {tcp: 8096}
    storage: pool
    devices: [gpu, RTX]
    ha_options:
      nodes: [node2, node1]
      strict: true
      priority: {node2: 2, node1: 3}
      max_restart: 0
      max_relocate: 2
  core:
    type: lxc
    node: node2
    ha: true
    cores: 0.5
    memory: 40960
    disk: 200
    bootstrap: true
  backup: {type: lxc, node: vault, maintenance: stop}
`

func TestPolicyOfEverything(t *testing.T) {
	fsys := fstest.MapFS{
		"network.yml":              {Data: []byte(everything)},
		"nodes/node1/hardware.yml": {Data: []byte("server: {cpu: {cores: 8, threads: 16}, memory: {total_gb: 64}}\ngpu: [{model: RTX 3060}]")},
		"nodes/node2/hardware.yml": {Data: []byte("server: {cpu: {cores: 4}, memory: {total_gb: 15.5}}\ngpu: [RTX 4000]")},
		".psw/converge/state.yml":  {Data: []byte("targets:\n  core: {vmid: 100, prepared: true}\n  media: {vmid: \"101\"}\n  vps: {vmid: 102}\n")},
	}
	got, found := load(fsys, "folder")
	if len(found) > 0 {
		t.Fatalf("found:\n%s", renderAll(found))
	}
	zero, two := 0, 2
	want := ha.Policy{
		Project: "folder",
		Hosts: []ha.Host{
			{Name: "node1", IP: netip.MustParseAddr("10.10.0.198"), Roles: []string{"proxmox"},
				BMC:      &ha.BMC{Address: netip.MustParseAddr("10.20.0.11"), Secret: "bmc/node1", Type: ha.BMCILO, Switch: "mgmt"},
				Links:    []netip.Addr{netip.MustParseAddr("10.30.0.1"), netip.MustParseAddr("10.31.0.1")},
				Switches: []ha.Port{{Interface: "eno1", Switch: "sw1"}, {Interface: "eno2", Switch: "sw2"}},
				UPS:      []string{"rack@10.10.0.70"},
				Capacity: &ha.Capacity{CPUs: 16, Memory: 64 * gib},
				Devices:  []ha.Device{{Kind: "gpu", Name: "RTX 3060"}}},
			{Name: "node2", IP: netip.MustParseAddr("10.10.0.199"), Roles: []string{"proxmox"},
				Links:    []netip.Addr{netip.MustParseAddr("10.30.0.2"), netip.MustParseAddr("10.31.0.2")},
				Capacity: &ha.Capacity{CPUs: 4, Memory: 15*gib + gib/2},
				Devices:  []ha.Device{{Kind: "gpu", Name: "RTX 4000"}}},
			{Name: "router", IP: netip.MustParseAddr("fd00::1"), Roles: []string{"opnsense"}},
			{Name: "vault", IP: netip.MustParseAddr("10.10.0.201"), Roles: []string{"proxmox", "storage"},
				Links: []netip.Addr{netip.MustParseAddr("10.30.0.3"), netip.MustParseAddr("10.31.0.3")}},
		},
		Cluster: ha.ClusterPolicy{
			Name:         "home",
			Nodes:        []ha.NodeName{"vault", "node1", "node2"},
			QDevice:      &ha.QDevice{Host: "qnetd.home.lan"},
			RTO:          150 * time.Second,
			Storage:      &ha.SharedStorage{Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw", Mount: "/mnt/shared", Options: "vers=4.2,nconnect=4", Redundant: true},
			TokenTimeout: 3 * time.Second,
			Networks: []ha.Network{
				{Use: ha.NetworkBMC, Prefix: netip.MustParsePrefix("10.20.0.0/24")},
				{Use: ha.NetworkStorage, Prefix: netip.MustParsePrefix("10.40.0.0/24")},
			},
			Sites: []ha.Site{{Name: "cellar", Nodes: []ha.NodeName{"vault", "node1", "node2"}}, {Name: "attic", Arbiter: true}},
			Fencing: &ha.Fencing{
				Methods: []ha.FencingMethod{ha.FenceWatchdog, ha.FenceSBD}, Watchdog: "i6300esb",
				SBD: &ha.SBD{Device: "/dev/disk/by-id/x", WatchdogTimeout: time.Minute, MsgWait: 2 * time.Minute},
			},
			Ceph: &ha.Ceph{Stretch: true, Public: netip.MustParsePrefix("10.50.0.0/24"), Cluster: netip.MustParsePrefix("10.51.0.0/24")},
		},
		Targets: []ha.Target{
			{Name: "backup", Type: ha.TargetLXC, Node: "vault", Maintenance: ha.MaintenanceStop},
			{Name: "core", Type: ha.TargetLXC, Node: "node2", HA: true, Cores: 0.5, Memory: 40960 * mib, Disk: 200 * gib, Bootstrap: true, VMID: 100},
			{Name: "media", Type: ha.TargetVM, Node: "node1", HA: true, Cores: 4, Memory: 4096 * mib, Disk: 100 * gib,
				IP: "10.10.0.21/24", Maintenance: ha.MaintenanceMove, ReadyTCP: 8096, VMID: 101,
				Storage: "pool", Devices: []string{"gpu", "RTX"},
				Options: ha.HAOptions{
					Nodes: []ha.NodeName{"node2", "node1"}, Strict: true,
					Priority:   []ha.RuleNode{{Node: "node1", Priority: 3}, {Node: "node2", Priority: 2}},
					MaxRestart: &zero, MaxRelocate: &two,
				}},
			{Name: "vps", Type: ha.TargetBare, IP: "203.0.113.7"},
		},
	}
	if diff := cmp.Diff(want, got, compareAddr); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

// The page that describes the product has one project; it must load as it stands.
func TestExampleOfThePage(t *testing.T) {
	p, err := Load("../../deploy/config/example")
	if err != nil {
		t.Fatal(err)
	}
	want := ha.Policy{
		Project: "example",
		Hosts: []ha.Host{
			{Name: "node1", IP: netip.MustParseAddr("10.10.0.198"), Roles: []string{"proxmox"}},
			{Name: "node2", IP: netip.MustParseAddr("10.10.0.199"), Roles: []string{"proxmox"}},
		},
		Cluster: ha.ClusterPolicy{
			Name: "example", Nodes: []ha.NodeName{"node1", "node2"},
			Storage: &ha.SharedStorage{Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw", Mount: "/mnt/shared"},
		},
		Targets: []ha.Target{
			{Name: "core", Type: ha.TargetLXC, Node: "node1", HA: true, Cores: 8, Memory: 40960 * mib, Disk: 200 * gib},
			{Name: "media", Type: ha.TargetLXC, Node: "node1", HA: true, Cores: 4, Memory: 4096 * mib, Disk: 100 * gib},
			{Name: "monitoring", Type: ha.TargetLXC, Node: "node2", HA: true, Cores: 4, Memory: 4096 * mib, Disk: 50 * gib},
		},
	}
	if diff := cmp.Diff(want, p.Policy, compareAddr); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if len(p.Notices) != 1 || !strings.Contains(p.Notices[0].Text, "two nodes and no qdevice") {
		t.Errorf("a two-node cluster is worth exactly one warning, got:\n%s", renderAll(p.Notices))
	}
	if !filepath.IsAbs(p.Dir) {
		t.Errorf("Dir %s is not absolute", p.Dir)
	}
}

// Every optional key of the three-node example, uncommented, is right as well: the
// comments are its documentation and must not rot.
func TestThreeNodeExampleAndItsComments(t *testing.T) {
	p, err := Load("../../deploy/config/three-node")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Notices) > 0 {
		t.Errorf("the recommended project has notices:\n%s", renderAll(p.Notices))
	}
	if vm, ok := p.Policy.Target("photos"); !ok || vm.Type != ha.TargetVM || !vm.HA {
		t.Errorf("photos is not a protected virtual machine: %+v", vm)
	}
	if pinned, ok := p.Policy.Target("backup"); !ok || pinned.HA {
		t.Errorf("backup is not a pinned target: %+v", pinned)
	}

	data, err := os.ReadFile("../../deploy/config/three-node/network.yml")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	uncommented := 0
	for line := range strings.Lines(string(data)) {
		indent, text, ok := strings.Cut(line, "# ")
		key, _, isKey := strings.Cut(strings.TrimSpace(text), ":")
		if ok && strings.TrimSpace(indent) == "" && isKey && !strings.Contains(key, " ") {
			line = indent + text
			uncommented++
		}
		b.WriteString(line)
	}
	hardware := func(gpu string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("server: {cpu: {threads: 16}, memory: {total_gb: 64}}\ngpu: [" + gpu + "]")}
	}
	policy, found := load(fstest.MapFS{
		"network.yml":              {Data: []byte(b.String())},
		"nodes/node1/hardware.yml": hardware("RTX 3060"),
		"nodes/node2/hardware.yml": hardware("RTX 3060"),
		"nodes/node3/hardware.yml": hardware(""),
	}, "three-node")
	if len(found) > 0 || uncommented != 33 {
		t.Errorf("%d keys uncommented, found:\n%s\n%s", uncommented, renderAll(found), b.String())
	}
	if media, _ := policy.Target("media"); media.ReadyTCP != 8096 || !media.Options.Strict || policy.Cluster.RTO != 3*time.Minute || len(policy.Links("node2")) != 2 {
		t.Errorf("the optional keys were not read: %+v", policy)
	}
}

func TestErrorOfAFaultyProject(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "network.yml", "management: {hosts: {node1: {roles: [proxmox]}}}\ndns: {}\n")
	_, err := Load(dir)
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != 1 || len(faults.Notices) != 1 {
		t.Fatalf("error %#v, want one fault and one notice", err)
	}
	if ha.KindOf(err) != ha.Invalid {
		t.Errorf("kind %q, want %q", ha.KindOf(err), ha.Invalid)
	}
	if want := "network.yml:1:22: management.hosts.node1 has no ip"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}

	write(t, dir, "network.yml", "management: {hosts: {node1: {roles: [proxmox]}, node2: {}}}\n")
	_, err = Load(dir)
	if want := "network.yml:1:22: management.hosts.node1 has no ip (and 1 more fault; psw project validate shows both)"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}

	write(t, dir, "network.yml", "management: {hosts: {node1: {roles: [proxmox]}, node2: {}, node3: {}}}\n")
	_, err = Load(dir)
	if want := "network.yml:1:22: management.hosts.node1 has no ip (and 2 more faults; psw project validate shows them all)"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestFoldersThatAreNoProject(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "network.yml"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := t.TempDir()
	write(t, large, "network.yml", strings.Repeat("# much\n", fileSizeMax/7+1))
	for _, tt := range []struct{ dir, want string }{
		{filepath.Join(dir, "nowhere"), filepath.Join(dir, "nowhere") + ": cannot be read: no such file or directory\n  name the folder that holds network.yml, with -C DIR"},
		{filepath.Join(dir, "file"), filepath.Join(dir, "file") + ": is no folder\n  name the folder that holds network.yml, with -C DIR"},
		{dir, "network.yml: does not exist\n  name the folder that holds network.yml, with -C DIR"},
		{pipe, "network.yml: is no regular file\n  make it a readable YAML file"},
		{large, "network.yml: is larger than 512 KiB\n  make it a readable YAML file"},
	} {
		_, err := Load(tt.dir)
		var faults *Faults
		if !errors.As(err, &faults) {
			t.Fatalf("%s: error %v", tt.dir, err)
		}
		if got := faults.List[0].String(); got != tt.want || len(faults.List) != 1 {
			t.Errorf("%s:\n%s\nwant\n%s", tt.dir, got, tt.want)
		}
	}
}

// unreadable is a file system whose files exist and cannot be opened.
type unreadable struct{ fstest.MapFS }

func (u unreadable) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestUnreadableFile(t *testing.T) {
	_, found := load(unreadable{fstest.MapFS{"network.yml": {}}}, "home")
	want := "FAIL: network.yml: cannot be read: permission denied\n  make it a readable YAML file\n"
	if got := renderAll(found); !strings.HasPrefix(got, want) {
		t.Errorf("found:\n%s\nwant\n%s", got, want)
	}
}

func TestFindWalksUp(t *testing.T) {
	top := t.TempDir()
	write(t, top, "network.yml", everything)
	deep := filepath.Join(top, "nodes", "node1")
	if err := os.MkdirAll(filepath.Join(top, "services", "network.yml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{top, deep, filepath.Join(top, "services")} {
		dir, err := Find(from)
		if err != nil || dir != top {
			t.Errorf("Find(%s) = %s, %v; want %s", from, dir, err, top)
		}
	}
	none := t.TempDir()
	_, err := Find(none)
	if want := "cannot find network.yml in " + none + " or any folder above it; say which project with -C DIR"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if ha.KindOf(err) != ha.Invalid {
		t.Errorf("kind %q, want %q", ha.KindOf(err), ha.Invalid)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
