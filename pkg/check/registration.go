package check

import (
	"fmt"
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on HA targets in the HA manager.
const (
	TargetNotRegistered ha.Code = "TARGET_NOT_REGISTERED"
	TargetRequestState  ha.Code = "TARGET_REQUEST_STATE"
	TargetFailback      ha.Code = "TARGET_FAILBACK"
	TargetInError       ha.Code = "TARGET_IN_ERROR"
	TargetFrozen        ha.Code = "TARGET_FROZEN"
	TargetNotRunning    ha.Code = "TARGET_NOT_RUNNING"
	ResourceForeign     ha.Code = "RESOURCE_FOREIGN"
)

var (
	resourceParts    = []string{partGuests, partResources}
	registeredCauses = after(targetCauses, TargetNotRegistered)
)

var registrationChecks = []Check{
	{Code: TargetNotRegistered, Title: "the target is registered with the HA manager", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: targetCauses, parts: resourceParts, target: targetNotRegistered},
	{Code: TargetRequestState, Title: "the HA manager is asked to keep the target started", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: registeredCauses, parts: resourceParts, target: targetRequestState},
	{Code: TargetFailback, Title: "the target does not move back by itself", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: registeredCauses, parts: resourceParts, target: targetFailback},
	{Code: TargetInError, Title: "the HA manager has not given the target up", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: registeredCauses, parts: []string{partGuests, partResources, partHA}, target: targetInError},
	{Code: TargetFrozen, Title: "the target is not frozen without a reason", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(registeredCauses, NodeOffline, HADisarmed, CRMMasterStale), parts: []string{partGuests, partResources, partHA}, target: targetFrozen},
	{Code: TargetNotRunning, Title: "the target runs where the HA manager says", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: after(registeredCauses, NodeOffline, AgentSilent, HADisarmed, CRMMasterStale, TargetRequestState, TargetInError, TargetFrozen),
		parts:     []string{partGuests, partResources, partHA}, target: targetNotRunning},
	{Code: ResourceForeign, Title: "every HA resource is a declared target", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{APINotAnswering, PolicyMissing}, parts: resourceParts, cluster: resourceForeign},
}

// planRemedy: the plan prints the ha-manager command of every difference.
const planRemedy = "psw -C DIR ha apply; psw -C DIR ha plan prints the commands that make it so"

// resource returns the target's HA configuration, or an UNKNOWN to answer with.
func (w *world) resource(m managed) (ha.Resource, verdict, bool) {
	if m.err != nil {
		return ha.Resource{}, unknown("", "%v", m.err), false
	}
	r, ok := w.s.Inventory.Resource(m.guest.SID)
	if !ok {
		return r, unknown("", "%s is not registered", m.guest.SID), false
	}
	return r, verdict{}, true
}

func targetNotRegistered(w *world, m managed) verdict {
	if m.err != nil {
		return unknown("", "%v", m.err)
	}
	if _, ok := w.s.Inventory.Resource(m.guest.SID); !ok {
		return broken("", fmt.Sprintf("%s is no HA resource: it goes down with %s and stays down", m.guest.SID, m.guest.Node),
			planRemedy)
	}
	return pass("", "%s", m.guest.SID)
}

// keptStarted reports whether the HA manager keeps the guest started, and starts it
// elsewhere when its node is lost. "enabled" is an old alias (pve-ha-manager 5.2.0).
func keptStarted(r ha.Resource) bool { return r.State == ha.RequestStarted || r.State == "enabled" }

func targetRequestState(w *world, m managed) verdict {
	r, v, ok := w.resource(m)
	switch {
	case !ok:
		return v
	case !keptStarted(r):
		return broken("", fmt.Sprintf("%s is requested %s: the HA manager does not start it", r.SID, r.State), requestRemedy(m, r))
	}
	return pass("", "%s: %s", r.SID, r.State)
}

// requestRemedy: apply leaves a request state to whoever chose it.
func requestRemedy(m managed, r ha.Resource) string {
	byHand := fmt.Sprintf("ha-manager set %s --state started", r.SID)
	if r.State == ha.RequestDisabled {
		return fmt.Sprintf("psw -C DIR ha recover %s, once what led to it is mended; by hand: %s", m.Name, byHand)
	}
	return byHand
}

func targetFailback(w *world, m managed) verdict {
	r, v, ok := w.resource(m)
	switch {
	case !ok:
		return v
	case r.Failback:
		return broken("", fmt.Sprintf("%s has failback 1: it is moved a second time as soon as its node is back from a failure", r.SID),
			fmt.Sprintf("psw -C DIR ha apply; by hand: ha-manager set %s --failback 0", r.SID))
	}
	return pass("", "%s: failback 0", r.SID)
}

func targetInError(w *world, m managed) verdict {
	r, v, ok := w.resource(m)
	if !ok {
		return v
	}
	s, ok := w.s.Inventory.HA.Service(r.SID)
	switch {
	case !ok:
		return w.unrecorded(r.SID)
	case s.State == ha.ServiceError:
		return broken("", fmt.Sprintf("%s is in state error on %s: the HA manager leaves it alone until somebody clears it", r.SID, s.Node),
			fmt.Sprintf("psw -C DIR ha recover %s leads it out, step by step; why it failed: journalctl -u pve-ha-lrm on %s; by hand: %s; make sure that it runs on no node (%s); ha-manager set %s --state disabled; mend the cause; ha-manager set %s --state started",
				m.Name, s.Node, unlock(r.SID), statusCommand(r.SID), r.SID, r.SID))
	}
	return pass("", "%s: %s", r.SID, s.State)
}

// tool is the command for a guest's kind.
func tool(sid ha.SID) string {
	if sid.Kind == ha.CT {
		return "pct"
	}
	return "qm"
}

func unlock(sid ha.SID) string {
	return fmt.Sprintf("%s unlock %d if a lock was left", tool(sid), sid.ID)
}

func statusCommand(sid ha.SID) string { return fmt.Sprintf("%s status %d", tool(sid), sid.ID) }

// targetFrozen: the HA manager freezes the guests of an LRM that shuts down or restarts,
// and of a disarmed stack, and forgets none of them; one that stays frozen although its
// node is there and works is left over.
func targetFrozen(w *world, m managed) verdict {
	r, v, ok := w.resource(m)
	if !ok {
		return v
	}
	s, ok := w.s.Inventory.HA.Service(r.SID)
	switch {
	case !ok:
		return w.unrecorded(r.SID)
	case s.State != ha.ServiceFreeze:
		return pass("", "%s: %s", r.SID, s.State)
	}
	if n, ok := w.s.Inventory.HA.Node(s.Node); ok && n.LRMMode != lrmModeActive {
		return passing("", "%s is frozen: the LRM on %s is in mode %s", r.SID, s.Node, n.LRMMode)
	}
	return broken("", fmt.Sprintf("%s is frozen on %s, although the LRM there is active: it is neither restarted nor recovered", r.SID, s.Node),
		fmt.Sprintf("on %s: systemctl restart pve-ha-lrm; if it stays: on the master, systemctl restart pve-ha-crm; then ha-manager status", s.Node))
}

// targetNotRunning believes processes, not the API, which calls a guest on a node that
// lost power "running" for minutes (series2 recordings, surprise 6).
func targetNotRunning(w *world, m managed) verdict {
	r, v, ok := w.resource(m)
	if !ok {
		return v
	}
	s, ok := w.s.Inventory.HA.Service(r.SID)
	switch {
	case !ok:
		return w.unrecorded(r.SID)
	case s.Moving():
		return passing("", "%s is on its way from %s to %s", r.SID, s.Node, s.Target)
	case s.State == ha.ServiceRequestStart:
		return passing("", "the HA manager is starting %s on %s", r.SID, s.Node)
	case s.State != ha.ServiceStarted:
		return broken("", fmt.Sprintf("%s is in state %s on %s", r.SID, s.State, s.Node),
			"ha-manager status; journalctl -u pve-ha-crm on the master and -u pve-ha-lrm on "+string(s.Node))
	}
	if runsOn(w.places[r.SID], s.Node) {
		return pass("", "%s on %s", r.SID, s.Node)
	}
	if _, why, ok := w.answered(s.Node, ha.ProbeGuests); !ok {
		v := unknown("", "%s should run on %s, but %s", r.SID, s.Node, why)
		v.on = s.Node
		return v
	}
	if !s.Running {
		return passing("", "%s was just given to %s and is not confirmed yet", r.SID, s.Node)
	}
	return broken("", fmt.Sprintf("the HA manager calls %s started on %s, but no process of it is there", r.SID, s.Node),
		fmt.Sprintf("on %s: journalctl -u pve-ha-lrm -n 50; ha-manager status", s.Node))
}

func runsOn(places []place, node ha.NodeName) bool {
	return slices.ContainsFunc(places, func(p place) bool { return p.node == node && !p.Incoming })
}

func resourceForeign(w *world) []verdict {
	targets := make(map[ha.SID]string)
	for _, m := range w.targets {
		if m.err == nil {
			targets[m.guest.SID] = m.Name
		}
	}
	var list []verdict
	for _, r := range w.s.Inventory.Resources {
		if targets[r.SID] != "" {
			continue
		}
		what := "network.yml does not declare it"
		if g, ok := w.s.Inventory.Guest(r.SID); !ok {
			what = "there is no such guest"
		} else if t, ok := w.s.TargetOf(g); ok {
			what = fmt.Sprintf("it is target %s, which does not say ha: true", t.Name)
		}
		v := broken(r.SID.String(), fmt.Sprintf("it is an HA resource (%s), but %s: psw leaves it alone, and it needs room as well", r.State, what),
			fmt.Sprintf("declare it, or ha-manager remove %s", r.SID))
		v.targets = []string{}
		list = append(list, v)
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "%s", number(len(w.s.Inventory.Resources), "HA resource"))}
	}
	return list
}
