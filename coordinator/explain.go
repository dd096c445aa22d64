package coordinator

import (
	"context"
	"slices"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// How much of the journal an explanation looks through, and how much of it is told.
const (
	explainLookBack = 2000
	explainEvents   = 10
)

// Explain says why a target is not where, or as, it should be, by what is known at this
// moment.
func (c *Coordinator) Explain(ctx context.Context, target string, p *ha.Policy) (ha.Explanation, error) {
	s, err := c.latest(ctx)
	if err != nil {
		return ha.Explanation{}, err
	}
	if p != nil {
		s.Policy = *p
	}
	e, err := planner.Explain(s, target)
	if err != nil {
		return e, err
	}
	verdict := c.seen.Load().published[check.Minimum].Since(check.Judge(s, ha.CheckRequest{Target: target}))
	for _, f := range check.Mute(verdict, c.store.Mutes(), s.At).Findings {
		if f.Status.Gravity() > 0 && (f.Subject == target || f.Subject == string(e.Node) || f.Subject == "cluster" || f.Status == ha.Fail) {
			e.Findings = append(e.Findings, f)
		}
	}
	if e.SID.IsZero() {
		return e, nil
	}
	_, _, err = c.store.LastEvent(explainLookBack, func(ev ha.Event) bool {
		if ev.SID == e.SID {
			e.Events = append(e.Events, ev)
		}
		return len(e.Events) == explainEvents
	})
	slices.Reverse(e.Events)
	return e, err
}
