package coordinator

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// operate is one step of the open operation, if there is one: plan, store the intent, act,
// store the outcome. What was planned goes into plans, by the operation's ID.
func (c *Coordinator) operate(ctx context.Context, s ha.Snapshot, closed []ha.Blocker, plans map[string]ha.Plan) error {
	base, open := s.OpenOperation()
	if !open {
		return nil
	}
	s.Policy = base.Policy
	next, plan, err := stepOperation(base, s, c.aside(base, s))
	defer func() { plans[base.ID] = plan }()
	if err != nil {
		c.log.Error("the planner failed; nothing is done for this operation", "operation", base.ID, "error", err)
		plan.Block("coordinator", "it failed to plan: "+err.Error(), "its log has the details: `journalctl -u psw-coordinator`")
		return err
	}
	c.holdOperationOrders(base, &next, &plan, s)
	why := ""
	switch {
	case len(closed) > 0:
		why = closed[0].Reason
		actions := plan.Actions
		plan = c.shut(plan, closed, s.At)
		plan.Actions = actions
	case len(plan.Actions) > 0:
		if why = c.mayAct(ctx, s); why != "" {
			plan.Wait("coordinator", "nothing is begun: %s", why)
		}
	}
	if why != "" {
		next, plan.Actions = undone(base, next, plan.Actions, s), nil
	}
	c.nameOrders(&next, plan.Actions, s)
	next, err = c.intendOperation(base, next, plan, s)
	if err != nil {
		plan.Actions = nil
		if errors.Is(err, errOvertaken) {
			c.soon()
			err = nil
		}
		return err
	}
	if next.Closed() || len(plan.Actions) > 0 {
		c.soon() // what waited for it may go on, or its outcome be looked for
	}
	return c.actOn(ctx, base, next, plan.Actions, s)
}

// stepOperation is planner.Operate, whose assertions must not end the daemon.
func stepOperation(op ha.Operation, s ha.Snapshot, a planner.Aside) (next ha.Operation, p ha.Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			next, p, err = op, ha.Plan{}, ha.Errorf(ha.Internal, "%v", r)
		}
	}()
	next, p = planner.Operate(op, s, a)
	return next, p, nil
}

// stepFor finds the step and the move that the planner made for an action in this tick; -1
// where there is none.
func stepFor(o ha.Operation, a ha.Action, at time.Time) (step, move int) {
	step = slices.IndexFunc(o.Steps, func(st ha.OperationStep) bool {
		return st.Command == a.Command() && st.Asked.Equal(at) && st.State == ha.StepDoing
	})
	sid := aboutGuest(a)
	move = slices.IndexFunc(o.Moves, func(mv ha.Move) bool {
		return !sid.IsZero() && mv.SID == sid && mv.Asked.Equal(at) && mv.Open() && mv.UPID == ""
	})
	return step, move
}

// undone is an operation with the steps and moves of actions as they were: what is not
// asked is no intent.
func undone(base, next ha.Operation, actions []ha.Action, s ha.Snapshot) ha.Operation {
	next = next.Clone()
	for _, a := range actions {
		step, move := stepFor(next, a, s.At)
		if move >= 0 {
			next.Moves = slices.Delete(next.Moves, move, move+1)
		}
		if step < 0 {
			continue
		}
		st := next.Steps[step]
		was, known := base.Step(st.Key)
		if !known {
			was = ha.OperationStep{Key: st.Key, Text: st.Text, Command: st.Command, State: ha.StepTodo}
		}
		next.Steps[step] = was
	}
	return next
}

// holdOperationOrders takes out of a plan the orders that cannot be given now, before they
// become intent: no agent to obey them, or the same order has no answer yet.
func (c *Coordinator) holdOperationOrders(base ha.Operation, next *ha.Operation, p *ha.Plan, s ha.Snapshot) {
	var held []ha.Action
	p.Actions = slices.DeleteFunc(slices.Clone(p.Actions), func(a ha.Action) bool {
		deed, ok := a.(ha.OrderDeed)
		if !ok {
			return false
		}
		subject := string(orderedNode(deed))
		if pending, waits := c.orders.waitsFor(deed); waits {
			p.Wait(subject, "waiting for the agent of %s to answer: %s", pending.agent, deed)
		} else if c.orders.anyOf(c.agentsFor(deed, s)) {
			return false
		} else if c.settling(s.At) {
			p.Wait(subject, "waiting for an agent to connect that can %s", deed)
		} else {
			p.Block(subject, "no connected agent can "+deed.String(), fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", subject))
		}
		held = append(held, a)
		return true
	})
	*next = undone(base, *next, held, s)
}

// nameOrders writes the orders that are about to be given into their steps. That is stored
// with the intent: an agent may answer whoever is started after us, and it must be known then
// which step the answer is to.
func (c *Coordinator) nameOrders(next *ha.Operation, actions []ha.Action, s ha.Snapshot) {
	for _, a := range actions {
		if _, ok := a.(ha.OrderDeed); !ok {
			continue
		}
		if step, _ := stepFor(*next, a, s.At); step >= 0 {
			next.Steps[step].Ref = c.orders.name(c.me.ID)
		}
	}
}

// intendOperation stores what a step concluded and is about to do, and journals it, in one
// transaction: from here on a crash finds the intent.
func (c *Coordinator) intendOperation(base, next ha.Operation, p ha.Plan, s ha.Snapshot) (stored ha.Operation, err error) {
	events := c.tellOperation(base, next, p, s)
	if len(events) == 0 && reflect.DeepEqual(base, next) {
		return base, nil
	}
	err = c.change(s.At, func(tx *store.Tx) error {
		stored, err = tx.AmendOperation(base.ID, func(now ha.Operation) (ha.Operation, error) {
			if !reflect.DeepEqual(now, base.Clone()) {
				return now, errOvertaken
			}
			return next, nil
		})
		if err != nil {
			return err
		}
		return tx.Journal(events...)
	})
	if err != nil {
		return base, err
	}
	for _, x := range p.Waits {
		c.said.add(base.ID, x, s.At)
	}
	if next.Closed() {
		c.said.forget(base.ID)
	}
	c.logEvents(events)
	return stored, nil
}

// tellOperation says for the journal what came of steps, what is about to be done, what is
// waited for and was not before, and that it is over.
func (c *Coordinator) tellOperation(base, next ha.Operation, p ha.Plan, s ha.Snapshot) (events []ha.Event) {
	event := func(t ha.EventType, sid ha.SID, format string, args ...any) {
		events = append(events, ha.Event{Type: t, Node: base.Node, SID: sid, Operation: base.ID, Text: fmt.Sprintf(format, args...)})
	}
	for _, st := range next.Steps {
		was, _ := base.Step(st.Key)
		sid, _ := ha.ParseSID(subjectWord(st.Key))
		switch {
		case st.State == was.State:
		case st.State == ha.StepDone:
			event(ha.EventDone, sid, "%s: %s", st.Key, st.Text)
		case st.State == ha.StepFailed:
			event(ha.EventFailed, sid, "failed: %s: %s", st.Key, st.Note)
		}
	}
	for _, a := range p.Actions {
		event(ha.EventDo, aboutGuest(a), "%s", a)
	}
	for _, x := range p.Waits {
		st, known := next.Step(x.Subject)
		if !c.said.isNew(base.ID, x, s.At) || known && st.State == ha.StepDoing && !x.Blocked {
			continue // "do" has said so, or this was said before
		}
		text := x.String()
		if x.Fix != "" {
			text += "; " + x.Fix
		}
		event(ha.EventWait, ha.SID{}, "%s", text)
	}
	if next.Closed() {
		text := fmt.Sprintf("%s of %s: %s", next.Kind, next.Subject(), next.Outcome)
		if next.Reason != "" {
			text += ": " + next.Reason
		}
		event(ha.EventOperation, ha.SID{}, "%s", text)
	}
	return events
}

// actOn carries out the actions of the operation next, which was just stored, in order. It
// stops at the first whose outcome is unknown, when acting is no longer allowed, and when
// the operator gives the operation up; what then was not asked is struck from the intent.
func (c *Coordinator) actOn(ctx context.Context, base, next ha.Operation, actions []ha.Action, s ha.Snapshot) error {
	for k, a := range actions {
		why := c.mayAct(ctx, s)
		if now := c.storedOperation(next.ID); now.Cancelling != next.Cancelling {
			why = "the operator wants something else by now"
		}
		if why != "" {
			return c.strikeActions(base, next, actions[k:], s, why)
		}
		certain, err := c.carryOutFor(ctx, base, next, a, s)
		if err != nil {
			return err
		}
		if !certain {
			return c.strikeActions(base, next, actions[k+1:], s, "Proxmox did not answer the one before")
		}
	}
	return nil
}

// carryOutFor does one action of an operation and stores what came of it. certain is false
// if that is not known: then the step stays as asked, and the planner looks for the deed
// before it plans it anew.
func (c *Coordinator) carryOutFor(ctx context.Context, base, op ha.Operation, a ha.Action, s ha.Snapshot) (certain bool, err error) {
	log := c.log.With("operation", op.ID, "action", a.String())
	step, move := stepFor(op, a, s.At)
	note := func(e *ha.Event, st func(*ha.OperationStep), mv func(*ha.Move)) error {
		return c.noteStep(op, s.At, e, func(o *ha.Operation) {
			if step >= 0 && step < len(o.Steps) {
				st(&o.Steps[step])
			}
			if move >= 0 && move < len(o.Moves) {
				mv(&o.Moves[move])
			}
		})
	}
	if deed, ok := a.(ha.OrderDeed); ok {
		order, key := c.newOrder(deed), ""
		if step >= 0 {
			order.ID, key = op.Steps[step].Ref, op.Steps[step].Key
		}
		p, given := c.orders.give(c.agentsFor(deed, s), pendingOrder{order: order, operation: op.ID, step: key, given: time.Now()})
		if !given {
			return true, c.strikeActions(base, op, []ha.Action{a}, s, "the agents to be asked have just disconnected")
		}
		log.Info("order given", "order", p.order.ID, "node", p.agent)
		return true, nil
	}
	if hook, ok := a.(ha.RunHook); ok {
		return true, c.runHook(ctx, op, hook)
	}
	upid, err := c.pve.Do(ctx, a)
	why := reason(a, err)
	switch {
	case err == nil:
		log.Info("asked of Proxmox", "upid", upid)
		return true, note(nil, func(st *ha.OperationStep) { st.Ref = upid }, func(mv *ha.Move) { mv.UPID = upid })
	case pve.Refused(err):
		log.Warn("refused by Proxmox", "error", err)
		return true, note(&ha.Event{Type: ha.EventFailed, SID: aboutGuest(a), Text: fmt.Sprintf("refused: %s: %s", a, why)},
			func(st *ha.OperationStep) { st.Note = why }, func(mv *ha.Move) { mv.Failed, mv.FailedAt = why, s.At })
	default:
		log.Warn("no answer from Proxmox; looking for the deed before it is repeated", "error", err)
		return false, note(&ha.Event{Type: ha.EventFailed, SID: aboutGuest(a),
			Text: fmt.Sprintf("no answer: %s: %s; whether it was done will be seen", a, why)},
			func(*ha.OperationStep) {}, func(*ha.Move) {})
	}
}

// noteStep changes an operation by what came of a deed, and journals e.
func (c *Coordinator) noteStep(op ha.Operation, at time.Time, e *ha.Event, note func(*ha.Operation)) error {
	return c.change(at, func(tx *store.Tx) error {
		_, err := tx.AmendOperation(op.ID, func(o ha.Operation) (ha.Operation, error) {
			note(&o)
			return o, nil
		})
		if err != nil || e == nil {
			return err
		}
		e.Node, e.Operation = op.Node, op.ID
		return tx.Journal(*e)
	})
}

// orderedStepFailed notes that an order of an operation came to nothing. It is asked for
// again after a while, and a bounded number of times.
func (c *Coordinator) orderedStepFailed(p pendingOrder, text string) error {
	op := c.storedOperation(p.operation)
	return c.noteStep(op, time.Now(), &ha.Event{Type: ha.EventFailed, Text: text}, func(o *ha.Operation) {
		for k := range o.Steps {
			if st := &o.Steps[k]; st.Key == p.step && st.State == ha.StepDoing {
				st.Note = text
			}
		}
	})
}

// strikeActions takes actions that were certainly not asked out of the intent, and says why.
func (c *Coordinator) strikeActions(base, op ha.Operation, actions []ha.Action, s ha.Snapshot, why string) error {
	if len(actions) == 0 {
		return nil
	}
	words := make([]string, len(actions))
	for k, a := range actions {
		words[k] = a.String()
	}
	return c.noteStep(op, s.At, &ha.Event{Type: ha.EventFailed, Text: fmt.Sprintf("not asked: %s: %s", strings.Join(words, ", "), why)},
		func(o *ha.Operation) { *o = undone(base, *o, actions, s) })
}

func (c *Coordinator) storedOperation(id string) ha.Operation {
	for _, o := range c.store.Operations() {
		if o.ID == id {
			return o
		}
	}
	return ha.Operation{}
}
