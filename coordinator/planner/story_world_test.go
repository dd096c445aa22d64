package planner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// nodes node1:64 node2:64 …: names and GiB.
func (st *story) nodes(t *testing.T, f []string) {
	for k, s := range f {
		name, size, _ := strings.Cut(s, ":")
		mem, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		n := ha.NodeName(name)
		st.s.Inventory.Nodes = append(st.s.Inventory.Nodes, ha.Node{Name: n, ID: k + 1, Online: true, CPUs: 16, MemoryMax: int64(mem) << 30, MemoryUsed: 4 << 30})
		st.s.Inventory.HA.Nodes = append(st.s.Inventory.HA.Nodes, ha.HANode{Name: n, State: ha.NodeOnline, LRMState: "active", LRMMode: "active"})
		st.s.Reports = append(st.s.Reports, ha.Report{Node: n,
			System: ha.System{PmxcfsMounted: true, PmxcfsWritable: true, MemoryTotal: int64(mem) << 30},
			HA:     ha.LocalHA{LRMRunning: true, CRMRunning: true},
			Mounts: []ha.Mount{{Source: "nas:/pool", Path: "/mnt/shared", Type: "nfs4", Answering: true}},
		})
		st.reported[n] = true
	}
	st.storage("nfs", []string{"shared"})
	st.votes()
}

func (st *story) votes() {
	online := 0
	for _, n := range st.s.Inventory.Nodes {
		if n.Online {
			online++
		}
	}
	c := &st.s.Inventory.Cluster
	c.Votes, c.Expected = online, len(st.s.Inventory.Nodes)
	for k := range st.s.Reports {
		st.s.Reports[k].Corosync = ha.Corosync{Running: true, Quorate: true, Votes: online, Expected: c.Expected, Quorum: c.Expected/2 + 1}
	}
}

// storage NAME [shared]: on every node.
func (st *story) storage(name string, f []string) {
	s := ha.Storage{Name: name, Type: "dir"}
	if slices.Contains(f, "shared") {
		s.Type, s.Shared, s.Path = "nfs", true, "/mnt/shared"
	}
	for _, n := range st.s.Inventory.Nodes {
		s.On = append(s.On, ha.StorageOn{Node: n.Name, Available: true, Total: 1 << 40})
	}
	st.s.Inventory.Storages = append(st.s.Inventory.Storages, s)
	slices.SortFunc(st.s.Inventory.Storages, func(a, b ha.Storage) int { return strings.Compare(a.Name, b.Name) })
}

// guest SID NAME NODE GiB [ha] [pinned] [failback] [stopped] [foreign] [storage=S] [local=WHY] [mode=M]
func (st *story) guest(t *testing.T, f []string) {
	g := ha.Guest{SID: sid(t, f[0]), Name: f[1], Node: ha.NodeName(f[2]), Status: ha.GuestRunning}
	mem, err := strconv.Atoi(f[3])
	if err != nil {
		t.Fatal(err)
	}
	g.MemoryMax, g.MemoryUsed = int64(mem)<<30, int64(mem)<<29
	conf := ha.GuestConfig{SID: g.SID, Name: g.Name, Storages: []string{"nfs"}}
	target := ha.Target{Name: g.Name, Type: ha.TargetVM, Node: g.Node}
	if g.SID.Kind == ha.CT {
		target.Type = ha.TargetLXC
	}
	var managed, failback, foreign bool
	for _, o := range f[4:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "ha":
			managed, target.HA = true, true
		case "failback":
			failback = true
		case "foreign", "undeclared":
			foreign = true
		case "stopped":
			g.Status = ha.GuestStopped
		case "storage":
			conf.Storages = []string{val}
		case "local":
			conf.Local = []string{strings.ReplaceAll(val, "_", " ")}
		case "lock":
			conf.Lock = val
		case "mode":
			target.Maintenance = ha.MaintenanceMode(val)
		case "home":
			target.Node = ha.NodeName(val)
		default:
			t.Fatalf("guest: unknown option %q", o)
		}
	}
	inv := &st.s.Inventory
	inv.Guests = append(inv.Guests, g)
	slices.SortFunc(inv.Guests, func(a, b ha.Guest) int { return a.SID.Compare(b.SID) })
	if !foreign {
		st.s.Policy.Targets = append(st.s.Policy.Targets, target)
		slices.SortFunc(st.s.Policy.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) })
	}
	if managed {
		inv.Resources = append(inv.Resources, ha.Resource{SID: g.SID, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: failback})
		slices.SortFunc(inv.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
		svc := ha.HAService{SID: g.SID, Node: g.Node, State: ha.ServiceStarted, Running: true}
		if g.Status == ha.GuestStopped {
			svc.State, svc.Running = ha.ServiceStopped, false
		}
		inv.HA.Services = append(inv.HA.Services, svc)
		slices.SortFunc(inv.HA.Services, func(a, b ha.HAService) int { return a.SID.Compare(b.SID) })
	}
	r := st.report(g.Node)
	r.GuestConfigs = append(r.GuestConfigs, conf)
	r.Sort()
	if g.Status == ha.GuestRunning {
		st.process(g.SID, g.Node)
		st.node(g.Node).MemoryUsed += g.MemoryUsed
	}
}

// rule NAME node-affinity SID,SID node1:2,node2 [strict] | rule NAME positive|negative SID,SID
func (st *story) rule(t *testing.T, f []string) {
	r := ha.Rule{ID: f[0]}
	if f[1] == "gone" {
		st.s.Inventory.Rules = slices.DeleteFunc(st.s.Inventory.Rules, func(x ha.Rule) bool { return x.ID == r.ID })
		return
	}
	for s := range strings.SplitSeq(f[2], ",") {
		r.Resources = append(r.Resources, sid(t, s))
	}
	switch f[1] {
	case "positive", "negative":
		r.Type, r.Affinity = ha.ResourceAffinity, ha.Affinity(f[1])
	default:
		r.Type = ha.NodeAffinity
		for s := range strings.SplitSeq(f[3], ",") {
			n, p, _ := strings.Cut(s, ":")
			prio, _ := strconv.Atoi(p)
			r.Nodes = append(r.Nodes, ha.RuleNode{Node: ha.NodeName(n), Priority: prio})
		}
		r.Strict = slices.Contains(f, "strict")
	}
	for _, o := range f[3:] {
		key, val, _ := strings.Cut(o, "=")
		switch key {
		case "disabled":
			r.Disabled = true
		case "comment":
			r.Comment = strings.ReplaceAll(val, "_", " ")
		case "errors":
			r.Errors = []string{strings.ReplaceAll(val, "_", " ")}
		}
	}
	st.s.Inventory.Rules = append(slices.DeleteFunc(st.s.Inventory.Rules, func(x ha.Rule) bool { return x.ID == r.ID }), r)
	slices.SortFunc(st.s.Inventory.Rules, func(a, b ha.Rule) int { return strings.Compare(a.ID, b.ID) })
}

func (st *story) node(n ha.NodeName) *ha.Node {
	return &st.s.Inventory.Nodes[slices.IndexFunc(st.s.Inventory.Nodes, func(x ha.Node) bool { return x.Name == n })]
}

func (st *story) haNode(n ha.NodeName) *ha.HANode {
	return &st.s.Inventory.HA.Nodes[slices.IndexFunc(st.s.Inventory.HA.Nodes, func(x ha.HANode) bool { return x.Name == n })]
}

func (st *story) report(n ha.NodeName) *ha.Report {
	return &st.s.Reports[slices.IndexFunc(st.s.Reports, func(x ha.Report) bool { return x.Node == n })]
}

func (st *story) service(s ha.SID) *ha.HAService {
	return &st.s.Inventory.HA.Services[slices.IndexFunc(st.s.Inventory.HA.Services, func(x ha.HAService) bool { return x.SID == s })]
}

func (st *story) power(n ha.NodeName, on bool) {
	st.node(n).Online = on
	st.reported[n] = on
	if !on {
		st.report(n).Running = nil
		st.haNode(n).State = ha.NodeUnknown
	} else {
		st.haNode(n).State = ha.NodeOnline
	}
	st.votes()
}

// process makes the guest run on node only; "" stops it.
func (st *story) process(s ha.SID, node ha.NodeName) {
	for k := range st.s.Reports {
		r := &st.s.Reports[k]
		r.Running = slices.DeleteFunc(r.Running, func(g ha.LocalGuest) bool { return g.SID == s })
		if r.Node == node {
			r.Running = append(r.Running, ha.LocalGuest{SID: s, PID: 1000 + s.ID})
		}
		r.Sort()
	}
}

// arrive puts the guest on node for everybody to see.
func (st *story) arrive(t *testing.T, s ha.SID, node ha.NodeName) {
	k := slices.IndexFunc(st.s.Inventory.Guests, func(g ha.Guest) bool { return g.SID == s })
	if k < 0 {
		t.Fatalf("no guest %s", s)
	}
	g := &st.s.Inventory.Guests[k]
	from := st.report(g.Node)
	if c, ok := from.GuestConfig(s); ok {
		from.GuestConfigs = slices.DeleteFunc(from.GuestConfigs, func(c ha.GuestConfig) bool { return c.SID == s })
		to := st.report(node)
		to.GuestConfigs = append(to.GuestConfigs, c)
		to.Sort()
	}
	if g.Status == ha.GuestRunning {
		st.node(g.Node).MemoryUsed -= g.MemoryUsed
		st.node(node).MemoryUsed += g.MemoryUsed
		st.process(s, node)
	}
	g.Node = node
	if _, ok := st.s.Inventory.HA.Service(s); ok {
		svc := st.service(s)
		svc.Node, svc.Target, svc.Running = node, "", true
		if g.Status == ha.GuestRunning {
			svc.State = ha.ServiceStarted
		}
	}
}

// task TYPE SID NODE [STATUS…]: without a status it runs.
func (st *story) task(t *testing.T, f []string) {
	s := sid(t, f[1])
	task := ha.Task{UPID: fmt.Sprintf("UPID:%s:%s:%d", f[2], f[0], s.ID), Node: ha.NodeName(f[2]), Type: f[0], ID: strconv.Itoa(s.ID), Started: st.s.At}
	if len(f) > 3 {
		task.Status, task.Ended = strings.Join(f[3:], " "), st.s.At
	}
	st.s.Inventory.Tasks = slices.Insert(slices.DeleteFunc(st.s.Inventory.Tasks, func(x ha.Task) bool { return x.UPID == task.UPID }), 0, task)
}

func (st *story) nfs(n ha.NodeName, answers bool) {
	st.report(n).Mounts[0].Answering = answers
	for k := range st.s.Inventory.Storages {
		s := &st.s.Inventory.Storages[k]
		for j := range s.On {
			if s.On[j].Node == n && s.Shared {
				s.On[j].Available = answers
			}
		}
	}
}

// look makes the snapshot of this instant.
func (st *story) look() ha.Snapshot {
	s := st.s
	s.Inventory.At = s.At
	s.Reports = slices.Clone(s.Reports)
	for k := range s.Reports {
		r := &s.Reports[k]
		if st.reported[r.Node] {
			r.Received = s.At
			st.report(r.Node).Received = s.At
		}
	}
	s.Maintenances = nil
	if st.m.ID != "" {
		s.Maintenances = []ha.Maintenance{st.m}
	}
	return s
}
