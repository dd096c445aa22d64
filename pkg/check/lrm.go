package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the HA services of a node.
const (
	LRMNotRunning   ha.Code = "LRM_NOT_RUNNING"
	CRMNotRunning   ha.Code = "CRM_NOT_RUNNING"
	LRMStatusStale  ha.Code = "LRM_STATUS_STALE"
	LRMLockLost     ha.Code = "LRM_LOCK_LOST"
	LRMShuttingDown ha.Code = "LRM_SHUTTING_DOWN"
	HANodeNotOnline ha.Code = "HA_NODE_NOT_ONLINE"
	HANodeDisagrees ha.Code = "HA_NODE_DISAGREES"

	lostAgentLock    = "lost_agent_lock"
	lrmModeActive    = "active"
	lrmModeMaint     = "maintenance"
	lrmModeDisarm    = "disarm"
	lrmRestartRemedy = "systemctl restart pve-ha-lrm; then ha-manager status"
)

var lrmCauses = after(corosyncCauses, NodeNotQuorate, PmxcfsNotMounted)

var lrmChecks = []Check{
	{Code: LRMNotRunning, Title: "the local resource manager runs", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, PmxcfsNotMounted), probes: []string{ha.ProbeLRM}, node: lrmNotRunning},
	{Code: CRMNotRunning, Title: "the cluster resource manager runs", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nodeCauses, PmxcfsNotMounted), probes: []string{ha.ProbeLRM}, node: crmNotRunning},
	{Code: LRMStatusStale, Title: "the local resource manager's status is fresh", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: after(lrmCauses, LRMNotRunning), probes: []string{ha.ProbeLRM}, node: lrmStatusStale},
	{Code: LRMLockLost, Title: "the local resource manager holds its lock", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(lrmCauses, LRMNotRunning), probes: []string{ha.ProbeLRM}, node: lrmLockLost},
	{Code: LRMShuttingDown, Title: "the local resource manager is in service", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: after(lrmCauses, LRMNotRunning), probes: []string{ha.ProbeLRM}, node: lrmShuttingDown},
	{Code: HANodeNotOnline, Title: "the HA manager may use the node", Minimum: ha.Fail, Production: ha.Fail, Hold: slowHold,
		DependsOn: after(lrmCauses, LRMNotRunning), probes: []string{ha.ProbeLRM}, node: haNodeNotOnline},
	{Code: HANodeDisagrees, Title: "the node and the API agree on the node's HA state", Minimum: ha.Warn, Production: ha.Warn, Hold: slowHold,
		DependsOn: after(lrmCauses, APINotAnswering, HADisarmed), parts: []string{partHA}, cluster: haNodeDisagrees},
}

func lrmNotRunning(n node) verdict {
	if !n.HA.LRMRunning {
		return broken("", "there is no pve-ha-lrm process: no HA guest can be started, stopped or moved here", "systemctl status pve-ha-lrm; "+lrmRestartRemedy)
	}
	return pass("", "pve-ha-lrm runs")
}

func crmNotRunning(n node) verdict {
	if !n.HA.CRMRunning {
		return broken("", "there is no pve-ha-crm process: this node could not lead if the master fails", "systemctl restart pve-ha-crm; then ha-manager status")
	}
	return pass("", "pve-ha-crm runs")
}

// lrmStatusStale compares two times of the same clock: the node's own.
func lrmStatusStale(n node) verdict {
	if n.HA.LRMAt.IsZero() || n.Taken.IsZero() {
		return unknown("", "the LRM has written no status")
	}
	age := max(n.Taken.Sub(n.HA.LRMAt), 0)
	if age > statusAgeMax {
		return broken("", fmt.Sprintf("it was last written %s ago; Proxmox calls that dead after %s", span(age), span(statusAgeMax)), lrmRestartRemedy)
	}
	return pass("", "written %s ago: %s, mode %s", span(age), n.HA.LRMState, n.HA.LRMMode)
}

func lrmLockLost(n node) verdict {
	switch n.HA.LRMState {
	case "":
		return unknown("", "the LRM has written no status")
	case lostAgentLock:
		return broken("", "it lost the lock of its node: its watchdog is no longer fed and resets the node within a minute",
			"nothing here: look why the node lost quorum, journalctl -u corosync -u pve-cluster")
	}
	return pass("", "%s", n.HA.LRMState)
}

// lrmShuttingDown: a shut down LRM leaves its last mode in its status file, which is
// what keeps its guests frozen.
func lrmShuttingDown(n node) verdict {
	switch n.HA.LRMMode {
	case "":
		return unknown("", "the LRM has written no status")
	case lrmModeActive:
		return pass("", "mode %s", n.HA.LRMMode)
	case lrmModeMaint:
		return passing("", "mode maintenance: it takes no guests")
	case lrmModeDisarm:
		return passing("", "mode disarm: the HA stack is disarmed")
	}
	return broken("", fmt.Sprintf("mode %s: the node or its LRM is going down, and its HA guests wait for it", n.HA.LRMMode), lrmRestartRemedy)
}

// haNodeNotOnline reads node_status in manager_status, the only reliable sign of what
// the HA manager thinks of the node (series2 recordings, surprise 1).
func haNodeNotOnline(n node) verdict {
	switch n.HA.NodeState {
	case ha.NodeOnline:
		return pass("", "node_status is online")
	case ha.NodeMaintenance:
		return passing("", "node_status is maintenance: it takes no guests until psw maintenance end %s", n.Node)
	case "":
		if n.HA.Master == "" {
			return skip("", "the HA manager was never used here")
		}
		return unknown("", "manager_status does not mention this node")
	}
	return broken("", fmt.Sprintf("node_status is %s: no HA guest is started here", n.HA.NodeState),
		"wait one minute after a boot; then systemctl restart pve-ha-lrm here and look at journalctl -u pve-ha-crm on the master")
}

func haNodeDisagrees(w *world) []verdict {
	var list []verdict
	for _, name := range w.nodes {
		r, why, ok := w.answered(name, ha.ProbeLRM)
		api, known := w.s.Inventory.HA.Node(name)
		subject := string(name)
		switch {
		case !ok:
			list = append(list, unknown(subject, "%s", why))
		case !known && r.HA.NodeState == "":
			list = append(list, skip(subject, "the HA manager was never used"))
		case !known:
			list = append(list, unknown(subject, "the API does not tell the HA state of this node"))
		case api.State != r.HA.NodeState:
			list = append(list, broken(subject, fmt.Sprintf("the API calls it %s, its own /etc/pve %s", api.State, r.HA.NodeState),
				"a moment later it should be settled; if not: systemctl status pve-cluster here"))
		default:
			list = append(list, pass(subject, "both call it %s", api.State))
		}
	}
	return list
}
