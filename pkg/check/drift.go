package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what psw has registered and somebody has changed since.
const (
	ResourceDrifted       ha.Code = "RESOURCE_DRIFTED"
	RuleDrifted           ha.Code = "RULE_DRIFTED"
	RegistrationLeftover  ha.Code = "REGISTRATION_LEFTOVER"
	RegistrationContested ha.Code = "REGISTRATION_CONTESTED"
)

var driftChecks = []Check{
	{Code: ResourceDrifted, Title: "the target is registered as psw registered it", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: registeredCauses, parts: resourceParts, target: resourceDrifted},
	{Code: RuleDrifted, Title: "the target's rule is as psw made it", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: after(registeredCauses, TargetPreferenceMissing, TargetNotConfined), parts: []string{partGuests, partResources, partRules}, target: ruleDrifted},
	{Code: RegistrationLeftover, Title: "nothing is registered that is not declared any more", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering, PolicyMissing}, parts: []string{partGuests, partResources, partRules}, cluster: registrationLeftover},
	{Code: RegistrationContested, Title: "nobody undoes what psw keeps", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partResources}, cluster: registrationContested},
}

const driftRemedy = "psw ha plan shows the difference, psw ha apply puts it right"

// resourceDrifted looks at resources of ours only; what others registered is theirs. The
// request state and failback have checks of their own.
func resourceDrifted(w *world, m managed) verdict {
	have, v, ok := w.resource(m)
	switch {
	case !ok:
		return v
	case !ha.Marked(have.Comment):
		return skip("", "psw did not register %s", have.SID)
	}
	want := m.Resource(have.SID)
	var d []string
	differs := func(what string, have, want any) {
		if have != want {
			d = append(d, fmt.Sprintf("%s is %v, not %v", what, have, want))
		}
	}
	differs("max_restart", have.MaxRestart, want.MaxRestart)
	differs("max_relocate", have.MaxRelocate, want.MaxRelocate)
	if name := ha.MarkedTarget(have.Comment); name != m.Name {
		d = append(d, fmt.Sprintf("it was registered for %s", name))
	}
	if d != nil {
		return broken("", fmt.Sprintf("%s: %s", have.SID, strings.Join(d, "; ")), driftRemedy)
	}
	return pass("", "%s: max_restart %d, max_relocate %d", have.SID, have.MaxRestart, have.MaxRelocate)
}

// ruleDrifted looks for the rule of ours, and compares what it means: the nodes it prefers
// and whether it allows others. Where a rule of somebody else binds the guest, that one may
// decide instead, and Proxmox allows no second one.
func ruleDrifted(w *world, m managed) verdict {
	res, v, ok := w.resource(m)
	switch {
	case !ok:
		return v
	case !ha.Marked(res.Comment):
		return skip("", "psw did not register %s", res.SID)
	case w.s.Inventory.UsesGroups():
		return skip("", "Proxmox VE 8 has groups instead of rules")
	}
	var own *ha.Rule
	bound := false
	for k := range w.s.Inventory.Rules {
		r := &w.s.Inventory.Rules[k]
		if !slices.Contains(r.Resources, res.SID) {
			continue
		}
		if r.Type == ha.NodeAffinity && ha.Marked(r.Comment) {
			own = r
		} else if !r.Disabled {
			bound = true
		}
	}
	want := m.RuleNodes()
	switch {
	case own == nil && bound:
		return skip("", "a rule of somebody else decides where %s runs", res.SID)
	case own == nil:
		return broken("", fmt.Sprintf("the rule for %s is gone", res.SID), driftRemedy)
	case own.Disabled:
		return broken("", fmt.Sprintf("rule %s is disabled: it binds nothing", own.ID), driftRemedy)
	case own.Strict != m.Options.Strict:
		return broken("", fmt.Sprintf("rule %s %s", own.ID, map[bool]string{true: "has become strict", false: "is not strict any more"}[own.Strict]), driftRemedy)
	case !slices.Equal(own.Resources, []ha.SID{res.SID}):
		return broken("", fmt.Sprintf("rule %s binds %s, not %s alone", own.ID, joined(own.Resources), res.SID), driftRemedy)
	case own.Strict && !slices.Equal(nodesOf(own.Nodes), nodesOf(want)), !own.Strict && !slices.Equal(ha.BestNodes(own.Nodes), ha.BestNodes(want)):
		return broken("", fmt.Sprintf("rule %s says %s, network.yml %s", own.ID, own.NodesText(), ha.Rule{Nodes: want}.NodesText()), driftRemedy)
	}
	return pass("", "rule %s: %s", own.ID, own.NodesText())
}

func nodesOf(list []ha.RuleNode) []ha.NodeName {
	out := make([]ha.NodeName, len(list))
	for k, n := range list {
		out[k] = n.Node
	}
	return out
}

// registrationLeftover names what is ours and belongs to no declared target any more, a
// guest that was made anew under another number among it.
func registrationLeftover(w *world) []verdict {
	declared := make(map[ha.SID]bool)
	of := make(map[string]ha.SID)
	unclear := make(map[string]bool)
	for _, m := range w.managed() {
		if m.err != nil {
			unclear[m.Name] = true // what is registered for it stays until that is clear
			continue
		}
		declared[m.guest.SID] = true
		of[m.Name] = m.guest.SID
	}
	var list []verdict
	leftover := func(subject, comment, what string) {
		target := ha.MarkedTarget(comment)
		if !ha.Marked(comment) || unclear[target] {
			return
		}
		why := fmt.Sprintf("network.yml does not say ha: true for %s any more", target)
		if sid, ok := of[target]; ok {
			why = fmt.Sprintf("%s is %s by now", target, sid)
		}
		v := broken(subject, what+" is still registered, but "+why, driftRemedy)
		v.targets = []string{}
		list = append(list, v)
	}
	for _, r := range w.s.Inventory.Resources {
		if !declared[r.SID] {
			leftover(r.SID.String(), r.Comment, r.SID.String())
		}
	}
	for _, r := range w.s.Inventory.Rules {
		if r.Type == ha.NodeAffinity && !slices.ContainsFunc(r.Resources, func(s ha.SID) bool { return declared[s] }) {
			leftover(r.ID, r.Comment, "rule "+r.ID)
		}
	}
	if list == nil {
		return []verdict{pass(clusterSubject, "%s", number(len(w.s.Inventory.Resources), "HA resource"))}
	}
	return list
}

func registrationContested(w *world) []verdict {
	kept, keep := ha.Kept(w.s.Operations)
	switch {
	case !keep:
		return []verdict{skip(clusterSubject, "nobody asked to keep the registration: psw ha apply --keep does")}
	case ha.Contested(w.s.Operations):
		v := broken(clusterSubject, fmt.Sprintf("somebody undoes it again and again: psw has put it right %d times within an hour and leaves it now", ha.KeepFightsMax),
			"find out who edits HA beside network.yml, agree, then psw ha apply --keep")
		v.targets = []string{}
		return []verdict{v}
	}
	return []verdict{pass(clusterSubject, "kept since %s", kept.RequestedAt.UTC().Format("2006-01-02 15:04"))}
}
