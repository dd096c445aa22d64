package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

func haRules(r *request) (any, error) {
	list := []object{}
	for _, ru := range r.listedRules() {
		if r.has("type") && r.get("type") != ru.typ || r.has("resource") && !slices.Contains(ru.resources, r.get("resource")) {
			continue
		}
		list = append(list, r.ruleRow(ru))
	}
	return list, nil
}

// listedRules are the configured rules and those that the groups in use amount to.
func (r *request) listedRules() []*rule {
	list := slices.Clone(r.fs.rules)
	for _, ru := range r.groupRules() {
		list = append(list, ruleOf(ru))
	}
	return list
}

func (r *request) groupRules() []crm.Rule {
	return crm.GroupRules(r.fs.haConfig().Services, r.fs.groups)
}

// allRules are the rules as the HA manager reads them.
func (r *request) allRules() []crm.Rule {
	return append(slices.Clip(r.fs.modelRules()), r.groupRules()...)
}

func haRule(r *request) (any, error) {
	ru := r.fs.rule(r.get("rule"))
	if ru == nil {
		return nil, die("no such ha rule '%s'", r.get("rule"))
	}
	return r.ruleRow(ru), nil
}

func (r *request) ruleRow(ru *rule) object {
	row := object{
		"rule": ru.id, "type": ru.typ, "resources": strings.Join(ru.resources, ","), "order": r.order(ru),
		"digest": digest(r.fs.rulesText()),
	}
	if ru.typ == "node-affinity" {
		row["nodes"] = nodesText(ru.nodes)
	} else {
		row["affinity"] = ru.affinity
	}
	if ru.strict != "" {
		row["strict"] = atoi(ru.strict)
	}
	if ru.disabled {
		row["disable"] = 1
	}
	if ru.comment != "" {
		row["comment"] = ru.comment
	}
	if faults := ruleFaults(r.allRules(), r.knownNodes())[ru.id]; len(faults) > 0 {
		row["errors"] = object{"resources": faults}
	}
	return row
}

// order is a rule's place in the file; converted groups come after it.
func (r *request) order(ru *rule) int {
	if k := slices.Index(r.fs.rules, ru); k >= 0 {
		return k + 1
	}
	k := slices.IndexFunc(r.groupRules(), func(o crm.Rule) bool { return o.ID == ru.id })
	return len(r.fs.rules) + k + 1
}

// knownNodes are the nodes the HA manager knows.
func (r *request) knownNodes() []string {
	if r.fs.manager == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(r.fs.manager.Nodes))
}

// notMigrated is why no rule can be written as long as there are groups. That it is refused
// is known; the words are not from a recording.
const notMigrated = "ha groups have not been migrated to rules yet"

func addHARule(r *request) (any, error) {
	const failed = "create ha rule failed: "
	if !r.n.quorate {
		return nil, die("cluster not ready - no quorum?")
	}
	if len(r.fs.groups) > 0 {
		return nil, die(failed + notMigrated)
	}
	ru := &rule{id: r.get("rule"), typ: r.get("type")}
	r.setRule(ru)
	if r.fs.rule(ru.id) != nil {
		return nil, die(failed+"HA rule '%s' already defined", ru.id)
	}
	if err := r.checkRule(ru, failed, append(slices.Clone(r.fs.rules), ru)); err != nil {
		return nil, err
	}
	r.fs.rules = append(r.fs.rules, ru)
	r.fs.rulesChanged()
	return nil, nil
}

// setRule takes over what the request says of a rule.
func (r *request) setRule(ru *rule) {
	if r.has("resources") {
		ru.resources = splitList(r.get("resources"))
		slices.Sort(ru.resources)
	}
	if r.has("nodes") {
		ru.nodes = sortedNodes(parseNodes(r.get("nodes")))
	}
	if r.has("affinity") {
		ru.affinity = r.get("affinity")
	}
	if r.has("comment") {
		ru.comment = r.get("comment")
	}
	if r.has("strict") {
		ru.strict = fmt.Sprint(flag(r.is("strict")))
	}
	if r.is("disable") { // 0 does not enable; that takes delete=disable
		ru.disabled = true
	}
}

func (r *request) checkRule(ru *rule, failed string, all []*rule) error {
	var unmanaged, unknown []string
	for _, sid := range ru.resources {
		if r.fs.resource(sid) == nil {
			unmanaged = append(unmanaged, sid)
		}
	}
	for _, n := range ru.nodes {
		if r.n.peer(n.Node) == nil {
			unknown = append(unknown, n.Node)
		}
	}
	switch {
	case len(unmanaged) > 0:
		return die(failed+"cannot use unmanaged resource(s) %s.", strings.Join(unmanaged, ", "))
	case len(unknown) > 0:
		return die(failed+"cannot use non-existent node(s) %s.", strings.Join(unknown, ", "))
	}
	if faults := ruleFaults(modelRules(all), r.knownNodes())[ru.id]; len(faults) > 0 {
		return die(failed+"400 Rule '%s' is invalid.\nresources: %s", ru.id, strings.Join(faults, ", "))
	}
	return nil
}

func setHARule(r *request) (any, error) {
	const failed = "update HA rules failed: "
	if err := r.lockHA(failed); err != nil {
		return nil, err
	}
	old := r.fs.rule(r.get("rule"))
	switch {
	case len(r.fs.groups) > 0:
		return nil, die(failed + notMigrated)
	case old == nil:
		return nil, die(failed+"HA rule '%s' does not exist", r.get("rule"))
	case r.get("digest") != "" && r.get("digest") != digest(r.fs.rulesText()):
		return nil, die(failed + "detected modified configuration - file changed by other user? Try again.")
	}
	ru := old.clone()
	r.setRule(ru)
	for _, k := range splitList(r.get("delete")) {
		switch k {
		case "disable":
			ru.disabled = false
		case "strict":
			ru.strict = ""
		case "comment":
			ru.comment = ""
		default:
			return nil, die(failed+"no such option '%s'", k)
		}
	}
	all := slices.Clone(r.fs.rules)
	all[slices.Index(all, old)] = ru
	if err := r.checkRule(ru, failed, all); err != nil {
		return nil, err
	}
	r.fs.rules = all
	r.fs.rulesChanged()
	return nil, nil
}

// deleteHARule succeeds also for a rule that is not there.
func deleteHARule(r *request) (any, error) {
	if err := r.lockHA("delete ha rule failed: "); err != nil {
		return nil, err
	}
	r.fs.rules = slices.DeleteFunc(r.fs.rules, func(ru *rule) bool { return ru.id == r.get("rule") })
	r.fs.rulesChanged()
	return nil, nil
}
