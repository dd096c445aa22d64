package planner

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// group makes the groups of Proxmox VE 8 what is declared: one for each target, since a
// resource can be in one group only and the order of nodes is the group's. Failback is the
// group's as well.
func (r *registration) group() {
	for _, g := range r.Inventory.Groups {
		r.names[g.Name] = true
	}
	taken := make(map[string]bool)
	for _, x := range r.wants {
		to := x.target.Resource(x.guest.SID)
		have, _ := r.Inventory.Resource(x.guest.SID)
		in, exists := r.groupNamed(have.Group)
		if exists && !ha.Marked(in.Comment) {
			to.Group, to.Failback = have.Group, have.Failback
			r.resource(x, to)
			continue // told as foreign
		}
		g := ha.Group{Nodes: x.nodes, Restricted: x.target.Options.Strict, NoFailback: true, Comment: ha.MarkOf(x.target.Name)}
		g.Name = r.groupNameFor(x, in, taken)
		taken[g.Name] = true
		to.Group = g.Name
		r.putGroup(x, g)
		r.resource(x, to)
	}
	for _, g := range r.Inventory.Groups {
		switch {
		case taken[g.Name]:
		case !ha.Marked(g.Comment):
			r.others(g.Name, r.foreignGroup(g))
		case r.unclear[ha.MarkedTarget(g.Comment)]:
			r.is(g.Name, "left as it is until it is clear which guest "+ha.MarkedTarget(g.Comment)+" is")
		case r.strangersIn(g) != nil:
			r.is(g.Name, fmt.Sprintf("no longer declared, but %s of somebody else is in it", sidList(r.strangersIn(g), ", ")))
		default:
			r.do(freeGroups, ha.ChangeRemove, g.Name, "no longer declared", ha.RemoveGroup{Name: g.Name, Was: g})
		}
	}
}

// strangersIn are the resources of others in a group, which Proxmox then does not delete.
func (r *registration) strangersIn(g ha.Group) []ha.SID {
	var out []ha.SID
	for _, res := range r.Inventory.Resources {
		declared := slices.ContainsFunc(r.wants, func(x want) bool { return x.guest.SID == res.SID })
		if res.Group == g.Name && !declared && !ha.Marked(res.Comment) {
			out = append(out, res.SID)
		}
	}
	return out
}

func (r *registration) groupNamed(name string) (ha.Group, bool) {
	k := slices.IndexFunc(r.Inventory.Groups, func(g ha.Group) bool { return name != "" && g.Name == name })
	if k < 0 {
		return ha.Group{}, false
	}
	return r.Inventory.Groups[k], true
}

// groupNameFor is the group of ours the guest is in, else the one made for the target,
// else a new one.
func (r *registration) groupNameFor(x want, in ha.Group, taken map[string]bool) string {
	if in.Name != "" && !taken[in.Name] {
		return in.Name
	}
	for _, g := range r.Inventory.Groups {
		if g.Comment == ha.MarkOf(x.target.Name) && !taken[g.Name] {
			return g.Name
		}
	}
	return r.ownNameOf(x.target, x.guest.SID)
}

func (r *registration) putGroup(x want, to ha.Group) {
	have, exists := r.groupNamed(to.Name)
	switch {
	case !exists:
		r.do(makeGroups, ha.ChangeAdd, to.Name, groupText(x, to), ha.PutGroup{Group: to, Create: true})
	case have.Same(to):
		r.is(to.Name, groupText(x, to))
	default:
		text := groupText(x, to)
		if was := groupText(x, have); was != text {
			text = was + " => " + text
		}
		if have.Comment != to.Comment {
			text += fmt.Sprintf("; comment %q => %q", have.Comment, to.Comment)
		}
		r.do(makeGroups, ha.ChangeChange, to.Name, text, ha.PutGroup{Group: to, Was: have})
	}
}

func groupText(x want, g ha.Group) string {
	return ruleText(ha.Rule{Resources: []ha.SID{x.guest.SID}, Nodes: g.Nodes, Strict: g.Restricted}) + ", failback " + onOff(!g.NoFailback)
}

// foreignGroup says what a group of somebody else means for what is declared.
func (r *registration) foreignGroup(g ha.Group) string {
	text := "group made by somebody else: left as it is"
	for _, x := range r.wants {
		have, _ := r.Inventory.Resource(x.guest.SID)
		if have.Group == g.Name {
			text += fmt.Sprintf("; it decides where %s runs (%s); to hand it over: `ha-manager set %s --delete group`, then `psw ha apply`",
				x.target.Name, groupText(x, g), x.guest.SID)
		}
	}
	return text
}
