package coordinator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The journal also tells what happened to the cluster, whoever did it: it is the difference
// between what is seen now and what was last seen. The last is stored, so that a
// coordinator whose own node died can tell afterwards what happened meanwhile.

// factBook is what was last seen.
type factBook struct {
	facts store.Facts
	// doubles are the guests that seem to run twice, missing those that are not listed.
	doubles map[ha.SID]double
	missing map[ha.SID]time.Time
}

func (b *factBook) load(st *store.Store) (err error) {
	b.doubles, b.missing = make(map[ha.SID]double), make(map[ha.SID]time.Time)
	b.facts, err = st.Facts()
	return err
}

// The kinds of fact, each the head of a key, and their values.
const (
	factAPI    = "api"     // answers, silent
	factQuorum = "quorum"  // yes, no
	factNode   = "node/"   // online, offline
	factHA     = "ha/"     // node_status
	factAgent  = "agent/"  // reports, silent
	factGuest  = "guest/"  // NODE running, NODE stopped
	factDouble = "double/" // yes
)

// sighting compares one snapshot with the facts and collects what is new.
type sighting struct {
	s       ha.Snapshot
	book    *factBook
	changes store.Facts
	events  []ha.Event
}

// note journals what is new in s.
func (c *Coordinator) note(s ha.Snapshot) error {
	n := &sighting{s: s, book: &c.facts, changes: make(store.Facts)}
	n.agents()
	if n.answers(c.seen.Load().readError) {
		n.cluster()
		n.guests()
	}
	if len(n.changes) == 0 && len(n.events) == 0 {
		return nil
	}
	slices.SortStableFunc(n.events, func(a, b ha.Event) int { return cmp.Compare(rank(a.Type), rank(b.Type)) })
	err := c.change(s.At, func(tx *store.Tx) error {
		if err := tx.SetFacts(n.changes); err != nil {
			return err
		}
		return tx.Journal(n.events...)
	})
	if err != nil {
		return err
	}
	c.facts.take(n.changes)
	c.publish(func(v *sight) { v.witnessed = c.facts.witnessed() })
	c.logEvents(n.events)
	return nil
}

// take remembers what was stored.
func (b *factBook) take(changes store.Facts) {
	for key, value := range changes {
		if value == "" {
			delete(b.facts, key)
		} else {
			b.facts[key] = value
		}
	}
}

// rank puts causes before their effects where one sighting finds both.
func rank(t ha.EventType) int {
	return slices.Index([]ha.EventType{ha.EventAPI, ha.EventQuorum, ha.EventNodeDown, ha.EventNodeUp, ha.EventFenced, ha.EventHAState, ha.EventAgent,
		ha.EventGuestDown, ha.EventGuestMoved, ha.EventGuestUp, ha.EventSplitBrain}, t)
}

// fact notes a value and returns the one before; ok is false if nothing changed or if it is
// seen for the first time, which is no event.
func (n *sighting) fact(key, value string) (before string, ok bool) {
	before, known := n.book.facts[key]
	if before == value {
		return before, false
	}
	n.changes[key] = value
	return before, known
}

func (n *sighting) event(t ha.EventType, node ha.NodeName, sid ha.SID, format string, args ...any) {
	n.events = append(n.events, ha.Event{Type: t, Node: node, SID: sid, Text: fmt.Sprintf(format, args...)})
}

// answers tells whether the API answers; while it does not nothing is known of the cluster.
func (n *sighting) answers(err error) bool {
	if n.s.InventoryFresh() {
		if _, changed := n.fact(factAPI, "answers"); changed {
			n.event(ha.EventAPI, n.s.Inventory.Source, ha.SID{}, "the Proxmox API answers again (%s)", n.s.Inventory.Source)
		}
		return true
	}
	if _, changed := n.fact(factAPI, "silent"); changed {
		n.event(ha.EventAPI, "", ha.SID{}, "the Proxmox API does not answer: %s", errorText(err))
	}
	return false
}

// agents tells who fell silent and who is back.
func (n *sighting) agents() {
	for _, r := range n.s.Reports {
		value := "reports"
		if _, ok := n.s.FreshReport(r.Node); !ok {
			value = "silent"
		}
		if _, changed := n.fact(factAgent+string(r.Node), value); !changed {
			continue
		}
		if value == "silent" {
			n.event(ha.EventAgent, r.Node, ha.SID{}, "the agent of %s has been silent for %s", r.Node, n.s.At.Sub(r.Received).Round(time.Second))
		} else {
			n.event(ha.EventAgent, r.Node, ha.SID{}, "the agent of %s reports again", r.Node)
		}
	}
}

// cluster tells of quorum, of nodes, and of what the HA manager holds of them.
func (n *sighting) cluster() {
	inv := n.s.Inventory
	quorum := "no"
	if inv.Cluster.Quorate {
		quorum = "yes"
	}
	if _, changed := n.fact(factQuorum, quorum); changed {
		if quorum == "yes" {
			n.event(ha.EventQuorum, "", ha.SID{}, "the cluster is quorate again (%d of %d votes)", inv.Cluster.Votes, inv.Cluster.Expected)
		} else {
			n.event(ha.EventQuorum, "", ha.SID{}, "the cluster has lost quorum (%s sees %d of %d votes): nothing is done until it is back",
				inv.Source, inv.Cluster.Votes, inv.Cluster.Expected)
		}
	}
	if !inv.Cluster.Quorate {
		return // a minority's view of the others is no fact
	}
	for _, node := range inv.Nodes {
		if node.Online {
			if _, changed := n.fact(factNode+string(node.Name), "online"); changed {
				n.event(ha.EventNodeUp, node.Name, ha.SID{}, "%s is back in the cluster", node.Name)
			}
		} else if _, changed := n.fact(factNode+string(node.Name), "offline"); changed {
			n.event(ha.EventNodeDown, node.Name, ha.SID{}, "%s has left the cluster", node.Name)
			n.changes[factLost+string(node.Name)] = dated("lost", n.s.At)
		}
	}
	for _, node := range inv.HA.Nodes {
		if node.State == "" {
			continue
		}
		before, changed := n.fact(factHA+string(node.Name), node.State)
		switch {
		case !changed:
		case node.State == ha.NodeFence:
			n.event(ha.EventFenced, node.Name, ha.SID{}, "the HA manager fences %s: its guests restart elsewhere once its watchdog has certainly fired", node.Name)
		case before == ha.NodeFence:
			n.event(ha.EventFenced, node.Name, ha.SID{}, "%s is fenced: the HA manager has its lock (%s => %s)", node.Name, before, node.State)
			n.changes[factFence] = dated(string(node.Name), n.s.At)
		default:
			n.event(ha.EventHAState, node.Name, ha.SID{}, "the HA manager has %s as %s (was %s)", node.Name, node.State, before)
		}
	}
}

// process is a guest process that an agent sees.
type process struct {
	node     ha.NodeName
	pid      int
	received time.Time
}

// double is a guest that seems to run on several nodes.
type double struct {
	procs []process
	// since is when the last of the reports that showed it first had arrived.
	since time.Time
}

// guests tells what moved, started and stopped: by the processes agents see, since
// Proxmox's word lags, and reads "running" for minutes on a node that lost its power
// (series2 recordings, surprise 6).
func (n *sighting) guests() {
	if !n.s.Inventory.Cluster.Quorate {
		return
	}
	procs, arriving := n.processes()
	for _, g := range n.s.Inventory.Guests {
		delete(n.book.missing, g.SID)
		if g.Template {
			continue
		}
		n.double(g, procs[g.SID])
		node, running, known := n.whereabouts(g, procs[g.SID], arriving[g.SID])
		if known {
			n.guest(g, node, running)
		}
	}
	n.forget(procs)
}

// processes collects the running guests of all fresh reports, and those that arrive.
func (n *sighting) processes() (running map[ha.SID][]process, arriving map[ha.SID]bool) {
	running, arriving = make(map[ha.SID][]process), make(map[ha.SID]bool)
	for _, old := range n.s.Reports {
		r, fresh := n.s.FreshReport(old.Node)
		if !fresh {
			continue
		}
		for _, p := range r.Running {
			if p.Incoming {
				arriving[p.SID] = true
			} else {
				running[p.SID] = append(running[p.SID], process{node: r.Node, pid: p.PID, received: r.Received})
			}
		}
	}
	return running, arriving
}

// whereabouts says where a guest is and whether it runs; known is false if nobody can tell.
func (n *sighting) whereabouts(g ha.Guest, procs []process, arriving bool) (node ha.NodeName, running, known bool) {
	if len(procs) == 1 {
		return procs[0].node, true, true
	}
	if len(procs) > 1 || arriving {
		return "", false, false
	}
	r, everReported := n.s.Report(g.Node)
	_, fresh := n.s.FreshReport(g.Node)
	_, blind := r.Failed("guests")
	at, listed := n.s.Inventory.Node(g.Node)
	switch {
	case fresh && !blind:
		// The reports of two nodes are seconds apart: a guest that has just moved may be in
		// neither. So Proxmox must call it stopped as well.
		return g.Node, false, !g.Running()
	case !everReported && listed && at.Online:
		return g.Node, g.Running(), true
	default:
		return "", false, false
	}
}

// guest notes where a guest is and tells what changed.
func (n *sighting) guest(g ha.Guest, node ha.NodeName, running bool) {
	state := "stopped"
	if running {
		state = "running"
	}
	before, changed := n.fact(factGuest+g.SID.String(), string(node)+" "+state)
	if !changed {
		return
	}
	was, wasState, _ := strings.Cut(before, " ")
	if running {
		n.failover(g.SID, ha.NodeName(was), node)
	}
	name := g.SID.String()
	if g.Name != "" {
		name += " (" + g.Name + ")"
	}
	switch moved, ran := was != string(node), wasState == "running"; {
	case running && !ran && moved:
		n.event(ha.EventGuestUp, node, g.SID, "%s runs on %s (it was stopped on %s)", name, node, was)
	case running && !ran:
		n.event(ha.EventGuestUp, node, g.SID, "%s runs on %s", name, node)
	case running:
		n.event(ha.EventGuestMoved, node, g.SID, "%s runs on %s (it ran on %s)", name, node, was)
	case ran && moved:
		n.event(ha.EventGuestDown, node, g.SID, "%s is stopped on %s (it ran on %s)", name, node, was)
	case ran:
		n.event(ha.EventGuestDown, node, g.SID, "%s no longer runs on %s", name, node)
	default:
		n.event(ha.EventGuestMoved, node, g.SID, "%s is on %s, stopped (it was on %s)", name, node, was)
	}
}

// double raises the alarm when a guest runs on two nodes at once. Reports of two nodes are
// seconds apart, so that a guest that merely moved shows on both for a moment. It is
// certain when both show the same processes again in reports that arrived after all the
// first ones: then both ran in between.
func (n *sighting) double(g ha.Guest, procs []process) {
	key := factDouble + g.SID.String()
	_, alarmed := n.book.facts[key]
	if len(procs) < 2 {
		delete(n.book.doubles, g.SID)
		if alarmed && len(procs) == 1 {
			n.changes[key] = ""
			n.event(ha.EventSplitBrain, procs[0].node, g.SID, "%s runs on %s only, again", g.SID, procs[0].node)
		}
		return
	}
	seen, suspected := n.book.doubles[g.SID]
	if !suspected || !sameProcesses(seen.procs, procs) {
		latest := slices.MaxFunc(procs, func(a, b process) int { return a.received.Compare(b.received) })
		n.book.doubles[g.SID] = double{procs: procs, since: latest.received}
		return
	}
	confirmed := !slices.ContainsFunc(procs, func(p process) bool { return !p.received.After(seen.since) })
	if !confirmed || alarmed {
		return
	}
	n.changes[key] = "yes"
	places := make([]string, len(procs))
	advice := ""
	for k, p := range procs {
		places[k] = fmt.Sprintf("%s (pid %d)", p.node, p.pid)
		if p.node != g.Node {
			advice = fmt.Sprintf("; its configuration lies on %s, so stop the other at once, on %s: `kill %d`, then check its disks before you trust them", g.Node, p.node, p.pid)
		}
	}
	n.event(ha.EventSplitBrain, g.Node, g.SID, "SPLIT BRAIN: %s runs on %s at the same time%s", g.SID, strings.Join(places, " and on "), advice)
}

func sameProcesses(a, b []process) bool {
	return slices.EqualFunc(a, b, func(x, y process) bool { return x.node == y.node && x.pid == y.pid })
}

// guestMissingMax: Proxmox's list may lack a guest for a moment while its configuration
// moves; one that is gone for longer is deleted, and its number may be given to another.
const guestMissingMax = time.Minute

// forget drops the facts of guests that no longer exist.
func (n *sighting) forget(procs map[ha.SID][]process) {
	for _, key := range slices.Sorted(maps.Keys(n.book.facts)) {
		text, ok := strings.CutPrefix(key, factGuest)
		if !ok {
			continue
		}
		sid, err := ha.ParseSID(text)
		if _, listed := n.s.Inventory.Guest(sid); err != nil || listed || len(procs[sid]) > 0 {
			continue
		}
		since, missing := n.book.missing[sid]
		if !missing {
			n.book.missing[sid] = n.s.At
		} else if n.s.At.Sub(since) > guestMissingMax {
			n.changes[key], n.changes[factDouble+text] = "", ""
			delete(n.book.missing, sid)
		}
	}
}
