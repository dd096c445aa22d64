package cli

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The world of these tests: the cluster "home" of three nodes with 64 GiB each, where
// node1 is to be drained. It runs the container core, the VM media and a VM that the
// project does not declare.

func at(text string) time.Time {
	t, err := time.Parse("15:04:05", text)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 11, 21, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

var (
	core   = ha.MustSID("ct:100")
	media  = ha.MustSID("vm:101")
	photos = ha.MustSID("vm:102")
	router = ha.MustSID("vm:120")
)

func drainPreview() ha.Preview {
	return ha.Preview{
		Node: "node1",
		Steps: []ha.Step{
			{SID: media, Name: "media", Target: true, HA: true, Method: ha.MethodLive, From: "node1", To: "node2",
				Memory: 8 * gib, Estimate: 55 * time.Second, Reason: "most room for it"},
			{SID: core, Name: "core", Target: true, HA: true, Method: ha.MethodRestart, From: "node1", To: "node3", Chosen: true,
				Memory: 40 * gib, Estimate: 40 * time.Second, Reason: "a container cannot move live: it is shut down, moved and started"},
			{SID: router, Name: "router", Method: ha.MethodStays, From: "node1", Memory: 512 * mib, Reason: "not in the project; it goes down with the node"},
		},
		Notices: []string{"while node1 is away the cluster has 2 of the 2 votes it needs: it cannot lose another node"},
		Fit: []ha.Fit{
			{Node: "node1", Total: 64 * gib, Reserve: 4 * gib, AssignedNow: 48*gib + 512*mib, AssignedAfter: 512 * mib, UsedNow: 31 * gib, UsedAfter: 400 * mib},
			{Node: "node2", Total: 64 * gib, Reserve: 4 * gib, AssignedNow: 24 * gib, AssignedAfter: 32 * gib, UsedNow: 18 * gib, UsedAfter: 22 * gib},
			{Node: "node3", Total: 64 * gib, Reserve: 4 * gib, AssignedNow: 0, AssignedAfter: 40 * gib, UsedNow: 2 * gib, UsedAfter: 28 * gib},
		},
		Commands: []string{
			"ha-manager migrate vm:101 node2",
			"ha-manager crm-command node-maintenance enable node1",
		},
		Estimate: 125 * time.Second,
	}
}

func blockedPreview() ha.Preview {
	p := drainPreview()
	p.Fit[1].AssignedAfter = 72 * gib
	p.Blockers = []ha.Blocker{
		{Code: "NO_ROOM", Subject: "ct:100 (core)", Reason: "needs 40 GiB, node2 can give 28 GiB (short 12 GiB) and node3 is not allowed by rule core-nodes",
			Fix: "shut something down on node2, or accept it with --allow-overcommit"},
		{Code: "NOT_IN_PROJECT", Subject: "vm:120 (router)", Reason: "the project does not declare it", Fix: "name it with --guest vm:120, or add it to network.yml"},
	}
	return p
}

func returnPreview() ha.Preview {
	return ha.Preview{
		Node: "node1",
		Steps: []ha.Step{
			{SID: core, Name: "core", Target: true, HA: true, Method: ha.MethodRestart, From: "node3", To: "node1",
				Memory: 40 * gib, Estimate: 40 * time.Second, Reason: "its preferred node"},
			{SID: media, Name: "media", Target: true, HA: true, Method: ha.MethodLive, From: "node2", To: "node1",
				Memory: 8 * gib, Estimate: 55 * time.Second, Reason: "its preferred node"},
		},
		Commands: []string{"ha-manager crm-command node-maintenance disable node1", "ha-manager migrate ct:100 node1", "ha-manager migrate vm:101 node1"},
		Estimate: 2 * time.Minute,
	}
}

func clusterStatus() ha.ClusterStatus {
	return ha.ClusterStatus{
		At: at("14:02:11"), Project: "home", Cluster: "home", Quorate: true, Votes: 3, Expected: 3, Quorum: 2, LossesTolerated: 1,
		Master: "node2", Armed: "armed", ShutdownPolicy: "migrate",
		Nodes: []ha.NodeStatus{
			{Name: "node1", Online: true, HAState: "maintenance", LRM: "maintenance", Watchdog: "armed", Storage: "mounted", ReportAge: 2 * time.Second,
				Gossip: ha.MemberAlive, MemoryTotal: 64 * gib, MemoryUsed: 31 * gib, Guests: 2, Phase: ha.Draining},
			{Name: "node2", Online: true, HAState: "online", LRM: "active", Watchdog: "armed", Storage: "mounted", ReportAge: 4300 * time.Millisecond,
				Gossip: ha.MemberAlive, MemoryTotal: 64 * gib, MemoryUsed: 18*gib + 307*mib, Guests: 3},
			{Name: "node3", Online: true, HAState: "online", LRM: "wait_for_agent_lock", Watchdog: "standby", Storage: "hanging", ReportAge: 95 * time.Second,
				Gossip: ha.MemberSuspect, MemoryTotal: 64 * gib, MemoryUsed: 2 * gib},
		},
		Targets: []ha.TargetStatus{
			{Name: "core", SID: core, HA: true, Preferred: "node1", Node: "node3", Running: true, State: "started", Request: "started", Note: "away from its preferred node"},
			{Name: "media", SID: media, HA: true, Preferred: "node1", Node: "node1", Running: true, State: "migrate", Request: "started"},
			{Name: "nas", SID: ha.MustSID("vm:130"), Preferred: "node2", Node: "node2", Running: true},
			{Name: "wiki", HA: true, Preferred: "node2", Note: `no guest is called "wiki"`},
		},
		Maintenances: []ha.Maintenance{drainingView().Maintenance},
		Warnings:     []string{"could not read: storage status of node3"},
	}
}

func drainMaintenance() ha.Maintenance {
	return ha.Maintenance{ID: "m-0001", Node: "node1", Phase: ha.Requested, By: "anna", Message: "replace a fan", RequestedAt: at("14:00:00"),
		Homes: []ha.Home{}, Moves: []ha.Move{}}
}

// drainingView is a drain in its middle: core is on its way, media had a failed move and
// waits for its turn.
func drainingView() ha.MaintenanceView {
	m := drainMaintenance()
	m.Phase, m.Options.Deadline = ha.Draining, at("14:30:00")
	m.Homes = []ha.Home{{SID: core, Name: "core", Node: "node1", Was: "node1", Running: true}, {SID: media, Name: "media", Node: "node1", Was: "node1", Running: true}}
	m.Moves = []ha.Move{
		{SID: media, Method: ha.MethodLive, From: "node1", To: "node2", HA: true, Asked: at("14:00:05"), Failed: "migration aborted: no route to host", FailedAt: at("14:00:25")},
		{SID: core, Method: ha.MethodRestart, From: "node1", To: "node3", HA: true, Asked: at("14:01:00")},
	}
	return ha.MaintenanceView{
		Maintenance: m,
		Waits: []ha.Wait{
			{Subject: "vm:101", Reason: "its move failed; next try in 30 s"},
			{Subject: "vm:120 (router)", Reason: "the project does not declare it", Blocked: true, Fix: "name it with --guest vm:120"},
		},
		Guests: []ha.GuestProgress{
			{SID: media, Name: "media", Method: ha.MethodLive, From: "node1", To: "node2", State: "failed", Since: at("14:00:05"), Note: "migration aborted: no route to host"},
			{SID: core, Name: "core", Method: ha.MethodRestart, From: "node1", To: "node3", State: "moving", Since: at("14:01:00")},
			{SID: router, Name: "router", Method: ha.MethodStays, From: "node1", State: "waiting"},
		},
	}
}

// drainStory is a drain from the request to "safe to power off", as views of it.
func drainStory() []ha.MaintenanceView {
	m := drainMaintenance()
	guest := func(sid ha.SID, name string, method ha.Method, to ha.NodeName, state string, downtime time.Duration) ha.GuestProgress {
		return ha.GuestProgress{SID: sid, Name: name, Method: method, From: "node1", To: to, State: state, Since: at("14:00:10"), Downtime: downtime}
	}
	draining, drained := m, m
	draining.Phase = ha.Draining
	drained.Phase, drained.DrainedAt = ha.Drained, at("14:01:40")
	turn := []ha.Wait{{Subject: "vm:101", Reason: "its turn"}, {Subject: "ct:100", Reason: "its turn"}}
	return []ha.MaintenanceView{
		{Maintenance: m},
		{Maintenance: draining, Waits: turn, Guests: []ha.GuestProgress{
			guest(media, "media", ha.MethodStays, "", "waiting", 0), guest(core, "core", ha.MethodStays, "", "waiting", 0)}},
		{Maintenance: draining, Waits: turn[1:], Guests: []ha.GuestProgress{
			guest(media, "media", ha.MethodLive, "node2", "moving", 0), guest(core, "core", ha.MethodStays, "", "waiting", 0)}},
		{Maintenance: draining, Guests: []ha.GuestProgress{
			guest(media, "media", ha.MethodLive, "node2", "done", 84*time.Millisecond), guest(core, "core", ha.MethodRestart, "node3", "moving", 0)}},
		{Maintenance: drained, Waits: []ha.Wait{{Subject: "node1", Reason: "not safe to power off: the agent has not reported since"}},
			Guests: []ha.GuestProgress{
				guest(media, "media", ha.MethodLive, "node2", "done", 84*time.Millisecond), guest(core, "core", ha.MethodRestart, "node3", "done", 12400*time.Millisecond)}},
		{Maintenance: drained, Safe: true, Guests: []ha.GuestProgress{
			guest(media, "media", ha.MethodLive, "node2", "done", 84*time.Millisecond), guest(core, "core", ha.MethodRestart, "node3", "done", 12400*time.Millisecond)}},
	}
}

// returnStory is the way back, from "safe to power off" to the end.
func returnStory() []ha.MaintenanceView {
	away := drainStory()[5]
	restoring := away.Maintenance
	restoring.Phase, restoring.RestoreAt = ha.Restoring, at("15:00:00")
	ended := restoring
	ended.Phase, ended.EndedAt = ha.Ended, at("15:02:10")
	guest := func(sid ha.SID, name string, method ha.Method, from ha.NodeName, state string, downtime time.Duration) ha.GuestProgress {
		return ha.GuestProgress{SID: sid, Name: name, Method: method, From: from, To: "node1", State: state, Since: at("15:00:30"), Downtime: downtime}
	}
	return []ha.MaintenanceView{
		away,
		{Maintenance: restoring, Waits: []ha.Wait{{Subject: "node1", Reason: "waiting for the HA manager to show it online (it reads maintenance)"}},
			Guests: []ha.GuestProgress{guest(core, "core", ha.MethodStays, "node3", "waiting", 0), guest(media, "media", ha.MethodStays, "node2", "waiting", 0)}},
		{Maintenance: restoring, Guests: []ha.GuestProgress{
			guest(core, "core", ha.MethodRestart, "node3", "moving", 0), guest(media, "media", ha.MethodLive, "node2", "moving", 0)}},
		{Maintenance: ended, Guests: []ha.GuestProgress{
			guest(core, "core", ha.MethodRestart, "node3", "done", 11*time.Second), guest(media, "media", ha.MethodLive, "node2", "done", 0)}},
	}
}

func readiness() ha.Readiness {
	return ha.Readiness{Findings: []ha.Finding{
		{Code: "NO_QUORUM", Status: ha.Pass, Subject: "cluster", Title: "the cluster is quorate", Evidence: "3 of 3 votes"},
		{Code: "NODE_UNDECLARED", Status: ha.Notice, Subject: "cluster", Title: "the project declares every member",
			Evidence: "node4 is a member that network.yml does not name; it votes and may be given guests", Remedy: "add node4 to cluster.nodes, or leave it to whoever runs it"},
		{Code: "AGENT_SILENT", Status: ha.Pass, Subject: "node1", Title: "the agent reports", Evidence: "reported 4 s ago"},
		{Code: "COROSYNC_SINGLE_LINK", Status: ha.Warn, Subject: "node1", Title: "corosync has two links",
			Evidence: "corosync has a single link; a switch reboot longer than 60 s would fence this node", Remedy: "add a second link: pvecm add NODE --link1 ADDRESS"},
		{Code: "NFS_NOT_ANSWERING", Status: ha.Fail, Subject: "node1", Title: "the shared storage answers",
			Evidence: "nas:/mnt/pool/psw does not answer on /mnt/pve/psw: statfs did not return within 5 s; ct:100 and vm:101 live there",
			Remedy:   "look at the NFS server first; then, on node1: showmount -e nas"},
		{Code: "STORAGE_LOW", Status: ha.Skip, Subject: "node1", Title: "the shared storage has room", Because: "NFS_NOT_ANSWERING"},
		{Code: "LRM_STATUS_STALE", Status: ha.Unknown, Subject: "node1", Title: "the LRM's status is fresh", Evidence: "not asked, because pmxcfs did not answer",
			Remedy: "on node1: systemctl status pve-cluster"},
		{Code: "AGENT_SILENT", Status: ha.Pass, Subject: "node2", Title: "the agent reports", Evidence: "reported 1 s ago"},
	}}
}

func planView() ha.PlanView {
	return ha.PlanView{
		Changes: []ha.Change{
			{Kind: ha.ChangeAdd, Subject: "ct:100", Text: "core: register, state started, failback off", Command: "ha-manager add ct:100 --state started --failback 0"},
			{Kind: ha.ChangeChange, Subject: "vm:101", Text: "media: failback on -> off", Command: "ha-manager set vm:101 --failback 0"},
			{Kind: ha.ChangeRemove, Subject: "vm:140", Text: "old: no longer ha: true", Command: "ha-manager remove vm:140 --purge 0"},
			{Kind: ha.ChangeUnchanged, Subject: "vm:102", Text: "photos"},
			{Kind: ha.ChangeForeign, Subject: "keep-apart", Text: "made by others, left alone"},
		},
		Waits: []ha.Wait{{Subject: "wiki", Reason: `no guest is called "wiki"`, Blocked: true, Fix: "create the guest, or name its VMID in .psw/converge/state.yml"}},
	}
}

func journal() []ha.Event {
	return []ha.Event{
		{Seq: 41, At: at("14:00:00"), Type: ha.EventRequested, Node: "node1", Maintenance: "m-0001", Text: "anna asked for maintenance of node1: replace a fan"},
		{Seq: 42, At: at("14:00:10"), Type: ha.EventDo, SID: media, Maintenance: "m-0001", Text: "migrate vm:101 live from node1 to node2"},
		{Seq: 43, At: at("14:01:05"), Type: ha.EventFailed, SID: media, Maintenance: "m-0001", Text: "migrate vm:101: migration aborted: no route to host"},
		{Seq: 44, At: at("14:02:20"), Type: ha.EventSafe, Node: "node1", Maintenance: "m-0001", Text: "node1 is safe to power off"},
	}
}

// clusterFacts are everything known of the cluster at home: core and media run on node1,
// photos on node2, the router, which nobody protects, on node2 as well. There is room for
// the loss of any node.
func clusterFacts() ha.Snapshot {
	now := at("14:02:11")
	s := ha.Snapshot{At: now, Policy: ha.Policy{Project: "home"}}
	i := &s.Inventory
	i.At, i.Version = now, "9.2.11"
	i.Cluster = ha.Cluster{Name: "home", Quorate: true, Votes: 3, Expected: 3}
	i.Options = ha.Options{ShutdownPolicy: "migrate", MaxWorkers: 4, Scheduler: "basic"}
	i.HA = ha.HAStatus{Master: "node2", MasterAt: now, Quorate: true, Armed: "armed"}
	for k, n := range []ha.NodeName{"node1", "node2", "node3"} {
		i.Nodes = append(i.Nodes, ha.Node{Name: n, ID: k + 1, Online: true, CPUs: 16, MemoryMax: 64 * gib, MemoryUsed: 8 * gib, Uptime: time.Hour})
		i.HA.Nodes = append(i.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline, LRMState: "active", LRMMode: "active", LRMAt: now})
		s.Reports = append(s.Reports, clusterReport(n, k+1, now))
	}
	for _, g := range []struct {
		sid    ha.SID
		name   string
		node   ha.NodeName
		memory int64
		ha     bool
	}{{core, "core", "node1", 40 * gib, true}, {media, "media", "node1", 8 * gib, true}, {photos, "photos", "node2", 8 * gib, true}, {router, "router", "node2", 512 * mib, false}} {
		i.Guests = append(i.Guests, ha.Guest{SID: g.sid, Name: g.name, Node: g.node, Status: ha.GuestRunning, CPUs: 2, MemoryMax: g.memory, MemoryUsed: g.memory / 4, Uptime: time.Hour})
		if g.ha {
			i.Resources = append(i.Resources, ha.Resource{SID: g.sid, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1})
			i.HA.Services = append(i.HA.Services, ha.HAService{SID: g.sid, Node: g.node, State: ha.ServiceStarted, Running: true})
		}
		for k := range s.Reports {
			if r := &s.Reports[k]; r.Node == g.node {
				r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: g.sid, Name: g.name, Storages: []string{"psw"}})
			}
		}
	}
	i.Storages = []ha.Storage{{Name: "psw", Type: "nfs", Shared: true, Path: "/mnt/pve/psw", Server: "nas", Export: "/mnt/pool/psw",
		On: []ha.StorageOn{{Node: "node1", Available: true}, {Node: "node2", Available: true}, {Node: "node3", Available: true}}}}
	return s
}

// clusterReport is what a node's agent says of the single corosync link.
func clusterReport(node ha.NodeName, id int, now time.Time) ha.Report {
	r := ha.Report{Node: node, Taken: now, Received: now,
		Corosync: ha.Corosync{Running: true, NodeID: id, Quorate: true, Votes: 3, Expected: 3, Quorum: 2, Members: []int{1, 2, 3}}}
	for peer := 1; peer <= 3; peer++ {
		if peer != id {
			r.Corosync.Links = append(r.Corosync.Links, ha.Link{PeerID: peer, Enabled: true, Connected: true})
		}
	}
	return r
}

// heavyFacts are those of a house where photos fills node3, and core may run nowhere but
// there and on node1.
func heavyFacts() ha.Snapshot {
	s := clusterFacts()
	s.Inventory.Guests[2].MemoryMax = 56 * gib
	s.Inventory.Guests[2].Node, s.Inventory.HA.Services[2].Node = "node3", "node3"
	s.Inventory.Rules = []ha.Rule{{ID: "core-nodes", Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{core},
		Nodes: []ha.RuleNode{{Node: "node1", Priority: 2}, {Node: "node3", Priority: 1}}}}
	return s
}

// unregisteredFacts are those of a project that protects the router, which nobody has
// registered yet.
func unregisteredFacts() ha.Snapshot {
	s := clusterFacts()
	s.Policy.Targets = []ha.Target{{Name: "router", Type: ha.TargetVM, Node: "node2", HA: true}}
	return s
}

// pinnedFacts are those of a house where core may run on node1 only.
func pinnedFacts() ha.Snapshot {
	s := clusterFacts()
	s.Inventory.Rules = []ha.Rule{{ID: "core-here", Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{core}, Nodes: []ha.RuleNode{{Node: "node1"}}}}
	return s
}
