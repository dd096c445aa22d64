package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// StorageSpec is an entry of storage.cfg.
type StorageSpec struct {
	ID string
	// Type is nfs, dir, lvmthin, zfspool, …
	Type string
	// Shared of a dir; nfs is always shared.
	Shared bool
	// Content is what it may hold; images and rootdir if empty.
	Content []string
	// Nodes restricts it; empty means every node.
	Nodes []string
	// Server, Export and Options of an nfs; Path of either (/mnt/pve/ID, /var/lib/vz).
	Server, Export, Options, Path string
	Disabled                      bool
	// Size and Used are bytes; 1 TiB and a tenth of the size if 0.
	Size, Used int64
}

type storage struct {
	id, typ  string
	shared   bool
	content  []string
	nodes    []string
	server   string
	export   string
	options  string
	path     string
	disabled bool
	size     int64
	used     int64
	extra    map[string]string // further lines
}

func (s *storage) clone() *storage {
	o := *s
	o.content, o.nodes, o.extra = slices.Clone(s.content), slices.Clone(s.nodes), maps.Clone(s.extra)
	return &o
}

func (f *pmxcfs) addStorage(s StorageSpec) {
	if s.ID == "" || f.storage(s.ID) != nil {
		panic(fmt.Sprintf("pvesim: storage %q has no ID of its own", s.ID))
	}
	st := &storage{
		id: s.ID, typ: cmp.Or(s.Type, "nfs"), content: slices.Clone(s.Content), nodes: slices.Clone(s.Nodes),
		server: s.Server, export: s.Export, options: s.Options, path: s.Path, disabled: s.Disabled, size: cmp.Or(s.Size, 1<<40),
	}
	st.used = cmp.Or(s.Used, st.size/10)
	st.shared = s.Shared || st.typ == "nfs"
	if len(st.content) == 0 {
		st.content = []string{"images", "rootdir"}
	}
	switch st.typ {
	case "nfs":
		st.server, st.export = cmp.Or(st.server, "10.99.7.1"), cmp.Or(st.export, "/srv/"+st.id)
		st.path = cmp.Or(st.path, "/mnt/pve/"+st.id)
	case "dir":
		st.path = cmp.Or(st.path, "/var/lib/vz")
	}
	f.storages = append(f.storages, st)
}

// files reports whether its volumes are files, named with the guest's directory.
func (s *storage) files() bool { return s.typ == "nfs" || s.typ == "dir" || s.typ == "cifs" }

// volume names the k-th volume of a guest.
func (s *storage) volume(g *guestConf, k int) string {
	name := fmt.Sprintf("vm-%d-disk-%d", g.id, k)
	if !s.files() {
		return s.id + ":" + name
	}
	ext := "qcow2"
	if g.kind == lxc {
		ext = "raw"
	}
	return fmt.Sprintf("%s:%d/%s.%s", s.id, g.id, name, ext)
}

// on reports whether the storage is configured for a node and enabled.
func (s *storage) on(node string) bool {
	return !s.disabled && (len(s.nodes) == 0 || slices.Contains(s.nodes, node))
}

// active reports whether the storage works on a node now. Asking activates it.
func (n *node) active(s *storage) bool {
	if !n.up || !s.on(n.name) {
		return false
	}
	why, _ := n.activate(s)
	return why == ""
}
