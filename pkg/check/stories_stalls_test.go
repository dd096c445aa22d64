package check_test

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func stalled(name ha.NodeName, change func(s *ha.Stalls)) func(s *ha.Snapshot) {
	return on(name, func(r *ha.Report) { change(&r.Stalls) })
}

var stallStories = map[ha.Code]story{
	check.ProcessesStuck: {
		wrong: stalled("node2", func(s *ha.Stalls) {
			s.StuckCount = 12
			s.Stuck = []ha.StuckProcess{{PID: 1002, Name: "kvm", SID: ha.MustSID("vm:102"), For: 4 * time.Minute}, {PID: 900, Name: "pvestatd", For: 3 * time.Minute}, {PID: 7, Name: "dd", For: 5 * time.Second}}
		}),
		subject: "node2", says: "for up to 4 min these have been waiting in the kernel: kvm (process 1002, vm:102), pvestatd (process 900) and 9 more; the node keeps its vote",
		blind: noProbe("node2", ha.ProbeStalls),
	},
	check.StoragePressure: {
		wrong:   stalled("node2", func(s *ha.Stalls) { s.Pressure = 0.63 }),
		subject: "node2", says: "for 63 % of the last minute everything that had work to do waited for storage", blind: stalled("node2", func(s *ha.Stalls) { *s = ha.Stalls{} }),
	},
	check.CorosyncLatencyPeaks: {
		wrong:   corosync("node2", func(c *ha.Corosync) { c.Links[1].LatencyMax = 1200 * time.Millisecond }),
		subject: "node2", says: "once it was 1200 ms on link 1 to node1; at 1825 ms the link counts as down",
		blind: corosync("node2", func(c *ha.Corosync) {
			for k := range c.Links {
				c.Links[k].LatencyMax = 0
			}
		}),
	},
	check.FailoverUnseen: {
		wrong:   func(s *ha.Snapshot) { s.Witnessed.Failover = ha.FailoverSeen{} },
		subject: "cluster", says: "never tested: everything above was configured and checked, but no guest was seen to start elsewhere", seen: "it is our own memory",
	},
}
