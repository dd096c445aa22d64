package check_test

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// healthyCeph gives every node two OSDs of a Ceph cluster with networks of its own.
func healthyCeph(s *ha.Snapshot) {
	everywhere(func(r *ha.Report) {
		r.Ceph = ha.LocalCeph{
			Configured: true, ID: "c", PublicNetworks: []string{"10.50.0.0/24"}, ClusterNetworks: []string{"10.51.0.0/24"},
			Asked: noon.Add(-20 * time.Second), Health: "HEALTH_OK", Monitors: 3, MonitorsQuorate: 3,
			Hosts: []ha.CephHost{{Name: "node1", OSDs: 2, Up: 2, In: 2, FillMax: 0.4}, {Name: "node2", OSDs: 2, Up: 2, In: 2}, {Name: "node3", OSDs: 2, Up: 2, In: 2}},
			Pools: []ha.CephPool{{Name: "guests", Size: 3, MinSize: 2}},
		}
	})(s)
}

// cephStory tells of a Ceph cluster that all nodes see alike.
func cephStory(says string, wrong func(c *ha.LocalCeph)) story {
	return story{
		first: healthyCeph, wrong: everywhere(func(r *ha.Report) { wrong(&r.Ceph) }),
		subject: "cluster", says: says, blind: everywhere(func(r *ha.Report) { r.Ceph.Asked = time.Time{} }),
	}
}

var cephStories = map[ha.Code]story{
	check.CephUnhealthy: cephStory("HEALTH_ERR: PG_DAMAGED", func(c *ha.LocalCeph) { c.Health, c.Checks = "HEALTH_ERR", []string{"PG_DAMAGED"} }),
	check.CephMonitors:  cephStory("2 of 3 monitors agree", func(c *ha.LocalCeph) { c.MonitorsQuorate = 2 }),
	check.CephOSDDown:   cephStory("down: 1 of 2 on node2", func(c *ha.LocalCeph) { c.Hosts[1].Up = 1 }),
	check.CephPoolSize:  cephStory("guests has size 2, min_size 1", func(c *ha.LocalCeph) { c.Pools[0].Size, c.Pools[0].MinSize = 2, 1 }),
	check.CephDegraded:  cephStory("1200 objects have too few copies", func(c *ha.LocalCeph) { c.Degraded, c.Recovery = 1200, 80<<20 }),
	check.CephOneOSDPerNode: cephStory("3 nodes with one OSD each", func(c *ha.LocalCeph) {
		for k := range c.Hosts {
			c.Hosts[k].OSDs, c.Hosts[k].Up = 1, 1
		}
	}),
	check.CephNetworkShared: cephStory("clients and OSDs share 10.50.0.0/24", func(c *ha.LocalCeph) { c.ClusterNetworks = nil }),
	check.CephNearlyFull:    cephStory("the fullest OSD, on node2, is filled to 91 %", func(c *ha.LocalCeph) { c.Hosts[1].FillMax = 0.91 }),
}

// replicated puts media on a ZFS pool of node2, copied to both other nodes.
func replicated(s *ha.Snapshot) {
	s.Inventory.Storages = append([]ha.Storage{{Name: "aa-zfs", Type: "zfspool", On: s.Inventory.Storages[0].On}}, s.Inventory.Storages...)
	r := report(s, "node2")
	r.GuestConfigs[0].Storages = []string{"aa-zfs"}
	media := ha.MustSID("vm:102")
	r.Replications = []ha.Replication{
		{ID: "102-0", SID: media, Target: "node1", Schedule: "*/15", LastSync: noon.Add(-9 * time.Minute)},
		{ID: "102-1", SID: media, Target: "node3", Schedule: "*/15", LastSync: noon.Add(-9 * time.Minute)},
	}
}

func replication(change func(j *ha.Replication)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, "node2").Replications[0]) }
}

var deviceStories = map[ha.Code]story{
	check.NFSWriteFailed: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Write.Error = "permission denied" }),
		subject: "node2", says: "a file written to /mnt/shared: permission denied; hit here: media (vm:102)",
		blind: mount("node2", func(m *ha.Mount) { m.Write = ha.WriteTest{} }),
	},
	check.NFSFilesystemDiffers: {
		wrong:   mount("node2", func(m *ha.Mount) { m.FilesystemID = "77:0" }),
		subject: "cluster", says: "77:0 on node2", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.StorageNotShareable: {
		wrong: on("node2", func(r *ha.Report) {
			r.Storages = append(r.Storages, ha.LocalStorage{Name: "tank", Type: "dir", Shared: true, Path: "/tank"})
		}),
		subject: "node2", says: "tank (dir) is marked shared, but nothing is mounted on /tank", blind: noProbe("node2", ha.ProbeStorage),
	},
	check.TargetCPU: {
		wrong: func(s *ha.Snapshot) {
			report(s, "node2").GuestConfigs[0].CPU = "x86-64-v4"
			report(s, "node3").Hardware.CPULevel = 3
		},
		subject: "media", says: "wants cpu: x86-64-v4, which node3 cannot give", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetDeviceMissing: {
		first: func(s *ha.Snapshot) {
			s.Policy.Targets[2].Devices = []string{"gpu"}
			for k := range s.Policy.Hosts {
				s.Policy.Hosts[k].Devices = []ha.Device{{Kind: "gpu", Name: "RTX 3060"}}
			}
		},
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[2].Devices = nil },
		subject: "media", says: "it needs gpu, but may run on node3", blind: unread("guests"), blindOn: "cluster",
	},
	check.TargetMapping: {
		first: guestConfig("node2", func(c *ha.GuestConfig) {
			c.Mapped = []ha.MappedDevice{{Kind: "pci", ID: "gpu1", Nodes: []ha.NodeName{"node1", "node2", "node3"}}}
		}),
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.Mapped[0].Nodes = c.Mapped[0].Nodes[:2] }),
		subject: "media", says: "the mapping gpu1 (pci), which names no device on node3", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetReplicaMissing: {
		first:   replicated,
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Replications = report(s, "node2").Replications[:1] },
		subject: "media", says: "vm:102 may be started on node3", blind: noProbe("node2", ha.ProbeStorage),
	},
	check.TargetReplicationFail: {
		first:   replicated,
		wrong:   replication(func(j *ha.Replication) { j.Failures, j.Error = 4, "no route to host" }),
		subject: "media", says: "has failed 4 times (no route to host): the last good copy is 9 min old",
		blind: replication(func(j *ha.Replication) { j.LastSync = time.Time{} }),
	},
	check.TargetReplicated: {
		wrong:   replicated,
		subject: "media", says: "replicated to node1 every */15", blind: noProbe("node2", ha.ProbeStorage),
	},
	check.TargetOnboot: {
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.OnBoot = true }),
		subject: "media", says: "onboot 1", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetFrozen: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Services[1].State = ha.ServiceFreeze },
		subject: "media", says: "vm:102 is frozen on node2",
		blind: func(s *ha.Snapshot) { s.Inventory.HA.Services = s.Inventory.HA.Services[:1] },
	},
}

const anOperatorsWord = "an operator said so or not"

var checklistStories = map[ha.Code]story{
	check.UPSUnconfirmed: {
		wrong: func(s *ha.Snapshot) {
			unvouched(ha.AckUPS)(s)
			s.Policy.Hosts[1].UPS = nil
		},
		subject: "node2", says: "nobody says that a UPS feeds it", seen: anOperatorsWord,
	},
	check.PowerSuppliesUnconfirmed: {wrong: unvouched(ha.AckPowerSupplies), subject: "node2", says: "nobody says", seen: anOperatorsWord},
	check.SystemDisksUnconfirmed:   {wrong: unvouched(ha.AckSystemDisks), subject: "node2", says: "nobody says", seen: anOperatorsWord},
	check.RestoreUntried: {
		wrong: func(s *ha.Snapshot) {
			for k := range s.Acks {
				s.Acks[k].At = noon.Add(-2 * ha.AckAgeMax)
			}
		},
		subject: "cluster", says: "more than a year ago", seen: anOperatorsWord,
	},
	check.RunbookUnknown: {wrong: unvouched(ha.AckRunbookKnown), subject: "cluster", says: "paper is left", seen: anOperatorsWord},
}
