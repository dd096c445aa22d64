package check_test

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const gib = 1 << 30

// healthy is a cluster without a fault in either profile: three nodes with hardware
// watchdogs, BMCs and two links on cards of their own, a bond for guests and storage, a
// redundant NAS, everything vouched for that no probe sees, and three targets of which two
// have ha: true: core (a container) on node1 and media (a VM) on node2. lab is pinned to
// node3.
func healthy() ha.Snapshot {
	return ha.Snapshot{
		At:          noon,
		Policy:      healthyPolicy(),
		Inventory:   healthyInventory(),
		Reports:     []ha.Report{healthyReport(1), healthyReport(2), healthyReport(3)},
		Proofs:      healthyProofs(),
		Members:     []ha.Member{member("node1"), member("node2"), member("node3")},
		Acks:        healthyAcks(),
		Coordinator: ha.Identity{ID: "c1", Generation: 7},
		Witnessed: ha.Witnessed{Fence: ha.FenceSeen{Node: "node3", At: noon.Add(-20 * 24 * time.Hour)},
			Failover: ha.FailoverSeen{SID: ha.MustSID("vm:103"), From: "node3", To: "node1", Lost: noon.Add(-20*24*time.Hour - 2*time.Minute), At: noon.Add(-20 * 24 * time.Hour)}},
	}
}

func member(name ha.NodeName) ha.Member {
	return ha.Member{Name: name, State: ha.MemberAlive, Role: "agent"}
}

func healthyPolicy() ha.Policy {
	host := func(name ha.NodeName, k byte) ha.Host {
		return ha.Host{Name: name, IP: netip.AddrFrom4([4]byte{10, 10, 0, k}), Roles: []string{"proxmox"},
			BMC:   &ha.BMC{Address: netip.AddrFrom4([4]byte{10, 20, 0, k}), Secret: "bmc/" + string(name), Switch: "mgmt"},
			Links: []netip.Addr{netip.AddrFrom4([4]byte{10, 30, 0, k}), netip.AddrFrom4([4]byte{10, 31, 0, k})},
			Switches: []ha.Port{{Interface: "eno1", Switch: "sw1"}, {Interface: "eno2", Switch: "sw2"},
				{Interface: "eno3", Switch: "sw1"}, {Interface: "eno4", Switch: "sw2"}},
			UPS: []string{"rack@10.10.0.70"}, Capacity: &ha.Capacity{CPUs: 8, Memory: 32 * gib},
		}
	}
	return ha.Policy{
		Project: "home",
		Hosts:   []ha.Host{host("node1", 1), host("node2", 2), host("node3", 3)},
		Cluster: ha.ClusterPolicy{
			Name: "home", Nodes: []ha.NodeName{"node1", "node2", "node3"},
			Storage:  &ha.SharedStorage{Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw", Mount: "/mnt/shared", Redundant: true},
			Networks: []ha.Network{{Use: ha.NetworkGuests, Prefix: netip.MustParsePrefix("10.10.0.0/24")}},
		},
		Targets: []ha.Target{
			{Name: "core", Type: ha.TargetLXC, Node: "node1", HA: true, Memory: 8 * gib, Bootstrap: true},
			{Name: "lab", Type: ha.TargetVM, Node: "node3", Memory: 4 * gib},
			{Name: "media", Type: ha.TargetVM, Node: "node2", HA: true, Memory: 4 * gib},
		},
	}
}

func healthyInventory() ha.Inventory {
	node := func(name ha.NodeName, id int) ha.Node {
		return ha.Node{Name: name, ID: id, IP: "10.10.0." + string('0'+rune(id)), Online: true, CPUs: 8, MemoryMax: 32 * gib, MemoryUsed: 6 * gib, Uptime: 100 * time.Hour}
	}
	haNode := func(name ha.NodeName) ha.HANode {
		return ha.HANode{Name: name, State: ha.NodeOnline, LRMState: "active", LRMMode: "active", LRMAt: noon.Add(-3 * time.Second)}
	}
	core, lab, media := ha.MustSID("ct:101"), ha.MustSID("vm:103"), ha.MustSID("vm:102")
	on := []ha.StorageOn{{Node: "node1", Available: true}, {Node: "node2", Available: true}, {Node: "node3", Available: true}}
	return ha.Inventory{
		At: noon.Add(-time.Second), Source: "node1", Version: "9.2.11",
		Cluster: ha.Cluster{Name: "home", Quorate: true, Votes: 3, Expected: 3},
		Nodes:   []ha.Node{node("node1", 1), node("node2", 2), node("node3", 3)},
		Guests: []ha.Guest{
			{SID: core, Name: "core", Node: "node1", Status: ha.GuestRunning, MemoryMax: 8 * gib, HAState: "started"},
			{SID: media, Name: "media", Node: "node2", Status: ha.GuestRunning, MemoryMax: 4 * gib, HAState: "started"},
			{SID: lab, Name: "lab", Node: "node3", Status: ha.GuestRunning, MemoryMax: 4 * gib},
		},
		Storages: []ha.Storage{
			{Name: "local-lvm", Type: "lvmthin", Content: []string{"images", "rootdir"}, On: on},
			{Name: "psw", Type: "nfs", Shared: true, Content: []string{"images", "rootdir"}, Path: "/mnt/shared", Server: "10.10.0.50", Export: "/mnt/pool/psw", On: on},
		},
		Resources: []ha.Resource{
			{SID: core, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1},
			{SID: media, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1},
		},
		Rules: []ha.Rule{
			{ID: "psw-core", Type: ha.NodeAffinity, Resources: []ha.SID{core}, Nodes: []ha.RuleNode{{Node: "node1", Priority: 2}, {Node: "node2", Priority: 1}}},
			{ID: "psw-media", Type: ha.NodeAffinity, Resources: []ha.SID{media}, Nodes: []ha.RuleNode{{Node: "node2", Priority: 2}}},
		},
		HA: ha.HAStatus{
			Master: "node1", MasterAt: noon.Add(-4 * time.Second), Quorate: true, Armed: "armed",
			Nodes: []ha.HANode{haNode("node1"), haNode("node2"), haNode("node3")},
			Services: []ha.HAService{
				{SID: core, Node: "node1", State: ha.ServiceStarted, Running: true},
				{SID: media, Node: "node2", State: ha.ServiceStarted, Running: true},
			},
		},
		Options: ha.Options{ShutdownPolicy: "migrate", MaxWorkers: 4, Scheduler: "basic", MigrationNetwork: "10.41.0.0/24"},
	}
}

// healthyReport is the report of node k, taken three seconds before noon.
func healthyReport(k int) ha.Report {
	names := []ha.NodeName{"", "node1", "node2", "node3"}
	taken := noon.Add(-3 * time.Second)
	r := ha.Report{
		Node: names[k], Agent: "1.0.0", Taken: taken, Received: taken.Add(60 * time.Millisecond), Took: 50 * time.Millisecond,
		Generation: 7, Coordinator: "c1",
		System: ha.System{BootID: "b", Kernel: "6.14", Uptime: 100 * time.Hour, CPUs: 8, MemoryTotal: 32 * gib, MemoryAvailable: 26 * gib,
			PVEVersion: "9.2.11", PVEHAVersion: "5.2.0", PmxcfsMounted: true, PmxcfsWritable: true},
		Mounts: []ha.Mount{{Source: "10.10.0.50:/mnt/pool/psw", Path: "/mnt/shared", Type: "nfs4", Version: "4.2", Server: "10.10.0.50",
			Hard: true, Answering: true, Took: 2 * time.Millisecond, Total: 1000 * gib, Free: 600 * gib,
			FilesystemID: "5e1f:0", Write: ha.WriteTest{At: taken.Add(-2 * time.Minute), Took: 8 * time.Millisecond}}},
		Watchdog: ha.Watchdog{
			Devices:    []ha.WatchdogDevice{{Name: "watchdog0", Identity: "iTCO_wdt", Driver: "iTCO_wdt", State: "active", Timeout: 10 * time.Second}},
			MuxRunning: true, MuxDevice: "/dev/watchdog0", MuxActive: true, Module: "iTCO_wdt", Loaded: []string{"iTCO_wdt"},
		},
		Corosync: ha.Corosync{Running: true, NodeID: k, Quorate: true, Votes: 3, Expected: 3, Quorum: 2, Flags: []string{"Quorate"},
			Members: []int{1, 2, 3}, TokenTimeout: 3650 * time.Millisecond, ConfigVersion: 5, Config: healthyConfig()},
		HA: ha.LocalHA{LRMRunning: true, CRMRunning: true, LRMState: "active", LRMMode: "active", LRMAt: taken.Add(-2 * time.Second),
			Master: "node1", MasterAt: taken.Add(-4 * time.Second), NodeState: ha.NodeOnline},
	}
	for peer := 1; peer <= 3; peer++ {
		for number := 0; number < 2 && peer != k; number++ {
			r.Corosync.Links = append(r.Corosync.Links, ha.Link{Number: number, PeerID: peer, Peer: names[peer], Enabled: true, Connected: true, Latency: 400 * time.Microsecond, LatencyMax: 3 * time.Millisecond,
				Local: fmt.Sprintf("10.3%d.0.%d", number, k), Interface: fmt.Sprintf("eno%d", number+1)})
		}
	}
	guest := map[int]struct{ sid, name string }{1: {"ct:101", "core"}, 2: {"vm:102", "media"}, 3: {"vm:103", "lab"}}[k]
	sid := ha.MustSID(guest.sid)
	r.Running = []ha.LocalGuest{{SID: sid, PID: 1000 + k, Started: taken.Add(-90 * time.Hour)}}
	r.GuestConfigs = []ha.GuestConfig{{SID: sid, Name: guest.name, Storages: []string{"psw"}}}
	healthyMachine(&r, k)
	return r
}

// healthyConfig is everybody's corosync.conf.
func healthyConfig() ha.CorosyncConfig {
	c := ha.CorosyncConfig{Version: 5, ClusterVersion: 5, ClusterName: "home", Transport: "knet", Secauth: true}
	for k := 1; k <= 3; k++ {
		c.Nodes = append(c.Nodes, ha.CorosyncNode{ID: k, Name: ha.NodeName(fmt.Sprintf("node%d", k)), Votes: 1,
			Addresses: []string{fmt.Sprintf("10.30.0.%d", k), fmt.Sprintf("10.31.0.%d", k)}})
	}
	return c
}

// healthyMachine fills in the machine itself: one card for each link, two in a bond that
// carries guests and storage, everything enabled, the clock right.
func healthyMachine(r *ha.Report, k int) {
	card := func(name string, addresses ...string) ha.Interface {
		return ha.Interface{Name: name, Kind: ha.InterfacePhysical, State: "up", Carrier: true, Speed: 10000, FullDuplex: true, Addresses: addresses, Physical: []string{name}}
	}
	bonded := []string{"eno3", "eno4"}
	r.Interfaces = []ha.Interface{
		{Name: "bond0", Kind: ha.InterfaceBond, State: "up", Carrier: true, Lower: bonded, Physical: bonded, BondMode: "802.3ad"},
		card("eno1", fmt.Sprintf("10.30.0.%d/24", k)), card("eno2", fmt.Sprintf("10.31.0.%d/24", k)), card("eno3"), card("eno4"),
		{Name: "vmbr0", Kind: ha.InterfaceBridge, State: "up", Carrier: true, Lower: []string{"bond0"}, Physical: bonded, Addresses: []string{fmt.Sprintf("10.10.0.%d/24", k)}, Gateway: true},
	}
	for _, name := range []string{"corosync", "pve-cluster", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"} {
		r.Units = append(r.Units, ha.Unit{Name: name, Active: "active", Sub: "running", Enabled: "enabled"})
	}
	r.Stalls = ha.Stalls{Looked: true, Watched: time.Hour, PressureKnown: true, Pressure: 0.02}
	r.Clock = ha.Clock{Synchronized: true, Offset: time.Millisecond, Daemon: "chronyd", Source: "10.10.0.1"}
	r.Hardware = ha.Hardware{Vendor: "Supermicro", Product: "X11", BoardVendor: "Supermicro", CPUVendor: "GenuineIntel", CPUModel: "Xeon E-2336",
		CPULevel: 4, CPUFlags: "f1", Virtualization: true, NewestKernel: "6.14", IPMI: true}
	r.Storages = []ha.LocalStorage{
		{Name: "local-lvm", Type: "lvmthin", Content: []string{"images", "rootdir"}},
		{Name: "psw", Type: "nfs", Shared: true, Path: "/mnt/shared", Mounted: "10.10.0.50:/mnt/pool/psw", MountedType: "nfs4"},
	}
}

// healthyAcks are an operator's word for all that no probe sees.
func healthyAcks() []ha.Acknowledgement {
	var list []ha.Acknowledgement
	for _, i := range ha.AckItems {
		list = append(list, ha.Acknowledgement{Item: i.Name, By: "anna", At: noon.Add(-30 * 24 * time.Hour)})
	}
	return list
}

// unvouched takes a word back.
func unvouched(item string) func(*ha.Snapshot) {
	return func(s *ha.Snapshot) {
		s.Acks = slices.DeleteFunc(slices.Clone(s.Acks), func(a ha.Acknowledgement) bool { return a.Item == item })
	}
}

// report is the report of a node, to be changed.
func report(s *ha.Snapshot, name ha.NodeName) *ha.Report {
	for k := range s.Reports {
		if s.Reports[k].Node == name {
			return &s.Reports[k]
		}
	}
	panic("no report of " + string(name))
}

// fails makes a probe of a node's report one that could not look.
func fails(s *ha.Snapshot, name ha.NodeName, probe string) {
	r := report(s, name)
	r.Failures = append(r.Failures, ha.ProbeFailure{Probe: probe, Reason: "the probe did not answer within 5 s"})
}

// silent makes a node's last report an hour old.
func silent(s *ha.Snapshot, name ha.NodeName) { report(s, name).Received = noon.Add(-time.Hour) }
