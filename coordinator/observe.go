package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// observe reads the API and returns everything known now. If the API cannot be read the
// snapshot holds the last inventory, whose age speaks for itself, and the error says why.
// Readings do not overlap; the snapshot is made of one that began after the call.
func (c *Coordinator) observe(ctx context.Context) (ha.Snapshot, error) {
	c.looking.Lock()
	defer c.looking.Unlock()
	inventory, err := c.pve.Inventory(ctx)
	if ctx.Err() != nil {
		return ha.Snapshot{}, ctx.Err()
	}
	before := c.seen.Load().readError
	c.publish(func(v *sight) {
		if v.readError = err; err == nil {
			v.inventory, v.resources = inventory, appeared(v.resources, inventory)
		}
	})
	if err != nil {
		c.tally.readFailures.Add(1)
	}
	switch {
	case err != nil && errorText(before) != errorText(err):
		c.log.Warn("Proxmox cannot be read", "error", err)
	case err == nil && before != nil:
		c.log.Info("Proxmox can be read again", "node", inventory.Source)
	}
	if err == nil {
		c.rights.ask(ctx, c.pve.Permissions)
	}
	s, _ := c.snapshot()
	return s, err
}

// snapshot is everything known at this moment, without asking anybody: the last inventory,
// the newest reports, gossip's opinion, the stored policy and maintenances. With it come
// the plans of the last tick.
func (c *Coordinator) snapshot() (ha.Snapshot, *sight) {
	v := c.seen.Load()
	policy, _ := c.store.Policy()
	s := ha.Snapshot{
		At:           time.Now().UTC(),
		Policy:       policy,
		Inventory:    v.inventory,
		Reports:      c.reports.all(),
		Members:      c.members(),
		Maintenances: c.store.Maintenances(),
		Proofs:       c.store.Proofs(),
		Acks:         c.store.Acknowledgements(),
		Operations:   c.store.Operations(),
		NewResources: newResources(v.resources, time.Now()),
		Witnessed:    v.witnessed,
		Coordinator:  c.me,
	}
	if s.Coordinator.Guest.IsZero() {
		s.Coordinator.Guest = ownGuest(s)
	}
	return s, v
}

// appeared is since when each resource is known; zero for those of the first reading, which
// may have been there for years.
func appeared(known map[ha.SID]time.Time, inv ha.Inventory) map[ha.SID]time.Time {
	out := make(map[ha.SID]time.Time, len(inv.Resources))
	for _, r := range inv.Resources {
		at, was := known[r.SID]
		if !was && known != nil {
			at = inv.At
		}
		out[r.SID] = at
	}
	return out
}

func newResources(known map[ha.SID]time.Time, now time.Time) []ha.SID {
	var out []ha.SID
	for sid, at := range known {
		if !at.IsZero() && now.Sub(at) < ha.ResourceNewMax {
			out = append(out, sid)
		}
	}
	slices.SortFunc(out, ha.SID.Compare)
	return out
}

// Snapshot is everything known at this moment; Proxmox is not asked anew.
func (c *Coordinator) Snapshot() ha.Snapshot {
	s, _ := c.snapshot()
	return s
}

// ownGuest is the guest the coordinator most likely runs in: the project's bootstrap
// target, which carries the convergence engine too. With none or several it is unknown.
func ownGuest(s ha.Snapshot) ha.SID {
	var found ha.SID
	for _, t := range s.Policy.Targets {
		if !t.Bootstrap {
			continue
		}
		g, err := s.GuestOf(t)
		if err != nil || !found.IsZero() {
			return ha.SID{}
		}
		found = g.SID
	}
	return found
}

// How often the API token's rights are asked for: seldom while they suffice, soon after
// somebody may have mended them.
const (
	rightsRepeat = 10 * time.Minute
	rightsRetry  = 30 * time.Second
)

// rights are what the API token may do. Without all of them Proxmox answers 200 and shows
// a smaller cluster (series2 recordings, surprise 12).
type rights struct {
	mu      sync.Mutex
	asked   time.Time
	missing []string
	err     error
}

// ask asks for them if it is time.
func (r *rights) ask(ctx context.Context, permissions func(context.Context) ([]string, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	repeat := rightsRepeat
	if len(r.missing) > 0 || r.err != nil {
		repeat = rightsRetry
	}
	if !r.asked.IsZero() && time.Since(r.asked) < repeat {
		return
	}
	missing, err := permissions(ctx)
	if ctx.Err() != nil {
		return
	}
	r.asked, r.missing, r.err = time.Now(), missing, err
}

// lack says why the token does not suffice; nil if it does.
func (r *rights) lack() *ha.Blocker {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := ha.Blocker{Code: codeToken, Subject: "cluster"}
	switch {
	case r.asked.IsZero():
		b.Reason, b.Fix = "what the API token may do has not been asked yet", "wait for the Proxmox API to answer"
	case r.err != nil:
		b.Reason, b.Fix = fmt.Sprintf("what the API token may do is not known: %s", r.err), "see whether a node's API answers: `systemctl status pveproxy`"
	case len(r.missing) > 0:
		b.Reason = "the coordinator's API token lacks " + strings.Join(r.missing, ", ")
		b.Fix = "give a role with these privileges to the token, and with privilege separation to its user too: `pveum acl modify`"
	default:
		return nil
	}
	return &b
}
