package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what a node's processes wait for.
const (
	ProcessesStuck  ha.Code = "PROCESSES_STUCK"
	StoragePressure ha.Code = "STORAGE_PRESSURE"
)

// Limits on waiting. A minute is longer than any disk takes, a rebuild included, and as long
// as the HA manager gives a node that has lost its quorum.
const (
	stuckMax    = time.Minute
	pressureMax = 0.5
)

var stallChecks = []Check{
	{Code: ProcessesStuck, Title: "no process hangs in the kernel", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle,
		DependsOn: after(mountCauses, NFSWriteFailed), probes: []string{ha.ProbeStalls}, node: processesStuck},
	{Code: StoragePressure, Title: "work does not stand still for storage", Minimum: ha.Notice, Production: ha.Warn, Settle: slowSettle,
		DependsOn: after(mountCauses, NFSWriteFailed, ProcessesStuck), probes: []string{ha.ProbeStalls}, node: storagePressure},
}

// processesStuck finds the node that is quorate and dead all the same: its storage does not
// answer, its processes hang, and since corosync needs no disk nobody fences it.
func processesStuck(n node) verdict {
	s := n.Stalls
	if !s.Looked {
		return unknown("", "the agent does not tell what processes wait for")
	}
	var names []string
	for _, p := range s.Stuck {
		if p.For >= stuckMax {
			what := fmt.Sprintf("%s (process %d", p.Name, p.PID)
			if !p.SID.IsZero() {
				what += ", " + p.SID.String()
			}
			names = append(names, what+")")
		}
	}
	switch {
	case len(names) > 0:
		others := ""
		if more := s.StuckCount - len(s.Stuck); more > 0 {
			others = fmt.Sprintf(" and %d more", more)
		}
		return broken("", fmt.Sprintf("for up to %s these have been waiting in the kernel: %s%s; the node keeps its vote and its quorum, so that the HA manager moves nobody off it",
			span(s.Stuck[0].For), strings.Join(names, ", "), others),
			fmt.Sprintf("on %s: cat /proc/%d/stack and dmesg name what is waited for; mend that. If it stays, move what still moves (psw maintenance start %s) and reset the node: nothing else will",
				n.Node, s.Stuck[0].PID, n.Node))
	case s.Watched < stuckMax:
		return skip("", "processes were watched for %s: that is too short to tell", span(s.Watched))
	}
	return pass("", "none has waited for %s", span(stuckMax))
}

func storagePressure(n node) verdict {
	s := n.Stalls
	switch {
	case !s.Looked:
		return unknown("", "the agent does not tell how long work stands still")
	case !s.PressureKnown:
		return skip("", "this kernel does not tell its pressure (psi=1 on its command line has it tell)")
	case s.Pressure > pressureMax:
		return broken("", fmt.Sprintf("for %.0f %% of the last minute everything that had work to do waited for storage", 100*s.Pressure),
			"on the node: cat /proc/pressure/io; iostat -x 5; a backup, a rebuild, a failing disk, a storage that is too slow for what runs here")
	}
	return pass("", "%.0f %% of the last minute", 100*s.Pressure)
}
