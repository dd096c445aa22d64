package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// coreRatio is so large that only memory decides: the rivals count cores in their own ways.
const coreRatio = 64

// size is a cluster to generate.
type size struct {
	nodes, guests int
	full          float64 // part of the memory the guests may have in all
}

func (s size) String() string { return fmt.Sprintf("%dx%d %.0f%%", s.nodes, s.guests, 100*s.full) }

// world is a cluster of HA guests on shared storage. One guest in five must not meet
// another one.
func world(c size, seed uint64) ha.Snapshot {
	r := rand.New(rand.NewPCG(seed, uint64(c.nodes)))
	at := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: at}
	inv := &s.Inventory
	inv.At, inv.Version, inv.Source = at, "9.2.11", "node001"
	inv.Cluster = ha.Cluster{Name: "bench", Quorate: true, Votes: c.nodes, Expected: c.nodes}
	inv.Options = ha.Options{ShutdownPolicy: "conditional", MaxWorkers: 4, Scheduler: "basic"}
	inv.HA = ha.HAStatus{Master: "node001", MasterAt: at, Quorate: true, Armed: "armed"}
	inv.Storages = []ha.Storage{{Name: "psw", Type: "cephfs", Shared: true, Content: []string{"images"}}}
	memory := make([]int64, c.guests)
	var sum int64
	for k := range memory {
		memory[k] = int64(1+r.IntN(16)) * 512 * mib
		sum += memory[k]
	}
	each := int64(float64(sum)/c.full/float64(c.nodes))/gib*gib + gib
	for k := range c.nodes {
		name := ha.NodeName(fmt.Sprintf("node%03d", k+1))
		inv.Nodes = append(inv.Nodes, ha.Node{Name: name, ID: k + 1, Online: true, CPUs: 64, MemoryMax: each + each/19 + gib, MemoryUsed: each / 3, Uptime: time.Hour})
		inv.HA.Nodes = append(inv.HA.Nodes, ha.HANode{Name: name, State: ha.NodeOnline, LRMState: "active", LRMMode: "active", LRMAt: at})
		inv.Storages[0].On = append(inv.Storages[0].On, ha.StorageOn{Node: name, Available: true, Total: 1 << 50})
		s.Reports = append(s.Reports, report(name, k+1, at, c.nodes))
	}
	free := make([]int64, c.nodes)
	for k := range free {
		free[k] = inv.Nodes[k].MemoryMax - ha.HostReserve(inv.Nodes[k].MemoryMax)
	}
	for k := range c.guests {
		n := r.IntN(c.nodes)
		for tries := 0; free[n] < memory[k] || k%10 == 1 && inv.Guests[k-1].Node == inv.Nodes[n].Name; tries++ {
			n = (n + 1) % c.nodes
			if tries%c.nodes == c.nodes-1 { // no node has that much left
				memory[k] = max(mib, memory[k]/2/mib*mib)
			}
		}
		free[n] -= memory[k]
		addGuest(&s, 10_000+k, n, memory[k])
	}
	for k := 0; k+1 < c.guests; k += 10 {
		inv.Rules = append(inv.Rules, ha.Rule{ID: fmt.Sprintf("apart%05d", k), Type: ha.ResourceAffinity, Affinity: ha.Negative,
			Resources: []ha.SID{inv.Guests[k].SID, inv.Guests[k+1].SID}})
	}
	return s
}

func report(name ha.NodeName, id int, at time.Time, nodes int) ha.Report {
	return ha.Report{Node: name, Agent: "bench", Taken: at, Received: at,
		System:   ha.System{PmxcfsMounted: true, PmxcfsWritable: true},
		Corosync: ha.Corosync{Running: true, NodeID: id, Quorate: true, Votes: nodes, Expected: nodes, Quorum: nodes/2 + 1},
		HA:       ha.LocalHA{LRMRunning: true, CRMRunning: true, LRMState: "active", LRMMode: "active", LRMAt: at}}
}

func addGuest(s *ha.Snapshot, id, node int, memory int64) {
	sid := ha.SID{Kind: ha.VM, ID: id}
	inv, name := &s.Inventory, fmt.Sprintf("g%d", id)
	n := inv.Nodes[node].Name
	inv.Guests = append(inv.Guests, ha.Guest{SID: sid, Name: name, Node: n, Status: ha.GuestRunning, CPUs: 1, MemoryMax: memory, MemoryUsed: memory / 2, Uptime: time.Hour})
	inv.Resources = append(inv.Resources, ha.Resource{SID: sid, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true})
	inv.HA.Services = append(inv.HA.Services, ha.HAService{SID: sid, Node: n, State: ha.ServiceStarted, Running: true})
	r := &s.Reports[node]
	r.Running = append(r.Running, ha.LocalGuest{SID: sid, PID: id, Started: s.At.Add(-time.Hour)})
	r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: sid, Name: name, Storages: []string{"psw"}})
	s.Policy.Targets = append(s.Policy.Targets, ha.Target{Name: name, Type: ha.TargetVM, Node: n, HA: true, Memory: memory, VMID: id})
}

// quality judges where guests are after a node was emptied: how full the fullest node is,
// in percent of what guests may have, and how many pairs meet that must not.
func quality(s ha.Snapshot, at map[string]string) (fullest float64, violations int) {
	used := make(map[string]int64)
	for _, g := range s.Inventory.Guests {
		used[at[g.Name]] += g.MemoryMax
	}
	for _, n := range s.Inventory.Nodes {
		limit := n.MemoryMax - ha.HostReserve(n.MemoryMax)
		fullest = max(fullest, 100*float64(used[string(n.Name)])/float64(limit))
	}
	for _, r := range s.Inventory.Rules {
		a, _ := s.Inventory.Guest(r.Resources[0])
		b, _ := s.Inventory.Guest(r.Resources[1])
		if at[a.Name] == at[b.Name] {
			violations++
		}
	}
	return fullest, violations
}

func places(s ha.Snapshot) map[string]string {
	at := make(map[string]string, len(s.Inventory.Guests))
	for _, g := range s.Inventory.Guests {
		at[g.Name] = string(g.Node)
	}
	return at
}
