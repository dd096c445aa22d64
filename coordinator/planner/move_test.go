package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A guest that a maintenance takes away or brings home is not moved by anybody else, else
// the two would move it in turn.
func TestAMoveLeavesToAMaintenanceWhatItMoves(t *testing.T) {
	for name, tt := range map[string]struct {
		m       ha.Maintenance
		refused bool
	}{
		"it comes home":    {ha.Maintenance{Node: "node1", Phase: ha.Restoring}, true},
		"it is taken away": {ha.Maintenance{Node: "node2", Phase: ha.Draining}, true},
		"it is elsewhere":  {ha.Maintenance{Node: "node3", Phase: ha.Restoring}, false},
		"it empties it":    {ha.Maintenance{Node: "node3", Phase: ha.Draining}, true},
		"it has ended":     {ha.Maintenance{Node: "node1", Phase: ha.Ended}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := withTarget(stored(), true)
			s.Inventory.Guests[0].Node, s.Maintenances = "node2", []ha.Maintenance{tt.m}
			p := PreviewOperation(ha.OperationRequest{Kind: ha.OperationMove, Target: "media", Options: ha.OperationOptions{To: "node3"}}, s, Aside{})
			refused := slices.ContainsFunc(p.Blockers, func(b ha.Blocker) bool {
				return b.Code == codeOtherMaintenance && strings.Contains(b.Reason, "moves vm:101 (media) itself") && b.Fix != ""
			})
			if refused != tt.refused {
				t.Errorf("refused %v, want %v: %+v", refused, tt.refused, p.Blockers)
			}
		})
	}
}
