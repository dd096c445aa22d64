package rpc

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ordersWaitingMax is how many orders may wait in each queue. A coordinator orders deeds one
// at a time, but asks a node about every other one's BMC and every shared storage at once,
// which in a cluster of 32 is fewer. More is a fault.
const ordersWaitingMax = 64

// arrival is an order and when it arrived: its TTL counts from then.
type arrival struct {
	order ha.Order
	at    time.Time
}

// looksMax is how many orders that only look may be under way at once. A node is asked about
// each shared storage and each BMC; those that hang must leave room for those that do not.
const looksMax = 16

// queues are where orders wait: deeds for the one before, looks for nobody. A storage that
// hangs must not keep a maintenance waiting.
type queues struct{ deeds, looks chan arrival }

func newQueues() queues {
	return queues{deeds: make(chan arrival, ordersWaitingMax), looks: make(chan arrival, ordersWaitingMax)}
}

// accept queues an order that arrived, or answers it at once: one that came before, one
// this program does not know, one too many.
func (s *AgentSession) accept(o ha.Order, q queues) {
	if s.box.begun(o.ID) {
		return // its outcome is on the way, or is sent again
	}
	if o.Deed == nil {
		s.answer(o, ha.OrderResult{Refused: "this agent does not know what is ordered: update it"})
		return
	}
	a := arrival{order: o, at: time.Now()}
	queue := q.deeds
	if ha.LooksOnly(o.Deed) {
		queue = q.looks
	}
	select {
	case queue <- a:
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

// look carries out orders that only look, beside each other, until ctx ends, and then waits
// for those that are under way.
func (s *AgentSession) look(ctx context.Context, orders <-chan arrival) {
	var under sync.WaitGroup
	defer under.Wait()
	room := make(chan struct{}, looksMax)
	for {
		select {
		case a := <-orders:
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			under.Go(func() {
				s.answer(a.order, s.carryOut(ctx, a))
				<-room
			})
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
