package planner

import (
	"slices"
	"strconv"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// How long silence is patience and when it becomes a failure.
const (
	// moveUnseenMax: a request to the HA manager shows within one CRM round (10 s) and
	// its answers lag by up to 20 s more (series2 recordings, surprise 5). A request that
	// has left no trace after this was dropped: Proxmox answers 200 to moves it never
	// makes (surprises 3, 9 and 10).
	moveUnseenMax = 45 * time.Second
	// moveSettleMax: a task that ended well has its guest in place within seconds; the
	// agent's next report shows it. After this the task's word is not believed.
	moveSettleMax = 60 * time.Second
	// taskClockSlack: task times are the node's clock, Asked is ours.
	taskClockSlack = 10 * time.Second
)

// settle looks at every open move of m and records what became of it. It looks at
// processes first, since the API and the HA manager lag behind them.
func (w *world) settle(m *ha.Maintenance) {
	w.settleMoves(m.Moves)
	for k := range m.Homes {
		h := &m.Homes[k]
		if !h.Returned.IsZero() || m.Phase != ha.Restoring {
			continue
		}
		if w.isHome(*h) {
			h.Returned = w.At
		}
	}
}

// movedFor says for what other maintenance or operation than m a guest, or one that moves
// along with it, is being moved; "" if for none. Two can be open at once, and one snapshot
// tells both that the guest is at rest where it does not belong.
func (w *world) movedFor(m *ha.Maintenance, sid ha.SID) string {
	with := w.together(sid)
	open := func(list []ha.Move) bool {
		return slices.ContainsFunc(list, func(mv ha.Move) bool { return mv.Open() && slices.Contains(with, mv.SID) })
	}
	for _, o := range w.Maintenances {
		if o.ID != m.ID && !o.Phase.Closed() && open(o.Moves) {
			return "the maintenance of " + string(o.Node)
		}
	}
	for _, o := range w.Operations {
		if o.ID != m.ID && !o.Closed() && open(o.Moves) {
			return "psw " + o.Kind.Command()
		}
	}
	return ""
}

// settleMoves is settle for moves, whoever asked for them.
func (w *world) settleMoves(list []ha.Move) {
	for k := range list {
		if mv := &list[k]; mv.Open() {
			w.settleMove(mv)
		}
	}
}

func (w *world) settleMove(mv *ha.Move) {
	w.adoptTask(mv)
	if mv.Gone.IsZero() && mv.Method == ha.MethodRestart && w.seesNone(mv.SID, mv.From) {
		mv.Gone = w.At
	}
	if w.landed(*mv) {
		mv.Done = w.At
		mv.Downtime = w.downtime(*mv)
		return
	}
	if why := w.moveFailed(*mv); why != "" {
		mv.Failed, mv.FailedAt = why, w.At
	}
}

// adoptTask finds the task of a move whose answer was lost, so that the deed is not
// repeated while it is being done.
func (w *world) adoptTask(mv *ha.Move) {
	if mv.UPID != "" || mv.HA {
		return
	}
	for _, t := range w.tasksOf[strconv.Itoa(mv.SID.ID)] {
		if t.Node == mv.From && taskDoes(t.Type, mv.Method) && !t.Started.Before(mv.Asked.Add(-taskClockSlack)) {
			mv.UPID = t.UPID
			return
		}
	}
}

// taskDoes tells whether a Proxmox task of that type is how that method is done.
func taskDoes(typ string, m ha.Method) bool {
	switch m {
	case ha.MethodLive, ha.MethodRestart, ha.MethodOffline:
		return typ == "qmigrate" || typ == "vzmigrate"
	case ha.MethodStop:
		return typ == "qmshutdown" || typ == "vzshutdown"
	case ha.MethodStart:
		return typ == "qmstart" || typ == "vzstart"
	}
	return false
}

// landed tells whether the move's end is really there.
func (w *world) landed(mv ha.Move) bool {
	switch mv.Method {
	case ha.MethodStop:
		return w.seesNone(mv.SID, mv.From)
	case ha.MethodStart:
		return w.runsOn(mv.SID, mv.From)
	case ha.MethodOffline:
		if svc, ok := w.Inventory.HA.Service(mv.SID); mv.HA && ok {
			return svc.Node == mv.To && !svc.Moving()
		}
		g, ok := w.Inventory.Guest(mv.SID)
		return ok && g.Node == mv.To
	}
	return w.runsOn(mv.SID, mv.To) && !w.processAt(mv.SID, mv.From) && !(mv.Method == ha.MethodRestart && w.starting(mv))
}

// starting tells whether the task that starts a restarted guest is still at work: its
// process is there, but the guest is not up.
func (w *world) starting(mv ha.Move) bool {
	for _, t := range w.tasksOf[strconv.Itoa(mv.SID.ID)] {
		if t.Node == mv.To && (t.Type == "qmstart" || t.Type == "vzstart") && t.Ended.IsZero() && !t.Started.Before(mv.Asked.Add(-taskClockSlack)) {
			return true
		}
	}
	return false
}

// seesNone tells whether a fresh report of node shows that no process of sid is there.
func (w *world) seesNone(sid ha.SID, node ha.NodeName) bool {
	r, ok := w.FreshReport(node)
	if !ok {
		return false
	}
	if _, failed := r.Failed("guests"); failed {
		return false
	}
	return !w.processAt(sid, node)
}

// moveFailed says why an open move will not happen; "" while it still may.
func (w *world) moveFailed(mv ha.Move) string {
	age := w.At.Sub(mv.Asked)
	var lastTask *ha.Task
	for _, t := range w.tasksOf[strconv.Itoa(mv.SID.ID)] {
		does := taskDoes(t.Type, mv.Method) && t.Node == mv.From
		if !does && !(mv.HA && hasPart(t.Type)) || t.Started.Before(mv.Asked.Add(-taskClockSlack)) {
			continue
		}
		if t.Ended.IsZero() {
			return "" // something is still at work
		}
		if lastTask == nil && does {
			lastTask = &t
		}
	}
	if mv.HA {
		if svc, ok := w.Inventory.HA.Service(mv.SID); ok && (svc.Moving() || svc.Command != "") {
			return ""
		}
	}
	if other := w.elsewhere(mv); other != "" {
		return "it is on " + string(other) + " instead"
	}
	if _, seen := w.FreshReport(mv.From); !seen {
		// A node that is cut off may still be at work on it, and its tasks are not shown: what
		// is not known has not failed. It is resolved when the guest is seen somewhere.
		return ""
	}
	gone := mv.To != "" && !w.online(mv.To)
	switch {
	case gone && age > taskClockSlack:
		return "its destination " + string(mv.To) + " went down"
	case lastTask != nil && !taskOK(lastTask.Status) && (lastTask.UPID == mv.UPID || mv.HA):
		return lastTask.Status
	case lastTask != nil && w.At.Sub(lastTask.Ended) > moveSettleMax:
		return "Proxmox's task ended, but the guest is not there"
	case lastTask == nil && age > moveUnseenMax && mv.HA:
		return "the HA manager took the request but did not act on it; its reason is in `journalctl -u pve-ha-crm` on the master"
	case lastTask == nil && age > moveUnseenMax:
		return "Proxmox shows no task for it"
	case age > moveUnseenMax+moveSettleMax && mv.HA:
		return "it is not where it was to go, and nothing is at work on it"
	}
	return ""
}

// elsewhere returns where the guest runs if that is neither end of the move.
func (w *world) elsewhere(mv ha.Move) ha.NodeName {
	for _, p := range w.processOn[mv.SID] {
		if mv.To != "" && p.node != mv.From && p.node != mv.To && !p.guest.Incoming && !w.processAt(mv.SID, mv.From) {
			return p.node
		}
	}
	return ""
}

// atWork returns the Proxmox task that is working on a guest just now.
func (w *world) atWork(sid ha.SID) (ha.Task, bool) {
	for _, t := range w.tasksOf[strconv.Itoa(sid.ID)] {
		if t.Ended.IsZero() && t.Status == "" {
			return t, true
		}
	}
	return ha.Task{}, false
}

// hasPart: an HA move shows as the tasks its LRM runs.
func hasPart(typ string) bool {
	return slices.Contains([]string{"qmigrate", "vzmigrate", "qmshutdown", "vzshutdown", "qmstart", "vzstart"}, typ)
}

// taskOK: exit texts that mean success (pve-api reference: OK or "WARNINGS: n").
func taskOK(status string) bool {
	return status == "OK" || len(status) > 9 && status[:9] == "WARNINGS:"
}

// downtime measures how long a restarted guest was down: from the end of its shutdown to
// the end of its start, by Proxmox's own tasks, else by the agents' reports, which is as
// coarse as they are. A live migration's pause is read from its task by the caller.
func (w *world) downtime(mv ha.Move) time.Duration {
	if mv.Method != ha.MethodRestart {
		return 0
	}
	var down, up, begun time.Time
	for _, t := range w.tasksOf[strconv.Itoa(mv.SID.ID)] {
		if t.Started.Before(mv.Asked.Add(-taskClockSlack)) || t.Ended.IsZero() {
			continue
		}
		switch t.Type {
		case "vzmigrate":
			begun = t.Started
		case "vzshutdown", "qmshutdown":
			if down.IsZero() || t.Ended.After(down) {
				down = t.Ended
			}
		case "vzstart", "qmstart":
			if up.IsZero() || t.Ended.After(up) {
				up = t.Ended
			}
		}
	}
	switch {
	case !down.IsZero() && up.After(down):
		return up.Sub(down)
	case !mv.HA && !begun.IsZero() && up.After(begun):
		return up.Sub(begun) // a move of our own shuts the container down first thing
	}
	if !mv.Gone.IsZero() && w.At.After(mv.Gone) {
		return w.At.Sub(mv.Gone)
	}
	return 0
}

// After a failure the next try waits, longer each time: a cause outside us rarely mends
// itself at once, and every try of a container is a restart of somebody's service.
var retryAfter = []time.Duration{30 * time.Second, 2 * time.Minute, 5 * time.Minute}

// triesBlocked failures in a row make a wait "blocked": somebody should look.
const triesBlocked = 3

// failures returns the failed moves of sid in this half of the maintenance since the
// operator last asked, oldest first, up to the last success.
func failures(m ha.Maintenance, sid ha.SID) []ha.Move {
	var out []ha.Move
	for _, mv := range m.Moves {
		if mv.SID != sid || mv.Asked.Before(m.RetryFrom) || mv.Asked.Before(m.RestoreAt) {
			continue
		}
		if !mv.Done.IsZero() {
			out = nil
		} else if mv.Failed != "" {
			out = append(out, mv)
		}
	}
	return out
}

// resting returns how long a guest's next try must wait, 0 if it may be tried.
func resting(m ha.Maintenance, sid ha.SID, at time.Time) time.Duration {
	f := failures(m, sid)
	if len(f) == 0 {
		return 0
	}
	last := f[len(f)-1]
	wait := retryAfter[min(len(f), len(retryAfter))-1]
	return max(0, last.FailedAt.Add(wait).Sub(at))
}

// failedAt are the destinations that failed sid.
func failedAt(m ha.Maintenance, sid ha.SID) map[ha.NodeName]bool {
	out := make(map[ha.NodeName]bool)
	for _, mv := range failures(m, sid) {
		if mv.To != "" {
			out[mv.To] = true
		}
	}
	return out
}

// inFlight counts m's open moves.
func inFlight(m ha.Maintenance) int {
	n := 0
	for _, mv := range m.Moves {
		if mv.Open() {
			n++
		}
	}
	return n
}
