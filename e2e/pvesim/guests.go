package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// GuestSpec is a virtual machine or container.
type GuestSpec struct {
	ID int
	// Type is qemu (also if empty) or lxc.
	Type string
	Name string
	Node string
	// Running: its process runs at the start.
	Running bool
	// Cores and Memory (bytes) are 1 and 512 MiB if 0; NoCores leaves cores out, as a
	// container may.
	Cores   int
	NoCores bool
	Memory  int64
	// Disks are its volumes; without any it has one of 1 GiB on the first shared storage
	// that takes such volumes, if there is one.
	Disks []DiskSpec
	// Config are further lines of its configuration file: hostpci0, mp0, lock, tags, … If
	// Bare is set they are all of it.
	Config    map[string]string
	Bare      bool
	Snapshots []string
	Template  bool
}

// DiskSpec is a volume of a guest.
type DiskSpec struct {
	// Key is the line's: scsi0, virtio1, rootfs, mp0. Empty counts up from scsi0, or
	// rootfs and mp0 for a container.
	Key     string
	Storage string
	Size    int64 // bytes; 1 GiB if 0
}

func (c *Cluster) addGuest(s GuestSpec) {
	n := c.node(s.Node)
	if n == nil || s.ID < 100 || n.home.guests[s.ID] != nil {
		panic(fmt.Sprintf("pvesim: guest %d needs an ID of its own from 100 on and a node: %q", s.ID, s.Node))
	}
	g := &guestConf{
		id: s.ID, kind: cmp.Or(kind(s.Type), qemu), node: s.Node,
		conf: map[string]string{}, snapshots: slices.Clone(s.Snapshots), created: c.number(),
	}
	if !s.Bare {
		c.furnish(n.home, g, s)
	}
	maps.Copy(g.conf, s.Config)
	n.home.guests[g.id] = g
	if s.Running {
		n.startProcess(g, false)
	}
}

// furnish writes what every guest's configuration has.
func (c *Cluster) furnish(fs *pmxcfs, g *guestConf, s GuestSpec) {
	name := cmp.Or(s.Name, fmt.Sprintf("%s%d", g.kind.ha(), s.ID))
	memory := strconv.FormatInt(cmp.Or(s.Memory, 512<<20)>>20, 10)
	if g.kind == lxc {
		maps.Copy(g.conf, map[string]string{"hostname": name, "memory": memory, "arch": "amd64", "ostype": "debian", "swap": "512", "unprivileged": "1"})
	} else {
		maps.Copy(g.conf, map[string]string{
			"name": name, "memory": memory, "meta": fmt.Sprintf("creation-qemu=10.1.2,ctime=%d", c.unix(c.now())),
			"smbios1": "uuid=" + uuid("smbios", g.created), "vmgenid": uuid("vmgenid", g.created),
		})
	}
	if !s.NoCores {
		g.conf["cores"] = strconv.Itoa(cmp.Or(s.Cores, 1))
	}
	if s.Template {
		g.conf["template"] = "1"
	}
	fs.addDisks(g, s.Disks)
}

func (f *pmxcfs) addDisks(g *guestConf, disks []DiskSpec) {
	if len(disks) == 0 {
		content := "images"
		if g.kind == lxc {
			content = "rootdir"
		}
		for _, s := range f.storages {
			if s.shared && slices.Contains(s.content, content) {
				disks = []DiskSpec{{Storage: s.id}}
				break
			}
		}
	}
	for k, d := range disks {
		key := d.Key
		switch {
		case key != "":
		case g.kind == qemu:
			key = fmt.Sprintf("scsi%d", k)
		case k == 0:
			key = "rootfs"
		default:
			key = fmt.Sprintf("mp%d", k-1)
		}
		st := f.storage(d.Storage)
		if st == nil {
			panic(fmt.Sprintf("pvesim: guest %d: no storage %q", g.id, d.Storage))
		}
		line := fmt.Sprintf("%s,size=%s", st.volume(g, k), sizeText(cmp.Or(d.Size, 1<<30)))
		if g.kind == lxc && key != "rootfs" {
			line += ",mp=/mnt/" + key
		}
		g.conf[key] = line
		if g.kind == qemu && g.conf["boot"] == "" {
			g.conf["boot"] = "order=" + key
		}
	}
}

// memory is the guest's assigned memory in bytes.
func (g *guestConf) memory() int64 {
	text, _, _ := strings.Cut(g.conf["memory"], ",")
	text = strings.TrimPrefix(text, "current=")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 512 << 20
	}
	return n << 20
}

// cpus is the number of processors the guest may use: cores, times sockets for a
// virtual machine, cpulimit for a container; a container with neither has the
// node's, or 0 if no node is asked for.
func (g *guestConf) cpus(n *node) float64 {
	cores := float64(atoi(g.conf["cores"]))
	if g.kind == qemu {
		return max(cores, 1) * float64(max(atoi(g.conf["sockets"]), 1))
	}
	if limit, err := strconv.ParseFloat(g.conf["cpulimit"], 64); err == nil && limit > 0 {
		return limit
	}
	if cores > 0 || n == nil {
		return cores
	}
	return float64(n.spec.CPUs)
}

// volume is a disk, ISO image or mount point of a guest.
type volume struct {
	key     string
	storage string // empty for a device or a bind mount
	id      string // volume ID or path
	size    int64
	cdrom   bool
	shared  bool // the line says shared=1
}

// volumes are the guest's disks and mount points, by key, a container's root first.
func (g *guestConf) volumes() []volume {
	var list []volume
	keys := slices.Sorted(maps.Keys(g.conf))
	if at := slices.Index(keys, "rootfs"); at > 0 {
		keys = slices.Insert(slices.Delete(keys, at, at+1), 0, "rootfs")
	}
	for _, key := range keys {
		if !volumeKey(g.kind, key) {
			continue
		}
		line := g.conf[key]
		id, rest, _ := strings.Cut(line, ",")
		if id == "none" {
			continue
		}
		v := volume{key: key, id: strings.TrimPrefix(strings.TrimPrefix(id, "volume="), "file=")}
		if !strings.HasPrefix(v.id, "/") {
			v.storage, _, _ = strings.Cut(v.id, ":")
		}
		for opt := range strings.SplitSeq(rest, ",") {
			k, val, _ := strings.Cut(opt, "=")
			switch k {
			case "size":
				v.size = parseSize(val)
			case "media":
				v.cdrom = val == "cdrom"
			case "shared":
				v.shared = val == "1"
			}
		}
		list = append(list, v)
	}
	return list
}

func volumeKey(k kind, key string) bool {
	base := strings.TrimRight(key, "0123456789")
	if k == lxc {
		return key == "rootfs" || base == "mp" && base != key || base == "unused"
	}
	switch base {
	case "scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "unused":
		return base != key
	}
	return false
}

// maxDisk is the size of the root disk, as lists show it.
func (g *guestConf) maxDisk() int64 {
	if g.kind == lxc {
		for _, v := range g.volumes() {
			if v.key == "rootfs" {
				return v.size
			}
		}
		return 0
	}
	boot := strings.TrimPrefix(g.conf["boot"], "order=")
	boot, _, _ = strings.Cut(boot, ";")
	for _, v := range g.volumes() {
		if v.key == boot && !v.cdrom {
			return v.size
		}
	}
	for _, v := range g.volumes() {
		if !v.cdrom {
			return v.size
		}
	}
	return 0
}

func parseSize(s string) int64 {
	if s == "" {
		return 0
	}
	unit := map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}[s[len(s)-1]]
	if unit == 0 {
		return int64(atoi(s))
	}
	f, _ := strconv.ParseFloat(s[:len(s)-1], 64)
	return int64(f * float64(unit))
}

func sizeText(n int64) string {
	switch {
	case n%(1<<30) == 0:
		return fmt.Sprintf("%dG", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dM", n>>20)
	}
	return fmt.Sprintf("%dK", n>>10)
}

// atoi is 0 for what is no number.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// uuid is a made-up but reproducible UUID.
func uuid(what string, n int) string {
	d := digest(fmt.Sprintf("%s %d", what, n))
	return fmt.Sprintf("%s-%s-4%s-8%s-%s", d[:8], d[8:12], d[13:16], d[17:20], d[20:32])
}
