package coordinator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// reportBook holds the newest report of each node.
type reportBook struct {
	mu     sync.Mutex
	latest map[ha.NodeName]ha.Report
	dirty  map[ha.NodeName]bool // since they were last written down
}

func (b *reportBook) load(reports []ha.Report) {
	b.latest, b.dirty = make(map[ha.NodeName]ha.Report), make(map[ha.NodeName]bool)
	for _, r := range reports {
		b.latest[r.Node] = r
	}
}

func (b *reportBook) put(r ha.Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[r.Node], b.dirty[r.Node] = r, true
}

// all returns the reports by node.
func (b *reportBook) all() []ha.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.latest), byNode)
}

// take returns what changed since the last take.
func (b *reportBook) take() []ha.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []ha.Report
	for node := range b.dirty {
		out = append(out, b.latest[node])
	}
	clear(b.dirty)
	slices.SortFunc(out, byNode)
	return out
}

func byNode(a, b ha.Report) int { return cmp.Compare(a.Node, b.Node) }

// Report takes an agent's report. Its age counts from now, on our clock: a wrong clock on a
// node must not make an old report look fresh.
func (c *Coordinator) Report(_ context.Context, r ha.Report) error {
	if r.Node == "" {
		return ha.Errorf(ha.Invalid, "a report names no node")
	}
	r.Received = time.Now()
	r.Sort()
	c.reports.put(r)
	return c.heardOf(r.Node, r.Generation, r.Coordinator)
}

// keepReports writes down the reports that came since the last time, if it is time.
func (c *Coordinator) keepReports(s ha.Snapshot) error {
	if s.At.Sub(c.keptAt) < c.config.ReportsKept {
		return nil
	}
	c.keptAt = s.At
	reports := c.reports.take()
	if len(reports) == 0 {
		return nil
	}
	return c.store.Change(s.At, func(tx *store.Tx) error { return tx.SaveReports(reports) })
}
