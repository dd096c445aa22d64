package pve

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// privilege is what the token needs, and where.
type privilege struct {
	name string
	path string
	// look: without it parts of the cluster are silently missing from answers, with status
	// 200 (series2 recordings, surprise 12).
	look bool
}

// privileges are all the adapter needs. HA writes need Sys.Console on / (pve-ha-manager
// 5.2.0), HA reads Sys.Audit on /; task logs of others and the figures of nodes need
// Sys.Audit on the node.
var privileges = []privilege{
	{"Sys.Audit", "/", true},
	{"Sys.Audit", "/nodes", true},
	{"VM.Audit", "/vms", true},
	{"Datastore.Audit", "/storage", true},
	{"Sys.Console", "/", false},
	{"VM.Migrate", "/vms", false},
	{"VM.PowerMgmt", "/vms", false},
}

// grants is GET /access/permissions: path, privilege, and whether it holds below too.
type grants map[string]map[string]Bool

// Permissions lists what the token lacks for the whole of the adapter's work, each as
// "VM.Migrate on /vms"; nil means nothing is missing. Ask it at start-up: without the
// auditing ones Proxmox shows a smaller cluster and says nothing, and without the others
// every action is refused.
//
// A node that is more restricted than the rest is listed by its own path: "VM.Audit on
// /vms/104".
func (c *Client) Permissions(ctx context.Context) (missing []string, err error) {
	g, err := read[grants](ctx, c, "/access/permissions")
	if err != nil {
		return nil, explain("ask Proxmox what the API token "+c.token+" may do", err)
	}
	for _, p := range privileges {
		missing = append(missing, g.missing(p)...)
	}
	return missing, nil
}

// audit makes sure that the token sees everything. Success is believed for a while, a
// lack is looked at again each time, so that a mended token counts at once.
func (c *Client) audit(ctx context.Context) error {
	c.mu.Lock()
	fresh := !c.audited.IsZero() && time.Since(c.audited) < releaseAgeMax
	c.mu.Unlock()
	if fresh {
		return nil
	}
	g, err := read[grants](ctx, c, "/access/permissions")
	if err != nil {
		return err
	}
	var missing []string
	for _, p := range privileges {
		if p.look {
			missing = append(missing, g.missing(p)...)
		}
	}
	if len(missing) > 0 {
		return ha.Errorf(ha.Denied, "the API token %s lacks %s, so Proxmox would leave parts of the cluster out of its answers; "+
			"give it (and, with privilege separation, its user) the role PVEAuditor on /", c.token, strings.Join(missing, ", "))
	}
	c.mu.Lock()
	c.audited = time.Now()
	c.mu.Unlock()
	return nil
}

// missing lists where p is not granted: at its own path, and at any path below that has an
// ACL of its own.
func (g grants) missing(p privilege) []string {
	if !g.at(p.path, p.name) {
		return []string{p.name + " on " + p.path}
	}
	if p.path == "/" {
		return nil
	}
	var out []string
	for _, at := range slices.Sorted(maps.Keys(g)) {
		if _, has := g[at][p.name]; strings.HasPrefix(at, p.path+"/") && !has {
			out = append(out, p.name+" on "+at)
		}
	}
	return out
}

// at reports whether the privilege holds at a path: listed there, or listed above and
// handed down. The nearest path with an ACL decides.
func (g grants) at(p, name string) bool {
	for here := p; ; here = path.Dir(here) {
		if set, ok := g[here]; ok {
			down, has := set[name]
			return has && (here == p || bool(down))
		}
		if here == "/" || here == "." {
			return false
		}
	}
}
