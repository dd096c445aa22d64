package rpc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// Every agent reports every five seconds, so a report of a busy node must stay small.
func TestAReportOfAHundredGuestsIsSmall(t *testing.T) {
	if n := proto.Size(encodeReport(busyReport())); n > 10_000 {
		t.Errorf("a report of 100 guests takes %d bytes, want at most 10000", n)
	} else {
		t.Logf("a report of 100 guests takes %d bytes", n)
	}
}

func busyReport() ha.Report {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	r := ha.Report{
		Node: "node1", Agent: "1.0.0", Taken: at, Took: 12345678, Generation: 7, Coordinator: "0190f3c2-coordinator",
		System: ha.System{BootID: "5f0d6b1e-6a52-4c9b-8f8e-1f3f3f0a1b2c", Kernel: "7.0.2-6-pve", Uptime: time.Hour, CPUs: 32,
			Load1: 1.5, MemoryTotal: 1 << 38, MemoryAvailable: 1 << 37, PVEVersion: "9.2.11", PVEHAVersion: "5.2.0",
			PmxcfsMounted: true, PmxcfsWritable: true},
		Mounts: []ha.Mount{{Source: "10.10.0.50:/mnt/pool/psw", Path: "/mnt/shared", Type: "nfs4", Version: "4.2", Server: "10.10.0.50",
			Hard: true, Options: strings.Repeat("rw,relatime,", 20), Answering: true, Took: 912345, Total: 1 << 43, Free: 1 << 42, RTT: 345678}},
		Corosync: ha.Corosync{Running: true, NodeID: 1, Quorate: true, Votes: 3, Expected: 3, Quorum: 2, Members: []int{1, 2, 3}},
		HA:       ha.LocalHA{LRMRunning: true, CRMRunning: true, LRMState: "active", LRMMode: "active", LRMAt: at, Master: "node2", MasterAt: at},
	}
	busyNode(&r)
	for k := range 100 {
		sid := ha.SID{Kind: ha.VM, ID: 100 + k}
		r.Running = append(r.Running, ha.LocalGuest{SID: sid, PID: 1000000 + k, Started: at.Truncate(time.Second)})
		r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: sid, Name: fmt.Sprintf("application-%d", k), Storages: []string{"local-zfs", "psw"}, OnBoot: true})
	}
	return r
}

// busyNode adds what a well-equipped node tells of itself: eight interfaces, fifteen units,
// a host key, three storages.
func busyNode(r *ha.Report) {
	at := r.Taken
	r.Mounts[0].Device, r.Mounts[0].FilesystemID, r.Mounts[0].Write = "0:52", "5ca1ab1e01234567:0", ha.WriteTest{At: at, Took: 4_100_000}
	r.Clock = ha.Clock{Synchronized: true, Offset: 21000, ErrorMax: 18_000_000, ErrorEstimated: 412_000, Daemon: "chronyd", Source: "10.10.0.1", Stratum: 3}
	r.Hardware = ha.Hardware{Vendor: "Supermicro", Product: "SYS-110P-WTR", BoardVendor: "Supermicro", BIOS: "1.4b", CPUVendor: "GenuineIntel", CPULevel: 4,
		CPUModel: "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", CPUFlags: "de3bd8e4d5107618", Microcode: "0xd0003d1", Virtualization: true, NewestKernel: "7.0.2-6-pve", IPMI: true}
	for _, name := range []string{"bond0", "eno1", "eno2", "eno3", "eno4", "vmbr0", "vmbr0.20", "vmbr0.30"} {
		r.Interfaces = append(r.Interfaces, ha.Interface{Name: name, Kind: ha.InterfacePhysical, State: "up", Carrier: true, Speed: 10000, FullDuplex: true, MTU: 1500,
			Addresses: []string{"10.20.30.198/24"}, Lower: []string{"eno1", "eno2"}, Physical: []string{"eno1", "eno2"}, CarrierChanges: 2})
	}
	for _, name := range []string{"pve-ha-lrm", "pve-ha-crm", "watchdog-mux", "corosync", "corosync-qdevice", "pve-cluster", "pvestatd", "pvedaemon", "pveproxy", "pvescheduler", "chrony", "nut-monitor"} {
		r.Units = append(r.Units, ha.Unit{Name: name, Active: "active", Sub: "running", Enabled: "enabled"})
	}
	for id := 1; id <= 3; id++ {
		name := ha.NodeName(fmt.Sprintf("node%d", id))
		r.Corosync.Config.Nodes = append(r.Corosync.Config.Nodes, ha.CorosyncNode{ID: id, Name: name, Votes: 1, Addresses: []string{"10.10.0.198", "10.11.0.198"}})
		r.Membership.Members = append(r.Membership.Members, ha.PmxcfsMember{ID: id, Name: name, Online: true, Address: "10.10.0.198"})
		if id > 1 {
			r.Corosync.Links = append(r.Corosync.Links, ha.Link{PeerID: id, Peer: name, Local: "10.10.0.198", Remote: "10.10.0.199", Enabled: true, Connected: true, MTU: 1397, Latency: 210_000, LatencyMax: 840_000, Interface: "vmbr0"},
				ha.Link{Number: 1, PeerID: id, Peer: name, Local: "10.11.0.198", Remote: "10.11.0.199", Enabled: true, Connected: true, MTU: 1397, Latency: 210_000, LatencyMax: 840_000, Interface: "eno3"})
		}
		r.Storages = append(r.Storages, ha.LocalStorage{Name: "storage" + string(name), Type: "nfs", Shared: true, Content: []string{"images", "rootdir", "backup"}, Path: "/mnt/pve/storage",
			Server: "10.10.0.50", Export: "/mnt/pool/psw", Mounted: "10.10.0.50:/mnt/pool/psw", MountedType: "nfs4"})
	}
	r.Membership.Clustered, r.Membership.ClusterName, r.Membership.Quorate = true, "home", true
	r.Membership.HostKeys = []string{"ssh-ed25519 " + strings.Repeat("A", 68)}
	r.Watchdog = ha.Watchdog{Devices: []ha.WatchdogDevice{{Name: "watchdog0", Identity: "iTCO_wdt", Driver: "iTCO_wdt", State: "active", Timeout: 10e9}}, MuxRunning: true, MuxDevice: "/dev/watchdog0",
		MuxActive: true, Loaded: []string{"iTCO_vendor_support", "iTCO_wdt", "mei", "mei_me"}, Options: []ha.ModuleOption{{Module: "iTCO_wdt", Name: "nowayout", Value: "N"}, {Module: "iTCO_wdt", Name: "heartbeat", Value: "30"}}}
}

func BenchmarkEncodeReport(b *testing.B) {
	r := busyReport()
	for b.Loop() {
		m, err := proto.Marshal(legible(encodeReport(r)))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(m)))
	}
}

func BenchmarkDecodeReport(b *testing.B) {
	raw, err := proto.Marshal(encodeReport(busyReport()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var m hav1.Report
		if err := proto.Unmarshal(raw, &m); err != nil {
			b.Fatal(err)
		}
		if _, err := decode(&m, (*decoder).report); err != nil {
			b.Fatal(err)
		}
	}
}
