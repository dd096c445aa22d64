package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A departure is one guest on a node that is to be emptied: how it leaves, or why it
// does not.
type departure struct {
	guest   ha.Guest
	target  ha.Target
	isOurs  bool // declared in network.yml, or named by the operator
	managed bool // the HA manager manages it
	running bool
	method  ha.Method
	// reason says why this method, in words.
	reason string
	// blocker is why it cannot leave and must not be ignored.
	blocker *ha.Blocker
	// bounces: the HA manager would bring it straight back while the node is online, so
	// it leaves with the latch, and the HA manager chooses where to.
	bounces bool
	// left: it stays and runs, by the operator's or the project's choice.
	left bool
	// self: the coordinator runs in it.
	self bool
}

// Codes of what forbids a drain or a restore. They are part of the JSON contract.
const (
	codeNoQuorum         ha.Code = "NO_QUORUM"
	codeQuorumAtRisk     ha.Code = "QUORUM_AT_RISK"
	codeStaleInventory   ha.Code = "STALE_INVENTORY"
	codeStaleReport      ha.Code = "STALE_REPORT"
	codeUnknownNode      ha.Code = "UNKNOWN_NODE"
	codeNodeOffline      ha.Code = "NODE_OFFLINE"
	codeNodeFenced       ha.Code = "NODE_FENCED"
	codeOtherMaintenance ha.Code = "OTHER_MAINTENANCE"
	codeDisarmed         ha.Code = "HA_DISARMED"
	codeNoRoom           ha.Code = "NO_ROOM"
	codeNoNode           ha.Code = "NO_NODE"
	codePinned           ha.Code = "PINNED"
	codeForeign          ha.Code = "FOREIGN_GUEST"
	codeLocked           ha.Code = "GUEST_LOCKED"
	codeHAError          ha.Code = "HA_ERROR"
	codeHABusy           ha.Code = "HA_BUSY"
	codeConfigUnknown    ha.Code = "CONFIG_UNKNOWN"
	codeCannotLeave      ha.Code = "HA_CANNOT_STAY"
	codeUnfit            ha.Code = "NODE_UNFIT"
	codeRuleForbids      ha.Code = "RULE_FORBIDS"
	codeTargetUnclear    ha.Code = "TARGET_UNCLEAR"

	codeRegistrationUnknown ha.Code = "REGISTRATION_UNKNOWN"
	codeNotInError          ha.Code = "NOT_IN_ERROR"
	codeInconsistent        ha.Code = "GUEST_INCONSISTENT"
)

// departures lists what is on node, by SID: every guest that runs there, and the stopped
// ones the HA manager counts there. Other stopped guests stay and do not matter.
func (w *world) departures(node ha.NodeName, opts ha.MaintenanceOptions) []departure {
	var out []departure
	for _, g := range w.Inventory.Guests {
		if g.Template {
			continue
		}
		runs := w.running(g)
		if w.at(g) != node {
			if runs {
				continue
			}
			if svc, known := w.Inventory.HA.Service(g.SID); !known || svc.Node != node {
				continue
			}
		}
		_, managed := w.resource(g.SID)
		if !runs && !managed {
			continue
		}
		out = append(out, w.departure(g, node, opts))
	}
	return append(out, w.strangers(node, opts)...)
}

// strangers are processes on node of guests the API does not know.
func (w *world) strangers(node ha.NodeName, opts ha.MaintenanceOptions) []departure {
	r, ok := w.FreshReport(node)
	if !ok {
		return nil
	}
	var out []departure
	for _, p := range r.Running {
		if _, known := w.Inventory.Guest(p.SID); known {
			continue
		}
		d := departure{
			guest:   ha.Guest{SID: p.SID, Node: node, Status: ha.GuestRunning},
			running: true, method: ha.MethodStays,
			reason: fmt.Sprintf("process %d runs, but the Proxmox API knows no such guest", p.PID),
		}
		if opts.LeavePinned {
			d.left = true
		} else {
			d.blocker = &ha.Blocker{Code: codeForeign, Subject: p.SID.String(), Reason: d.reason,
				Fix: fmt.Sprintf("look at it: `ps -p %d -f` on %s; or leave it running with --leave-pinned", p.PID, node)}
		}
		out = append(out, d)
	}
	return out
}

// departure decides how one guest leaves.
func (w *world) departure(g ha.Guest, node ha.NodeName, opts ha.MaintenanceOptions) departure {
	d := departure{guest: g, running: w.running(g)}
	d.target, d.isOurs = w.targetOf[g.SID]
	declared := d.isOurs
	d.isOurs = d.isOurs || slices.Contains(opts.Guests, g.SID)
	_, d.managed = w.resource(g.SID)
	d.self = !w.Coordinator.Guest.IsZero() && w.Coordinator.Guest == g.SID
	mode := d.target.Maintenance
	switch {
	case !d.isOurs && !d.managed && opts.LeavePinned:
		return d.stay("not in the project; left running as asked")
	case !d.isOurs:
		return d.block(codeForeign, w.foreignReason(d), fmt.Sprintf("name it with --guest %s, or add it to network.yml", g.SID))
	case d.managed && mode == ha.MaintenanceLeave:
		return d.block(codeCannotLeave, "network.yml says maintenance: leave, but Proxmox's maintenance mode moves every HA guest",
			"set maintenance: stop or move, or take ha: true away and `psw ha apply`")
	case mode == ha.MaintenanceLeave:
		return d.stay("network.yml says maintenance: leave")
	case mode == ha.MaintenanceStop && d.running:
		d.method, d.reason = ha.MethodStop, "network.yml says maintenance: stop"
		return d
	case mode == ha.MaintenanceStop:
		d.method, d.left, d.reason = ha.MethodStays, true, "stopped"
		return d
	}
	if b := w.haTrouble(g); b != nil {
		d.method, d.blocker, d.reason = ha.MethodStays, b, b.Reason
		return d
	}
	if code, why, fix := w.bound(g); why != "" {
		return d.pinned(code, why, fix, opts)
	}
	if why := w.onlyHere(g, node); why != "" {
		return d.pinned(codeRuleForbids, why, "let it run on a second node", opts)
	}
	d.method = moveMethod(g, d.running)
	d.reason = moveReason(g, d.running, declared && d.target.HA)
	if d.managed && d.running {
		d.bounces = w.returnsTo(g, node)
	}
	return d
}

func (d departure) stay(reason string) departure {
	d.method, d.left, d.reason = ha.MethodStays, true, reason
	return d
}

func (d departure) block(code ha.Code, reason, fix string) departure {
	d.method, d.reason = ha.MethodStays, reason
	d.blocker = &ha.Blocker{Code: code, Subject: labelOf(d), Reason: reason, Fix: fix}
	return d
}

// pinned decides about a guest that cannot move: stopped or left if the operator named
// that, otherwise a blocker.
func (d departure) pinned(code ha.Code, why, fix string, opts ha.MaintenanceOptions) departure {
	switch {
	case code == codeLocked || code == codeConfigUnknown:
		return d.block(code, why, fix) // passes by itself, or nobody knows: no override
	case !d.running:
		d.method, d.left, d.reason = ha.MethodStays, true, "stopped, and cannot move: "+why
		return d
	case opts.StopPinned:
		d.method, d.reason = ha.MethodStop, "cannot move: "+why+"; shut down as asked"
		return d
	case opts.LeavePinned && !d.managed:
		return d.stay("cannot move: " + why + "; left running as asked")
	}
	fix += "; or --stop-pinned to shut it down for the maintenance"
	if !d.managed {
		fix += ", or --leave-pinned to leave it to go down with the node"
	}
	return d.block(code, why, fix)
}

func labelOf(d departure) string {
	name := d.target.Name
	if name == "" {
		name = d.guest.Name
	}
	if name == "" {
		return d.guest.SID.String()
	}
	return fmt.Sprintf("%s (%s)", d.guest.SID, name)
}

func (w *world) foreignReason(d departure) string {
	if d.managed {
		return "it is HA-managed but not in the project, and Proxmox's maintenance mode would move it"
	}
	return "it runs here and is not in the project"
}

// haTrouble says why the HA manager would not move a guest of its own.
func (w *world) haTrouble(g ha.Guest) *ha.Blocker {
	if _, managed := w.resource(g.SID); !managed {
		return nil
	}
	svc, ok := w.Inventory.HA.Service(g.SID)
	subject := w.label(g.SID)
	if !ok {
		return &ha.Blocker{Code: codeHABusy, Subject: subject, Reason: "the HA manager has not taken it up yet",
			Fix: "wait a minute; if it stays so: `ha-manager status` on any node"}
	}
	switch svc.State {
	case ha.ServiceError:
		return &ha.Blocker{Code: codeHAError, Subject: subject, Reason: "the HA manager has it in state error and will not touch it",
			Fix: fmt.Sprintf("`psw ha recover %s` shows what is to be mended and leads it out; by hand: make it consistent, `ha-manager set %s --state disabled`, mend it, `ha-manager set %s --state started`",
				w.named(g), g.SID, g.SID)}
	case ha.ServiceFence, ha.ServiceRecovery:
		return &ha.Blocker{Code: codeHABusy, Subject: subject, Reason: "the HA manager is recovering it (state " + svc.State + ")",
			Fix: "wait until the recovery is over: `psw ha status --watch`"}
	case ha.ServiceFreeze:
		return &ha.Blocker{Code: codeHABusy, Subject: subject, Reason: "the HA manager has frozen it: its node is rebooting, or HA is disarmed",
			Fix: "wait for the node's pve-ha-lrm to be active again, or arm HA: `ha-manager crm-command arm-ha`"}
	}
	return nil
}

// bound says what binds a guest to its node.
func (w *world) bound(g ha.Guest) (code ha.Code, why, fix string) {
	c, known := w.config(g)
	if !known {
		return codeConfigUnknown, fmt.Sprintf("the agent on %s has not said what its disks and devices are", g.Node),
			fmt.Sprintf("wait for the next report; if it stays so: `journalctl -u psw-agent` on %s", g.Node)
	}
	if lock := cmp.Or(c.Lock, g.Lock); lock != "" {
		if _, moving := w.incoming[g.SID]; moving && lock == "migrate" {
			return "", "", ""
		}
		return codeLocked, fmt.Sprintf("its configuration is locked (%s)", lock),
			fmt.Sprintf("wait until the %s is over; a lock left behind: `%s unlock %d`", lock, tool(g.SID), g.SID.ID)
	}
	if len(c.Local) > 0 {
		return codePinned, strings.Join(c.Local, "; "), "remove what binds it or map the device on every node"
	}
	for _, name := range c.Storages {
		st, ok := w.Inventory.Storage(name)
		if !ok {
			return codePinned, fmt.Sprintf("storage %s does not exist", name), "correct its configuration"
		}
		if !st.Shared {
			return codePinned, fmt.Sprintf("its disk is on %s, which only %s has", name, g.Node),
				fmt.Sprintf("move the disk to shared storage: `%s`", moveDisk(g.SID, w.sharedStorage()))
		}
	}
	return "", "", ""
}

// onlyHere says which strict rule leaves the guest no other node of the cluster.
func (w *world) onlyHere(g ha.Guest, node ha.NodeName) string {
	why := ""
	for _, n := range w.Inventory.Nodes {
		if n.Name == node {
			continue
		}
		if why = w.strictly(g, n.Name); why == "" {
			return ""
		}
	}
	return why
}

// sharedStorage names a shared storage for a hint.
func (w *world) sharedStorage() string {
	for _, s := range w.Inventory.Storages {
		if s.Shared && !s.Disabled {
			return s.Name
		}
	}
	return "SHARED"
}

func moveDisk(s ha.SID, storage string) string {
	if s.Kind == ha.CT {
		return fmt.Sprintf("pct move-volume %d rootfs %s", s.ID, storage)
	}
	return fmt.Sprintf("qm disk move %d scsi0 %s", s.ID, storage)
}

func tool(s ha.SID) string {
	if s.Kind == ha.CT {
		return "pct"
	}
	return "qm"
}

func moveMethod(g ha.Guest, running bool) ha.Method {
	switch {
	case !running:
		return ha.MethodOffline
	case g.SID.Kind == ha.VM:
		return ha.MethodLive
	default:
		return ha.MethodRestart
	}
}

func moveReason(g ha.Guest, running, declaredHA bool) string {
	var s string
	switch {
	case !running:
		s = "stopped; its configuration moves so that nothing of it is left here"
	case g.SID.Kind == ha.VM:
		s = "a VM moves while it runs"
	default:
		s = "a container cannot move while it runs: it is shut down, moved and started"
	}
	if !declaredHA && running {
		s += "; not protected by HA, but its disks are shared"
	}
	return s
}

// returnsTo tells whether the HA manager would move the guest back to node by itself
// while node is online: failback on, and a node-affinity rule whose best class is there
// (pve-ha-manager 5.2.0: `migrate` against node affinity with failback bounces back).
func (w *world) returnsTo(g ha.Guest, node ha.NodeName) bool {
	res, _ := w.resource(g.SID)
	if !res.Failback {
		return false
	}
	for _, r := range w.rulesOf[g.SID] {
		if r.Type != ha.NodeAffinity {
			continue
		}
		mine := ruleClass(r, node)
		for _, n := range w.Inventory.Nodes {
			if n.Name == node || w.unfit(n.Name) != "" || r.Strict && !ruleHas(r, n.Name) {
				continue
			}
			if ruleClass(r, n.Name) >= mine {
				return false // somewhere as good exists: it would stay there
			}
		}
		return true
	}
	return false
}
