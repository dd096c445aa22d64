package project

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (n *network) readOptions(e entry, t ha.Target) ha.HAOptions {
	fields, ok := e.mapping()
	if !ok {
		return ha.HAOptions{}
	}
	fields.onlyKnown(optionsKeys)
	if !t.HA && t.Type != "" {
		n.src.warn(e.at, "set ha: true on the target, or remove it", "%s has no effect without ha: true", e.path)
	}
	var o ha.HAOptions
	nodes, _ := fields.get("nodes")
	if nodes.given() {
		list, _ := nodes.list("[node1, node2]")
		for _, v := range list {
			name, ok := n.clusterNode(v)
			switch {
			case !ok:
			case slices.Contains(o.Nodes, name):
				n.src.fault(v.at, "name each node once", "%s names %s twice", nodes.path, name)
			default:
				o.Nodes = append(o.Nodes, name)
			}
		}
	}
	if f, _ := fields.get("strict"); f.given() {
		o.Strict = f.boolean()
		if o.Strict && !nodes.given() {
			n.src.fault(f.at, "add nodes: [node1, node2], the nodes it may run on, or remove strict", "%s is true, but there are no nodes to be strict about", f.path)
		}
	}
	if f, _ := fields.get("priority"); f.given() {
		o.Priority = n.readPriority(f, nodes, o.Nodes)
	}
	o.MaxRestart = tries(fields, "max_restart")
	o.MaxRelocate = tries(fields, "max_relocate")
	n.checkPlacement(nodes, o, t)
	return o
}

// checkPlacement compares where a target belongs with where it may run.
func (n *network) checkPlacement(nodes entry, o ha.HAOptions, t ha.Target) {
	if len(o.Nodes) == 0 || t.Node == "" {
		return
	}
	if !slices.Contains(o.Nodes, t.Node) {
		text, fix := "%s lacks %s, the target's own node", "add "+string(t.Node)+", or make one of the others the target's node"
		if o.Strict {
			n.src.fault(nodes.at, fix, text, nodes.path, t.Node)
		} else {
			n.src.warn(nodes.at, fix, text, nodes.path, t.Node)
		}
	}
	if o.Strict && len(o.Nodes) == 1 && t.HA {
		n.src.warn(nodes.at, "add a second node, or the target stays down with its only one", "%s is strict and has one node: HA can restart it nowhere else", nodes.path)
	}
}

// readPriority reads a mapping of nodes to priorities.
func (n *network) readPriority(e, nodes entry, allowed []ha.NodeName) []ha.RuleNode {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	var list []ha.RuleNode
	for _, f := range fields.entries {
		name, ok := n.clusterNodeNamed(f.key, f.at, "a key of "+e.path)
		if !ok {
			continue
		}
		if nodes.given() && len(allowed) > 0 && !slices.Contains(allowed, name) {
			n.src.fault(f.at, "add it there, or remove it here", "%s ranks %s, which is not in %s", e.path, name, nodes.path)
			continue
		}
		if !f.given() {
			n.src.fault(f.at, "write a number; the highest is preferred", "%s is empty", f.path)
			continue
		}
		if p, ok := f.integer(0, priorityMax, "", "write a number from 0 to 1000; the highest is preferred"); ok {
			list = append(list, ha.RuleNode{Node: name, Priority: int(p)})
		}
	}
	slices.SortFunc(list, func(a, b ha.RuleNode) int { return cmp.Compare(a.Node, b.Node) })
	return list
}

// tries reads max_restart or max_relocate; nil leaves it to Proxmox.
func tries(fields mapping, key string) *int {
	f, _ := fields.get(key)
	if !f.given() {
		return nil
	}
	i, ok := f.integer(0, triesMax, "", "write how many times the HA manager tries, e.g. 1")
	if !ok {
		return nil
	}
	count := int(i)
	return &count
}

func (v value) maintenanceMode() ha.MaintenanceMode {
	text, ok := v.text()
	if !ok {
		return ""
	}
	switch m := ha.MaintenanceMode(text); m {
	case ha.MaintenanceMove, ha.MaintenanceStop, ha.MaintenanceLeave:
		return m
	}
	v.src.fault(v.at, "write move, stop or leave", "%s is %s, which is nothing a drain can do with a target", v.path, quote(text))
	return ""
}

// readReady reads the port that answers when the target is really back.
func (n *network) readReady(e entry) int {
	fields, ok := e.mapping()
	if !ok {
		return 0
	}
	fields.onlyKnown(readyKeys)
	tcp, _ := fields.get("tcp")
	if !tcp.given() {
		n.src.fault(e.at, "add the port that answers when it is up, e.g. tcp: 8096", "%s has no tcp", e.path)
		return 0
	}
	port, _ := tcp.integer(1, 65535, "", "write a port from 1 to 65535, e.g. 8096")
	return int(port)
}

// targetIP reads a target's address, with or without its network's length, or "dhcp".
func (v value) targetIP() string {
	text, ok := v.text()
	if !ok || text == "dhcp" {
		return text
	}
	if p, err := netip.ParsePrefix(text); err == nil && usable(p.Addr()) {
		return text
	}
	if a, err := netip.ParseAddr(text); err == nil && usable(a) {
		return text
	}
	fix := "write an address, e.g. 10.10.0.20 or 10.10.0.20/24"
	if strings.Contains(text, "://") {
		fix = "write the address alone, without a protocol"
	}
	v.src.fault(v.at, fix, "%s is %s, which is no IP address", v.path, quote(text))
	return ""
}

func usable(a netip.Addr) bool { return a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() }
