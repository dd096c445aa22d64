package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// world is a snapshot with what a forecast looks up again and again.
type world struct {
	s     ha.Snapshot
	fault Fault
	// struck: the fault has happened.
	struck bool

	node     map[ha.NodeName]ha.Node
	byID     map[int]ha.NodeName
	guest    map[ha.SID]*ha.Guest
	config   map[ha.SID]ha.GuestConfig
	storage  map[string]ha.Storage
	services map[ha.SID]*ha.Resource // managed: configured, not ignored, and existing
	rules    map[ha.SID][]int        // indexes of the binding rules
	byName   map[string]string       // targets that are the guest of that name
	byVMID   map[int]string          // targets that name their guest's number
}

func newWorld(s ha.Snapshot, what Fault) *world {
	s = inOrder(s)
	w := &world{s: s, fault: what, node: make(map[ha.NodeName]ha.Node), byID: make(map[int]ha.NodeName),
		guest: make(map[ha.SID]*ha.Guest, len(s.Inventory.Guests)), config: make(map[ha.SID]ha.GuestConfig),
		storage: make(map[string]ha.Storage), services: make(map[ha.SID]*ha.Resource, len(s.Inventory.Resources)),
		rules: make(map[ha.SID][]int), byName: make(map[string]string), byVMID: make(map[int]string)}
	for _, n := range s.Inventory.Nodes {
		w.node[n.Name] = n
		if n.ID != 0 {
			w.byID[n.ID] = n.Name
		}
	}
	for k := range s.Inventory.Guests {
		if g := &s.Inventory.Guests[k]; !g.Template {
			w.guest[g.SID] = g
		}
	}
	for _, r := range s.Reports {
		for _, c := range r.GuestConfigs {
			w.config[c.SID] = c
		}
	}
	for _, st := range s.Inventory.Storages {
		w.storage[st.Name] = st
	}
	for k := range s.Inventory.Resources {
		r := &s.Inventory.Resources[k]
		if _, exists := w.guest[r.SID]; exists && r.State != ha.RequestIgnored {
			w.services[r.SID] = r
		}
	}
	for k, r := range s.Inventory.Rules {
		if r.Binds() {
			for _, sid := range r.Resources {
				w.rules[sid] = append(w.rules[sid], k)
			}
		}
	}
	for _, t := range s.Policy.Targets {
		switch {
		case t.Type == ha.TargetBare:
		case t.VMID != 0:
			w.byVMID[t.VMID] = t.Name
		default:
			w.byName[t.Name] = t.Name
		}
	}
	return w
}

// name is how people know a guest: the target it is, else its own name.
func (w *world) name(sid ha.SID) string {
	g, exists := w.guest[sid]
	if !exists {
		return ""
	}
	return cmp.Or(w.byVMID[sid.ID], w.byName[g.Name], g.Name)
}

// inOrder returns the snapshot with its lists in their documented order: a forecast does
// not depend on the order in which somebody wrote a file.
func inOrder(s ha.Snapshot) ha.Snapshot {
	i := &s.Inventory
	i.Nodes = sorted(i.Nodes, func(a, b ha.Node) int { return cmp.Compare(a.Name, b.Name) })
	i.Guests = sorted(i.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
	i.Storages = sorted(i.Storages, func(a, b ha.Storage) int { return cmp.Compare(a.Name, b.Name) })
	i.Resources = sorted(i.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
	i.Rules = sorted(i.Rules, func(a, b ha.Rule) int { return cmp.Compare(a.ID, b.ID) })
	i.HA.Nodes = sorted(i.HA.Nodes, func(a, b ha.HANode) int { return cmp.Compare(a.Name, b.Name) })
	i.HA.Services = sorted(i.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
	s.Reports = sorted(s.Reports, func(a, b ha.Report) int { return cmp.Compare(a.Node, b.Node) })
	return s
}

func sorted[T any](list []T, by func(a, b T) int) []T {
	if slices.IsSortedFunc(list, by) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, by)
	return list
}

// setting makes the virtual cluster's beginning out of the snapshot.
func (w *world) setting() crm.Setting {
	inv := w.s.Inventory
	set := crm.Setting{LRM: map[string]crm.LRMStatus{}, Load: map[string]crm.NodeUsage{}, Detect: detect, Start: w.start, Move: w.move,
		Stop: func(string) int64 { return stopSeconds }}
	set.Nodes = make(map[string]crm.Hardware, len(inv.Nodes))
	set.Services = make(map[string]crm.Service, len(w.services))
	set.Static, set.Dynamic = map[string]crm.GuestUsage{}, map[string]crm.GuestUsage{}
	set.Locks, set.Running = map[string]string{}, map[string]map[string]bool{}
	for _, n := range inv.Nodes {
		set.Nodes[string(n.Name)] = crm.Hardware{Power: n.Online, Network: n.Online, CPUs: float64(n.CPUs), Memory: float64(n.MemoryMax), Version: inv.Version}
		set.Running[string(n.Name)] = map[string]bool{}
		if n.Online {
			set.Load[string(n.Name)] = crm.NodeUsage{CPUUsed: n.CPULoad * float64(n.CPUs), MemoryUsed: float64(n.MemoryUsed)}
		}
	}
	for _, g := range inv.Guests {
		w.addGuest(&set, g)
	}
	for _, r := range inv.Rules {
		set.Rules = append(set.Rules, rule(r))
	}
	set.Options = options(inv.Options)
	set.Manager = w.managerStatus()
	for _, n := range inv.HA.Nodes {
		set.LRM[string(n.Name)] = crm.LRMStatus{State: n.LRMState, Mode: n.LRMMode, Known: n.LRMState != ""}
	}
	set.Quorum, set.QDevice = w.votes()
	return set
}

func (w *world) addGuest(set *crm.Setting, g ha.Guest) {
	if g.Template {
		return
	}
	sid, node := g.SID.String(), string(g.Node)
	size := crm.GuestUsage{MaxCPU: g.CPUs, MaxMemory: float64(g.MemoryMax)}
	r, managed := w.services[g.SID]
	if !managed {
		if g.Running() {
			size.Memory = float64(g.MemoryUsed)
			set.Others = append(set.Others, crm.OtherGuest{SID: sid, Node: node, GuestUsage: size})
		}
		return
	}
	set.Services[sid] = crm.Service{SID: sid, Node: node, State: string(r.State), MaxRestart: r.MaxRestart, MaxRelocate: r.MaxRelocate, Failback: r.Failback}
	set.Static[sid] = size
	set.Dynamic[sid] = crm.GuestUsage{Memory: float64(g.MemoryUsed)}
	if g.Lock != "" {
		set.Locks[sid] = g.Lock
	}
	if g.Running() && set.Running[node] != nil {
		set.Running[node][sid] = true
	}
}

func rule(r ha.Rule) crm.Rule {
	out := crm.Rule{ID: r.ID, Type: string(r.Type), Strict: r.Strict, Affinity: string(r.Affinity), Disabled: !r.Binds()}
	for _, sid := range r.Resources {
		out.Resources = append(out.Resources, sid.String())
	}
	slices.Sort(out.Resources)
	for _, n := range r.Nodes {
		out.Nodes = append(out.Nodes, crm.RuleNode{Node: string(n.Node), Priority: n.Priority})
	}
	return out
}

func options(o ha.Options) crm.Datacenter {
	d := crm.DefaultDatacenter()
	d.ShutdownPolicy = cmp.Or(o.ShutdownPolicy, d.ShutdownPolicy)
	d.Scheduler = cmp.Or(o.Scheduler, d.Scheduler)
	d.MaxWorkers = cmp.Or(o.MaxWorkers, d.MaxWorkers)
	d.RebalanceOnStart, d.AutoRebalance = o.RebalanceOnStart, o.AutoRebalance
	return d
}

func (w *world) managerStatus() crm.ManagerStatus {
	h := w.s.Inventory.HA
	st := crm.ManagerStatus{Master: string(h.Master), Nodes: map[string]string{}, Services: make(map[string]crm.ServiceStatus, len(h.Services)), Requests: map[string]bool{}}
	for _, n := range h.Nodes {
		st.Nodes[string(n.Name)] = n.State
		if n.MaintenanceRequested {
			st.Requests[string(n.Name)] = true
		}
	}
	for _, svc := range h.Services {
		sid := svc.SID.String()
		out := crm.ServiceStatus{Node: string(svc.Node), State: svc.State, UID: "seen-" + sid, Running: svc.Running, Target: string(svc.Target), MaintenanceNode: string(svc.MaintenanceNode)}
		for _, n := range svc.FailedNodes {
			out.FailedNodes = append(out.FailedNodes, string(n))
		}
		if f := strings.Fields(svc.Command); len(f) == 2 && (f[0] == "migrate" || f[0] == "relocate") {
			out.Command = &crm.Command{Verb: f[0], Node: f[1]}
		}
		st.Services[sid] = out
	}
	if h.Armed == "disarming" || h.Armed == "disarmed" {
		st.Disarm = &crm.Disarm{Mode: cmp.Or(h.DisarmMode, "freeze"), State: h.Armed}
	}
	return st
}

// votes is the number of votes a side needs, as corosync says on a node that is quorate,
// and whether a QDevice votes.
func (w *world) votes() (quorum int, qdevice bool) {
	for _, r := range w.s.Reports {
		if c := r.Corosync; c.Quorate && c.Quorum > 0 {
			return c.Quorum, c.QDevice && c.QDeviceAlive
		}
	}
	return 0, w.s.Policy.Cluster.QDevice != nil
}

// onNFS tells whether a guest has a disk on an NFS storage. A guest whose configuration
// nobody has read is taken to, if HA manages it and the cluster has one.
func (w *world) onNFS(sid ha.SID) bool {
	c, known := w.config[sid]
	if known {
		return slices.ContainsFunc(c.Storages, func(name string) bool { return w.storage[name].Type == "nfs" })
	}
	_, managed := w.services[sid]
	return managed && slices.ContainsFunc(w.s.Inventory.Storages, func(st ha.Storage) bool { return st.Type == "nfs" })
}

// hangs tells whether a guest's disk does not answer on node since the fault.
func (w *world) hangs(sid ha.SID, node ha.NodeName) bool {
	return w.struck && (w.fault.NFS || slices.Contains(w.fault.NFSNodes, node)) && w.onNFS(sid)
}

// start tells how a guest's start on node goes.
func (w *world) start(id, node string) (int64, crm.Ending) {
	sid, n := ha.MustSID(id), ha.NodeName(node)
	switch {
	case w.hangs(sid, n):
		return startSeconds, crm.Hangs
	case w.bound(sid, n) != "":
		return startSeconds, crm.Fails
	}
	return startSeconds, crm.Succeeds
}

// move tells how a guest's move goes.
func (w *world) move(id, from, to string, online bool) (int64, crm.Ending) {
	sid := ha.MustSID(id)
	g := w.guest[sid]
	seconds := int64(moveSeconds)
	switch {
	case online:
		seconds += cmp.Or(g.MemoryUsed, g.MemoryMax) / moveBytesPerSecond
	case g.Running():
		seconds += stopSeconds
	}
	switch {
	case w.hangs(sid, ha.NodeName(from)) || w.hangs(sid, ha.NodeName(to)):
		return seconds, crm.Hangs
	case w.bound(sid, ha.NodeName(to)) != "":
		return seconds, crm.Fails
	}
	return seconds, crm.Succeeds
}

// bound says what keeps a guest from running on node, though the manager does not look at
// it: a disk or a device that is not there. "" if nothing is known to.
func (w *world) bound(sid ha.SID, node ha.NodeName) string {
	c, known := w.config[sid]
	if !known {
		return ""
	}
	home := w.at(sid)
	for _, name := range c.Storages {
		st, exists := w.storage[name]
		switch {
		case !exists:
		case !st.Offers(node):
			return fmt.Sprintf("storage %s is not configured on %s", name, node)
		case !st.Shared && node != home:
			return fmt.Sprintf("its disk on %s is on %s only", name, home)
		}
	}
	if len(c.Local) > 0 && node != home {
		return c.Local[0]
	}
	return ""
}

// at is where the snapshot has a guest.
func (w *world) at(sid ha.SID) ha.NodeName {
	if g, exists := w.guest[sid]; exists {
		return g.Node
	}
	return ""
}

// label is a guest as people know it: vm:100 (media).
func (w *world) label(sid ha.SID) string {
	if n := w.name(sid); n != "" {
		return fmt.Sprintf("%s (%s)", sid, n)
	}
	return sid.String()
}

// runsNow is where each guest runs in the virtual cluster: HA's as it has it, the others
// where the snapshot has them, as long as the node has power.
func (w *world) runsNow(c *crm.Cluster) map[ha.SID]ha.NodeName {
	out := make(map[ha.SID]ha.NodeName, len(w.guest))
	running := c.Running()
	for sid, g := range w.guest {
		if _, managed := w.services[sid]; managed {
			if n, runs := running[sid.String()]; runs {
				out[sid] = ha.NodeName(n)
			}
		} else if g.Running() && c.Up(string(g.Node)) {
			out[sid] = g.Node
		}
	}
	return out
}

// armed are the nodes whose watchdog is open.
func (w *world) armed(c *crm.Cluster) map[ha.NodeName]bool {
	out := make(map[ha.NodeName]bool)
	for n := range w.node {
		out[n] = c.Armed(string(n))
	}
	return out
}
