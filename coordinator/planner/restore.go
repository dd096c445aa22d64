package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// returnGrace: after the node is online again the HA manager returns by itself what it
// moved off the node (maintenance_node), in the same pass. We do not ask for the same
// guests before it had its turn.
const returnGrace = 20 * time.Second

// restore brings a node back: fit to return, latch off, then everything home.
func (w *world) restore(m ha.Maintenance) (ha.Maintenance, ha.Plan) {
	var p ha.Plan
	if m.RestoreAt.IsZero() {
		m.RestoreAt = w.At
	}
	if m.Cancelling && inFlight(m) == 0 && !w.latched(m.Node) {
		return w.end(m), p
	}
	if g := w.returnGates(m.Node, w.homeward(m)); len(g) > 0 {
		blockAll(&p, g)
		return m, p
	}
	if !w.unlatch(&m, &p) {
		return m, p
	}
	if m.OnlineSeen.IsZero() {
		m.OnlineSeen = w.At
	}
	busy := w.waitForMoves(&m, &p)
	home := homecoming{Maintenance: &m, list: w.homeward(m), again: fmt.Sprintf("psw maintenance end %s", m.Node)}
	if !m.Cancelling && w.bringHome(home, &p, busy) || busy > 0 {
		return m, p
	}
	if w.measuring(m) {
		p.Wait(string(m.Node), "everything is home; reading how long the pauses were")
		return m, p
	}
	return w.end(m), p
}

// measureMax is how long an end waits for the pause of a live move to be read from its
// task, so that the summary can tell it.
const measureMax = 5 * time.Second

func (w *world) measuring(m ha.Maintenance) bool {
	return slices.ContainsFunc(m.Moves, func(mv ha.Move) bool {
		return mv.Method == ha.MethodLive && !mv.Done.IsZero() && mv.Downtime == 0 && !mv.Asked.Before(m.RestoreAt) && w.At.Sub(mv.Done) < measureMax
	})
}

func (w *world) end(m ha.Maintenance) ha.Maintenance {
	m = m.Advance(ha.Ended)
	m.EndedAt = w.At
	return m
}

// cancel gives up: what is in flight lands, the latch comes off, what we stopped starts
// again. Guests that have moved stay where they are; `maintenance end` brings them home.
func (w *world) cancel(m ha.Maintenance) (ha.Maintenance, ha.Plan) {
	var p ha.Plan
	if g := w.gates(); len(g) > 0 {
		blockAll(&p, g)
		return m, p
	}
	busy := w.waitForMoves(&m, &p)
	if !w.online(m.Node) {
		p.Block(string(m.Node), "it is offline: maintenance mode can be taken off when it is back", fmt.Sprintf("power %s on", m.Node))
		return m, p
	}
	if !w.unlatch(&m, &p) {
		return m, p
	}
	starting := false
	for _, mv := range m.Moves {
		if mv.Method == ha.MethodStop && !mv.Done.IsZero() && w.stoppedByUs(m, mv.SID) {
			starting = true
			if busy < w.slots() && w.askStart(&m, &p, mv.SID) {
				busy++
			}
		}
	}
	if busy > 0 || starting {
		return m, p
	}
	m = m.Advance(ha.Cancelled)
	m.EndedAt = w.At
	return m, p
}

// latched tells whether the HA manager holds the node in maintenance, or means to.
func (w *world) latched(node ha.NodeName) bool {
	n, ok := w.Inventory.HA.Node(node)
	return ok && (n.MaintenanceRequested || n.State == ha.NodeMaintenance)
}

// unlatch asks for maintenance mode off until the HA manager shows the node online. Only
// node_status is believed: the LRM may go on saying "maintenance" for minutes (series2
// recordings, surprise 1).
func (w *world) unlatch(m *ha.Maintenance, p *ha.Plan) bool {
	pendingOn := !m.LatchAsked.IsZero() && m.UnlatchAsked.Before(m.LatchAsked)
	if !w.usesHA() || !w.latched(m.Node) && (!pendingOn || w.At.Sub(m.LatchAsked) > latchRepeat) {
		return true
	}
	n, _ := w.Inventory.HA.Node(m.Node)
	if (n.MaintenanceRequested || pendingOn) && (m.UnlatchAsked.IsZero() || pendingOn || w.At.Sub(m.UnlatchAsked) >= latchRepeat) {
		m.UnlatchAsked = w.At
		p.Do(ha.SetNodeMaintenance{Node: m.Node, On: false})
	}
	p.Wait(string(m.Node), "waiting for the HA manager to show it online (it reads %s)", cmp.Or(n.State, "nothing yet"))
	return false
}

// returnGates are what forbids giving the node guests again.
func (w *world) returnGates(node ha.NodeName, coming []arrival) []ha.Blocker {
	out := w.gates()
	if !w.InventoryFresh() {
		return out
	}
	return append(out, w.unfitFor(node, coming)...)
}

// unfitFor is what is wrong with a node itself, as the destination of guests.
func (w *world) unfitFor(node ha.NodeName, coming []arrival) []ha.Blocker {
	var out []ha.Blocker
	n, ok := w.Inventory.Node(node)
	switch {
	case !ok:
		return append(out, ha.Blocker{Code: codeUnknownNode, Subject: string(node), Reason: "no such node in the cluster",
			Fix: "the nodes are: " + joinNodes(w.nodeNames())})
	case !n.Online:
		return append(out, ha.Blocker{Code: codeNodeOffline, Subject: string(node), Reason: "it is not back in the cluster yet",
			Fix: fmt.Sprintf("power it on; if it runs: `systemctl status corosync pve-cluster` on %s", node)})
	}
	unfit := func(reason, fix string) {
		out = append(out, ha.Blocker{Code: codeUnfit, Subject: string(node), Reason: reason, Fix: fix})
	}
	if st := w.haState(node); st == ha.NodeFence || st == ha.NodeUnknown || st == ha.NodeGone {
		unfit("the HA manager calls it "+st, "wait until it is online: `psw ha status --watch`")
	}
	r, ok := w.FreshReport(node)
	if !ok {
		return append(out, ha.Blocker{Code: codeStaleReport, Subject: string(node), Reason: w.silence(node),
			Fix: fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", node)})
	}
	if why, failed := r.Failed("lrm"); failed {
		unfit("its agent could not look at pve-ha-lrm: "+why, fmt.Sprintf("on %s: `systemctl status pve-ha-lrm`", node))
	} else if w.usesHA() && !r.HA.LRMRunning {
		unfit("pve-ha-lrm does not run", fmt.Sprintf("on %s: `systemctl restart pve-ha-lrm`, `journalctl -u pve-ha-lrm`", node))
	}
	if r.System.PmxcfsMounted && !r.System.PmxcfsWritable {
		unfit("its /etc/pve is read-only: it has no quorum", fmt.Sprintf("on %s: `pvecm status`", node))
	}
	for _, name := range w.storagesOf(coming) {
		if why := w.storageMissing(name, node); why != "" {
			unfit(why, fmt.Sprintf("on %s: `pvesm status`, `findmnt -t nfs,nfs4`", node))
		}
	}
	return out
}

// An arrival is a guest that is to come home.
type arrival struct {
	guest   ha.Guest
	managed bool
	running bool
	self    bool
	start   bool // it is at home, stopped by us: start it
}

// homeward lists what is to come to the node, by SID: its targets, and whatever was
// drained from it and has no other home.
func (w *world) homeward(m ha.Maintenance) []arrival {
	var out []arrival
	add := func(g ha.Guest) {
		if slices.ContainsFunc(out, func(a arrival) bool { return a.guest.SID == g.SID }) {
			return
		}
		a := arrival{guest: g, running: w.running(g)}
		_, a.managed = w.resource(g.SID)
		a.self = !w.Coordinator.Guest.IsZero() && w.Coordinator.Guest == g.SID
		if w.at(g) == m.Node {
			if !w.stoppedByUs(m, g.SID) {
				return
			}
			a.start = true
		}
		out = append(out, a)
	}
	for sid, t := range w.targetOf {
		if g, ok := w.Inventory.Guest(sid); ok && t.Node == m.Node && t.HA {
			add(g)
		}
	}
	for _, h := range m.Homes {
		home := h.Node
		if t, ok := w.targetOf[h.SID]; ok && t.Node != "" {
			home = t.Node
		}
		if g, ok := w.Inventory.Guest(h.SID); ok && !g.Template && (home == m.Node || w.stoppedByUs(m, h.SID)) {
			add(g)
		}
	}
	slices.SortFunc(out, func(a, b arrival) int { return a.guest.SID.Compare(b.guest.SID) })
	return out
}

// stoppedByUs tells whether the maintenance shut the guest down and nobody has started it
// since.
func (w *world) stoppedByUs(m ha.Maintenance, sid ha.SID) bool {
	stopped := false
	for _, mv := range m.Moves {
		if mv.SID != sid || mv.Done.IsZero() {
			continue
		}
		switch mv.Method {
		case ha.MethodStop:
			stopped = true
		case ha.MethodStart:
			stopped = false
		}
	}
	g, ok := w.Inventory.Guest(sid)
	return stopped && ok && !w.running(g)
}

// storagesOf are the storages the guests' disks are on, sorted.
func (w *world) storagesOf(list []arrival) []string {
	var out []string
	for _, a := range list {
		c, _ := w.config(a.guest)
		for _, s := range c.Storages {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return out
}

// isHome tells whether a remembered guest is where it belongs, and runs if it did.
func (w *world) isHome(h ha.Home) bool {
	g, ok := w.Inventory.Guest(h.SID)
	return ok && w.at(g) == h.Node && (!h.Running || w.running(g))
}

// A homecoming is guests on their way to one node: the end of a maintenance, a node's part
// of a rebalance, or a move. Outside a maintenance the Maintenance is a stand-in that
// carries the moves.
type homecoming struct {
	*ha.Maintenance
	list []arrival
	// again is the command that has what failed tried at once.
	again string
	// asked: it goes there because somebody asked for it, not because it belongs there.
	asked bool
}

// why says what the guests have to do with the node.
func (h homecoming) why() string {
	if h.asked {
		return "it was to go to " + string(h.Node)
	}
	return "it belongs on " + string(h.Node)
}

// bringHome asks for as many moves as may run at once, the largest first so that the
// node's room is not broken up, the coordinator's own guest last. It reports whether
// anything is still to come.
func (w *world) bringHome(h homecoming, p *ha.Plan, busy int) bool {
	m, list := h.Maintenance, h.list
	slices.SortStableFunc(list, func(a, b arrival) int {
		return cmp.Or(compareBool(a.self, b.self), cmp.Compare(b.guest.MemoryMax, a.guest.MemoryMax))
	})
	pending := false
	late := !m.Options.Deadline.IsZero() && !w.At.Before(m.Options.Deadline)
	for _, a := range list {
		sid := a.guest.SID
		pending = true
		if _, open := m.OpenMove(sid); late && !open {
			p.Block(sid.String(), "the deadline has passed: nothing new is begun", fmt.Sprintf("`%s --deadline 30m` goes on", h.again))
			continue
		}
		if _, open := m.OpenMove(sid); open {
			continue
		}
		if other := w.movedFor(m, sid); other != "" {
			p.Wait(sid.String(), "it is being moved for %s", other)
			continue
		}
		if a.start {
			if busy < w.slots() && w.askStart(m, p, sid) {
				busy++
			}
			continue
		}
		if why, blocked, fix := w.notHomeYet(h, a, busy); why != "" {
			if blocked {
				p.Block(sid.String(), why, fix)
			} else if fix != "moving" {
				p.Wait(sid.String(), "%s", why)
			}
			continue
		}
		if leader, along := w.ledBy(m, sid, m.Node); along {
			p.Wait(sid.String(), "moves along with %s", leader)
			continue
		}
		method := moveMethod(a.guest, a.running)
		from := w.at(a.guest)
		m.Moves = append(m.Moves, ha.Move{SID: sid, Method: method, From: from, To: m.Node, HA: a.managed, Asked: w.At})
		p.Do(ha.Migrate{SID: sid, From: from, To: m.Node, Method: method, HA: a.managed})
		w.reserve(m.Node, a.guest)
		busy++
	}
	return pending
}

// notHomeYet says why a guest is not asked home now; "" if it is to be asked.
func (w *world) notHomeYet(h homecoming, a arrival, busy int) (why string, blocked bool, fix string) {
	m, sid := h.Maintenance, a.guest.SID
	if svc, ok := w.Inventory.HA.Service(sid); ok && a.managed {
		if svc.Moving() || svc.Command != "" {
			return "the HA manager is moving it", false, "moving"
		}
		if svc.MaintenanceNode == m.Node && w.At.Sub(m.OnlineSeen) < returnGrace {
			return "the HA manager is about to bring it back by itself", false, ""
		}
	}
	if t, working := w.atWork(sid); working {
		return fmt.Sprintf("a %s task is at work on it since %s", t.Type, t.Started.Format(time.TimeOnly)), false, ""
	}
	if b := w.haTrouble(a.guest); b != nil {
		return b.Reason, true, b.Fix
	}
	if code, why, fix := w.bound(a.guest); why != "" {
		return why, code != codeLocked, fix
	}
	if why := w.forbids(a.guest, m.Node); why != "" {
		return h.why() + ", but " + why, true, "make network.yml and the HA rules agree: `psw ha plan`"
	}
	if why := w.pulledAway(a.guest, m.Node); why != "" {
		return why, true, "make network.yml and the HA rules agree: `psw ha plan`"
	}
	for _, peer := range w.peers(sid, ha.Negative) {
		if g, ok := w.Inventory.Guest(peer); ok && w.running(g) && w.at(g) == m.Node {
			return fmt.Sprintf("a rule keeps it apart from %s, which is on %s", w.label(peer), m.Node), true,
				"its preferred node and the rule contradict each other: change one of them"
		}
	}
	if f := failures(*m, sid); len(f) > 0 {
		if rest := resting(*m, sid, w.At); rest > 0 {
			return fmt.Sprintf("try %d failed: %s; next try in %s", len(f), f[len(f)-1].Failed, short(rest)),
				len(f) >= triesBlocked, fmt.Sprintf("mend the cause, then `%s` tries at once", h.again)
		}
	}
	if w.holdsMemory(a.guest) {
		if why := w.nodes[m.Node].lacks(a.guest.MemoryMax, memoryUsed(a.guest), m.Options.AllowOvercommit); why != "" {
			why += " on " + string(m.Node)
			if both, fix := w.swap(a.guest, m.Node); both != "" {
				return why + "; " + both, true, fix
			}
			return why, true, fmt.Sprintf("move something off %s first, or --allow-overcommit", m.Node)
		}
	}
	if a.self && busy > 0 {
		return "the coordinator runs in it: it goes last", false, ""
	}
	if busy >= w.slots() {
		return "its turn", false, ""
	}
	return "", false, ""
}

// pulledAway says which rule would take the guest away from node again.
func (w *world) pulledAway(g ha.Guest, node ha.NodeName) string {
	res, managed := w.resource(g.SID)
	if !managed || !res.Failback {
		return ""
	}
	for _, r := range w.rulesOf[g.SID] {
		if r.Type != ha.NodeAffinity {
			continue
		}
		for _, n := range w.Inventory.Nodes {
			if n.Name != node && w.unfit(n.Name) == "" && ruleClass(r, n.Name) > ruleClass(r, node) {
				return fmt.Sprintf("rule %s prefers %s, and failback would take it straight there again", r.ID, n.Name)
			}
		}
	}
	return ""
}

// askStart starts a guest that we stopped.
func (w *world) askStart(m *ha.Maintenance, p *ha.Plan, sid ha.SID) bool {
	if _, open := m.OpenMove(sid); open {
		return false
	}
	if rest := resting(*m, sid, w.At); rest > 0 {
		p.Wait(sid.String(), "its start failed; next try in %s", short(rest))
		return false
	}
	g, _ := w.Inventory.Guest(sid)
	_, managed := w.resource(sid)
	m.Moves = append(m.Moves, ha.Move{SID: sid, Method: ha.MethodStart, From: g.Node, HA: managed, Asked: w.At})
	p.Do(ha.Start{SID: sid, Node: g.Node, HA: managed})
	return true
}
