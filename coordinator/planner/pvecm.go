package planner

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// pvecmBegins is when pvecm has begun on a node, if it ever will: an order is not begun later
// than its time limit, a minute at the most, and a report comes every few seconds.
const pvecmBegins = 90 * time.Second

// joinEnded reports whether the join that a step asked for is over, in whatever way. Whoever
// ordered it may have been started anew meanwhile, and so may the agent: then nobody answers,
// and what counts is that pvecm does not run any more.
func (w *world) joinEnded(st ha.OperationStep, n ha.NodeName) bool {
	r, fresh := w.FreshReport(n)
	in := fresh && r.Membership.Pvecm == ha.PvecmIdle && r.Membership.Quorate
	return in || st.Answered.After(st.Asked) || w.joinDied(st, n)
}

// joinDied reports whether a join is over without its agent saying that it went well: if the
// node is not in the cluster now, nothing will bring it there.
func (w *world) joinDied(st ha.OperationStep, n ha.NodeName) bool {
	r, fresh := w.FreshReport(n)
	return st.Note != "" || w.At.Sub(st.Asked) >= joinPatience || fresh && pvecmGone(st, r)
}

// joinLost reports whether a join never came about and nobody will say so: the order did not
// reach its agent before one of the two was started anew. It may be asked for again.
func (w *world) joinLost(st ha.OperationStep, n ha.NodeName) bool {
	_, listed := w.Inventory.Node(n)
	r, fresh := w.FreshReport(n)
	return fresh && !listed && !r.Membership.Clustered && pvecmGone(st, r)
}

// pvecmGone reports whether a report shows that the pvecm a step asked for runs no more: it
// came when that had begun, and it does not run.
func pvecmGone(st ha.OperationStep, r ha.Report) bool {
	return r.Membership.Pvecm == ha.PvecmIdle && r.Received.Sub(st.Asked) > pvecmBegins+r.Took
}
