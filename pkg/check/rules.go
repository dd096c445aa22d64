package check

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on HA rules.
const (
	RuleHasErrors           ha.Code = "RULE_HAS_ERRORS"
	TargetPreferenceMissing ha.Code = "TARGET_PREFERENCE_MISSING"
	TargetNotConfined       ha.Code = "TARGET_NOT_CONFINED"
)

var ruleChecks = []Check{
	{Code: RuleHasErrors, Title: "the HA manager honours every rule", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: inventoryCauses, parts: []string{partRules, partGuests}, cluster: ruleHasErrors},
	{Code: TargetPreferenceMissing, Title: "a rule prefers the target's node", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: registeredCauses, parts: []string{partGuests, partRules}, target: targetPreferenceMissing},
	{Code: TargetNotConfined, Title: "a rule keeps a strict target on its nodes", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: registeredCauses, parts: []string{partGuests, partRules}, target: targetNotConfined},
}

func ruleHasErrors(w *world) []verdict {
	var list []verdict
	for _, r := range w.s.Inventory.Rules {
		if len(r.Errors) == 0 || r.Disabled {
			continue
		}
		v := broken(r.ID, fmt.Sprintf("the HA manager ignores it: %s; it would bind %s", joined(r.Errors), joined(r.Resources)),
			fmt.Sprintf("ha-manager rules config; correct or remove it: ha-manager rules remove %s", r.ID))
		v.targets = w.of(r.Resources...)
		list = append(list, v)
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "%s", number(len(w.s.Inventory.Rules), "rule"))}
	}
	return list
}

// best are the nodes with the highest priority: the highest number wins.
func best(nodes []ha.RuleNode) []ha.NodeName {
	top := nodes[0].Priority
	for _, n := range nodes {
		top = max(top, n.Priority)
	}
	var list []ha.NodeName
	for _, n := range nodes {
		if n.Priority == top {
			list = append(list, n.Node)
		}
	}
	return list
}

// preferred are the nodes network.yml wants a target on: by declared priority, else its node.
func preferred(m managed) []ha.NodeName {
	if len(m.Options.Priority) > 0 {
		return best(m.Options.Priority)
	}
	return []ha.NodeName{m.Node}
}

func targetPreferenceMissing(w *world, m managed) verdict {
	if m.err != nil {
		return unknown("", "%v", m.err)
	}
	if m.Node == "" {
		return skip("", "it has no preferred node")
	}
	r, ok := w.affinities[m.guest.SID]
	if !ok {
		return broken("", fmt.Sprintf("no HA rule prefers %s for %s: the HA manager starts it anywhere", m.Node, m.guest.SID), planRemedy)
	}
	top, want := best(r.Nodes), preferred(m)
	if !slices.ContainsFunc(want, func(n ha.NodeName) bool { return slices.Contains(top, n) }) {
		return broken("", fmt.Sprintf("rule %s prefers %s, network.yml %s", r.ID, joined(top), joined(want)), planRemedy)
	}
	return pass("", "rule %s: %s", r.ID, r.NodesText())
}

func targetNotConfined(w *world, m managed) verdict {
	if m.err != nil {
		return unknown("", "%v", m.err)
	}
	if !m.Options.Strict || len(m.Options.Nodes) == 0 {
		return skip("", "it may run on any node")
	}
	r, ok := w.affinities[m.guest.SID]
	if !ok || !r.Strict {
		return broken("", fmt.Sprintf("network.yml keeps it on %s, but no strict rule does: %s may be started where it does not work", joined(m.Options.Nodes), m.guest.SID), planRemedy)
	}
	for _, n := range r.Nodes {
		if !slices.Contains(m.Options.Nodes, n.Node) {
			return broken("", fmt.Sprintf("rule %s also allows %s", r.ID, n.Node), planRemedy)
		}
	}
	return pass("", "rule %s: %s, strict", r.ID, r.NodesText())
}
