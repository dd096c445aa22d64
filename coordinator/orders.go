package coordinator

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// ordersWaiting bounds the orders given to one agent and not yet on their way. Deeds come
	// one at a time, but a node is asked about every other one's BMC and every shared storage
	// at once: there is room for a cluster of 32. A full desk means a dead connection.
	ordersWaiting = 64
	// answerSlack: how long after an order's time limit its answer is still waited for. An
	// agent gives the command up to a minute, which may wait for the cluster's lock.
	answerSlack = 75 * time.Second
)

// orderDesk hands orders to connected agents and remembers those without an answer.
type orderDesk struct {
	mu      sync.Mutex
	agents  map[ha.NodeName]chan ha.Order
	pending map[string]pendingOrder
	last    uint64
	// given counts the orders given, failed those that were refused, failed or never answered.
	given, failed int64
	// troubles are why the last order about a node came to nothing.
	troubles map[ha.NodeName]string
}

type pendingOrder struct {
	order       ha.Order
	agent       ha.NodeName
	maintenance string
	// operation and step are what it belongs to, if it belongs to one.
	operation, step string
	given           time.Time
	// proof is what it is a part of, answer who waits for it; nil if neither.
	proof  *proofRef
	answer chan<- ha.OrderResult // of capacity 1
}

// connect opens the channel of an agent, closing that of its earlier session.
func (d *orderDesk) connect(node ha.NodeName) chan ha.Order {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.agents == nil {
		d.agents, d.pending = make(map[ha.NodeName]chan ha.Order), make(map[string]pendingOrder)
	}
	if old := d.agents[node]; old != nil {
		close(old)
	}
	ch := make(chan ha.Order, ordersWaiting)
	d.agents[node] = ch
	return ch
}

// disconnect closes that channel unless a newer session already did.
func (d *orderDesk) disconnect(node ha.NodeName, ch chan ha.Order) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.agents[node] == ch {
		close(ch)
		delete(d.agents, node)
	}
}

// name is an ID for an order that is about to be given.
func (d *orderDesk) name(coordinator string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	return fmt.Sprintf("%s-%d", coordinator, d.last)
}

// give hands an order to the first of the agents that is connected; false if none is.
func (d *orderDesk) give(agents []ha.NodeName, p pendingOrder) (pendingOrder, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, node := range agents {
		ch := d.agents[node]
		if ch == nil || len(ch) == cap(ch) {
			continue
		}
		p.agent = node
		d.pending[p.order.ID] = p
		d.given++
		ch <- p.order // has room: only give sends, and it holds the lock
		return p, true
	}
	return p, false
}

// anyOf reports whether give would find an agent.
func (d *orderDesk) anyOf(agents []ha.NodeName) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(agents, func(n ha.NodeName) bool {
		ch := d.agents[n]
		return ch != nil && len(ch) < cap(ch)
	})
}

// waitsFor finds an order for the same deed that has no answer yet.
func (d *orderDesk) waitsFor(deed ha.OrderDeed) (pendingOrder, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.pending {
		if reflect.DeepEqual(p.order.Deed, deed) {
			return p, true
		}
	}
	return pendingOrder{}, false
}

// answered takes an order off the desk.
func (d *orderDesk) answered(r ha.OrderResult) (pendingOrder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.pending[r.ID]
	switch {
	case !ok:
		return p, ha.Errorf(ha.NotFound, "no order %s waits for an answer", r.ID)
	case p.agent != r.Node:
		return p, ha.Errorf(ha.Denied, "order %s was given to %s, not to %s", r.ID, p.agent, r.Node)
	}
	delete(d.pending, r.ID)
	if r.Refused != "" || r.Failed != "" {
		d.failed++
	}
	return p, nil
}

// late takes the orders off the desk whose answer is not waited for any longer.
func (d *orderDesk) late(at time.Time) []pendingOrder {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []pendingOrder
	for id, p := range d.pending {
		if at.Sub(p.given) > p.order.TTL+answerLimit(p.order.Deed) {
			out = append(out, p)
			delete(d.pending, id)
		}
	}
	d.failed += int64(len(out))
	slices.SortFunc(out, func(a, b pendingOrder) int { return a.given.Compare(b.given) })
	return out
}

// trouble says why the last order about node came to nothing; "" if it did not.
func (d *orderDesk) trouble(node ha.NodeName) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.troubles[node]
}

func (d *orderDesk) setTrouble(node ha.NodeName, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.troubles == nil {
		d.troubles = make(map[ha.NodeName]string)
	}
	d.troubles[node] = text
}

// Orders returns the orders for node as they are given, until ctx ends. A second call for
// the same node takes over: the first channel is closed.
func (c *Coordinator) Orders(ctx context.Context, node ha.NodeName) (<-chan ha.Order, error) {
	if node == "" {
		return nil, ha.Errorf(ha.Invalid, "orders for which node?")
	}
	ch := c.orders.connect(node)
	context.AfterFunc(ctx, func() { c.orders.disconnect(node, ch) })
	c.soon() // a deed may have waited for this agent
	return ch, nil
}

// newOrder is an order of this coordinator's.
func (c *Coordinator) newOrder(deed ha.OrderDeed) ha.Order {
	return ha.Order{ID: c.orders.name(c.me.ID), Coordinator: c.me.ID, Generation: c.me.Generation, TTL: c.config.OrderTTL, Deed: deed}
}

// order gives a deed to an agent: to the node's own if it can, else to any other whose node
// is quorate, since the command works from there too. False: no agent could be asked.
func (c *Coordinator) order(maintenance string, deed ha.SetNodeMaintenance, s ha.Snapshot) bool {
	p, ok := c.orders.give(c.obedient(deed.Node, s), pendingOrder{
		order:       c.newOrder(deed),
		maintenance: maintenance, given: time.Now(),
	})
	if ok {
		c.orders.setTrouble(deed.Node, "")
		c.log.Info("order given", "order", p.order.ID, "node", p.agent, "deed", deed.String())
	}
	return ok
}

// obedient lists the nodes whose agents can carry out an order for node, best first: fresh,
// obeying this coordinator, and on a node where /etc/pve can be written.
func (c *Coordinator) obedient(node ha.NodeName, s ha.Snapshot) []ha.NodeName {
	var out []ha.NodeName
	for _, known := range s.Reports {
		r, fresh := s.FreshReport(known.Node)
		if !fresh || r.Generation != c.me.Generation || r.Coordinator != c.me.ID || r.System.PmxcfsMounted && !r.System.PmxcfsWritable {
			continue
		}
		if r.Node == node {
			out = slices.Insert(out, 0, r.Node)
		} else {
			out = append(out, r.Node)
		}
	}
	return out
}

// OrderDone is an agent's answer. NotFound for an order that is not known (an earlier start
// gave it, or its answer came too late): the world tells what became of it.
func (c *Coordinator) OrderDone(_ context.Context, r ha.OrderResult) error {
	p, err := c.orders.answered(r)
	if ha.KindOf(err) == ha.NotFound {
		return c.earlierOrderDone(r, err)
	}
	if err != nil {
		return err
	}
	switch {
	case p.proof != nil:
		return c.proofAnswered(p, r)
	case p.answer != nil:
		p.answer <- r
		return nil
	}
	defer c.soon()
	if why := notDone(r, fmt.Sprintf("%s, as ordered from the agent of %s", p.order.Deed, p.agent)); why != "" {
		return c.orderFailed(p, why)
	}
	c.log.Info("order carried out", "order", r.ID, "node", r.Node, "deed", p.order.Deed.String())
	if p.operation != "" {
		return c.orderedStepDone(p)
	}
	c.orders.setTrouble(orderedNode(p.order.Deed), "")
	return nil // what came of it is journalled when the HA manager shows it
}

// notDone says why an agent did not carry out what it was ordered to; "" if it did.
func notDone(r ha.OrderResult, what string) string {
	switch {
	case r.Refused != "":
		return "refused: " + what + ": " + r.Refused
	case r.Failed != "":
		return "failed: " + what + ": " + r.Failed
	}
	return ""
}

// earlierOrderDone takes the answer to an order that an earlier start gave, or that came too
// late, if it belongs to a step of the open operation: a join takes minutes, and whoever
// ordered it may have been restarted meanwhile. Any other is unknown, and the world tells
// what became of it.
func (c *Coordinator) earlierOrderDone(r ha.OrderResult, unknown error) error {
	open, under := c.Snapshot().OpenOperation()
	if !under {
		return unknown
	}
	for _, st := range open.Steps {
		if st.Ref != r.ID {
			continue
		}
		defer c.soon()
		p := pendingOrder{order: ha.Order{ID: r.ID}, agent: r.Node, operation: open.ID, step: st.Key}
		if why := notDone(r, fmt.Sprintf("%s, as ordered from the agent of %s a while ago", st.Text, r.Node)); why != "" {
			return c.orderFailed(p, why)
		}
		c.log.Info("order of a while ago carried out", "order", r.ID, "node", r.Node, "step", st.Key)
		return c.orderedStepDone(p)
	}
	return unknown
}

// orderFailed journals an order that came to nothing. The planner asks again after a while,
// because it does not see maintenance mode change; until then it is shown as a wait.
func (c *Coordinator) orderFailed(p pendingOrder, text string) error {
	c.log.Warn("order came to nothing", "order", p.order.ID, "node", p.agent, "reason", text)
	if p.operation != "" {
		return c.orderedStepFailed(p, text)
	}
	node := orderedNode(p.order.Deed)
	c.orders.setTrouble(node, text)
	return c.change(time.Now(), func(tx *store.Tx) error {
		return tx.Journal(ha.Event{Type: ha.EventFailed, Node: node, Maintenance: p.maintenance, Text: text})
	})
}

// dropLateOrders gives up waiting for answers that do not come. Whether such an order was
// carried out is unknown; the world will show it.
func (c *Coordinator) dropLateOrders(at time.Time) error {
	for _, p := range c.orders.late(at) {
		if p.proof != nil || p.answer != nil {
			continue // whoever gave it has its own time limit
		}
		if err := c.orderFailed(p, fmt.Sprintf("no answer: %s, as ordered from the agent of %s %s ago; Proxmox will show whether it was done",
			p.order.Deed, p.agent, at.Sub(p.given).Round(time.Second))); err != nil {
			return err
		}
	}
	return nil
}
