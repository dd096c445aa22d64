package coordinator

import (
	"fmt"
	"testing"

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
