package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A story tells of one check: in the healthy cluster it passes, wrong breaks it, and
// blind takes away what it needs to look.
type story struct {
	// wrong makes it a violation on subject, whose evidence contains says.
	wrong   func(s *ha.Snapshot)
	subject string
	says    string
	// blind makes it UNKNOWN on blindOn (default: subject).
	blind   func(s *ha.Snapshot)
	blindOn string
	// seen: the check needs no more than what is always at hand, so it is never UNKNOWN.
	seen string
	// first makes the healthy cluster one where the check applies.
	first func(s *ha.Snapshot)
}

func noProbe(name ha.NodeName, probe string) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { fails(s, name, probe) }
}

func unread(part string) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { s.Inventory.Failures = []string{part + ": 595 no route to host"} }
}

func setGuest(s *ha.Snapshot, sid string, change func(g *ha.Guest)) {
	for k := range s.Inventory.Guests {
		if s.Inventory.Guests[k].SID.String() == sid {
			change(&s.Inventory.Guests[k])
		}
	}
}

// Each of these changes one part of a node's report.
func watchdog(name ha.NodeName, change func(w *ha.Watchdog)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).Watchdog) }
}

func corosync(name ha.NodeName, change func(c *ha.Corosync)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).Corosync) }
}

func localHA(name ha.NodeName, change func(h *ha.LocalHA)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).HA) }
}

func mount(name ha.NodeName, change func(m *ha.Mount)) func(s *ha.Snapshot) {
	return func(s *ha.Snapshot) { change(&report(s, name).Mounts[0]) }
}

// allStories are the stories of every subject.
var allStories = []map[ha.Code]story{
	clusterStories, nodeStories, storageStories, proofStories, targetStories,
	siteStories, machineStories, stallStories, networkStories, configStories, fencingStories, cephStories, deviceStories, checklistStories,
}

func TestEveryCheckTellsRightFromWrongFromUnknown(t *testing.T) {
	stories := make(map[ha.Code]story)
	for _, part := range allStories {
		for code, s := range part {
			stories[code] = s
		}
	}
	for _, c := range check.Checks() {
		st, told := stories[c.Code]
		if !told {
			t.Errorf("%s has no story", c.Code)
			continue
		}
		delete(stories, c.Code)
		t.Run(string(c.Code), func(t *testing.T) { tell(t, c, st) })
	}
	for code := range stories {
		t.Errorf("there is a story of %s, but no such check", code)
	}
}

func tell(t *testing.T, c check.Check, st story) {
	tellRight(t, c, st)
	tellWrong(t, c, st)
	tellBlind(t, c, st)
}

// world is the story's cluster: the healthy one, prepared and changed.
func (st story) world(changes ...func(*ha.Snapshot)) ha.Snapshot {
	s := healthy()
	for _, change := range append([]func(*ha.Snapshot){st.first}, changes...) {
		if change != nil {
			change(&s)
		}
	}
	return s
}

// tellRight: before anything is broken the check passes, if not on the very subject (a
// finding may name what only the fault brings into the world), then on another, and nothing
// says what the fault will say.
func tellRight(t *testing.T, c check.Check, st story) {
	r := check.Judge(st.world(), ha.CheckRequest{Profile: check.Production})
	passes := false
	for _, f := range r.Findings {
		if f.Code != c.Code {
			continue
		}
		passes = passes || f.Status == ha.Pass
		if f.Subject == st.subject && f.Status != ha.Pass {
			t.Errorf("on %s it is %s before anything is wrong: %s", f.Subject, f.Status, f.Evidence)
		}
		if strings.Contains(f.Evidence, st.says) {
			t.Errorf("on %s it says %q before anything is wrong", f.Subject, f.Evidence)
		}
	}
	if !passes {
		t.Errorf("it passes on nothing in the healthy cluster:%s", show(r))
	}
}

// tellWrong: it fails in both profiles, with what each makes of it, for the reason the story
// gives, and says what to do.
func tellWrong(t *testing.T, c check.Check, st story) {
	if st.says == "" {
		t.Fatal("the story does not say what the cause is called")
	}
	for _, profile := range []string{check.Minimum, check.Production} {
		r := check.Judge(st.world(st.wrong), ha.CheckRequest{Profile: profile})
		f, found := find(r, c.Code, st.subject)
		want := c.Severity(profile)
		if want == "" {
			if found {
				t.Errorf("profile %s does not ask it, and yet it is %s", profile, f.Status)
			}
			continue
		}
		if !found || f.Status != want && c.Code != check.APIIncomplete {
			t.Errorf("profile %s: on %s it is %q, want %s:%s", profile, st.subject, f.Status, want, show(r))
		}
		if !strings.Contains(f.Evidence, st.says) {
			t.Errorf("profile %s: the evidence %q does not say %q", profile, f.Evidence, st.says)
		}
		if f.Remedy == "" {
			t.Errorf("profile %s: it says what is wrong but not what to do", profile)
		}
	}
}

// tellBlind: without what it looks at it is UNKNOWN, and nothing is ready.
func tellBlind(t *testing.T, c check.Check, st story) {
	if (st.blind == nil) == (st.seen == "") {
		t.Fatal("the story must say how the check is blinded, or why it cannot be")
	}
	if st.blind == nil {
		return
	}
	on := st.blindOn
	if on == "" {
		on = st.subject
	}
	r := check.Judge(st.world(st.blind), ha.CheckRequest{Profile: check.Production})
	if f, _ := find(r, c.Code, on); f.Status != ha.Unknown {
		t.Errorf("blinded, on %s it is %q, want UNKNOWN:%s", on, f.Status, show(r))
	}
	if r.Ready() {
		t.Error("blinded, the cluster reads as ready")
	}
}

var clusterStories = map[ha.Code]story{
	check.PolicyMissing: {
		wrong:   func(s *ha.Snapshot) { s.Policy = ha.Policy{} },
		subject: "cluster", says: "no project is known", seen: "a policy is there or not",
	},
	check.ClusterTooSmall: {
		wrong: func(s *ha.Snapshot) {
			s.Policy.Cluster.Nodes, s.Inventory.Nodes = s.Policy.Cluster.Nodes[:2], s.Inventory.Nodes[:2]
		},
		subject: "cluster", says: "2 nodes without a QDevice", seen: "it is declared or not",
	},
	check.StorageUndeclared: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Cluster.Storage = nil },
		subject: "cluster", says: "declares no shared_storage", seen: "it is declared or not",
	},
	check.TargetsAllHA: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Targets[1].HA = true },
		subject: "cluster", says: "all 3 targets", seen: "it is declared or not",
	},
	check.NFSServerOnNode: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Cluster.Storage.Server = "10.10.0.2" },
		subject: "cluster", says: "10.10.0.2 is node node2", seen: "it is declared or not",
	},
	check.NFSSingleServer: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Cluster.Storage.Redundant = false },
		subject: "cluster", says: "every target's disk is on 10.10.0.50", seen: "it is declared or not",
	},
	check.BMCUndeclared: {
		wrong:   func(s *ha.Snapshot) { s.Policy.Hosts[1].BMC = nil },
		subject: "node2", says: "the watchdog is the only thing", seen: "it is declared or not",
	},
	check.APINotAnswering: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.At = noon.Add(-time.Minute) },
		subject: "cluster", says: "its last answer is 60 s old", seen: "that it does not answer is what it says",
	},
	check.APIIncomplete: {
		wrong:   unread("rules"),
		subject: "cluster", says: "rules: 595", blind: unread("rules"),
	},
	check.ClusterStandalone: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Cluster = ha.Cluster{Standalone: true} },
		subject: "cluster", says: "node1 is in no cluster", blind: unread("cluster"),
	},
	check.NodeNotMember: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Nodes = s.Inventory.Nodes[:2] },
		subject: "node3", says: "has no such node", blind: unread("nodes"), blindOn: "cluster",
	},
	check.NodeOffline: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Nodes[2].Online = false },
		subject: "node3", says: "node1 does not see it", blind: unread("nodes"), blindOn: "cluster",
	},
	check.NodeUndeclared: {
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: "node4", ID: 4, Online: true})
		},
		subject: "node4", says: "network.yml does not name", blind: unread("nodes"), blindOn: "cluster",
	},
	check.MembershipDisagrees: {
		wrong: func(s *ha.Snapshot) {
			report(s, "node1").Corosync.Members = []int{1, 3}
			report(s, "node3").Corosync.Members = []int{1, 3}
		},
		subject: "node2", says: "corosync on node1, node3 does not list it",
		blind: func(s *ha.Snapshot) {
			fails(s, "node1", ha.ProbeCorosync)
			fails(s, "node3", ha.ProbeCorosync)
		},
	},
	check.GossipDisagrees: {
		wrong:   func(s *ha.Snapshot) { s.Members[1].State = ha.MemberDead },
		subject: "node2", says: "gossip calls it dead", blind: unread("nodes"), blindOn: "cluster",
	},
	check.QuorumLost: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Cluster.Quorate, s.Inventory.Cluster.Votes = false, 1 },
		subject: "cluster", says: "node1 sees 1 of 3 nodes", blind: unread("cluster"),
	},
	check.QuorumExpectedLow: {
		wrong:   corosync("node1", func(c *ha.Corosync) { c.Expected, c.Quorum = 2, 2 }),
		subject: "cluster", says: "expects 2 votes, but the cluster has 3 nodes", blind: unread("nodes"),
	},
	check.QuorumTooFewVotes: {
		wrong:   corosync("node1", func(c *ha.Corosync) { c.Expected = 2 }),
		subject: "cluster", says: "no node may ever be lost",
		blind: func(s *ha.Snapshot) {
			for k := range s.Reports {
				fails(s, s.Reports[k].Node, ha.ProbeCorosync)
			}
		},
	},
	check.QuorumNoLossTolerated: {
		wrong:   corosync("node1", func(c *ha.Corosync) { c.Votes = 2 }),
		subject: "cluster", says: "2 of 3 votes are there and quorum is 2",
		blind: func(s *ha.Snapshot) {
			for k := range s.Reports {
				fails(s, s.Reports[k].Node, ha.ProbeCorosync)
			}
		},
	},
	check.HADisarmed: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Armed, s.Inventory.HA.DisarmMode = "disarmed", "freeze" },
		subject: "cluster", says: "disarmed (freeze)", blind: unread("armed"),
	},
	check.CRMMasterStale: {
		wrong:   localHA("node1", func(h *ha.LocalHA) { h.MasterAt = h.MasterAt.Add(-time.Minute) }),
		subject: "cluster", says: "has not worked for 64 s", blind: unread("ha"),
	},
	check.ShutdownPolicy: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Options.ShutdownPolicy = "conditional" },
		subject: "cluster", says: "shutdown_policy is conditional", blind: unread("options"),
	},
	check.AutoRebalance: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.Options.AutoRebalance = true },
		subject: "cluster", says: "ha-auto-rebalance", blind: unread("options"),
	},
	check.CapacitySingleLoss: {
		wrong:   func(s *ha.Snapshot) { setGuest(s, "ct:101", func(g *ha.Guest) { g.MemoryMax = 27 * gib }) },
		subject: "node1", says: "core (ct:101, 27.0 GiB) finds no room", blind: unread("guests"), blindOn: "cluster",
	},
	check.SplitBrain: {
		wrong: func(s *ha.Snapshot) {
			r := report(s, "node3")
			r.Running = append([]ha.LocalGuest{{SID: ha.MustSID("ct:101"), PID: 77, Started: noon.Add(-time.Hour)}}, r.Running...)
		},
		subject: "ct:101", says: "it runs on node1 (process 1001) and node3 (process 77)",
		blind: noProbe("node2", ha.ProbeGuests), blindOn: "cluster",
	},
	check.MaintenanceOpen: {
		wrong: func(s *ha.Snapshot) {
			s.Maintenances = []ha.Maintenance{{ID: "m1", Node: "node2", Phase: ha.Drained, By: "anna", RequestedAt: noon.Add(-time.Hour)}}
		},
		subject: "node2", says: "drained since 60 min, by anna", seen: "it is our own memory",
	},
	check.MaintenanceForeign: {
		wrong:   func(s *ha.Snapshot) { s.Inventory.HA.Nodes[1].MaintenanceRequested = true },
		subject: "node2", says: "not by psw", blind: unread("ha"), blindOn: "cluster",
	},
	check.RuleHasErrors: {
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Rules[0].Errors = []string{"resource is in two node-affinity rules"}
		},
		subject: "psw-core", says: "in two node-affinity rules", blind: unread("rules"), blindOn: "cluster",
	},
	check.ResourceForeign: {
		wrong: func(s *ha.Snapshot) {
			s.Inventory.Resources = append(s.Inventory.Resources, ha.Resource{SID: ha.MustSID("vm:103"), State: ha.RequestStarted})
		},
		subject: "vm:103", says: "target lab, which does not say ha: true", blind: unread("resources"), blindOn: "cluster",
	},
}
