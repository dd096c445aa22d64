package project

import (
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/goccy/go-yaml/ast"
)

// localStorages are Proxmox's own names for storage that only one node has.
var localStorages = []string{"local", "local-lvm", "local-zfs"}

// readHome reads where a target's disks lie and what hardware it is bound to.
func (n *network) readHome(fields mapping, t *ha.Target) {
	if f, _ := fields.get("storage"); f.given() {
		t.Storage, _ = f.text()
		if t.HA && slices.Contains(localStorages, t.Storage) {
			n.src.fault(f.value.at, "use the shared storage (remove the key), or another every node reaches: Ceph RBD, NFS, iSCSI, GlusterFS, or ZFS with replication",
				"%s is %s, which only %s has: HA cannot start %s elsewhere", f.path, t.Storage, orNode(t.Node), t.Name)
		}
	}
	if f, _ := fields.get("devices"); f.given() {
		n.devicesAt[t.Name] = f.value.at
		list, _ := f.list("[gpu]")
		for _, v := range list {
			if name, ok := v.text(); ok {
				t.Devices = append(t.Devices, name)
			}
		}
	}
}

func orNode(name ha.NodeName) string {
	if name == "" {
		return "one node"
	}
	return string(name)
}

// checkDevices: a target that is bound to hardware may only run where that is, and HA
// must know it.
func (n *network) checkDevices() {
	for _, t := range n.policy.Targets {
		if !t.HA || len(t.Devices) == 0 || len(n.policy.Cluster.Nodes) == 0 {
			continue
		}
		n.checkDevicesOf(t)
	}
}

func (n *network) checkDevicesOf(t ha.Target) {
	at := n.devicesAt[t.Name]
	what := strings.Join(t.Devices, " and ")
	var having, unknown []ha.NodeName
	for _, name := range n.policy.Cluster.Nodes {
		h, _ := n.host(name)
		switch {
		case hasAll(h, t.Devices):
			having = append(having, name)
		case h.Capacity == nil && len(h.Devices) == 0:
			unknown = append(unknown, name)
		}
	}
	allowed := n.policy.Cluster.Nodes
	if t.Options.Strict {
		allowed = t.Options.Nodes
	}
	var without []ha.NodeName
	for _, name := range allowed {
		if !slices.Contains(having, name) && !slices.Contains(unknown, name) {
			without = append(without, name)
		}
	}
	switch {
	case len(having) == 0 && len(unknown) == 0:
		n.src.fault(at, "remove devices if the target does without, or ha", "target %s needs %s, which no node of the cluster has by its hardware.yml", t.Name, what)
	case len(without) > 0:
		n.src.fault(at, "write ha_options: {nodes: ["+names(append(having, unknown...))+"], strict: true}", "target %s needs %s, but may run on %s, which lacks it", t.Name, what, names(without))
	case slices.ContainsFunc(allowed, func(name ha.NodeName) bool { return slices.Contains(unknown, name) }):
		n.src.warn(at, "run psw-server-inspector on "+names(unknown), "target %s needs %s; whether %s has it, nobody can tell without its hardware.yml", t.Name, what, names(unknown))
	case len(allowed) == 1:
		n.src.warn(at, "give a second node the same hardware, or remove ha", "target %s needs %s, which only %s has: HA can restart it there, but nowhere else", t.Name, what, allowed[0])
	}
}

func names(nodes []ha.NodeName) string {
	list := make([]string, len(nodes))
	for k, name := range nodes {
		list[k] = string(name)
	}
	return strings.Join(list, ", ")
}

// hasAll reports whether the host has each of the devices, by kind or by part of a name.
func hasAll(h ha.Host, devices []string) bool {
	for _, want := range devices {
		if !slices.ContainsFunc(h.Devices, func(d ha.Device) bool {
			return strings.EqualFold(d.Kind, want) || strings.Contains(strings.ToLower(d.Name), strings.ToLower(want))
		}) {
			return false
		}
	}
	return true
}

// deviceWords are the fields of hardware.yml that name a device.
var deviceWords = []string{"name", "model", "product_name", "product", "description", "device", "manufacturer", "vendor"}

// devices reads the graphics cards, USB devices and PCIe cards of hardware.yml.
func (v value) devices() []ha.Device {
	var list []ha.Device
	for _, from := range []struct {
		kind string
		at   value
	}{
		{"gpu", v.child("gpu")}, {"gpu", v.child("server").child("gpu")},
		{"usb", v.child("usb_devices")}, {"usb", v.child("server").child("usb_devices")},
		{"pci", v.child("network").child("pcie_cards")}, {"pci", v.child("server").child("network").child("pcie_cards")},
	} {
		if from.at.node == nil {
			continue
		}
		seq, ok := from.at.resolve().(*ast.SequenceNode)
		if !ok {
			continue
		}
		for _, item := range seq.Values {
			if name := (value{src: v.src, node: item, at: placeOf(item)}).deviceName(); name != "" {
				list = append(list, ha.Device{Kind: from.kind, Name: name})
			}
		}
	}
	return list
}

func (v value) deviceName() string {
	if text, ok := scalarText(v.resolve()); ok {
		return printable(text)
	}
	var words []string
	for _, key := range deviceWords {
		if field := v.child(key); field.given() {
			if text, ok := scalarText(field.resolve()); ok {
				words = append(words, printable(text))
			}
		}
	}
	return strings.Join(words, " ")
}
