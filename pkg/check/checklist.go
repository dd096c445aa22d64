package check

import "github.com/casaeureka/psw-ha/pkg/ha"

// Codes of the production checklist: what no probe can see, and an operator vouches for.
const (
	UPSUnconfirmed           ha.Code = "UPS_UNCONFIRMED"
	PowerSuppliesUnconfirmed ha.Code = "POWER_SUPPLIES_UNCONFIRMED"
	SystemDisksUnconfirmed   ha.Code = "SYSTEM_DISKS_UNCONFIRMED"
	RestoreUntried           ha.Code = "RESTORE_UNTRIED"
	RunbookUnknown           ha.Code = "RUNBOOK_UNKNOWN"
)

var checklistChecks = []Check{
	{Code: UPSUnconfirmed, Title: "a UPS that is watched feeds the node", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: upsUnconfirmed},
	{Code: PowerSuppliesUnconfirmed, Title: "the node has two power supplies on two circuits", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: perNode(powerSupplies)},
	{Code: SystemDisksUnconfirmed, Title: "the node's system disks are mirrored", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: perNode(systemDisks)},
	{Code: RestoreUntried, Title: "a backup was restored, for a try", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: restoreUntried},
	{Code: RunbookUnknown, Title: "the failover by hand is written down and known", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: runbookUnknown},
}

// perNode asks of each declared node.
func perNode(ask func(w *world, name ha.NodeName) verdict) func(*world) []verdict {
	return func(w *world) []verdict {
		var list []verdict
		for _, name := range w.policy.Cluster.Nodes {
			list = append(list, ask(w, name))
		}
		if list == nil {
			return []verdict{skip(clusterSubject, "the project declares no nodes")}
		}
		return list
	}
}

func upsUnconfirmed(w *world) []verdict {
	return perNode(func(w *world, name ha.NodeName) verdict {
		if h, ok := w.policy.Host(name); ok && len(h.UPS) > 0 {
			return pass(string(name), "%s", joined(h.UPS))
		}
		return w.vouched(ha.AckUPS, name, string(name), "nobody says that a UPS feeds it: a short power cut takes every node at once, and HA has nowhere to go",
			"declare it (management.hosts."+string(name)+".ups: [NAME@HOST]), and let NUT shut the nodes down in time")
	})(w)
}

func powerSupplies(w *world, name ha.NodeName) verdict {
	return w.vouched(ha.AckPowerSupplies, name, string(name), "nobody says that it has two", "look at the machine: two power supplies, on two circuits or UPS")
}

func systemDisks(w *world, name ha.NodeName) verdict {
	return w.vouched(ha.AckSystemDisks, name, string(name), "nobody says that they are", "zpool status rpool, or the RAID controller's tool, tells")
}

func restoreUntried(w *world) []verdict {
	return []verdict{w.vouched(ha.AckRestoreTried, "", clusterSubject, "nobody says so: HA does not help against what is deleted or encrypted, and a backup nobody restored is a hope",
		"restore one guest to a spare VMID, start it without its network, look into it, delete it")}
}

func runbookUnknown(w *world) []verdict {
	return []verdict{w.vouched(ha.AckRunbookKnown, "", clusterSubject, "nobody says so: when the tools are down with the cluster, paper is left",
		"write down who decides, and the commands of docs/operating.md, with this cluster's names; print it")}
}
