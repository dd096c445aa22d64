package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Status is the answer of `psw ha status`, from what is known at this moment.
func (c *Coordinator) Status(_ context.Context, p *ha.Policy) (ha.ClusterStatus, error) {
	s, v := c.snapshot()
	if p != nil {
		s.Policy = *p
	}
	st := planner.Status(s)
	for _, b := range c.closed(s) {
		if b.Code == codeNotAccepted && c.settling(s.At) {
			st.Warnings = append(st.Warnings, "the coordinator has just started, agents are still connecting: "+b.Reason)
			continue
		}
		st.Warnings = append(st.Warnings, fmt.Sprintf("the coordinator does not act: %s; %s", b.Reason, b.Fix))
	}
	if v.readError != nil {
		st.Warnings = append(st.Warnings, errorText(v.readError))
	}
	for _, f := range v.faults {
		st.Warnings = append(st.Warnings, "the last tick was incomplete: "+f)
	}
	standing := c.standing(s, check.Minimum)
	st.Readiness = &standing
	for _, o := range s.Operations {
		if !o.Closed() {
			st.Operations = append(st.Operations, ha.OperationView{Operation: o, Waits: v.plans[o.ID].Waits})
		}
	}
	return st, nil
}

// Plan compares a policy, or the stored one, with what is registered.
func (c *Coordinator) Plan(ctx context.Context, p *ha.Policy) (ha.PlanView, error) {
	s, err := c.latest(ctx)
	if err != nil {
		return ha.PlanView{}, err
	}
	if p != nil {
		s.Policy = *p
	} else if _, stored := c.store.Policy(); !stored {
		return ha.PlanView{}, noPolicy()
	}
	return planner.RegistrationView(s), nil
}

// Facts is what is known at this moment, with a policy or the stored one.
func (c *Coordinator) Facts(ctx context.Context, p *ha.Policy) (ha.Snapshot, error) {
	s, err := c.latest(ctx)
	if err != nil {
		return s, err
	}
	if s.Inventory.At.IsZero() {
		return s, ha.Errorf(ha.Unavailable, "no node's Proxmox API has answered yet: nothing is known of the cluster")
	}
	if p != nil {
		s.Policy = *p
	}
	return s, nil
}

func noPolicy() error {
	return ha.Errorf(ha.NotFound, "the coordinator knows no project yet: name one, `psw -C DIR …`")
}

// latest is what is known at this moment, or, for a coordinator that has just started and
// knows nothing yet, what it sees now.
func (c *Coordinator) latest(ctx context.Context) (ha.Snapshot, error) {
	if s, _ := c.snapshot(); !s.Inventory.At.IsZero() {
		return s, nil
	}
	s, err := c.observe(ctx)
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil {
		c.log.Debug("nothing is known of the cluster yet", "error", err)
	}
	return s, nil // what could not be looked at is for the checks to call unknown
}

// PreviewStart says what a drain would do.
func (c *Coordinator) PreviewStart(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	s, err := c.forRequest(ctx, r)
	if err != nil {
		return ha.Preview{}, err
	}
	return c.preview(planner.PreviewDrain, r, s), nil
}

// PreviewEnd says what bringing a node back would do.
func (c *Coordinator) PreviewEnd(ctx context.Context, r ha.MaintenanceRequest) (ha.Preview, error) {
	s, err := c.forRequest(ctx, r)
	if err != nil {
		return ha.Preview{}, err
	}
	return c.preview(planner.PreviewRestore, r, s), nil
}

// preview is the planner's, with what keeps the coordinator itself from acting.
func (c *Coordinator) preview(plan func(ha.MaintenanceRequest, ha.Snapshot) ha.Preview, r ha.MaintenanceRequest, s ha.Snapshot) ha.Preview {
	p := plan(r, s)
	p.Blockers = slices.Concat(p.Blockers, c.closed(s), operationOpen(s))
	return p
}

// lookAnew looks at the cluster for a request, which may bring its project with it: an
// operator has often just changed what made us refuse the last time. The error is ctx's own,
// or that nothing at all is known.
func (c *Coordinator) lookAnew(ctx context.Context, p *ha.Policy) (ha.Snapshot, error) {
	s, err := c.observe(ctx)
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	if err != nil && s.Inventory.At.IsZero() {
		return s, err
	}
	if p != nil {
		s.Policy = *p
	}
	return s, nil
}

// forRequest checks a request and looks at the cluster anew for it.
func (c *Coordinator) forRequest(ctx context.Context, r ha.MaintenanceRequest) (ha.Snapshot, error) {
	switch {
	case r.Node == "":
		return ha.Snapshot{}, ha.Errorf(ha.Invalid, "a maintenance of which node?")
	case r.Options.StopPinned && r.Options.LeavePinned:
		return ha.Snapshot{}, ha.Errorf(ha.Invalid, "guests that cannot move are either stopped or left running: --stop-pinned or --leave-pinned, not both")
	case !r.Options.Deadline.IsZero() && !r.Options.Deadline.After(time.Now()):
		return ha.Snapshot{}, ha.Errorf(ha.Invalid, "the deadline %s has passed already", r.Options.Deadline.Format(time.DateTime))
	}
	s, err := c.lookAnew(ctx, r.Policy)
	if err != nil {
		return s, err
	}
	if !known(s, r.Node) {
		names := make([]string, len(s.Inventory.Nodes))
		for k, n := range s.Inventory.Nodes {
			names[k] = string(n.Name)
		}
		return s, ha.Errorf(ha.NotFound, "the cluster has no node %q; its nodes are %s", r.Node, strings.Join(names, ", "))
	}
	return s, nil
}

// refusal is every blocker, each on its own line with its fix.
func refusal(what string, node ha.NodeName, blockers []ha.Blocker) error {
	lines := make([]string, len(blockers))
	for k, b := range blockers {
		lines[k] = fmt.Sprintf("\n  %s: %s; %s", b.Subject, b.Reason, b.Fix)
	}
	return ha.Errorf(ha.NotReady, "cannot %s maintenance of %s:%s", what, node, strings.Join(lines, ""))
}

// StartMaintenance stores that a node is to be drained, or says why it may not be. For a
// node whose drain is under way it takes over what is new in the options; one that is
// being brought back is drained again.
func (c *Coordinator) StartMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	s, err := c.forRequest(ctx, r)
	if err != nil {
		return ha.Maintenance{}, err
	}
	if err := c.takePolicy(r); err != nil {
		return ha.Maintenance{}, err
	}
	open, under := s.OpenMaintenance(r.Node)
	if under && open.Cancelling {
		return ha.Maintenance{}, ha.Errorf(ha.Conflict, "cannot start maintenance of %s: the one before is being cancelled; "+
			"wait until it is (`psw maintenance watch %s`)", r.Node, r.Node)
	}
	if under && open.Phase != ha.Restoring {
		return c.amend(open, r, "once more maintenance start", func(m ha.Maintenance) (ha.Maintenance, error) {
			if m.Phase == ha.Restoring || m.Phase.Closed() {
				return m, changedMeanwhile(m)
			}
			return m, nil
		})
	}
	if p := c.preview(planner.PreviewDrain, r, s); len(p.Blockers) > 0 {
		return ha.Maintenance{}, refusal("start", r.Node, p.Blockers)
	}
	if under {
		return c.amend(open, r, "maintenance start", func(m ha.Maintenance) (ha.Maintenance, error) {
			if !m.CanAdvance(ha.Draining) {
				return m, changedMeanwhile(m)
			}
			m = m.Advance(ha.Draining)
			m.RestoreAt, m.OnlineSeen, m.DrainedAt = time.Time{}, time.Time{}, time.Time{}
			for k := range m.Homes {
				m.Homes[k].Returned = time.Time{}
			}
			return m, nil
		})
	}
	return c.create(ha.Maintenance{Node: r.Node, Phase: ha.Requested, By: r.By, Message: r.Message, Options: r.Options}, r, "maintenance start")
}

// EndMaintenance stores that a node is to be brought back, or says why it may not be. A
// node that never was in maintenance is, too, if guests belong there and are elsewhere, or
// if somebody switched maintenance mode on by hand.
func (c *Coordinator) EndMaintenance(ctx context.Context, r ha.MaintenanceRequest) (ha.Maintenance, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	s, err := c.forRequest(ctx, r)
	if err != nil {
		return ha.Maintenance{}, err
	}
	if err := c.takePolicy(r); err != nil {
		return ha.Maintenance{}, err
	}
	known, found := newestOf(s, r.Node)
	if found && known.Phase == ha.Restoring {
		return c.amend(known, r, "once more maintenance end", func(m ha.Maintenance) (ha.Maintenance, error) {
			m.Cancelling = false
			return m, nil
		})
	}
	p := c.preview(planner.PreviewRestore, r, s)
	if len(p.Blockers) > 0 {
		return ha.Maintenance{}, refusal("end", r.Node, p.Blockers)
	}
	if found && known.CanAdvance(ha.Restoring) {
		return c.amend(known, r, "maintenance end", func(m ha.Maintenance) (ha.Maintenance, error) {
			if !m.CanAdvance(ha.Restoring) {
				return m, changedMeanwhile(m)
			}
			m = m.Advance(ha.Restoring)
			m.Cancelling, m.RestoreAt, m.EndedAt, m.OnlineSeen = false, time.Now(), time.Time{}, time.Time{}
			m.Options.Deadline = r.Options.Deadline // the drain's was for the drain
			return m, nil
		})
	}
	away := slices.ContainsFunc(p.Steps, func(st ha.Step) bool { return st.Method != ha.MethodStays })
	if n, _ := s.Inventory.HA.Node(r.Node); !away && !n.MaintenanceRequested && n.State != ha.NodeMaintenance {
		return ha.Maintenance{}, ha.Errorf(ha.NotFound, "there is nothing to end: %s is not in maintenance, and nothing that belongs there is elsewhere", r.Node)
	}
	m := ha.Maintenance{Node: r.Node, Phase: ha.Requested, By: r.By, Message: r.Message, Options: r.Options, RestoreAt: time.Now()}
	return c.create(m.Advance(ha.Restoring), r, "maintenance end")
}

// CancelMaintenance stores that an open maintenance is to be given up.
func (c *Coordinator) CancelMaintenance(_ context.Context, node ha.NodeName, by string) (ha.Maintenance, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	s, _ := c.snapshot()
	open, under := s.OpenMaintenance(node)
	if !under {
		return ha.Maintenance{}, ha.Errorf(ha.NotFound, "%s has no open maintenance", node)
	}
	if why := c.rival.why(); why != "" {
		return ha.Maintenance{}, ha.Errorf(ha.Conflict, "cannot cancel the maintenance of %s here: %s", node, why)
	}
	return c.amend(open, ha.MaintenanceRequest{Node: node, By: by}, "maintenance cancel", func(m ha.Maintenance) (ha.Maintenance, error) {
		if m.Phase.Closed() {
			return m, changedMeanwhile(m)
		}
		m.Cancelling = true
		return m, nil
	})
}

// newestOf is the newest maintenance of a node.
func newestOf(s ha.Snapshot, node ha.NodeName) (ha.Maintenance, bool) {
	for k := len(s.Maintenances) - 1; k >= 0; k-- {
		if s.Maintenances[k].Node == node {
			return s.Maintenances[k], true
		}
	}
	return ha.Maintenance{}, false
}

// takePolicy stores the project the operator speaks of, if it differs.
func (c *Coordinator) takePolicy(r ha.MaintenanceRequest) error {
	if r.Policy == nil {
		return nil
	}
	before, had := c.store.Policy()
	return c.change(time.Now(), func(tx *store.Tx) error {
		changed, err := tx.SetPolicy(*r.Policy)
		if err != nil || !changed {
			return err
		}
		text := fmt.Sprintf("project %s stored, as %s has it: %d targets", r.Policy.Project, someone(r.By), len(r.Policy.Targets))
		if had && before.Project != r.Policy.Project {
			text += fmt.Sprintf("; until now it was project %s", before.Project)
		}
		return tx.Journal(ha.Event{Type: ha.EventPolicy, Text: text})
	})
}

func someone(by string) string {
	if by == "" {
		return "an operator"
	}
	return by
}

// create stores a new maintenance.
func (c *Coordinator) create(m ha.Maintenance, r ha.MaintenanceRequest, what string) (ha.Maintenance, error) {
	m.RequestedAt = time.Now()
	err := c.change(m.RequestedAt, func(tx *store.Tx) (err error) {
		if m, err = tx.Create(m); err != nil {
			return err
		}
		return tx.Journal(requested(m, r, fmt.Sprintf("%s asks: %s %s", someone(r.By), what, m.Node)))
	})
	if err != nil {
		return ha.Maintenance{}, err
	}
	c.soon()
	return m, nil
}

// amend changes a stored maintenance as an operator asked, with what is new in the options.
func (c *Coordinator) amend(m ha.Maintenance, r ha.MaintenanceRequest, what string, fn func(ha.Maintenance) (ha.Maintenance, error)) (ha.Maintenance, error) {
	now := time.Now()
	err := c.change(now, func(tx *store.Tx) (err error) {
		if err := tx.Journal(requested(m, r, fmt.Sprintf("%s asks: %s %s", someone(r.By), what, m.Node))); err != nil {
			return err
		}
		m, err = tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
			m.Options = merge(m.Options, r.Options, now)
			m.RetryFrom = now
			return fn(m)
		})
		return err
	})
	if err != nil {
		return ha.Maintenance{}, err
	}
	c.soon()
	return m, nil
}

// changedMeanwhile: a tick was faster than the operator.
func changedMeanwhile(m ha.Maintenance) error {
	return ha.Errorf(ha.Conflict, "the maintenance of %s has just become %s; ask again", m.Node, m.Phase)
}

func requested(m ha.Maintenance, r ha.MaintenanceRequest, text string) ha.Event {
	if r.Message != "" {
		text += ": " + r.Message
	}
	if !r.Options.Deadline.IsZero() {
		text += fmt.Sprintf(" (deadline %s)", r.Options.Deadline.UTC().Format("15:04:05 MST"))
	}
	return ha.Event{Type: ha.EventRequested, Node: m.Node, Maintenance: m.ID, Text: text}
}

// merge adds what an operator names anew to what was named before. What was once allowed
// stays allowed; a deadline that has passed is not in the way of somebody who asks again.
func merge(old, add ha.MaintenanceOptions, now time.Time) ha.MaintenanceOptions {
	old.AllowOvercommit = old.AllowOvercommit || add.AllowOvercommit
	if add.StopPinned || add.LeavePinned {
		old.StopPinned, old.LeavePinned = add.StopPinned, add.LeavePinned
	}
	for _, sid := range add.Guests {
		if !slices.Contains(old.Guests, sid) {
			old.Guests = append(old.Guests, sid)
		}
	}
	slices.SortFunc(old.Guests, ha.SID.Compare)
	switch {
	case !add.Deadline.IsZero():
		old.Deadline = add.Deadline
	case !old.Deadline.IsZero() && !old.Deadline.After(now):
		old.Deadline = time.Time{}
	}
	return old
}
