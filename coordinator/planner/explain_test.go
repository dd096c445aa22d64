package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// explained is a cluster of three nodes with 16 GiB, in which media (vm:101, 8 GiB) runs
// where it should.
func explained() ha.Snapshot {
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	sid := ha.MustSID("vm:101")
	s := ha.Snapshot{At: now, Policy: ha.Policy{Project: "home", Targets: []ha.Target{{Name: "media", Type: ha.TargetVM, Node: "node1", HA: true}}}}
	inv := &s.Inventory
	inv.At, inv.Cluster = now, ha.Cluster{Name: "home", Quorate: true, Votes: 3, Expected: 3}
	inv.HA = ha.HAStatus{Master: "node1", MasterAt: now, Quorate: true, Armed: "armed", Services: []ha.HAService{{SID: sid, Node: "node1", State: ha.ServiceStarted, Running: true}}}
	inv.Guests = []ha.Guest{{SID: sid, Name: "media", Node: "node1", Status: ha.GuestRunning, MemoryMax: 8 << 30, MemoryUsed: 2 << 30}}
	inv.Resources = []ha.Resource{{SID: sid, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1}}
	for _, n := range []ha.NodeName{"node1", "node2", "node3"} {
		inv.Nodes = append(inv.Nodes, ha.Node{Name: n, Online: true, MemoryMax: 16 << 30, MemoryUsed: 4 << 30})
		inv.HA.Nodes = append(inv.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline})
		s.Reports = append(s.Reports, ha.Report{Node: n, Received: now, HA: ha.LocalHA{LRMRunning: true}})
	}
	s.Reports[0].Running = []ha.LocalGuest{{SID: sid, PID: 4711}}
	return s
}

// move has media on another node, in a state of the HA manager's.
func move(s *ha.Snapshot, node ha.NodeName, state string, running bool) {
	s.Inventory.Guests[0].Node, s.Inventory.HA.Services[0].Node, s.Inventory.HA.Services[0].State = node, node, state
	if !running {
		s.Inventory.Guests[0].Status = ha.GuestStopped
	}
	for k := range s.Reports {
		s.Reports[k].Running = nil
		if running && s.Reports[k].Node == node {
			s.Reports[k].Running = []ha.LocalGuest{{SID: s.Inventory.Guests[0].SID, PID: 4712}}
		}
	}
}

// Each trouble is named by its cause, with the command that looks further or helps.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ha.Snapshot)
		reason string // in the reasons; empty: all is well
		next   string // among the commands
	}{
		{"all is well", func(*ha.Snapshot) {}, "", ""},
		{"not registered", func(s *ha.Snapshot) { s.Inventory.Resources, s.Inventory.HA.Services = nil, nil },
			"it is not registered with the HA manager: nothing starts it after a failure", "psw ha apply"},
		{"ignored", func(s *ha.Snapshot) { s.Inventory.Resources[0].State = ha.RequestIgnored }, "requested ignored", "ha-manager set vm:101 --state started"},
		{"asked to stop", func(s *ha.Snapshot) {
			s.Inventory.Resources[0].State = ha.RequestStopped
			move(s, "node1", ha.ServiceStopped, false)
		}, "somebody asked the HA manager to keep it stopped", "ha-manager set vm:101 --state started"},
		{"in error", func(s *ha.Snapshot) {
			move(s, "node2", ha.ServiceError, false)
			s.Inventory.HA.Services[0].FailedNodes = []ha.NodeName{"node2", "node3"}
		}, "its start failed on node2, node3", "psw ha recover media"},
		{"a start that failed", func(s *ha.Snapshot) {
			move(s, "node2", ha.ServiceError, false)
			s.Reports[1].HA.Failed = []ha.LRMResult{{SID: ha.MustSID("vm:101"), State: "started", ExitCode: 1,
				Log: []string{"2026-11-28T05:59:00+00:00 node2 pve-ha-lrm[706]: starting service vm:101", "2026-11-28T05:59:02+00:00 node2 pve-ha-lrm[706]: unable to start service vm:101"}}}
		}, "to have it started, ended with 1; it wrote: unable to start service vm:101", "psw ha recover media"},
		{"being fenced", func(s *ha.Snapshot) {
			s.Inventory.Nodes[0].Online, s.Reports = false, s.Reports[1:]
			s.Inventory.HA.Services[0].State, s.Inventory.HA.Nodes[0].State = ha.ServiceFence, ha.NodeFence
		}, "it is being fenced", "psw ha events --follow"},
		{"no room anywhere", func(s *ha.Snapshot) {
			move(s, "node1", ha.ServiceRecovery, false)
			s.Inventory.Nodes[0].Online, s.Reports = false, s.Reports[1:]
			for k := range s.Inventory.Nodes {
				s.Inventory.Nodes[k].MemoryMax = 6 << 30
			}
		}, "node2: needs 8.0 GiB of assigned memory, 5.0 GiB is free; node3: needs 8.0 GiB", "ha-manager status"},
		{"no node allowed", func(s *ha.Snapshot) {
			move(s, "node1", ha.ServiceRecovery, false)
			s.Inventory.Nodes[0].Online, s.Reports = false, s.Reports[1:]
			s.Inventory.Rules = []ha.Rule{{ID: "here", Type: ha.NodeAffinity, Strict: true, Resources: []ha.SID{ha.MustSID("vm:101")}, Nodes: []ha.RuleNode{{Node: "node1"}}}}
		}, "node2: rule here allows", ""},
		{"frozen", func(s *ha.Snapshot) { s.Inventory.HA.Services[0].State = ha.ServiceFreeze }, "the LRM of node1 is restarting", "systemctl status pve-ha-lrm"},
		{"on its way", func(s *ha.Snapshot) {
			s.Inventory.HA.Services[0].State, s.Inventory.HA.Services[0].Target = ha.ServiceMigrate, "node2"
		}, "on its way from node1 to node2", ""},
		{"a queued command", func(s *ha.Snapshot) { s.Inventory.HA.Services[0].Command = "migrate node3" }, "a command waits to be carried out: migrate node3", ""},
		{"disarmed", func(s *ha.Snapshot) { s.Inventory.HA.Armed = "disarmed" }, "the HA stack is disarmed", "ha-manager crm-command arm-ha"},
		{"no master", func(s *ha.Snapshot) { s.Inventory.HA.Master = "" }, "no CRM leads", "systemctl status pve-ha-crm"},
		{"no quorum", func(s *ha.Snapshot) { s.Inventory.Cluster.Quorate = false }, "not quorate", ""},
		{"after a failure", func(s *ha.Snapshot) { move(s, "node2", ha.ServiceStarted, true) },
			"its preferred node could take it: a target that was moved by a failure or by hand does not come back by itself", "psw ha rebalance"},
		{"its node is in maintenance", func(s *ha.Snapshot) {
			move(s, "node2", ha.ServiceStarted, true)
			s.Maintenances = []ha.Maintenance{{ID: "m", Node: "node1", Phase: ha.Drained}}
		}, "its preferred node is in maintenance (drained)", "psw maintenance end node1"},
		{"its node is full", func(s *ha.Snapshot) {
			move(s, "node2", ha.ServiceStarted, true)
			s.Inventory.Nodes[0].MemoryMax = 4 << 30
		}, "its preferred node cannot take it now: needs 8.0 GiB", ""},
		{"locked", func(s *ha.Snapshot) {
			s.Reports[0].GuestConfigs = []ha.GuestConfig{{SID: ha.MustSID("vm:101"), Lock: "backup"}}
		}, "locked (backup)", "qm unlock 101"},
		{"its storage is away", func(s *ha.Snapshot) {
			s.Reports[0].GuestConfigs = []ha.GuestConfig{{SID: ha.MustSID("vm:101"), Storages: []string{"psw"}}}
			s.Inventory.Storages = []ha.Storage{{Name: "psw", Type: "dir"}}
		}, "storage psw is not active there", ""},
		{"its node's LRM is dead", func(s *ha.Snapshot) { s.Reports[0].HA.LRMRunning = false }, "pve-ha-lrm does not run there", "systemctl status pve-ha-lrm"},
		{"its node's agent is silent", func(s *ha.Snapshot) { s.Reports = s.Reports[1:] }, "Proxmox's word only", ""},
		{"a task failed", func(s *ha.Snapshot) {
			move(s, "node1", ha.ServiceRequestStart, false)
			s.Inventory.Tasks = []ha.Task{{ID: "101", Type: "qmstart", Node: "node1", Ended: s.At, Status: "no such bridge"}}
		}, "said: no such bridge", "journalctl -u pve-ha-lrm -n 50 -o short-iso --no-pager"},
		{"no guest of that name", func(s *ha.Snapshot) { s.Inventory.Guests = nil }, `no guest is called "media"`, "psw ha status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := explained()
			c.change(&s)
			e, err := Explain(s, "media")
			if err != nil {
				t.Fatal(err)
			}
			if e.Well != (c.reason == "") {
				t.Errorf("well is %v: %+v", e.Well, e.Reasons)
			}
			if c.reason != "" && !slices.ContainsFunc(e.Reasons, func(r ha.Reason) bool { return strings.Contains(r.Text, c.reason) }) {
				t.Errorf("no reason says %q:\n%+v", c.reason, e.Reasons)
			}
			if c.next != "" && !slices.ContainsFunc(e.Next, func(h ha.Hint) bool { return h.Command == c.next }) {
				t.Errorf("%q is not advised:\n%+v", c.next, e.Next)
			}
			if e.Summary == "" {
				t.Error("it has no summary")
			}
		})
	}
	if _, err := Explain(explained(), "wiki"); ha.KindOf(err) != ha.NotFound || !strings.Contains(err.Error(), "it declares media") {
		t.Errorf("a target that is not declared: %v", err)
	}
}
