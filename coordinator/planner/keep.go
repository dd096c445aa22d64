package planner

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Keep says whether what is registered has drifted from what was applied and is to be put
// right by itself: then it returns the operation to ask for. Otherwise why says what holds
// it back; it is empty if nothing has drifted or nobody asked to keep it.
//
// It keeps the policy that was applied, not the newest one the coordinator has heard of:
// that an operator drains a node from an edited project is no word to register it.
func Keep(s ha.Snapshot) (o ha.Operation, due bool, why string) {
	kept, keep := ha.Kept(s.Operations)
	if !keep || !s.InventoryFresh() {
		return o, false, ""
	}
	s.Policy = kept.Policy
	w := newWorld(s)
	if u, _ := w.unreadable(); u != "" {
		return o, false, ""
	}
	n := 0
	for _, list := range w.registration().deeds {
		n += len(list)
	}
	switch why := w.keepHeld(); {
	case n == 0:
		return o, false, ""
	case why != "":
		return o, false, why
	}
	return ha.Operation{Kind: ha.OperationApply, Options: ha.OperationOptions{Keep: true, Accept: kept.Options.Accept}, By: ha.Keeper,
		Message: differences(n), Policy: kept.Policy}, true, ""
}

// keepHeld says why drift is not put right now. Whatever moves guests or repairs nodes
// comes first: what looks like drift may be part of it.
func (w *world) keepHeld() string {
	for _, o := range w.Operations {
		if !o.Closed() {
			return fmt.Sprintf("an operation is open (%s)", o.Kind)
		}
	}
	for _, m := range w.Maintenances {
		if !m.Phase.Closed() {
			return fmt.Sprintf("%s is in maintenance", m.Node)
		}
	}
	if g := w.gates(); len(g) > 0 {
		return g[0].Reason
	}
	for _, n := range w.Inventory.Nodes {
		if st := w.haState(n.Name); !n.Online || st != "" && st != ha.NodeOnline {
			return fmt.Sprintf("something is wrong with %s, or it is in maintenance mode", n.Name)
		}
	}
	for _, svc := range w.Inventory.HA.Services {
		if svc.State == ha.ServiceFence || svc.State == ha.ServiceRecovery {
			return fmt.Sprintf("the HA manager is recovering %s", w.label(svc.SID))
		}
	}
	if ha.Contested(w.Operations) {
		return "somebody undoes it again and again: it is left to you"
	}
	return ""
}

func differences(n int) string {
	if n == 1 {
		return "one difference"
	}
	return fmt.Sprintf("%d differences", n)
}
