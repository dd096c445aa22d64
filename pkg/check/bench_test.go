package check_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// large is a healthy cluster of many nodes and guests, all of them HA targets.
func large(nodes, guests int) ha.Snapshot {
	s := healthy()
	on := make([]ha.StorageOn, 0, nodes)
	s.Policy.Cluster.Nodes, s.Policy.Hosts, s.Policy.Targets = nil, nil, nil
	i := &s.Inventory
	i.Nodes, i.Guests, i.Resources, i.Rules, i.HA.Nodes, i.HA.Services = nil, nil, nil, nil, nil, nil
	s.Reports, s.Members = nil, nil
	ids := make([]int, nodes)
	for k := range nodes {
		ids[k] = k + 1
	}
	for k := range nodes {
		name := ha.NodeName(fmt.Sprintf("node%03d", k))
		r := healthyReport(1)
		r.Node, r.Corosync.NodeID, r.Corosync.Members, r.Corosync.Links = name, k+1, ids, nil
		r.Corosync.Votes, r.Corosync.Expected, r.Corosync.Quorum = nodes, nodes, nodes/2+1
		r.Running, r.GuestConfigs = nil, nil
		for peer := range nodes {
			for number := 0; number < 2 && peer != k; number++ {
				r.Corosync.Links = append(r.Corosync.Links, ha.Link{Number: number, PeerID: peer + 1, Enabled: true, Connected: true, Latency: time.Millisecond})
			}
		}
		s.Reports = append(s.Reports, r)
		s.Policy.Cluster.Nodes = append(s.Policy.Cluster.Nodes, name)
		i.Nodes = append(i.Nodes, ha.Node{Name: name, ID: k + 1, Online: true, MemoryMax: 1024 * gib})
		i.HA.Nodes = append(i.HA.Nodes, ha.HANode{Name: name, State: ha.NodeOnline})
		on = append(on, ha.StorageOn{Node: name, Available: true})
	}
	i.Storages[1].On = on
	for k := range guests {
		sid, name, node := ha.SID{Kind: ha.VM, ID: 100000 + k}, fmt.Sprintf("target%05d", k), k%nodes
		r := &s.Reports[node]
		s.Policy.Targets = append(s.Policy.Targets, ha.Target{Name: name, Type: ha.TargetVM, HA: true, Node: r.Node})
		i.Guests = append(i.Guests, ha.Guest{SID: sid, Name: name, Node: r.Node, Status: ha.GuestRunning, MemoryMax: 4 * gib})
		i.Resources = append(i.Resources, ha.Resource{SID: sid, State: ha.RequestStarted})
		i.Rules = append(i.Rules, ha.Rule{ID: "psw-" + name, Type: ha.NodeAffinity, Resources: []ha.SID{sid}, Nodes: []ha.RuleNode{{Node: r.Node, Priority: 1}}})
		i.HA.Services = append(i.HA.Services, ha.HAService{SID: sid, Node: r.Node, State: ha.ServiceStarted, Running: true})
		r.Running = append(r.Running, ha.LocalGuest{SID: sid, PID: k + 2})
		r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: sid, Name: name, Storages: []string{"psw"}})
	}
	return s
}

func BenchmarkJudge(b *testing.B) {
	for _, size := range []struct{ nodes, guests int }{{3, 30}, {32, 2000}, {100, 10000}} {
		s := large(size.nodes, size.guests)
		if f, _ := find(check.Judge(s, ha.CheckRequest{}), check.TargetNotRunning, "target00001"); f.Status != ha.Pass {
			b.Fatalf("the cluster is not what it should be: %v", f)
		}
		b.Run(fmt.Sprintf("nodes=%d/guests=%d", size.nodes, size.guests), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check.Judge(s, ha.CheckRequest{})
			}
		})
	}
}
