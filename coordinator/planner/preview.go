package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What estimates assume. They are shown as estimates and never promised.
const (
	// migrationRate is memory moved per second over one gigabit link, bytes.
	migrationRate = 110 << 20
	// migrationSetup is a live migration without its memory: task, QEMU start, switch-over.
	migrationSetup = 10 * time.Second
	// containerRestart is a container's shutdown, move of its configuration and start.
	containerRestart = 30 * time.Second
	// haRounds is what a request to the HA manager adds: CRM and LRM rounds of 10 s.
	haRounds = 20 * time.Second
	// latchTime is maintenance mode from request to node_status.
	latchTime = 30 * time.Second
)

// PreviewDrain says what draining the node would do, guest by guest, and what forbids it.
func PreviewDrain(r ha.MaintenanceRequest, s ha.Snapshot) ha.Preview {
	if r.Policy != nil {
		s.Policy = *r.Policy
	}
	w := newWorld(s)
	before := w.fit(nil)
	v := ha.Preview{Node: r.Node, Blockers: w.drainGates(r.Node, true)}
	if _, ok := w.Inventory.Node(r.Node); !ok || !w.online(r.Node) {
		return v
	}
	list := w.departures(r.Node, r.Options)
	placed, why := w.destinations(ha.Maintenance{Node: r.Node, Options: r.Options}, departing(list))
	for _, d := range list {
		st := w.step(d, r.Node, placed[d.guest.SID])
		if d.blocker != nil {
			// A silent agent is named once; that it has not told of each guest is only its effect.
			if silent := w.silentNode(r.Node); !silent || d.blocker.Code != codeConfigUnknown {
				v.Blockers = append(v.Blockers, *d.blocker)
			}
		} else if reason := why[d.guest.SID]; reason != "" {
			v.Blockers = append(v.Blockers, noPlace(w, d, reason))
		}
		v.Steps = append(v.Steps, st)
	}
	v.Steps = inOrder(v.Steps, list)
	v.Commands = drainCommands(v, w.usesHA(), list)
	v.Notices = append(v.Notices, w.drainNotices(r.Node, list)...)
	v.Estimate = w.estimate(v.Steps) + latchTime
	v.Fit = w.fit(before)
	for k := range v.Fit {
		if v.Fit[k].Node == r.Node {
			w.emptied(&v.Fit[k], list)
		}
	}
	return v
}

func (w *world) silentNode(node ha.NodeName) bool {
	_, ok := w.FreshReport(node)
	return !ok
}

func noPlace(w *world, d departure, reason string) ha.Blocker {
	b := ha.Blocker{Code: codeNoNode, Subject: labelOf(d), Reason: reason, Fix: placeFix(d.guest.SID, reason)}
	if b.Fix != placeFix(d.guest.SID, "") {
		b.Code = codeNoRoom
	}
	return b
}

// step is one guest's line in a preview.
func (w *world) step(d departure, from, to ha.NodeName) ha.Step {
	st := ha.Step{
		SID: d.guest.SID, Name: cmp.Or(d.target.Name, d.guest.Name), Target: d.target.Name != "", HA: d.managed,
		Method: d.method, From: from, To: to, Chosen: d.bounces, Memory: d.guest.MemoryMax, Reason: d.reason,
		Estimate: duration(d.guest, d.method, d.managed),
	}
	if d.bounces {
		st.Reason += "; its rule and failback hold it here, so it leaves with maintenance mode and the HA manager chooses where to"
	}
	if d.self {
		st.Reason += "; the coordinator runs in it, so it goes last"
	}
	return st
}

func duration(g ha.Guest, m ha.Method, managed bool) time.Duration {
	var d time.Duration
	switch m {
	case ha.MethodLive:
		d = migrationSetup + time.Duration(memoryUsed(g)/migrationRate)*time.Second
	case ha.MethodRestart, ha.MethodStop:
		d = containerRestart
	case ha.MethodOffline, ha.MethodStart:
		d = migrationSetup
	default:
		return 0
	}
	if managed {
		d += haRounds
	}
	return d
}

// estimate is the time for all steps with as many at once as allowed, longest first.
func (w *world) estimate(steps []ha.Step) time.Duration {
	lanes := make([]time.Duration, max(1, w.slots()))
	times := make([]time.Duration, 0, len(steps))
	for _, s := range steps {
		times = append(times, s.Estimate)
	}
	slices.SortFunc(times, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	for _, t := range times {
		lanes[slices.Index(lanes, slices.Min(lanes))] += t
	}
	return slices.Max(lanes)
}

// inOrder sorts steps as the drain will take them: ours, the coordinator's own guest,
// what leaves with the latch, what stays.
func inOrder(steps []ha.Step, list []departure) []ha.Step {
	rank := make(map[ha.SID]int, len(list))
	for _, d := range list {
		switch {
		case d.method == ha.MethodStays:
			rank[d.guest.SID] = 3
		case d.bounces:
			rank[d.guest.SID] = 2
		case d.self:
			rank[d.guest.SID] = 1
		}
	}
	slices.SortStableFunc(steps, func(a, b ha.Step) int {
		return cmp.Or(cmp.Compare(rank[a.SID], rank[b.SID]), a.SID.Compare(b.SID))
	})
	return steps
}

func drainCommands(v ha.Preview, usesHA bool, list []departure) []string {
	byID := make(map[ha.SID]departure, len(list))
	for _, d := range list {
		byID[d.guest.SID] = d
	}
	var out []string
	for _, st := range v.Steps {
		d := byID[st.SID]
		switch {
		case st.Method == ha.MethodStays || d.bounces:
		case st.Method == ha.MethodStop:
			out = append(out, ha.Shutdown{SID: st.SID, Node: st.From, HA: st.HA}.Command())
		case st.To != "":
			out = append(out, ha.Migrate{SID: st.SID, From: st.From, To: st.To, Method: st.Method, HA: st.HA}.Command())
		}
	}
	if usesHA {
		out = append(out, ha.SetNodeMaintenance{Node: v.Node, On: true}.Command())
	}
	return out
}

func (w *world) drainNotices(node ha.NodeName, list []departure) []string {
	var out []string
	if w.Inventory.Options.AutoRebalance {
		out = append(out, "automatic rebalancing is on: Proxmox may move guests on its own account meanwhile")
	}
	if left, needed := w.votesAfter(node); left == needed {
		out = append(out, fmt.Sprintf("while %s is away the cluster has %d of the %d votes it needs: it cannot lose another node", node, left, needed))
	}
	for _, d := range list {
		if d.left && d.running {
			out = append(out, fmt.Sprintf("%s stays on %s and goes down with it: %s", labelOf(d), node, d.reason))
		}
	}
	if !w.usesHA() {
		out = append(out, "nothing is HA-managed here, so maintenance mode has nothing to hold off the node")
	}
	return out
}

// fit is every node's memory now; with before, that of now as it was and after as it is
// once the promises made since are kept.
func (w *world) fit(before []ha.Fit) []ha.Fit {
	var out []ha.Fit
	for k, n := range w.Inventory.Nodes {
		r := w.nodes[n.Name]
		f := ha.Fit{Node: n.Name, Total: n.MemoryMax, Reserve: r.reserve,
			AssignedNow: r.assigned, AssignedAfter: r.assigned, UsedNow: r.used, UsedAfter: r.used}
		if before != nil {
			f.AssignedNow, f.UsedNow = before[k].AssignedNow, before[k].UsedNow
		}
		out = append(out, f)
	}
	return out
}

// emptied takes what leaves off the drained node's figures.
func (w *world) emptied(f *ha.Fit, list []departure) {
	for _, d := range list {
		if d.method != ha.MethodStays && d.running {
			f.AssignedAfter -= d.guest.MemoryMax
			f.UsedAfter -= d.guest.MemoryUsed
		}
	}
	f.UsedAfter = max(f.UsedAfter, 0)
}

// PreviewRestore says what ending the maintenance would do.
func PreviewRestore(r ha.MaintenanceRequest, s ha.Snapshot) ha.Preview {
	if r.Policy != nil {
		s.Policy = *r.Policy
	}
	w := newWorld(s)
	m := ha.Maintenance{Node: r.Node, Options: r.Options, Phase: ha.Restoring}
	for _, known := range slices.Backward(s.Maintenances) {
		if known.Node == r.Node && known.Phase != ha.Ended {
			m.Homes, m.Moves, m.RestoreAt = known.Homes, known.Moves, known.RestoreAt
			break
		}
	}
	m.OnlineSeen = s.At.Add(-returnGrace)
	before := w.fit(nil)
	coming := w.homeward(m)
	home := homecoming{Maintenance: &m, list: coming, again: fmt.Sprintf("psw maintenance end %s", r.Node)}
	v := ha.Preview{Node: r.Node, Blockers: w.returnGates(r.Node, coming)}
	if w.latched(r.Node) {
		v.Commands = append(v.Commands, ha.SetNodeMaintenance{Node: r.Node, On: false}.Command())
	}
	if _, ok := w.nodes[r.Node]; !ok {
		return v
	}
	for _, a := range coming {
		st, command, notice := w.homeStep(home, a)
		if notice != "" {
			v.Notices = append(v.Notices, notice)
		}
		if command != "" {
			v.Commands = append(v.Commands, command)
		}
		v.Steps = append(v.Steps, st)
	}
	v.Estimate = w.estimate(v.Steps)
	v.Fit = w.fit(before)
	w.leaveRooms(&v)
	return v
}

// homeStep is one guest's part of a homecoming, the stock command it equals, and, if it
// does not come, why. What comes has its room reserved for those after it.
func (w *world) homeStep(h homecoming, a arrival) (st ha.Step, command, notice string) {
	st = ha.Step{SID: a.guest.SID, Name: cmp.Or(w.targetOf[a.guest.SID].Name, a.guest.Name), HA: a.managed,
		Target: w.targetOf[a.guest.SID].Name != "", From: w.at(a.guest), To: h.Node, Memory: a.guest.MemoryMax}
	if a.start {
		st.Method, st.Reason = ha.MethodStart, "it was shut down for the maintenance"
		st.Estimate = duration(a.guest, st.Method, a.managed)
		return st, ha.Start{SID: st.SID, Node: h.Node, HA: a.managed}.Command(), ""
	}
	st.Method, st.Reason = moveMethod(a.guest, a.running), "it belongs here"
	if why, blocked, fix := w.notHomeYet(h, a, 0); blocked {
		// Not a blocker of the whole: the others can come home, this one says why not.
		st.Method, st.Reason = ha.MethodStays, why
		return st, "", fmt.Sprintf("%s does not come home: %s; %s", w.label(st.SID), why, fix)
	}
	w.reserve(h.Node, a.guest)
	st.Estimate = duration(a.guest, st.Method, a.managed)
	return st, ha.Migrate{SID: st.SID, From: st.From, To: h.Node, Method: st.Method, HA: a.managed}.Command(), ""
}

// leaveRooms takes what moves off the figures of the nodes it leaves.
func (w *world) leaveRooms(v *ha.Preview) {
	for _, st := range v.Steps {
		g, _ := w.Inventory.Guest(st.SID)
		k := slices.IndexFunc(v.Fit, func(f ha.Fit) bool { return f.Node == st.From && f.Node != st.To })
		if k >= 0 && st.Method != ha.MethodStays && w.running(g) {
			v.Fit[k].AssignedAfter -= g.MemoryMax
			v.Fit[k].UsedAfter = max(0, v.Fit[k].UsedAfter-g.MemoryUsed)
		}
	}
}
