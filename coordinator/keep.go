package coordinator

import (
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// keepHold is for how long something must have drifted before it is put right. Who edits HA
// by hand types more than one command, and should not be interrupted between two of them.
const keepHold = time.Minute

// keep asks for an apply, as an operator would, when what is registered has drifted from
// what was applied with --keep and nothing speaks against it. What holds it back is told by
// the checks: the drift itself is a finding for as long as it is there.
func (c *Coordinator) keep(s ha.Snapshot, closed []ha.Blocker) error {
	op, due, why := planner.Keep(s)
	if !due || len(closed) > 0 {
		if why != "" {
			c.log.Debug("drift is left as it is", "why", why)
		}
		c.driftSince = time.Time{}
		return nil
	}
	if c.driftSince.IsZero() {
		c.driftSince = s.At
	}
	if s.At.Sub(c.driftSince) < keepHold {
		return nil
	}
	blockers, _ := check.Blockers(s, &op.Policy, op.Options.Accept)
	if blockers = withoutAbsent(blockers); len(blockers) > 0 {
		c.log.Debug("drift is left as it is: HA is not ready", "check", string(blockers[0].Code), "subject", blockers[0].Subject)
		return nil
	}
	c.driftSince = time.Time{}
	c.asking.Lock()
	defer c.asking.Unlock()
	if _, open := c.Snapshot().OpenOperation(); open {
		return nil // an operator was faster
	}
	op.RequestedAt = time.Now().UTC()
	err := c.change(op.RequestedAt, func(tx *store.Tx) (err error) {
		if op, err = tx.CreateOperation(op); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventRequested, Operation: op.ID,
			Text: "what is registered has drifted from what was applied (" + op.Message + "); it is put right, as `psw ha apply --keep` asked"})
	})
	if err == nil {
		c.soon()
	}
	return err
}
