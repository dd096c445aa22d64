package pvesim

import "slices"

// The checks an HA rule must pass. A rule that fails one is refused when it is created,
// and ignored, with an entry under errors, when other changes made it fail.

// ruleFaults are the reasons, per rule, why it cannot be followed, in the order of the checks.
type ruleFaults map[string][]string

func (f ruleFaults) add(r *rule, why string) { f[r.id] = append(f[r.id], why) }

// checkRules judges the enabled rules. nodes are those the HA manager knows; before it
// first ran there are none.
func checkRules(all []*rule, nodes []string) ruleFaults {
	f := ruleFaults{}
	var node, resource []*rule
	for _, r := range all {
		switch {
		case r.disabled:
		case r.typ == "node-affinity":
			node = append(node, r)
		default:
			resource = append(resource, r)
		}
	}
	f.onlyOneNodeAffinity(node)
	f.sizes(resource, len(nodes))
	f.contradictions(resource)
	f.priorities(node, resource)
	f.togetherOnNodes(node, resource)
	f.apartOnNodes(node, resource)
	return f
}

func (f ruleFaults) onlyOneNodeAffinity(node []*rule) {
	for _, r := range node {
		for _, o := range node {
			if r == o {
				continue
			}
			for _, sid := range r.resources {
				if slices.Contains(o.resources, sid) {
					f.add(r, "resource '"+sid+"' is already used in another node affinity rule")
				}
			}
		}
	}
}

func (f ruleFaults) sizes(resource []*rule, nodes int) {
	for _, r := range resource {
		if len(r.resources) < 2 {
			f.add(r, "rule is ineffective as there are less than two resources")
		}
	}
	for _, r := range resource {
		if r.affinity == "negative" && len(r.resources) > nodes {
			f.add(r, "rule defines more resources than available nodes")
		}
	}
}

// positiveRuleSets are the merged positive rules, each with the rules it consists of.
func positiveRuleSets(resource []*rule) (sets [][]string, members [][]*rule) {
	sets = positiveSets(resource)
	members = make([][]*rule, len(sets))
	for _, r := range resource {
		if r.affinity != "positive" || len(r.resources) == 0 {
			continue
		}
		if k := slices.IndexFunc(sets, func(set []string) bool { return overlap(set, r.resources) == len(r.resources) }); k >= 0 {
			members[k] = append(members[k], r)
		}
	}
	return sets, members
}

func (f ruleFaults) contradictions(resource []*rule) {
	sets, members := positiveRuleSets(resource)
	for k, set := range sets {
		for _, r := range resource {
			if r.affinity != "negative" || overlap(set, r.resources) < 2 {
				continue
			}
			f.add(r, "rule shares two or more resources with a positive resource affinity rule")
			for _, p := range members[k] {
				f.add(p, "rule shares two or more resources with a negative resource affinity rule")
			}
		}
	}
}

func (f ruleFaults) priorities(node, resource []*rule) {
	for _, r := range resource {
		touched := touching(node, r.resources)
		if !slices.ContainsFunc(touched, severalPriorities) {
			continue
		}
		f.add(r, "resources are in node affinity rules with multiple priorities")
		for _, n := range touched {
			f.add(n, "resources are in a resource affinity rule and cannot be in a node affinity rule with multiple priorities")
		}
	}
}

func (f ruleFaults) togetherOnNodes(node, resource []*rule) {
	sets, members := positiveRuleSets(resource)
	for k, set := range sets {
		touched := touching(node, set)
		if len(touched) < 2 {
			continue
		}
		for _, p := range members[k] {
			f.add(p, "resources are in multiple node affinity rules")
		}
		for _, n := range touched {
			f.add(n, "at least one resource is in a positive resource affinity rule and there are other resources in at least one other node affinity rule already")
		}
	}
}

func (f ruleFaults) apartOnNodes(node, resource []*rule) {
	for _, r := range resource {
		if r.affinity != "negative" {
			continue
		}
		touched := touching(node, r.resources)
		room, located := map[string]bool{}, map[string]bool{}
		for _, n := range touched {
			for _, m := range n.nodes {
				room[m.name] = true
			}
			for _, sid := range r.resources {
				if slices.Contains(n.resources, sid) {
					located[sid] = true
				}
			}
		}
		if len(room) >= len(located) {
			continue
		}
		f.add(r, "two or more resources are restricted to less nodes than available to the resources")
		for _, n := range touched {
			f.add(n, "at least one resource is in a negative resource affinity rule and this rule would restrict these to less nodes than available to the resources")
		}
	}
}

func touching(node []*rule, resources []string) []*rule {
	var list []*rule
	for _, n := range node {
		if overlap(n.resources, resources) > 0 {
			list = append(list, n)
		}
	}
	return list
}

func severalPriorities(r *rule) bool {
	return slices.ContainsFunc(r.nodes, func(n ruleNode) bool { return n.priority != r.nodes[0].priority })
}
