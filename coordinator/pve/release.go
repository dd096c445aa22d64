package pve

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// releaseAgeMax is for how long a node's release and the token's rights are believed
// without asking again. Both change only by hand: an upgrade, a new ACL.
const releaseAgeMax = 10 * time.Minute

// release is what GET /version says. Parameters that a release does not know are refused
// (the API allows no additional ones), so what is sent depends on it.
type release struct {
	version      string // as Proxmox says it, e.g. 9.2.11
	major, minor int
}

type releaseSeen struct {
	release
	at time.Time
}

// hasRules: HA rules instead of groups, and failback on resources (9.0).
func (r release) hasRules() bool { return r.major >= 9 }

// hasPurge: DELETE of an HA resource takes purge, and purges unless told not to (9.1).
func (r release) hasPurge() bool { return r.major > 9 || r.major == 9 && r.minor >= 1 }

type versionRow struct {
	Version String `json:"version"`
}

// parseRelease reads 9.2.11, 8.4-1 or 9.0.0~16.
func parseRelease(version string) (release, error) {
	r := release{version: version}
	parts := strings.FieldsFunc(version, func(c rune) bool { return c == '.' || c == '-' || c == '~' })
	if len(parts) < 2 {
		return r, fmt.Errorf("%q is not a version of Proxmox VE", excerpt([]byte(version)))
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err := errors.Join(err1, err2); err != nil {
		return r, fmt.Errorf("%q is not a version of Proxmox VE", excerpt([]byte(version)))
	}
	r.major, r.minor = major, minor
	return r, nil
}

// release asks which release endpoint k runs, at most every releaseAgeMax.
func (c *Client) release(ctx context.Context, k int) (release, error) {
	c.mu.Lock()
	seen, ok := c.releases[k]
	c.mu.Unlock()
	if ok && time.Since(seen.at) < releaseAgeMax {
		return seen.release, nil
	}
	row, err := read[versionRow](onEndpoint(ctx, k), c, "/version")
	if err != nil {
		return release{}, err
	}
	r, err := parseRelease(string(row.Version))
	if err != nil {
		return release{}, fmt.Errorf("GET /version: %w", err)
	}
	c.mu.Lock()
	c.releases[k] = releaseSeen{release: r, at: time.Now()}
	c.mu.Unlock()
	return r, nil
}

// currentRelease is the release of the node a changing call would go to.
func (c *Client) currentRelease(ctx context.Context) (release, error) {
	var last error
	for _, k := range c.transport.order() {
		r, err := c.release(ctx, k)
		if err == nil {
			c.transport.prefer(k)
			return r, nil
		}
		last = err
		if !transient(err) || ctx.Err() != nil {
			break
		}
	}
	return release{}, last
}
