package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on NFS mounts.
const (
	NFSNotMounted     ha.Code = "NFS_NOT_MOUNTED"
	NFSWrongSource    ha.Code = "NFS_WRONG_SOURCE"
	NFSSourceDiffers  ha.Code = "NFS_SOURCE_DIFFERS"
	NFSNotAnswering   ha.Code = "NFS_NOT_ANSWERING"
	NFSReadOnly       ha.Code = "NFS_READ_ONLY"
	NFSSoftMount      ha.Code = "NFS_SOFT_MOUNT"
	NFSNearlyFull     ha.Code = "NFS_NEARLY_FULL"
	NFSMajorTimeouts  ha.Code = "NFS_MAJOR_TIMEOUTS"
	nfsFullPercentMax         = 90
)

var (
	nfsCauses   = after(nodeCauses, NFSNotMounted)
	mountCauses = after(nfsCauses, NFSNotAnswering)
)

var nfsChecks = []Check{
	{Code: NFSNotMounted, Title: "the shared storage is mounted", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeNFS}, node: nfsNotMounted},
	{Code: NFSNotAnswering, Title: "the NFS server answers", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: nfsCauses, probes: []string{ha.ProbeNFS}, node: nfsNotAnswering},
	{Code: NFSWrongSource, Title: "the mount is the declared export", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nfsCauses, probes: []string{ha.ProbeNFS}, node: nfsWrongSource},
	{Code: NFSSourceDiffers, Title: "all nodes mount the same export", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nfsCauses, cluster: nfsSourceDiffers},
	{Code: NFSReadOnly, Title: "the mount is writable", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nfsCauses, probes: []string{ha.ProbeNFS}, node: nfsReadOnly},
	{Code: NFSSoftMount, Title: "the mount is hard", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: nfsCauses, probes: []string{ha.ProbeNFS}, node: nfsSoftMount},
	{Code: NFSNearlyFull, Title: "the shared storage has room", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: mountCauses, probes: []string{ha.ProbeNFS}, node: nfsNearlyFull},
	{Code: NFSMajorTimeouts, Title: "the NFS server has answered in time so far", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: mountCauses, probes: []string{ha.ProbeNFS}, node: nfsMajorTimeouts},
}

// mounts are the NFS mounts to judge on this node: the declared one, or, where nothing
// is declared, all there are.
func (n node) mounts() []ha.Mount {
	st := n.w.policy.Cluster.Storage
	if st == nil {
		return n.Mounts
	}
	if m, ok := mountAt(n.Report, st.Mount); ok {
		return []ha.Mount{m}
	}
	return nil
}

func mountAt(r ha.Report, at string) (ha.Mount, bool) {
	k := slices.IndexFunc(r.Mounts, func(m ha.Mount) bool { return path.Clean(m.Path) == path.Clean(at) })
	if k < 0 {
		return ha.Mount{}, false
	}
	return r.Mounts[k], true
}

// eachMount judges every mount of the node and returns the first violation, so that one
// node is one line; a mount that is good must not hide one that is not.
func eachMount(n node, judge func(ha.Mount) verdict) verdict {
	mounts := n.mounts()
	if len(mounts) == 0 {
		if n.w.policy.Cluster.Storage == nil {
			return skip("", "no shared storage is declared, and no NFS is mounted")
		}
		return unknown("", "the shared storage is not mounted")
	}
	worst := judge(mounts[0])
	for _, m := range mounts[1:] {
		if v := judge(m); worst.status == ha.Pass && v.status != ha.Pass || worst.status == ha.Unknown && v.status == "" {
			worst = v
		}
	}
	return worst
}

func nfsNotMounted(n node) verdict {
	st := n.w.policy.Cluster.Storage
	if st == nil {
		return skip("", "no shared storage is declared; NFS mounts here: %d", len(n.Mounts))
	}
	m, ok := mountAt(n.Report, st.Mount)
	if !ok {
		return broken("", fmt.Sprintf("nothing is mounted on %s: a guest started here would find no disk%s", st.Mount, n.affected()),
			fmt.Sprintf("on %s: pvesm status; showmount -e %s; systemctl restart pvestatd", n.Node, st.Server))
	}
	return pass("", "%s on %s (%s %s)", m.Source, m.Path, m.Type, m.Version)
}

func nfsNotAnswering(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		const remedy = "is the server up? ping it; rpcinfo -t SERVER nfs; do not restart services that touch the mount, they would hang as well"
		switch {
		case m.Stuck > 0:
			return broken("", fmt.Sprintf("%s does not answer on %s: statfs has been hanging for %s%s", m.Source, m.Path, span(m.Stuck), n.affected()), remedy)
		case m.Error != "":
			return broken("", fmt.Sprintf("%s on %s: %s%s", m.Source, m.Path, m.Error, n.affected()), remedy)
		case !m.Answering:
			return broken("", fmt.Sprintf("%s does not answer on %s%s", m.Source, m.Path, n.affected()), remedy)
		}
		return pass("", "%s answered within %s", m.Source, span(m.Took))
	})
}

// nfsWrongSource accepts the server by the name in the project or by the address the
// kernel really talks to.
func nfsWrongSource(n node) verdict {
	st := n.w.policy.Cluster.Storage
	if st == nil {
		return skip("", "no shared storage is declared")
	}
	return eachMount(n, func(m ha.Mount) verdict {
		server, export := splitSource(m.Source)
		if export != path.Clean(st.Export) || server != st.Server && m.Server != st.Server {
			return broken("", fmt.Sprintf("%s is mounted from %s, network.yml says %s:%s", m.Path, m.Source, st.Server, st.Export),
				fmt.Sprintf("umount %s; correct the storage in /etc/pve/storage.cfg or network.yml; systemctl restart pvestatd", m.Path))
		}
		return pass("", "%s", m.Source)
	})
}

func nfsSourceDiffers(w *world) []verdict {
	st := w.policy.Cluster.Storage
	if st == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	byExport := make(map[string][]ha.NodeName)
	var order []string
	for _, name := range w.nodes {
		r, _, ok := w.answered(name, ha.ProbeNFS)
		m, mounted := mountAt(r, st.Mount)
		if !ok || !mounted {
			continue // blind below, and NFS_NOT_MOUNTED, say so
		}
		// The server may be a name on one node and an address on another; the export
		// and the address the kernel talks to are what must be equal.
		_, export := splitSource(m.Source)
		key := m.Server + ":" + export
		if byExport[key] == nil {
			order = append(order, key)
		}
		byExport[key] = append(byExport[key], name)
	}
	if len(order) > 1 {
		parts := make([]string, len(order))
		for k, key := range order {
			parts[k] = fmt.Sprintf("%s on %s", key, joined(byExport[key]))
		}
		return []verdict{broken(clusterSubject, strings.Join(parts, "; ")+": a guest that moves would find another disk, or none",
			"make the storage's server and export the same everywhere: pvesm config, findmnt "+st.Mount+" on each node")}
	}
	switch blind := w.blind(ha.ProbeNFS, false); {
	case len(blind) > 0:
		return []verdict{unknown(clusterSubject, "%s", strings.Join(blind, "; "))}
	case len(order) == 0:
		return []verdict{unknown(clusterSubject, "it is mounted nowhere")}
	}
	return []verdict{pass(clusterSubject, "%s on %s", order[0], joined(byExport[order[0]]))}
}

func splitSource(source string) (server, export string) {
	k := strings.LastIndex(source, ":/")
	if k < 0 {
		return source, ""
	}
	return strings.Trim(source[:k], "[]"), path.Clean(source[k+1:])
}

func nfsReadOnly(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		if m.ReadOnly {
			return broken("", fmt.Sprintf("%s is mounted read-only on %s: no guest can write its disk", m.Source, m.Path),
				fmt.Sprintf("look at the export's options on the server; then mount -o remount,rw %s", m.Path))
		}
		return pass("", "%s", m.Path)
	})
}

func nfsSoftMount(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		if !m.Hard {
			return broken("", fmt.Sprintf("%s is mounted soft: when the server pauses, guests get I/O errors instead of waiting, and remount their disks read-only", m.Path),
				"remove soft from the storage's options (pvesm set STORAGE --options …) and mount again")
		}
		return pass("", "%s", m.Path)
	})
}

func nfsNearlyFull(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		if m.Total <= 0 {
			return unknown("", "%s did not tell its size", m.Path)
		}
		if used := 100 * (m.Total - m.Free) / m.Total; used > nfsFullPercentMax {
			return broken("", fmt.Sprintf("%d %% of %s are used on %s; %s are free", used, size(m.Total), m.Path, size(m.Free)),
				"free space or grow the export: a full storage stops every guest on it")
		}
		return pass("", "%s of %s are free", size(m.Free), size(m.Total))
	})
}

func nfsMajorTimeouts(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		if m.Timeouts > 0 {
			return broken("", fmt.Sprintf("%d major timeouts on %s since it was mounted", m.Timeouts, m.Path),
				"nfsstat -m; look at the server's load and the storage network; the count starts again with the next mount")
		}
		return pass("", "no major timeout on %s", m.Path)
	})
}
