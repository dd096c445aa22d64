package check_test

import (
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Each node has 32 GiB and keeps 5 % (1.6 GiB) of it. core (8 GiB) is on node1, media
// (4 GiB) on node2, and lab (4 GiB, no HA) on node3.
func TestWhatFitsWhenANodeIsLost(t *testing.T) {
	memory := func(sid string, size int64) func(*ha.Snapshot) {
		return func(s *ha.Snapshot) { setGuest(s, sid, func(g *ha.Guest) { g.MemoryMax = size }) }
	}
	for _, tt := range []struct {
		name   string
		change func(s *ha.Snapshot)
		want   ha.Status
		says   string
	}{
		{"there is room", func(*ha.Snapshot) {}, ha.Pass, "1 HA guest on it fit"},
		{"it just fits", memory("ct:101", 26*gib), ha.Pass, ""},
		{"the reserve is not for guests", memory("ct:101", 27*gib), ha.Warn, "core (ct:101, 27.0 GiB) finds no room: node2 26.4 GiB, node3 26.4 GiB"},
		{"the sum fits, but no node takes it alone", memory("ct:101", 30*gib), ha.Warn, "finds no room"},
		{"guests without HA count", memory("vm:103", 20*gib), ha.Pass, "node2 18.4 GiB"},
		{"guests without HA fill the only other node", func(s *ha.Snapshot) {
			memory("vm:103", 28*gib)(s)
			s.Inventory.Nodes[1].Online = false
		}, ha.Warn, "node3 2.4 GiB"},
		{"a stopped guest without HA does not count", func(s *ha.Snapshot) {
			setGuest(s, "vm:103", func(g *ha.Guest) { g.Status = ha.GuestStopped; g.MemoryMax = 30 * gib })
			s.Inventory.Nodes[1].Online = false
		}, ha.Pass, ""},
		{"a node in maintenance takes nothing", func(s *ha.Snapshot) {
			memory("vm:103", 28*gib)(s)
			s.Inventory.HA.Nodes[1].State = ha.NodeMaintenance
		}, ha.Warn, "finds no room: node3"},
		{"a strict rule leaves one node", func(s *ha.Snapshot) {
			memory("vm:102", 28*gib)(s)
			s.Inventory.Rules[0].Strict = true // node1 and node2 only
		}, ha.Warn, "core (ct:101, 8.0 GiB) finds no room"},
		{"a rule that does not bind restricts nothing", func(s *ha.Snapshot) {
			memory("vm:102", 28*gib)(s)
			s.Inventory.Rules[0].Strict, s.Inventory.Rules[0].Disabled = true, true
		}, ha.Pass, ""},
		{"a resource that is not to run needs no room", func(s *ha.Snapshot) {
			memory("ct:101", 30*gib)(s)
			s.Inventory.Resources[0].State = ha.RequestStopped
		}, ha.Pass, "no HA guest is on it"},
		{"a node whose size nobody tells", func(s *ha.Snapshot) { s.Inventory.Nodes[1].MemoryMax = 0 }, ha.Unknown, "how much memory node2 has"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy()
			tt.change(&s)
			f, _ := find(check.Judge(s, ha.CheckRequest{}), check.CapacitySingleLoss, "node1")
			if f.Status != tt.want || !strings.Contains(f.Evidence, tt.says) {
				t.Errorf("%s: %s; want %s with %q", f.Status, f.Evidence, tt.want, tt.says)
			}
		})
	}
}
