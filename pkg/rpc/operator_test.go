package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// alice connects as operator alice.
func alice(t *testing.T, p pki, n *lan, addresses ...string) *Operator {
	t.Helper()
	if len(addresses) == 0 {
		addresses = []string{here}
	}
	o, err := DialOperator(addresses, p.client(RoleOperator, "alice"), WithDialer(n.dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func TestAnOperatorAsksAndIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		o, ctx := alice(t, p, n), t.Context()

		status, err := o.Status(ctx, nil)
		want(t, "Status", err, status.Cluster, "home")
		readiness, err := o.Check(ctx, ha.CheckRequest{Target: "media"})
		want(t, "Check", err, readiness.Findings[0].Subject, "media")
		plan, err := o.Plan(ctx, &ha.Policy{Project: "mine"})
		want(t, "Plan", err, plan.Changes[0].Text, "mine")
		plan, err = o.Plan(ctx, nil)
		want(t, "Plan of nothing", err, plan.Changes[0].Text, "the stored policy")
		facts, err := o.Facts(ctx, &ha.Policy{Project: "mine"})
		want(t, "Facts", err, facts.Policy.Project, "mine")
		if n := len(facts.Inventory.Guests); n != manyGuests {
			t.Errorf("the facts hold %d guests, want %d", n, manyGuests)
		}

		r := ha.MaintenanceRequest{Node: "node1", By: "mallory", Message: "new fan", Policy: &ha.Policy{Project: "mine"}}
		preview, err := o.PreviewStart(ctx, r)
		want(t, "PreviewStart", err, preview.Notices[0], "start")
		preview, err = o.PreviewEnd(ctx, r)
		want(t, "PreviewEnd", err, preview.Notices[0], "end")
		m, err := o.StartMaintenance(ctx, r)
		want(t, "StartMaintenance", err, m.Phase, ha.Requested)
		m, err = o.EndMaintenance(ctx, r)
		want(t, "EndMaintenance", err, m.Phase, ha.Restoring)
		m, err = o.CancelMaintenance(ctx, "node1", "mallory")
		want(t, "CancelMaintenance", err, m.Phase, ha.Cancelled)
		views, err := o.Maintenances(ctx, "node1")
		want(t, "Maintenances", err, views[0].Maintenance.Node, "node1")

		if len(d.requests) != 4 {
			t.Fatalf("%d requests arrived, want 4", len(d.requests))
		}
		for _, got := range d.requests {
			if got.By != "alice" || got.Message != "new fan" || got.Policy.Project != "mine" {
				t.Errorf("request %+v arrived, want it whole and asked by alice, whose certificate it is", got)
			}
		}
		if diff := cmp.Diff([]string{"alice"}, d.cancels); diff != "" {
			t.Errorf("who cancelled (-want +got):\n%s", diff)
		}
	})
}

func want[T comparable](t *testing.T, what string, err error, got, want T) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("%s: %v, %v; want %v", what, got, err, want)
	}
}

func TestWatchingFollowsUntilTheCallerHasSeenEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		d := &desk{
			views:  []ha.MaintenanceView{{Safe: false}, {Safe: true}},
			events: []ha.Event{{Seq: 1, Text: "one"}, {Seq: 2, Text: "two"}, {Seq: 3, Text: "three"}},
		}
		n.serve(t, here, d, p.server())
		o := alice(t, p, n)

		enough := errors.New("safe")
		err := o.WatchMaintenance(t.Context(), "node1", func(v ha.MaintenanceView) error {
			if v.Safe {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Errorf("WatchMaintenance: %v, want the error of the function", err)
		}

		var texts []string
		collect := func(e ha.Event) error { texts = append(texts, e.Text); return nil }
		if err := o.Events(t.Context(), 1, false, collect); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"two", "three"}, texts); diff != "" {
			t.Errorf("events after 1 (-want +got):\n%s", diff)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := o.Events(ctx, 3, true, collect); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("following events past the caller's deadline: %v, want the context's error", err)
		}
	})
}

// Whatever kind of error the coordinator answers with, the operator gets that kind and
// that text, from calls and from streams.
func TestErrorsKeepTheirKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{}
		n.serve(t, here, d, p.server())
		o := alice(t, p, n)
		tests := []struct {
			err  error
			kind ha.Kind
		}{
			{ha.Errorf(ha.Invalid, "no such profile"), ha.Invalid},
			{ha.Errorf(ha.NotFound, "no node9"), ha.NotFound},
			{ha.Errorf(ha.Conflict, "node2 is in maintenance"), ha.Conflict},
			{ha.Errorf(ha.NotReady, "no room for vm:102"), ha.NotReady},
			{ha.Errorf(ha.Unavailable, "Proxmox does not answer: %w", context.DeadlineExceeded), ha.Unavailable},
			{ha.Errorf(ha.Denied, "not yours"), ha.Denied},
			{ha.Errorf(ha.Internal, "oops"), ha.Internal},
			{errors.New("nobody classified this"), ha.Internal},
			{fmt.Errorf("an odd byte: \xff"), ha.Internal},
		}
		for _, test := range tests {
			d.err = test.err
			_, err := o.Status(t.Context(), nil)
			text := strings.ToValidUTF8(test.err.Error(), "\uFFFD")
			if ha.KindOf(err) != test.kind || err.Error() != text {
				t.Errorf("%v arrives as %v of kind %q, want kind %q", test.err, err, ha.KindOf(err), test.kind)
			}
			err = o.WatchMaintenance(t.Context(), "node1", func(ha.MaintenanceView) error { return nil })
			if ha.KindOf(err) != test.kind || err.Error() != text {
				t.Errorf("%v arrives over a stream as %v of kind %q, want kind %q", test.err, err, ha.KindOf(err), test.kind)
			}
		}
	})
}

func TestEveryKindOfErrorHasACode(t *testing.T) {
	for _, k := range []ha.Kind{ha.Invalid, ha.NotFound, ha.Conflict, ha.NotReady, ha.Unavailable, ha.Denied, ha.Internal} {
		err, ok := answered(statusError(ha.Errorf(k, "why")))
		if !ok || ha.KindOf(err) != k || err.Error() != "why" {
			t.Errorf("kind %q comes back as %v, %v", k, err, ok)
		}
	}
}

// A bug in one answer must not take the coordinator down, nor tell its insides.
func TestAPanicIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n, d := newPKI(t), &lan{}, &desk{panics: true}
		n.serve(t, here, d, p.server())
		o := alice(t, p, n)
		_, err := o.Status(t.Context(), nil)
		if ha.KindOf(err) != ha.Internal || !strings.Contains(err.Error(), "Status") || strings.Contains(err.Error(), "bug") {
			t.Errorf("a panic arrives as %v of kind %q, want Internal, naming the call and not the panic", err, ha.KindOf(err))
		}
		if _, err := o.Maintenances(t.Context(), "node1"); err != nil {
			t.Errorf("after the panic: %v, want the coordinator to answer", err)
		}
	})
}

// Nobody answers: the sentence says where we asked, what happened there and what to do.
func TestWhenNoCoordinatorAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		n.serve(t, "node2:8007", &desk{}, newPKI(t).server()) // of another cluster
		o := alice(t, p, n, "node1:8007", "node2:8007")
		_, err := o.Status(t.Context(), nil)
		if ha.KindOf(err) != ha.Unavailable {
			t.Fatalf("kind %q of %v, want Unavailable", ha.KindOf(err), err)
		}
		for _, part := range []string{
			"node1:8007 (connection refused)",
			"node2:8007 (the certificate of coordinator home was not issued by the CA in ",
			"is psw-coordinator running",
		} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	})
}

func TestAnOperatorFindsTheAddressThatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		stop := n.serve(t, "node3:8007", &desk{}, p.server())
		o := alice(t, p, n, "node1:8007", "node2:8007", "node3:8007")
		if _, err := o.Status(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		stop()
		n.serve(t, "node2:8007", &desk{}, p.server())
		pass(time.Minute)
		if _, err := o.Status(t.Context(), nil); err != nil {
			t.Errorf("after the coordinator moved to node2: %v", err)
		}
	})
}

// The coordinator is killed under a watching operator.
func TestABrokenStreamIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, n := newPKI(t), &lan{}
		stop := n.serve(t, here, &desk{views: []ha.MaintenanceView{{}}}, p.server())
		o := alice(t, p, n)
		err := o.WatchMaintenance(t.Context(), "node1", func(ha.MaintenanceView) error {
			go stop()
			return nil
		})
		if ha.KindOf(err) != ha.Unavailable || !strings.Contains(err.Error(), here) {
			t.Errorf("watching a coordinator that was killed: %v of kind %q, want Unavailable and its address", err, ha.KindOf(err))
		}
	})
}

func TestDialOperatorNeedsAnAddressAndTLS(t *testing.T) {
	if _, err := DialOperator(nil, newPKI(t).client(RoleOperator, "alice")); ha.KindOf(err) != ha.Invalid {
		t.Errorf("without an address: %v, want an Invalid error", err)
	}
	if _, err := DialOperator([]string{here}, nil); ha.KindOf(err) != ha.Invalid {
		t.Errorf("without TLS: %v, want an Invalid error: there is no plaintext", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("NewServer without TLS made a server")
		}
	}()
	NewServer(&desk{}, nil, nil)
}

// A server that refuses us says so in a TLS alert, deep inside what gRPC makes of it.
func TestTheReasonOfABrokenConnectionIsReadable(t *testing.T) {
	err := status.Error(codes.Unavailable, `last connection error: connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"`)
	got := transportReason(err)
	if !strings.HasPrefix(got, "error reading server preface: remote error: tls: unknown certificate authority (it refuses our certificate") {
		t.Errorf("reason: %s", got)
	}
}
