package check_test

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var storageStories = map[ha.Code]story{
	check.NFSNotMounted: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Mounts = nil },
		subject: "node2", says: "nothing is mounted on /mnt/shared", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSNotAnswering: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Answering, m.Stuck = false, 40*time.Second }),
		subject: "node2", says: "hanging for 40 s", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSWrongSource: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Source = "10.10.0.50:/mnt/pool/old" }),
		subject: "node2", says: "mounted from 10.10.0.50:/mnt/pool/old", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSSourceDiffers: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Server = "10.10.0.51" }),
		subject: "cluster", says: "10.10.0.51:/mnt/pool/psw on node2", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSReadOnly: {
		wrong:   mount("node2", func(m *ha.Mount) { m.ReadOnly = true }),
		subject: "node2", says: "read-only", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSSoftMount: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Hard = false }),
		subject: "node2", says: "mounted soft", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.NFSNearlyFull: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Free = 40 * gib }),
		subject: "node2", says: "96 % of 1000.0 GiB are used", blind: mount("node2", func(m *ha.Mount) { m.Total = 0 }),
	},
	check.NFSMajorTimeouts: {
		wrong:   mount("node2", func(m *ha.Mount) { m.Timeouts = 3 }),
		subject: "node2", says: "3 major timeouts", blind: noProbe("node2", ha.ProbeNFS),
	},
	check.StorageNotRegistered: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Path = "/mnt/pve/psw" },
		subject: "cluster", says: "storage psw is that export, but on /mnt/pve/psw", blind: unread("storages"),
	},
	check.StorageNotShared: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Shared = false },
		subject: "cluster", says: "not marked shared", blind: unread("storages"),
	},
	check.StorageContent: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Content = []string{"images", "iso"} },
		subject: "cluster", says: "does not take rootdir", blind: unread("storages"),
	},
	check.StorageNotAvailable: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].On[1].Available = false },
		subject: "node2", says: "cannot use storage psw",
		blind: func(s *ha.Snapshot) { s.Inventory.Storages[1].On = s.Inventory.Storages[1].On[:1] },
	},
}

func guestConfig(name ha.NodeName, change func(c *ha.GuestConfig)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).GuestConfigs[0]) }
}

var targetStories = map[ha.Code]story{
	check.TargetNotFound: {
		wrong:   func(s *ha.Snapshot) { setGuest(s, "vm:102", func(g *ha.Guest) { g.Name = "plex" }) },
		subject: "media", says: `no guest is called "media"`, blind: unread("guests"), blindOn: "cluster",
	},
	check.TargetWrongType: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Targets[2].Type = ha.TargetLXC },
		subject: "media", says: "declares type lxc, but the guest is vm:102", blind: unread("guests"), blindOn: "cluster",
	},
	check.TargetDiskLocal: {
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.Storages = []string{"local-lvm", "psw"} }),
		subject: "media", says: "a disk on local-lvm (lvmthin)", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetDiskUnavailable: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Storages[1].Nodes = []ha.NodeName{"node1", "node2"} },
		subject: "media", says: "psw on node3", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetLocalResource: {
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.Local = []string{"hostpci0: passes a device through"} }),
		subject: "media", says: "hostpci0", blind: func(s *ha.Snapshot) { report(s, "node2").GuestConfigs = nil },
	},
	check.TargetLocked: {
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.Lock = "backup" }),
		subject: "media", says: `the lock "backup"`, blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetSnapshots: {
		wrong:   guestConfig("node2", func(c *ha.GuestConfig) { c.Snapshots = 2 }),
		subject: "media", says: "has 2", blind: noProbe("node2", ha.ProbeGuestConfigs),
	},
	check.TargetNotOnPreferredNode: {
		wrong:   func(s *ha.Snapshot) { setGuest(s, "vm:102", func(g *ha.Guest) { g.Node = "node3" }) },
		subject: "media", says: "is on node3, network.yml prefers node2", blind: unread("guests"), blindOn: "cluster",
	},
	check.TargetNotRegistered: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Resources = s.Inventory.Resources[:1] },
		subject: "media", says: "vm:102 is no HA resource", blind: unread("resources"), blindOn: "cluster",
	},
	check.TargetRequestState: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Resources[1].State = ha.RequestIgnored },
		subject: "media", says: "requested ignored", blind: unread("resources"), blindOn: "cluster",
	},
	check.TargetFailback: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Resources[1].Failback = true },
		subject: "media", says: "failback 1", blind: unread("resources"), blindOn: "cluster",
	},
	check.TargetInError: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Services[1].State = ha.ServiceError },
		subject: "media", says: "in state error on node2",
		blind: func(s *ha.Snapshot) { s.Inventory.HA.Services = s.Inventory.HA.Services[:1] },
	},
	check.TargetNotRunning: {
		wrong:   func(s *ha.Snapshot) { report(s, "node2").Running = nil },
		subject: "media", says: "no process of it is there", blind: noProbe("node2", ha.ProbeGuests),
	},
	check.ResourceDrifted: {
		first:   registered,
		wrong:   func(s *ha.Snapshot) { s.Inventory.Resources[1].MaxRestart = 7 },
		subject: "media", says: "vm:102: max_restart is 7, not 1", blind: unread("resources"), blindOn: "cluster",
	},
	check.RuleDrifted: {
		first: registered,
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Rules[1].Resources = append(s.Inventory.Rules[1].Resources, ha.MustSID("vm:999"))
		},
		subject: "media", says: "rule psw-media binds vm:102, vm:999, not vm:102 alone", blind: unread("rules"), blindOn: "cluster",
	},
	check.RegistrationLeftover: {
		first: registered,
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Resources = append(s.Inventory.Resources, ha.Resource{SID: ha.MustSID("vm:900"), State: ha.RequestStarted, Comment: ha.MarkOf("media")})
		},
		subject: "vm:900", says: "vm:900 is still registered, but media is vm:102 by now", blind: unread("resources"), blindOn: "cluster",
	},
	check.RegistrationContested: {
		first:   registered,
		wrong:   func(s *ha.Snapshot) { s.Operations = quarrel(s.At, ha.KeepFightsMax) },
		subject: "cluster", says: "somebody undoes it again and again", blind: unread("resources"), blindOn: "cluster",
	},
	check.TargetPreferenceMissing: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Rules[1].Nodes[0].Node = "node3" },
		subject: "media", says: "rule psw-media prefers node3, network.yml node2", blind: unread("rules"), blindOn: "cluster",
	},
	check.TargetNotConfined: {
		first: func(s *ha.Snapshot) {
			s.Policy.Targets[2].Options = ha.HAOptions{Nodes: []ha.NodeName{"node1", "node2"}, Strict: true}
			s.Inventory.Rules[1].Strict = true
		},
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Rules[1].Nodes = append(s.Inventory.Rules[1].Nodes, ha.RuleNode{Node: "node3"})
		},
		subject: "media", says: "also allows node3", blind: unread("rules"), blindOn: "cluster",
	},
}

// registered is what psw registers for the targets of the healthy cluster, kept.
func registered(s *ha.Snapshot) {
	for k := range s.Inventory.Resources {
		r := &s.Inventory.Resources[k]
		g, _ := s.Inventory.Guest(r.SID)
		if t, ok := s.TargetOf(g); ok {
			*r = t.Resource(r.SID)
		}
	}
	for k := range s.Inventory.Rules {
		r := &s.Inventory.Rules[k]
		g, _ := s.Inventory.Guest(r.Resources[0])
		if t, ok := s.TargetOf(g); ok && r.Type == ha.NodeAffinity {
			r.Comment, r.Nodes, r.Strict = ha.MarkOf(t.Name), t.RuleNodes(), t.Options.Strict
		}
	}
	s.Operations = quarrel(s.At, 0)
}

// quarrel is an apply that is kept, and how often the keeper had to put it right since.
func quarrel(at time.Time, fights int) []ha.Operation {
	done := []ha.OperationStep{{Key: "vm:102", State: ha.StepDone}}
	list := []ha.Operation{{ID: "0", Kind: ha.OperationApply, By: "anna", Options: ha.OperationOptions{Keep: true}, Outcome: ha.OperationDone,
		RequestedAt: at.Add(-3 * time.Hour), Steps: done}}
	for k := range fights {
		list = append(list, ha.Operation{ID: string(rune('1' + k)), Kind: ha.OperationApply, By: ha.Keeper, Options: ha.OperationOptions{Keep: true},
			Outcome: ha.OperationDone, RequestedAt: at.Add(time.Duration(k-fights) * 10 * time.Minute), Steps: done})
	}
	return list
}
