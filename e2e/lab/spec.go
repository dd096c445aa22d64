package lab

import (
	"cmp"
	"fmt"
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
// of two cannot lose one.
func spec(p ha.Policy, token pvesim.TokenSpec, speed float64) (pvesim.Spec, error) {
	s := pvesim.Spec{Name: p.Cluster.Name, Tokens: []pvesim.TokenSpec{token}, Options: pvesim.Options{Speed: speed}}
	nodes := slices.Clone(p.Cluster.Nodes)
	for k := 1; len(nodes) < labNodes; k++ {
		if n := ha.NodeName(fmt.Sprintf("node%d", k)); !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	for _, n := range nodes {
		ns := pvesim.NodeSpec{Name: string(n), CPUs: labNodeCPUs, Memory: labNodeMemory}
		if h, ok := p.Host(n); ok && h.IP.IsValid() {
			ns.Address = h.IP.String()
		}
		s.Nodes = append(s.Nodes, ns)
	}
	shared := p.Cluster.Storage
	if shared == nil {
		return s, ha.Errorf(ha.Invalid, "cannot build a lab of project %s: it declares no shared_storage", p.Project)
	}
	s.Storages = []pvesim.StorageSpec{
		{ID: "local", Type: "dir", Content: []string{"iso", "vztmpl", "backup"}, Path: "/var/lib/vz"},
		{ID: storageID, Type: "nfs", Server: shared.Server, Export: shared.Export, Path: shared.Mount,
			Options: shared.Options, Content: []string{"images", "rootdir"}, Size: 8 << 40},
	}
	vmid := firstVMID
	for _, t := range p.Targets {
		if t.Type == ha.TargetBare {
			continue
		}
		id := cmp.Or(t.VMID, vmid)
		vmid++
		addTarget(&s, t, id)
	}
	return s, nil
}

// storageID is the name the shared storage is registered under.
const storageID = "psw"

func addTarget(s *pvesim.Spec, t ha.Target, id int) {
	g := pvesim.GuestSpec{ID: id, Name: t.Name, Node: string(t.Node), Running: true, Cores: max(1, int(t.Cores)),
		Memory: cmp.Or(t.Memory, 1<<30)}
	sid := ha.SID{Kind: ha.VM, ID: id}
	disk := pvesim.DiskSpec{Key: "scsi0", Storage: storageID, Size: t.Disk}
	if t.Type == ha.TargetLXC {
		g.Type, sid.Kind, disk.Key = "lxc", ha.CT, "rootfs"
	}
	g.Disks = []pvesim.DiskSpec{disk}
	s.Guests = append(s.Guests, g)
	if t.HA {
		s.Resources = append(s.Resources, pvesim.ResourceSpec{SID: sid.String(), State: "started",
			Options: map[string]string{"failback": "0", "max_restart": "1", "max_relocate": "1", "comment": "psw-ha: target " + t.Name}})
		s.Rules = append(s.Rules, pvesim.RuleSpec{ID: "psw-" + t.Name, Type: "node-affinity", Resources: []string{sid.String()},
			Nodes: []string{string(t.Node) + ":100"}, Comment: "psw-ha: target " + t.Name})
	}
}
