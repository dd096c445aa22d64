package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Writing storage.cfg. A new storage is activated on the node that answers before it is
// written down, so that a node without a way to its server refuses it for everybody.

// storageProperties are what an entry of each type may have beside its id and type.
var storageProperties = map[string][]string{
	"dir": strings.Fields("path content nodes disable shared create-base-path create-subdirs is_mountpoint mkdir format preallocation prune-backups bwlimit " +
		"max-protected-backups content-dirs snapshot-as-volume-chain"),
	"nfs": strings.Fields("path server export options content nodes disable create-base-path create-subdirs mkdir format preallocation prune-backups bwlimit " +
		"max-protected-backups content-dirs snapshot-as-volume-chain"),
}

// Those it must have, and those that stay as they were given.
var (
	storageRequired = map[string][]string{"dir": {"path"}, "nfs": {"server", "export"}}
	storageFixed    = []string{"path", "server", "export"}
)

// checkStorage refuses what does not belong to a storage of that type.
func (r *request) checkStorage(typ, prefix string, creates bool) error {
	known, modelled := storageProperties[typ]
	if !modelled {
		return die("%sthe simulator has no storage of type '%s'", prefix, typ)
	}
	for _, key := range sortedKeys(r.args) {
		switch {
		case slices.Contains([]string{"storage", "type", "digest", "delete"}, key):
		case !slices.Contains(known, key):
			return die("%sunexpected property '%s'", prefix, key)
		case !creates && slices.Contains(storageFixed, key):
			// Not from a recording, but how every such file of Proxmox's is refused.
			return die("%scan't change value of fixed parameter '%s'", prefix, key)
		}
	}
	for _, key := range storageRequired[typ] {
		if creates && !r.has(key) {
			return die("missing value for required option '%s'", key)
		}
	}
	return nil
}

func (r *request) lockStorage(prefix string) error {
	if r.n.quorate {
		return nil
	}
	return dieSlowly(cfsDelay, "%scfs-lock 'file-storage_cfg' error: no quorum!", prefix)
}

func addStorage(r *request) (any, error) {
	const failed = "create storage failed: "
	typ := r.get("type")
	if err := r.checkStorage(typ, "", true); err != nil {
		return nil, err
	}
	if err := r.lockStorage(failed); err != nil {
		return nil, err
	}
	s := &storage{id: r.get("storage"), typ: typ, size: 1 << 40, used: 1 << 40 / 10, content: []string{"images", "rootdir"}}
	if r.fs.storage(s.id) != nil {
		return nil, die(failed+"storage ID '%s' already defined", s.id)
	}
	s.server, s.export, s.path = r.get("server"), r.get("export"), r.get("path")
	if typ == "nfs" {
		s.shared = true
		if s.path == "" {
			s.path = "/mnt/pve/" + s.id
		}
	}
	r.setStorage(s)
	if s.on(r.n.name) {
		if why, took := r.n.activate(s); why != "" {
			return nil, dieSlowly(took, failed+"%s", why)
		}
	}
	r.fs.storages = append(r.fs.storages, s)
	return object{"storage": s.id, "type": s.typ}, nil
}

// setStorage takes over what a request says of a storage. Who restricts the storage local
// to some nodes is told that all is well, and nothing happens.
func (r *request) setStorage(s *storage) {
	for _, key := range sortedKeys(r.args) {
		switch v := r.get(key); key {
		case "content":
			s.content = splitList(v)
		case "nodes":
			if s.nodes = splitList(v); s.id == "local" {
				s.nodes = nil
			}
		case "options":
			s.options = v
		case "shared":
			s.shared = r.is(key)
		case "disable":
			s.disabled = r.is(key)
		case "storage", "type", "digest", "delete", "path", "server", "export":
		default:
			if s.extra == nil {
				s.extra = map[string]string{}
			}
			s.extra[key] = v
		}
	}
}

func setStorage(r *request) (any, error) {
	const failed = "update storage failed: "
	if err := r.lockStorage(failed); err != nil {
		return nil, err
	}
	old := r.fs.storage(r.get("storage"))
	switch {
	case old == nil:
		return nil, die(failed+"storage '%s' does not exist", r.get("storage"))
	case r.get("digest") != "" && r.get("digest") != digest(r.fs.storageText()):
		return nil, die(failed + "detected modified configuration - file changed by other user? Try again.")
	}
	if err := r.checkStorage(old.typ, failed, false); err != nil {
		return nil, err
	}
	s := old.clone()
	r.setStorage(s)
	for _, key := range splitList(r.get("delete")) {
		switch {
		case key == "disable":
			s.disabled = false
		case key == "nodes":
			s.nodes = nil
		case key == "options":
			s.options = ""
		case key == "shared":
			s.shared = s.typ == "nfs"
		case key == "content":
			s.content = []string{"images", "rootdir"}
		case slices.Contains(storageFixed, key):
			return nil, die(failed+"unable to delete required option '%s'", key)
		default:
			if _, ok := s.extra[key]; !ok {
				return nil, die(failed+"no such option '%s'", key)
			}
			delete(s.extra, key)
		}
	}
	r.fs.storages[slices.Index(r.fs.storages, old)] = s
	return object{"storage": s.id, "type": s.typ}, nil
}

// deleteStorage unmounts it on the node that answers; the others keep what they mounted
// until their next start.
func deleteStorage(r *request) (any, error) {
	const failed = "delete storage failed: "
	if err := r.lockStorage(failed); err != nil {
		return nil, err
	}
	s := r.fs.storage(r.get("storage"))
	if s == nil {
		return nil, die(failed+"storage '%s' does not exist", r.get("storage"))
	}
	r.n.unmount(s)
	r.fs.storages = slices.DeleteFunc(r.fs.storages, func(o *storage) bool { return o == s })
	return nil, nil
}

// How long a node asks a server for its exports before it gives up: one that is not there,
// and one whose name nobody knows.
const (
	silentServer  = 6 * time.Second
	unknownServer = 10 * time.Second
)

// activate makes a storage usable on the node, as pvesm does, and says why it is not, and how
// long it took to find out.
func (n *node) activate(s *storage) (why string, took time.Duration) {
	failed := n.c.faults.failedStorage[s.id][n.name]
	switch {
	case s.typ == "nfs" && strings.HasSuffix(s.server, ".invalid"):
		return fmt.Sprintf("storage '%s' is not online", s.id), unknownServer
	case s.typ == "nfs" && (failed || n.stuck || n.c.faults.cutOff(s.server, n)):
		return fmt.Sprintf("storage '%s' is not online", s.id), silentServer
	case s.typ == "nfs" && n.mountOf(s) != nil:
	case s.typ == "nfs" && n.c.faults.refuses(s.server, s.export, n):
		// Not from a recording: mount.nfs's own words, as Proxmox passes them on.
		return fmt.Sprintf("mount error: mount.nfs: access denied by server while mounting %s:%s", s.server, s.export), 0
	case s.typ == "nfs":
		n.mounts = append(n.mounts, s.clone())
	case failed, s.isOff("create-base-path") && !n.hasFolder(s.path):
		return fmt.Sprintf("unable to activate storage '%s' - directory '%s' does not exist or is unreachable", s.id, s.path), 0
	case s.isOn("is_mountpoint") && !n.hasMount(s.path):
		return fmt.Sprintf("unable to activate storage '%s' - directory is expected to be a mount point but is not mounted: '%s'", s.id, s.path), 0
	}
	return "", 0
}

func (s *storage) isOn(key string) bool {
	return slices.Contains([]string{"1", "yes", "on"}, s.extra[key])
}
func (s *storage) isOff(key string) bool {
	return slices.Contains([]string{"0", "no", "off"}, s.extra[key])
}

// hasFolder reports whether a folder was there before Proxmox would make it.
func (n *node) hasFolder(path string) bool {
	return slices.ContainsFunc(n.fs.storages, func(s *storage) bool { return s.path == path }) || n.hasMount(path)
}

func (n *node) hasMount(path string) bool {
	return slices.ContainsFunc(n.mounts, func(m *storage) bool { return m.path == path })
}

// mountOf is how an NFS storage is mounted here; nil if it is not. Options that were changed
// since are not the mount's.
func (n *node) mountOf(s *storage) *storage {
	for _, m := range n.mounts {
		if m.server == s.server && m.export == s.export && m.path == s.path {
			return m
		}
	}
	return nil
}

func (n *node) unmount(s *storage) {
	n.mounts = slices.DeleteFunc(n.mounts, func(m *storage) bool { return m.path == s.path })
}

// activateAll is pvestatd's: what is configured for the node and can be mounted is.
func (n *node) activateAll() {
	for _, s := range n.fs.storages {
		if s.on(n.name) {
			n.activate(s)
		}
	}
}
