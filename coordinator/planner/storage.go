package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// storageName is what we call a storage that we add.
const storageName = "psw"

// storagePatience is how long a storage may take to become active on a node: pvestatd
// mounts it in one of its rounds of 10 s, and a server that sleeps takes a while to wake.
const storagePatience = 3 * time.Minute

// codeStorageDiffers: the declared storage is there, and cannot become as it is declared.
const codeStorageDiffers ha.Code = "STORAGE_DIFFERS"

// storageContent is what a shared storage must hold: disks of VMs, and of containers.
var storageContent = []string{"images", "rootdir"}

// storage is the legs of the shared storage: registered, then seen on each node.
func (j *journey) storage() {
	want := j.Policy.Cluster.Storage
	if want == nil {
		j.step(leg{key: "storage", text: "register the shared storage", skip: "network.yml declares no shared_storage"})
		return
	}
	have, known := j.declared(*want)
	name := cmp.Or(have.Name, storageName)
	l := leg{key: "storage " + name, text: fmt.Sprintf("register %s:%s as storage %s", want.Server, want.Export, name)}
	why, fix := immutable(have, *want)
	put := ha.PutStorage{Storage: wantedStorage(name, *want), Was: have}
	switch unread := j.Inventory.Unread("storages"); {
	case unread != "":
		l.wait, l.fix = "the storages could not be read: "+unread, "the API token needs Datastore.Audit on /storage: `pveum acl list`"
	case known && why != "":
		l.fail = why + "; " + fix
	case known:
		put.Storage.Content = union(have.Content, storageContent)
		l.reached = !have.Disabled && len(have.Nodes) == 0 && have.Options == want.Options && len(put.Storage.Content) == len(have.Content)
		l.action = put
	default:
		l.action = put
	}
	j.step(l)
	for _, n := range j.Policy.Cluster.Nodes {
		j.mounted(n, name, *want)
	}
	for _, h := range j.Policy.Hosts {
		if h.IP.IsValid() && h.IP.String() == want.Server && slices.Contains(j.Policy.Cluster.Nodes, h.Name) {
			j.notice("the NFS server is %s, a node of the cluster: when it fails every target does, and none can be started elsewhere", h.Name)
		}
	}
}

// storageGate is what forbids the declared storage, seen before anything is touched.
func (w *world) storageGate() []ha.Blocker {
	want := w.Policy.Cluster.Storage
	if want == nil || !w.InventoryFresh() {
		return nil
	}
	have, known := w.declared(*want)
	if why, fix := immutable(have, *want); known && why != "" {
		return []ha.Blocker{{Code: codeStorageDiffers, Subject: have.Name, Reason: why, Fix: fix}}
	}
	return nil
}

// declared finds the storage that is, or should be, the declared one.
func (w *world) declared(want ha.SharedStorage) (ha.Storage, bool) {
	for _, same := range []func(ha.Storage) bool{
		func(s ha.Storage) bool {
			return s.Server == want.Server && s.Export == want.Export && s.Path == want.Mount
		},
		func(s ha.Storage) bool { return s.Path == want.Mount },
		func(s ha.Storage) bool { return s.Server == want.Server && s.Export == want.Export },
		func(s ha.Storage) bool { return s.Name == storageName },
	} {
		if k := slices.IndexFunc(w.Inventory.Storages, same); k >= 0 {
			return w.Inventory.Storages[k], true
		}
	}
	return ha.Storage{}, false
}

// immutable says what of a storage cannot be changed in place, and is not as declared.
func immutable(have ha.Storage, want ha.SharedStorage) (why, fix string) {
	differs := func(what, is, declared string) (string, string) {
		return fmt.Sprintf("storage %s has the %s %s, and network.yml declares %s; Proxmox cannot change that in place", have.Name, what, is, declared),
			fmt.Sprintf("correct network.yml, or, when no guest has a disk on it, remove the storage and ask again: `pvesm list %s`, `pvesm remove %s`", have.Name, have.Name)
	}
	switch {
	case have.Type != want.Type:
		return differs("type", have.Type, want.Type)
	case have.Server != want.Server:
		return differs("server", have.Server, want.Server)
	case have.Export != want.Export:
		return differs("export", have.Export, want.Export)
	case have.Path != want.Mount:
		return differs("path", have.Path, want.Mount)
	}
	return "", ""
}

func wantedStorage(name string, want ha.SharedStorage) ha.Storage {
	return ha.Storage{Name: name, Type: want.Type, Shared: true, Content: slices.Clone(storageContent), Path: want.Mount, Server: want.Server,
		Export: want.Export, Options: want.Options}
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// mounted is the leg of the storage on one node: Proxmox has it active, and the node's own
// agent sees that very export at its path, and that it answers. That it is one and the same
// on every node, and not merely of one name, is what its identity tells.
func (j *journey) mounted(n ha.NodeName, name string, want ha.SharedStorage) {
	l := leg{key: fmt.Sprintf("mount %s", n), text: fmt.Sprintf("storage %s is mounted on %s", name, n), patience: storagePatience}
	var why string
	fix := fmt.Sprintf("on %s: `pvesm status`, `showmount -e %s`", n, want.Server)
	k := slices.IndexFunc(j.Inventory.Storages, func(s ha.Storage) bool { return s.Name == name })
	switch r, fresh := j.FreshReport(n); {
	case k < 0 || !j.Inventory.Storages[k].AvailableOn(n):
		why = "Proxmox does not have it active"
	case !fresh:
		why, fix = j.silence(n), fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", n)
	default:
		if why = j.notShared(n, r, want); why != "" {
			fix = fmt.Sprintf("on %s: `findmnt %s`, `showmount -e %s`; a wrong mount goes by `umount %s`", n, want.Mount, want.Server, want.Mount)
		}
	}
	l.reached = why == ""
	if why != "" && j.overdue(l.key, storagePatience) {
		l.fail = why + "; " + fix
	}
	j.step(l)
	if w := len(j.plan.Waits); why != "" && w > 0 && j.plan.Waits[w-1].Subject == l.key {
		j.plan.Waits[w-1].Reason += ": " + why + "; " + fix
	}
}

// notShared says what is wrong with the mount a node's agent sees; "" if nothing is.
func (w *world) notShared(n ha.NodeName, r ha.Report, want ha.SharedStorage) string {
	find := func(r ha.Report) (ha.Mount, bool) {
		k := slices.IndexFunc(r.Mounts, func(m ha.Mount) bool { return m.Path == want.Mount })
		if k < 0 {
			return ha.Mount{}, false
		}
		return r.Mounts[k], true
	}
	m, ok := find(r)
	switch {
	case !ok:
		return fmt.Sprintf("nothing is mounted at %s", want.Mount)
	case m.Source != want.Server+":"+want.Export:
		return fmt.Sprintf("%s is mounted at %s, not %s:%s", m.Source, want.Mount, want.Server, want.Export)
	case !m.Answering:
		return fmt.Sprintf("%s does not answer", m.Source)
	case m.ReadOnly:
		return fmt.Sprintf("%s is mounted read-only", m.Source)
	}
	for _, other := range w.Policy.Cluster.Nodes {
		if o, fresh := w.FreshReport(other); fresh && other != n {
			if theirs, ok := find(o); ok && m.FilesystemID != "" && theirs.FilesystemID != "" && m.FilesystemID != theirs.FilesystemID {
				return fmt.Sprintf("it is another file system than on %s: they have the identities %s and %s", other, m.FilesystemID, theirs.FilesystemID)
			}
		}
	}
	return ""
}
