package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What the simulated machines are like. Each node can hold the example's largest target
// beside its own guests, and no node can hold everything.
const (
	labNodes      = 3 // the smallest cluster that keeps its quorum when one node is away
	labNodeMemory = 64 << 30
	labNodeCPUs   = 16
	firstVMID     = 100
)

// spec builds the cluster that a project describes, as it is when everything is set up: every
// target exists on its preferred node, its disks are on the shared storage, and what says
// ha: true is registered. A project of fewer than three nodes gets more, since a cluster
// of two cannot lose one. A blank lab has the machines only, as many as nodes says, each
// freshly installed.
func spec(p ha.Policy, token pvesim.TokenSpec, o Options) (pvesim.Spec, error) {
	s := pvesim.Spec{Name: p.Cluster.Name, Tokens: []pvesim.TokenSpec{token}, Options: pvesim.Options{Speed: o.Speed}}
	shared := p.Cluster.Storage
	if shared == nil {
		return s, ha.Errorf(ha.Invalid, "cannot build a lab of project %s: it declares no shared_storage", p.Project)
	}
	for _, n := range nodeNames(p, o) {
		ns := machine(p, n, len(s.Nodes))
		ns.Alone = o.Blank
		s.Nodes = append(s.Nodes, ns)
	}
	if o.Blank {
		return s, nil
	}
	if d := p.Cluster.QDevice; d != nil {
		s.QDevice = d.Host
	}
	s.Storages = []pvesim.StorageSpec{
		{ID: "local", Type: "dir", Content: []string{"iso", "vztmpl", "backup"}, Path: "/var/lib/vz"},
		{ID: storageID, Type: "nfs", Server: shared.Server, Export: shared.Export, Path: shared.Mount,
			Options: shared.Options, Content: []string{"images", "rootdir"}, Size: 8 << 40},
	}
	for _, t := range p.Targets {
		if t.Type == ha.TargetBare {
			continue
		}
		g := guest(t, vmid(p, t))
		s.Guests = append(s.Guests, g)
		if t.HA {
			register(&s, t, sid(g))
		}
	}
	return s, nil
}

// nodeNames are the machines of a lab: the project's nodes, and more if there are too few.
func nodeNames(p ha.Policy, o Options) []ha.NodeName {
	count := cmp.Or(o.Nodes, max(labNodes, len(p.Cluster.Nodes)))
	nodes := slices.Clone(p.Cluster.Nodes)
	for k := 1; len(nodes) < count; k++ {
		if n := ha.NodeName(fmt.Sprintf("node%d", k)); !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	return nodes[:count]
}

// machine is a node with the addresses the project declares. Without declared links it has a
// second network all the same, the next one behind the first.
func machine(p ha.Policy, n ha.NodeName, place int) pvesim.NodeSpec {
	ns := pvesim.NodeSpec{Name: string(n), CPUs: labNodeCPUs, Memory: labNodeMemory, BMC: fmt.Sprintf("10.20.0.%d", 11+place)}
	if h, ok := p.Host(n); ok && h.BMC != nil {
		ns.BMC = h.BMC.Address.String()
	}
	address := netip.AddrFrom4([4]byte{10, 99, 7, byte(11 + place)})
	if h, ok := p.Host(n); ok {
		if h.IP.IsValid() {
			address = h.IP
		}
		for _, l := range h.Links {
			if l != address {
				ns.Links = append(ns.Links, l.String())
			}
		}
	}
	if ns.Address = address.String(); len(ns.Links) == 0 {
		ns.Links = []string{nextNetwork(address).String()}
	}
	return ns
}

// nextNetwork is the same host in the network behind: 10.10.1.5 of 10.10.0.5.
func nextNetwork(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-2]++
	next, _ := netip.AddrFromSlice(b) // as long as it was
	return next
}

// storageID is the name the shared storage is registered under.
const storageID = "psw"

// vmid is the guest's number that stands for a target, the same every time it is asked for.
func vmid(p ha.Policy, t ha.Target) int {
	id := firstVMID
	for _, o := range p.Targets {
		if o.Name == t.Name {
			break
		}
		if o.Type != ha.TargetBare {
			id++
		}
	}
	return cmp.Or(t.VMID, id)
}

// guest is a target as it is deployed: on its preferred node, its disk on the shared storage.
func guest(t ha.Target, id int) pvesim.GuestSpec {
	g := pvesim.GuestSpec{ID: id, Name: t.Name, Node: string(t.Node), Running: true, Cores: max(1, int(t.Cores)),
		Memory: cmp.Or(t.Memory, 1<<30)}
	disk := pvesim.DiskSpec{Key: "scsi0", Storage: storageID, Size: t.Disk}
	if t.Type == ha.TargetLXC {
		g.Type, disk.Key = "lxc", "rootfs"
	}
	g.Disks = []pvesim.DiskSpec{disk}
	return g
}

func sid(g pvesim.GuestSpec) string {
	kind := ha.VM
	if g.Type == "lxc" {
		kind = ha.CT
	}
	return ha.SID{Kind: kind, ID: g.ID}.String()
}

// register puts a target under HA as psw ha apply does.
func register(s *pvesim.Spec, t ha.Target, sid string) {
	s.Resources = append(s.Resources, pvesim.ResourceSpec{SID: sid, State: "started",
		Options: map[string]string{"failback": "0", "max_restart": "1", "max_relocate": "1", "comment": "psw-ha: target " + t.Name}})
	s.Rules = append(s.Rules, pvesim.RuleSpec{ID: "psw-" + t.Name, Type: "node-affinity", Resources: []string{sid},
		Nodes: []string{string(t.Node) + ":100"}, Comment: "psw-ha: target " + t.Name})
}
