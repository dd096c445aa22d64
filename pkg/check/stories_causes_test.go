package check_test

import (
	"net/netip"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// anotherCause is one more way to break what a check looks at: a check with several causes
// names the right one. The story of its code tells the first, and how the check is blinded.
type anotherCause struct {
	code ha.Code
	story
}

// both is one change after another.
func both(changes ...func(*ha.Snapshot)) func(*ha.Snapshot) {
	return func(s *ha.Snapshot) {
		for _, change := range changes {
			change(s)
		}
	}
}

func ceph(code ha.Code, says string, wrong func(c *ha.LocalCeph)) anotherCause {
	return anotherCause{code, cephStory(says, wrong)}
}

var otherCauses = []anotherCause{
	ceph(check.CephMonitors, "there are 2 monitors", func(c *ha.LocalCeph) { c.Monitors, c.MonitorsQuorate = 2, 2 }),
	ceph(check.CephOSDDown, "2 OSDs are up: three copies find no place", func(c *ha.LocalCeph) {
		c.Hosts = []ha.CephHost{{Name: "node1", OSDs: 2, Up: 2, In: 2}}
	}),
	ceph(check.CephDegraded, "it does not progress", func(c *ha.LocalCeph) { c.Misplaced = 3 }),
	ceph(check.CephNetworkShared, "10.10.0.0/24 is the guests' network", func(c *ha.LocalCeph) { c.PublicNetworks = []string{"10.10.0.0/24"} }),

	{check.CorosyncConfigNotRun, story{
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config.ClusterVersion = 6 }),
		subject: "node2", says: "/etc/pve/corosync.conf has config_version 6, /etc/corosync/corosync.conf 5",
	}},
	{check.CorosyncConfigDiffers, story{
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config.Nodes[2].Addresses[1] = "10.31.0.33" }),
		subject: "node2", says: "its corosync.conf is not that of node1, though both say config_version 5",
	}},
	{check.CorosyncToken, story{
		first:   func(s *ha.Snapshot) { s.Policy.Cluster.TokenTimeout = 3 * time.Second },
		wrong:   corosync("node2", func(c *ha.Corosync) { c.TokenTimeout = 5 * time.Second }),
		subject: "node2", says: "it is 5000 ms, network.yml says 3000 ms",
	}},
	{check.CorosyncToken, story{
		wrong:   corosync("node2", func(c *ha.Corosync) { c.TokenTimeout = 30 * time.Second }),
		subject: "node2", says: "every failover begins that much later",
	}},
	{check.QDeviceWrongHost, story{
		first:   withQDevice,
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Config.QDeviceHost = "10.70.0.61" }),
		subject: "node2", says: "corosync asks 10.70.0.61, network.yml says 10.70.0.60",
	}},
	{check.CorosyncLinkDown, story{
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links = append(c.Links[:1:1], c.Links[2:]...) }),
		subject: "node2", says: "not connected, seen from here: link 1 to node1",
	}},
	{check.CorosyncLinksShared, story{
		wrong: func(s *ha.Snapshot) {
			for k := range s.Policy.Hosts[1].Switches {
				s.Policy.Hosts[1].Switches[k].Switch = "sw1"
			}
		},
		subject: "node2", says: "all 2 links are plugged into sw1",
	}},
	{check.MigrationSharesNetwork, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.Options.MigrationNetwork = "" },
		subject: "cluster", says: "no migration network is set",
	}},

	{check.RuleDrifted, story{first: registered, wrong: func(s *ha.Snapshot) { s.Inventory.Rules = s.Inventory.Rules[:1] }, subject: "media", says: "the rule for vm:102 is gone"}},
	{check.RuleDrifted, story{first: registered, wrong: rule(func(r *ha.Rule) { r.Disabled = true }), subject: "media", says: "rule psw-media is disabled"}},
	{check.RuleDrifted, story{first: registered, wrong: rule(func(r *ha.Rule) { r.Strict = true }), subject: "media", says: "rule psw-media has become strict"}},
	{check.RuleDrifted, story{first: registered, wrong: rule(func(r *ha.Rule) { r.Nodes = []ha.RuleNode{{Node: "node3", Priority: 9}} }), subject: "media", says: "rule psw-media says node3"}},
	{check.RuleDrifted, story{
		first: func(s *ha.Snapshot) {
			s.Policy.Targets[2].Options = ha.HAOptions{Strict: true}
			registered(s)
		},
		wrong: rule(func(r *ha.Rule) { r.Strict = false }), subject: "media", says: "rule psw-media is not strict any more",
	}},
	{check.RegistrationLeftover, story{
		first:   registered,
		wrong:   func(s *ha.Snapshot) { s.Policy.Targets[2].HA = false },
		subject: "vm:102", says: "network.yml does not say ha: true for media any more",
	}},
	{check.TargetNotConfined, story{
		first: func(s *ha.Snapshot) {
			s.Policy.Targets[2].Options = ha.HAOptions{Nodes: []ha.NodeName{"node2"}, Strict: true}
			s.Inventory.Rules[1].Strict = true
		},
		wrong:   rule(func(r *ha.Rule) { r.Strict = false }),
		subject: "media", says: "network.yml keeps it on node2, but no strict rule does",
	}},

	{check.FenceNetworkShared, story{
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[1].BMC.Address = netip.MustParseAddr("10.10.0.222") },
		subject: "node2", says: "its BMC 10.10.0.222 is in the guests' network 10.10.0.0/24",
	}},
	{check.SBDNotRunning, story{
		first: withSBD, wrong: on("node2", func(r *ha.Report) { r.Fencing.SBD.Running = false }),
		subject: "node2", says: "SBD is configured, but does not run",
	}},
	{check.SBDNotRunning, story{
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.Path = "/dev/disk/by-id/other" }),
		subject: "node2", says: "SBD does not use /dev/disk/by-id/sbd",
	}},
	{check.SBDSlot, story{
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.Error = "no such device" }),
		subject: "node2", says: "/dev/disk/by-id/sbd cannot be read: no such device",
	}},
	{check.SBDSlot, story{
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.Slots = d.Slots[:1] }),
		subject: "node2", says: "has no slot for this node",
	}},
	{check.SBDTimeouts, story{
		first: withSBD, wrong: sbd("node2", func(d *ha.SBDDevice) { d.TimeoutMsgwait = 3 * time.Minute }),
		subject: "node2", says: "msgwait 3 min, network.yml says 60 s and 2 min",
	}},
	{check.BMCPowerUnknown, story{
		wrong:   bmcCell("node3", func(r *ha.ProofResult) { r.Power.State, r.Power.Said = ha.PowerUnknown, "neither on nor off" }),
		subject: "node1", says: "asked from node3: neither on nor off",
	}},

	{check.ClockUnsynchronized, story{
		wrong:   on("node2", func(r *ha.Report) { r.Clock.Synchronized = false }),
		subject: "node2", says: "chronyd runs, but the kernel says that the clock is not synchronized",
	}},
	{check.ClockUnsynchronized, story{
		wrong:   on("node2", func(r *ha.Report) { r.Clock.Offset = -3 * time.Second }),
		subject: "node2", says: "the clock is 3 s off and being steered",
	}},
	{check.TargetCPU, story{
		first:   guestConfig("node2", func(c *ha.GuestConfig) { c.CPU = "host" }),
		wrong:   on("node3", func(r *ha.Report) { r.Hardware.CPUFlags = "f2" }),
		subject: "media", says: "has cpu: host, and node3 has other CPU features than node2",
	}},
	{check.CRMMasterStale, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Master = "" },
		subject: "cluster", says: "no CRM has become master",
	}},
	{check.AutoRebalance, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.Options.RebalanceOnStart = true },
		subject: "cluster", says: "ha-rebalance-on-start",
	}},
	{check.NodeOffline, story{
		wrong: both(func(s *ha.Snapshot) { s.Inventory.Nodes[2].Online = false }, func(s *ha.Snapshot) {
			s.Maintenances = []ha.Maintenance{{ID: "m1", Node: "node3", Phase: ha.Drained, By: "anna", RequestedAt: noon.Add(-time.Hour)}}
		}),
		subject: "node3", says: "it is offline, in maintenance since 60 min ago",
	}},

	{check.MembershipDisagrees, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.Nodes[1].Online = false },
		subject: "node2", says: "the API calls it offline, but corosync on node1, node3 lists it",
	}},
	{check.GossipDisagrees, story{
		wrong:   func(s *ha.Snapshot) { s.Members = append(s.Members[:1:1], s.Members[2:]...) },
		subject: "node2", says: "gossip has never heard of its agent",
	}},
	{check.APINotAnswering, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory = ha.Inventory{} },
		subject: "cluster", says: "it has never answered this coordinator",
	}},
	{check.AgentSuperseded, story{
		wrong:   on("node2", func(r *ha.Report) { r.Generation, r.Coordinator = 0, "" }),
		subject: "node2", says: "it reports, but has accepted no coordinator",
	}},

	{check.NFSNotAnswering, story{
		wrong:   mount("node2", func(m *ha.Mount) { m.Answering, m.Error = false, "stale NFS file handle" }),
		subject: "node2", says: "10.10.0.50:/mnt/pool/psw on /mnt/shared: stale NFS file handle; hit here: media (vm:102)",
	}},
	{check.NFSNotAnswering, story{
		wrong:   mount("node2", func(m *ha.Mount) { m.Answering = false }),
		subject: "node2", says: "10.10.0.50:/mnt/pool/psw does not answer on /mnt/shared",
	}},
	{check.NFSWriteFailed, story{
		wrong:   mount("node2", func(m *ha.Mount) { m.Write.Stuck = 50 * time.Second }),
		subject: "node2", says: "a write to /mnt/shared has been hanging for 50 s",
	}},
	{check.StorageNotAvailable, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Disabled = true },
		subject: "node2", says: "storage psw is disabled",
	}},
	{check.StorageNotAvailable, story{
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Nodes = []ha.NodeName{"node1", "node3"} },
		subject: "node2", says: "storage psw is restricted to other nodes",
	}},

	{check.LRMJobFailed, story{
		wrong: localHA("node2", func(h *ha.LocalHA) {
			h.Failed = []ha.LRMResult{{SID: ha.MustSID("vm:102"), State: "started", ExitCode: 1,
				Log: []string{"2026-11-28T09:00:03+00:00 node2 pve-ha-lrm[706]: unable to start service vm:102"}}}
		}),
		subject: "node2", says: "vm:102 to be started ended with 1 (error): unable to start service vm:102",
	}},
	{check.FailoverUnseen, story{
		wrong:   func(s *ha.Snapshot) { s.Witnessed.Failover.At = noon.Add(-200 * 24 * time.Hour) },
		subject: "cluster", says: "the last failover was seen 200 d ago (vm:103, from node3 to node1)",
	}},
	{check.SiteNoTiebreaker, story{
		first: twoSites, wrong: func(s *ha.Snapshot) { s.Policy.Cluster.Sites = s.Policy.Cluster.Sites[:2] },
		subject: "cluster", says: "nobody says where the QDevice 10.70.0.60 stands",
	}},
	{check.SiteNoTiebreaker, story{
		first: twoSites, wrong: func(s *ha.Snapshot) {
			s.Policy.Cluster.Sites = s.Policy.Cluster.Sites[:2]
			s.Policy.Cluster.Sites[0].Arbiter = true
		},
		subject: "cluster", says: "the QDevice stands in site attic, with nodes",
	}},
}

// rule changes media's rule.
func rule(change func(r *ha.Rule)) func(*ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&s.Inventory.Rules[1]) }
}

// name names the test by what it says.
func (c anotherCause) name() string {
	return string(c.code) + "/" + strings.ReplaceAll(c.says, "/", "|")
}
