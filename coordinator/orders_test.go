package coordinator_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestTheNodesOwnAgentIsOrderedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node3")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node3").Safe })
		if !slices.Equal(w.agents["node3"].done, []string{"enable node3"}) || len(w.agents["node1"].done)+len(w.agents["node2"].done) != 0 {
			t.Errorf("done: node1 %q, node2 %q, node3 %q", w.agents["node1"].done, w.agents["node2"].done, w.agents["node3"].done)
		}
	})
}

// The node's own agent reports, but its stream is broken: another agent gives the command,
// which works from any quorate node.
func TestAnotherAgentIsOrderedIfTheNodesOwnIsNotConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.agents["node1"].hangUp()
		w.agents["node1"].orders = make(chan ha.Order) // it does not know yet
		w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		if !slices.Equal(w.agents["node2"].done, []string{"enable node1"}) {
			t.Errorf("node2's agent did %q; want the order for node1", w.agents["node2"].done)
		}
	})
}

func TestWithoutAnyConnectedAgentTheDrainSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		for _, a := range w.agents {
			a.hangUp()
			a.orders = make(chan ha.Order)
		}
		w.drain("node1")
		w.until(5*time.Minute, "wait", func() bool {
			return slices.ContainsFunc(w.view("node1").Waits, func(x ha.Wait) bool {
				return x.Blocked && x.Reason == "no connected agent on a quorate node can switch maintenance mode of node1 on"
			})
		})
		if n := w.count(ha.EventDo, "maintenance mode"); n != 0 {
			t.Errorf("the journal says %d times that it was ordered", n)
		}
		w.agents["node3"].orders = nil // it dials again
		w.until(time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	})
}

func TestARefusedOrderIsShownAndGivenAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.agents["node1"].refuse = "/etc/pve is read-only"
		w.drain("node1")
		const why = "refused: switch maintenance mode of node1 on, as ordered from the agent of node1: /etc/pve is read-only"
		w.until(5*time.Minute, "refusal", func() bool { return w.count(ha.EventFailed, why) == 1 })
		w.step()
		w.waitsFor("/etc/pve is read-only")
		for range 6 {
			w.step()
		}
		if n := w.count(ha.EventFailed, why); n != 1 {
			t.Errorf("the order was given %d times within half a minute", n)
		}
		w.agents["node1"].refuse = ""
		w.until(3*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		for _, x := range w.view("node1").Waits {
			t.Errorf("it still waits: %v", x)
		}
	})
}

// An agent takes an order and is never heard of again.
func TestAnOrderWithoutAnswerIsNotRepeatedBlindly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		real := w.agents["node1"].orders
		w.agents["node1"].orders = make(chan ha.Order)
		w.drain("node1")
		w.until(3*time.Minute, "order", func() bool { return w.count(ha.EventDo, "switch maintenance mode of node1 on") == 1 })
		for range 15 { // longer than the planner waits before it would ask again
			w.step()
		}
		w.waitsFor("waiting for the agent of node1 to answer")
		if n := w.count(ha.EventDo, "switch maintenance mode of node1 on"); n != 1 {
			t.Errorf("ordered %d times while the answer was out", n)
		}
		w.until(2*time.Minute, "given up", func() bool { return w.count(ha.EventFailed, "no answer: switch maintenance mode of node1 on") == 1 })
		w.agents["node1"].orders = real // it was only slow: now it obeys the first order
		w.until(3*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	})
}

func TestANewSessionOfAnAgentTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home())
		first, err := w.c.Orders(t.Context(), "node1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, hangUp := context.WithCancel(t.Context())
		second, err := w.c.Orders(ctx, "node1")
		if err != nil {
			t.Fatal(err)
		}
		if _, open := <-first; open {
			t.Error("the first session got an order; want its channel closed")
		}
		select {
		case _, open := <-second:
			t.Errorf("second session: open %v; want it waiting", open)
		default:
		}
		hangUp()
		synctest.Wait()
		if _, open := <-second; open {
			t.Error("the channel is open after its session ended")
		}
	})
}

func TestOnlyWhoWasOrderedMayAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		orders := w.agents["node1"].orders
		w.agents["node1"].orders = make(chan ha.Order)
		w.drain("node1")
		w.until(5*time.Minute, "order", func() bool { return w.count(ha.EventDo, "maintenance mode") == 1 })
		o := <-orders
		if o.Generation != w.c.Identity().Generation || o.Coordinator != w.c.Identity().ID || o.TTL != w.config.OrderTTL || o.ID == "" {
			t.Errorf("order = %+v", o)
		}
		if err := w.c.OrderDone(t.Context(), ha.OrderResult{ID: o.ID, Node: "node2"}); ha.KindOf(err) != ha.Denied {
			t.Errorf("err = %v; want Denied", err)
		}
		if err := w.c.OrderDone(t.Context(), ha.OrderResult{ID: "no such", Node: "node1"}); ha.KindOf(err) != ha.NotFound {
			t.Errorf("err = %v; want NotFound", err)
		}
		if err := w.c.OrderDone(t.Context(), ha.OrderResult{ID: o.ID, Node: "node1"}); err != nil {
			t.Error(err)
		}
		if err := w.c.OrderDone(t.Context(), ha.OrderResult{ID: o.ID, Node: "node1"}); ha.KindOf(err) != ha.NotFound {
			t.Errorf("a second answer: %v; want NotFound", err)
		}
	})
}
