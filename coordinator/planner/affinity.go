package planner

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// strictly says which strict rule keeps the guest off node, at any time; "" if none does.
func (w *world) strictly(g ha.Guest, node ha.NodeName) string {
	if _, managed := w.resource(g.SID); managed {
		for _, r := range w.rulesOf[g.SID] {
			if r.Type == ha.NodeAffinity && r.Strict && !ruleHas(r, node) {
				return fmt.Sprintf("rule %s allows %s only", r.ID, r.NodesText())
			}
		}
	}
	if t, ok := w.targetOf[g.SID]; ok && t.Options.Strict && !slices.Contains(t.Options.Nodes, node) {
		return "network.yml allows " + joinNodes(t.Options.Nodes) + " only"
	}
	return ""
}

// bouncesFrom says why the HA manager would bring g straight back from node to the node
// it leaves, which stays online until the latch falls; "" if it would not.
func (w *world) bouncesFrom(g ha.Guest, from, node ha.NodeName) string {
	if res, managed := w.resource(g.SID); !managed || !res.Failback || w.haState(from) != ha.NodeOnline {
		return ""
	}
	for _, r := range w.rulesOf[g.SID] {
		if r.Type == ha.NodeAffinity && ruleClass(r, node) < ruleClass(r, from) {
			return fmt.Sprintf("rule %s would bring it straight back (failback)", r.ID)
		}
	}
	return ""
}

// priority is the HA rules' and network.yml's preference for a node; higher is better.
func (w *world) priority(g ha.Guest, node ha.NodeName) int {
	for _, r := range w.rulesOf[g.SID] {
		if r.Type == ha.NodeAffinity {
			return ruleClass(r, node)
		}
	}
	if t, ok := w.targetOf[g.SID]; ok {
		for _, p := range t.Options.Priority {
			if p.Node == node {
				return p.Priority
			}
		}
		if len(t.Options.Nodes) > 0 && !slices.Contains(t.Options.Nodes, node) {
			return -1
		}
	}
	return 0
}

// ruleClass is the node's priority under a node-affinity rule; nodes a non-strict rule
// does not name have -1 (pve-ha-manager 5.2.0).
func ruleClass(r ha.Rule, node ha.NodeName) int {
	for _, n := range r.Nodes {
		if n.Node == node {
			return n.Priority
		}
	}
	return -1
}

func ruleHas(r ha.Rule, node ha.NodeName) bool {
	return slices.ContainsFunc(r.Nodes, func(n ha.RuleNode) bool { return n.Node == node })
}

// peers are the other guests of sid's resource-affinity rules of one direction, sorted.
func (w *world) peers(sid ha.SID, a ha.Affinity) []ha.SID {
	if _, managed := w.resource(sid); !managed {
		return nil
	}
	var out []ha.SID
	for _, r := range w.rulesOf[sid] {
		if r.Type != ha.ResourceAffinity || r.Affinity != a {
			continue
		}
		for _, p := range r.Resources {
			if _, managed := w.resource(p); managed && p != sid && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, ha.SID.Compare)
	return out
}

// together returns sid's positive-affinity set, itself included, sorted: everything
// reachable over positive rules.
func (w *world) together(sid ha.SID) []ha.SID {
	set := []ha.SID{sid}
	for k := 0; k < len(set); k++ {
		for _, p := range w.peers(set[k], ha.Positive) {
			if !slices.Contains(set, p) {
				set = append(set, p)
			}
		}
	}
	slices.SortFunc(set, ha.SID.Compare)
	return set
}
