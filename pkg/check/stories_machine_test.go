package check_test

import (
	"net/netip"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// on changes one node's report.
func on(name ha.NodeName, change func(r *ha.Report)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(report(s, name)) }
}

// everywhere changes every report.
func everywhere(change func(r *ha.Report)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) {
		for k := range s.Reports {
			change(&s.Reports[k])
		}
	}
}

const declared = "it is declared or not"

func twoSites(s *ha.Snapshot) {
	s.Policy.Cluster.QDevice = &ha.QDevice{Host: "10.70.0.60"}
	s.Policy.Cluster.Sites = []ha.Site{
		{Name: "attic", Nodes: []ha.NodeName{"node3"}},
		{Name: "cellar", Nodes: []ha.NodeName{"node1"}},
		{Name: "far", Arbiter: true},
	}
}

var siteStories = map[ha.Code]story{
	check.SiteNoTiebreaker: {
		first: twoSites, wrong: func(s *ha.Snapshot) { s.Policy.Cluster.QDevice = nil },
		subject: "cluster", says: "neither may decide", seen: declared,
	},
	check.SiteHoldsMajority: {
		first:   twoSites,
		wrong:   func(s *ha.Snapshot) { s.Policy.Cluster.Sites[1].Nodes = []ha.NodeName{"node1", "node2"} },
		subject: "site cellar", says: "it holds 2 of 4 votes", seen: declared,
	},
	check.ClusterStretched: {
		wrong: twoSites, subject: "cluster", says: "it stands on 2 sites", seen: declared,
	},
	check.CephNotStretched: {
		first: func(s *ha.Snapshot) {
			twoSites(s)
			healthyCeph(s)
			everywhere(func(r *ha.Report) { r.Ceph.StretchMode = true })(s)
		},
		wrong:   everywhere(func(r *ha.Report) { r.Ceph.StretchMode = false }),
		subject: "cluster", says: "without stretch mode", seen: "where Ceph does not answer, the declaration counts",
	},
	check.ClusterLarge: {
		wrong: func(s *ha.Snapshot) {
			for k := range 40 {
				s.Policy.Cluster.Nodes = append(s.Policy.Cluster.Nodes, ha.NodeName("n"+string(rune('A'+k))))
			}
		},
		subject: "cluster", says: "it has 43 nodes", seen: declared,
	},
}

var machineStories = map[ha.Code]story{
	check.KVMMissing: {
		wrong:   on("node2", func(r *ha.Report) { r.Hardware.Virtualization = false }),
		subject: "node2", says: "neither vmx nor svm", blind: noProbe("node2", ha.ProbeHardware),
	},
	check.CPUDiffers: {
		wrong: on("node2", func(r *ha.Report) {
			r.Hardware.CPUModel, r.Hardware.CPULevel, r.Hardware.CPUFlags = "Xeon E5-2620", 2, "f0"
		}),
		subject: "node2", says: "Xeon E5-2620 (x86-64-v2), but node1, node3 has Xeon E-2336 (x86-64-v4)", blind: noProbe("node2", ha.ProbeHardware),
	},
	check.KernelDiffers: {
		wrong:   on("node2", func(r *ha.Report) { r.System.Kernel = "6.8" }),
		subject: "node2", says: "kernel 6.8, but node1 has 6.14", blind: noProbe("node2", ha.ProbeSystem),
	},
	check.RebootNeeded: {
		wrong:   on("node2", func(r *ha.Report) { r.Hardware.NewestKernel = "6.17" }),
		subject: "node2", says: "it runs 6.14, installed is 6.17", blind: on("node2", func(r *ha.Report) { r.Hardware.NewestKernel = "" }),
	},
	check.ClockUnsynchronized: {
		wrong:   on("node2", func(r *ha.Report) { r.Clock = ha.Clock{ErrorMax: 16 * time.Second} }),
		subject: "node2", says: "nothing keeps the clock", blind: noProbe("node2", ha.ProbeClock),
	},
	check.HAUnitFailed: {
		wrong:   on("node2", func(r *ha.Report) { r.Units[3].Active, r.Units[3].Sub = "failed", "failed" }),
		subject: "node2", says: "pve-ha-lrm has failed", blind: on("node2", func(r *ha.Report) { r.Units = nil }),
	},
	check.HAUnitDisabled: {
		wrong:   on("node2", func(r *ha.Report) { r.Units[2].Enabled = "disabled" }),
		subject: "node2", says: "pve-ha-crm would not start", blind: noProbe("node2", ha.ProbeUnits),
	},
	check.CRMCommandStale: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.Commands, h.CommandsAt = 2, noon.Add(-5*time.Minute) }),
		subject: "node2", says: "2 commands wait for 4 min", blind: localHA("node2", func(h *ha.LocalHA) { h.Commands = 2 }),
	},
	check.LRMJobFailed: {
		wrong: localHA("node2", func(h *ha.LocalHA) {
			h.Failed = []ha.LRMResult{{SID: ha.MustSID("vm:102"), State: "started", ExitCode: 1}, {SID: ha.MustSID("vm:103"), State: "migrate", ExitCode: 8}}
		}),
		subject: "node2", says: "vm:102 to be started ended with 1 (error)", blind: noProbe("node2", ha.ProbeLRM),
	},
	check.WatchdogHeld: {
		wrong: watchdog("node2", func(w *ha.Watchdog) {
			w.Holders = []ha.WatchdogHolder{{Device: "/dev/watchdog0", PID: 7, Process: "wd_keepalive"}}
		}),
		subject: "node2", says: "wd_keepalive (process 7) holds /dev/watchdog0", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogSystemd: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.RuntimeWatchdog = "30s" }),
		subject: "node2", says: "RuntimeWatchdogSec=30s: systemd feeds /dev/watchdog0", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogIPMIAction: {
		first:   ipmi("power_cycle"),
		wrong:   ipmi("none"),
		subject: "node2", says: "action=none",
		blind: watchdog("node2", func(w *ha.Watchdog) { w.Options = nil }),
	},
	check.WatchdogWrongDriver: {
		first:   func(s *ha.Snapshot) { s.Policy.Cluster.Fencing = &ha.Fencing{Watchdog: "iTCO_wdt"} },
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Driver, w.Module = "softdog", "" }),
		subject: "node2", says: "softdog is in use, network.yml wants iTCO_wdt",
		blind: watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Driver = "" }),
	},
	check.WatchdogNowayout: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Nowayout = true }),
		subject: "node2", says: "watchdog0 has nowayout set", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogASR: {
		wrong: func(s *ha.Snapshot) {
			unvouched(ha.AckASR)(s)
			report(s, "node2").Hardware.Vendor = "Dell Inc."
		},
		subject: "node2", says: "nobody says that its automated system recovery is off", blind: noProbe("node2", ha.ProbeHardware),
	},
	check.WatchdogBIOSUnconfirmed: {
		wrong:   unvouched(ha.AckBIOSWatchdog),
		subject: "node2", says: "nobody says that they are off", blind: noProbe("node2", ha.ProbeHardware),
	},
}

// ipmi makes ipmi_watchdog node2's, with an action.
func ipmi(action string) func(s *ha.Snapshot) {
	return watchdog("node2", func(w *ha.Watchdog) {
		w.Loaded = []string{"ipmi_watchdog"}
		w.Options = []ha.ModuleOption{{Module: "ipmi_watchdog", Name: "action", Value: action}}
	})
}

// oneCard puts both links of node2 on one network card.
func oneCard(r *ha.Report) {
	for k := range r.Corosync.Links {
		r.Corosync.Links[k].Interface = "eno1"
	}
}

// shared puts both links of a node on the bond that carries guests and storage.
func shared(r *ha.Report) {
	for k := range r.Corosync.Links {
		r.Corosync.Links[k].Interface = "vmbr0"
	}
}

func iface(r *ha.Report, name string) *ha.Interface {
	for k := range r.Interfaces {
		if r.Interfaces[k].Name == name {
			return &r.Interfaces[k]
		}
	}
	panic("no interface " + name)
}

var networkStories = map[ha.Code]story{
	check.NetworkNoCarrier: {
		wrong:   on("node2", func(r *ha.Report) { iface(r, "eno4").Carrier = false }),
		subject: "node2", says: "no signal: eno4, which carries storage (vmbr0)", blind: on("node2", func(r *ha.Report) { r.Interfaces = nil }),
	},
	check.CorosyncLinksShared: {
		wrong:   on("node2", oneCard),
		subject: "node2", says: "all 2 links leave by eno1: one cable, and a switch reboot longer than 60 s fences all nodes",
		blind: on("node2", func(r *ha.Report) {
			for k := range r.Corosync.Links {
				r.Corosync.Links[k].Interface = ""
			}
		}),
	},
	check.CorosyncSharesNetwork: {
		wrong:   on("node2", shared),
		subject: "node2", says: "link 0 (vmbr0) with storage (vmbr0), guests (vmbr0)", blind: noProbe("node2", ha.ProbeNetwork),
	},
	check.MigrationSharesNetwork: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Options.MigrationNetwork = "10.30.0.0/24" },
		subject: "cluster", says: "corosync's address 10.30.0.1 of node1", blind: unread("options"),
	},
	check.NetworkSlow: {
		wrong:   on("node2", func(r *ha.Report) { iface(r, "eno2").Speed = 100 }),
		subject: "node2", says: "link 1 (eno2) has 100 Mbit/s", blind: noProbe("node2", ha.ProbeNetwork),
	},
	check.NetworkNotRedundant: {
		wrong: func(s *ha.Snapshot) {
			unvouched(ha.AckNetworkBonding)(s)
			iface(report(s, "node2"), "vmbr0").Physical = []string{"eno3"}
		},
		subject: "node2", says: "one cable carries storage (vmbr0)", blind: noProbe("node2", ha.ProbeNetwork),
	},
}

func withQDevice(s *ha.Snapshot) {
	s.Policy.Cluster.QDevice = &ha.QDevice{Host: "10.70.0.60"}
	everywhere(func(r *ha.Report) {
		c := &r.Corosync
		c.QDevice, c.QDeviceAlive, c.QDeviceState = true, true, "Connected"
		c.Config.QDeviceModel, c.Config.QDeviceHost = "net", "10.70.0.60"
		c.Config.Nodes = c.Config.Nodes[:2]
	})(s)
}

var configStories = map[ha.Code]story{
	check.CorosyncConfigDiffers: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config.Version, c.Config.ClusterVersion, c.ConfigVersion = 4, 4, 4 }),
		subject: "node2", says: "it has config_version 4, node1 has 5", blind: corosync("node2", func(c *ha.Corosync) { c.Config = ha.CorosyncConfig{} }),
	},
	check.CorosyncConfigNotRun: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.ConfigVersion = 4 }),
		subject: "node2", says: "runs with config_version 4, the file has 5", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.CorosyncAddressDiffers: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[1].Links[1] = netip.MustParseAddr("10.32.0.2") },
		subject: "node2", says: "link 1 is 10.31.0.2, declared is 10.32.0.2", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.CorosyncToken: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.TokenTimeout = 400 * time.Millisecond }),
		subject: "node2", says: "it is 400 ms", blind: corosync("node2", func(c *ha.Corosync) { c.TokenTimeout = 0 }),
	},
	check.CorosyncLinkFlapping: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].Downs = 40 }),
		subject: "node2", says: "link 1 to node1 went down 40 times", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.QDeviceWrongHost: {
		first:   withQDevice,
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config.QDeviceHost = "10.10.0.3" }),
		subject: "node2", says: "10.10.0.3 is node node3 itself", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.QDeviceOddVotes: {
		first:   withQDevice,
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config = healthyConfig() }),
		subject: "node2", says: "3 nodes and a QDevice: it has 2 votes", blind: corosync("node2", func(c *ha.Corosync) { c.Config.Nodes = nil }),
	},
}

func withSBD(s *ha.Snapshot) {
	const disk = "/dev/disk/by-id/sbd"
	s.Policy.Cluster.Fencing = &ha.Fencing{
		Methods: []ha.FencingMethod{ha.FenceWatchdog, ha.FenceSBD},
		SBD:     &ha.SBD{Device: disk, WatchdogTimeout: time.Minute, MsgWait: 2 * time.Minute},
	}
	everywhere(func(r *ha.Report) {
		r.Fencing.SBD = ha.LocalSBD{Configured: true, Running: true, Devices: []ha.SBDDevice{{
			Path: disk, TimeoutWatchdog: time.Minute, TimeoutMsgwait: 2 * time.Minute,
			Slots: []ha.SBDSlot{{Node: "node1", Message: "clear"}, {Node: "node2", Message: "clear"}, {Node: "node3", Message: "clear"}},
		}}}
	})(s)
}

func sbd(name ha.NodeName, change func(d *ha.SBDDevice)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).Fencing.SBD.Devices[0]) }
}

var fencingStories = map[ha.Code]story{
	check.FencingUnreliable: {
		wrong: func(s *ha.Snapshot) {
			s.Policy.Cluster.Fencing = &ha.Fencing{Methods: []ha.FencingMethod{ha.FenceSSH}}
		},
		subject: "cluster", says: "names ssh", seen: declared,
	},
	check.FencingMethodMissing: {
		first: func(s *ha.Snapshot) {
			s.Policy.Cluster.Fencing = &ha.Fencing{Methods: []ha.FencingMethod{ha.FenceIPMI}}
		},
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[1].BMC = nil },
		subject: "node2", says: "names ipmi, but", seen: declared,
	},
	check.FenceNetworkShared: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[1].BMC.Switch = "sw1" },
		subject: "node2", says: "its BMC is plugged into sw1, as is eno1", seen: declared,
	},
	check.FencingExperimental: {
		wrong: on("node2", func(r *ha.Report) {
			r.Fencing.Mode, r.Fencing.Configured, r.Fencing.Devices = "hardware", true, []string{"fence_apc"}
		}),
		subject: "node2", says: "fencing is hardware in datacenter.cfg", blind: noProbe("node2", ha.ProbeFencing),
	},
	check.SBDNotRunning: {
		first: withSBD, wrong: on("node2", func(r *ha.Report) { r.Fencing.SBD = ha.LocalSBD{} }),
		subject: "node2", says: "names no device", blind: noProbe("node2", ha.ProbeFencing),
	},
	check.SBDSlot: {
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.Slots[1].Message, d.Slots[1].From = "reset", "node1" }),
		subject: "node2", says: `says "reset", from node1`, blind: noProbe("node2", ha.ProbeFencing),
	},
	check.SBDTimeouts: {
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.TimeoutMsgwait = time.Minute }),
		subject: "node2", says: "less than twice", blind: sbd("node2", func(d *ha.SBDDevice) { d.TimeoutMsgwait = 0 }),
	},
}
