package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on what was proved by trying it.
const (
	StorageNotProvedShared ha.Code = "STORAGE_NOT_PROVED_SHARED"
	StorageProvedNotShared ha.Code = "STORAGE_PROVED_NOT_SHARED"
	FilesystemIDDiffers    ha.Code = "FILESYSTEM_ID_DIFFERS"
	StorageNoLocks         ha.Code = "STORAGE_NO_LOCKS"
	FenceNotTested         ha.Code = "FENCE_NOT_TESTED"
	FenceUnreachable       ha.Code = "FENCE_UNREACHABLE"
	BMCPowerUnknown        ha.Code = "BMC_POWER_UNKNOWN"
)

var proofChecks = []Check{
	{Code: StorageProvedNotShared, Title: "every node sees and writes the same storage", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(storageCauses, NodeNotMember, NodeOffline, NFSNotMounted, NFSNotAnswering, NFSReadOnly), parts: []string{partStorages}, cluster: storageProvedNotShared},
	{Code: StorageNotProvedShared, Title: "it was tried lately that the storage is shared", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: storageCauses, parts: []string{partStorages}, cluster: storageNotProvedShared},
	{Code: FilesystemIDDiffers, Title: "it is one file system on all nodes", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: after(storageCauses, StorageProvedNotShared), parts: []string{partStorages}, cluster: filesystemIDDiffers},
	{Code: StorageNoLocks, Title: "the storage gives locks", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: storageCauses, parts: []string{partStorages}, cluster: storageNoLocks},
	{Code: FenceNotTested, Title: "it was tried lately that the BMC answers", Production: ha.Warn,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partNodes}, cluster: fenceNotTested},
	{Code: FenceUnreachable, Title: "every other node reaches the BMC", Minimum: ha.Notice, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partNodes}, cluster: fenceUnreachable},
	{Code: BMCPowerUnknown, Title: "the BMC tells the power of its own node", Minimum: ha.Notice, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partNodes}, cluster: bmcPowerUnknown},
}

// proved returns the newest proof that ended, unless it is too old to be worth anything;
// then why says so.
func (w *world) proved(kind ha.ProofKind, subject string) (p ha.Proof, why string, ok bool) {
	p, tried := w.s.Proof(kind, subject)
	switch {
	case !tried:
		return p, "nobody has tried it yet", false
	case w.s.At.Sub(p.Ended) > ha.ProofAgeMax:
		return p, fmt.Sprintf("it was last tried %s ago", span(w.s.At.Sub(p.Ended))), false
	}
	return p, "", true
}

// untried is the verdict on what was never tried, which is unknown, or not for long, which
// is a violation.
func untried(p ha.Proof, why, remedy string) verdict {
	if p.Ended.IsZero() {
		return verdict{status: ha.Unknown, evidence: why, remedy: remedy}
	}
	return broken("", why, remedy)
}

// eachShared judges each storage that should hold the same files on every node.
func (w *world) eachShared(judge func(ha.Storage, ha.Proof) verdict) []verdict {
	var list []verdict
	for _, st := range w.s.SharedFileStorages() {
		p, why, ok := w.proved(ha.ProofStorage, st.Name)
		v := skip("", "%s", why)
		if ok {
			v = judge(st, p)
		}
		v.subject = st.Name
		list = append(list, v)
	}
	if len(list) == 0 {
		return []verdict{skip(clusterSubject, "no HA target has a disk on a shared storage of files")}
	}
	return list
}

// takesPart reports whether a node should be able to try a storage now: it is configured
// for it and is no member that is away.
func (w *world) takesPart(st ha.Storage, n ha.NodeName) bool {
	_, member := w.s.Inventory.Node(n)
	return st.Offers(n) && member && w.online(n)
}

// storageNotProvedShared is unknown unless every node has had its say.
func storageNotProvedShared(w *world) []verdict {
	shared := w.s.SharedFileStorages()
	if len(shared) == 0 {
		return []verdict{skip(clusterSubject, "no HA target has a disk on a shared storage of files")}
	}
	var list []verdict
	for _, st := range shared {
		remedy := "psw ha prove " + st.Name
		p, why, ok := w.proved(ha.ProofStorage, st.Name)
		v := untried(p, why, remedy)
		if ok {
			v = w.everybodyTried(st, p)
		}
		v.subject = st.Name
		list = append(list, v)
	}
	return list
}

func (w *world) everybodyTried(st ha.Storage, p ha.Proof) verdict {
	var silent, readers []string
	var on ha.NodeName
	for _, n := range w.nodes {
		r, asked := p.Result(n)
		switch {
		case !w.takesPart(st, n):
		case !asked:
			silent, on = append(silent, fmt.Sprintf("%s has not tried it", n)), n
		case r.Storage == nil:
			silent, on = append(silent, fmt.Sprintf("%s: %s", n, r.Fault)), n
		case n != p.Writer:
			readers = append(readers, string(n))
		}
	}
	if len(silent) > 0 {
		return verdict{status: ha.Unknown, evidence: strings.Join(silent, "; "), remedy: "psw ha prove " + st.Name, on: on}
	}
	if len(readers) == 0 {
		return verdict{status: ha.Unknown, evidence: "no node is known that should see it and has looked", remedy: "psw ha prove " + st.Name}
	}
	if p.Writer == "" {
		return pass("", "every node has tried it")
	}
	return pass("", "%s wrote, and %s looked for it, %s ago", p.Writer, joined(readers), span(w.s.At.Sub(p.Ended)))
}

// storageProvedNotShared judges each node: the worst it met on any of the storages.
func storageProvedNotShared(w *world) []verdict {
	worst := make(map[ha.NodeName]verdict)
	for _, st := range w.s.SharedFileStorages() {
		p, _, ok := w.proved(ha.ProofStorage, st.Name)
		if !ok {
			continue // STORAGE_NOT_PROVED_SHARED says so
		}
		for _, n := range w.nodes {
			r, asked := p.Result(n)
			if !asked || r.Storage == nil || !w.takesPart(st, n) {
				continue
			}
			v := notShared(st, p, r)
			if before, had := worst[n]; !had || before.status != "" && v.status == "" {
				worst[n] = v
			}
		}
	}
	var list []verdict
	for _, n := range w.nodes {
		if v, ok := worst[n]; ok {
			v.subject = string(n)
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return []verdict{skip(clusterSubject, "nothing was tried yet")}
	}
	return list
}

// notShared says what a node met, and which of the usual causes it is.
func notShared(st ha.Storage, p ha.Proof, r ha.ProofResult) verdict {
	s, at := *r.Storage, path.Clean(st.Path)
	writer, _ := p.Result(p.Writer)
	remount := fmt.Sprintf("on %s: findmnt -T %s; pvesm status; umount %s, then pvestatd mounts it again", r.Node, at, at)
	switch {
	case s.Seen && s.Written:
		return pass("", "storage %s: it sees what %s wrote, and can write", st.Name, p.Writer)
	case s.MountPoint != at && s.FSType != "" && st.Type != "dir" && st.Type != "btrfs":
		return broken("", fmt.Sprintf("%s is a folder of %s's own disk (%s on %s): storage %s is not mounted, and what a guest writes stays there",
			at, r.Node, s.FSType, s.MountPoint, st.Name),
			fmt.Sprintf("on %s: look at what lies in %s and move it away, then: showmount -e %s; systemctl restart pvestatd", r.Node, at, st.Server))
	case s.Seen && s.ReadOnly:
		return broken("", fmt.Sprintf("%s cannot write to storage %s: it is mounted read-only", r.Node, st.Name), remount)
	case s.Seen && p.Writer != "":
		return broken("", fmt.Sprintf("%s sees what %s wrote on storage %s, but cannot write: %s", r.Node, p.Writer, st.Name, s.WriteFault),
			fmt.Sprintf("on the server: the export needs rw and no_root_squash for %s as for the others: exportfs -v", r.Node))
	case p.Writer == "":
		return broken("", fmt.Sprintf("nobody can write to storage %s; %s: %s", st.Name, r.Node, s.WriteFault),
			"on the server: is there room, and does the export have rw and no_root_squash? exportfs -v")
	case writer.Storage != nil && s.Source != "" && s.Source != writer.Storage.Source:
		return broken("", fmt.Sprintf("%s mounts %s on %s, %s mounts %s: what one writes the other does not see", r.Node, s.Source, at, p.Writer, writer.Storage.Source), remount)
	case strings.Contains(s.ReadFault, "stale"):
		return broken("", fmt.Sprintf("%s holds a mount of storage %s that is stale: the server's file system is another one now", r.Node, st.Name),
			fmt.Sprintf("on %s: umount -l %s, then pvestatd mounts it again", r.Node, at))
	}
	return broken("", fmt.Sprintf("%s does not see what %s wrote on storage %s: %s", r.Node, p.Writer, st.Name, s.ReadFault), remount)
}

// filesystemIDDiffers compares those who saw the word: a copy that something keeps alike on
// every node shows the word as well.
func filesystemIDDiffers(w *world) []verdict {
	return w.eachShared(func(st ha.Storage, p ha.Proof) verdict {
		ids := map[string][]string{}
		for _, r := range p.Results {
			if r.Storage != nil && r.Storage.Seen && r.Storage.FSID != "" && r.Storage.File != 0 {
				id := fmt.Sprintf("%s, file %d", r.Storage.FSID, r.Storage.File)
				ids[id] = append(ids[id], string(r.Node))
			}
		}
		var seen []string
		for id, nodes := range ids {
			seen = append(seen, fmt.Sprintf("%s has id %s", joined(nodes), id))
		}
		slices.Sort(seen)
		switch len(seen) {
		case 0:
			return skip("", "the file system tells no id")
		case 1:
			return pass("", "%s", seen[0])
		}
		return broken("", strings.Join(seen, "; "), fmt.Sprintf("on each node: findmnt -T %s; the same server, export and version of NFS everywhere", st.Path))
	})
}

// storageNoLocks asks for the locks by which QEMU keeps a second start from a disk in use.
func storageNoLocks(w *world) []verdict {
	return w.eachShared(func(st ha.Storage, p ha.Proof) verdict {
		var without []string
		for _, r := range p.Results {
			if r.Storage != nil && r.Storage.Seen && r.Storage.Lock == ha.LockNone {
				without = append(without, string(r.Node))
			}
		}
		if len(without) > 0 {
			return broken("", fmt.Sprintf("%s: no lock was given, so that QEMU cannot keep a second start away from a disk in use", joined(without)),
				"NFS 3: systemctl status rpc-statd; without `nolock` in the options; or NFS 4, which has its own locks")
		}
		return pass("", "locks are given")
	})
}

// eachBMC judges each node with a BMC that can be asked.
func (w *world) eachBMC(judge func(name ha.NodeName, p ha.Proof, why string, ok bool) verdict) []verdict {
	var list []verdict
	for _, n := range w.s.Inventory.Nodes {
		h, declared := w.policy.Host(n.Name)
		v := skip("", "network.yml declares no BMC")
		switch {
		case declared && h.BMC != nil && h.BMC.Type == ha.BMCPDU:
			v = skip("", "it is fenced by a PDU, which can only be tried by hand")
		case declared && h.BMC != nil:
			p, why, ok := w.proved(ha.ProofFence, string(n.Name))
			v = judge(n.Name, p, why, ok)
		}
		v.subject = string(n.Name)
		list = append(list, v)
	}
	return list
}

func fenceNotTested(w *world) []verdict {
	return w.eachBMC(func(name ha.NodeName, p ha.Proof, why string, ok bool) verdict {
		if !ok {
			return untried(p, why, "psw ha fence-test")
		}
		var silent []string
		for _, n := range w.s.Inventory.Nodes {
			if r, asked := p.Result(n.Name); n.Name != name && n.Online && (!asked || r.Answered.IsZero()) {
				silent = append(silent, string(n.Name))
			}
		}
		if len(silent) > 0 {
			return verdict{status: ha.Unknown, evidence: fmt.Sprintf("%s could not be asked to try it, or did not say what came of it", joined(silent)), remedy: "psw ha fence-test"}
		}
		return pass("", "tried %s ago", span(w.s.At.Sub(p.Ended)))
	})
}

// fenceUnreachable names each cell of the matrix that is dead: an agent that did not answer
// says nothing of the BMC.
func fenceUnreachable(w *world) []verdict {
	return w.eachBMC(func(name ha.NodeName, p ha.Proof, why string, ok bool) verdict {
		if !ok {
			return skip("", "%s", why)
		}
		var dead, alive []string
		for _, r := range p.Results {
			switch {
			case r.Power != nil:
				alive = append(alive, string(r.Node))
			case !r.Answered.IsZero():
				dead = append(dead, fmt.Sprintf("%s -> %s: %s", r.Node, name, r.Fault))
			}
		}
		if len(dead) > 0 {
			return broken("", strings.Join(dead, "; "), fmt.Sprintf("on that node: ping %s; ls -l /etc/psw-ha/bmc; a firewall between them? IPMI is UDP port 623", p.Address))
		}
		if len(alive) == 0 {
			return skip("", "no other node has tried it")
		}
		return pass("", "reached from %s", joined(alive))
	})
}

func bmcPowerUnknown(w *world) []verdict {
	return w.eachBMC(func(name ha.NodeName, p ha.Proof, why string, ok bool) verdict {
		if !ok {
			return skip("", "%s", why)
		}
		answered := false
		for _, r := range p.Results {
			answered = answered || r.Power != nil
			switch {
			case r.Power == nil:
			case r.Power.State == ha.PowerUnknown:
				return broken("", fmt.Sprintf("asked from %s: %s", r.Node, r.Power.Said), "restart the BMC: ipmitool … mc reset cold; then psw ha fence-test")
			case r.Power.State == ha.PowerOff && w.livedThrough(name, p):
				return broken("", fmt.Sprintf("asked from %s, the BMC at %s says that the power is off, while %s is running: it is another machine's", r.Node, p.Address, name),
					fmt.Sprintf("management.hosts.%s.bmc.address in network.yml: is it the right one? fencing %s would reset the wrong machine", name, name))
			case r.Power.State == ha.PowerOff && w.online(name):
				if _, why, seen := w.answered(name, ha.ProbeSystem); !seen {
					return unknown("", "asked from %s, the BMC at %s says that the power is off; whether %s was running then is not known: %s", r.Node, p.Address, name, why)
				}
			}
		}
		if !answered {
			return skip("", "it has answered nobody")
		}
		return pass("", "it says what the node says")
	})
}

// livedThrough reports whether a node was up while a proof was made.
func (w *world) livedThrough(name ha.NodeName, p ha.Proof) bool {
	r, ok := w.report(name)
	return ok && r.System.Uptime > 0 && r.Received.Add(-r.System.Uptime).Before(p.Began)
}
