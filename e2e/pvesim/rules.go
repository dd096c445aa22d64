package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RuleSpec is an entry of /etc/pve/ha/rules.cfg.
type RuleSpec struct {
	ID string
	// Type is node-affinity or resource-affinity.
	Type string
	// Resources are SIDs.
	Resources []string
	// Nodes of a node-affinity rule: name or name:priority.
	Nodes  []string
	Strict bool
	// Affinity of a resource-affinity rule: positive or negative.
	Affinity string
	Comment  string
	Disabled bool
}

type rule struct {
	id, typ   string
	resources []string // sorted
	nodes     []ruleNode
	strict    string // 1, or 0 if somebody wrote that, or nothing
	affinity  string
	comment   string
	disabled  bool
}

type ruleNode struct {
	name     string
	priority int
}

func (r *rule) clone() *rule {
	o := *r
	o.resources, o.nodes = slices.Clone(r.resources), slices.Clone(r.nodes)
	return &o
}

func (f *pmxcfs) addRule(s RuleSpec) {
	if s.ID == "" || f.rule(s.ID) != nil {
		panic(fmt.Sprintf("pvesim: HA rule %q has no ID of its own", s.ID))
	}
	f.rules = append(f.rules, &rule{
		id: s.ID, typ: s.Type, resources: slices.Sorted(slices.Values(s.Resources)), nodes: parseRuleNodes(strings.Join(s.Nodes, ",")),
		strict: map[bool]string{true: "1"}[s.Strict], affinity: s.Affinity, comment: s.Comment, disabled: s.Disabled,
	})
}

// parseRuleNodes reads n1:2,n2.
func parseRuleNodes(text string) []ruleNode {
	var list []ruleNode
	for _, item := range splitList(text) {
		name, pri, _ := strings.Cut(item, ":")
		list = append(list, ruleNode{name, atoi(pri)})
	}
	slices.SortFunc(list, func(a, b ruleNode) int { return cmp.Compare(a.name, b.name) })
	return list
}

func (r *rule) nodesText() string {
	parts := make([]string, len(r.nodes))
	for k, n := range r.nodes {
		parts[k] = n.name
		if n.priority != 0 {
			parts[k] += fmt.Sprintf(":%d", n.priority)
		}
	}
	return strings.Join(parts, ",")
}

// splitList splits what PVE takes as a list: commas, semicolons, white space.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",; \t\n\x00", r) })
}

// rulesText is rules.cfg; its SHA-1 is every rule's digest.
func (f *pmxcfs) rulesText() string {
	var b strings.Builder
	for k, r := range f.rules {
		if k > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s: %s\n", r.typ, r.id)
		if r.comment != "" {
			fmt.Fprintf(&b, "\tcomment %s\n", r.comment)
		}
		if r.disabled {
			b.WriteString("\tdisable\n")
		}
		if r.typ == "node-affinity" {
			fmt.Fprintf(&b, "\tnodes %s\n\tresources %s\n", r.nodesText(), strings.Join(r.resources, ","))
			if r.strict != "" {
				fmt.Fprintf(&b, "\tstrict %s\n", r.strict)
			}
		} else {
			fmt.Fprintf(&b, "\taffinity %s\n\tresources %s\n", r.affinity, strings.Join(r.resources, ","))
		}
	}
	return b.String()
}

// compiledRules are the feasible rules as placement needs them.
type compiledRules struct {
	affinity map[string]map[string]int // sid -> node -> priority; -1 for nodes a loose rule merely allows
	positive map[string][]string       // sid -> peers
	negative map[string][]string
}

// free reports whether no rule says anything of a service.
func (c *compiledRules) free(sid string) bool {
	_, bound := c.affinity[sid]
	return !bound && len(c.positive[sid]) == 0 && len(c.negative[sid]) == 0
}

// nodes returns the nodes a service may run on and those among them it prefers.
func (c *compiledRules) nodes(sid string, online map[string]bool) (allowed, pref map[string]bool) {
	prio, ok := c.affinity[sid]
	if !ok {
		return maps.Clone(online), maps.Clone(online)
	}
	allowed, pref = map[string]bool{}, map[string]bool{}
	best := 0
	for n, p := range prio {
		if online[n] && (len(allowed) == 0 || p > best) {
			best = p
		}
		if online[n] {
			allowed[n] = true
		}
	}
	for n := range allowed {
		if prio[n] == best {
			pref[n] = true
		}
	}
	return allowed, pref
}

func (m *manager) compileRules() compiledRules {
	return compile(m.n.fs.rules, slices.Sorted(maps.Keys(m.ms.nodes)))
}

// compile drops the rules that contradict each other and works out who is bound to what.
func compile(all []*rule, nodes []string) compiledRules {
	faults := checkRules(all, nodes)
	var ok []*rule
	for _, r := range all {
		if !r.disabled && len(faults[r.id]) == 0 {
			ok = append(ok, r)
		}
	}
	c := compiledRules{affinity: map[string]map[string]int{}, positive: map[string][]string{}, negative: map[string][]string{}}
	for _, r := range ok {
		if r.typ != "node-affinity" {
			continue
		}
		prio := map[string]int{}
		if r.strict != "1" {
			for _, n := range nodes {
				prio[n] = -1
			}
		}
		for _, n := range r.nodes {
			prio[n.name] = n.priority
		}
		for _, sid := range r.resources {
			c.affinity[sid] = prio
		}
	}
	sets := positiveSets(ok)
	for _, set := range sets {
		peers(c.positive, set)
		for _, sid := range set { // the whole set shares the node affinity of one member
			if prio, found := c.affinity[sid]; found {
				for _, other := range set {
					c.affinity[other] = prio
				}
			}
		}
	}
	for _, r := range ok {
		if r.affinity == "negative" {
			peers(c.negative, r.resources)
			c.implyNegative(r.resources, sets)
		}
	}
	return c
}

// implyNegative keeps the other members of a positive set away from whom one member is kept away.
func (c *compiledRules) implyNegative(negative []string, sets [][]string) {
	for _, set := range sets {
		for _, member := range set {
			if !slices.Contains(negative, member) {
				continue
			}
			for _, other := range set {
				for _, out := range negative {
					if other != member && out != member && !slices.Contains(set, out) {
						peers(c.negative, []string{other, out})
					}
				}
			}
		}
	}
}

// peers enters each member of a set as a peer of all others.
func peers(into map[string][]string, set []string) {
	for _, a := range set {
		for _, b := range set {
			if a != b && !slices.Contains(into[a], b) {
				into[a] = append(into[a], b)
			}
		}
	}
}

// positiveSets merges positive rules that overlap. As in 5.2.0 it is one pass: a rule
// joins the first set it overlaps.
func positiveSets(rules []*rule) [][]string {
	var pos []*rule
	for _, r := range rules {
		if r.affinity == "positive" && len(r.resources) > 0 {
			pos = append(pos, r)
		}
	}
	slices.SortFunc(pos, func(a, b *rule) int {
		return cmp.Or(compareSID(a.resources[0], b.resources[0]), cmp.Compare(a.id, b.id))
	})
	var sets [][]string
	for _, r := range pos {
		at := slices.IndexFunc(sets, func(set []string) bool { return overlap(set, r.resources) > 0 })
		if at < 0 {
			sets = append(sets, slices.Clone(r.resources))
			continue
		}
		sets[at] = append(sets[at], r.resources...)
		slices.Sort(sets[at])
		sets[at] = slices.Compact(sets[at])
	}
	return sets
}

// overlap counts what two lists have in common.
func overlap(a, b []string) int {
	n := 0
	for _, x := range a {
		if slices.Contains(b, x) {
			n++
		}
	}
	return n
}
