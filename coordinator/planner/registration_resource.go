package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// resource makes a target's guest the resource it is to be.
func (r *registration) resource(x want, to ha.Resource) {
	sid, name := x.guest.SID, x.target.Name
	have, exists := r.Inventory.Resource(sid)
	if !exists {
		r.do(makeResources, ha.ChangeAdd, sid.String(), r.addText(x, to), ha.AddResource{Resource: to})
		return
	}
	if r.Inventory.UsesGroups() && to.Group == have.Group {
		to.Failback = have.Failback // the group's, which is changed on its own
	}
	if have.Comment != "" && !ha.Marked(have.Comment) {
		r.others(sid.String(), foreignResource(x, have, to))
		return
	}
	text := name
	if !keptStarted(have.State) {
		// Somebody wants it so, or a maintenance does: their decision stands.
		to.State = have.State
		text += fmt.Sprintf(" (request state %s: left as it is)", have.State)
	}
	svc, known := r.Inventory.HA.Service(sid)
	inError := known && svc.State == ha.ServiceError
	diff := resourceDiff(have, to)
	switch {
	case diff == "" && inError:
		r.is(sid.String(), fmt.Sprintf("%s; the HA manager has given it up (state error): `psw ha recover %s`", text, name))
	case diff == "":
		r.is(sid.String(), text)
	case inError:
		r.waits.Block(sid.String(), fmt.Sprintf("%s is in state error, in which Proxmox takes no change of it (wanted: %s)", name, diff),
			fmt.Sprintf("lead it out first: `psw ha recover %s`", name))
	default:
		r.do(makeResources, ha.ChangeChange, sid.String(), text+": "+diff, ha.UpdateResource{Resource: to, Was: have})
	}
}

// addText says what it means for a guest to become a resource: the HA manager acts on it
// at once.
func (r *registration) addText(x want, to ha.Resource) string {
	text := fmt.Sprintf("protect %s: state %s, failback off", x.target.Name, to.State)
	if to.MaxRestart != 1 || to.MaxRelocate != 1 {
		text += fmt.Sprintf(", max_restart %d, max_relocate %d", to.MaxRestart, to.MaxRelocate)
	}
	if !r.running(x.guest) {
		text += "; it is stopped now, and the HA manager starts it"
	}
	if at := r.at(x.guest); x.target.Options.Strict && !ruleHas(ha.Rule{Nodes: x.nodes}, at) {
		text += fmt.Sprintf("; it is on %s, where its rule does not allow it: the HA manager moves it away", at)
	}
	return text
}

// foreignResource says what it means that somebody else registered a target's guest.
func foreignResource(x want, have, to ha.Resource) string {
	to.Comment = have.Comment
	text := fmt.Sprintf("registered by somebody else (%q): left as it is", have.Comment)
	if diff := resourceDiff(have, to); diff != "" {
		text += fmt.Sprintf("; network.yml wants %s for %s", diff, x.target.Name)
	}
	return text + fmt.Sprintf("; to hand it over: `ha-manager set %s --comment '%s'`", x.guest.SID, ha.MarkOf(x.target.Name))
}

// keptStarted: "enabled" is an old alias of started.
func keptStarted(s ha.RequestState) bool { return s == ha.RequestStarted || s == "enabled" }

func resourceDiff(have, want ha.Resource) string {
	var d []string
	say := func(what string, a, b any) {
		if a != b {
			d = append(d, fmt.Sprintf("%s %v => %v", what, a, b))
		}
	}
	if keptStarted(have.State) {
		have.State = ha.RequestStarted
	}
	say("state", have.State, want.State)
	say("failback", onOff(have.Failback), onOff(want.Failback))
	say("max_restart", have.MaxRestart, want.MaxRestart)
	say("max_relocate", have.MaxRelocate, want.MaxRelocate)
	say("group", nameOr(have.Group, "none"), nameOr(want.Group, "none"))
	say("comment", fmt.Sprintf("%q", have.Comment), fmt.Sprintf("%q", want.Comment))
	return strings.Join(d, ", ")
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func nameOr(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

// unregister takes away what is ours and no longer declared, and names what is foreign.
func (r *registration) unregister() {
	declared := make(map[ha.SID]bool)
	for _, x := range r.wants {
		declared[x.guest.SID] = true
	}
	for _, res := range r.Inventory.Resources {
		switch target := ha.MarkedTarget(res.Comment); {
		case declared[res.SID]:
		case target != "" && r.unclear[target]:
			r.is(res.SID.String(), fmt.Sprintf("registered for %s: left as it is until it is clear which guest that is", target))
		case ha.Marked(res.Comment):
			r.do(freeResources, ha.ChangeRemove, res.SID.String(), r.removeText(res), ha.RemoveResource{SID: res.SID, Was: res})
		default:
			r.others(res.SID.String(), "registered by somebody else: left as it is; it needs room on the other nodes as well")
		}
	}
}

// removeText says what it means for a guest to be a resource no longer.
func (r *registration) removeText(res ha.Resource) string {
	g, exists := r.Inventory.Guest(res.SID)
	text := "no longer declared; the guest keeps running, and goes down with its node from then on"
	switch {
	case !exists:
		text = "no longer declared; there is no such guest any more"
	case !r.running(g):
		text = "no longer declared; the guest stays stopped"
	}
	for _, rule := range r.Inventory.Rules {
		if !isOwnRule(rule) && slices.Contains(rule.Resources, res.SID) {
			text += fmt.Sprintf("; rule %s of somebody else still names it, to no effect", rule.ID)
		}
	}
	return text
}
