package check_test

import (
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var nodeStories = map[ha.Code]story{
	check.AgentSilent: {
		wrong:   func(s *ha.Snapshot) { silent(s, "node2") },
		subject: "node2", says: "its last report is 60 min old", seen: "that it is silent is what it says",
	},
	check.AgentSuperseded: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Generation, report(s, "node2").Coordinator = 8, "c2" },
		subject: "node2", says: "it obeys coordinator c2, generation 8",
		blind: func(s *ha.Snapshot) { s.Coordinator = ha.Identity{} }, blindOn: "cluster",
	},
	check.AgentVersionDiffers: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Agent = "0.9.12" },
		subject: "node2", says: "psw-agent 0.9.12, but node1 has 1.0.0",
		blind: func(s *ha.Snapshot) { report(s, "node2").Agent = "" },
	},
	check.ClockSkew: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Taken = noon.Add(17 * time.Second) },
		subject: "node2", says: "about 20 s off",
		blind: func(s *ha.Snapshot) { report(s, "node2").Taken = time.Time{} },
	},
	check.PVENotInstalled: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").System.PVEVersion = "" },
		subject: "node2", says: "pve-manager is not installed", blind: noProbe("node2", ha.ProbeSystem),
	},
	check.PVEVersionDiffers: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").System.PVEVersion = "9.2.9" },
		subject: "node2", says: "pve-manager 9.2.9, but node1 has 9.2.11", blind: noProbe("node2", ha.ProbeSystem),
	},
	check.PVEHAVersionDiffers: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").System.PVEHAVersion = "5.1.4" },
		subject: "node2", says: "pve-ha-manager 5.1.4, but node1 has 5.2.0", blind: noProbe("node2", ha.ProbeSystem),
	},
	check.CorosyncNotRunning: {
		wrong:   corosync("node2", func(c *ha.Corosync) { *c = ha.Corosync{} }),
		subject: "node2", says: "corosync does not answer", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.NodeNotQuorate: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Quorate, c.Votes = false, 1 }),
		subject: "node2", says: "1 of 3 votes, quorum is 2", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.QuorumTwoNodeMode: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Flags = []string{"2Node", "Quorate"} }),
		subject: "node2", says: "two_node", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.QDeviceNotVoting: {
		first: func(s *ha.Snapshot) {
			s.Policy.Cluster.QDevice = &ha.QDevice{Host: "10.10.0.60"}
			for k := range s.Reports {
				s.Reports[k].Corosync.QDevice, s.Reports[k].Corosync.QDeviceAlive = true, true
			}
		},
		wrong:   corosync("node2", func(c *ha.Corosync) { c.QDeviceAlive = false }),
		subject: "node2", says: "does not vote", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.CorosyncSingleLink: {
		wrong: corosync("node2", func(c *ha.Corosync) {
			c.Links = slices.DeleteFunc(c.Links, func(l ha.Link) bool { return l.Number == 1 })
		}),
		subject: "node2", says: "there is only link 0:", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.CorosyncLinkDown: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].Connected = false }),
		subject: "node2", says: "link 1 to node1", blind: corosync("node2", func(c *ha.Corosync) { c.Links = nil }),
	},
	check.CorosyncLinkAsymmetric: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].Connected = false }),
		subject: "node1", says: "link 1 to node2: connected seen from node1, disconnected seen from there",
		blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.CorosyncLatencyExcessive: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].Latency = 12 * time.Millisecond }),
		subject: "node2", says: "12.0 ms on link 1 to node1",
		blind: corosync("node2", func(c *ha.Corosync) {
			for k := range c.Links {
				c.Links[k].Latency = 0
			}
		}),
	},
	check.CorosyncLatencyHigh: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].Latency = 7 * time.Millisecond }),
		subject: "node2", says: "7.0 ms on link 1 to node1", blind: noProbe("node2", ha.ProbeCorosync),
	},
	check.PmxcfsNotMounted: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").System.PmxcfsMounted = false },
		subject: "node2", says: "/etc/pve/local does not exist", blind: noProbe("node2", ha.ProbePmxcfs),
	},
	check.PmxcfsReadOnly: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").System.PmxcfsWritable = false },
		subject: "node2", says: "read-only", blind: noProbe("node2", ha.ProbePmxcfs),
	},
	check.WatchdogMissing: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices, w.Loaded, w.MuxDevice = nil, nil, "" }),
		subject: "node2", says: "nothing would reset this node", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogSeveral: {
		wrong: watchdog("node2", func(w *ha.Watchdog) {
			w.Devices = append(w.Devices, ha.WatchdogDevice{Name: "watchdog1", Identity: "Software Watchdog"})
		}),
		subject: "node2", says: "watchdog0 (iTCO_wdt), watchdog1 (Software Watchdog, softdog); WATCHDOG_MODULE is iTCO_wdt", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogMuxNotRunning: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.MuxRunning, w.MuxActive, w.MuxDevice = false, false, "" }),
		subject: "node2", says: "no watchdog-mux process", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogNotFed: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.MuxDevice = "" }),
		subject: "node2", says: "holds no watchdog", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogNotArmed: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.MuxActive = false }),
		subject: "node2", says: "the LRM is active, but nothing holds watchdog-mux", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogSoftNoboot: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.SoftNoboot = true }),
		subject: "node2", says: "soft_noboot=1", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogTimeoutLong: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Timeout = 2 * time.Minute }),
		subject: "node2", says: "watchdog0 needs 2 min", blind: watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Timeout = 0 }),
	},
	check.WatchdogModuleNotLoaded: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Module = "ipmi_watchdog" }),
		subject: "node2", says: "WATCHDOG_MODULE=ipmi_watchdog, but it is not loaded; loaded: iTCO_wdt", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogSoftware: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Identity = "Software Watchdog" }),
		subject: "node2", says: "softdog", blind: watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].Identity = "" }),
	},
	check.WatchdogAMT: {
		wrong: func(s *ha.Snapshot) {
			unvouched(ha.AckAMTWatchdog)(s)
			report(s, "node2").Watchdog.Loaded = []string{"iTCO_wdt", "mei", "mei_me"}
		},
		subject: "node2", says: "mei, mei_me", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.WatchdogCausedReset: {
		wrong:   watchdog("node2", func(w *ha.Watchdog) { w.Devices[0].BootStatus = 32 }),
		subject: "node2", says: "caused the last reset", blind: noProbe("node2", ha.ProbeWatchdog),
	},
	check.LRMNotRunning: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.LRMRunning = false }),
		subject: "node2", says: "no pve-ha-lrm process", blind: noProbe("node2", ha.ProbeLRM),
	},
	check.CRMNotRunning: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.CRMRunning = false }),
		subject: "node2", says: "no pve-ha-crm process", blind: noProbe("node2", ha.ProbeLRM),
	},
	check.LRMStatusStale: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.LRMAt = h.LRMAt.Add(-time.Minute) }),
		subject: "node2", says: "last written 62 s ago", blind: localHA("node2", func(h *ha.LocalHA) { h.LRMAt = time.Time{} }),
	},
	check.LRMLockLost: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.LRMState = "lost_agent_lock" }),
		subject: "node2", says: "resets the node within a minute", blind: localHA("node2", func(h *ha.LocalHA) { h.LRMState = "" }),
	},
	check.LRMShuttingDown: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.LRMMode = "restart" }),
		subject: "node2", says: "mode restart", blind: localHA("node2", func(h *ha.LocalHA) { h.LRMMode = "" }),
	},
	check.HANodeNotOnline: {
		wrong:   localHA("node2", func(h *ha.LocalHA) { h.NodeState = ha.NodeFence }),
		subject: "node2", says: "node_status is fence", blind: localHA("node2", func(h *ha.LocalHA) { h.NodeState = "" }),
	},
	check.HANodeDisagrees: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Nodes[1].State = ha.NodeUnknown },
		subject: "node2", says: "the API calls it unknown, its own /etc/pve online", blind: noProbe("node2", ha.ProbeLRM),
	},
}
