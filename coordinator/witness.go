package coordinator

import (
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Facts about what was seen to happen, which nothing takes back.
const (
	factLost     = "lost/"         // NODE: when it last left the cluster
	factFence    = "seen/fence"    // the node that was fenced last, and when
	factFailover = "seen/failover" // SID/FROM/TO of the last failover, and when
)

// failoverMax is how long after the loss of its node a guest's start elsewhere is put down to
// that: fencing takes 2 to 3 minutes, a full queue or a slow storage some more.
const failoverMax = 15 * time.Minute

// failover notes that an HA guest runs on another node than before, if the one before was
// lost: it is gone, the HA manager has not taken it back, or it has booted since.
func (n *sighting) failover(sid ha.SID, from, to ha.NodeName) {
	if from == "" || from == to {
		return
	}
	if _, registered := n.s.Inventory.Resource(sid); !registered {
		return
	}
	if _, lost := n.lost(from); lost {
		n.changes[factFailover] = dated(strings.Join([]string{sid.String(), string(from), string(to)}, "/"), n.s.At)
	}
}

// lost reports whether a node left the cluster lately and nothing that ran there then can
// still run there.
func (n *sighting) lost(node ha.NodeName) (at time.Time, ok bool) {
	key := factLost + string(node)
	_, at, known := n.book.dated(key)
	if now, just := n.changes[key]; just { // it was lost before, and is lost again
		_, at, known = splitDated(now)
	}
	if !known || n.s.At.Sub(at) > failoverMax {
		return at, false
	}
	if there, member := n.s.Inventory.Node(node); !member || !there.Online {
		return at, true
	}
	for _, h := range n.s.Inventory.HA.Nodes {
		if h.Name == node && h.State != "" && h.State != ha.NodeOnline {
			return at, true
		}
	}
	r, fresh := n.s.FreshReport(node)
	return at, !fresh || r.System.Uptime > 0 && r.System.Uptime < n.s.At.Sub(at)
}

// witnessed is what was seen to happen.
func (b *factBook) witnessed() (w ha.Witnessed) {
	if node, at, ok := b.dated(factFence); ok {
		w.Fence = ha.FenceSeen{Node: ha.NodeName(node), At: at}
	}
	word, at, ok := b.dated(factFailover)
	if parts := strings.Split(word, "/"); ok && len(parts) == 3 {
		sid, err := ha.ParseSID(parts[0])
		if err != nil {
			return w
		}
		w.Failover = ha.FailoverSeen{SID: sid, From: ha.NodeName(parts[1]), To: ha.NodeName(parts[2]), At: at}
		if _, lost, known := b.dated(factLost + parts[1]); known && lost.Before(at) && at.Sub(lost) <= failoverMax {
			w.Failover.Lost = lost
		}
	}
	return w
}
