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

// codeOperation keeps a maintenance and an operation from changing the cluster at once.
const codeOperation ha.Code = "OPERATION_OPEN"

// PreviewOperation says what an operation would do, and changes nothing.
func (c *Coordinator) PreviewOperation(ctx context.Context, r ha.OperationRequest) (ha.OperationPreview, error) {
	s, err := c.forOperation(ctx, r)
	if err != nil {
		return ha.OperationPreview{}, err
	}
	return c.previewOperation(r, s), nil
}

func (c *Coordinator) previewOperation(r ha.OperationRequest, s ha.Snapshot) ha.OperationPreview {
	p := planner.PreviewOperation(r, s, planner.Aside{Hook: c.config.BootstrapHook != ""})
	p.Blockers = append(p.Blockers, c.closed(s)...)
	blockers, accepted := readinessGate(r, s)
	p.Blockers = append(p.Blockers, blockers...)
	for _, b := range accepted {
		p.Notices = append(p.Notices, fmt.Sprintf("accepted although HA is not ready: %s of %s: %s", b.Code, b.Subject, b.Reason))
	}
	return p
}

// readinessGate asks the verdict before targets are put under HA: who is registered in a
// cluster where HA does not work is moved by it all the same. What the registration itself
// mends does not count, and what the operator accepts by its code is returned apart.
func readinessGate(r ha.OperationRequest, s ha.Snapshot) (blockers, accepted []ha.Blocker) {
	if r.Kind != ha.OperationApply {
		return nil, nil
	}
	return check.Blockers(s, nil, r.Options.Accept)
}

// operationOpen forbids a maintenance while an operation changes the cluster.
func operationOpen(s ha.Snapshot) []ha.Blocker {
	open, under := s.OpenOperation()
	if !under || open.Kind == ha.OperationRecover {
		return nil
	}
	return []ha.Blocker{{Code: codeOperation, Subject: open.Subject(), Reason: "`psw " + open.Kind.Command() + "` is under way",
		Fix: "wait until it is over: `psw operation watch`"}}
}

// forOperation checks a request and looks at the cluster anew for it.
func (c *Coordinator) forOperation(ctx context.Context, r ha.OperationRequest) (ha.Snapshot, error) {
	if !r.Options.Deadline.IsZero() && !r.Options.Deadline.After(time.Now()) {
		return ha.Snapshot{}, ha.Errorf(ha.Invalid, "the deadline %s has passed already", r.Options.Deadline.Format(time.DateTime))
	}
	s, err := c.lookAnew(ctx, r.Policy)
	if err != nil {
		return s, err
	}
	if _, stored := c.store.Policy(); r.Policy == nil && !stored {
		return s, noPolicy()
	}
	return s, nil
}

// StartOperation stores what is asked for and returns at once. Asking for what is under way
// returns it. NotReady, with every blocker, when it may not begin; Conflict when something
// else is under way.
func (c *Coordinator) StartOperation(ctx context.Context, r ha.OperationRequest) (ha.Operation, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	s, err := c.forOperation(ctx, r)
	if err != nil {
		return ha.Operation{}, err
	}
	if open, under := s.OpenOperation(); under {
		if open.Kind == r.Kind && open.Node == r.Node && open.Target == r.Target {
			return c.amendOperation(open, r)
		}
		return ha.Operation{}, ha.Errorf(ha.Conflict, "cannot begin %s: %s of %s is under way; follow it: `psw operation watch`, or give it up: `psw operation cancel`",
			r.Kind.Command(), open.Kind.Command(), open.Subject())
	}
	if p := c.previewOperation(r, s); len(p.Blockers) > 0 {
		return ha.Operation{}, refused(r.Kind.Command(), p.Blockers)
	}
	if err := c.takePolicy(ha.MaintenanceRequest{By: r.By, Policy: r.Policy}); err != nil {
		return ha.Operation{}, err
	}
	op := ha.Operation{Kind: r.Kind, Node: r.Node, Target: r.Target, Options: r.Options, By: r.By, Message: r.Message,
		Policy: s.Policy, RequestedAt: time.Now().UTC()}
	_, accepted := readinessGate(r, s)
	err = c.change(op.RequestedAt, func(tx *store.Tx) (err error) {
		if op, err = tx.CreateOperation(op); err != nil {
			return err
		}
		if text := acceptedText(op.By, accepted); text != "" {
			if err := tx.Journal(ha.Event{Type: ha.EventRequested, Operation: op.ID, Text: text}); err != nil {
				return err
			}
		}
		return tx.Journal(askedFor(op, r))
	})
	if err != nil {
		return ha.Operation{}, err
	}
	c.soon()
	return op, nil
}

// amendOperation takes over what is new in a request for what is under way.
func (c *Coordinator) amendOperation(open ha.Operation, r ha.OperationRequest) (op ha.Operation, err error) {
	err = c.change(time.Now(), func(tx *store.Tx) error {
		op, err = tx.AmendOperation(open.ID, func(o ha.Operation) (ha.Operation, error) {
			if o.Closed() || o.Cancelling {
				return o, ha.Errorf(ha.Conflict, "%s is ending just now; ask again", o.Kind.Command())
			}
			if r.Policy != nil {
				o.Policy = *r.Policy
			}
			for _, code := range r.Options.Accept {
				if !slices.Contains(o.Options.Accept, code) {
					o.Options.Accept = append(o.Options.Accept, code)
				}
			}
			slices.Sort(o.Options.Accept)
			o.Options.Keep = o.Options.Keep || r.Options.Keep
			o.Options.Mended = o.Options.Mended || r.Options.Mended
			o.Options.AllowOvercommit = o.Options.AllowOvercommit || r.Options.AllowOvercommit
			o.Options.Deadline = r.Options.Deadline
			return o, nil
		})
		if err != nil {
			return err
		}
		return tx.Journal(askedFor(op, r))
	})
	c.soon()
	return op, err
}

func askedFor(op ha.Operation, r ha.OperationRequest) ha.Event {
	text := fmt.Sprintf("%s asks: %s", someone(r.By), op.Kind.Command())
	if subject := op.Subject(); subject != "cluster" {
		text += " " + subject
	}
	if len(r.Options.Accept) > 0 {
		codes := make([]string, len(r.Options.Accept))
		for k, code := range r.Options.Accept {
			codes[k] = string(code)
		}
		text += ", accepting " + strings.Join(codes, ", ")
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return ha.Event{Type: ha.EventRequested, Node: op.Node, Operation: op.ID, Text: text}
}

// refused is every blocker, each on its own line with its fix.
func refused(what string, blockers []ha.Blocker) error {
	lines := make([]string, len(blockers))
	for k, b := range blockers {
		lines[k] = fmt.Sprintf("\n  %s: %s; %s", b.Subject, b.Reason, b.Fix)
	}
	return ha.Errorf(ha.NotReady, "cannot begin %s:%s", what, strings.Join(lines, ""))
}

// CancelOperation stores that the open operation is to be given up: what is under way is
// waited for, and nothing new is begun.
func (c *Coordinator) CancelOperation(_ context.Context, id, by string) (op ha.Operation, err error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if id == "" {
		open, under := c.Snapshot().OpenOperation()
		if !under {
			return op, ha.Errorf(ha.NotFound, "no operation is under way")
		}
		id = open.ID
	}
	err = c.change(time.Now(), func(tx *store.Tx) error {
		op, err = tx.AmendOperation(id, func(o ha.Operation) (ha.Operation, error) {
			if o.Closed() {
				return o, ha.Errorf(ha.Conflict, "%s is over already: %s", o.Kind.Command(), o.Outcome)
			}
			o.Cancelling = true
			return o, nil
		})
		if err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventRequested, Node: op.Node, Operation: op.ID, Text: fmt.Sprintf("%s asks: give up %s", someone(by), op.Kind.Command())})
	})
	c.soon()
	return op, err
}

// Operations returns the operation of that ID, or with "" all that are kept, by ID. NotFound
// if there is none of that ID.
func (c *Coordinator) Operations(_ context.Context, id string) ([]ha.OperationView, error) {
	var views []ha.OperationView
	s, v := c.snapshot()
	for _, o := range s.Operations {
		if id == "" || o.ID == id {
			views = append(views, ha.OperationView{Operation: o, Waits: v.plans[o.ID].Waits})
		}
	}
	if id != "" && len(views) == 0 {
		return nil, ha.Errorf(ha.NotFound, "there is no operation %s", id)
	}
	return views, nil
}

// WatchOperation calls fn with an operation ("" is the newest) now and whenever it or its
// waits change, until fn fails or ctx ends.
func (c *Coordinator) WatchOperation(ctx context.Context, id string, fn func(ha.OperationView) error) error {
	return follow(ctx, &c.changed, func() (ha.OperationView, error) {
		views, err := c.Operations(ctx, id)
		if err != nil {
			return ha.OperationView{}, err
		}
		if len(views) == 0 {
			return ha.OperationView{}, ha.Errorf(ha.NotFound, "there has never been an operation")
		}
		newest := views[len(views)-1]
		id = newest.Operation.ID
		return newest, nil
	}, fn)
}
