package pvesim

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// What nodes share, and what stands beside them: the files on an NFS server, and a BMC for
// each node.

// shares are the files that lie on each export, and on each node's own disk.
type shares map[string]map[string]string // where -> name -> content

func (c *Cluster) sharesAt(where string) map[string]string {
	if c.shares == nil {
		c.shares = shares{}
	}
	if c.shares[where] == nil {
		c.shares[where] = map[string]string{}
	}
	return c.shares[where]
}

// sight is what a node meets on a storage, in the form a program on it would print.
type sight struct {
	Seen       bool   `json:"seen"`
	Written    bool   `json:"written"`
	ReadFault  string `json:"read_fault,omitempty"`
	WriteFault string `json:"write_fault,omitempty"`
	Lock       string `json:"lock,omitempty"`
	MountPoint string `json:"mount_point,omitempty"`
	Source     string `json:"source,omitempty"`
	FSType     string `json:"fs_type,omitempty"`
	FSID       string `json:"fsid,omitempty"`
	File       uint64 `json:"file,omitempty"`
	Took       int64  `json:"took,omitempty"`
}

// Prove writes a word on the storage at path, looks for it, or removes it: deed is write,
// read or remove. With mounted nothing is touched where nothing is mounted. While NFS hangs
// on the node it hangs until ctx ends.
func (h *Host) Prove(ctx context.Context, deed, path, nonce string, mounted bool) ([]byte, error) {
	if err := h.enter("prove", path); err != nil {
		return nil, err
	}
	s := sight{MountPoint: "/", Source: "/dev/mapper/pve-root", FSType: "ext4", FSID: "5f3a0b1c2d4e6f70", Took: int64(3e6)}
	where, hangs := "disk of "+h.n.name+":"+path, false
	for _, st := range h.n.mounted() {
		if st.path == path {
			id := uuid(st.server+":"+st.export, 0)
			where, hangs = st.server+":"+st.export, h.n.stuck
			s.MountPoint, s.Source, s.FSType, s.FSID = path, where, nfsType(st.options), id[:8]+":"+id[9:13]
		}
	}
	if !hangs {
		s.meet(h.n.c.sharesAt(where), deed, nonce, mounted && s.MountPoint != path, path)
	}
	h.n.c.unlock()
	if hangs {
		<-ctx.Done()
		return nil, &fs.PathError{Op: "prove", Path: path, Err: ctx.Err()}
	}
	return json.Marshal(s)
}

// meet does the deed among the files of where the node is.
func (s *sight) meet(files map[string]string, deed, nonce string, nowhere bool, path string) {
	name := ".psw-ha/proof-" + nonce
	content, there := files[name]
	switch {
	case nowhere:
		s.WriteFault = fmt.Sprintf("nothing is mounted on %s: it is a folder of %s (%s on %s)", path, s.MountPoint, s.FSType, s.Source)
		s.ReadFault = s.WriteFault
	case deed == "write" && there:
		s.WriteFault = "file exists"
	case deed == "write":
		files[name] = nonce
		s.Seen, s.Written, s.Lock = true, true, "given"
	case deed == "remove":
		delete(files, name)
	case !there:
		s.Written, s.ReadFault = true, "what the other node wrote is not there"
	default:
		s.Seen, s.Written, s.Lock = content == nonce, true, "given"
	}
	if s.Seen {
		s.File = 1 + uint64(len(files))
	}
}

// MaskStorage makes a storage a plain folder of the same name on the nodes' own disks, as
// it is when the NFS did not mount and nobody noticed: Proxmox goes on using it.
func (c *Cluster) MaskStorage(id string, names ...string) { c.setMasked(id, true, names) }

// UnmaskStorage mounts it again.
func (c *Cluster) UnmaskStorage(id string, names ...string) { c.setMasked(id, false, names) }

func (c *Cluster) setMasked(id string, masked bool, names []string) {
	c.lock()
	defer c.unlock()
	for _, n := range c.nodes {
		if len(names) == 0 || slices.Contains(names, n.name) {
			set(&c.faults.masked, id+" "+n.name, masked)
		}
	}
}

// MountExport makes a node mount another export of the storage's server.
func (c *Cluster) MountExport(id, export, name string) {
	c.lock()
	defer c.unlock()
	c.mustNode(name)
	if c.faults.exports == nil {
		c.faults.exports = map[string]string{}
	}
	c.faults.exports[id+" "+name] = export
}

// CutBMC makes the BMC of a node unreachable from the others named, or from all of them.
func (c *Cluster) CutBMC(bmc string, from ...string) { c.setBMC(bmc, true, from) }

// HealBMC makes it reachable again.
func (c *Cluster) HealBMC(bmc string, from ...string) { c.setBMC(bmc, false, from) }

func (c *Cluster) setBMC(bmc string, dead bool, from []string) {
	c.lock()
	defer c.unlock()
	c.mustNode(bmc)
	for _, n := range c.nodes {
		if len(from) == 0 || slices.Contains(from, n.name) {
			set(&c.faults.deadBMC, n.name+" "+bmc, dead)
		}
	}
}

func set(m *map[string]bool, key string, on bool) {
	if *m == nil {
		*m = map[string]bool{}
	}
	(*m)[key] = on
}

// bmcUser is who every BMC knows. The password is in a file on each node, as its programs
// want it.
const bmcUser = "psw"

// bmcFile is what a node needs to ask the BMC of another: the password, then the user and
// the address.
func (n *node) bmcFile(of string) (entry, bool) {
	o := n.c.node(of)
	if o == nil || o.spec.BMC == "" {
		return entry{}, false
	}
	return entry{text: fmt.Sprintf("of-%s\nuser %s\naddress %s\n", of, bmcUser, o.spec.BMC), mode: 0o600}, true
}

// ipmitool is `ipmitool -I lanplus -N 2 -R 3 -H ADDRESS -U USER -f FILE chassis power
// status|off`. A BMC has power of its own.
func (n *node) ipmitool(args []string) (out string, code int, stderr string) {
	flags := map[string]string{}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		flags[args[0]], args = args[1], args[2:]
	}
	var target *node
	for _, o := range n.c.nodes {
		if o.spec.BMC != "" && o.spec.BMC == flags["-H"] {
			target = o
		}
	}
	if target == nil || n.c.faults.deadBMC[n.name+" "+target.name] || flags["-U"] != bmcUser || flags["-f"] != "/etc/psw-ha/bmc/"+target.name {
		return "", 1, "Error: Unable to establish IPMI v2 / RMCP+ session"
	}
	switch strings.Join(args, " ") {
	case "chassis power status":
		state := "off"
		if target.power {
			state = "on"
		}
		return "Chassis Power is " + state + "\n", 0, ""
	case "chassis power off":
		n.c.truth.note(target, nil, "POWER-OFF")
		target.power = false
		target.die("power cut by its BMC")
		return "Chassis Power Control: Down/Off\n", 0, ""
	}
	return "", 1, "Invalid chassis power command: " + strings.Join(args, " ")
}
