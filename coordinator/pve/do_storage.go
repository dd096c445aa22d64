package pve

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// storageID is what Proxmox takes for the name of a storage.
var storageID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]$`)

// putStorage adds a storage to storage.cfg, or changes in it what can be changed: content,
// mount options, whether it is disabled and for which nodes it is. What is there already in
// the wanted form is success.
func (c *Client) putStorage(ctx context.Context, a ha.PutStorage) error {
	want := a.Storage
	switch {
	case !storageID.MatchString(want.Name):
		return notDoneError{ha.Errorf(ha.Invalid, "%q is not the name of a storage", want.Name)}
	case want.Type != "nfs":
		return notDoneError{ha.Errorf(ha.Invalid, "storage %s is of type %q: psw registers nfs", want.Name, want.Type)}
	case a.Was.Name != "":
		return c.changeStorage(ctx, want)
	}
	params := map[string]any{
		"storage": want.Name, "type": want.Type, "server": want.Server, "export": want.Export, "path": want.Path,
		"content": strings.Join(want.Content, ","),
	}
	if want.Options != "" {
		params["options"] = want.Options
	}
	_, err := write[any](ctx, c, http.MethodPost, "/storage", params)
	if !alreadyDefined(err) {
		return err
	}
	have, _, readErr := c.storage(ctx, want.Name)
	if readErr == nil && have.Type == want.Type && have.Server == want.Server && have.Export == want.Export && have.Path == want.Path {
		return nil
	}
	return err
}

// changeStorage sends what differs, and nothing if nothing does.
func (c *Client) changeStorage(ctx context.Context, want ha.Storage) error {
	have, digest, err := c.storage(ctx, want.Name)
	if err != nil {
		return notDoneError{err}
	}
	if have.Type != want.Type || have.Server != want.Server || have.Export != want.Export || have.Path != want.Path {
		return notDoneError{ha.Errorf(ha.Conflict, "storage %s is another one by now; it must be read and planned again", want.Name)}
	}
	params := map[string]any{}
	var clear []string
	if !slices.Equal(have.Content, sorted(slices.Clone(want.Content))) {
		params["content"] = strings.Join(want.Content, ",")
	}
	if have.Disabled && !want.Disabled {
		clear = append(clear, "disable")
	}
	if len(have.Nodes) > 0 && len(want.Nodes) == 0 {
		clear = append(clear, "nodes")
	}
	switch {
	case have.Options == want.Options:
	case want.Options == "":
		clear = append(clear, "options")
	default:
		params["options"] = want.Options
	}
	if len(clear) > 0 {
		params["delete"] = strings.Join(clear, ",")
	}
	if len(params) == 0 {
		return nil
	}
	setDigest(params, "", digest)
	_, err = write[any](ctx, c, http.MethodPut, "/storage/"+url.PathEscape(want.Name), params)
	return err
}

// storage reads one storage, and the digest of storage.cfg.
func (c *Client) storage(ctx context.Context, name string) (ha.Storage, string, error) {
	row, err := read[struct {
		storageRow
		Digest String `json:"digest"`
	}](ctx, c, "/storage/"+url.PathEscape(name))
	if err != nil {
		return ha.Storage{}, "", err
	}
	list := storages([]storageRow{row.storageRow}, nil, nil)
	return list[0], string(row.Digest), nil
}
