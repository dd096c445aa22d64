package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what is declared.
const (
	PolicyMissing     ha.Code = "POLICY_MISSING"
	ClusterTooSmall   ha.Code = "CLUSTER_TOO_SMALL"
	TargetsAllHA      ha.Code = "TARGETS_ALL_HA"
	BMCUndeclared     ha.Code = "BMC_UNDECLARED"
	NFSServerOnNode   ha.Code = "NFS_SERVER_ON_NODE"
	NFSSingleServer   ha.Code = "NFS_SINGLE_SERVER"
	StorageUndeclared ha.Code = "STORAGE_UNDECLARED"
)

var projectChecks = []Check{
	{Code: PolicyMissing, Title: "a project says what is wanted", Minimum: ha.Fail, Production: ha.Fail, cluster: policyMissing},
	{Code: ClusterTooSmall, Title: "the cluster has three votes or more", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{PolicyMissing}, cluster: clusterTooSmall},
	{Code: StorageUndeclared, Title: "shared storage is declared", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: storageUndeclared},
	{Code: TargetsAllHA, Title: "HA protects what needs it, not everything", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{PolicyMissing}, cluster: targetsAllHA},
	{Code: NFSServerOnNode, Title: "the NFS server is no node of the cluster it serves", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: nfsServerOnNode},
	{Code: NFSSingleServer, Title: "the shared storage is no single point of failure", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{PolicyMissing}, cluster: nfsSingleServer},
	{Code: BMCUndeclared, Title: "every node can be fenced by its BMC", Production: ha.Warn,
		DependsOn: []ha.Code{PolicyMissing}, cluster: bmcUndeclared},
}

// policyMissing stands for "nothing to judge by": an empty project must not make an
// empty, and therefore ready, judgement.
func policyMissing(w *world) []verdict {
	p := w.policy
	if len(p.Cluster.Nodes) == 0 && len(p.Targets) == 0 {
		return []verdict{broken(clusterSubject, "no project is known, so nothing is declared that could be protected",
			"psw -C DIR ha check, where DIR is the folder that holds network.yml")}
	}
	if len(w.targets) == 0 {
		return []verdict{passing(clusterSubject, "project %s declares no target with ha: true: nothing is protected", p.Project)}
	}
	return []verdict{pass(clusterSubject, "project %s: %d of %d targets are ha: true", p.Project, len(w.targets), len(p.Targets))}
}

func clusterTooSmall(w *world) []verdict {
	c := w.policy.Cluster
	if len(c.Nodes) == 0 {
		return []verdict{skip(clusterSubject, "the project declares no cluster")}
	}
	if members := len(w.s.Inventory.Nodes); len(c.Nodes) < 3 && members >= 3 && w.s.InventoryFresh() {
		return []verdict{pass(clusterSubject, "%d nodes are declared, the cluster has %d", len(c.Nodes), members)}
	}
	votes := len(c.Nodes)
	if c.QDevice != nil {
		votes++
	}
	switch {
	case votes >= 3 && len(c.Nodes) >= 3:
		return []verdict{pass(clusterSubject, "%d nodes are declared", len(c.Nodes))}
	case votes >= 3:
		return []verdict{pass(clusterSubject, "%d nodes and a QDevice on %s are declared", len(c.Nodes), c.QDevice.Host)}
	}
	return []verdict{broken(clusterSubject,
		fmt.Sprintf("%d nodes without a QDevice: when one is lost the other has no majority and does nothing", len(c.Nodes)),
		"add a third node to cluster.nodes, or cluster.qdevice: {host: ADDRESS} and pvecm qdevice setup ADDRESS")}
}

func storageUndeclared(w *world) []verdict {
	switch {
	case w.policy.Cluster.Storage != nil:
		st := w.policy.Cluster.Storage
		return []verdict{pass(clusterSubject, "%s:%s on %s", st.Server, st.Export, st.Mount)}
	case len(w.targets) == 0:
		return []verdict{skip(clusterSubject, "no target has ha: true")}
	}
	return []verdict{broken(clusterSubject, "targets have ha: true, but network.yml declares no shared_storage; their disks are judged by what Proxmox says",
		"add cluster.shared_storage: {type: nfs, server: ADDRESS, export: PATH, mount: PATH}")}
}

func targetsAllHA(w *world) []verdict {
	total := 0
	for _, t := range w.policy.Targets {
		if t.Type != ha.TargetBare {
			total++
		}
	}
	if total > 1 && len(w.targets) == total {
		return []verdict{broken(clusterSubject, fmt.Sprintf("all %d targets have ha: true: each must find room on the survivors when a node is lost", total),
			"remove ha: true from targets nobody misses for a few hours")}
	}
	return []verdict{pass(clusterSubject, "%d of %d targets", len(w.targets), total)}
}

func nfsServerOnNode(w *world) []verdict {
	st := w.policy.Cluster.Storage
	if st == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	for _, h := range w.policy.Hosts {
		if w.declared(h.Name) && (st.Server == h.IP.String() || st.Server == string(h.Name)) {
			return []verdict{broken(clusterSubject, fmt.Sprintf("%s is node %s: when it is lost, every target loses its disk at the same moment", st.Server, h.Name),
				"serve the export from a machine outside the cluster")}
		}
	}
	return []verdict{pass(clusterSubject, "%s", st.Server)}
}

func nfsSingleServer(w *world) []verdict {
	st := w.policy.Cluster.Storage
	if st == nil {
		return w.undeclaredServers()
	}
	if st.Redundant {
		return []verdict{pass(clusterSubject, "%s is declared redundant", st.Server)}
	}
	return []verdict{broken(clusterSubject, fmt.Sprintf("every target's disk is on %s: HA does not survive its loss, whatever the nodes do", st.Server),
		"know it, monitor it, back it up; if it survives the loss of a machine, say so: shared_storage.redundant: true")}
}

// undeclaredServers looks at the storages themselves where none is declared.
func (w *world) undeclaredServers() []verdict {
	for _, s := range w.s.Inventory.Storages {
		switch s.Type {
		case "nfs", "cifs", "iscsi", "iscsidirect", "glusterfs":
			if !s.Disabled && s.Server != "" {
				return []verdict{broken(clusterSubject, fmt.Sprintf("storage %s (%s) is on %s alone: what lies there does not survive its loss", s.Name, s.Type, s.Server),
					"know it, monitor it, back it up; declare it as shared_storage, with redundant: true if it survives the loss of a machine")}
			}
		}
	}
	return []verdict{skip(clusterSubject, "no shared storage is declared")}
}

func bmcUndeclared(w *world) []verdict {
	var list []verdict
	for _, name := range w.policy.Cluster.Nodes {
		h, ok := w.policy.Host(name)
		switch {
		case !ok:
			list = append(list, skip(string(name), "it is no management host"))
		case h.BMC == nil:
			there := ""
			if r, _, ok := w.answered(name, ha.ProbeHardware); ok && r.Hardware.IPMI {
				there = " (the machine has one: /dev/ipmi0)"
			}
			list = append(list, broken(string(name), "no BMC is declared"+there+": the watchdog is the only thing that can take this node down",
				fmt.Sprintf("management.hosts.%s.bmc: {address: ADDRESS, secret: NAME} in network.yml", name)))
		default:
			list = append(list, pass(string(name), "%s", h.BMC.Address))
		}
	}
	return list
}
