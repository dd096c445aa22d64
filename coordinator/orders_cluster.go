package coordinator

import (
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// orderedNode is the node an order is about.
func orderedNode(d ha.OrderDeed) ha.NodeName {
	switch d := d.(type) {
	case ha.SetNodeMaintenance:
		return d.Node
	case ha.PowerStatus:
		return d.Node
	case ha.CutPower:
		return d.Node
	case ha.ProveStorage:
		return "" // whoever tries it is about no node
	case ha.CreateCluster:
		return d.Node
	case ha.AuthorizeJoin:
		return d.Node
	case ha.JoinCluster:
		return d.Node
	case ha.RevokeJoin:
		return d.Node
	case ha.SetupQDevice:
		return d.On
	case ha.RemoveQDevice:
		return d.On
	case ha.RemoveClusterNode:
		return d.Node
	default:
		panic(fmt.Sprintf("unknown order %T", d))
	}
}

// agentsFor lists the nodes whose agents may carry out a deed, best first. What a node does
// to itself only its own agent can; what is done to the cluster any member's can.
func (c *Coordinator) agentsFor(deed ha.OrderDeed, s ha.Snapshot) []ha.NodeName {
	itself := func(n ha.NodeName) []ha.NodeName {
		return slices.DeleteFunc(c.obedient(n, s), func(x ha.NodeName) bool { return x != n })
	}
	member := func(on, but ha.NodeName) []ha.NodeName {
		return slices.DeleteFunc(c.obedient(on, s), func(x ha.NodeName) bool {
			r, _ := s.Report(x)
			return x == but || !r.Membership.Clustered || !r.Membership.Quorate
		})
	}
	switch deed := deed.(type) {
	case ha.SetNodeMaintenance:
		return c.obedient(deed.Node, s)
	case ha.CreateCluster:
		return itself(deed.Node)
	case ha.JoinCluster:
		return itself(deed.Node)
	case ha.AuthorizeJoin:
		return member(deed.On, deed.Node)
	case ha.RevokeJoin:
		return member(deed.On, deed.Node)
	case ha.SetupQDevice:
		return member(deed.On, "")
	case ha.RemoveQDevice:
		return member(deed.On, "")
	case ha.RemoveClusterNode:
		return member(deed.On, deed.Node)
	case ha.ProveStorage, ha.PowerStatus, ha.CutPower:
		return nil // given to agents by name, see prove.go
	default:
		panic(fmt.Sprintf("unknown order %T", deed))
	}
}

// answerLimit is how long after an order's time limit its answer is still waited for: a
// little longer than an agent gives the command.
func answerLimit(deed ha.OrderDeed) time.Duration {
	switch deed.(type) {
	case ha.JoinCluster:
		return 5*time.Minute + answerSlack
	case ha.SetupQDevice, ha.RemoveQDevice, ha.CreateCluster, ha.RemoveClusterNode:
		return 3*time.Minute + answerSlack
	case ha.CutPower: // it asks the BMC before, and looks at the power after
		return time.Minute + answerSlack
	case ha.SetNodeMaintenance, ha.AuthorizeJoin, ha.RevokeJoin, ha.ProveStorage, ha.PowerStatus:
		return answerSlack
	default:
		panic(fmt.Sprintf("unknown order %T", deed))
	}
}

// orderedStepDone notes that an agent carried out what a step of an operation was to do.
// Whether it worked is for the planner to see.
func (c *Coordinator) orderedStepDone(p pendingOrder) error {
	return c.noteStep(c.storedOperation(p.operation), time.Now(), nil, func(o *ha.Operation) {
		for k := range o.Steps {
			// The world may have shown the step done before its agent said so.
			if st := &o.Steps[k]; st.Key == p.step && (st.State == ha.StepDoing || st.Ref == p.order.ID) {
				st.Answered = time.Now()
			}
		}
	})
}
