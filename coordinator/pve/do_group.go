package pve

import (
	"context"
	"net/http"
	"net/url"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// putGroup creates a group of Proxmox VE 8, or changes the one of its name. Flags are
// always sent: leaving one out does not clear it.
func (c *Client) putGroup(ctx context.Context, a ha.PutGroup) error {
	if err := c.checkGroup(ctx, a.Group); err != nil {
		return err
	}
	want := a.Group
	params := map[string]any{
		"nodes": want.NodesText(), "restricted": bit(want.Restricted), "nofailback": bit(want.NoFailback), "comment": want.Comment,
	}
	if a.Create {
		params["group"] = want.Name
		_, err := write[any](ctx, c, http.MethodPost, "/cluster/ha/groups", params)
		if !alreadyDefined(err) {
			return err
		}
		if have, readErr := c.group(ctx, want.Name); readErr == nil && have.Same(want) {
			return nil
		}
		return err
	}
	have, err := c.group(ctx, want.Name)
	switch {
	case err != nil:
		return notDoneError{err}
	case have.Same(want):
		return nil
	case a.Was.Name != "" && !have.Same(a.Was):
		return changedMeanwhile("group " + want.Name)
	}
	setDigest(params, want.Digest, have.Digest)
	_, err = write[any](ctx, c, http.MethodPut, groupPath(want.Name), params)
	return err
}

// removeGroup deletes a group. What is gone already is success.
func (c *Client) removeGroup(ctx context.Context, a ha.RemoveGroup) error {
	if err := checkConfigID("group", a.Name); err != nil {
		return err
	}
	have, err := c.group(ctx, a.Name)
	switch {
	case ha.KindOf(err) == ha.NotFound:
		return nil
	case err != nil:
		return notDoneError{err}
	case a.Was.Name != "" && !have.Same(a.Was):
		return changedMeanwhile("group " + a.Name)
	}
	_, err = write[any](ctx, c, http.MethodDelete, groupPath(a.Name), nil)
	return err
}

// checkGroup refuses what Proxmox would, and groups where there are rules instead.
func (c *Client) checkGroup(ctx context.Context, g ha.Group) error {
	r, err := c.currentRelease(ctx)
	switch {
	case err != nil:
		return notDoneError{err}
	case r.hasRules():
		return notDoneError{ha.Errorf(ha.Invalid, "HA groups are of Proxmox VE 8; this is %s, which has HA rules instead", r.version)}
	case len(g.Nodes) == 0:
		return notDoneError{ha.Errorf(ha.Invalid, "the group names no node")}
	case g.Comment == "":
		return notDoneError{ha.Errorf(ha.Invalid, "the group has no comment that says whose it is")}
	}
	for _, n := range g.Nodes {
		if err := checkNode(n.Node); err != nil {
			return err
		}
	}
	return checkConfigID("group", g.Name)
}

// group finds a group in the list of all, which is the one reading whose answer for a group
// that is not there is known.
func (c *Client) group(ctx context.Context, name string) (ha.Group, error) {
	rows, err := read[[]groupRow](ctx, c, "/cluster/ha/groups")
	if err != nil {
		return ha.Group{}, err
	}
	for _, row := range rows {
		if string(row.Group) == name {
			return row.group(), nil
		}
	}
	return ha.Group{}, ha.Errorf(ha.NotFound, "there is no HA group %s", name)
}

func groupPath(name string) string { return "/cluster/ha/groups/" + url.PathEscape(name) }
