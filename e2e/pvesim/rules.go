package pvesim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
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
	nodes     []crm.RuleNode
	strict    string // 1, or 0 if somebody wrote that, or nothing
	affinity  string
	comment   string
	disabled  bool
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
		id: s.ID, typ: s.Type, resources: slices.Sorted(slices.Values(s.Resources)), nodes: sortedNodes(parseNodes(strings.Join(s.Nodes, ","))),
		strict: map[bool]string{true: "1"}[s.Strict], affinity: s.Affinity, comment: s.Comment, disabled: s.Disabled,
	})
	f.rulesChanged()
}

// parseNodes reads n1:2,n2.
func parseNodes(text string) []crm.RuleNode {
	var list []crm.RuleNode
	for _, item := range splitList(text) {
		name, pri, _ := strings.Cut(item, ":")
		list = append(list, crm.RuleNode{Node: name, Priority: atoi(pri)})
	}
	return list
}

// sortedNodes are nodes as rules.cfg has them, by name; groups.cfg keeps their order.
func sortedNodes(list []crm.RuleNode) []crm.RuleNode {
	return slices.SortedFunc(slices.Values(list), func(a, b crm.RuleNode) int { return cmp.Compare(a.Node, b.Node) })
}

func nodesText(nodes []crm.RuleNode) string {
	parts := make([]string, len(nodes))
	for k, n := range nodes {
		parts[k] = n.Node
		if n.Priority != 0 {
			parts[k] += fmt.Sprintf(":%d", n.Priority)
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
			fmt.Fprintf(&b, "\tnodes %s\n\tresources %s\n", nodesText(r.nodes), strings.Join(r.resources, ","))
			if r.strict != "" {
				fmt.Fprintf(&b, "\tstrict %s\n", r.strict)
			}
		} else {
			fmt.Fprintf(&b, "\taffinity %s\n\tresources %s\n", r.affinity, strings.Join(r.resources, ","))
		}
	}
	return b.String()
}

// modelRules are rules as the HA manager's model has them.
func modelRules(all []*rule) []crm.Rule {
	list := make([]crm.Rule, len(all))
	for k, r := range all {
		list[k] = crm.Rule{
			ID: r.id, Type: r.typ, Resources: r.resources, Nodes: r.nodes, Strict: r.strict == "1",
			Affinity: r.affinity, Disabled: r.disabled, Comment: r.comment,
		}
	}
	return list
}

func ruleOf(r crm.Rule) *rule {
	return &rule{
		id: r.ID, typ: r.Type, resources: slices.Clone(r.Resources), nodes: sortedNodes(r.Nodes), strict: map[bool]string{true: "1"}[r.Strict],
		affinity: r.Affinity, comment: r.Comment, disabled: r.Disabled,
	}
}

// ruleFaults are the reasons, per rule, why it cannot be followed. A rule with one is refused
// when it is created, and ignored, with an entry under errors, when other changes led to it.
// nodes are those the HA manager knows; before it first ran there are none.
func ruleFaults(all []crm.Rule, nodes []string) map[string][]string {
	_, dropped := crm.Compile(all, nodes)
	faults := map[string][]string{}
	for _, d := range dropped {
		faults[d.Rule] = append(faults[d.Rule], d.Reason)
	}
	return faults
}
