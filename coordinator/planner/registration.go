package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Mark is how what we register is told from what others made: it begins the comment of
// every resource and rule of ours.
const Mark = "psw-ha: "

// rulePrefix begins the IDs of our rules.
const rulePrefix = "psw-"

// preferredPriority is that of a target's preferred node where the project declares none,
// so that it is above every other node.
const preferredPriority = 100

// Registration is what would make the HA manager's resources and rules what network.yml
// declares. What others made is never touched.
func Registration(s ha.Snapshot) ha.Plan {
	p, _ := newWorld(s).register()
	return p
}

// RegistrationView is Registration for people: also what is unchanged or foreign.
func RegistrationView(s ha.Snapshot) ha.PlanView {
	p, v := newWorld(s).register()
	v.Waits = p.Waits
	slices.SortStableFunc(v.Changes, func(a, b ha.Change) int { return strings.Compare(a.Subject, b.Subject) })
	return v
}

func (w *world) register() (ha.Plan, ha.PlanView) {
	var p ha.Plan
	var v ha.PlanView
	if g := w.gates(); len(g) > 0 {
		blockAll(&p, g)
		return p, v
	}
	ours := make(map[ha.SID]bool)
	rules := make(map[string]bool)
	for _, t := range w.Policy.Targets {
		if t.Type == ha.TargetBare || !t.HA {
			continue
		}
		g, err := w.GuestOf(t)
		if err != nil {
			p.Block(t.Name, err.Error(), "create the guest, or name its VMID in .psw/converge/state.yml")
			continue
		}
		ours[g.SID] = true
		w.registerResource(&p, &v, t, g)
		rules[ruleID(t)] = true
		w.registerRule(&p, &v, t, g)
	}
	w.unregister(&p, &v, ours, rules)
	return p, v
}

// wanted is the resource a target is to be. failback is off: after a failure a guest
// stays where it is until the operator brings it home, which spares it a second move.
func wanted(t ha.Target, g ha.Guest) ha.Resource {
	r := ha.Resource{SID: g.SID, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Comment: Mark + "target " + t.Name}
	if t.Options.MaxRestart != nil {
		r.MaxRestart = *t.Options.MaxRestart
	}
	if t.Options.MaxRelocate != nil {
		r.MaxRelocate = *t.Options.MaxRelocate
	}
	return r
}

func (w *world) registerResource(p *ha.Plan, v *ha.PlanView, t ha.Target, g ha.Guest) {
	want := wanted(t, g)
	have, exists := w.Inventory.Resource(g.SID)
	switch {
	case !exists:
		a := ha.AddResource{Resource: want}
		p.Do(a)
		addChange(v, ha.ChangeAdd, g.SID.String(), fmt.Sprintf("protect %s: state started, failback off", t.Name), a)
	case !isMarked(have.Comment) && have.Comment != "":
		addChange(v, ha.ChangeForeign, g.SID.String(), fmt.Sprintf("registered by somebody else (%q): left as it is", have.Comment), nil)
	case have.State != ha.RequestStarted && have.State != "enabled" && isMarked(have.Comment):
		// Stopped or disabled by an operator or a maintenance: their decision stands.
		addChange(v, ha.ChangeUnchanged, g.SID.String(), fmt.Sprintf("request state is %s: left as it is", have.State), nil)
	default:
		diff := resourceDiff(have, want)
		if diff == "" {
			addChange(v, ha.ChangeUnchanged, g.SID.String(), t.Name, nil)
			return
		}
		want.Digest = have.Digest
		a := ha.UpdateResource{Resource: want}
		p.Do(a)
		addChange(v, ha.ChangeChange, g.SID.String(), fmt.Sprintf("%s: %s", t.Name, diff), a)
	}
}

func resourceDiff(have, want ha.Resource) string {
	var d []string
	say := func(what string, a, b any) {
		if a != b {
			d = append(d, fmt.Sprintf("%s %v => %v", what, a, b))
		}
	}
	say("state", have.State, want.State)
	say("failback", have.Failback, want.Failback)
	say("max_restart", have.MaxRestart, want.MaxRestart)
	say("max_relocate", have.MaxRelocate, want.MaxRelocate)
	say("comment", fmt.Sprintf("%q", have.Comment), fmt.Sprintf("%q", want.Comment))
	return strings.Join(d, ", ")
}

func ruleID(t ha.Target) string {
	id := []byte(rulePrefix + strings.ToLower(t.Name))
	for k, c := range id {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			id[k] = '-' // a rule's name is a Proxmox configuration id
		}
	}
	return string(id)
}

// wantedRule says where a target may run: its preferred node above all others, or as
// ha_options orders them.
func (w *world) wantedRule(t ha.Target, g ha.Guest) ha.Rule {
	r := ha.Rule{ID: ruleID(t), Type: ha.NodeAffinity, Resources: []ha.SID{g.SID}, Strict: t.Options.Strict, Comment: Mark + "target " + t.Name}
	names := t.Options.Nodes
	if len(names) == 0 {
		names = []ha.NodeName{t.Node}
	}
	highest := 0
	for _, n := range names {
		prio := 0
		for _, o := range t.Options.Priority {
			if o.Node == n {
				prio = o.Priority
			}
		}
		highest = max(highest, prio)
		r.Nodes = append(r.Nodes, ha.RuleNode{Node: n, Priority: prio})
	}
	for k := range r.Nodes {
		if r.Nodes[k].Node == t.Node && r.Nodes[k].Priority <= highest && len(t.Options.Priority) == 0 {
			r.Nodes[k].Priority = preferredPriority
		}
	}
	slices.SortFunc(r.Nodes, func(a, b ha.RuleNode) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return r
}

func (w *world) registerRule(p *ha.Plan, v *ha.PlanView, t ha.Target, g ha.Guest) {
	want := w.wantedRule(t, g)
	for _, r := range w.Inventory.Rules {
		if r.ID == want.ID && !isMarked(r.Comment) || r.ID != want.ID && r.Type == ha.NodeAffinity && slices.Contains(r.Resources, g.SID) && !isMarked(r.Comment) {
			addChange(v, ha.ChangeForeign, r.ID, fmt.Sprintf("node-affinity rule for %s made by somebody else: left as it is", g.SID), nil)
			return
		}
	}
	k := slices.IndexFunc(w.Inventory.Rules, func(r ha.Rule) bool { return r.ID == want.ID })
	if k < 0 {
		a := ha.PutRule{Rule: want, Create: true}
		p.Do(a)
		addChange(v, ha.ChangeAdd, want.ID, ruleText(want), a)
		return
	}
	have := w.Inventory.Rules[k]
	if sameRule(have, want) {
		addChange(v, ha.ChangeUnchanged, want.ID, ruleText(want), nil)
		return
	}
	want.Digest = have.Digest
	a := ha.PutRule{Rule: want}
	p.Do(a)
	addChange(v, ha.ChangeChange, want.ID, ruleText(have)+" => "+ruleText(want), a)
}

func sameRule(a, b ha.Rule) bool {
	return a.Type == b.Type && a.Strict == b.Strict && a.Disabled == b.Disabled && a.Comment == b.Comment &&
		slices.Equal(a.Resources, b.Resources) && slices.Equal(a.Nodes, b.Nodes)
}

func ruleText(r ha.Rule) string {
	strict := "preferably"
	if r.Strict {
		strict = "only"
	}
	sids := make([]string, len(r.Resources))
	for k, s := range r.Resources {
		sids[k] = s.String()
	}
	return fmt.Sprintf("%s %s on %s", strings.Join(sids, ","), strict, r.NodesText())
}

// unregister takes away what is ours and no longer declared, and names what is foreign.
func (w *world) unregister(p *ha.Plan, v *ha.PlanView, ours map[ha.SID]bool, rules map[string]bool) {
	for _, r := range w.Inventory.Rules {
		switch {
		case rules[r.ID]:
		case isMarked(r.Comment):
			a := ha.RemoveRule{ID: r.ID}
			p.Do(a)
			addChange(v, ha.ChangeRemove, r.ID, "no longer declared", a)
		case !slices.ContainsFunc(v.Changes, func(c ha.Change) bool { return c.Subject == r.ID }):
			addChange(v, ha.ChangeForeign, r.ID, "made by somebody else: left as it is", nil)
		}
	}
	for _, r := range w.Inventory.Resources {
		switch {
		case ours[r.SID]:
		case isMarked(r.Comment):
			a := ha.RemoveResource{SID: r.SID}
			p.Do(a)
			addChange(v, ha.ChangeRemove, r.SID.String(), "no longer declared; the guest keeps running", a)
		default:
			addChange(v, ha.ChangeForeign, r.SID.String(), "registered by somebody else: left as it is", nil)
		}
	}
}

func isMarked(comment string) bool { return strings.HasPrefix(comment, Mark) }

// addChange appends one line.
func addChange(v *ha.PlanView, k ha.ChangeKind, subject, text string, a ha.Action) {
	c := ha.Change{Kind: k, Subject: subject, Text: text}
	if a != nil {
		c.Command = a.Command()
	}
	v.Changes = append(v.Changes, c)
}
