package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// teller turns what happened in the virtual cluster into a prediction.
type teller struct {
	w   *world
	c   *crm.Cluster
	log []crm.Event // since the fault, by time
	// before is where each guest ran when the fault came; armed whose watchdog was open.
	before map[ha.SID]ha.NodeName
	armed  map[ha.NodeName]bool
}

func (t *teller) nodes() []NodeOutcome {
	out := make([]NodeOutcome, 0, len(t.w.s.Inventory.Nodes))
	index := make(map[string]int)
	for _, n := range t.w.s.Inventory.Nodes {
		index[string(n.Name)] = len(out)
		out = append(out, NodeOutcome{Node: n.Name, Up: t.c.Up(string(n.Name)), Quorate: t.c.Quorate(string(n.Name))})
	}
	for _, e := range t.log {
		k, known := index[e.Node]
		if !known {
			continue
		}
		n := &out[k]
		switch e.Kind {
		case crm.QuorumLost:
			n.LosesQuorum, n.LosesQuorumAt = true, since(e.At)
		case crm.NodeReset:
			n.SelfFences, n.SelfFencesLatest = true, since(e.At)+crm.LRMRound*time.Second
			n.SelfFencesEarliest = max(0, since(e.At)-crm.DeviceTimeout*time.Second)
		case crm.NodeChange:
			if e.From == crm.NodeFence && e.To == crm.NodeUnknown {
				n.FencedAt = since(e.At)
			}
		}
	}
	return out
}

// course is what happened to one guest.
type course struct {
	started, stopped int64
	at               string // where it was started last
	failed, hung     string // the node of the last failed or hanging job
}

func (t *teller) courses() map[ha.SID]course {
	out := make(map[ha.SID]course)
	for _, e := range t.log {
		if e.SID == "" || e.Kind == crm.ServiceMoved {
			continue
		}
		sid := ha.MustSID(e.SID)
		c := out[sid]
		switch e.Kind {
		case crm.GuestStarted:
			c.started, c.at = e.At, e.Node
		case crm.GuestStopped:
			c.stopped = e.At
		case crm.GuestFailed:
			c.failed = e.Node
		case crm.GuestHangs:
			c.hung = e.Node
		}
		out[sid] = c
	}
	return out
}

// targets tells what becomes of each guest that the fault touches.
func (t *teller) targets() (touched []TargetOutcome, untouched int) {
	courses := t.courses()
	after := t.w.runsNow(t.c)
	downAt := make(map[ha.NodeName]time.Duration)
	for _, n := range t.nodes() {
		if n.SelfFences {
			downAt[n.Node] = n.SelfFencesLatest - crm.LRMRound*time.Second
		}
	}
	for _, g := range t.w.s.Inventory.Guests {
		from, ran := t.before[g.SID]
		if !ran {
			continue
		}
		_, managed := t.w.services[g.SID]
		o := TargetOutcome{SID: g.SID, Name: t.w.name(g.SID), Managed: managed, From: from, DownAt: downAt[from]}
		to, runs := after[g.SID]
		c := courses[g.SID]
		switch {
		case runs && to == from && c.started == 0:
			if !t.stays(&o) {
				untouched++
				continue
			}
		case runs:
			o.To, o.Fate = to, Moved
			if c.stopped > 0 {
				o.DownAt = since(c.stopped)
			}
			if !t.c.Up(string(from)) || c.stopped > 0 {
				o.Fate, o.UpAt = Restarted, since(c.started)
				o.RTO = o.UpAt
			}
		default:
			t.down(&o, c)
		}
		touched = append(touched, o)
	}
	return touched, untouched
}

// stays tells of a guest that runs on where it ran; false if nothing touches it.
func (t *teller) stays(o *TargetOutcome) bool {
	switch {
	case t.w.hangs(o.SID, o.From):
		o.Fate, o.To = Hanging, o.From
		o.Why = "its process runs and waits for the NFS server; Proxmox does not look at storage and does nothing"
	case !t.c.Quorate(string(o.From)):
		o.Fate, o.To = CutOff, o.From
		o.Why = fmt.Sprintf("%s has no quorum, but no HA guest armed its watchdog: it is not reset", o.From)
	default:
		return false
	}
	return true
}

// down tells why a guest that ran does not run any more.
func (t *teller) down(o *TargetOutcome, c course) {
	o.Fate = StaysDown
	st := t.c.Status()
	svc, known := st.Services[o.SID.String()]
	switch {
	case !o.Managed:
		o.Why = fmt.Sprintf("it is not HA-managed: it comes back with %s, if it starts at boot", o.From)
	case c.hung != "":
		o.Fate, o.To = Hanging, ha.NodeName(c.hung)
		o.Why = fmt.Sprintf("it is being started on %s and waits for the NFS server", c.hung)
	case known && t.c.Stuck(o.SID.String(), svc.Node):
		o.Fate, o.To = Hanging, ha.NodeName(svc.Node)
		o.Why = fmt.Sprintf("all workers of the LRM on %s wait for the NFS server", svc.Node)
	case !t.anyQuorate():
		o.Why = "no side of the cluster has quorum: nobody starts anything until enough nodes are back"
	case st.Disarm != nil:
		o.Why = "the HA stack is disarmed"
	case known && svc.State == crm.Recovery:
		o.Fate = NoPlace
		o.Why = t.w.whyNowhere(o.SID, o.From, t.c)
	case known && svc.State == crm.ErrorState:
		o.Fate = InError
		o.Why = "starts failed until the HA manager gave it up"
		if c.failed != "" {
			if why := t.w.bound(o.SID, ha.NodeName(c.failed)); why != "" {
				o.Why += ": " + why
			}
		}
	case known && svc.State == crm.Freeze:
		o.Why = "it is frozen: the HA manager waits for its node"
	case known && svc.State == crm.Stopped:
		o.Why = "it is requested stopped"
	default:
		o.Fate = Unsettled
		o.Why = fmt.Sprintf("the HA manager is still at it (%s) when the forecast ends", svc.State)
	}
}

func (t *teller) anyQuorate() bool {
	return slices.ContainsFunc(t.w.s.Inventory.Nodes, func(n ha.Node) bool { return t.c.Quorate(string(n.Name)) })
}

// whyNowhere says why no node is selected for a service.
func (w *world) whyNowhere(sid ha.SID, from ha.NodeName, c *crm.Cluster) string {
	var reasons []string
	for _, k := range w.rules[sid] {
		r := w.s.Inventory.Rules[k]
		switch {
		case r.Type == ha.NodeAffinity && r.Strict:
			reasons = append(reasons, fmt.Sprintf("rule %s allows %s only", r.ID, r.NodesText()))
		case r.Type == ha.NodeAffinity:
			reasons = append(reasons, fmt.Sprintf("rule %s prefers %s, and lower classes are not tried while one of the highest is online", r.ID, r.NodesText()))
		case r.Affinity == ha.Negative:
			reasons = append(reasons, fmt.Sprintf("rule %s keeps it apart from guests on the other nodes", r.ID))
		}
	}
	if len(reasons) == 0 {
		return "no node that the HA manager calls online is left for it"
	}
	return strings.Join(reasons, "; ")
}

// overcommits are the nodes that were given more than they have.
func (t *teller) overcommits(touched []TargetOutcome) []Overcommit {
	assigned := make(map[ha.NodeName]int64)
	for sid, n := range t.w.runsNow(t.c) {
		assigned[n] += t.w.guest[sid].MemoryMax
	}
	arrived := make(map[ha.NodeName][]ha.SID)
	for _, o := range touched {
		if o.To != "" && o.To != o.From && (o.Fate == Restarted || o.Fate == Moved) {
			arrived[o.To] = append(arrived[o.To], o.SID)
		}
	}
	var out []Overcommit
	for _, n := range t.w.s.Inventory.Nodes {
		reserve := ha.HostReserve(n.MemoryMax)
		over := assigned[n.Name] - (n.MemoryMax - reserve)
		if over > 0 && len(arrived[n.Name]) > 0 {
			out = append(out, Overcommit{Node: n.Name, Assigned: assigned[n.Name], Memory: n.MemoryMax, Reserve: reserve, Over: over, Guests: arrived[n.Name]})
		}
	}
	return out
}

// timeLine tells what happens in words.
func (t *teller) timeLine() []Entry {
	out := t.w.opening()
	if len(t.w.fault.Nodes)+len(t.w.fault.Partition)+len(t.w.fault.Links) > 0 {
		out = append(out, Entry{At: detect * time.Second, Text: "corosync forms a new membership; until now /etc/pve did not answer"})
	}
	for _, e := range t.log {
		if s := t.sentence(e); s != "" {
			out = append(out, Entry{At: since(e.At), Text: s})
		}
	}
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.At, b.At) })
	return out
}

// opening are the lines of the fault itself.
func (w *world) opening() []Entry {
	f := w.fault
	var out []Entry
	say := func(format string, args ...any) { out = append(out, Entry{Text: fmt.Sprintf(format, args...)}) }
	for _, n := range f.Nodes {
		say("%s loses power", n)
	}
	for _, l := range f.Links {
		say("corosync link %d is cut everywhere", l)
	}
	if sides := w.sides(); len(sides) > 0 {
		parts := make([]string, len(sides))
		for k, side := range sides {
			parts[k] = strings.Join(side, ", ")
		}
		say("the cluster network falls apart: %s", strings.Join(parts, " | "))
	} else if len(f.Links) > 0 {
		say("every node still reaches every other over another link: nothing happens")
	}
	switch {
	case f.NFS:
		say("the NFS storages stop answering on every node: processes with a disk there wait for ever")
	case len(f.NFSNodes) > 0:
		for _, n := range f.NFSNodes {
			say("the NFS storages stop answering on %s", n)
		}
	}
	return out
}

func (t *teller) sentence(e crm.Event) string {
	guest := ""
	if e.SID != "" {
		guest = t.w.label(ha.MustSID(e.SID))
	}
	switch e.Kind {
	case crm.QuorumLost:
		if t.armed[ha.NodeName(e.Node)] {
			return fmt.Sprintf("%s has no quorum: it cannot refresh its lock, so it does not feed its watchdog any more", e.Node)
		}
		return fmt.Sprintf("%s has no quorum; its watchdog is not armed", e.Node)
	case crm.NodeReset:
		return fmt.Sprintf("%s is reset by its own watchdog (give or take %d s)", e.Node, crm.DeviceTimeout)
	case crm.MasterChange:
		return fmt.Sprintf("%s takes the manager lock and becomes HA master", e.Node)
	case crm.NodeChange:
		return nodeSentence(e)
	case crm.ServiceMoved:
		switch {
		case e.From == crm.Recovery && e.To != crm.Stopped:
			return fmt.Sprintf("%s is recovered to %s", guest, e.Node)
		case e.From == crm.Fence && e.To == crm.Started || e.From == crm.Started && e.To == crm.Started:
			return fmt.Sprintf("%s is recovered to %s", guest, e.Node)
		case e.To == crm.Recovery:
			return fmt.Sprintf("%s waits in recovery: no node is found for it", guest)
		case e.To == crm.ErrorState:
			return fmt.Sprintf("%s goes to error: the HA manager gives it up", guest)
		case e.To == crm.Migrate || e.To == crm.Relocate:
			return fmt.Sprintf("%s is to be moved away from %s", guest, e.Node)
		}
	case crm.GuestStarted:
		return fmt.Sprintf("%s runs on %s", guest, e.Node)
	case crm.GuestStopped:
		return fmt.Sprintf("%s is stopped on %s", guest, e.Node)
	case crm.GuestFailed:
		return fmt.Sprintf("%s cannot be started or moved on %s", guest, e.Node)
	case crm.GuestHangs:
		return fmt.Sprintf("%s hangs on %s: its disk does not answer", guest, e.Node)
	}
	return ""
}

func nodeSentence(e crm.Event) string {
	switch {
	case e.From == crm.NodeFence && e.To == crm.NodeUnknown:
		return fmt.Sprintf("%s is fenced: its agent lock has expired and the HA master holds it", e.Node)
	case e.To == crm.NodeFence:
		return fmt.Sprintf("the HA manager wants to fence %s and waits for its agent lock to expire", e.Node)
	}
	return fmt.Sprintf("the HA manager calls %s %s", e.Node, e.To)
}

// assumptions are what the forecast takes for granted.
func (w *world) assumptions() []string {
	out := []string{
		fmt.Sprintf("pve-ha-manager 5.2.0's rounds, locks and scheduler; the master last ran %d s before the fault; times are good to two rounds (%d s)", crm.MasterRound/2, exactness),
		fmt.Sprintf("corosync needs %d s to see that a node is gone", detect),
		fmt.Sprintf("a guest's process runs %d s after its start begins; what boots inside comes on top", startSeconds),
		fmt.Sprintf("a shutdown takes %d s, a live migration %d s and 1 s for each %d MiB", stopSeconds, moveSeconds, moveBytesPerSecond>>20),
		"nodes that lost power or were reset do not come back before the forecast ends",
		"Proxmox never refuses a start for lack of memory: a node can be given more than it has",
	}
	var unread int
	for sid := range w.services {
		if _, known := w.config[sid]; !known {
			unread++
		}
	}
	if unread > 0 {
		out = append(out, fmt.Sprintf("%d HA guests' configurations are not known: their disks are taken to be reachable from every node", unread))
	}
	switch q, _ := w.votes(); {
	case q == 0:
		out = append(out, "no agent reports corosync's votes: one vote a node, and more than half are needed")
	case 2*q <= len(w.s.Inventory.Nodes):
		out = append(out, fmt.Sprintf("corosync asks for %d of %d votes: after a cut both halves may go on and start the same guests; the forecast follows one. A QDevice prevents it", q, len(w.s.Inventory.Nodes)))
	}
	if len(w.fault.Links) > 0 {
		out = append(out, "links are as the agents see them now; corosync needs every pair of a side connected")
	}
	if w.s.Inventory.Options.Scheduler == "dynamic" {
		out = append(out, "the dynamic scheduler reads loads of the moment of the snapshot; a guest's CPU load is not known and counts as none")
	}
	return out
}
