package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Do carries out one action. upid is the task Proxmox started for it, to be followed with
// WaitTask; it is empty where there is none: for everything asked of the HA manager, and
// for what was already as it should be.
//
// A nil error from the HA manager means "queued". It accepts moves it then never makes (to
// a node that does not exist, into maintenance, while disarmed); only the inventory shows
// what came of it. Blocking resources, which it does name, are an error.
//
// Actions are repeatable where Proxmox allows it to be told: adding what is there in the
// wanted form, removing what is gone, stopping what is stopped is success. After an error,
// Refused says whether the action certainly was not carried out.
func (c *Client) Do(ctx context.Context, a ha.Action) (upid string, err error) {
	switch a := a.(type) {
	case ha.Migrate:
		upid, err = c.migrate(ctx, a)
	case ha.Shutdown:
		upid, err = c.power(ctx, a.SID, a.Node, a.HA, "shutdown", ha.RequestStopped)
	case ha.Start:
		upid, err = c.power(ctx, a.SID, a.Node, a.HA, "start", ha.RequestStarted)
	case ha.AddResource:
		err = c.addResource(ctx, a.Resource)
	case ha.UpdateResource:
		err = c.updateResource(ctx, a)
	case ha.RemoveResource:
		err = c.removeResource(ctx, a)
	case ha.PutRule:
		err = c.putRule(ctx, a)
	case ha.RemoveRule:
		err = c.removeRule(ctx, a)
	case ha.PutGroup:
		err = c.putGroup(ctx, a)
	case ha.RemoveGroup:
		err = c.removeGroup(ctx, a)
	case ha.PutStorage:
		err = c.putStorage(ctx, a)
	case ha.SetNodeMaintenance:
		err = notDoneError{ha.Errorf(ha.Internal, "Proxmox has no API for maintenance mode; it is an order for an agent")}
	case ha.CreateCluster, ha.AuthorizeJoin, ha.JoinCluster, ha.RevokeJoin, ha.SetupQDevice, ha.RemoveQDevice, ha.RemoveClusterNode,
		ha.ProveStorage, ha.PowerStatus, ha.CutPower, ha.RunHook:
		err = notDoneError{ha.Errorf(ha.Internal, "the Proxmox API does not do %T; it is for an agent, or for the coordinator itself", a)}
	case nil:
		return "", refusedError{ha.Errorf(ha.Internal, "cannot carry out an action that is none")}
	default:
		err = notDoneError{ha.Errorf(ha.Internal, "the Proxmox adapter does not know the action %T", a)}
	}
	if err == nil {
		return upid, nil
	}
	told := explain(a.String(), err)
	if undone(err) {
		return "", refusedError{told}
	}
	return "", told
}

func (c *Client) migrate(ctx context.Context, a ha.Migrate) (string, error) {
	if err := errors.Join(checkSID(a.SID), checkNode(a.To)); err != nil {
		return "", err
	}
	if a.HA {
		return "", c.migrateHA(ctx, a)
	}
	if err := checkNode(a.From); err != nil {
		return "", err
	}
	params := map[string]any{"target": string(a.To)}
	switch {
	case a.SID.Kind == ha.VM && a.Method == ha.MethodLive:
		// Without with-local-disks: a local disk then refuses the migration instead of being
		// copied for hours.
		params["online"] = 1
	case a.SID.Kind == ha.CT && a.Method == ha.MethodRestart:
		// Live migration of containers is in the API's schema and nowhere else.
		params["restart"] = 1
	case a.Method == ha.MethodOffline:
	default:
		return "", notDoneError{ha.Errorf(ha.Invalid, "Proxmox cannot move a %s by the method %q", a.SID.Kind, a.Method)}
	}
	return c.start(ctx, a.SID, guestPath(a.From, a.SID)+"/migrate", params)
}

// haMove is the answer of .../migrate. PVE 8 answers null.
type haMove struct {
	Blocking []struct {
		SID   String `json:"sid"`
		Cause String `json:"cause"`
	} `json:"blocking-resources"`
	Comigrated []String `json:"comigrated-resources"`
}

func (c *Client) migrateHA(ctx context.Context, a ha.Migrate) error {
	move, err := write[haMove](ctx, c, http.MethodPost, resourcePath(a.SID)+"/migrate", map[string]any{"node": string(a.To)})
	if err != nil {
		return err
	}
	if len(move.Blocking) > 0 {
		blocked := &BlockedError{SID: a.SID, Node: a.To}
		for _, b := range move.Blocking {
			blocked.Blockers = append(blocked.Blockers, fmt.Sprintf("%s (%s)", b.SID, b.Cause))
		}
		return blocked
	}
	if len(move.Comigrated) > 0 {
		c.log.Info("others move along", "sid", a.SID.String(), "node", string(a.To), "with", words(move.Comigrated))
	}
	return nil
}

// power starts or shuts down a guest: through its request state if it is HA-managed, since
// the HA manager would undo anything else.
func (c *Client) power(ctx context.Context, sid ha.SID, node ha.NodeName, managed bool, verb string, want ha.RequestState) (string, error) {
	if err := checkSID(sid); err != nil {
		return "", err
	}
	if managed {
		_, err := write[any](ctx, c, http.MethodPut, resourcePath(sid), map[string]any{"state": string(want)})
		return "", err
	}
	if err := checkNode(node); err != nil {
		return "", err
	}
	upid, err := c.start(ctx, sid, guestPath(node, sid)+"/status/"+verb, nil)
	if alreadySo(err, verb) {
		return "", nil
	}
	return upid, err
}

var (
	notRunning     = regexp.MustCompile(`^(VM|CT) \d+ not running$`)
	alreadyRunning = regexp.MustCompile(`^(VM|CT) \d+ already running$`)
)

// alreadySo reports whether Proxmox refused because the guest is as it was to be made.
func alreadySo(err error, verb string) bool {
	var api *APIError
	if !errors.As(err, &api) {
		return false
	}
	if verb == "start" {
		return alreadyRunning.MatchString(api.Text())
	}
	return notRunning.MatchString(api.Text())
}

// start makes a call that starts a task and returns its UPID.
func (c *Client) start(ctx context.Context, sid ha.SID, path string, params map[string]any) (string, error) {
	text, err := write[String](ctx, c, http.MethodPost, path, params)
	if err != nil {
		return "", err
	}
	upid, err := ParseUPID(string(text))
	if err != nil {
		// Proxmox said yes, so something may be under way: not refused.
		return "", ha.Errorf(ha.Internal, "Proxmox answered POST %s with success, but named no task: %w", path, err)
	}
	if strings.HasPrefix(upid.Type, "ha") {
		// hamigrate, hastart, hastop: the guest became HA-managed since the plan was made, and
		// the request went to the HA manager's queue.
		c.log.Warn("guest is HA-managed after all; its task only queues the request", "sid", sid.String(), "upid", upid.String())
	}
	return upid.String(), nil
}

func guestPath(node ha.NodeName, sid ha.SID) string {
	kind := "qemu"
	if sid.Kind == ha.CT {
		kind = "lxc"
	}
	return fmt.Sprintf("/nodes/%s/%s/%d", url.PathEscape(string(node)), kind, sid.ID)
}

func resourcePath(sid ha.SID) string { return "/cluster/ha/resources/" + url.PathEscape(sid.String()) }

func checkSID(sid ha.SID) error {
	if _, err := ha.ParseSID(sid.String()); err != nil {
		return notDoneError{err}
	}
	return nil
}

func checkNode(n ha.NodeName) error {
	if !hostName(string(n)) {
		return notDoneError{ha.Errorf(ha.Invalid, "%q is not the name of a node", n)}
	}
	return nil
}
