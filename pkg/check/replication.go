package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on replication, which is not shared storage.
const (
	TargetReplicated      ha.Code = "TARGET_REPLICATED"
	TargetReplicaMissing  ha.Code = "TARGET_REPLICA_MISSING"
	TargetReplicationFail ha.Code = "TARGET_REPLICATION_FAILING"
)

var replicationChecks = []Check{
	{Code: TargetReplicaMissing, Title: "a replicated target has its copy wherever it may run", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(configCauses, TargetDiskLocal), parts: guestParts, target: targetReplicaMissing},
	{Code: TargetReplicationFail, Title: "the target's replication succeeds", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(configCauses, TargetDiskLocal), parts: guestParts, target: targetReplicationFailing},
	{Code: TargetReplicated, Title: "a failover loses nothing that was written", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: after(configCauses, TargetDiskLocal), parts: guestParts, target: targetReplicated},
}

// replications are the enabled jobs of a target, as the node sees them on which the
// guest's configuration lies. The verdict answers where that is not known.
func (w *world) replications(m managed) (jobs []ha.Replication, v verdict, ok bool) {
	if m.err != nil {
		return nil, unknown("", "%v", m.err), false
	}
	r, why, ok := w.answered(m.guest.Node, ha.ProbeStorage)
	if !ok {
		v := unknown("", "%s", why)
		v.on = m.guest.Node
		return nil, v, false
	}
	for _, j := range r.Replications {
		if j.SID == m.guest.SID && !j.Disabled {
			jobs = append(jobs, j)
		}
	}
	return jobs, verdict{}, true
}

// judgeReplicas judges a target that is replicated; others it does not concern.
func (w *world) judgeReplicas(m managed, judge func([]ha.Replication) verdict) verdict {
	jobs, v, ok := w.replications(m)
	switch {
	case !ok:
		return v
	case len(jobs) == 0:
		return skip("", "it is not replicated")
	}
	return judge(jobs)
}

func targetReplicaMissing(w *world, m managed) verdict {
	return w.judgeReplicas(m, func(jobs []ha.Replication) verdict {
		var without, with []ha.NodeName
		for _, name := range w.allowedNodes(m) {
			if name == m.guest.Node || slices.ContainsFunc(jobs, func(j ha.Replication) bool { return j.Target == name }) {
				with = append(with, name)
			} else {
				without = append(without, name)
			}
		}
		if len(without) > 0 {
			return broken("", fmt.Sprintf("%s may be started on %s, where there is no copy of its disk", m.guest.SID, joined(without)),
				fmt.Sprintf("pvesr create-local-job %d-1 %s, or ha_options: {nodes: [%s], strict: true} in network.yml", m.guest.SID.ID, without[0], joined(with)))
		}
		return pass("", "copies on %s", joined(with))
	})
}

// replicationFailuresMax: one failed run is made good by the next.
const replicationFailuresMax = 1

func targetReplicationFailing(w *world, m managed) verdict {
	return w.judgeReplicas(m, func(jobs []ha.Replication) verdict {
		for _, j := range jobs {
			since := "it has never succeeded"
			if !j.LastSync.IsZero() {
				since = "the last good copy is " + span(w.s.At.Sub(j.LastSync)) + " old"
			}
			switch {
			case j.Failures > replicationFailuresMax:
				return broken("", fmt.Sprintf("job %s to %s has failed %d times (%s): %s", j.ID, j.Target, j.Failures, orNone(j.Error), since), "pvesr status; pvesr run --id "+j.ID+" --verbose")
			case j.LastSync.IsZero():
				return unknown("", "job %s to %s has not run yet", j.ID, j.Target)
			}
		}
		return pass("", "%s", number(len(jobs), "job"))
	})
}

// targetReplicated says what is lost: everything since the last run.
func targetReplicated(w *world, m managed) verdict {
	jobs, v, ok := w.replications(m)
	switch {
	case !ok:
		return v
	case len(jobs) == 0:
		return pass("", "it is not replicated")
	}
	texts := make([]string, len(jobs))
	for k, j := range jobs {
		schedule := j.Schedule
		if schedule == "" {
			schedule = "*/15"
		}
		texts[k] = fmt.Sprintf("to %s every %s", j.Target, schedule)
	}
	return broken("", fmt.Sprintf("%s is replicated %s: what it wrote since the last run is lost with its node", m.guest.SID, strings.Join(texts, ", ")),
		"use shared storage if that may not be; or a shorter schedule: pvesr update "+jobs[0].ID+" --schedule '*/1'")
}
