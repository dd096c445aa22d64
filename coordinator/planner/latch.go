package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// latchRepeat: maintenance mode needs up to three asynchronous steps (CRM round, LRM
// round, CRM round: 20 to 30 s) to show; asked again after this in case the command was
// dropped, which Proxmox does silently (pve-ha-manager 5.2.0).
const latchRepeat = 60 * time.Second

// latch switches maintenance mode on and waits until everything shows that the node is
// empty.
func (w *world) latch(m ha.Maintenance, p ha.Plan, list []departure) (ha.Maintenance, ha.Plan) {
	if !w.usesHA() {
		return w.finish(m, p, list)
	}
	state := w.haState(m.Node)
	node, _ := w.Inventory.HA.Node(m.Node)
	if state == ha.NodeMaintenance {
		if m.LatchSeen.IsZero() {
			m.LatchSeen = w.At
		}
		return w.finish(m, p, list)
	}
	m.LatchSeen = time.Time{}
	if !node.MaintenanceRequested && (m.LatchAsked.IsZero() || w.At.Sub(m.LatchAsked) >= latchRepeat) {
		m.LatchAsked = w.At
		p.Do(ha.SetNodeMaintenance{Node: m.Node, On: true})
	}
	p.Wait(string(m.Node), "waiting for the HA manager to show maintenance mode (it reads %s)", cmp.Or(state, "nothing yet"))
	for _, d := range list {
		if d.bounces {
			p.Wait(d.guest.SID.String(), "leaves when maintenance mode is on; the HA manager chooses where to")
		}
	}
	return m, p
}

// usesHA tells whether the HA manager manages anything. Without a single resource no CRM
// is master; the command would wake one, but there is nothing to hold off the node.
func (w *world) usesHA() bool { return len(w.Inventory.Resources) > 0 }

// finish declares the node drained if nothing is left on it.
func (w *world) finish(m ha.Maintenance, p ha.Plan, list []departure) (ha.Maintenance, ha.Plan) {
	if left := w.remains(m); len(left) > 0 {
		p.Waits = append(p.Waits, left...)
		return m, p
	}
	for _, d := range list {
		if d.method != ha.MethodStays || d.blocker != nil {
			p.Wait(d.guest.SID.String(), "still on %s", m.Node)
			return m, p
		}
	}
	m = m.Advance(ha.Drained)
	m.DrainedAt = w.At
	return m, p
}

// remains is what is still on the node, except what was left there by choice: HA services
// that have it as node or target, and guest processes its own agent sees.
func (w *world) remains(m ha.Maintenance) []ha.Wait {
	var out []ha.Wait
	chosen := w.leftOn(m)
	for _, svc := range w.Inventory.HA.Services {
		if _, managed := w.resource(svc.SID); !managed || slices.Contains(chosen, svc.SID) || svc.Node != m.Node && svc.Target != m.Node {
			continue
		}
		out = append(out, ha.Wait{Subject: svc.SID.String(), Reason: w.stillThere(svc, m)})
	}
	r, ok := w.FreshReport(m.Node)
	if _, failed := r.Failed("guests"); !ok || failed {
		return append(out, ha.Wait{Subject: string(m.Node), Reason: "its agent cannot say whether a guest process is left", Blocked: true,
			Fix: fmt.Sprintf("on %s: `journalctl -u psw-agent`", m.Node)})
	}
	for _, g := range r.Running {
		if !slices.Contains(chosen, g.SID) {
			out = append(out, ha.Wait{Subject: g.SID.String(), Reason: fmt.Sprintf("its process %d still runs on %s", g.PID, m.Node)})
		}
	}
	return out
}

// stillThere says why the HA manager still counts a service on the node.
func (w *world) stillThere(svc ha.HAService, m ha.Maintenance) string {
	if svc.Moving() {
		return fmt.Sprintf("the HA manager is moving it from %s to %s", svc.Node, svc.Target)
	}
	if !w.processAt(svc.SID, m.Node) {
		return fmt.Sprintf("it has left; the HA manager still counts it on %s (its status lags by up to 20 s)", m.Node)
	}
	return fmt.Sprintf("the HA manager has it in state %s on %s", svc.State, m.Node)
}

// leftOn are the guests that stay on the node by choice: left running, stopped there by
// us, or stopped and unable to move.
func (w *world) leftOn(m ha.Maintenance) []ha.SID {
	var out []ha.SID
	for _, d := range w.departures(m.Node, m.Options) {
		if d.left && d.blocker == nil {
			out = append(out, d.guest.SID)
		}
	}
	for _, mv := range m.Moves {
		if mv.Method == ha.MethodStop && !mv.Done.IsZero() && w.seesNone(mv.SID, m.Node) {
			out = append(out, mv.SID)
		}
	}
	return out
}

// keep watches over a drained node: a guest that appears on it goes again.
func (w *world) keep(m ha.Maintenance) (ha.Maintenance, ha.Plan) {
	var p ha.Plan
	if !w.InventoryFresh() || !w.online(m.Node) {
		return m, p // powered off, which is what it was drained for
	}
	if _, ok := w.FreshReport(m.Node); !ok {
		p.Wait(string(m.Node), "%s", w.silence(m.Node))
		return m, p
	}
	for _, d := range w.departures(m.Node, m.Options) {
		if d.left || d.method == ha.MethodStop && !d.running || slices.Contains(w.leftOn(m), d.guest.SID) {
			continue
		}
		m = m.Advance(ha.Draining)
		m.DrainedAt = time.Time{}
		return w.drain(m)
	}
	if w.usesHA() && w.haState(m.Node) == ha.NodeOnline {
		if n, _ := w.Inventory.HA.Node(m.Node); n.MaintenanceRequested {
			// A node that reboots drained is online for a round or two until its LRM has
			// read the request (pve-ha-manager 5.2.0).
			p.Wait(string(m.Node), "it is back; waiting for the HA manager to show maintenance mode again")
			return m, p
		}
		// Somebody switched maintenance mode off by hand: the intent still stands.
		m = m.Advance(ha.Draining)
		m.DrainedAt = time.Time{}
		return w.drain(m)
	}
	return m, p
}

// safe tells whether the node may be powered off now; if not, why.
func (w *world) safe(m ha.Maintenance) (bool, string) {
	if m.Phase != ha.Drained {
		return false, ""
	}
	if !w.InventoryFresh() {
		return false, "the Proxmox API has not answered lately"
	}
	if !w.online(m.Node) {
		return false, "it is off, or unreachable"
	}
	if w.usesHA() && w.haState(m.Node) != ha.NodeMaintenance {
		return false, "the HA manager does not show maintenance mode"
	}
	if left := w.remains(m); len(left) > 0 {
		return false, left[0].String()
	}
	r, _ := w.FreshReport(m.Node)
	if len(r.Running) > 0 {
		names := make([]string, len(r.Running))
		for k, g := range r.Running {
			names[k] = w.label(g.SID)
		}
		return false, "left running there as asked, and going down with it: " + strings.Join(names, ", ")
	}
	if why := w.survives(m.Node); why != "" {
		return false, why
	}
	return true, ""
}
