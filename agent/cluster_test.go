package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// threeNodes is a cluster with a guest under HA on node1, which is allowed a few minutes
// to come to rest.
func threeNodes(t *testing.T) *pvesim.Cluster {
	t.Helper()
	c := pvesim.New(pvesim.Spec{
		Name:      "home",
		Nodes:     []pvesim.NodeSpec{{Name: "node1"}, {Name: "node2"}, {Name: "node3"}},
		Storages:  []pvesim.StorageSpec{{ID: "psw", Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw", Path: "/mnt/shared"}},
		Guests:    []pvesim.GuestSpec{{ID: 100, Name: "media", Node: "node1", Running: true}},
		Resources: []pvesim.ResourceSpec{{SID: "vm:100", Options: map[string]string{"failback": "0"}}},
	})
	time.Sleep(5 * time.Minute)
	return c
}

// agents runs an agent on every node of a simulated cluster.
func agents(t *testing.T, c *pvesim.Cluster, n *lan, ca *rpc.CA) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, len(c.Nodes()))
	for _, name := range c.Nodes() {
		dir := t.TempDir()
		issueInto(t, ca, rpc.RoleAgent, name, dir)
		conf := DefaultConfig()
		conf.Node, conf.Coordinators, conf.TLSDir, conf.StateDir = ha.NodeName(name), []string{here}, dir, filepath.Join(dir, "state")
		a := New(conf, c.Host(name), slog.New(slog.DiscardHandler))
		a.dialer = n.dial
		go func() { done <- a.Run(ctx) }()
	}
	t.Cleanup(func() {
		stop()
		for range c.Nodes() {
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		time.Sleep(time.Minute) // questions to a hung server give up by themselves
	})
}

// last is the newest report of a node that arrived at the desk.
func last(d *desk, node ha.NodeName) ha.Report {
	return seen(d, func() ha.Report {
		for _, r := range slices.Backward(d.reports) {
			if r.Node == node {
				return r
			}
		}
		return ha.Report{}
	})
}

// The whole of an agent's part in a maintenance: it reports a healthy node, is ordered to
// switch maintenance mode, and its next reports show the HA manager at work: the node is
// in maintenance and the guest's process gone to another node.
func TestAnOrderShowsInTheReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ca, n := threeNodes(t), newCA(t), &lan{}
		d := &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}, node: "node2"}
		n.serve(t, here, d, ca)
		agents(t, c, n, ca)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, name := range []ha.NodeName{"node1", "node2", "node3"} {
			r := last(d, name)
			if len(r.Failures) > 0 {
				t.Errorf("%s: %v", name, r.Failures)
			}
			if v := check.JudgeNode(r); !v.Ready() {
				t.Errorf("%s is not ready: %v", name, slices.DeleteFunc(v.Findings, func(f ha.Finding) bool {
					return f.Status != ha.Fail && f.Status != ha.Unknown
				}))
			}
		}
		if r := last(d, "node1"); len(r.Running) != 1 || !r.Watchdog.MuxActive {
			t.Errorf("node1 runs %v, armed: %t; want vm:100 and an armed watchdog", r.Running, r.Watchdog.MuxActive)
		}

		// The agent on node2 is told about node1: any agent can order it of the CRM.
		o := order("o1")
		o.Deed = ha.SetNodeMaintenance{Node: "node1", On: true}
		seen(d, func() any { d.orders <- o; return nil })
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if results := seen(d, func() []ha.OrderResult { return d.results }); len(results) != 1 || results[0].Refused != "" || results[0].Failed != "" || results[0].Node != "node2" {
			t.Fatalf("results %+v, want it done by node2", results)
		}
		if r := last(d, "node1"); r.HA.NodeState != ha.NodeMaintenance || !r.HA.MaintenanceRequested || len(r.Running) != 0 {
			t.Errorf("node1: state %q, requested %t, running %v; want it drained", r.HA.NodeState, r.HA.MaintenanceRequested, r.Running)
		}
		others := append(last(d, "node2").Running, last(d, "node3").Running...)
		if len(others) != 1 || others[0].SID != ha.MustSID("vm:100") {
			t.Errorf("the others run %v, want vm:100", others)
		}
	})
}

// A node without power says nothing more, and its neighbours see it gone. An NFS server
// that hangs is told by every node, and does not hold up its reports.
func TestFailuresShowInTheReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, ca, n, d := threeNodes(t), newCA(t), &lan{}, &desk{welcome: ha.Welcome{Coordinator: "c1", Generation: 7}, node: "node2"}
		n.serve(t, here, d, ca)
		agents(t, c, n, ca)
		time.Sleep(10 * time.Second)
		c.HangNFS("node2")
		time.Sleep(time.Minute)
		synctest.Wait()
		r := last(d, "node2")
		if age := time.Since(r.Taken); age > 15*time.Second {
			t.Errorf("the last report of node2 is %s old: the hung mount holds it up", age)
		}
		if len(r.Mounts) != 1 || r.Mounts[0].Answering || r.Mounts[0].Stuck < 20*time.Second {
			t.Errorf("node2's mounts are %+v, want one that has been stuck for a while", r.Mounts)
		}
		if r := last(d, "node1"); len(r.Mounts) != 1 || !r.Mounts[0].Answering {
			t.Errorf("node1's mounts are %+v, want one that answers", r.Mounts)
		}

		c.PowerOff("node3")
		time.Sleep(time.Minute)
		synctest.Wait()
		if members := last(d, "node1").Corosync.Members; len(members) != 2 {
			t.Errorf("node1 sees the members %v, want two", members)
		}
	})
}
