package probe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookGuestConfigs reads the configurations that lie on this node. One that vanishes
// meanwhile moved to another node with its guest.
func lookGuestConfigs(ctx context.Context, r *round) (facts, error) {
	if err := needPmxcfs(r.host); err != nil {
		return nil, err
	}
	var missing faults
	storages, err := readStorages(r.host)
	missing.add("storage.cfg", bare(err))
	var list []ha.GuestConfig
	for _, kind := range []ha.GuestKind{ha.VM, ha.CT} {
		ids, err := configIDs(r.host, r.node, kind)
		missing.add(configFolder(r.node, kind), err)
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			sid := ha.SID{Kind: kind, ID: id}
			data, err := read(r.host, configFolder(r.node, kind)+"/"+strconv.Itoa(id)+".conf")
			if gone(err) {
				continue
			}
			if err != nil {
				missing.add(sid.String(), bare(err))
				continue
			}
			list = append(list, parseGuestConfig(sid, string(data), storages))
		}
	}
	missing.add("resource mappings", resolveMappings(r.host, list))
	return func(report *ha.Report) { report.GuestConfigs = list }, missing.err()
}

// parseGuestConfig reads what a configuration says about where the guest can run. The
// lines before the first [section] are the guest as it is; sections are its snapshots,
// but for [PENDING] (changes that wait for a restart) and [special:…] (Proxmox's own).
func parseGuestConfig(sid ha.SID, text string, storages sharing) ha.GuestConfig {
	c := ha.GuestConfig{SID: sid}
	var used []string
	section, snapshots := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok && strings.HasSuffix(line, "]") {
			section = strings.TrimSuffix(name, "]")
			snapshots = section != "PENDING" && !strings.HasPrefix(section, "special:")
			if snapshots {
				c.Snapshots++
			}
			continue
		}
		key, value, ok := configLine(line)
		if !ok {
			continue
		}
		volume := volumeOf(sid.Kind, key, value)
		if volume.storage != "" {
			used = append(used, volume.storage)
		}
		if section != "" {
			continue
		}
		switch key {
		case "name", "hostname":
			c.Name = value
		case "lock":
			c.Lock = value
		case "onboot":
			c.OnBoot = value == "1"
		case "cpu":
			c.CPU = first(value, "cputype")
		}
		if m, ok := mapped(sid.Kind, key, value); ok {
			c.Mapped = append(c.Mapped, m)
		}
		if why := binds(sid.Kind, key, value, volume, storages); why != "" {
			c.Local = append(c.Local, key+": "+why)
		}
	}
	slices.SortFunc(c.Mapped, func(a, b ha.MappedDevice) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	slices.Sort(used)
	c.Storages = slices.Compact(used)
	if c.Snapshots > 0 {
		for _, name := range c.Storages {
			if storages.of(name) != shareShared {
				c.Local = append(c.Local, fmt.Sprintf("snapshots: %d, which cannot be copied from %s", c.Snapshots, name))
			}
		}
	}
	return c
}

// configLine splits "key: value", and "lxc.key = value" of raw LXC lines. Comments hold
// the guest's notes.
func configLine(line string) (key, value string, ok bool) {
	if line == "" || line[0] == '#' {
		return "", "", false
	}
	if strings.HasPrefix(line, "lxc.") {
		if colon, equals := strings.Index(line, ":"), strings.Index(line, "="); equals >= 0 && (colon < 0 || equals < colon) {
			key, value, _ = strings.Cut(line, "=")
			return strings.TrimSpace(key), strings.TrimSpace(value), true
		}
	}
	key, value, ok = strings.Cut(line, ":")
	return strings.TrimSpace(key), strings.TrimSpace(value), ok
}

// volume is what a disk, drive or mount point is made of.
type volume struct {
	storage string // the storage's name, if it lies on one
	path    string // the device or folder, if it does not
	cdrom   bool
	image   bool // an ISO image
	shared  bool // the user vouches that the path is the same everywhere
}

// volumeOf reads the value of a key that names a volume; it is zero for any other key.
func volumeOf(kind ha.GuestKind, key, value string) (v volume) {
	prefix := strings.TrimRight(key, "0123456789")
	numbered := prefix != key
	switch {
	case kind == ha.VM && numbered && slices.Contains([]string{"ide", "sata", "scsi", "virtio", "efidisk", "tpmstate", "unused"}, prefix):
	case kind == ha.VM && key == "vmstate": // the memory of a snapshot
	case kind == ha.CT && (key == "rootfs" || numbered && (prefix == "mp" || prefix == "unused")):
	default:
		return v
	}
	var name string
	for k, option := range strings.Split(value, ",") {
		field, setting, named := strings.Cut(option, "=")
		switch {
		case k == 0 && !named:
			name = option
		case field == "file" || field == "volume":
			name = setting
		case field == "media":
			v.cdrom = setting == "cdrom"
		case field == "shared":
			v.shared = setting == "1"
		}
	}
	switch {
	case name == "none":
	case strings.HasPrefix(name, "/"):
		v.path = name
	case name == "cdrom":
		v.path, v.cdrom = name, true
	default:
		storage, volume, ok := strings.Cut(name, ":")
		if ok {
			v.storage = storage
			v.image = v.cdrom && strings.HasPrefix(volume, "iso/")
		}
	}
	return v
}

// binds says why a line ties its guest to this node; empty if it does not. A plain disk on
// a storage is none of it: the storage says whether that is shared, and Proxmox can copy
// one that is not. An image in a drive and a device cannot be copied.
func binds(kind ha.GuestKind, key, value string, v volume, storages sharing) string {
	switch {
	case v.path == "cdrom":
		return "uses the node's own CD-ROM drive"
	case v.path != "" && kind == ha.VM:
		return "uses " + v.path + " of the node"
	case v.path != "" && !v.shared && strings.HasPrefix(v.path, "/dev/"):
		return "device " + v.path + " without shared=1"
	case v.path != "" && !v.shared:
		return "bind mount " + v.path + " without shared=1"
	case v.image && storages.of(v.storage) == shareLocal:
		return "ISO image on " + v.storage + ", which is local"
	case v.image && storages.of(v.storage) == shareUnknown:
		return "ISO image on " + v.storage + ", and storage.cfg does not say whether that is shared"
	case kind == ha.VM:
		return deviceBinds(key, value)
	}
	return containerBinds(key, value)
}

// deviceBinds says why a device line of a virtual machine ties it to this node
// (pve-ha-behaviour 8.1: what Proxmox refuses, or only logs and then fails at).
func deviceBinds(key, value string) string {
	switch prefix := strings.TrimRight(key, "0123456789"); {
	case prefix == "hostpci" && option(value, "mapping") == "":
		return "passes the device " + first(value, "host") + " through"
	case prefix == "usb" && option(value, "mapping") != "":
		return "mapped USB device " + option(value, "mapping") + ", which cannot move while the guest runs"
	case prefix == "usb" && first(value, "host") != "spice":
		return "passes the USB device " + first(value, "host") + " through"
	case (prefix == "serial" || prefix == "parallel") && strings.HasPrefix(value, "/dev/"):
		return "uses " + value + " of the node"
	case key == "ivshmem":
		return "shares memory with processes of the node"
	case prefix == "virtiofs":
		return "shares the folder " + first(value, "dirid") + " of the node, which cannot move while the guest runs"
	}
	return ""
}

// containerBinds does the same for lines of a container that are not mount points: device
// nodes handed in, and bind mounts written for LXC itself, which Proxmox does not check.
func containerBinds(key, value string) string {
	prefix := strings.TrimRight(key, "0123456789")
	switch {
	case prefix == "dev" && prefix != key:
		return "passes the device " + first(value, "path") + " through"
	case key == "lxc.mount.entry":
		fields := strings.Fields(value)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "/") || slices.Contains(strings.Split(fields[3], ","), "optional") {
			return ""
		}
		for _, everywhere := range []string{"/dev/", "/proc/", "/sys/"} {
			if strings.HasPrefix(fields[0]+"/", everywhere) {
				return ""
			}
		}
		return "bind mount " + fields[0]
	}
	return ""
}

// option returns a named setting of a property string like "mapping=gpu1,pcie=1".
func option(value, name string) string {
	for setting := range strings.SplitSeq(value, ",") {
		if v, ok := strings.CutPrefix(setting, name+"="); ok {
			return v
		}
	}
	return ""
}

// first returns the leading setting of a property string, whose name may be left out.
func first(value, name string) string {
	if v := option(value, name); v != "" {
		return v
	}
	v, _, _ := strings.Cut(value, ",")
	return v
}
