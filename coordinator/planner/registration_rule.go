package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// isOwnRule tells whether a rule is ours to change or remove.
func isOwnRule(r ha.Rule) bool { return r.Type == ha.NodeAffinity && ha.Marked(r.Comment) }

func overlap(a, b []ha.SID) bool {
	return slices.ContainsFunc(a, func(s ha.SID) bool { return slices.Contains(b, s) })
}

// bind makes the node-affinity rules of Proxmox VE 9 what is declared, and says what the
// rules of others mean for it.
func (r *registration) bind() {
	for _, rule := range r.Inventory.Rules {
		r.names[rule.ID] = true
	}
	claims := r.claim()
	var rules []ha.Rule
	var of []want
	for _, x := range r.wants {
		if rule, own := r.ruleFor(x, claims); own {
			rules, of = append(rules, rule), append(of, x)
		}
	}
	refused := r.contradictions(rules)
	kept := make(map[string]bool)
	for k, rule := range rules {
		kept[rule.ID] = true
		if why, no := refused[rule.ID]; no {
			r.waits.Block(rule.ID, fmt.Sprintf("the HA manager would ignore it: %s (%s)", why, ruleText(rule)),
				"change node or ha_options in network.yml, or the other rule: `ha-manager rules list`")
			continue
		}
		r.rule(of[k], rule)
	}
	for _, rule := range r.Inventory.Rules {
		switch {
		case !isOwnRule(rule):
			r.others(rule.ID, r.foreignRule(rule))
		case kept[rule.ID]:
		case r.unclear[ha.MarkedTarget(rule.Comment)]:
			r.is(rule.ID, "left as it is until it is clear which guest "+ha.MarkedTarget(rule.Comment)+" is")
		default:
			r.do(freeRules, ha.ChangeRemove, rule.ID, "no longer declared", ha.RemoveRule{ID: rule.ID, Was: rule})
		}
	}
}

// claim finds the rule of ours for each target that has one: the one that names its guest,
// whatever it is called, so that a target that was renamed keeps its rule; else the one
// that was made for it, so that a guest that was made anew takes over the old one's.
func (r *registration) claim() map[ha.SID]ha.Rule {
	claims := make(map[ha.SID]ha.Rule)
	taken := make(map[string]bool)
	for _, fits := range []func(want, ha.Rule) bool{
		func(x want, rule ha.Rule) bool { return slices.Contains(rule.Resources, x.guest.SID) },
		func(x want, rule ha.Rule) bool { return rule.Comment == ha.MarkOf(x.target.Name) },
	} {
		for _, x := range r.wants {
			if _, has := claims[x.guest.SID]; has {
				continue
			}
			k := slices.IndexFunc(r.Inventory.Rules, func(rule ha.Rule) bool { return isOwnRule(rule) && !taken[rule.ID] && fits(x, rule) })
			if k >= 0 {
				claims[x.guest.SID] = r.Inventory.Rules[k]
				taken[r.Inventory.Rules[k].ID] = true
			}
		}
	}
	return claims
}

// ruleFor is the rule a target is to have; false if it needs none of its own, because
// somebody else's rule or another member of its set decides where it runs.
func (r *registration) ruleFor(x want, claims map[ha.SID]ha.Rule) (ha.Rule, bool) {
	sid, name := x.guest.SID, x.target.Name
	set, by := r.setOf(sid)
	for _, rule := range r.Inventory.Rules {
		if rule.Type != ha.NodeAffinity || isOwnRule(rule) || rule.Disabled || !overlap(rule.Resources, set) {
			continue
		}
		if !slices.Contains(rule.Resources, sid) {
			r.is("rule of "+sid.String(), fmt.Sprintf("%s goes where rule %s of somebody else puts %s (rule %s)", name, rule.ID, sidList(rule.Resources, ", "), by))
		}
		return ha.Rule{}, false // else told as foreign
	}
	leader := r.leader(set)
	if leader.guest.SID != sid {
		text := fmt.Sprintf("%s goes where %s goes (rule %s)", name, leader.target.Name, by)
		if leader.target.Node != x.target.Node {
			r.notices = append(r.notices, fmt.Sprintf("network.yml prefers %s for %s and %s for %s, but rule %s keeps them together on %s",
				leader.target.Node, leader.target.Name, x.target.Node, name, by, leader.target.Node))
		}
		r.is("rule of "+sid.String(), text)
		return ha.Rule{}, false
	}
	rule := ha.Rule{Type: ha.NodeAffinity, Resources: []ha.SID{sid}, Nodes: x.nodes, Strict: x.target.Options.Strict, Comment: ha.MarkOf(name)}
	if peer := r.peerRule(sid); peer != "" && levels(rule.Nodes) > 1 {
		rule.Nodes = flat(rule)
		r.notices = append(r.notices, fmt.Sprintf("rule %s of somebody else binds %s to another guest, and Proxmox then allows no order among its nodes: %s",
			peer, name, ruleText(rule)))
	}
	if old, has := claims[sid]; has {
		rule.ID = old.ID
	} else {
		rule.ID = r.ownNameOf(x.target, sid)
	}
	return rule, true
}

// setOf is the guest's positive set by the rules of others, itself included, sorted, and
// the rule it is in by.
func (r *registration) setOf(sid ha.SID) (set []ha.SID, by string) {
	set = []ha.SID{sid}
	for k := 0; k < len(set); k++ {
		for _, rule := range r.rulesOf[set[k]] {
			if rule.Type != ha.ResourceAffinity || rule.Affinity != ha.Positive {
				continue
			}
			if k == 0 {
				by = rule.ID
			}
			for _, s := range rule.Resources {
				if !slices.Contains(set, s) {
					set = append(set, s)
				}
			}
		}
	}
	slices.SortFunc(set, ha.SID.Compare)
	return set, by
}

// leader is the member of a set that carries its node-affinity rule: Proxmox refuses more
// than one and extends that one to the whole set. Without a set it is the guest itself.
func (r *registration) leader(set []ha.SID) want {
	for _, x := range r.wants { // by target name
		if slices.Contains(set, x.guest.SID) {
			return x
		}
	}
	return want{}
}

// peerRule is a resource-affinity rule that names the guest; "" if none does.
func (r *registration) peerRule(sid ha.SID) string {
	for _, rule := range r.rulesOf[sid] {
		if rule.Type == ha.ResourceAffinity {
			return rule.ID
		}
	}
	return ""
}

func levels(nodes []ha.RuleNode) int {
	seen := make(map[int]bool)
	for _, n := range nodes {
		seen[n.Priority] = true
	}
	return len(seen)
}

// flat is the nearest a rule comes to its order of nodes with a single priority: the best
// ones if others are allowed anyway, all if it is strict.
func flat(r ha.Rule) []ha.RuleNode {
	best := 0
	for _, n := range r.Nodes {
		best = max(best, n.Priority)
	}
	var out []ha.RuleNode
	for _, n := range r.Nodes {
		if r.Strict || n.Priority == best {
			out = append(out, ha.RuleNode{Node: n.Node, Priority: ha.PreferredPriority})
		}
	}
	return out
}

// contradictions asks the model of the HA manager which of our rules it would ignore beside
// the rules of others, and why. Proxmox refuses to create such a rule.
func (r *registration) contradictions(rules []ha.Rule) map[string]string {
	var all []crm.Rule
	for _, rule := range r.Inventory.Rules {
		if !isOwnRule(rule) {
			all = append(all, modelRule(rule))
		}
	}
	for _, rule := range rules {
		all = append(all, modelRule(rule))
	}
	nodes := make([]string, len(r.Inventory.Nodes))
	for k, n := range r.Inventory.Nodes {
		nodes[k] = string(n.Name)
	}
	_, dropped := crm.Compile(all, nodes)
	out := make(map[string]string)
	for _, d := range dropped {
		if k := slices.IndexFunc(rules, func(x ha.Rule) bool { return x.ID == d.Rule }); k >= 0 {
			out[d.Rule] = d.Reason
		}
	}
	return out
}

func modelRule(r ha.Rule) crm.Rule {
	m := crm.Rule{ID: r.ID, Type: string(r.Type), Strict: r.Strict, Affinity: string(r.Affinity), Disabled: r.Disabled}
	for _, s := range r.Resources {
		m.Resources = append(m.Resources, s.String())
	}
	for _, n := range r.Nodes {
		m.Nodes = append(m.Nodes, crm.RuleNode{Node: string(n.Node), Priority: n.Priority})
	}
	return m
}

// rule makes one rule of ours what it is to be.
func (r *registration) rule(x want, to ha.Rule) {
	k := slices.IndexFunc(r.Inventory.Rules, func(rule ha.Rule) bool { return rule.ID == to.ID })
	if k < 0 {
		r.do(makeRules, ha.ChangeAdd, to.ID, ruleText(to)+r.strays(x, to), ha.PutRule{Rule: to, Create: true})
		return
	}
	have := r.Inventory.Rules[k]
	if have.Same(to) {
		r.is(to.ID, ruleText(to))
		return
	}
	r.do(makeRules, ha.ChangeChange, to.ID, ruleDiff(have, to)+r.strays(x, to), ha.PutRule{Rule: to, Was: have})
}

// strays says what a strict rule does to a guest that is where it does not allow it.
func (r *registration) strays(x want, to ha.Rule) string {
	at := r.at(x.guest)
	if _, registered := r.Inventory.Resource(x.guest.SID); !registered || !to.Strict || ruleHas(to, at) {
		return "" // what is being registered has said so already
	}
	return fmt.Sprintf("; it is on %s, so the HA manager moves it away", at)
}

func ruleDiff(have, to ha.Rule) string {
	text := ruleText(to)
	if was := ruleText(have); was != text {
		text = was + " => " + text
	}
	if have.Disabled {
		text += "; enable it"
	}
	if have.Comment != to.Comment {
		text += fmt.Sprintf("; comment %q => %q", have.Comment, to.Comment)
	}
	return text
}

func ruleText(r ha.Rule) string {
	strict := "preferably"
	if r.Strict {
		strict = "only"
	}
	return fmt.Sprintf("%s %s on %s", sidList(r.Resources, ","), strict, r.NodesText())
}

func sidList(list []ha.SID, between string) string {
	parts := make([]string, len(list))
	for k, s := range list {
		parts[k] = s.String()
	}
	return strings.Join(parts, between)
}

// foreignRule says what a rule of somebody else means for what is declared.
func (r *registration) foreignRule(rule ha.Rule) string {
	var ours []want
	for _, x := range r.wants {
		if slices.Contains(rule.Resources, x.guest.SID) {
			ours = append(ours, x)
		}
	}
	text := "made by somebody else: left as it is"
	switch {
	case rule.Disabled:
		return text + "; it is disabled and binds nothing"
	case len(rule.Errors) > 0:
		text += "; the HA manager ignores it: " + strings.Join(rule.Errors, ", ")
		if rule.Type == ha.NodeAffinity && len(ours) > 0 {
			text += fmt.Sprintf("; while it is there, Proxmox allows no rule for %s: `ha-manager rules remove %s`, then `psw ha apply`", names(ours), rule.ID)
		}
		return text
	case len(ours) == 0:
		return text
	}
	who := names(ours)
	switch {
	case rule.Type == ha.ResourceAffinity && rule.Affinity == ha.Positive:
		return text + fmt.Sprintf("; it keeps %s together (%s), and psw honours it", sidList(rule.Resources, ", "), who)
	case rule.Type == ha.ResourceAffinity:
		return text + fmt.Sprintf("; it keeps %s apart (%s), and psw honours it", sidList(rule.Resources, ", "), who)
	}
	for _, x := range ours {
		to := ha.Rule{Resources: []ha.SID{x.guest.SID}, Nodes: x.nodes, Strict: x.target.Options.Strict}
		if rule.Strict != to.Strict || !slices.Equal(ha.BestNodes(rule.Nodes), ha.BestNodes(to.Nodes)) {
			return text + fmt.Sprintf("; it decides where %s runs (%s), while network.yml wants %s; to hand it over: `ha-manager rules remove %s`, then `psw ha apply`",
				x.target.Name, ruleText(rule), ruleText(to), rule.ID)
		}
	}
	return text + fmt.Sprintf("; it decides where %s runs, as network.yml wants it", who)
}

func names(list []want) string {
	out := make([]string, len(list))
	for k, x := range list {
		out[k] = x.target.Name
	}
	return strings.Join(out, ", ")
}
