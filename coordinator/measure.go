package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// How hard the pause of a live migration is looked for. It stands in the task's log on the
// source node, which may well be powered off a minute later: so soon, a few times, and
// never so that a drain waits for it.
const (
	pauseTries    = 4 // per move
	pauseCallsMax = 4 // per tick; each costs one API call
	pauseAgeMax   = 10 * time.Minute
	// taskClockSlack: a task's times are its node's clock in whole seconds, Asked is ours.
	taskClockSlack = 10 * time.Second
)

// A pause names a live move whose pause is to be measured.
type pause struct {
	maintenance string
	sid         ha.SID
	asked       int64 // unix nanoseconds
}

// measure fills in the pause of live moves that are done: from the log of their qmigrate
// task, which the HA manager's moves have as well. What cannot be measured stays 0.
func (c *Coordinator) measure(ctx context.Context, s ha.Snapshot) error {
	calls := 0
	var faults []error
	for _, m := range s.Maintenances {
		for _, mv := range m.Moves {
			if mv.Method != ha.MethodLive || mv.Done.IsZero() || mv.Downtime != 0 || s.At.Sub(mv.Done) > pauseAgeMax {
				continue
			}
			p := pause{maintenance: m.ID, sid: mv.SID, asked: mv.Asked.UnixNano()}
			task, ok := liveTask(mv, s.Inventory.Tasks)
			if !ok || c.pauses[p] >= pauseTries || calls >= pauseCallsMax || ctx.Err() != nil {
				continue
			}
			calls++
			c.pauses[p]++
			took, said, err := c.pve.Downtime(ctx, task.UPID)
			switch {
			case err != nil:
				c.log.Debug("pause of a live migration not readable", "sid", mv.SID.String(), "upid", task.UPID, "error", err)
			case !said:
				c.pauses[p] = pauseTries // the log is complete and does not say
			default:
				faults = append(faults, c.notePause(m, mv, took, s.At))
			}
		}
	}
	for p := range c.pauses { // moves too old to measure
		if s.At.UnixNano()-p.asked > int64(24*time.Hour) {
			delete(c.pauses, p)
		}
	}
	return errors.Join(faults...)
}

// liveTask finds the task that was the move: the latest successful qmigrate of the guest on
// the source node since it was asked for.
func liveTask(mv ha.Move, tasks []ha.Task) (ha.Task, bool) {
	for _, t := range tasks { // newest first
		if t.Type == "qmigrate" && t.ID == strconv.Itoa(mv.SID.ID) && t.Node == mv.From && !t.Ended.IsZero() &&
			!t.Started.Before(mv.Asked.Add(-taskClockSlack)) {
			return t, true
		}
	}
	return ha.Task{}, false
}

func (c *Coordinator) notePause(m ha.Maintenance, mv ha.Move, took time.Duration, at time.Time) error {
	return c.change(at, func(tx *store.Tx) error {
		if _, err := tx.Amend(m.ID, func(now ha.Maintenance) (ha.Maintenance, error) {
			for k := range now.Moves {
				if now.Moves[k].SID == mv.SID && now.Moves[k].Asked.Equal(mv.Asked) {
					now.Moves[k].Downtime = took
				}
			}
			return now, nil
		}); err != nil {
			return err
		}
		return tx.Journal(ha.Event{Type: ha.EventDone, Node: m.Node, SID: mv.SID, Maintenance: m.ID,
			Text: fmt.Sprintf("%s stood still for %s while it moved to %s", mv.SID, took, mv.To)})
	})
}
