package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ownName begins the names of our rules and groups.
const ownName = "psw-"

// Registration is what would make the HA manager's resources and rules what network.yml
// declares. What others made is never touched.
func Registration(s ha.Snapshot) ha.Plan {
	p, _ := newWorld(s).register()
	return p
}

// RegistrationView is Registration for people: also what is unchanged or foreign, and, if
// nothing may be done now, what would be.
func RegistrationView(s ha.Snapshot) ha.PlanView {
	_, v := newWorld(s).register()
	return v
}

// A stage is a part of a registration that must be over before the next begins. A guest
// can be in one node-affinity rule only, a rule can only name guests that are resources,
// and a group cannot go while a resource is in it.
type stage int

const (
	freeRules stage = iota
	makeGroups
	makeResources
	makeRules
	freeResources
	freeGroups
	stagesCount
)

// registration is the difference between what is declared and what is registered, while it
// is being made.
type registration struct {
	*world
	waits   ha.Plan // only its waits
	notices []string
	deeds   [stagesCount][]deed
	as      []ha.Change // unchanged
	foreign []ha.Change
	wants   []want
	// unclear are targets of which it is not known which guest they are: what is registered
	// for them stays.
	unclear map[string]bool
	// names are those that rules and groups have or will have.
	names map[string]bool
}

// deed is one action with the line that tells it.
type deed struct {
	change ha.Change
	action ha.Action
}

// want is a target that is to be protected, and its guest.
type want struct {
	target ha.Target
	guest  ha.Guest
	// nodes are the cluster's nodes the target may or should run on, by name.
	nodes []ha.RuleNode
}

func (w *world) register() (ha.Plan, ha.PlanView) {
	var p ha.Plan
	if !w.InventoryFresh() {
		blockAll(&p, w.gates())
		return p, ha.PlanView{Waits: p.Waits}
	}
	blockAll(&p, w.gates())
	if why, fix := w.unreadable(); why != "" {
		p.Block("cluster", why, fix)
		return p, ha.PlanView{Waits: p.Waits}
	}
	may := len(p.Waits) == 0
	r := w.registration()
	v := ha.PlanView{Waits: slices.Concat(p.Waits, r.waits.Waits), Notices: r.notices}
	for _, list := range r.deeds {
		for _, d := range list {
			v.Changes = append(v.Changes, d.change)
			if may {
				p.Do(d.action)
			}
		}
	}
	v.Changes = slices.Concat(v.Changes, r.as, r.foreign)
	p.Waits = v.Waits
	return p, v
}

// registration makes the difference. The caller has made sure that it can be known.
func (w *world) registration() *registration {
	r := &registration{world: w, unclear: make(map[string]bool), names: make(map[string]bool)}
	r.declare()
	if w.Inventory.UsesGroups() {
		r.group()
	} else {
		r.bind()
	}
	r.unregister()
	r.notice()
	bySubject := func(a, b ha.Change) int { return strings.Compare(a.Subject, b.Subject) }
	for _, list := range r.deeds {
		slices.SortStableFunc(list, func(a, b deed) int { return bySubject(a.change, b.change) })
	}
	slices.SortStableFunc(r.as, bySubject)
	slices.SortStableFunc(r.foreign, bySubject)
	return r
}

// unreadable says what of the registration is not known: what could not be read is not
// absent, and what Proxmox is about to rewrite must not be written.
func (w *world) unreadable() (why, fix string) {
	if why := w.Inventory.Unread("rules"); why != "" {
		return "the HA rules could not be read: " + why, "see whether `ha-manager rules list` answers on a node"
	}
	if w.Inventory.UsesGroups() {
		return "", ""
	}
	for _, r := range w.Inventory.Resources {
		if r.Group != "" {
			return fmt.Sprintf("the HA groups of Proxmox VE 8 are not rules yet (%s is in group %s); the HA manager turns them into rules by itself%s",
				r.SID, r.Group, w.notMigrating()), "then ask again; `journalctl -u pve-ha-crm` on the master says what it waits for"
		}
	}
	return "", ""
}

// notMigrating says what keeps the HA manager from turning groups into rules, as far as it
// is seen: it wants every node online, and every LRM active (pve-ha-manager 5.2.0).
func (w *world) notMigrating() string {
	var out []string
	for _, n := range w.Inventory.HA.Nodes {
		switch {
		case n.State != ha.NodeOnline:
			out = append(out, fmt.Sprintf("%s is %s", n.Name, n.State))
		case n.LRMMode != "" && n.LRMMode != "active":
			out = append(out, fmt.Sprintf("the LRM of %s is in mode %s", n.Name, n.LRMMode))
		}
	}
	if out == nil {
		return ", as soon as every node runs Proxmox VE 9"
	}
	return ", but waits: " + strings.Join(out, ", ")
}

// declare goes through the declared targets and registers their guests.
func (r *registration) declare() {
	of := make(map[ha.SID]string)
	for _, t := range r.Policy.Targets {
		if t.Type == ha.TargetBare || !t.HA {
			continue
		}
		g, err := r.GuestOf(t)
		switch {
		case ha.KindOf(err) == ha.Conflict:
			r.refuse(t, err.Error(), "name its VMID in .psw/converge/state.yml")
			continue
		case err != nil:
			r.refuse(t, err.Error(), "create the guest, or name its VMID in .psw/converge/state.yml")
			continue
		case !kindFits(t.Type, g.SID.Kind):
			r.refuse(t, fmt.Sprintf("network.yml says type: %s, but %s is a %s", t.Type, g.SID, kindWord(g.SID.Kind)),
				"correct type in network.yml, or the VMID in .psw/converge/state.yml")
			continue
		case of[g.SID] != "":
			r.refuse(t, fmt.Sprintf("%s is target %s already", g.SID, of[g.SID]), "give each target a guest of its own in .psw/converge/state.yml")
			continue
		}
		nodes, missing := r.nodesOf(t)
		if len(missing) > 0 {
			why := fmt.Sprintf("network.yml names %s, which the cluster does not have", joinNodes(missing))
			fix := "join it: `psw node cluster`, or take it out of network.yml"
			if t.Options.Strict || len(nodes) == 0 {
				r.refuse(t, why, fix) // protecting it without its rule would let it run where it must not
				continue
			}
			r.waits.Block(t.Name, why, fix)
		}
		of[g.SID] = t.Name
		r.wants = append(r.wants, want{target: t, guest: g, nodes: nodes})
	}
	for _, x := range r.wants {
		if !r.Inventory.UsesGroups() {
			r.resource(x, x.target.Resource(x.guest.SID))
		}
	}
}

// refuse says why a target is not protected. What is registered for it stays.
func (r *registration) refuse(t ha.Target, why, fix string) {
	r.unclear[t.Name] = true
	r.waits.Block(t.Name, why, fix)
}

func kindFits(t ha.TargetType, k ha.GuestKind) bool {
	return t == ha.TargetVM && k == ha.VM || t == ha.TargetLXC && k == ha.CT
}

func kindWord(k ha.GuestKind) string {
	if k == ha.CT {
		return "container"
	}
	return "virtual machine"
}

// nodesOf are the nodes a target may or should run on, and those of them the cluster does
// not have.
func (w *world) nodesOf(t ha.Target) (nodes []ha.RuleNode, missing []ha.NodeName) {
	for _, n := range t.RuleNodes() {
		if _, ok := w.Inventory.Node(n.Node); ok {
			nodes = append(nodes, n)
		} else {
			missing = append(missing, n.Node)
		}
	}
	return nodes, missing
}

// notice says what the cluster does that nobody reads out of a list of differences.
func (r *registration) notice() {
	o := r.Inventory.Options
	if o.AutoRebalance {
		r.notices = append(r.notices, "Proxmox rebalances by itself: it may move a target away from its node at any time; "+
			"switch it off under Datacenter, Options, Cluster Resource Scheduling")
	}
	if o.RebalanceOnStart {
		r.notices = append(r.notices, "Proxmox rebalances on start: a target that is stopped now may be started on another node than its own")
	}
}

// do adds a deed to its stage.
func (r *registration) do(s stage, k ha.ChangeKind, subject, text string, a ha.Action) {
	r.deeds[s] = append(r.deeds[s], deed{ha.Change{Kind: k, Subject: subject, Text: text, Command: a.Command()}, a})
}

// is notes what is as it should be.
func (r *registration) is(subject, text string) {
	r.as = append(r.as, ha.Change{Kind: ha.ChangeUnchanged, Subject: subject, Text: text})
}

// others notes what somebody else made.
func (r *registration) others(subject, text string) {
	r.foreign = append(r.foreign, ha.Change{Kind: ha.ChangeForeign, Subject: subject, Text: text})
}

// ownNameOf makes a name for a target's rule or group that nothing else has. Names in
// Proxmox are a letter first, then letters, digits, - and _; target names may have more.
func (r *registration) ownNameOf(t ha.Target, sid ha.SID) string {
	name := []byte(ownName + strings.ToLower(t.Name))
	for k, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			name[k] = '-'
		}
	}
	out := string(name)
	if r.names[out] {
		out = fmt.Sprintf("%s-%d", out, sid.ID)
	}
	r.names[out] = true
	return out
}
