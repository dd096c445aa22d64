package pvesim

import (
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// HA groups: what a PVE 8 has instead of rules, and a 9 until its manager has turned them into
// rules. What is known of their answers is their form, that all of them fail on a 9 without
// groups, and that a group in use cannot be deleted; the texts of the other refusals are
// modelled on those of resources and rules.

// hasGroups reports whether groups are what the answering node goes by.
func (r *request) hasGroups() bool { return r.n.major() < 9 || len(r.fs.groups) > 0 }

const groupsAreRules = "ha groups have been migrated to rules"

func (r *request) groupRow(g crm.Group) object {
	row := object{"group": g.ID, "type": "group", "nodes": nodesText(g.Nodes), "digest": digest(r.fs.groupsText())}
	if g.Restricted {
		row["restricted"] = 1
	}
	if g.NoFailback {
		row["nofailback"] = 1
	}
	if g.Comment != "" {
		row["comment"] = g.Comment
	}
	return row
}

func haGroups(r *request) (any, error) {
	if !r.hasGroups() {
		return nil, die("cannot index groups: " + groupsAreRules)
	}
	list := []object{}
	for _, g := range r.fs.groups {
		list = append(list, r.groupRow(g))
	}
	return list, nil
}

func (f *pmxcfs) group(id string) int {
	return slices.IndexFunc(f.groups, func(g crm.Group) bool { return g.ID == id })
}

func haGroup(r *request) (any, error) {
	if !r.hasGroups() {
		return nil, die("cannot read group: " + groupsAreRules)
	}
	k := r.fs.group(r.get("group"))
	if k < 0 {
		return nil, die("no such ha group '%s'", r.get("group"))
	}
	return r.groupRow(r.fs.groups[k]), nil
}

// setGroup takes over what the request says of a group.
func (r *request) setGroup(g *crm.Group) {
	if r.has("nodes") {
		g.Nodes = sortedNodes(parseNodes(r.get("nodes")))
	}
	if r.has("restricted") {
		g.Restricted = r.is("restricted")
	}
	if r.has("nofailback") {
		g.NoFailback = r.is("nofailback")
	}
	if r.has("comment") {
		g.Comment = r.get("comment")
	}
}

func addHAGroup(r *request) (any, error) {
	const failed = "create ha group failed: "
	if !r.hasGroups() {
		return nil, die("cannot create group: " + groupsAreRules)
	}
	if err := r.lockHA(failed); err != nil {
		return nil, err
	}
	if r.fs.group(r.get("group")) >= 0 {
		return nil, die(failed+"group ID '%s' already defined", r.get("group"))
	}
	g := crm.Group{ID: r.get("group")}
	r.setGroup(&g)
	r.fs.groups = append(slices.Clone(r.fs.groups), g)
	r.fs.rulesChanged()
	return nil, nil
}

func setHAGroup(r *request) (any, error) {
	const failed = "update ha group failed: "
	if !r.hasGroups() {
		return nil, die("cannot update group: " + groupsAreRules)
	}
	if err := r.lockHA(failed); err != nil {
		return nil, err
	}
	k := r.fs.group(r.get("group"))
	switch {
	case k < 0:
		return nil, die(failed+"no such ha group '%s'", r.get("group"))
	case r.get("digest") != "" && r.get("digest") != digest(r.fs.groupsText()):
		return nil, die(failed + "detected modified configuration - file changed by other user? Try again.")
	}
	g := r.fs.groups[k]
	r.setGroup(&g)
	for _, key := range splitList(r.get("delete")) {
		switch key {
		case "restricted":
			g.Restricted = false
		case "nofailback":
			g.NoFailback = false
		case "comment":
			g.Comment = ""
		case "nodes":
			return nil, die(failed + "unable to delete required option 'nodes'")
		default:
			return nil, die(failed+"no such option '%s'", key)
		}
	}
	r.fs.groups = slices.Clone(r.fs.groups)
	r.fs.groups[k] = g
	r.fs.rulesChanged()
	return nil, nil
}

func deleteHAGroup(r *request) (any, error) {
	const failed = "delete ha group failed: "
	if !r.hasGroups() {
		return nil, die("cannot delete group: " + groupsAreRules)
	}
	if err := r.lockHA(failed); err != nil {
		return nil, err
	}
	id := r.get("group")
	var users []string
	for _, res := range r.fs.resources {
		if res.opts["group"] == id {
			users = append(users, res.sid)
		}
	}
	k := r.fs.group(id)
	switch {
	case k < 0:
		return nil, die(failed+"no such ha group '%s'", id)
	case len(users) > 0:
		return nil, die(failed+"ha group is used by services: %s", strings.Join(users, ", "))
	}
	r.fs.groups = slices.Delete(slices.Clone(r.fs.groups), k, k+1)
	r.fs.rulesChanged()
	return nil, nil
}

// checkGroup refuses the group of a resource where there is none of that name, or none at all.
func (r *request) checkGroup(failed string) error {
	switch {
	case !r.has("group"):
		return nil
	case !r.hasGroups():
		return die("invalid parameter 'group': " + groupsAreRules)
	case r.fs.group(r.get("group")) < 0:
		return die(failed+"no such ha group '%s'", r.get("group"))
	}
	return nil
}
