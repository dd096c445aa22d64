package pve

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// addResource makes a guest HA-managed. If it already is, in the wanted form, that is
// success: of two who add at once exactly one is refused.
func (c *Client) addResource(ctx context.Context, want ha.Resource) error {
	r, err := c.currentRelease(ctx)
	if err != nil {
		return notDoneError{err}
	}
	if err := checkSID(want.SID); err != nil {
		return err
	}
	params := map[string]any{
		"sid": want.SID.String(), "state": string(want.State),
		"max_restart": want.MaxRestart, "max_relocate": want.MaxRelocate,
	}
	if r.hasRules() {
		params["failback"] = bit(want.Failback)
	} else if want.Group != "" {
		params["group"] = want.Group
	}
	if want.Comment != "" {
		params["comment"] = want.Comment
	}
	_, err = write[any](ctx, c, http.MethodPost, "/cluster/ha/resources", params)
	if !alreadyDefined(err) {
		return err
	}
	have, readErr := c.resource(ctx, want.SID)
	if readErr == nil && sameResource(have, want, r) {
		return nil
	}
	return err
}

// updateResource makes the configuration of a resource what is wanted: it reads, sends
// only what differs, and nothing if nothing does. If it no longer is what the action was
// planned from, nothing is sent. The digest is the one the action names, else the one just
// read; Proxmox's is of the whole file, so that a change of any other resource makes it stale.
func (c *Client) updateResource(ctx context.Context, a ha.UpdateResource) error {
	want := a.Resource
	r, err := c.currentRelease(ctx)
	if err != nil {
		return notDoneError{err}
	}
	if err := checkSID(want.SID); err != nil {
		return err
	}
	have, err := c.resource(ctx, want.SID)
	if err != nil {
		return notDoneError{err}
	}
	if !a.Was.SID.IsZero() && !sameResource(have, a.Was, r) && !sameResource(have, want, r) {
		return changedMeanwhile("resource " + want.SID.String())
	}
	params := map[string]any{}
	var clear []string
	if have.State != want.State {
		params["state"] = string(want.State)
	}
	if have.MaxRestart != want.MaxRestart {
		params["max_restart"] = want.MaxRestart
	}
	if have.MaxRelocate != want.MaxRelocate {
		params["max_relocate"] = want.MaxRelocate
	}
	if r.hasRules() && have.Failback != want.Failback {
		params["failback"] = bit(want.Failback)
	}
	set := func(name, from, to string) {
		switch {
		case from == to:
		case to != "":
			params[name] = to
		default:
			clear = append(clear, name) // an empty value does not clear it
		}
	}
	set("comment", have.Comment, want.Comment)
	if !r.hasRules() {
		set("group", have.Group, want.Group)
	}
	if len(clear) > 0 {
		params["delete"] = strings.Join(clear, ",")
	}
	if len(params) == 0 {
		return nil
	}
	setDigest(params, want.Digest, have.Digest)
	_, err = write[any](ctx, c, http.MethodPut, resourcePath(want.SID), params)
	return err
}

// changedMeanwhile: what an action was planned from is not what is there.
func changedMeanwhile(what string) error {
	return notDoneError{ha.Errorf(ha.Conflict, "somebody has changed the %s meanwhile; it must be read and planned again", what)}
}

// removeResource ends HA management of a guest. Rules that name it are left alone: since
// 9.1 Proxmox also takes it out of them unless purge=0 is said, and deletes those that
// become empty. What is gone already is success.
func (c *Client) removeResource(ctx context.Context, a ha.RemoveResource) error {
	sid := a.SID
	r, err := c.currentRelease(ctx)
	if err != nil {
		return notDoneError{err}
	}
	if err := checkSID(sid); err != nil {
		return err
	}
	if !a.Was.SID.IsZero() {
		have, err := c.resource(ctx, sid)
		switch {
		case gone(err):
			return nil
		case err != nil:
			return notDoneError{err}
		case !sameResource(have, a.Was, r):
			return changedMeanwhile("resource " + sid.String())
		}
	}
	path := resourcePath(sid)
	if r.hasPurge() {
		path += "?purge=0"
	}
	_, err = write[any](ctx, c, http.MethodDelete, path, nil)
	if gone(err) {
		return nil
	}
	return err
}

// gone reports whether Proxmox says that there is no such resource or rule.
func gone(err error) bool {
	return said(err, "not HA managed", "no such resource", "no such ha rule")
}

// resource reads one resource. Defaults are filled in.
func (c *Client) resource(ctx context.Context, sid ha.SID) (ha.Resource, error) {
	row, err := read[haResourceRow](ctx, c, resourcePath(sid))
	if err != nil {
		return ha.Resource{}, err
	}
	return row.resource()
}

func sameResource(a, b ha.Resource, r release) bool {
	return a.State == b.State && a.MaxRestart == b.MaxRestart && a.MaxRelocate == b.MaxRelocate &&
		a.Comment == b.Comment && (r.hasRules() && a.Failback == b.Failback || !r.hasRules() && a.Group == b.Group)
}

// putRule creates a rule or changes the one of its name.
func (c *Client) putRule(ctx context.Context, a ha.PutRule) error {
	r, err := c.currentRelease(ctx)
	if err != nil {
		return notDoneError{err}
	}
	if !r.hasRules() {
		return notDoneError{ha.Errorf(ha.Invalid, "HA rules need Proxmox VE 9; this is %s", r.version)}
	}
	if err := checkRule(a.Rule); err != nil {
		return err
	}
	if a.Create {
		return c.createRule(ctx, a.Rule)
	}
	return c.updateRule(ctx, a)
}

func (c *Client) createRule(ctx context.Context, want ha.Rule) error {
	params := map[string]any{"rule": want.ID, "type": string(want.Type), "resources": sidsText(want.Resources)}
	if want.Type == ha.NodeAffinity {
		params["nodes"] = want.NodesText()
		if want.Strict {
			params["strict"] = 1
		}
	} else {
		params["affinity"] = string(want.Affinity)
	}
	if want.Disabled {
		params["disable"] = 1
	}
	if want.Comment != "" {
		params["comment"] = want.Comment
	}
	_, err := write[any](ctx, c, http.MethodPost, "/cluster/ha/rules", params)
	if !alreadyDefined(err) {
		return err
	}
	have, readErr := c.rule(ctx, want.ID)
	if readErr == nil && sameRule(have, want) {
		return nil
	}
	return err
}

// updateRule makes a rule what is wanted: it reads, sends only what differs, and nothing
// if nothing does. Proxmox demands the type every time, ignores a false disable and an
// empty comment, and takes "delete" instead.
func (c *Client) updateRule(ctx context.Context, a ha.PutRule) error {
	want := a.Rule
	have, err := c.rule(ctx, want.ID)
	if err != nil {
		return notDoneError{err}
	}
	if have.Type != want.Type {
		return notDoneError{ha.Errorf(ha.Conflict, "the rule %s is of type %s, not %s; remove it first", want.ID, have.Type, want.Type)}
	}
	if a.Was.ID != "" && !sameRule(have, a.Was) && !sameRule(have, want) {
		return changedMeanwhile("rule " + want.ID)
	}
	params := map[string]any{}
	var clear []string
	set := func(name string, on bool) {
		if on {
			params[name] = 1
		} else {
			clear = append(clear, name)
		}
	}
	if text := sidsText(want.Resources); text != sidsText(have.Resources) {
		params["resources"] = text
	}
	if want.Type == ha.NodeAffinity {
		if !sameNodes(have.Nodes, want.Nodes) {
			params["nodes"] = want.NodesText()
		}
		if have.Strict != want.Strict {
			set("strict", want.Strict)
		}
	} else if have.Affinity != want.Affinity {
		params["affinity"] = string(want.Affinity)
	}
	if have.Disabled != want.Disabled {
		set("disable", want.Disabled)
	}
	if have.Comment != want.Comment {
		if want.Comment != "" {
			params["comment"] = want.Comment
		} else {
			clear = append(clear, "comment")
		}
	}
	if len(clear) > 0 {
		params["delete"] = strings.Join(clear, ",")
	}
	if len(params) == 0 {
		return nil
	}
	params["type"] = string(want.Type)
	setDigest(params, want.Digest, have.Digest)
	_, err = write[any](ctx, c, http.MethodPut, rulePath(want.ID), params)
	return err
}

// removeRule deletes a rule; Proxmox calls it success if there is none.
func (c *Client) removeRule(ctx context.Context, a ha.RemoveRule) error {
	if err := checkConfigID("rule", a.ID); err != nil {
		return err
	}
	if a.Was.ID != "" {
		have, err := c.rule(ctx, a.ID)
		switch {
		case gone(err):
			return nil
		case err != nil:
			return notDoneError{err}
		case !sameRule(have, a.Was):
			return changedMeanwhile("rule " + a.ID)
		}
	}
	_, err := write[any](ctx, c, http.MethodDelete, rulePath(a.ID), nil)
	return err
}

func (c *Client) rule(ctx context.Context, id string) (ha.Rule, error) {
	row, err := read[ruleRow](ctx, c, rulePath(id))
	return row.rule(), err
}

func rulePath(id string) string { return "/cluster/ha/rules/" + url.PathEscape(id) }

func sameRule(a, b ha.Rule) bool {
	return a.Type == b.Type && sidsText(a.Resources) == sidsText(b.Resources) && sameNodes(a.Nodes, b.Nodes) &&
		a.Strict == b.Strict && a.Affinity == b.Affinity && a.Disabled == b.Disabled && a.Comment == b.Comment
}

// sameNodes compares nodes with their priorities, whatever their order.
func sameNodes(a, b []ha.RuleNode) bool {
	byName := func(x, y ha.RuleNode) int { return cmp.Compare(x.Node, y.Node) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), byName), slices.SortedFunc(slices.Values(b), byName))
}

// sidsText lists SIDs in the HA manager's order.
func sidsText(list []ha.SID) string {
	parts := make([]string, len(list))
	for k, s := range list {
		parts[k] = s.String()
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ",")
}

func checkRule(r ha.Rule) error {
	if err := checkConfigID("rule", r.ID); err != nil {
		return err
	}
	switch {
	case r.Type != ha.NodeAffinity && r.Type != ha.ResourceAffinity:
		return notDoneError{ha.Errorf(ha.Invalid, "HA rules have no type %q", r.Type)}
	case len(r.Resources) == 0:
		return notDoneError{ha.Errorf(ha.Invalid, "the rule names no resource")}
	case r.Type == ha.NodeAffinity && len(r.Nodes) == 0:
		return notDoneError{ha.Errorf(ha.Invalid, "the rule names no node")}
	}
	for _, sid := range r.Resources {
		if err := checkSID(sid); err != nil {
			return err
		}
	}
	for _, n := range r.Nodes {
		if err := checkNode(n.Node); err != nil {
			return err
		}
	}
	return nil
}

// checkConfigID holds a name to Proxmox's form: a letter first, then letters, digits, - and _.
func checkConfigID(what, id string) error {
	ok := len(id) >= 2
	for k, r := range id {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		ok = ok && (letter || k > 0 && ('0' <= r && r <= '9' || r == '-' || r == '_'))
	}
	if !ok {
		return notDoneError{ha.Errorf(ha.Invalid, "%q cannot be the name of an HA %s: want a letter, then letters, digits, - and _", id, what)}
	}
	return nil
}

// setDigest guards a change with the digest it was planned from, else the one just read.
func setDigest(params map[string]any, planned, current string) {
	if d := cmp.Or(planned, current); d != "" {
		params["digest"] = d
	}
}

func alreadyDefined(err error) bool { return said(err, "already defined") }

// said reports whether err is Proxmox's answer and contains one of the texts.
func said(err error, texts ...string) bool {
	var api *APIError
	if !errors.As(err, &api) || api.Status != http.StatusInternalServerError {
		return false
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(api.Text(), t) })
}

// bit writes a boolean as Proxmox takes it.
func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}
