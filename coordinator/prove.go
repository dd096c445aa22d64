package coordinator

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// proofRef names one proof: the one of a subject that began then.
type proofRef struct {
	kind    ha.ProofKind
	subject string
	began   time.Time
}

func refOf(p ha.Proof) *proofRef { return &proofRef{p.Kind, p.Subject, p.Began} }

func (r *proofRef) is(p ha.Proof) bool {
	return r.kind == p.Kind && r.subject == p.Subject && r.began.Equal(p.Began)
}

// prove begins the proofs that are due and goes on with those under way. It is part of
// Tick, but waits for nobody.
func (c *Coordinator) prove(s ha.Snapshot) error {
	if c.rival.why() != "" {
		return nil
	}
	for _, p := range s.Proofs {
		if !p.Open() {
			continue
		}
		if p.Began.Before(c.began) { // an earlier start's: who answers now does not answer us
			if err := c.abandon(p, s.At); err != nil {
				return err
			}
			continue
		}
		if err := c.stepProof(refOf(p), s, func(p ha.Proof) ha.Proof { return p }); err != nil {
			return err
		}
	}
	c.sweepProofs(time.Now())
	if c.settling(s.At) && c.notAccepted(s) != nil {
		return nil // agents are still connecting: what they do not answer now says nothing
	}
	for _, p := range planner.DueProofs(s) {
		if _, err := c.beginProof(p, s); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends a proof that an earlier start left under way, and has its word removed.
func (c *Coordinator) abandon(p ha.Proof, at time.Time) error {
	p = p.Clone()
	for k := range p.Results {
		if p.Results[k].Answered.IsZero() && p.Results[k].Fault == "" {
			p.Results[k].Fault = "the coordinator was restarted meanwhile"
		}
	}
	p.Ended = at
	if err := c.change(at, func(tx *store.Tx) error { return tx.PutProof(p) }); err != nil {
		return err
	}
	c.sweepings.add(p, time.Now())
	return nil
}

// beginProof stores a new proof, then asks the first. If one of its subject is under way
// already that one is returned.
func (c *Coordinator) beginProof(p ha.Proof, s ha.Snapshot) (ha.Proof, error) {
	if p.Kind == ha.ProofStorage {
		p.Nonce = strings.ToLower(rand.Text())
	}
	p.Began = time.Now().UTC()
	err := c.change(s.At, func(tx *store.Tx) error {
		for _, other := range tx.Proofs() {
			if other.Open() && other.Kind == p.Kind && other.Subject == p.Subject {
				p = other
				return nil
			}
		}
		if err := tx.PutProof(p); err != nil {
			return err
		}
		if p.By == "" {
			return nil
		}
		return tx.Journal(ha.Event{Type: ha.EventRequested, Text: fmt.Sprintf("%s asks: prove %s %s", p.By, p.Kind, p.Subject)})
	})
	if err != nil {
		return p, err
	}
	return p, c.stepProof(refOf(p), s, func(p ha.Proof) ha.Proof { return p })
}

// stepProof changes a proof that is under way with fn, stores what is to be asked next, and
// asks it. One that has ended meanwhile is left alone.
func (c *Coordinator) stepProof(ref *proofRef, s ha.Snapshot, fn func(ha.Proof) ha.Proof) error {
	var orders []planner.NodeOrder
	var next ha.Proof
	err := c.change(s.At, func(tx *store.Tx) error {
		k := slices.IndexFunc(tx.Proofs(), func(p ha.Proof) bool { return p.Open() && ref.is(p) })
		if k < 0 {
			return nil
		}
		before := tx.Proofs()[k]
		next, orders = planner.StepProof(fn(before), time.Now().UTC(), c.bmcSecret(before, s), func(n ha.NodeName) bool {
			return c.orders.anyOf([]ha.NodeName{n})
		})
		if reflect.DeepEqual(before, next) {
			return nil
		}
		if err := tx.PutProof(next); err != nil || next.Open() {
			return err
		}
		return c.tellProof(tx, next, s)
	})
	if err != nil {
		return err
	}
	if len(orders) == 0 && !next.Began.IsZero() && !next.Open() {
		c.sweepings.add(next, time.Now())
		c.sweepProofs(time.Now())
	}
	for _, o := range orders {
		if c.giveProofOrder(next, o) {
			continue
		}
		err := c.stepProof(ref, s, func(p ha.Proof) ha.Proof {
			return planner.AnswerProof(p, ha.OrderResult{Node: o.Node, Failed: "its agent has just disconnected"}, time.Now().UTC())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bmcSecret is the name of the secret of the BMC a proof is about.
func (c *Coordinator) bmcSecret(p ha.Proof, s ha.Snapshot) string {
	if h, ok := s.Policy.Host(ha.NodeName(p.Subject)); ok && h.BMC != nil {
		return h.BMC.Secret
	}
	return ""
}

// tellProof journals what came of a proof, if that is new or somebody asked.
func (c *Coordinator) tellProof(tx *store.Tx, p ha.Proof, s ha.Snapshot) error {
	good, bad := planner.ProofInWords(p)
	before, tried := s.Proof(p.Kind, p.Subject)
	if tried && p.By == "" {
		if _, worse := planner.ProofInWords(before); (worse == "") == (bad == "") {
			return nil
		}
	}
	if bad == "" {
		return tx.Journal(ha.Event{Type: ha.EventProof, Text: good})
	}
	return tx.Journal(ha.Event{Type: ha.EventProof, Text: good + "; " + bad})
}

// giveProofOrder hands an order to the agent of a node; false if it is not connected.
func (c *Coordinator) giveProofOrder(p ha.Proof, o planner.NodeOrder) bool {
	given, ok := c.orders.give([]ha.NodeName{o.Node}, pendingOrder{
		order: c.newOrder(o.Deed),
		proof: refOf(p), given: time.Now(),
	})
	if ok {
		c.log.Debug("order given", "order", given.order.ID, "node", o.Node, "deed", o.Deed.String())
	}
	return ok
}

// proofAnswered takes an agent's answer to an order of a proof.
func (c *Coordinator) proofAnswered(p pendingOrder, r ha.OrderResult) error {
	if deed, ok := p.order.Deed.(ha.ProveStorage); ok && deed.Deed == ha.ProofRemove {
		if r.Storage != nil && r.Storage.WriteFault == "" {
			c.sweepings.done(planner.NodeOrder{Node: p.agent, Deed: deed})
		}
		return nil
	}
	s, _ := c.snapshot()
	return c.stepProof(p.proof, s, func(p ha.Proof) ha.Proof { return planner.AnswerProof(p, r, time.Now().UTC()) })
}

// Prove has the nodes try something and calls fn with the proofs now and whenever they
// change, until all have ended.
func (c *Coordinator) Prove(ctx context.Context, r ha.ProofRequest, fn func([]ha.Proof) error) error {
	s, err := c.observe(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && s.Inventory.At.IsZero() {
		return err
	}
	if r.Policy != nil {
		s.Policy = *r.Policy
		if err := c.takePolicy(ha.MaintenanceRequest{Policy: r.Policy, By: r.By}); err != nil {
			return err
		}
	}
	if why := c.rival.why(); why != "" {
		return ha.Errorf(ha.Conflict, "cannot have anything tried here: %s", why)
	}
	subjects := r.Subjects
	if len(subjects) == 0 {
		subjects = planner.ProofSubjects(r.Kind, s)
		if why := s.Inventory.Unread("storages"); why != "" && r.Kind == ha.ProofStorage {
			return ha.Errorf(ha.Unavailable, "the storages could not be read: %s", why)
		}
	}
	var proofs []ha.Proof
	for _, subject := range slices.Compact(slices.Sorted(slices.Values(subjects))) {
		p, err := planner.NewProof(r.Kind, subject, s)
		if err != nil {
			return err
		}
		p.By, p.Reason = someone(r.By), "it was asked for"
		proofs = append(proofs, p)
	}
	var refs []*proofRef
	for _, p := range proofs {
		began, err := c.beginProof(p, s)
		if err != nil {
			return err
		}
		refs = append(refs, refOf(began))
	}
	return c.followProofs(ctx, refs, fn)
}

// followProofs calls fn with these proofs now and whenever they change, until all have ended.
func (c *Coordinator) followProofs(ctx context.Context, refs []*proofRef, fn func([]ha.Proof) error) error {
	var last []ha.Proof
	for {
		changed := c.changed.next()
		var now []ha.Proof
		open := false
		for _, ref := range refs {
			for _, p := range c.store.Proofs() {
				if ref.is(p) {
					now, open = append(now, p), open || p.Open()
				}
			}
		}
		if last == nil || !reflect.DeepEqual(last, now) {
			if err := fn(now); err != nil {
				return err
			}
			last = now
		}
		if !open {
			return nil
		}
		c.soon() // answers that do not come are noticed by a tick
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Proofs returns what is known.
func (c *Coordinator) Proofs(context.Context) ([]ha.Proof, error) { return c.store.Proofs(), nil }
