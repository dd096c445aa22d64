package check

import "github.com/casaeureka/psw-ha/pkg/ha"

// Codes of the checks on the cluster file system.
const (
	PmxcfsNotMounted ha.Code = "PMXCFS_NOT_MOUNTED"
	PmxcfsReadOnly   ha.Code = "PMXCFS_READ_ONLY"
)

var pmxcfsChecks = []Check{
	{Code: PmxcfsNotMounted, Title: "the cluster file system is mounted", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbePmxcfs}, node: pmxcfsNotMounted},
	{Code: PmxcfsReadOnly, Title: "the cluster file system is writable", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(corosyncCauses, NodeNotQuorate, PmxcfsNotMounted), probes: []string{ha.ProbePmxcfs}, node: pmxcfsReadOnly},
}

func pmxcfsNotMounted(n node) verdict {
	if !n.System.PmxcfsMounted {
		return broken("", "/etc/pve/local does not exist: without it nothing of HA works here", "systemctl status pve-cluster; journalctl -u pve-cluster -n 50")
	}
	return pass("", "/etc/pve")
}

func pmxcfsReadOnly(n node) verdict {
	if !n.System.PmxcfsWritable {
		return broken("", "/etc/pve is read-only here, which is how Proxmox shows that quorum is missing", "corosync-quorumtool -s; systemctl restart pve-cluster if it is quorate")
	}
	return pass("", "/etc/pve is writable")
}
