package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the services of a node, and on what they left undone.
const (
	HAUnitFailed    ha.Code = "HA_UNIT_FAILED"
	HAUnitDisabled  ha.Code = "HA_UNIT_DISABLED"
	CRMCommandStale ha.Code = "CRM_COMMAND_STALE"
	LRMJobFailed    ha.Code = "LRM_JOB_FAILED"
)

var unitChecks = []Check{
	{Code: HAUnitFailed, Title: "no service that HA needs has failed", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, CorosyncNotRunning, WatchdogMuxNotRunning), probes: []string{ha.ProbeUnits}, node: haUnitFailed},
	{Code: HAUnitDisabled, Title: "the services that HA needs start at boot", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeUnits}, node: haUnitDisabled},
	{Code: CRMCommandStale, Title: "the HA manager takes its commands", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(corosyncCauses, NodeNotQuorate, PmxcfsNotMounted, HADisarmed, CRMMasterStale), probes: []string{ha.ProbeLRM}, node: crmCommandStale},
	{Code: LRMJobFailed, Title: "the LRM's last jobs went well", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: after(lrmCauses, LRMNotRunning), probes: []string{ha.ProbeLRM}, node: lrmJobFailed},
}

// haUnits are the services without which a node protects nothing.
var haUnits = []string{"corosync", "pve-cluster", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"}

func unitsUnknown(n node) (verdict, bool) {
	if len(n.Units) == 0 {
		return unknown("", "the agent reports no service"), true
	}
	return verdict{}, false
}

func haUnitFailed(n node) verdict {
	if v, ok := unitsUnknown(n); ok {
		return v
	}
	var failed []string
	for _, u := range n.Units {
		switch {
		case !slices.Contains(haUnits, u.Name):
		case u.Active == "failed":
			failed = append(failed, u.Name+" has failed")
		case u.Sub == "auto-restart":
			failed = append(failed, fmt.Sprintf("%s dies and is started again (%d times)", u.Name, u.Restarts))
		}
	}
	if len(failed) > 0 {
		name, _, _ := strings.Cut(failed[0], " ")
		return broken("", joined(failed), fmt.Sprintf("journalctl -u %s -n 50; systemctl restart %s; the safe order is corosync, pve-cluster, watchdog-mux, pve-ha-crm, pve-ha-lrm", name, name))
	}
	return pass("", "%s", number(len(n.Units), "service"))
}

func haUnitDisabled(n node) verdict {
	if v, ok := unitsUnknown(n); ok {
		return v
	}
	var off []string
	for _, u := range n.Units {
		if slices.Contains(haUnits, u.Name) && (u.Enabled == "disabled" || u.Enabled == "masked") {
			off = append(off, u.Name)
		}
	}
	if len(off) > 0 {
		list := strings.Join(off, " ")
		return broken("", joined(off)+" would not start with the next boot: the node comes back without HA", fmt.Sprintf("systemctl unmask %s; systemctl enable %s", list, list))
	}
	return pass("", "none is disabled")
}

// commandAgeMax: the master takes its commands every 10 s; what is older by several rounds
// was never taken.
const commandAgeMax = time.Minute

func crmCommandStale(n node) verdict {
	h := n.HA
	age := n.Taken.Sub(h.CommandsAt)
	switch {
	case h.Commands == 0:
		return pass("", "no command waits")
	case h.CommandsAt.IsZero():
		return unknown("", "%s, since when is not known", waiting(h.Commands))
	case age > commandAgeMax:
		return broken("", fmt.Sprintf("%s for %s; the master takes them every 10 s", waiting(h.Commands), span(age)),
			fmt.Sprintf("on %s, the master: systemctl restart pve-ha-crm, then ha-manager status; what stands in /etc/pve/ha/crm_commands is done then", h.Master))
	}
	return pass("", "%s for %s", waiting(h.Commands), span(max(age, 0)))
}

func waiting(n int) string {
	if n == 1 {
		return "1 command waits"
	}
	return fmt.Sprintf("%d commands wait", n)
}

// exitCodes are what the LRM's jobs end with (pve-ha-manager 5.2.0).
var exitCodes = map[int]string{
	1: "error", 3: "the guest is on another node", 4: "unknown type of guest", 5: "unknown command",
	6: "invalid parameter", 7: "the guest has no configuration", 255: "the worker died",
}

// Codes that mean no fault: the job is tried again, or was not needed.
const (
	exitAgain   = 2
	exitIgnored = 8
)

func lrmJobFailed(n node) verdict {
	var failed []string
	for _, f := range n.HA.Failed {
		if f.ExitCode == exitAgain || f.ExitCode == exitIgnored {
			continue
		}
		why := exitCodes[f.ExitCode]
		if why == "" {
			why = "no code Proxmox documents"
		}
		text := fmt.Sprintf("%s to be %s ended with %d (%s)", f.SID, f.State, f.ExitCode, why)
		if wrote := f.Wrote(); wrote != "" {
			text += ": " + wrote
		}
		failed = append(failed, text)
	}
	if len(failed) > 0 {
		return broken("", joined(failed), fmt.Sprintf("journalctl -u pve-ha-lrm -n 50 on %s names the task that failed, and that its reason: storage, memory, a missing device, the start order", n.Node))
	}
	return pass("", "none failed")
}
