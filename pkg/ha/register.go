package ha

import (
	"fmt"
	"strings"
)

// AddResource makes a guest HA-managed.
type AddResource struct{ Resource Resource }

// The changes below carry what they were planned from, Was, so that a change somebody
// else made meanwhile is seen and planned anew instead of overwritten. Proxmox's own digest
// cannot serve for it: it is of the whole file, and the first of our own changes makes it
// stale for all others. A zero Was asks for no such look.

// UpdateResource changes the configuration of a resource. Resource holds all its values
// as they shall be; Digest, if set, is the file it was planned from.
type UpdateResource struct{ Resource, Was Resource }

// RemoveResource ends HA management; the guest is left as it is.
type RemoveResource struct {
	SID SID
	Was Resource
}

// PutRule creates an HA rule or changes the one of that ID.
type PutRule struct {
	Rule   Rule
	Create bool
	Was    Rule
}

// RemoveRule deletes an HA rule.
type RemoveRule struct {
	ID  string
	Was Rule
}

// PutGroup creates an HA group or changes the one of that name (PVE 8).
type PutGroup struct {
	Group  Group
	Create bool
	Was    Group
}

// RemoveGroup deletes an HA group (PVE 8). No resource may be in it any more.
type RemoveGroup struct {
	Name string
	Was  Group
}

func (AddResource) action()    {}
func (UpdateResource) action() {}
func (RemoveResource) action() {}
func (PutRule) action()        {}
func (RemoveRule) action()     {}
func (PutGroup) action()       {}
func (RemoveGroup) action()    {}

func (a AddResource) String() string    { return fmt.Sprintf("register %s", a.Resource.SID) }
func (a UpdateResource) String() string { return fmt.Sprintf("change %s", a.Resource.SID) }
func (a RemoveResource) String() string { return fmt.Sprintf("unregister %s", a.SID) }
func (a RemoveRule) String() string     { return fmt.Sprintf("remove rule %s", a.ID) }
func (a RemoveGroup) String() string    { return fmt.Sprintf("remove group %s", a.Name) }

func (a PutGroup) String() string {
	if a.Create {
		return fmt.Sprintf("create group %s", a.Group.Name)
	}
	return fmt.Sprintf("change group %s", a.Group.Name)
}

func (a PutRule) String() string {
	if a.Create {
		return fmt.Sprintf("create rule %s", a.Rule.ID)
	}
	return fmt.Sprintf("change rule %s", a.Rule.ID)
}

// Command is the stock command.
func (a AddResource) Command() string { return "ha-manager add " + resourceArgs(a.Resource) }

// Command is the stock command.
func (a UpdateResource) Command() string {
	r, was := a.Resource, a.Was
	if was.SID != r.SID {
		return "ha-manager set " + resourceArgs(r)
	}
	s := fmt.Sprintf("ha-manager set %s", r.SID)
	add := func(differs bool, format string, v any) {
		if differs {
			s += fmt.Sprintf(" --"+format, v)
		}
	}
	add(r.State != was.State, "state %s", r.State)
	add(r.Group != was.Group && r.Group != "", "group %s", r.Group)
	add(r.Failback != was.Failback && r.Group == was.Group, "failback %d", bit(r.Failback))
	add(r.MaxRestart != was.MaxRestart, "max_restart %d", r.MaxRestart)
	add(r.MaxRelocate != was.MaxRelocate, "max_relocate %d", r.MaxRelocate)
	if r.Comment != was.Comment {
		s += commentArg(r.Comment)
	}
	add(r.Group == "" && was.Group != "", "delete %s", "group")
	return s
}

// Command is the stock command. Without purge Proxmox would also take the guest out of
// rules that others made (the default of the API is purge=1). PVE 8 has no such option and
// no rules.
func (a RemoveResource) Command() string {
	if a.Was.Group != "" {
		return fmt.Sprintf("ha-manager remove %s", a.SID)
	}
	return fmt.Sprintf("ha-manager remove %s --purge 0", a.SID)
}

// Command is the stock command.
func (a RemoveGroup) Command() string { return "ha-manager groupremove " + a.Name }

// Command is the stock command.
func (a PutGroup) Command() string {
	verb := "groupset"
	if a.Create {
		verb = "groupadd"
	}
	g := a.Group
	return fmt.Sprintf("ha-manager %s %s --nodes %s --restricted %d --nofailback %d", verb, g.Name, nodesText(g.Nodes), bit(g.Restricted), bit(g.NoFailback)) +
		commentArg(g.Comment)
}

// Command is the stock command.
func (a RemoveRule) Command() string { return "ha-manager rules remove " + a.ID }

// Command is the stock command.
func (a PutRule) Command() string {
	verb := "set"
	if a.Create {
		verb = "add"
	}
	r := a.Rule
	s := fmt.Sprintf("ha-manager rules %s %s %s --resources %s", verb, r.Type, r.ID, joinSIDs(r.Resources))
	if r.Type == NodeAffinity {
		s += " --nodes " + r.NodesText()
		if r.Strict || a.Was.Strict {
			s += fmt.Sprintf(" --strict %d", bit(r.Strict))
		}
	} else {
		s += " --affinity " + string(r.Affinity)
	}
	if a.Was.Disabled && !r.Disabled {
		s += " --delete disable"
	}
	return s + commentArg(r.Comment)
}

// NodesText writes the nodes of a node-affinity rule as rules.cfg does: n1:2,n2.
func (r Rule) NodesText() string { return nodesText(r.Nodes) }

// NodesText writes the nodes of a group the same way.
func (g Group) NodesText() string { return nodesText(g.Nodes) }

func nodesText(nodes []RuleNode) string {
	parts := make([]string, len(nodes))
	for k, n := range nodes {
		parts[k] = string(n.Node)
		if n.Priority != 0 {
			parts[k] += fmt.Sprintf(":%d", n.Priority)
		}
	}
	return strings.Join(parts, ",")
}

func resourceArgs(r Resource) string {
	where := fmt.Sprintf("--failback %d", bit(r.Failback))
	if r.Group != "" { // PVE 8: failback is the group's
		where = "--group " + r.Group
	}
	return fmt.Sprintf("%s --state %s %s --max_restart %d --max_relocate %d", r.SID, r.State, where, r.MaxRestart, r.MaxRelocate) +
		commentArg(r.Comment)
}

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

func commentArg(c string) string {
	if c == "" {
		return ""
	}
	return " --comment '" + strings.ReplaceAll(c, "'", `'\''`) + "'"
}

func joinSIDs(list []SID) string {
	parts := make([]string, len(list))
	for k, s := range list {
		parts[k] = s.String()
	}
	return strings.Join(parts, ",")
}
