package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The parts of an inventory that may be missing from it. A failure reads "PART: why".
const (
	partStorages = "storages"
	partRules    = "rules"
	partArmed    = "armed" // HA.Armed and HA.DisarmMode
	partOptions  = "options"
	partTasks    = "tasks"
)

// Inventory reads the whole cluster from one node. It costs nine API calls, and two more
// (release, rights of the token) the first time and every ten minutes, whatever the number
// of nodes and guests. Defaults that Proxmox omits are filled in and lists are sorted.
//
// All of it comes from the same node, named by Source: if that node fails in the middle,
// the reading begins anew on the next. A quorate node is preferred, since one without
// quorum answers reads with what it knew last. If none is quorate, the answer of one that
// is not is returned, and says so.
//
// The cluster's status, its guests, the HA resources and the HA manager's status are
// indispensable: without one of them there is an error. Other parts that a node refuses
// are named in Failures ("storages", "rules", "armed", "options", "tasks", each followed
// by a colon and the reason) and are unknown, not empty. A token that does not see
// everything is a Denied error; a cluster nobody answers for is Unavailable.
func (c *Client) Inventory(ctx context.Context) (ha.Inventory, error) {
	candidates := c.transport.order()
	var failed []error
	for len(candidates) > 0 {
		at := time.Now()
		k, status, err := c.choose(ctx, candidates)
		if err != nil {
			failed = append(failed, err)
			break
		}
		inv, err := c.readFrom(ctx, k, status)
		if err == nil {
			inv.At = at
			c.transport.prefer(k)
			return inv, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil || !nodeAtFault(err) {
			break
		}
		candidates = slices.DeleteFunc(candidates, func(other int) bool { return other == k })
	}
	return ha.Inventory{}, explain("read the cluster from Proxmox", join(failed))
}

// choose asks the candidates for the cluster's status until one is quorate. Without any,
// it is the first that answered. A node that stands alone only counts if no other answers
// for a cluster: it has not joined yet, or never will. For the same reason one that does not
// know the token is passed over while others are left.
func (c *Client) choose(ctx context.Context, candidates []int) (int, clusterStatus, error) {
	first := -1
	var answer clusterStatus
	var failed []error
	for _, k := range candidates {
		status, err := read[clusterStatus](onEndpoint(ctx, k), c, "/cluster/status")
		if err == nil {
			err = status.check()
		}
		if err != nil {
			failed = append(failed, err)
			if ctx.Err() != nil || !nodeAtFault(err) && !unknownToken(err) {
				return 0, nil, join(failed)
			}
			continue
		}
		if status.quorate() && !status.cluster().Standalone {
			return k, status, nil
		}
		if first < 0 || answer.cluster().Standalone && !status.cluster().Standalone {
			first, answer = k, status
		}
	}
	if first < 0 {
		return 0, nil, join(failed)
	}
	return first, answer, nil
}

// nodeAtFault: another node may well answer what this one did not.
func nodeAtFault(err error) bool {
	var api *APIError
	if errors.As(err, &api) {
		return api.Status >= 500 && api.Status != http.StatusNotImplemented
	}
	return transient(err)
}

// unknownToken: a node that is in another cluster, or in none, has other tokens.
func unknownToken(err error) bool {
	var api *APIError
	return errors.As(err, &api) && api.Status == http.StatusUnauthorized
}

// nodesError are the failures of several nodes, on one line.
type nodesError []error

func (s nodesError) Error() string {
	parts := make([]string, len(s))
	for k, err := range s {
		parts[k] = err.Error()
	}
	return strings.Join(parts, "; ")
}

func (s nodesError) Unwrap() []error { return s }

// join keeps a single error as it is.
func join(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return nodesError(errs)
}

// readFrom reads everything but the cluster's status from one endpoint.
func (c *Client) readFrom(ctx context.Context, k int, status clusterStatus) (ha.Inventory, error) {
	ctx = onEndpoint(ctx, k)
	var inv ha.Inventory
	r, err := c.release(ctx, k)
	if err != nil {
		return inv, err
	}
	inv.Version = r.version
	if err := c.audit(ctx); err != nil {
		return inv, err
	}
	inv.Source, inv.Cluster = status.source(), status.cluster()

	rows, err := read[[]resourceRow](ctx, c, "/cluster/resources")
	if err != nil {
		return inv, err
	}
	inv.Nodes = nodes(status, rows)
	if inv.Guests, err = guests(rows); err != nil {
		return inv, fmt.Errorf("GET /cluster/resources: %w", err)
	}
	configured, err := read[[]haResourceRow](ctx, c, "/cluster/ha/resources")
	if err != nil {
		return inv, err
	}
	manager, err := read[managerStatus](ctx, c, "/cluster/ha/status/manager_status")
	if err == nil {
		err = manager.check()
	}
	if err != nil {
		return inv, err
	}
	inv.HA = manager.status()
	if inv.Cluster.Standalone {
		inv.Cluster.Quorate = inv.HA.Quorate
	}
	if err := c.readRules(ctx, r, configured, &inv); err != nil {
		return inv, err
	}
	if err := c.readRest(ctx, rows, &inv); err != nil {
		return inv, err
	}
	return inv, nil
}

// readRules fills in HA resources and rules. Before 9.0 there are groups: each is read as
// the node-affinity rule it amounts to.
func (c *Client) readRules(ctx context.Context, r release, configured []haResourceRow, inv *ha.Inventory) error {
	var groups []groupRow
	var rules []ruleRow
	err := c.part(inv, partRules, func() (err error) {
		if r.hasRules() {
			rules, err = read[[]ruleRow](ctx, c, "/cluster/ha/rules")
		} else {
			groups, err = read[[]groupRow](ctx, c, "/cluster/ha/groups")
		}
		return err
	})
	if err != nil {
		return err
	}
	if inv.Resources, err = haResources(configured, groups); err != nil {
		return fmt.Errorf("GET /cluster/ha/resources: %w", err)
	}
	if r.hasRules() {
		inv.Rules = haRules(rules)
	} else {
		inv.Rules, inv.Groups = groupRules(groups, inv.Resources), haGroups(groups)
	}
	return nil
}

// readRest fills in the parts an inventory can do without.
func (c *Client) readRest(ctx context.Context, rows []resourceRow, inv *ha.Inventory) error {
	for _, step := range []struct {
		part string
		read func() error
	}{
		{partStorages, func() error {
			configured, err := read[[]storageRow](ctx, c, "/storage")
			inv.Storages = storages(configured, rows, inv.Nodes)
			return err
		}},
		{partArmed, func() error {
			current, err := read[[]currentRow](ctx, c, "/cluster/ha/status/current")
			armed(current, &inv.HA)
			return err
		}},
		{partOptions, func() error {
			o, err := read[optionsRow](ctx, c, "/cluster/options")
			if err == nil {
				inv.Options = o.options()
			}
			return err
		}},
		{partTasks, func() error {
			t, err := read[[]clusterTaskRow](ctx, c, "/cluster/tasks")
			inv.Tasks = tasks(t)
			return err
		}},
	} {
		if err := c.part(inv, step.part, step.read); err != nil {
			return err
		}
	}
	return nil
}

// part runs the reading of one part. What a node refuses or sends in a form nobody knows
// is noted; a node that does not answer any more is an error of the whole.
func (c *Client) part(inv *ha.Inventory, name string, f func() error) error {
	err := f()
	if err == nil {
		return nil
	}
	var tr *TransportError
	if errors.As(err, &tr) {
		return err
	}
	inv.Failures = append(inv.Failures, name+": "+err.Error())
	return nil
}
