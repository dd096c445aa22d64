package project

import (
	"cmp"
	"net/netip"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var (
	targetKeys  = []string{"type", "node", "ha", "cores", "memory", "disk", "ip", "bootstrap", "ha_options", "maintenance", "ready", "storage", "devices"}
	optionsKeys = []string{"nodes", "strict", "priority", "max_restart", "max_relocate"}
	readyKeys   = []string{"tcp"}
)

// Bounds of what a target may ask for. The least and coresMax are Proxmox's own (API
// schema of lxc and qemu create); the rest only catches a wrong unit.
const (
	coresMax    = 8192
	memoryMin   = 16      // MiB
	memoryMax   = 8 << 20 // MiB: 8 TiB
	diskMax     = 1 << 20 // GiB: 1 PiB
	priorityMax = 1000
	triesMax    = 100
)

func (n *network) readTargets(top mapping) {
	section, _ := top.get("targets")
	if !section.given() {
		return
	}
	targets, _ := section.mapping()
	owner := map[netip.Addr]entry{}
	for _, e := range targets.entries {
		t := n.readTarget(e)
		n.policy.Targets = append(n.policy.Targets, t)
		p, err := netip.ParsePrefix(t.IP)
		if err != nil {
			a, err := netip.ParseAddr(t.IP)
			if err != nil {
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if first, taken := owner[p.Addr()]; taken {
			n.src.fault(e.at, "give each target its own address", "%s has the ip %s, as has %s in line %d", e.path, p.Addr(), first.key, first.at.line)
			continue
		}
		owner[p.Addr()] = e
	}
}

func (n *network) readTarget(e entry) ha.Target {
	t := ha.Target{Name: e.key}
	if !e.given() {
		n.src.fault(e.at, "write type, node, cores, memory and disk under it", "%s has no type", e.path)
		return t
	}
	fields, ok := e.mapping()
	if !ok {
		return t
	}
	fields.onlyKnown(targetKeys)
	t.Type = n.readType(e, fields)
	t.Cores = sizes(fields, "cores", func(v value) (float64, bool) {
		return v.number(coresMax, "write the number of cores, e.g. 4")
	})
	t.Memory = sizes(fields, "memory", func(v value) (int64, bool) {
		return v.integer(memoryMin, memoryMax, mebibyte.name, sizeFix(v, mebibyte))
	}) << mebibyte.shift
	t.Disk = sizes(fields, "disk", func(v value) (int64, bool) {
		return v.integer(1, diskMax, gibibyte.name, sizeFix(v, gibibyte))
	}) << gibibyte.shift
	if f, _ := fields.get("ip"); f.given() {
		t.IP = f.targetIP()
	}
	if f, _ := fields.get("bootstrap"); f.given() {
		t.Bootstrap = f.boolean()
	}
	if f, _ := fields.get("maintenance"); f.given() {
		t.Maintenance = f.maintenanceMode()
	}
	if f, _ := fields.get("ready"); f.given() {
		t.ReadyTCP = n.readReady(f)
	}
	haField, _ := fields.get("ha")
	if haField.given() {
		t.HA = haField.boolean()
	}
	if t.HA && t.Type == ha.TargetBare {
		n.src.fault(haField.value.at, "remove it, or make the target an lxc or a vm", "%s is true, but a bare target takes no part in HA", haField.path)
		t.HA = false
	}
	if t.HA {
		n.haAt[t.Name] = haField.value.at
	}
	n.readNode(e, fields, &t)
	n.readHome(fields, &t)
	if f, _ := fields.get("ha_options"); f.given() {
		t.Options = n.readOptions(f, t)
	}
	return t
}

func sizes[T int64 | float64](fields mapping, key string, read func(value) (T, bool)) T {
	f, _ := fields.get(key)
	if !f.given() {
		return 0
	}
	size, _ := read(f.value)
	return size
}

func (n *network) readType(e entry, fields mapping) ha.TargetType {
	f, _ := fields.get("type")
	if !f.given() {
		n.src.fault(e.at, "add type: lxc, type: vm or type: bare", "%s has no type", e.path)
		return ""
	}
	text, ok := f.text()
	if !ok {
		return ""
	}
	switch t := ha.TargetType(text); t {
	case ha.TargetLXC, ha.TargetVM, ha.TargetBare:
		return t
	}
	fix := "write lxc, vm or bare"
	switch asciiLower(text) {
	case "ct", "container", "lxc":
		fix = "write lxc"
	case "qemu", "kvm", "vm":
		fix = "write vm"
	}
	n.src.fault(f.value.at, fix, "%s is %s, which is no type of target", f.path, quote(text))
	return ""
}

// readNode reads the preferred node, which every target but a bare one has.
func (n *network) readNode(e entry, fields mapping, t *ha.Target) {
	f, _ := fields.get("node")
	switch {
	case t.Type == ha.TargetBare:
		if f.given() {
			n.src.warn(f.at, "remove it", "%s has no effect: a bare target runs on no node", f.path)
		}
	case !f.given():
		n.src.fault(cmp.Or(f.at, e.at), "name the node it belongs on, e.g. node: "+n.someNode(), "%s has no node", e.path)
	default:
		name, ok := n.node(f.value)
		if !ok {
			return
		}
		t.Node = name
		if t.HA && n.outside(name) {
			n.src.fault(f.value.at, "add "+string(name)+" to cluster.nodes, or name one of: "+n.clusterNodes(), "%s is %s, which is not in the cluster, but ha is true", f.path, name)
		}
	}
}

func (n *network) someNode() string {
	if len(n.policy.Cluster.Nodes) > 0 {
		return string(n.policy.Cluster.Nodes[0])
	}
	return "node1"
}
