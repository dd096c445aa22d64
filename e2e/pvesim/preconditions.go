package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// What speaks against moving a guest: once as GET …/migrate tells it, which is not all,
// and once as a migration finds out.

// localDevices are configuration keys that bind a virtual machine to its node's hardware,
// and those that name a cluster-wide mapping.
func (g *guestConf) localDevices() (local, mapped []string) {
	for _, key := range slices.Sorted(maps.Keys(g.conf)) {
		base := strings.TrimRight(key, "0123456789")
		v := g.conf[key]
		switch base {
		case "hostpci", "usb":
			switch {
			case strings.Contains(v, "mapping="):
				mapped = append(mapped, key)
			case base == "usb" && strings.HasPrefix(strings.TrimPrefix(v, "host="), "spice"):
			default:
				local = append(local, key)
			}
		case "virtiofs":
			mapped = append(mapped, key)
		case "serial", "parallel":
			if v != "socket" {
				local = append(local, key)
			}
		case "ivshmem":
			local = append(local, key)
		}
	}
	return local, mapped
}

// mapping is the mapping a configuration line names.
func mapping(line string) string {
	for item := range strings.SplitSeq(line, ",") {
		if k, v, _ := strings.Cut(item, "="); k == "mapping" || k == "dirid" {
			return v
		}
	}
	return ""
}

// unmapped are those of the keys whose mapping has nothing for a node; ok is false if one
// is not defined at all.
func (f *pmxcfs) unmapped(g *guestConf, keys []string, node string) (missing []string, ok bool) {
	for _, key := range keys {
		nodes, defined := f.mappings[mapping(g.conf[key])]
		if !defined {
			return nil, false
		}
		if !slices.Contains(nodes, node) {
			missing = append(missing, key)
		}
	}
	return missing, true
}

// localVolumes are the guest's volumes that are not on shared storage.
func (n *node) localVolumes(g *guestConf) []volume {
	var list []volume
	for _, v := range g.volumes() {
		s := n.fs.storage(v.storage)
		switch {
		case v.storage == "" && v.shared:
		case s != nil && s.shared:
		case strings.HasSuffix(v.id, ":cloudinit"):
		default:
			list = append(list, v)
		}
	}
	return list
}

// preconditionsVM ignores its parameter target, as Proxmox does: it speaks of all nodes.
func preconditionsVM(r *request) (any, error) {
	g, err := r.guest(qemu)
	if err != nil {
		return nil, err
	}
	if lock := g.conf["lock"]; lock != "" {
		return nil, die("VM is locked (%s)", lock)
	}
	for _, v := range g.volumes() {
		if v.storage != "" && r.fs.storage(v.storage) == nil {
			return nil, die("storage '%s' does not exist", v.storage)
		}
	}
	local, mapped := g.localDevices()
	info := object{}
	for _, key := range mapped {
		info[key] = object{"name": mapping(g.conf[key])}
		if !strings.HasPrefix(key, "hostpci") { // recorded so
			local = append(local, key)
		}
	}
	if _, ok := r.fs.unmapped(g, mapped, r.n.name); !ok {
		return nil, die("%s", undefinedMapping)
	}
	disks := []object{}
	for _, v := range r.n.localVolumes(g) {
		d := object{
			"volid": v.id, "drivename": v.key, "shared": 0, "cdrom": flag(v.cdrom), "replicate": 1, "is_attached": flag(!strings.HasPrefix(v.key, "unused")),
			"is_unused": flag(strings.HasPrefix(v.key, "unused")), "is_cloudinit": 0, "is_tpmstate": flag(v.key == "tpmstate0"), "is_vmstate": 0,
		}
		if v.size > 0 {
			d["size"] = v.size
		}
		disks = append(disks, d)
	}
	allowed, refused := r.allowedNodes(g, "blocking-ha-resources", true)
	out := object{
		"running": flag(r.n.executing(g.id)), "has-dbus-vmstate": 1, "local_disks": disks, "local_resources": orEmpty(local),
		"mapped-resources": orEmpty(mapped), "mapped-resource-info": info, "allowed_nodes": allowed, "not_allowed_nodes": refused,
	}
	if r.fs.managed(g) {
		out["dependent-ha-resources"] = orEmpty(r.dependent(g.sid(), func(crm.ServiceStatus) bool { return true }))
	}
	return out, nil
}

// undefinedMapping is how Proxmox says that a mapping is not defined.
const undefinedMapping = "Can't use an undefined value as an ARRAY reference at /usr/share/perl5/PVE/QemuMigrate/Helpers.pm line 63."

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// allowedNodes are the other nodes, with what shared storage and negative affinity say of
// them. all: those without an objection are also listed with an empty one.
func (r *request) allowedNodes(g *guestConf, blocking string, all bool) (allowed []string, refused object) {
	allowed, refused = []string{}, object{}
	for _, n := range r.peers() {
		if n == r.n {
			continue
		}
		why := object{}
		var storages []string
		for _, v := range g.volumes() {
			if s := r.fs.storage(v.storage); s != nil && !s.on(n.name) && !slices.Contains(storages, s.id) {
				storages = append(storages, s.id)
			}
		}
		if len(storages) > 0 && g.kind == qemu {
			why["unavailable_storages"] = storages
		}
		if _, mapped := g.localDevices(); len(mapped) > 0 {
			if keys, _ := r.fs.unmapped(g, mapped, n.name); len(keys) > 0 {
				why["unavailable-resources"] = keys
			}
		}
		if r.fs.managed(g) {
			if sids := r.blocking(g.sid(), n.name); len(sids) > 0 {
				why[blocking] = causes(sids)
			}
		}
		if len(why) == 0 && r.n.sees(n.name) {
			allowed = append(allowed, n.name)
		}
		if all && r.n.sees(n.name) || len(why) > 0 {
			refused[n.name] = why
		}
	}
	return allowed, refused
}

// preconditionsCT says nothing of bind mounts.
func preconditionsCT(r *request) (any, error) {
	g, err := r.guest(lxc)
	if err != nil {
		return nil, err
	}
	if lock := g.conf["lock"]; lock != "" {
		return nil, die("CT is locked (%s)", lock)
	}
	allowed, refused := r.allowedNodes(g, "blocking-ha-resources", false)
	out := object{"running": flag(r.n.executing(g.id)), "allowed-nodes": allowed, "not-allowed-nodes": refused}
	if r.fs.managed(g) {
		out["dependent-ha-resources"] = orEmpty(r.dependent(g.sid(), func(crm.ServiceStatus) bool { return true }))
	}
	return out, nil
}

// blockers are what a migration finds that forbids it, as its log says it.
func (n *node) blockers(g *guestConf, m migration, running bool) []string {
	var list []string
	if g.kind == lxc {
		if running && m.online && !m.restart {
			list = append(list, "lxc live migration is currently not implemented")
		}
		for _, v := range g.volumes() {
			if v.storage == "" && !v.shared {
				list = append(list, fmt.Sprintf("cannot migrate local bind mount point '%s'", v.key))
			}
		}
		return append(list, n.missingStorage(g, m)...)
	}
	local, mapped := g.localDevices()
	if len(local) > 0 {
		list = append(list, "can't migrate VM which uses local devices: "+strings.Join(local, ", "))
	}
	switch keys, ok := n.fs.unmapped(g, mapped, m.target); {
	case !ok:
		list = append(list, undefinedMapping)
	case len(keys) > 0:
		list = append(list, fmt.Sprintf("can't migrate to '%s': missing mapped devices %s", m.target, strings.Join(keys, ", ")))
	case running && len(mapped) > 0:
		list = append(list, "can't migrate running VM which uses mapped devices: "+strings.Join(mapped, ", "))
	}
	return append(list, n.missingStorage(g, m)...)
}

// missingStorage: the API asks for it before a migration of its own, the HA manager's
// migrations find out here.
func (n *node) missingStorage(g *guestConf, m migration) []string {
	var list []string
	for _, v := range g.volumes() {
		s := n.fs.storage(v.storage)
		switch {
		case v.storage == "":
		case s == nil:
			list = append(list, fmt.Sprintf("storage '%s' does not exist", v.storage))
		case m.targetStorage == "" && !s.on(m.target):
			list = append(list, fmt.Sprintf("storage '%s' is not available on node '%s'", s.id, m.target))
		}
	}
	return list
}

// scan is phase 1 of a virtual machine's migration: its local volumes, and which of them
// cannot be moved along.
func (mv *moving) scan() bool {
	bad := false
	for _, v := range mv.n.localVolumes(mv.g) {
		mv.stampf("found local disk '%s' (attached)", v.id)
		switch {
		case mv.running && !mv.m.localDisks:
			mv.stampf("can't migrate local disk '%s': can't live migrate attached local disks without with-local-disks option", v.id)
			bad = true
		case v.cdrom:
			mv.stampf("can't migrate local disk '%s': local cdrom image", v.id)
			bad = true
		}
	}
	if !bad {
		return true
	}
	const why = "Problem found while scanning volumes - can't migrate VM - check log"
	mv.unlock()
	mv.stampf("ERROR: %s", why)
	mv.stampf("aborting phase 1 - cleanup resources")
	mv.stampf("ERROR: migration aborted (duration %s): %s", mv.duration(), why)
	mv.finish("migration aborted")
	return false
}
