package vm

import (
	"fmt"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// roundsMax is what is promised: a fault is in the first report that is begun after it, or
// in the one after that.
const roundsMax = 2

// AwaitInTwoReports waits for what a story has just broken to be reported, and fails if two
// reports that the node's agent began after this call do not have it. Reports are counted,
// and times are the node's own clock's: a host that is busy with other things makes a round
// slower, but not more of them. missing returns what a report lacks, or nothing.
func (l *Lab) AwaitInTwoReports(n *Node, what string, limit time.Duration, missing func(ha.Report) string) ha.Report {
	l.t.Helper()
	var newest, found ha.Report
	rounds := 0
	since := n.Clock()
	l.Await(n.m.name+" reports "+what, limit, func(v View) string {
		r, ok := v.Report(n.m.name)
		if !ok || !r.Taken.After(newest.Taken) {
			return fmt.Sprintf("no new report; after %d new ones: %s", rounds, missing(newest))
		}
		newest = r
		if r.Taken.After(since) {
			rounds++
		}
		why := missing(r)
		if why == "" {
			found = r
			return ""
		}
		if rounds >= roundsMax {
			l.t.Fatalf("%d reports of %s that were begun after the break do not have it: %s", rounds, n.m.name, why)
		}
		return why
	})
	l.t.Logf("          in report %d of those begun since; it was out %.1f s after the break, by the node's clock (two intervals are %s)",
		rounds, found.Taken.Add(found.Took).Sub(since).Seconds(), roundsMax*ha.ReportInterval)
	return found
}
