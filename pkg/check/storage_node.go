package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what storage really is on each node.
const (
	NFSWriteFailed       ha.Code = "NFS_WRITE_FAILED"
	NFSFilesystemDiffers ha.Code = "NFS_FILESYSTEM_DIFFERS"
	StorageNotShareable  ha.Code = "STORAGE_NOT_SHAREABLE"
	TargetOnboot         ha.Code = "TARGET_ONBOOT"
)

var storageNodeChecks = []Check{
	{Code: NFSWriteFailed, Title: "a file written to the shared storage can be read back", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: after(mountCauses, NFSReadOnly), probes: []string{ha.ProbeNFS}, node: nfsWriteFailed},
	{Code: NFSFilesystemDiffers, Title: "all nodes see the same file system", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(nfsCauses, NFSSourceDiffers), cluster: nfsFilesystemDiffers},
	{Code: StorageNotShareable, Title: "what is marked shared is mounted from elsewhere", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeStorage}, node: storageNotShareable},
}

// writeAgeMax: a write is tried every few minutes; one this old means that the agent has
// stopped trying.
const writeAgeMax = time.Hour

// writeHangs is when an attempt that has not come back is one that hangs. A sync to a NAS
// that is busy with a backup takes seconds; until then what the last attempt met counts.
const writeHangs = 10 * time.Second

func nfsWriteFailed(n node) verdict {
	return eachMount(n, func(m ha.Mount) verdict {
		t := m.Write
		const remedy = "touch a file there by hand; look at the export's rights (root_squash), its quota, its free space; dmesg | grep -i nfs"
		switch {
		case t.Stuck > writeHangs:
			return broken("", fmt.Sprintf("a write to %s has been hanging for %s%s", m.Path, span(t.Stuck), n.affected()), remedy)
		case t.At.IsZero() && t.Stuck > 0:
			return unknown("", "the first write to %s was begun %s ago and has not come back yet", m.Path, span(t.Stuck))
		case t.At.IsZero():
			return unknown("", "no write to %s was tried yet", m.Path)
		case t.Error != "":
			return broken("", fmt.Sprintf("a file written to %s: %s%s", m.Path, t.Error, n.affected()), remedy)
		case n.Taken.Sub(t.At) > writeAgeMax:
			return unknown("", "the last write to %s was tried %s ago", m.Path, span(n.Taken.Sub(t.At)))
		}
		return pass("", "written, synced and read back on %s within %s", m.Path, span(t.Took))
	})
}

// affected names the HA targets that live on this node with a disk on the shared storage:
// whom its loss here hits.
func (n node) affected() string {
	if n.w.alone {
		return ""
	}
	var names []string
	for _, m := range n.w.targets {
		if m.err == nil && m.guest.Node == n.Node {
			names = append(names, fmt.Sprintf("%s (%s)", m.Name, m.guest.SID))
		}
	}
	if len(names) == 0 {
		return ""
	}
	const shownMax = 5
	if more := len(names) - shownMax; more > 0 {
		names = append(names[:shownMax:shownMax], fmt.Sprintf("%d more", more))
	}
	return "; hit here: " + joined(names) + "; the HA manager leaves them where they are, since the node itself is alive"
}

// nfsFilesystemDiffers: the same name can be another file system, for instance on a node
// whose route leads to another server, or where the export was replaced.
func nfsFilesystemDiffers(w *world) []verdict {
	st := w.policy.Cluster.Storage
	if st == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	byID := make(map[string][]ha.NodeName)
	var order, silent []string
	for _, name := range w.nodes {
		r, _, ok := w.answered(name, ha.ProbeNFS)
		m, mounted := mountAt(r, st.Mount)
		switch {
		case !ok || !mounted:
			continue // blind below, and NFS_NOT_MOUNTED, say so
		case m.FilesystemID == "":
			silent = append(silent, string(name))
			continue
		case byID[m.FilesystemID] == nil:
			order = append(order, m.FilesystemID)
		}
		byID[m.FilesystemID] = append(byID[m.FilesystemID], name)
	}
	if len(order) > 1 {
		texts := make([]string, len(order))
		for k, id := range order {
			texts[k] = fmt.Sprintf("%s on %s", id, joined(byID[id]))
		}
		return []verdict{broken(clusterSubject, "the server's own ids of the file system differ: "+strings.Join(texts, "; "),
			"findmnt "+st.Mount+" and ls there on each node; umount and mount it again where it is another")}
	}
	switch blind := w.blind(ha.ProbeNFS, false); {
	case len(blind) > 0:
		return []verdict{unknown(clusterSubject, "%s", strings.Join(blind, "; "))}
	case len(order) == 0 && len(silent) == 0:
		return []verdict{unknown(clusterSubject, "it is mounted nowhere")}
	case len(order) == 0:
		return []verdict{skip(clusterSubject, "the kernels do not tell the file system's id")}
	}
	return []verdict{pass(clusterSubject, "%s on %s", order[0], joined(byID[order[0]]))}
}

// folders are the types of storage that are a folder of the node, whatever their flag
// says. A folder is only as shared as what is mounted on it.
var folders = []string{"dir", "btrfs"}

// storageNotShareable finds the folder that is called shared and is none: Proxmox believes
// the flag and starts guests elsewhere, where the folder is another, empty one.
func storageNotShareable(n node) verdict {
	var wrong, seen []string
	for _, s := range n.Storages {
		if s.Disabled || !s.Shared || len(s.Nodes) > 0 && !slices.Contains(s.Nodes, n.Node) || !slices.Contains(folders, s.Type) {
			continue
		}
		seen = append(seen, s.Name)
		if s.Mounted == "" {
			wrong = append(wrong, fmt.Sprintf("%s (%s) is marked shared, but nothing is mounted on %s", s.Name, s.Type, s.Path))
		}
	}
	switch {
	case len(wrong) > 0:
		return broken("", joined(wrong)+": it is a folder of this node alone", "mount it (and pvesm set NAME --is_mountpoint yes), or pvesm set NAME --shared 0")
	case len(n.Storages) == 0:
		return unknown("", "the agent reports no storage")
	case len(seen) == 0:
		return pass("", "no folder is marked shared")
	}
	return pass("", "%s", joined(seen))
}

var onbootChecks = []Check{
	{Code: TargetOnboot, Title: "only the HA manager starts the target", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: configCauses, parts: guestParts, target: targetOnboot},
}

func targetOnboot(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	switch {
	case !ok:
		return v
	case c.OnBoot:
		return broken("", fmt.Sprintf("%s has onboot 1: it has no effect while the HA manager keeps it, and starts it when HA is taken away", m.guest.SID),
			fmt.Sprintf("%s set %d --onboot 0", tool(m.guest.SID), m.guest.SID.ID))
	}
	return pass("", "%s: onboot 0", m.guest.SID)
}
