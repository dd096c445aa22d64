package coordinator

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A coordinator that was away while a node was lost finds both at its first look: the node is
// gone, and its guest runs elsewhere. That is a failover, also if the same node was lost once
// before, long ago.
func TestAFailoverFoundAtOnceIsWitnessedEachTime(t *testing.T) {
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	guest := ha.MustSID("vm:101")
	for name, lost := range map[string]string{"lost for the first time": "", "lost once before": dated("lost", now.AddDate(0, -2, 0))} {
		t.Run(name, func(t *testing.T) {
			book := factBook{facts: store.Facts{factNode + "node1": "online", factNode + "node2": "online", factGuest + guest.String(): "node1 running"}}
			book.take(store.Facts{factLost + "node1": lost})
			s := ha.Snapshot{At: now,
				Inventory: ha.Inventory{At: now, Cluster: ha.Cluster{Quorate: true}, Nodes: []ha.Node{{Name: "node1"}, {Name: "node2", Online: true}},
					Guests:    []ha.Guest{{SID: guest, Node: "node2", Status: ha.GuestRunning}},
					Resources: []ha.Resource{{SID: guest, State: ha.RequestStarted}}},
				Reports: []ha.Report{{Node: "node2", Taken: now, Received: now, Running: []ha.LocalGuest{{SID: guest, PID: 7}}}}}
			n := &sighting{s: s, book: &book, changes: make(store.Facts)}
			n.cluster()
			n.guests()
			book.take(n.changes)
			got := book.witnessed().Failover
			if got.SID != guest || got.From != "node1" || got.To != "node2" || !got.At.Equal(now) {
				t.Errorf("witnessed is %+v, want that %s went from node1 to node2 at %s", got, guest, now)
			}
			if !got.Lost.IsZero() {
				t.Errorf("it is said to have been lost at %s, which nobody saw", got.Lost)
			}
		})
	}
}
