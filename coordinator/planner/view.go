package planner

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// View is a maintenance as its followers see it: p is what its last step planned.
func View(m ha.Maintenance, p ha.Plan, s ha.Snapshot) ha.MaintenanceView {
	w := newWorld(s)
	v := ha.MaintenanceView{Maintenance: m, Waits: slices.Clone(p.Waits)}
	safe, why := w.safe(m)
	v.Safe = safe
	if m.Phase == ha.Drained && !safe {
		v.Waits = append(v.Waits, ha.Wait{Subject: string(m.Node), Reason: "not safe to power off: " + why})
	}
	for _, h := range m.Homes {
		v.Guests = append(v.Guests, w.progress(m, h, p.Waits))
	}
	if m.Phase == ha.Requested || m.Phase == ha.Draining || m.Phase == ha.Drained {
		v.Guests = append(v.Guests, w.stayers(m)...)
	}
	// A restore also brings home targets that were never drained from here.
	for _, mv := range m.Moves {
		if _, home := m.Home(mv.SID); !home && !slices.ContainsFunc(v.Guests, func(g ha.GuestProgress) bool { return g.SID == mv.SID }) {
			v.Guests = append(v.Guests, w.progress(m, ha.Home{SID: mv.SID, Name: w.name(mv.SID), Node: m.Node, Was: mv.From}, p.Waits))
		}
	}
	return v
}

// stayers are the guests that run on the node and stay there by choice.
func (w *world) stayers(m ha.Maintenance) []ha.GuestProgress {
	if !w.online(m.Node) {
		return nil
	}
	var out []ha.GuestProgress
	for _, d := range w.departures(m.Node, m.Options) {
		if _, known := m.Home(d.guest.SID); !known && d.left && d.running && d.blocker == nil {
			out = append(out, ha.GuestProgress{SID: d.guest.SID, Name: cmp.Or(d.target.Name, d.guest.Name), Method: ha.MethodStays,
				From: m.Node, State: "stays", Note: d.reason})
		}
	}
	return out
}

// progress is one guest's line.
func (w *world) progress(m ha.Maintenance, h ha.Home, waits []ha.Wait) ha.GuestProgress {
	g := ha.GuestProgress{SID: h.SID, Name: h.Name, From: h.Was, State: "waiting", Method: ha.MethodStays}
	leaving := m.Phase != ha.Restoring && m.Phase != ha.Ended
	var last ha.Move
	for _, mv := range m.Moves {
		if mv.SID == h.SID && (leaving || !mv.Asked.Before(m.RestoreAt)) {
			last = mv
		}
	}
	if last.SID == h.SID {
		g.Method, g.From, g.To, g.Since, g.Downtime = last.Method, last.From, last.To, last.Asked, last.Downtime
		switch {
		case last.Open():
			g.State = "moving"
		case last.Failed != "":
			g.State, g.Note = "failed", last.Failed
		default:
			g.State = "done"
		}
	}
	if g.State != "done" {
		if there, ok := w.arrived(m, h, leaving); ok {
			g.State, g.To, g.Note = "done", there, ""
		}
	}
	if k := slices.IndexFunc(waits, func(x ha.Wait) bool { return x.Subject == h.SID.String() }); k >= 0 && g.State != "moving" && g.State != "done" {
		g.Note = waits[k].Reason
	}
	return g
}

// arrived tells whether a guest is where this half of the maintenance wants it, whoever
// moved it.
func (w *world) arrived(m ha.Maintenance, h ha.Home, leaving bool) (ha.NodeName, bool) {
	g, ok := w.Inventory.Guest(h.SID)
	if !ok {
		return "", false
	}
	at := w.at(g)
	if leaving {
		return at, at != m.Node && !w.processAt(h.SID, m.Node) && (w.running(g) || !h.Running)
	}
	return at, at == h.Node && (w.running(g) || !h.Running)
}

// Status is the answer of `psw ha status`.
func Status(s ha.Snapshot) ha.ClusterStatus {
	w := newWorld(s)
	inv := s.Inventory
	c := ha.ClusterStatus{
		At: s.At, Project: s.Policy.Project, Cluster: cmp.Or(inv.Cluster.Name, s.Policy.Cluster.Name), Quorate: inv.Cluster.Quorate,
		Votes: inv.Cluster.Votes, Expected: inv.Cluster.Expected, Quorum: inv.Cluster.Expected/2 + 1,
		Master: inv.HA.Master, Armed: inv.HA.Armed, ShutdownPolicy: inv.Options.ShutdownPolicy,
	}
	for _, r := range s.Reports {
		if fresh, ok := s.FreshReport(r.Node); ok && fresh.Corosync.Running && fresh.Corosync.Quorum > 0 && w.online(r.Node) {
			c.Votes, c.Expected, c.Quorum = fresh.Corosync.Votes, fresh.Corosync.Expected, fresh.Corosync.Quorum
			break
		}
	}
	c.LossesTolerated = max(0, c.Votes-c.Quorum)
	if !s.InventoryFresh() {
		c.Warnings = append(c.Warnings, "the Proxmox API has not answered lately: what follows is old or empty")
	}
	for _, f := range inv.Failures {
		c.Warnings = append(c.Warnings, "could not read: "+f)
	}
	for _, n := range inv.Nodes {
		c.Nodes = append(c.Nodes, w.nodeStatus(n))
	}
	c.Nodes = append(c.Nodes, w.goneNodes()...)
	for _, t := range s.Policy.Targets {
		if t.Type != ha.TargetBare {
			c.Targets = append(c.Targets, w.targetStatus(t))
		}
	}
	for _, m := range s.Maintenances {
		if !m.Phase.Closed() {
			c.Maintenances = append(c.Maintenances, m)
		}
	}
	return c
}

// goneNodes are those that left the cluster and that the HA manager still knows. When it last
// saw one online it keeps to itself, and what the node's own LRM wrote last is as good.
func (w *world) goneNodes() []ha.NodeStatus {
	var out []ha.NodeStatus
	for _, n := range w.Inventory.HA.Nodes {
		if _, member := w.Inventory.Node(n.Name); member || n.State != ha.NodeGone {
			continue
		}
		st := ha.NodeStatus{Name: n.Name, HAState: n.State, ReportAge: -1}
		if !n.LRMAt.IsZero() {
			st.ForgottenAt = n.LRMAt.Add(ha.GoneForgottenAfter)
		}
		out = append(out, st)
	}
	return out
}

func (w *world) nodeStatus(n ha.Node) ha.NodeStatus {
	st := ha.NodeStatus{Name: n.Name, Online: n.Online, HAState: w.haState(n.Name), ReportAge: -1, Storage: "unknown",
		MemoryTotal: n.MemoryMax, MemoryUsed: n.MemoryUsed}
	for _, m := range w.Members {
		if m.Name == n.Name {
			st.Gossip = m.State
		}
	}
	if m, ok := w.OpenMaintenance(n.Name); ok {
		st.Phase = m.Phase
	}
	for _, g := range w.Inventory.Guests {
		if !g.Template && w.at(g) == n.Name && w.running(g) {
			st.Guests++
		}
	}
	r, ok := w.Report(n.Name)
	if !ok {
		return st
	}
	st.ReportAge = w.At.Sub(r.Received)
	if _, fresh := w.FreshReport(n.Name); !fresh {
		return st
	}
	st.LRM = cmp.Or(r.HA.LRMState, "not running")
	if r.HA.LRMMode != "" && r.HA.LRMMode != "active" {
		st.LRM = r.HA.LRMMode
	}
	st.Watchdog = watchdogWord(r)
	st.Storage = w.storageWord(r)
	return st
}

func watchdogWord(r ha.Report) string {
	if _, failed := r.Failed("watchdog"); failed {
		return "unknown"
	}
	switch {
	case !r.Watchdog.MuxRunning:
		return "no watchdog-mux"
	case r.Watchdog.MuxActive:
		return "armed"
	default:
		return "standby"
	}
}

// storageWord is the state of the declared shared storage on a node.
func (w *world) storageWord(r ha.Report) string {
	declared := w.Policy.Cluster.Storage
	if declared == nil {
		return "none declared"
	}
	if _, failed := r.Failed("nfs"); failed {
		return "unknown"
	}
	for _, m := range r.Mounts {
		if m.Path == declared.Mount {
			if m.Answering {
				return "mounted"
			}
			return "hanging"
		}
	}
	return "not mounted"
}

func (w *world) targetStatus(t ha.Target) ha.TargetStatus {
	st := ha.TargetStatus{Name: t.Name, HA: t.HA, Preferred: t.Node}
	g, err := w.GuestOf(t)
	if err != nil {
		st.Note = err.Error()
		return st
	}
	st.SID, st.Node, st.Running = g.SID, w.at(g), w.running(g)
	if res, ok := w.Inventory.Resource(g.SID); ok {
		st.Request = string(res.State)
	}
	if svc, ok := w.Inventory.HA.Service(g.SID); ok {
		st.State = svc.State
	}
	switch {
	case t.HA && st.Request == "":
		st.Note = "not registered with the HA manager: `psw ha plan`"
	case !t.HA && st.Request != "" && st.Request != string(ha.RequestIgnored):
		st.Note = "HA-managed, though network.yml does not ask for it"
	case t.HA && st.Request == string(ha.RequestDisabled):
		st.Note = fmt.Sprintf("disabled: nothing starts it; `psw ha recover %s`", t.Name)
	case t.HA && st.Request == string(ha.RequestIgnored):
		st.Note = fmt.Sprintf("ignored: nothing starts it after a failure; `psw ha explain %s`", t.Name)
	case st.State == ha.ServiceError:
		st.Note = fmt.Sprintf("the HA manager has given it up; `psw ha explain %s`", t.Name)
	case t.Node != "" && st.Node != t.Node:
		st.Note = fmt.Sprintf("away from %s", t.Node)
	}
	return st
}
