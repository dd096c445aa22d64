package coordinator

import (
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// sweepAgain is how long it takes until a removal is asked for again.
	sweepAgain = 30 * time.Second
	// sweepMax is for how long it is asked for. Words of that age are removed by whoever
	// writes to the storage next.
	sweepMax = time.Hour
)

// sweepings are the words of proofs that are still to be removed, by whom. They are not
// stored: after a restart the next proof of the storage removes them.
type sweepings struct {
	mu   sync.Mutex
	left []sweeping
}

type sweeping struct {
	proof        ha.Proof
	order        planner.NodeOrder
	asked, until time.Time
}

// add notes what a proof that has ended has left behind.
func (w *sweepings) add(p ha.Proof, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range planner.Sweep(p) {
		if !slices.ContainsFunc(w.left, func(s sweeping) bool { return s.order == o }) {
			w.left = append(w.left, sweeping{proof: p, order: o, until: at.Add(sweepMax)})
		}
	}
}

// done notes that a removal was carried out.
func (w *sweepings) done(o planner.NodeOrder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = slices.DeleteFunc(w.left, func(s sweeping) bool { return s.order == o })
}

// due are the removals to ask for now.
func (w *sweepings) due(at time.Time) []sweeping {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = slices.DeleteFunc(w.left, func(s sweeping) bool { return at.After(s.until) })
	var out []sweeping
	for k := range w.left {
		if s := &w.left[k]; at.Sub(s.asked) >= sweepAgain {
			s.asked = at
			out = append(out, *s)
		}
	}
	return out
}

// sweepProofs asks for the removals that are due. An agent that is not connected, or a file
// system that does not answer, is asked again later.
func (c *Coordinator) sweepProofs(at time.Time) {
	for _, s := range c.sweepings.due(at) {
		c.giveProofOrder(s.proof, s.order)
	}
}
