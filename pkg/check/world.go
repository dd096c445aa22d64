package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Parts of an inventory, as coordinator/pve names them at the head of a Failure
// ("storages: 595 …").
const (
	partCluster   = "cluster"
	partNodes     = "nodes"
	partGuests    = "guests"
	partStorages  = "storages"
	partResources = "resources"
	partRules     = "rules"
	partHA        = "ha"
	partArmed     = "armed"
	partOptions   = "options"
	partTasks     = "tasks"
)

var parts = []string{partCluster, partNodes, partGuests, partStorages, partResources, partRules, partHA, partArmed, partOptions, partTasks}

// world is the snapshot with the indexes the checks need.
type world struct {
	s      ha.Snapshot
	policy ha.Policy
	// alone: there is one report and nothing else.
	alone bool
	// nodes are the nodes to judge, by name: declared, members, and those that report and
	// are more than spare.
	nodes   []ha.NodeName
	reports map[ha.NodeName]ha.Report // fresh ones only
	targets []managed
	places  map[ha.SID][]place
	// affinities are the node-affinity rules that bind, by guest. The HA manager allows
	// a guest in one such rule only (pve-ha-manager 5.2.0).
	affinities map[ha.SID]ha.Rule
	// unreachable are the online nodes where a storage is not available, by storage.
	unreachable map[string][]ha.NodeName
	byID        map[int]ha.NodeName // whose corosync answered, by its node id
	// away are the members the API calls offline, by corosync's node id. That they are
	// away is NODE_OFFLINE's to say, and no fault of those who cannot reach them.
	away map[int]bool
}

// managed is a target with ha: true and the guest it is.
type managed struct {
	ha.Target
	guest ha.Guest
	// err is why there is no such guest, or no single one.
	err error
}

// place is a guest process on a node that reports.
type place struct {
	node ha.NodeName
	ha.LocalGuest
}

// node is a fresh report and the world around it.
type node struct {
	ha.Report
	w *world
}

func newLoneWorld(r ha.Report) *world {
	return &world{alone: true, nodes: []ha.NodeName{r.Node}, reports: map[ha.NodeName]ha.Report{r.Node: r}}
}

func newWorld(s ha.Snapshot, p *ha.Policy) *world {
	if p != nil {
		s.Policy = *p
	}
	s = sorted(s)
	w := &world{s: s, policy: s.Policy, reports: make(map[ha.NodeName]ha.Report), places: make(map[ha.SID][]place)}
	w.nodes = slices.Clone(w.policy.Cluster.Nodes)
	for _, n := range s.Inventory.Nodes {
		w.nodes = append(w.nodes, n.Name)
	}
	for _, r := range s.Reports {
		if spare(s, r) || departed(s, r) {
			continue
		}
		w.nodes = append(w.nodes, r.Node)
		if fresh, ok := s.FreshReport(r.Node); ok {
			w.reports[r.Node] = fresh
		}
	}
	slices.Sort(w.nodes)
	w.nodes = slices.Compact(w.nodes)
	w.indexReports()
	w.targets = findManaged(s)
	w.indexRules()
	w.indexInventory()
	return w
}

// spare reports whether a machine only waits to be declared: by its own account it is in no
// cluster and holds no guest, and the cluster does not know of it. It can neither help nor
// harm; a node that believes it is a member can.
func spare(s ha.Snapshot, r ha.Report) bool {
	_, member := s.Inventory.Node(r.Node)
	if member || slices.Contains(s.Policy.Cluster.Nodes, r.Node) || !s.InventoryFresh() || s.Inventory.Cluster.Standalone {
		return false
	}
	for _, probe := range []string{ha.ProbeMembership, ha.ProbeGuests, ha.ProbeGuestConfigs} {
		if _, failed := r.Failed(probe); failed {
			return false
		}
	}
	return !r.Membership.Clustered && len(r.Running) == 0 && len(r.GuestConfigs) == 0 && !r.Corosync.Running
}

// departed reports whether a node left for good: the cluster does not know of it, nobody
// declares it, and either it was removed since it was last heard, which somebody vouched for,
// or the HA manager has forgotten it by now. Its last words would count as a silence for ever.
func departed(s ha.Snapshot, r ha.Report) bool {
	_, member := s.Inventory.Node(r.Node)
	if member || slices.Contains(s.Policy.Cluster.Nodes, r.Node) || !s.InventoryFresh() || s.Inventory.Cluster.Standalone {
		return false
	}
	return s.At.Sub(r.Received) > ha.GoneForgottenAfter || slices.ContainsFunc(s.Operations, func(o ha.Operation) bool {
		return o.Kind == ha.OperationRemoveNode && o.Node == r.Node && o.Outcome == ha.OperationDone && o.EndedAt.After(r.Received)
	})
}

func (w *world) indexReports() {
	w.byID = make(map[int]ha.NodeName)
	for _, name := range w.nodes {
		if r, _, ok := w.answered(name, ha.ProbeGuests); ok {
			for _, g := range r.Running {
				w.places[g.SID] = append(w.places[g.SID], place{node: name, LocalGuest: g})
			}
		}
		if r, _, ok := w.answered(name, ha.ProbeCorosync); ok && r.Corosync.Running {
			w.byID[r.Corosync.NodeID] = name
		}
	}
}

func (w *world) indexRules() {
	w.affinities = make(map[ha.SID]ha.Rule)
	for _, r := range w.s.Inventory.Rules {
		if r.Type != ha.NodeAffinity || !r.Binds() || len(r.Nodes) == 0 {
			continue
		}
		for _, sid := range r.Resources {
			if _, taken := w.affinities[sid]; !taken {
				w.affinities[sid] = r
			}
		}
	}
}

func (w *world) indexInventory() {
	w.unreachable = make(map[string][]ha.NodeName)
	w.away = make(map[int]bool)
	for _, n := range w.s.Inventory.Nodes {
		w.away[n.ID] = !n.Online && w.s.InventoryFresh()
	}
	for _, s := range w.s.Inventory.Storages {
		for _, n := range w.s.Inventory.Nodes {
			if n.Online && !s.AvailableOn(n.Name) {
				w.unreachable[s.Name] = append(w.unreachable[s.Name], n.Name)
			}
		}
	}
}

// findManaged finds the guests of all HA targets at once: asking the snapshot for each
// would be quadratic, and clusters have thousands of guests.
func findManaged(s ha.Snapshot) []managed {
	byName := make(map[string][]ha.Guest)
	byID := make(map[int][]ha.Guest)
	for _, g := range s.Inventory.Guests {
		if !g.Template {
			byName[g.Name] = append(byName[g.Name], g)
			byID[g.SID.ID] = append(byID[g.SID.ID], g)
		}
	}
	var list []managed
	for _, t := range s.Policy.Targets {
		if !t.HA || t.Type == ha.TargetBare {
			continue
		}
		m := managed{Target: t}
		found := byID[t.VMID]
		if t.VMID == 0 {
			found = byName[t.Name]
		}
		if len(found) == 1 {
			m.guest = found[0]
		} else {
			_, m.err = s.GuestOf(t)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b managed) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// managed returns the targets with ha: true, by name.
func (w *world) managed() []managed { return w.targets }

// report returns the fresh report of a node.
func (w *world) report(name ha.NodeName) (ha.Report, bool) {
	r, ok := w.reports[name]
	return r, ok
}

// answered returns a node's fresh report if that probe could look, or why not.
func (w *world) answered(name ha.NodeName, probe string) (r ha.Report, why string, ok bool) {
	r, ok = w.reports[name]
	if !ok {
		return r, fmt.Sprintf("there is no fresh report from %s", name), false
	}
	if reason, failed := r.Failed(probe); failed {
		return r, fmt.Sprintf("the %s probe on %s could not look: %s", probe, name, reason), false
	}
	return r, "", true
}

// blind lists why the view of the nodes is incomplete: who did not answer, and that there
// may be nodes nobody knows of. A node that is offline cannot answer; it counts only where
// what it does unseen matters.
func (w *world) blind(probe string, offline bool) []string {
	var why []string
	if reason, missing := w.lacks([]string{partNodes}); missing {
		why = append(why, "which nodes there are is not known: "+reason)
	}
	for _, name := range w.nodes {
		if n, member := w.s.Inventory.Node(name); member && !n.Online && !offline {
			continue
		}
		if _, reason, ok := w.answered(name, probe); !ok {
			why = append(why, reason)
		}
	}
	return why
}

// lacks reports whether the inventory cannot be believed in any of these parts. A
// failure that does not say which part it is of spoils them all.
func (w *world) lacks(need []string) (reason string, missing bool) {
	if len(need) == 0 {
		return "", false
	}
	if !w.s.InventoryFresh() {
		return "the Proxmox API has not answered", true
	}
	for _, f := range w.s.Inventory.Failures {
		part, _, _ := strings.Cut(f, ":")
		if slices.Contains(need, part) || !slices.Contains(parts, part) {
			return "the Proxmox API did not answer in full: " + f, true
		}
	}
	return "", false
}

// declared reports whether the project declares the node a member of the cluster.
func (w *world) declared(name ha.NodeName) bool {
	return slices.Contains(w.policy.Cluster.Nodes, name)
}

// online reports what the API says of a node.
func (w *world) online(name ha.NodeName) bool {
	n, ok := w.s.Inventory.Node(name)
	return ok && n.Online
}

// used reports whether the HA manager has anything to guard.
func (w *world) used() bool { return len(w.s.Inventory.Resources) > 0 }

// fresh reports whether a resource was registered so lately that the HA manager need not have
// taken it up; waking, whether all were, so that it was idle before.
func (w *world) fresh(sid ha.SID) bool { return slices.Contains(w.s.NewResources, sid) }

func (w *world) waking() bool {
	return !slices.ContainsFunc(w.s.Inventory.Resources, func(r ha.Resource) bool { return !w.fresh(r.SID) })
}

// unrecorded is the verdict on a resource of which the HA manager has no record.
func (w *world) unrecorded(sid ha.SID) verdict {
	if w.fresh(sid) {
		return passing("", "%s was registered a moment ago: the HA manager takes it up in one of its next rounds", sid)
	}
	return unknown("", "the HA manager has no record of %s yet", sid)
}

// of returns the names of the HA targets among guests: whom a finding about these
// guests concerns.
func (w *world) of(sids ...ha.SID) []string {
	names := []string{}
	for _, m := range w.targets {
		if m.err == nil && slices.Contains(sids, m.guest.SID) {
			names = append(names, m.Name)
		}
	}
	return names
}

// sorted returns s with the lists the judge searches in their documented order. It
// copies only what is out of order; a snapshot made by the rules is not copied at all.
func sorted(s ha.Snapshot) ha.Snapshot {
	s.Reports = inOrder(s.Reports, func(a, b ha.Report) int { return cmp.Compare(a.Node, b.Node) })
	s.Members = inOrder(s.Members, func(a, b ha.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role))
	})
	i := &s.Inventory
	i.Nodes = inOrder(i.Nodes, func(a, b ha.Node) int { return cmp.Compare(a.Name, b.Name) })
	i.Guests = inOrder(i.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
	i.Storages = inOrder(i.Storages, func(a, b ha.Storage) int { return cmp.Compare(a.Name, b.Name) })
	i.Resources = inOrder(i.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
	i.Rules = inOrder(i.Rules, func(a, b ha.Rule) int { return cmp.Compare(a.ID, b.ID) })
	i.HA.Nodes = inOrder(i.HA.Nodes, func(a, b ha.HANode) int { return cmp.Compare(a.Name, b.Name) })
	i.HA.Services = inOrder(i.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
	s.Policy.Targets = inOrder(s.Policy.Targets, func(a, b ha.Target) int { return cmp.Compare(a.Name, b.Name) })
	s.Policy.Hosts = inOrder(s.Policy.Hosts, func(a, b ha.Host) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func inOrder[T any](list []T, by func(a, b T) int) []T {
	if slices.IsSortedFunc(list, by) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, by)
	return list
}
