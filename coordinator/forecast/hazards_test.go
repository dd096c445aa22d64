package forecast_test

import (
	"fmt"
	"testing"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// wired is a cluster of three nodes on two switches: corosync's link 0 on sw1, its link 1 on
// sw2, NFS over sw2; on node03 both links are on sw1, by a bond that hangs on sw1 with both
// cables.
func wired() ha.Snapshot {
	s := cluster(3)
	runs(&s, "vm:101", "media", "node01", 4*gib, true)
	runs(&s, "vm:103", "photos", "node03", 4*gib, true)
	s.Inventory.Storages = []ha.Storage{{Name: "psw", Type: "nfs", Server: "10.2.0.50", Shared: true}}
	for k := 1; k <= 3; k++ {
		first, second := fmt.Sprintf("10.1.0.%d", k), fmt.Sprintf("10.2.0.%d", k)
		r := ha.Report{Node: node(k), Received: at, Corosync: ha.Corosync{Running: true, NodeID: k, Quorate: true}}
		r.Interfaces = []ha.Interface{
			{Name: "eno1", Kind: ha.InterfacePhysical, Addresses: []string{first + "/24"}, Physical: []string{"eno1"}},
			{Name: "eno2", Kind: ha.InterfacePhysical, Addresses: []string{second + "/24"}, Physical: []string{"eno2"}},
		}
		host := ha.Host{Name: node(k), Switches: []ha.Port{{Interface: "eno1", Switch: "sw1"}, {Interface: "eno2", Switch: "sw2"}}}
		if k == 3 {
			r.Interfaces = []ha.Interface{{Name: "bond0", Kind: ha.InterfaceBond, Addresses: []string{first + "/24", second + "/24"}, Physical: []string{"eno1", "eno2"}}}
			host.Switches[1].Switch = "sw1"
		}
		for peer := 1; peer <= 3; peer++ {
			if peer != k {
				r.Corosync.Links = append(r.Corosync.Links,
					ha.Link{Number: 0, PeerID: peer, Peer: node(peer), Local: first, Enabled: true, Connected: true},
					ha.Link{Number: 1, PeerID: peer, Peer: node(peer), Local: second, Enabled: true, Connected: true})
			}
		}
		s.Reports = append(s.Reports, r)
		s.Policy.Hosts = append(s.Policy.Hosts, host)
	}
	return s
}

// Every single failure is listed, with what really hangs on it.
func TestHazards(t *testing.T) {
	want := []string{
		"node node01: {Nodes:[node01] NFS:false NFSNodes:[] Links:[] Partition:[]}",
		"node node02: {Nodes:[node02] NFS:false NFSNodes:[] Links:[] Partition:[]}",
		"node node03: {Nodes:[node03] NFS:false NFSNodes:[] Links:[] Partition:[]}",
		"link link 0: {Nodes:[] NFS:false NFSNodes:[] Links:[0] Partition:[]}",
		"link link 1: {Nodes:[] NFS:false NFSNodes:[] Links:[1] Partition:[]}",
		"switch sw1: {Nodes:[] NFS:false NFSNodes:[node03] Links:[] Partition:[[node01 node02] [node03]]}",
		"switch sw2: {Nodes:[] NFS:false NFSNodes:[node01 node02] Links:[] Partition:[]}",
		"nfs 10.2.0.50: {Nodes:[] NFS:true NFSNodes:[] Links:[] Partition:[]}",
	}
	got := forecast.Hazards(wired())
	for k, h := range got {
		text := fmt.Sprintf("%s %s: %+v", h.Kind, h.Name, h.Fault)
		if k >= len(want) || text != want[k] {
			t.Errorf("hazard %d is %s", k, text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d hazards, want %d", len(got), len(want))
	}
}

// The switch that carries both of node03's links takes it along: its watchdog resets it and
// its guest runs elsewhere; the other switch hurts nobody's membership.
func TestASwitchTakesItsNodeAlong(t *testing.T) {
	s := wired()
	for _, h := range forecast.Hazards(s) {
		if h.Kind != forecast.HazardSwitch {
			continue
		}
		p := forecast.Forecast(s, h.Fault)
		for _, n := range p.Nodes {
			if want := h.Name == "sw1" && n.Node == "node03"; n.SelfFences != want {
				t.Errorf("without %s %s self-fences: %v", h.Name, n.Node, n.SelfFences)
			}
		}
		if h.Name == "sw1" {
			if o := target(t, p, "vm:103"); o.Fate != forecast.Restarted || o.To == "node03" {
				t.Errorf("without sw1 photos is %s on %s", o.Fate, o.To)
			}
		}
	}
}

// A node whose cabling is declared but whose interfaces nobody reports is named.
func TestAnUnknownCablingIsNamed(t *testing.T) {
	s := wired()
	s.Reports[1].Interfaces = nil
	for _, h := range forecast.Hazards(s) {
		if h.Kind == forecast.HazardSwitch && h.Note != "what hangs on it is not known of node02" {
			t.Errorf("the note of %s is %q", h.Name, h.Note)
		}
	}
}
