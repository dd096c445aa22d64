package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// pmxcfs is what the nodes share through /etc/pve and through its broadcast key/value
// store. Nodes with quorum all look at one; a node that loses quorum keeps a copy.
type pmxcfs struct {
	corosync   *conf    // corosync.conf; nil if the node is in no cluster
	access     *access  // users and tokens; never changed
	ca         string   // the node whose authority signs the certificates
	authorized []string // lines of priv/authorized_keys
	known      []string // lines of priv/known_hosts
	guests     map[int]*guestConf
	storages   []*storage
	datacenter map[string]string
	mappings   map[string][]string // never changed
	resources  []*resource         // in file order
	bySID      map[string]*resource
	rules      []*rule // in file order
	groups     []crm.Group
	locks      map[string]haLock
	commands   []string // /etc/pve/ha/crm_commands
	manager    *managerStatus
	lrm        map[string]lrmStatus // by node
	// What pvestatd of each node has broadcast.
	guestStats map[int]guestStat
	nodeStats  map[string]nodeStat
	// The HA manager's reading of resources and rules, nil when it is out of date, and how
	// often each has changed.
	services                     []crm.Service
	model                        []crm.Rule
	resourceChanges, ruleChanges int
}

func newPmxcfs() *pmxcfs {
	return &pmxcfs{
		guests: map[int]*guestConf{}, datacenter: map[string]string{}, mappings: map[string][]string{}, locks: map[string]haLock{},
		bySID: map[string]*resource{}, lrm: map[string]lrmStatus{}, guestStats: map[int]guestStat{}, nodeStats: map[string]nodeStat{},
	}
}

// clone is what a node keeps that is cut off.
func (f *pmxcfs) clone() *pmxcfs {
	o := *f
	o.authorized, o.known = slices.Clone(f.authorized), slices.Clone(f.known)
	o.guests = make(map[int]*guestConf, len(f.guests))
	for id, g := range f.guests {
		o.guests[id] = g.clone()
	}
	o.storages = nil
	for _, s := range f.storages {
		o.storages = append(o.storages, s.clone())
	}
	o.services, o.model = nil, nil
	o.resources, o.bySID = nil, map[string]*resource{}
	for _, r := range f.resources {
		o.putResource(r.clone())
	}
	o.rules = nil
	for _, r := range f.rules {
		o.rules = append(o.rules, r.clone())
	}
	o.commands = slices.Clone(f.commands)
	o.datacenter = maps.Clone(f.datacenter)
	o.locks = maps.Clone(f.locks)
	o.lrm = maps.Clone(f.lrm)
	o.guestStats = maps.Clone(f.guestStats)
	o.nodeStats = maps.Clone(f.nodeStats)
	return &o
}

// guestConf is a guest's configuration file. Node is the directory it lies in, which is
// what makes the guest that node's.
type guestConf struct {
	id        int
	kind      kind
	node      string
	conf      map[string]string
	snapshots []string
	created   int // number: part of what makes uuids differ
}

// kind is qemu or lxc, as paths and types of the API say.
type kind string

const (
	qemu kind = "qemu"
	lxc  kind = "lxc"
)

// ha is the kind as a SID says it.
func (k kind) ha() string {
	if k == lxc {
		return "ct"
	}
	return "vm"
}

// word is the kind as messages say it.
func (k kind) word() string { return strings.ToUpper(k.ha()) }

// dir is the directory of its configuration files.
func (k kind) dir() string {
	if k == lxc {
		return "lxc"
	}
	return "qemu-server"
}

func (g *guestConf) clone() *guestConf {
	o := *g
	o.conf = maps.Clone(g.conf)
	o.snapshots = slices.Clone(g.snapshots)
	return &o
}

func (g *guestConf) sid() string { return fmt.Sprintf("%s:%d", g.kind.ha(), g.id) }

func (g *guestConf) name() string {
	if g.kind == lxc {
		return g.conf["hostname"]
	}
	return g.conf["name"]
}

// text is the file as pmxcfs shows it.
func (g *guestConf) text() string {
	var b strings.Builder
	if d, ok := g.conf["description"]; ok {
		for line := range strings.SplitSeq(d, "\n") {
			b.WriteString("#" + line + "\n")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(g.conf)) {
		if k != "description" {
			fmt.Fprintf(&b, "%s: %s\n", k, g.conf[k])
		}
	}
	for k, name := range g.snapshots {
		fmt.Fprintf(&b, "\n[%s]\n", name)
		if k > 0 {
			fmt.Fprintf(&b, "parent: %s\n", g.snapshots[k-1])
		}
		for _, key := range slices.Sorted(maps.Keys(g.conf)) {
			if key != "lock" && key != "description" {
				fmt.Fprintf(&b, "%s: %s\n", key, g.conf[key])
			}
		}
		fmt.Fprintf(&b, "snaptime: %d\n", snapTime)
	}
	return b.String()
}

// digest is the SHA-1 of a configuration file, which writers compare.
func digest(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// sortedGuests are all guests by VMID.
func (f *pmxcfs) sortedGuests() []*guestConf {
	list := make([]*guestConf, 0, len(f.guests))
	for _, id := range slices.Sorted(maps.Keys(f.guests)) {
		list = append(list, f.guests[id])
	}
	return list
}

// guestBySID finds the guest a SID names; nil if there is none of that kind.
func (f *pmxcfs) guestBySID(sid string) *guestConf {
	typ, id, _ := strings.Cut(sid, ":")
	g := f.guests[atoi(id)]
	if g == nil || g.kind.ha() != typ {
		return nil
	}
	return g
}

// resource is a guest's HA configuration; nil if it has none.
func (f *pmxcfs) resource(sid string) *resource { return f.bySID[sid] }

func (f *pmxcfs) putResource(r *resource) {
	f.resources = append(f.resources, r)
	f.bySID[r.sid] = r
	f.resourcesChanged()
}

func (f *pmxcfs) rule(id string) *rule {
	for _, r := range f.rules {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (f *pmxcfs) storage(id string) *storage {
	for _, s := range f.storages {
		if s.id == id {
			return s
		}
	}
	return nil
}
