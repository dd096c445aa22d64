package crm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Types and directions of rules.
const (
	NodeAffinity     = "node-affinity"
	ResourceAffinity = "resource-affinity"
	Positive         = "positive"
	Negative         = "negative"
)

// Rule is an HA rule as it is configured.
type Rule struct {
	ID        string
	Type      string
	Resources []string // SIDs, sorted
	Nodes     []RuleNode
	Strict    bool
	Affinity  string
	Disabled  bool
	Comment   string
}

// RuleNode is a node of a node-affinity rule with its priority.
type RuleNode struct {
	Node     string
	Priority int
}

func (r Rule) has(sid string) bool { return slices.Contains(r.Resources, sid) }

func (r Rule) isNode() bool { return r.Type == NodeAffinity }

func (r Rule) isResource(affinity string) bool {
	return r.Type == ResourceAffinity && r.Affinity == affinity
}

func (r Rule) overlap(o Rule) int {
	n := 0
	for _, sid := range r.Resources {
		if o.has(sid) {
			n++
		}
	}
	return n
}

func (r Rule) priorities() int {
	seen := make(map[int]bool)
	for _, n := range r.Nodes {
		seen[n.Priority] = true
	}
	return len(seen)
}

// users finds the rules of one sort that a service is in, by their place in a list.
type users map[string][]int

func usersOf(rules []Rule, sort func(Rule) bool) users {
	u := make(users)
	for k, r := range rules {
		if sort(r) {
			for _, sid := range r.Resources {
				u[sid] = append(u[sid], k)
			}
		}
	}
	return u
}

// of are the rules that any of the services is in, in the order of the list.
func (u users) of(sids []string) []int {
	var out []int
	for _, sid := range sids {
		out = append(out, u[sid]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Dropped is a rule the manager ignores, and why.
type Dropped struct {
	Rule   string
	Reason string
}

// Compiled are the rules as selection uses them.
type Compiled struct {
	// nodes maps a SID to its node-affinity rule.
	nodes map[string]nodeRule
	// together and apart map a SID to its positive and negative peers.
	together map[string]map[string]bool
	apart    map[string]map[string]bool
}

// nodeRule is a node-affinity rule as selection uses it. The services of a rule share one.
type nodeRule struct {
	priority map[string]int
	strict   bool
}

// class is the priority of a node; nodes that a rule does not name have -1, or are not
// allowed if it is strict.
func (r nodeRule) class(node string) (priority int, allowed bool) {
	if p, named := r.priority[node]; named {
		return p, true
	}
	return -1, !r.strict
}

// Allows tells whether the rules let a service be placed on a node at all.
func (c Compiled) Allows(sid, node string) bool {
	r, bound := c.nodes[sid]
	if !bound {
		return true
	}
	_, allowed := r.class(node)
	return allowed
}

// Strict tells whether a strict rule restricts a service to some nodes.
func (c Compiled) Strict(sid string) bool { return c.nodes[sid].strict }

// Together are the positive peers of a service, Apart its negative ones, sorted.
func (c Compiled) Together(sid string) []string { return sortedKeys(c.together[sid]) }

// Apart are the negative peers of a service, sorted.
func (c Compiled) Apart(sid string) []string { return sortedKeys(c.apart[sid]) }

// Compile drops the rules that contradict each other and turns the rest into what
// selection reads. nodes are the nodes the manager knows.
func Compile(rules []Rule, nodes []string) (Compiled, []Dropped) {
	var enabled []Rule
	for _, r := range rules {
		if !r.Disabled {
			enabled = append(enabled, r)
		}
	}
	kept, dropped := checkRules(enabled, nodes)
	kept = transform(kept)
	c := Compiled{nodes: map[string]nodeRule{}, together: map[string]map[string]bool{}, apart: map[string]map[string]bool{}}
	for _, r := range kept {
		switch {
		case r.isNode():
			c.addNodeRule(r)
		case r.Affinity == Positive:
			addPeers(c.together, r.Resources)
		default:
			addPeers(c.apart, r.Resources)
		}
	}
	return c, dropped
}

func (c *Compiled) addNodeRule(r Rule) {
	compiled := nodeRule{priority: make(map[string]int, len(r.Nodes)), strict: r.Strict}
	for _, n := range r.Nodes {
		compiled.priority[n.Node] = n.Priority
	}
	for _, sid := range r.Resources {
		c.nodes[sid] = compiled
	}
}

func addPeers(m map[string]map[string]bool, sids []string) {
	for _, a := range sids {
		for _, b := range sids {
			if a == b {
				continue
			}
			if m[a] == nil {
				m[a] = make(map[string]bool)
			}
			m[a][b] = true
		}
	}
}

// checkRules runs every check over the enabled rules, then drops those with an error.
func checkRules(rules []Rule, nodes []string) ([]Rule, []Dropped) {
	reasons := make(map[string][]string)
	drop := func(id, reason string) { reasons[id] = append(reasons[id], reason) }
	checkOneNodeRule(rules, drop)
	for _, r := range rules {
		if r.Type == ResourceAffinity && len(r.Resources) < 2 {
			drop(r.ID, "rule is ineffective as there are less than two resources")
		}
		if r.isResource(Negative) && len(r.Resources) > len(nodes) {
			drop(r.ID, "rule defines more resources than available nodes")
		}
	}
	sets := mergePositive(rules)
	checkPositiveAgainstNegative(rules, sets, drop)
	checkPriorities(rules, drop)
	checkPositiveNodeRules(rules, sets, drop)
	checkNegativeNodeRules(rules, drop)

	var kept []Rule
	var out []Dropped
	for _, r := range rules {
		if len(reasons[r.ID]) == 0 {
			kept = append(kept, r)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(reasons)) {
		for _, reason := range reasons[id] {
			out = append(out, Dropped{Rule: id, Reason: reason})
		}
	}
	return kept, out
}

func checkOneNodeRule(rules []Rule, drop func(id, reason string)) {
	users := make(map[string][]string)
	for _, r := range rules {
		if r.isNode() {
			for _, sid := range r.Resources {
				users[sid] = append(users[sid], r.ID)
			}
		}
	}
	for _, sid := range slices.Sorted(maps.Keys(users)) {
		if len(users[sid]) > 1 {
			for _, id := range users[sid] {
				drop(id, fmt.Sprintf("resource '%s' is already used in another node affinity rule", sid))
			}
		}
	}
}

// A set is a group of positive rules that share resources, in the order they joined.
type set struct {
	rules     []Rule
	resources []string
}

// mergePositive groups positive rules in one pass over them, by their lowest SID: each
// joins the first set it overlaps. It is not a full union: a rule that bridges two earlier
// sets joins only the first.
func mergePositive(rules []Rule) []*set {
	var positive []Rule
	for _, r := range rules {
		if r.isResource(Positive) && len(r.Resources) > 0 {
			positive = append(positive, r)
		}
	}
	slices.SortStableFunc(positive, func(a, b Rule) int {
		if c := strings.Compare(slices.Min(a.Resources), slices.Min(b.Resources)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	var sets []*set
	first := make(map[string]int) // the first set of each resource
	for _, r := range positive {
		k := len(sets)
		for _, sid := range r.Resources {
			if j, in := first[sid]; in {
				k = min(k, j)
			}
		}
		if k == len(sets) {
			sets = append(sets, &set{})
		}
		sets[k].rules = append(sets[k].rules, r)
		for _, sid := range r.Resources {
			j, in := first[sid]
			if !in || j != k && !slices.Contains(sets[k].resources, sid) {
				sets[k].resources = append(sets[k].resources, sid)
			}
			if !in || k < j {
				first[sid] = k
			}
		}
	}
	for _, s := range sets {
		slices.Sort(s.resources)
	}
	return sets
}

func checkPositiveAgainstNegative(rules []Rule, sets []*set, drop func(id, reason string)) {
	negative := usersOf(rules, func(r Rule) bool { return r.isResource(Negative) })
	for _, s := range sets {
		whole := Rule{Resources: s.resources}
		for _, k := range negative.of(s.resources) {
			r := rules[k]
			if r.overlap(whole) < 2 {
				continue
			}
			drop(r.ID, "rule shares two or more resources with a positive resource affinity rule")
			for _, p := range s.rules {
				drop(p.ID, "rule shares two or more resources with a negative resource affinity rule")
			}
		}
	}
}

func checkPriorities(rules []Rule, drop func(id, reason string)) {
	located := usersOf(rules, Rule.isNode)
	for _, r := range rules {
		if r.Type != ResourceAffinity {
			continue
		}
		var touched []Rule
		several := false
		for _, k := range located.of(r.Resources) {
			touched = append(touched, rules[k])
			several = several || rules[k].priorities() > 1
		}
		if !several {
			continue
		}
		drop(r.ID, "resources are in node affinity rules with multiple priorities")
		for _, n := range touched {
			drop(n.ID, "resources are in a resource affinity rule and cannot be in a node affinity rule with multiple priorities")
		}
	}
}

func checkPositiveNodeRules(rules []Rule, sets []*set, drop func(id, reason string)) {
	located := usersOf(rules, Rule.isNode)
	for _, s := range sets {
		var touched []Rule
		for _, k := range located.of(s.resources) {
			touched = append(touched, rules[k])
		}
		if len(touched) < 2 {
			continue
		}
		for _, p := range s.rules {
			drop(p.ID, "resources are in multiple node affinity rules")
		}
		for _, n := range touched {
			drop(n.ID, "at least one resource is in a positive resource affinity rule and there are other resources in at least one other node affinity rule already")
		}
	}
}

func checkNegativeNodeRules(rules []Rule, drop func(id, reason string)) {
	users := usersOf(rules, Rule.isNode)
	for _, r := range rules {
		if !r.isResource(Negative) {
			continue
		}
		located := make(map[string]bool)
		nodes := make(map[string]bool)
		var touched []Rule
		for _, k := range users.of(r.Resources) {
			n := rules[k]
			touched = append(touched, n)
			for _, x := range n.Nodes {
				nodes[x.Node] = true
			}
			for _, sid := range n.Resources {
				if r.has(sid) {
					located[sid] = true
				}
			}
		}
		if len(nodes) >= len(located) {
			continue
		}
		drop(r.ID, "two or more resources are restricted to less nodes than available to the resources")
		for _, n := range touched {
			drop(n.ID, "at least one resource is in a negative resource affinity rule and this rule would restrict these to less nodes than available to the resources")
		}
	}
}

// transform merges overlapping positive rules, makes implied negatives explicit and
// extends node-affinity rules to whole positive sets.
func transform(rules []Rule) []Rule {
	sets := mergePositive(rules)
	var out []Rule
	for _, r := range rules {
		if !r.isResource(Positive) {
			out = append(out, r)
		}
	}
	others := slices.Clone(out)
	negative := usersOf(others, func(r Rule) bool { return r.isResource(Negative) })
	located := usersOf(others, Rule.isNode)
	for _, s := range sets {
		merged := s.rules[0]
		merged.Resources = s.resources
		if len(s.rules) > 1 {
			merged.ID = "_merged"
			for _, r := range s.rules {
				merged.ID += "-" + r.ID
			}
		}
		for _, k := range negative.of(merged.Resources) {
			out = append(out, implied(merged, others[k])...)
		}
		for _, k := range located.of(merged.Resources) {
			out[k].Resources = union(out[k].Resources, merged.Resources)
			for _, sid := range merged.Resources { // a later set may share a service with this one
				if !slices.Contains(located[sid], k) {
					located[sid] = append(located[sid], k)
				}
			}
		}
		out = append(out, merged)
	}
	return out
}

// implied are the negative rules that follow from a positive set and a negative rule that
// touches one of its members: the other members keep away from the outsiders too.
func implied(positive, negative Rule) []Rule {
	var out []Rule
	if positive.overlap(negative) == 0 {
		return nil
	}
	for _, sid := range positive.Resources {
		if negative.has(sid) {
			continue
		}
		for _, other := range negative.Resources {
			if positive.has(other) {
				continue
			}
			pair := []string{sid, other}
			slices.Sort(pair)
			out = append(out, Rule{ID: fmt.Sprintf("_implicit-negative-%s-%s-%s", positive.ID, sid, other),
				Type: ResourceAffinity, Affinity: Negative, Resources: pair})
		}
	}
	return out
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
