package planner

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Aside is what an operation needs to know that is in no snapshot.
type Aside struct {
	// Unready are the checks that forbid that targets are put under HA.
	Unready []ha.Blocker
	// Accepted are those that the operator accepts by their code.
	Accepted []ha.Blocker
	// Hook: the coordinator is configured with a command that deploys the core apps.
	Hook bool
	// HookRuns: it is running now. What was asked for and neither runs nor ended was cut off.
	HookRuns bool
	// HookBusy: it runs for an earlier operation, which ended without it.
	HookBusy bool
}

// Operate is one step of an operation: from what is seen, what is known beside that, and the
// operation as it is stored, the operation as it is to be stored before anything is done, and
// what to do now. It is pure. An operation that has ended is returned as it is.
func Operate(o ha.Operation, s ha.Snapshot, a Aside) (ha.Operation, ha.Plan) {
	o = o.Clone()
	if o.Closed() {
		return o, ha.Plan{}
	}
	s.Policy = o.Policy
	w := newWorld(s)
	switch o.Kind {
	case ha.OperationApply:
		return w.orCancel(o, w.apply)
	case ha.OperationRebalance:
		return w.orCancel(o, w.rebalance)
	case ha.OperationRecover:
		if o.Cancelling {
			return w.cancelRecover(o)
		}
		return w.recover(o)
	case ha.OperationMove:
		if o.Cancelling {
			return w.cancelMove(o)
		}
		return w.move(o)
	case ha.OperationCluster:
		return w.formCluster(o)
	case ha.OperationBootstrap:
		return w.bootstrap(o, a)
	case ha.OperationRemoveNode:
		return w.removeNode(o)
	default:
		panic(fmt.Sprintf("unknown kind of operation %q", o.Kind))
	}
}

// orCancel is a step of an operation that may be given up between any two deeds. Moves that
// are under way land first.
func (w *world) orCancel(o ha.Operation, step func(ha.Operation) (ha.Operation, ha.Plan)) (ha.Operation, ha.Plan) {
	if !o.Cancelling {
		return step(o)
	}
	var p ha.Plan
	w.settleMoves(o.Moves)
	for _, mv := range o.Moves {
		if mv.Open() {
			p.Wait(mv.SID.String(), "%s", moving(mv))
		}
	}
	w.tellMoves(&o, p)
	if len(p.Waits) == 0 {
		w.closeOperation(&o, ha.OperationCancelled, "given up; what was done stays")
	}
	return o, p
}
