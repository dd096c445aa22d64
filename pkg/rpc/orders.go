package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ordersWaitingMax is how many orders may wait behind the one being carried out. A
// coordinator asks for one thing at a time and node, so more than a few is a fault.
const ordersWaitingMax = 16

// arrival is an order and when it arrived: its TTL counts from then.
type arrival struct {
	order ha.Order
	at    time.Time
}

// accept queues an order that arrived, or answers it at once: one that came before, one
// this program does not know, one too many.
func (s *AgentSession) accept(o ha.Order, orders chan<- arrival) {
	if s.box.begun(o.ID) {
		return // its outcome is on the way, or is sent again
	}
	if o.Deed == nil {
		s.answer(o, ha.OrderResult{Refused: "this agent does not know what is ordered: update it"})
		return
	}
	select {
	case orders <- arrival{order: o, at: time.Now()}:
	default:
		s.answer(o, ha.OrderResult{Refused: fmt.Sprintf("%d orders are waiting already", ordersWaitingMax)})
	}
}

// answer puts the outcome of an order into the outbox.
func (s *AgentSession) answer(o ha.Order, r ha.OrderResult) {
	r.ID, r.Node = o.ID, s.Hello().Node
	s.box.result(legible(encodeOrderResult(r)))
}

// obey carries out one order after the other until ctx ends.
func (s *AgentSession) obey(ctx context.Context, orders <-chan arrival) {
	for {
		select {
		case a := <-orders:
			if ctx.Err() != nil { // both were ready
				return
			}
			s.answer(a.order, s.carryOut(ctx, a))
		case <-ctx.Done():
			return
		}
	}
}

func (s *AgentSession) carryOut(ctx context.Context, a arrival) (r ha.OrderResult) {
	o := a.order
	if waited := time.Since(a.at); o.TTL > 0 {
		if waited >= o.TTL {
			return ha.OrderResult{Refused: fmt.Sprintf("it expired: it waited %s behind other orders", waited.Round(time.Second))}
		}
		o.TTL -= waited
	}
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("an order panicked", "order", o.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r = ha.OrderResult{Failed: "the agent failed at it: its log has the details"}
		}
	}()
	return s.Order(ctx, o)
}
