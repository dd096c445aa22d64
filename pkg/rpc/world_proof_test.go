package rpc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (d *desk) Prove(_ context.Context, r ha.ProofRequest, fn func([]ha.Proof) error) error {
	d.mu.Lock()
	d.proved = r
	d.mu.Unlock()
	return fn(d.proofs)
}

func (d *desk) Proofs(context.Context) ([]ha.Proof, error) { return d.proofs, nil }

func (d *desk) CutPower(_ context.Context, r ha.PowerOffRequest) (ha.ProofResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = r
	return d.cutBy, nil
}

// someProofs have every field set that travels.
func someProofs() []ha.Proof {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return []ha.Proof{
		{Kind: ha.ProofStorage, Subject: "psw", Began: noon, Ended: noon.Add(time.Second), By: "alice", Reason: "it was asked for",
			Path: "/mnt/shared", Nonce: "abcdefghijklmnop", Writer: "node1", Results: []ha.ProofResult{
				{Node: "node1", Asked: noon, Answered: noon.Add(time.Second), Storage: &ha.StorageSight{Seen: true, Written: true, ReadFault: "a", WriteFault: "b",
					Lock: ha.LockGiven, MountPoint: "/mnt/shared", Source: "nas:/x", FSType: "nfs4", ReadOnly: true, FSID: "1:2", File: 7, Squashed: true, Took: time.Millisecond}},
				{Node: "node2", Fault: "its agent is not connected"},
			}},
		{Kind: ha.ProofFence, Subject: "node1", Began: noon, Results: []ha.ProofResult{
			{Node: "node2", Asked: noon, Answered: noon, Power: &ha.PowerSight{State: ha.PowerUnknown, Said: "hm", Took: time.Second}},
		}},
	}
}

func TestProofsTravelWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{proofs: someProofs(), cutBy: ha.ProofResult{Node: "node2", Power: &ha.PowerSight{State: ha.PowerOff, Took: 3 * time.Second}}}
		p, n := newPKI(t), &lan{}
		n.serve(t, here, d, p.server())
		o := alice(t, p, n)
		var seen []ha.Proof
		err := o.Prove(t.Context(), ha.ProofRequest{Kind: ha.ProofStorage, Subjects: []string{"psw"}, By: "mallory"}, func(list []ha.Proof) error {
			seen = list
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := diff(d.proofs, seen); diff != "" {
			t.Errorf("what arrived (-want +got):\n%s", diff)
		}
		if d.proved.By != "alice" || d.proved.Subjects[0] != "psw" {
			t.Errorf("asked for as %+v, want by alice, whose certificate it is", d.proved)
		}
		cut, err := o.CutPower(t.Context(), ha.PowerOffRequest{Node: "node1", By: "mallory"})
		if err != nil || cut.Node != "node2" || cut.Power.Took != 3*time.Second || d.cut.By != "alice" {
			t.Errorf("CutPower: %+v, %v; asked for as %+v", cut, err, d.cut)
		}
	})
}

// A storage that hangs must not keep a maintenance waiting: an order that only looks is
// carried out beside the others.
func TestALookThatHangsKeepsNoDeedWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &AgentSession{Hello: func() ha.Hello { return ha.Hello{Node: "node1"} }}
		hung := make(chan struct{})
		s.Order = func(_ context.Context, o ha.Order) ha.OrderResult {
			if ha.LooksOnly(o.Deed) {
				<-hung
			}
			return ha.OrderResult{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		q := newQueues()
		go s.obey(ctx, q.deeds)
		go s.look(ctx, q.looks)
		s.accept(ha.Order{ID: "1", TTL: time.Minute, Deed: ha.ProveStorage{Path: "/mnt/shared"}}, q)
		s.accept(ha.Order{ID: "2", TTL: time.Minute, Deed: ha.SetNodeMaintenance{Node: "node1", On: true}}, q)
		synctest.Wait()
		m, _ := s.box.next(time.Now())
		if m.GetOrderResult().GetId() != "2" {
			t.Errorf("answered is %v, want the deed, while the look still hangs", m)
		}
		close(hung)
		synctest.Wait()
		cancel()
		if len(s.box.results) != 2 {
			t.Errorf("%d answers, want 2", len(s.box.results))
		}
	})
}
