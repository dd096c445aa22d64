package planner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// register carries out the lines of a story that are about registration. Comments have _
// for a space.
func (st *story) register(t *testing.T, f []string) (answer string, known bool) {
	inv := &st.s.Inventory
	switch f[0] {
	case "version":
		inv.Version = f[1]
	case "target":
		st.target(t, f[1:])
	case "undeclare":
		st.s.Policy.Targets = slices.DeleteFunc(st.s.Policy.Targets, func(x ha.Target) bool { return x.Name == f[1] })
	case "resource":
		st.resource(t, f[1:])
	case "group":
		st.group(f[1:])
	case "armed":
		inv.HA.Armed = f[1]
	case "rebalances":
		inv.Options.AutoRebalance, inv.Options.RebalanceOnStart = f[1] == "always", f[1] == "start"
	case "unreadable":
		inv.Failures = append(inv.Failures, f[1]+": "+strings.Join(f[2:], " "))
	case "recreated":
		st.recreated(sid(t, f[1]), sid(t, f[2]))
	case "plan":
		return planText(RegistrationView(st.look())), true
	case "apply":
		return st.apply(t), true
	default:
		return "", false
	}
	return "", true
}

// target NAME vm|lxc NODE [noha] [nodes=N,N] [strict] [priority=N:3,N:2] [max_restart=N] [max_relocate=N] [vmid=N]
func (st *story) target(t *testing.T, f []string) {
	x := ha.Target{Name: f[0], Type: ha.TargetType(f[1]), Node: ha.NodeName(f[2]), HA: true}
	number := func(s string) *int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return &n
	}
	for _, o := range f[3:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "noha":
			x.HA = false
		case "nodes":
			for n := range strings.SplitSeq(val, ",") {
				x.Options.Nodes = append(x.Options.Nodes, ha.NodeName(n))
			}
		case "strict":
			x.Options.Strict = true
		case "priority":
			for s := range strings.SplitSeq(val, ",") {
				n, p, _ := strings.Cut(s, ":")
				x.Options.Priority = append(x.Options.Priority, ha.RuleNode{Node: ha.NodeName(n), Priority: *number(p)})
			}
		case "max_restart":
			x.Options.MaxRestart = number(val)
		case "max_relocate":
			x.Options.MaxRelocate = number(val)
		case "vmid":
			x.VMID = *number(val)
		default:
			t.Fatalf("target: unknown option %q", o)
		}
	}
	list := slices.DeleteFunc(st.s.Policy.Targets, func(y ha.Target) bool { return y.Name == x.Name })
	st.s.Policy.Targets = append(list, x)
	slices.SortFunc(st.s.Policy.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) })
}

// resource SID [state=S] [max_restart=N] [max_relocate=N] [failback=off] [group=G] [comment=C] | resource SID gone
func (st *story) resource(t *testing.T, f []string) {
	r := ha.Resource{SID: sid(t, f[0]), State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}
	if slices.Contains(f, "gone") {
		st.setResource(r.SID, nil)
		return
	}
	for _, o := range f[1:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "state":
			r.State = ha.RequestState(val)
		case "max_restart":
			r.MaxRestart, _ = strconv.Atoi(val)
		case "max_relocate":
			r.MaxRelocate, _ = strconv.Atoi(val)
		case "failback":
			r.Failback = val != "off"
		case "group":
			r.Group = val
		case "comment":
			r.Comment = strings.ReplaceAll(val, "_", " ")
		default:
			t.Fatalf("resource: unknown option %q", o)
		}
	}
	st.setResource(r.SID, &r)
}

// setResource puts a resource and the HA manager's record of it in, or both out.
func (st *story) setResource(s ha.SID, r *ha.Resource) {
	inv := &st.s.Inventory
	inv.Resources = slices.DeleteFunc(inv.Resources, func(x ha.Resource) bool { return x.SID == s })
	if r == nil {
		inv.HA.Services = slices.DeleteFunc(inv.HA.Services, func(x ha.HAService) bool { return x.SID == s })
		return
	}
	inv.Resources = append(inv.Resources, *r)
	slices.SortFunc(inv.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
	if _, known := inv.HA.Service(s); !known {
		svc := ha.HAService{SID: s, State: ha.ServiceStarted, Running: true}
		if g, ok := inv.Guest(s); ok {
			svc.Node = g.Node
		}
		inv.HA.Services = append(inv.HA.Services, svc)
		slices.SortFunc(inv.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
	}
}

// group NAME node1:2,node2 [restricted] [nofailback] [comment=C]
func (st *story) group(f []string) {
	g := ha.Group{Name: f[0], Restricted: slices.Contains(f, "restricted"), NoFailback: slices.Contains(f, "nofailback")}
	for s := range strings.SplitSeq(f[1], ",") {
		n, p, _ := strings.Cut(s, ":")
		prio, _ := strconv.Atoi(p)
		g.Nodes = append(g.Nodes, ha.RuleNode{Node: ha.NodeName(n), Priority: prio})
	}
	for _, o := range f[2:] {
		if val, ok := strings.CutPrefix(o, "comment="); ok {
			g.Comment = strings.ReplaceAll(val, "_", " ")
		}
	}
	st.putGroup(g)
}

func (st *story) putGroup(g ha.Group) {
	inv := &st.s.Inventory
	inv.Groups = append(slices.DeleteFunc(inv.Groups, func(x ha.Group) bool { return x.Name == g.Name }), g)
	slices.SortFunc(inv.Groups, func(a, b ha.Group) int { return strings.Compare(a.Name, b.Name) })
}

// recreated gives a guest another number, as restoring it from a backup does.
func (st *story) recreated(was, is ha.SID) {
	for k := range st.s.Inventory.Guests {
		if g := &st.s.Inventory.Guests[k]; g.SID == was {
			g.SID = is
			st.process(was, "")
			st.process(is, g.Node)
		}
	}
	slices.SortFunc(st.s.Inventory.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
}

func planText(v ha.PlanView) string {
	var b strings.Builder
	for _, c := range v.Changes {
		fmt.Fprintf(&b, "%-9s %s: %s\n", c.Kind, c.Subject, c.Text)
	}
	for _, n := range v.Notices {
		fmt.Fprintf(&b, "notice    %s\n", n)
	}
	for _, x := range v.Waits {
		fmt.Fprintf(&b, "block     %s\n          fix: %s\n", x, x.Fix)
	}
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

// apply does what is planned, as Proxmox would: it insists on the order Proxmox insists on.
// Planned again afterwards, nothing may be left to do.
func (st *story) apply(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, a := range Registration(st.look()).Actions {
		fmt.Fprintf(&b, "do        %s\n", a.Command())
		if why := st.obey(a); why != "" {
			t.Errorf("Proxmox would refuse %q: %s", a, why)
		}
	}
	if b.Len() == 0 {
		b.WriteString("nothing to do\n")
	}
	for _, a := range Registration(st.look()).Actions {
		t.Errorf("done, and planned again: %q", a.Command())
	}
	return b.String()
}

// obey changes the story's cluster, or says why Proxmox would not.
func (st *story) obey(a ha.Action) string {
	inv := &st.s.Inventory
	groupUsed := func(name string) bool {
		return slices.ContainsFunc(inv.Resources, func(r ha.Resource) bool { return r.Group == name })
	}
	switch a := a.(type) {
	case ha.AddResource:
		if _, there := inv.Resource(a.Resource.SID); there {
			return "resource ID already defined"
		}
		st.setResource(a.Resource.SID, &a.Resource)
	case ha.UpdateResource:
		if svc, _ := inv.HA.Service(a.Resource.SID); svc.State == ha.ServiceError && a.Resource.State != ha.RequestDisabled {
			return "in error state, must be disabled and fixed first"
		}
		st.setResource(a.Resource.SID, &a.Resource)
	case ha.RemoveResource:
		st.setResource(a.SID, nil)
	case ha.PutRule:
		rules := slices.DeleteFunc(slices.Clone(inv.Rules), func(r ha.Rule) bool { return r.ID == a.Rule.ID })
		for _, s := range a.Rule.Resources {
			if _, managed := inv.Resource(s); !managed {
				return "cannot use unmanaged resource " + s.String()
			}
			if slices.ContainsFunc(rules, func(r ha.Rule) bool {
				return r.Type == ha.NodeAffinity && !r.Disabled && slices.Contains(r.Resources, s)
			}) {
				return s.String() + " is already used in another node affinity rule"
			}
		}
		inv.Rules = append(rules, a.Rule)
		slices.SortFunc(inv.Rules, func(a, b ha.Rule) int { return strings.Compare(a.ID, b.ID) })
	case ha.RemoveRule:
		inv.Rules = slices.DeleteFunc(inv.Rules, func(r ha.Rule) bool { return r.ID == a.ID })
	case ha.PutGroup:
		st.putGroup(a.Group)
	case ha.RemoveGroup:
		if groupUsed(a.Name) {
			return "group is used"
		}
		inv.Groups = slices.DeleteFunc(inv.Groups, func(g ha.Group) bool { return g.Name == a.Name })
	case ha.Migrate, ha.Shutdown, ha.Start, ha.SetNodeMaintenance, ha.PutStorage, ha.RunHook, ha.ProveStorage, ha.PowerStatus, ha.CutPower,
		ha.CreateCluster, ha.AuthorizeJoin, ha.JoinCluster, ha.RevokeJoin, ha.SetupQDevice, ha.RemoveQDevice, ha.RemoveClusterNode:
		return fmt.Sprintf("%T is no part of a registration", a)
	default:
		return fmt.Sprintf("unknown action %T", a)
	}
	return ""
}
