package forecast

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// HazardKind is the sort of thing that fails.
type HazardKind string

// The sorts. A switch is known only if network.yml says which interface is plugged into it.
const (
	HazardNode   HazardKind = "node"
	HazardLink   HazardKind = "link"
	HazardSwitch HazardKind = "switch"
	HazardNFS    HazardKind = "nfs"
)

// A Hazard is one thing whose failure touches several others: a node, a corosync link, a
// switch, the NFS server.
type Hazard struct {
	Kind HazardKind `json:"kind"`
	Name string     `json:"name"`
	// Fault is what its failure does; empty if nothing that HA needs hangs on it.
	Fault Fault `json:"fault"`
	// Note says what could not be told.
	Note string `json:"note,omitempty"`
}

// Hazards are the single failures a cluster should survive: each online node, each corosync
// link, each declared switch, and NFS where it is used. By kind, then by name.
func Hazards(s ha.Snapshot) []Hazard {
	var list []Hazard
	for _, n := range s.Inventory.Nodes {
		if n.Online {
			list = append(list, Hazard{Kind: HazardNode, Name: string(n.Name), Fault: Fault{Nodes: []ha.NodeName{n.Name}}})
		}
	}
	var links []int
	for _, r := range s.Reports {
		for _, l := range r.Corosync.Links {
			links = append(links, l.Number)
		}
	}
	slices.Sort(links)
	for _, l := range slices.Compact(links) {
		list = append(list, Hazard{Kind: HazardLink, Name: fmt.Sprintf("link %d", l), Fault: Fault{Links: []int{l}}})
	}
	for _, name := range switches(s.Policy) {
		list = append(list, switchHazard(s, name))
	}
	var servers []string
	for _, st := range s.Inventory.Storages {
		if st.Type == "nfs" && !st.Disabled {
			servers = append(servers, st.Server)
		}
	}
	if slices.Sort(servers); len(servers) > 0 {
		list = append(list, Hazard{Kind: HazardNFS, Name: strings.Join(slices.Compact(servers), ", "), Fault: Fault{NFS: true}})
	}
	return list
}

func switches(p ha.Policy) []string {
	var names []string
	for _, h := range p.Hosts {
		for _, port := range h.Switches {
			names = append(names, port.Switch)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// switchHazard is the failure of a switch: a node all of whose corosync links went through
// it is alone, and one that reaches the NFS server through it has its storage hang. The
// others stay together. Where a node's interfaces are not known now it is taken to lose
// nothing, and the note says so.
func switchHazard(s ha.Snapshot, name string) Hazard {
	h := Hazard{Kind: HazardSwitch, Name: name}
	var together, blind []ha.NodeName
	var alone [][]ha.NodeName
	for _, n := range s.Inventory.Nodes {
		host, declared := s.Policy.Host(n.Name)
		r, reported := s.FreshReport(n.Name)
		if !n.Online || !declared || !reported || len(r.Interfaces) == 0 {
			together = append(together, n.Name)
			if n.Online && declared && len(host.Switches) > 0 {
				blind = append(blind, n.Name)
			}
			continue
		}
		w := wiring{host: host, report: r}
		if w.linksHangOn(name) {
			alone = append(alone, []ha.NodeName{n.Name})
		} else {
			together = append(together, n.Name)
		}
		if w.storageHangsOn(s, name) {
			h.Fault.NFSNodes = append(h.Fault.NFSNodes, n.Name)
		}
	}
	if len(alone) > 0 {
		h.Fault.Partition = alone
		if len(together) > 0 {
			h.Fault.Partition = append([][]ha.NodeName{together}, alone...)
		}
	}
	for k, n := range blind {
		if k == 0 {
			h.Note = "what hangs on it is not known of "
		} else {
			h.Note += ", "
		}
		h.Note += string(n)
	}
	return h
}

// wiring is one node's network: what is plugged in where, and which interface carries what.
type wiring struct {
	host   ha.Host
	report ha.Report
}

// linksHangOn reports whether all of the node's connected corosync links go through the
// switch.
func (w wiring) linksHangOn(name string) bool {
	seen := false
	for _, l := range w.report.Corosync.Links {
		if !l.Connected {
			continue
		}
		i, known := w.holding(l.Local)
		if !known || !w.hangsOn(i, name) {
			return false
		}
		seen = true
	}
	return seen
}

// storageHangsOn reports whether the node reaches an NFS server through the switch: by the
// interface in the server's network, else by the default route's.
func (w wiring) storageHangsOn(s ha.Snapshot, name string) bool {
	for _, st := range s.Inventory.Storages {
		if st.Type != "nfs" || st.Disabled || !st.Offers(w.report.Node) {
			continue
		}
		if i, known := w.towards(st.Server); known && w.hangsOn(i, name) {
			return true
		}
	}
	return false
}

// holding is the interface that has an address.
func (w wiring) holding(address string) (ha.Interface, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ha.Interface{}, false
	}
	return w.find(func(i ha.Interface, p netip.Prefix) bool { return p.Addr() == a })
}

// towards is the interface through which an address is reached.
func (w wiring) towards(address string) (ha.Interface, bool) {
	a, err := netip.ParseAddr(address)
	if err == nil {
		if i, ok := w.find(func(_ ha.Interface, p netip.Prefix) bool { return p.Contains(a) }); ok {
			return i, true
		}
	}
	k := slices.IndexFunc(w.report.Interfaces, func(i ha.Interface) bool { return i.Gateway })
	if k < 0 {
		return ha.Interface{}, false
	}
	return w.report.Interfaces[k], true
}

func (w wiring) find(fits func(ha.Interface, netip.Prefix) bool) (ha.Interface, bool) {
	for _, i := range w.report.Interfaces {
		for _, text := range i.Addresses {
			if p, err := netip.ParsePrefix(text); err == nil && fits(i, p) {
				return i, true
			}
		}
	}
	return ha.Interface{}, false
}

// hangsOn reports whether an interface is dead without the switch: all cables that carry it
// are plugged in there. A bond over two switches is not.
func (w wiring) hangsOn(i ha.Interface, name string) bool {
	if len(i.Physical) == 0 {
		return false
	}
	for _, cable := range i.Physical {
		if !slices.ContainsFunc(w.host.Switches, func(p ha.Port) bool { return p.Interface == cable && p.Switch == name }) {
			return false
		}
	}
	return true
}

// Idle reports whether nothing that HA needs fails.
func (f Fault) Idle() bool {
	return len(f.Nodes)+len(f.NFSNodes)+len(f.Links)+len(f.Partition) == 0 && !f.NFS
}
