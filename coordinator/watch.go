package coordinator

import (
	"context"
	"reflect"
	"sync"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A broadcast tells everybody who waits that something changed, not what: who is woken
// looks for himself. So nobody misses the newest state, a slow one misses only what is in
// between, and whoever tells never waits for anybody.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed at the next change. Ask for it before looking.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// follow calls fn with what look returns, now and whenever it is another after b has told of a
// change, until fn or look fails or ctx ends.
func follow[View any](ctx context.Context, b *broadcast, look func() (View, error), fn func(View) error) error {
	var last *View
	for {
		changed := b.next()
		view, err := look()
		if err != nil {
			return err
		}
		if last == nil || !reflect.DeepEqual(*last, view) {
			if err := fn(view); err != nil {
				return err
			}
			last = &view
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// WatchMaintenance calls fn with the newest maintenance of node now and whenever it, its
// waits or its progress change. NotFound if the node never had one.
func (c *Coordinator) WatchMaintenance(ctx context.Context, node ha.NodeName, fn func(ha.MaintenanceView) error) error {
	return follow(ctx, &c.changed, func() (ha.MaintenanceView, error) {
		view, ok := c.newest(node)
		if !ok {
			return view, ha.Errorf(ha.NotFound, "%s has never been in maintenance", node)
		}
		return view, nil
	}, fn)
}

// newest is the view of the newest maintenance of node.
func (c *Coordinator) newest(node ha.NodeName) (ha.MaintenanceView, bool) {
	s, v := c.snapshot()
	for k := len(s.Maintenances) - 1; k >= 0; k-- {
		if m := s.Maintenances[k]; m.Node == node {
			return planner.View(m, v.plans[m.ID], s), true
		}
	}
	return ha.MaintenanceView{}, false
}

// Maintenances returns the newest maintenance of node, or with "" every open one, by ID.
func (c *Coordinator) Maintenances(_ context.Context, node ha.NodeName) ([]ha.MaintenanceView, error) {
	if node != "" {
		if view, ok := c.newest(node); ok {
			return []ha.MaintenanceView{view}, nil
		}
		return nil, nil
	}
	s, v := c.snapshot()
	var views []ha.MaintenanceView
	for _, m := range s.Maintenances {
		if !m.Phase.Closed() {
			views = append(views, planner.View(m, v.plans[m.ID], s))
		}
	}
	return views, nil
}

// eventsPage is how many journal entries are read at a time: the file is not held open for
// a slow reader.
const eventsPage = 256

// Events calls fn with the journal's entries after seq, then, if follow, with new ones as
// they come.
func (c *Coordinator) Events(ctx context.Context, after uint64, follow bool, fn func(ha.Event) error) error {
	for {
		changed := c.changed.next()
		for {
			page, err := c.store.Events(after, eventsPage)
			if err != nil {
				return err
			}
			for _, e := range page {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := fn(e); err != nil {
					return err
				}
				after = e.Seq
			}
			if len(page) < eventsPage {
				break
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
