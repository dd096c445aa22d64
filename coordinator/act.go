package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// errOvertaken: an operator changed the maintenance while it was being planned. The plan is
// thrown away; the next tick makes another.
var errOvertaken = errors.New("the maintenance was changed meanwhile")

// advance is one step of one maintenance: plan, store the intent, act, store the outcome.
// It returns the maintenance as it is stored afterwards and the plan, which says what was
// waited for. While the coordinator may not act nothing is stored but why.
func (c *Coordinator) advance(ctx context.Context, base ha.Maintenance, s ha.Snapshot, closed []ha.Blocker) (ha.Maintenance, ha.Plan, error) {
	next, plan, err := step(base, s)
	if err != nil {
		c.log.Error("the planner failed; nothing is done for this maintenance", "maintenance", base.ID, "error", err)
		plan.Block(string(base.Node), "the coordinator failed to plan: "+err.Error(), "its log has the details: `journalctl -u psw-coordinator`")
		return base, plan, err
	}
	c.holdOrders(base, &next, &plan, s)
	if len(closed) > 0 {
		plan = c.shut(plan, closed, s.At)
		_, err := c.intend(base, base, plan, s)
		return base, plan, err
	}
	if len(plan.Actions) > 0 {
		if why := c.mayAct(ctx, s); why != "" {
			plan.Actions = nil
			plan.Wait("coordinator", "nothing is begun: %s", why)
			return base, plan, nil
		}
	}
	next, err = c.intend(base, next, plan, s)
	if err != nil {
		if errors.Is(err, errOvertaken) {
			c.soon()
			err = nil
		}
		plan.Actions = nil
		return c.stored(base), plan, err
	}
	err = c.act(ctx, next, plan.Actions, s)
	return c.stored(next), plan, err
}

// step is planner.Step, whose assertions must not end the daemon.
func step(m ha.Maintenance, s ha.Snapshot) (next ha.Maintenance, p ha.Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			next, p, err = m, ha.Plan{}, ha.Errorf(ha.Internal, "%v", r)
		}
	}()
	next, p = planner.Step(m, s)
	return next, p, nil
}

// shut is a plan of a coordinator that may not act: why, and what would be waited for anyway.
func (c *Coordinator) shut(p ha.Plan, closed []ha.Blocker, at time.Time) ha.Plan {
	var out ha.Plan
	for _, b := range closed {
		if b.Code == codeNotAccepted && c.settling(at) {
			out.Wait(b.Subject, "it has just started, agents are still connecting: %s", b.Reason)
			continue
		}
		out.Block(b.Subject, b.Reason, b.Fix)
	}
	out.Waits = append(out.Waits, p.Waits...)
	return out
}

// holdOrders takes out of a plan the orders that cannot be given now, before they become
// intent: no agent to obey them, or the same order has no answer yet. It also says what
// became of the last one, if it came to nothing.
func (c *Coordinator) holdOrders(base ha.Maintenance, next *ha.Maintenance, p *ha.Plan, s ha.Snapshot) {
	if text := c.orders.trouble(base.Node); text != "" && latching(base, *next) {
		p.Block(string(base.Node), text, "see `journalctl -u psw-agent` on the node that was asked")
	}
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a ha.Action) bool {
		deed, ok := a.(ha.SetNodeMaintenance)
		if !ok {
			return false
		}
		if pending, waits := c.orders.waitsFor(deed); waits {
			p.Wait(string(deed.Node), "waiting for the agent of %s to answer: %s", pending.agent, deed)
		} else if c.orders.anyOf(c.obedient(deed.Node, s)) {
			return false
		} else if c.settling(s.At) {
			p.Wait(string(deed.Node), "waiting for an agent to connect that can %s", deed)
		} else {
			p.Block(string(deed.Node), "no connected agent on a quorate node can "+deed.String(),
				fmt.Sprintf("on %s or any other node: `systemctl status psw-agent`", deed.Node))
		}
		if deed.On {
			next.LatchAsked = base.LatchAsked
		} else {
			next.UnlatchAsked = base.UnlatchAsked
		}
		return true
	})
}

// latching reports whether m still waits for maintenance mode to change.
func latching(base, m ha.Maintenance) bool {
	switch {
	case m.Phase != base.Phase || m.Phase.Closed():
		return false
	case m.Phase == ha.Draining && !m.Cancelling:
		return m.LatchSeen.IsZero()
	case m.Phase == ha.Restoring:
		return m.OnlineSeen.IsZero()
	default:
		return m.Cancelling
	}
}

// intend stores what a step concluded and is about to do, and journals it, in one
// transaction: from here on a crash finds the intent. It returns next as it is stored.
func (c *Coordinator) intend(base, next ha.Maintenance, plan ha.Plan, s ha.Snapshot) (stored ha.Maintenance, err error) {
	found, intended := c.tell(base, next, plan, s)
	events := slices.Concat(found, intended)
	if len(events) == 0 && reflect.DeepEqual(base, next) {
		return base, nil
	}
	err = c.change(s.At, func(tx *store.Tx) error {
		if err := tx.Journal(found...); err != nil {
			return err
		}
		stored, err = tx.Amend(base.ID, func(now ha.Maintenance) (ha.Maintenance, error) {
			if !reflect.DeepEqual(now, base.Clone()) {
				return now, errOvertaken
			}
			return next, nil
		})
		if err != nil {
			return err
		}
		return tx.Journal(intended...)
	})
	if err != nil {
		return base, err
	}
	c.told(next, plan, events, s)
	c.logEvents(events)
	return stored, nil
}

// stored returns m as it is stored now.
func (c *Coordinator) stored(m ha.Maintenance) ha.Maintenance {
	for _, now := range c.store.Maintenances() {
		if now.ID == m.ID {
			return now
		}
	}
	return m
}

// act carries out actions of the maintenance base, which was just stored, in order. It stops
// at the first whose outcome is unknown, when acting is no longer allowed, and when the
// operator wants something else meanwhile; what then was not asked is struck from the
// intent, since we know that it was not.
func (c *Coordinator) act(ctx context.Context, base ha.Maintenance, actions []ha.Action, s ha.Snapshot) error {
	for k, a := range actions {
		why := c.mayAct(ctx, s)
		if now := c.stored(base); now.Phase != base.Phase || now.Cancelling != base.Cancelling {
			why = "the operator wants something else by now"
		}
		if why != "" {
			return c.strike(base, actions[k:], s, why)
		}
		certain, err := c.carryOut(ctx, base, a, s)
		if err != nil {
			return err
		}
		if !certain {
			return c.strike(base, actions[k+1:], s, "Proxmox did not answer the one before")
		}
	}
	return nil
}

// carryOut does one action and stores what came of it. certain is false if that is not
// known: then the intent stays open, and the planner looks for the deed before it plans it
// anew.
func (c *Coordinator) carryOut(ctx context.Context, base ha.Maintenance, a ha.Action, s ha.Snapshot) (certain bool, err error) {
	var upid string
	switch a := a.(type) {
	case ha.SetNodeMaintenance:
		if !c.order(base.ID, a, s) {
			return true, c.strike(base, []ha.Action{a}, s, "the agents to be asked have just disconnected")
		}
		return true, nil
	case ha.Migrate, ha.Shutdown, ha.Start, ha.AddResource, ha.UpdateResource, ha.RemoveResource, ha.PutRule, ha.RemoveRule, ha.PutGroup, ha.RemoveGroup:
		upid, err = c.pve.Do(ctx, a)
	case ha.CreateCluster, ha.AuthorizeJoin, ha.JoinCluster, ha.RevokeJoin, ha.SetupQDevice, ha.RemoveQDevice, ha.RemoveClusterNode,
		ha.PutStorage, ha.RunHook, ha.ProveStorage, ha.PowerStatus, ha.CutPower:
		panic(fmt.Sprintf("%T is no deed of a maintenance", a))
	default:
		panic(fmt.Sprintf("unknown action %T", a))
	}
	sid := aboutGuest(a)
	log := c.log.With("maintenance", base.ID, "sid", sid.String(), "action", a.String())
	switch {
	case err == nil:
		log.Info("asked of Proxmox", "upid", upid)
		return true, c.outcome(base, a, s, nil, func(m *ha.Move) { m.UPID = upid })
	case pve.Refused(err):
		log.Warn("refused by Proxmox", "error", err)
		return true, c.outcome(base, a, s, &ha.Event{Type: ha.EventFailed, SID: sid, Text: fmt.Sprintf("refused: %s: %s", a, reason(a, err))},
			func(m *ha.Move) { m.Failed, m.FailedAt = reason(a, err), s.At })
	default:
		log.Warn("no answer from Proxmox; looking for the deed before it is repeated", "error", err)
		return false, c.outcome(base, a, s, &ha.Event{Type: ha.EventFailed, SID: sid,
			Text: fmt.Sprintf("no answer: %s: %s; whether it was done will be seen", a, reason(a, err))}, func(*ha.Move) {})
	}
}

// outcome notes what came of an action in the move it was asked by, and journals e.
func (c *Coordinator) outcome(base ha.Maintenance, a ha.Action, s ha.Snapshot, e *ha.Event, note func(*ha.Move)) error {
	err := c.change(s.At, func(tx *store.Tx) error {
		if _, err := tx.Amend(base.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
			if k := moveOf(m, a, s); k >= 0 {
				note(&m.Moves[k])
			}
			return m, nil
		}); err != nil || e == nil {
			return err
		}
		e.Node, e.Maintenance = base.Node, base.ID
		return tx.Journal(*e)
	})
	if err != nil {
		return fmt.Errorf("what came of %q could not be stored, the next tick looks for it: %w", a, err)
	}
	return nil
}

// strike takes actions that were certainly not asked out of the intent, and says why.
func (c *Coordinator) strike(base ha.Maintenance, actions []ha.Action, s ha.Snapshot, why string) error {
	if len(actions) == 0 {
		return nil
	}
	words := make([]string, len(actions))
	for k, a := range actions {
		words[k] = a.String()
	}
	return c.change(s.At, func(tx *store.Tx) error {
		_, err := tx.Amend(base.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
			for _, a := range actions {
				if k := moveOf(m, a, s); k >= 0 {
					m.Moves = slices.Delete(m.Moves, k, k+1)
				}
			}
			return m, nil
		})
		if err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventFailed, Node: base.Node, Maintenance: base.ID,
			Text: fmt.Sprintf("not asked: %s: %s", strings.Join(words, ", "), why)})
	})
}

// moveOf finds the move the planner appended for a in this tick and that is still open; -1
// if there is none.
func moveOf(m ha.Maintenance, a ha.Action, s ha.Snapshot) int {
	sid := aboutGuest(a)
	return slices.IndexFunc(m.Moves, func(mv ha.Move) bool {
		return mv.SID == sid && mv.Asked.Equal(s.At) && mv.Open() && mv.UPID == ""
	})
}

// aboutGuest is the guest an action is about; zero if it is about none.
func aboutGuest(a ha.Action) ha.SID {
	switch a := a.(type) {
	case ha.Migrate:
		return a.SID
	case ha.Shutdown:
		return a.SID
	case ha.Start:
		return a.SID
	case ha.AddResource:
		return a.Resource.SID
	case ha.UpdateResource:
		return a.Resource.SID
	case ha.RemoveResource:
		return a.SID
	case ha.SetNodeMaintenance, ha.PutRule, ha.RemoveRule, ha.PutGroup, ha.RemoveGroup,
		ha.CreateCluster, ha.AuthorizeJoin, ha.JoinCluster, ha.RevokeJoin, ha.SetupQDevice, ha.RemoveQDevice, ha.RemoveClusterNode,
		ha.PutStorage, ha.RunHook, ha.ProveStorage, ha.PowerStatus, ha.CutPower:
		return ha.SID{}
	default:
		panic(fmt.Sprintf("unknown action %T", a))
	}
}

// reason is why an action failed, on one line, without what was tried: that stands before
// it wherever it is shown.
func reason(a ha.Action, err error) string {
	return strings.TrimPrefix(errorText(err), "cannot "+a.String()+": ")
}

// logEvents repeats a step's journal entries in the log.
func (c *Coordinator) logEvents(events []ha.Event) {
	for _, e := range events {
		level := slog.LevelInfo
		switch e.Type {
		case ha.EventWait, ha.EventDo: // a deed is logged with what came of it
			level = slog.LevelDebug
		case ha.EventFailed, ha.EventNodeDown, ha.EventQuorum:
			level = slog.LevelWarn
		case ha.EventSplitBrain:
			level = slog.LevelError
		}
		log := c.log.With("event", string(e.Type))
		if e.Node != "" {
			log = log.With("node", e.Node)
		}
		if !e.SID.IsZero() {
			log = log.With("sid", e.SID.String())
		}
		log.Log(context.Background(), level, "journal", "text", e.Text)
	}
}
