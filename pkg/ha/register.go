package ha

import (
	"fmt"
	"strings"
)

// AddResource makes a guest HA-managed.
type AddResource struct{ Resource Resource }

// UpdateResource changes the configuration of a resource. Resource holds all its values
// as they shall be; Digest, if set, is the file it was planned from.
type UpdateResource struct{ Resource Resource }

// RemoveResource ends HA management; the guest is left as it is.
type RemoveResource struct{ SID SID }

// PutRule creates an HA rule or changes the one of that ID.
type PutRule struct {
	Rule   Rule
	Create bool
}

// RemoveRule deletes an HA rule.
type RemoveRule struct{ ID string }

func (AddResource) action()    {}
func (UpdateResource) action() {}
func (RemoveResource) action() {}
func (PutRule) action()        {}
func (RemoveRule) action()     {}

func (a AddResource) String() string    { return fmt.Sprintf("register %s", a.Resource.SID) }
func (a UpdateResource) String() string { return fmt.Sprintf("change %s", a.Resource.SID) }
func (a RemoveResource) String() string { return fmt.Sprintf("unregister %s", a.SID) }
func (a RemoveRule) String() string     { return fmt.Sprintf("remove rule %s", a.ID) }

func (a PutRule) String() string {
	if a.Create {
		return fmt.Sprintf("create rule %s", a.Rule.ID)
	}
	return fmt.Sprintf("change rule %s", a.Rule.ID)
}

// Command is the stock command.
func (a AddResource) Command() string { return "ha-manager add " + resourceArgs(a.Resource) }

// Command is the stock command.
func (a UpdateResource) Command() string { return "ha-manager set " + resourceArgs(a.Resource) }

// Command is the stock command. Without purge Proxmox would also take the guest out of
// rules that others made (the default of the API is purge=1).
func (a RemoveResource) Command() string { return fmt.Sprintf("ha-manager remove %s --purge 0", a.SID) }

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
		if r.Strict {
			s += " --strict 1"
		}
	} else {
		s += " --affinity " + string(r.Affinity)
	}
	return s + commentArg(r.Comment)
}

// NodesText writes the nodes of a node-affinity rule as rules.cfg does: n1:2,n2.
func (r Rule) NodesText() string {
	parts := make([]string, len(r.Nodes))
	for k, n := range r.Nodes {
		parts[k] = string(n.Node)
		if n.Priority != 0 {
			parts[k] += fmt.Sprintf(":%d", n.Priority)
		}
	}
	return strings.Join(parts, ",")
}

func resourceArgs(r Resource) string {
	failback := 0
	if r.Failback {
		failback = 1
	}
	return fmt.Sprintf("%s --state %s --failback %d --max_restart %d --max_relocate %d",
		r.SID, r.State, failback, r.MaxRestart, r.MaxRelocate) + commentArg(r.Comment)
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
