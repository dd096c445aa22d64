package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// SplitBrain is the code of the check that no guest runs twice.
const SplitBrain ha.Code = "SPLIT_BRAIN"

var splitBrainChecks = []Check{
	{Code: SplitBrain, Title: "no guest runs on two nodes", Minimum: ha.Fail, Production: ha.Fail, Hold: AtOnce, Settle: AtOnce, cluster: splitBrain},
}

// splitBrain compares the processes that all agents see. Reports are made at different
// instants, so a guest that moved in between shows in two of them; only two processes
// that cannot be explained by a move are a split brain.
func splitBrain(w *world) []verdict {
	var list []verdict
	for sid, places := range w.places {
		var running []place
		for _, p := range places {
			if !p.Incoming {
				running = append(running, p)
			}
		}
		if len(running) < 2 {
			continue
		}
		v := w.twice(sid, running)
		v.targets = w.of(sid)
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b verdict) int { return cmp.Compare(a.subject, b.subject) })
	switch blind := w.blind(ha.ProbeGuests, true); {
	case len(blind) > 0:
		list = append(list, unknown(clusterSubject, "%s", strings.Join(blind, "; ")))
	case len(list) == 0:
		list = append(list, pass(clusterSubject, "%d guests run, each on one node", len(w.places)))
	}
	return list
}

// twice judges a guest that two or more reports show.
func (w *world) twice(sid ha.SID, running []place) verdict {
	seen := make([]string, len(running))
	for k, p := range running {
		seen[k] = fmt.Sprintf("%s (process %d)", p.node, p.PID)
	}
	if why, ok := w.moved(sid, running); ok {
		return passing(sid.String(), "seen on %s, and %s: look again in a moment", strings.Join(seen, " and "), why)
	}
	stop := "qm stop"
	if sid.Kind == ha.CT {
		stop = "pct stop"
	}
	return broken(sid.String(), fmt.Sprintf("it runs on %s: both write the same disk, which destroys it", strings.Join(seen, " and ")),
		fmt.Sprintf("at once: %s %d on %s (if that hangs: kill -9 the process); then check its disk, and restore it from backup if it is damaged: %s",
			stop, sid.ID, w.wrongPlace(sid, running), w.backups(sid)))
}

// wrongPlace is where a guest that runs twice should be stopped: Proxmox has its
// configuration on one node, and it is the other process that nobody looks after.
func (w *world) wrongPlace(sid ha.SID, running []place) string {
	g, ok := w.s.Inventory.Guest(sid)
	var wrong []ha.NodeName
	for _, p := range running {
		if p.node != g.Node {
			wrong = append(wrong, p.node)
		}
	}
	if !ok || len(wrong) == len(running) {
		return "the node where it should not be"
	}
	return fmt.Sprintf("%s (Proxmox has it on %s)", joined(wrong), g.Node)
}

// backups says how to find a guest's latest backup.
func (w *world) backups(sid ha.SID) string {
	var commands []string
	for _, s := range w.s.Inventory.Storages {
		if slices.Contains(s.Content, "backup") && !s.Disabled {
			commands = append(commands, fmt.Sprintf("pvesm list %s --content backup --vmid %d", s.Name, sid.ID))
		}
	}
	if commands == nil {
		return "no storage of the cluster takes backups, so look elsewhere"
	}
	return "the last line of " + strings.Join(commands, "; ")
}

// moved explains a guest in several reports: it was moving between them, or the later
// process began after the earlier node was looked at.
func (w *world) moved(sid ha.SID, running []place) (why string, ok bool) {
	oldest := w.reports[running[0].node].Received
	for _, p := range running {
		if at := w.reports[p.node].Received; at.Before(oldest) {
			oldest = at
		}
	}
	if s, found := w.s.Inventory.HA.Service(sid); found && s.Moving() {
		return "the HA manager is moving it", true
	}
	for _, t := range w.s.Inventory.Tasks {
		if t.ID == strconv.Itoa(sid.ID) && strings.Contains(t.Type, migrateLock) && (t.Ended.IsZero() || t.Ended.After(oldest)) {
			return fmt.Sprintf("a %s task moves it", t.Type), true
		}
	}
	for _, p := range running {
		r := w.reports[p.node]
		if c, found := r.GuestConfig(sid); found && c.Lock == migrateLock {
			return "it is locked for a migration", true
		}
		// Both times are the node's own; the age makes them comparable with oldest.
		begun := r.Received.Add(-r.Taken.Sub(p.Started))
		if !p.Started.IsZero() && begun.After(oldest) {
			return fmt.Sprintf("it started on %s after the other report", p.node), true
		}
	}
	return "", false
}
