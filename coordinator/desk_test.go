package coordinator

import (
	"fmt"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// In a cluster of 32 each node is asked about 31 BMCs and a dozen storages in one tick,
// before its connection has taken the first of these orders. None may be left out: a node
// that was not asked would be called not connected.
func TestTheDeskHasRoomForAllThatABigClusterAsks(t *testing.T) {
	var d orderDesk
	d.connect("node1")
	for k := range 31 + 12 {
		order := ha.Order{ID: fmt.Sprint(k), Deed: ha.PowerStatus{Node: ha.NodeName(fmt.Sprintf("node%d", k+2))}}
		if _, ok := d.give([]ha.NodeName{"node1"}, pendingOrder{order: order}); !ok {
			t.Fatalf("order %d finds no room, though the agent is connected", k+1)
		}
	}
}

// Whoever gives an order, it is counted, and so is what came to nothing.
func TestTheDeskCountsEveryOrder(t *testing.T) {
	var d orderDesk
	d.connect("node1")
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	for id, p := range map[string]pendingOrder{
		"done": {operation: "o1"}, "refused": {maintenance: "m1"}, "failed": {proof: &proofRef{}}, "silent": {operation: "o1"}, "waiting": {given: now.Add(time.Hour)},
	} {
		p.order = ha.Order{ID: id, Deed: ha.RemoveQDevice{On: "node1"}}
		if _, ok := d.give([]ha.NodeName{"node1"}, p); !ok {
			t.Fatalf("%s finds no room", id)
		}
	}
	for _, r := range []ha.OrderResult{{ID: "done"}, {ID: "refused", Refused: "expired"}, {ID: "failed", Failed: "exit status 1"}} {
		r.Node = "node1"
		if _, err := d.answered(r); err != nil {
			t.Error(err)
		}
	}
	if late := d.late(now); len(late) != 1 || late[0].order.ID != "silent" {
		t.Errorf("late are %v", late)
	}
	if pending, given, failed := d.counts(); pending != 1 || given != 5 || failed != 3 {
		t.Errorf("pending %d, given %d, failed %d; want 1, 5, 3", pending, given, failed)
	}
}
