package planner

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// PreviewOperation is an operation as it would go if it began now, and what forbids it.
func PreviewOperation(r ha.OperationRequest, s ha.Snapshot, a Aside) ha.OperationPreview {
	if r.Policy != nil {
		s.Policy = *r.Policy
	}
	o := ha.Operation{Kind: r.Kind, Node: r.Node, Target: r.Target, Options: r.Options, Policy: s.Policy, RequestedAt: s.At}
	p := ha.OperationPreview{Kind: r.Kind}
	moves := func(v ha.Preview) {
		p.Blockers, p.Notices = v.Blockers, v.Notices
		p.Moves = &v
	}
	switch r.Kind {
	case ha.OperationApply:
		v, blockers := PreviewApply(s)
		p.Plan, p.Blockers, p.Notices = &v, blockers, v.Notices
	case ha.OperationRebalance:
		moves(PreviewRebalance(o, s))
	case ha.OperationRecover:
		moves(PreviewRecover(o, s))
	case ha.OperationMove:
		moves(PreviewMove(o, s))
	case ha.OperationCluster:
		return PreviewCluster(o, s)
	case ha.OperationBootstrap:
		return PreviewBootstrap(o, s, a)
	case ha.OperationRemoveNode:
		return PreviewRemove(o, s)
	default:
		p.Blockers = unknownOperation(r.Kind)
	}
	return p
}

func unknownOperation(k ha.OperationKind) []ha.Blocker {
	return []ha.Blocker{{Code: "OPERATION_UNKNOWN", Subject: "coordinator", Reason: fmt.Sprintf("it does not know how to %s", k.Command()),
		Fix: "update it: `psw-coordinator version`"}}
}
