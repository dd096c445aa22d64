package forecast_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A project is judged before its cluster exists.
func TestCapacityOfADeclaredProject(t *testing.T) {
	host := func(n ha.NodeName, memory int64) ha.Host {
		return ha.Host{Name: n, Capacity: &ha.Capacity{CPUs: 8, Memory: memory}}
	}
	p := ha.Policy{
		Hosts:   []ha.Host{host("node1", 64*gib), host("node2", 32*gib), host("node3", 16*gib), {Name: "node4"}},
		Cluster: ha.ClusterPolicy{Nodes: []ha.NodeName{"node1", "node2", "node3", "node4"}},
		Targets: []ha.Target{
			{Name: "core", Type: ha.TargetLXC, Node: "node1", HA: true, Cores: 8, Memory: 40 * gib},
			{Name: "files", Type: ha.TargetVM, Node: "node2", HA: true, Cores: 2, Memory: 8 * gib,
				Options: ha.HAOptions{Nodes: []ha.NodeName{"node2", "node3"}, Strict: true}},
			{Name: "nas", Type: ha.TargetBare},
			{Name: "odd", Type: ha.TargetVM, Node: "node4", Memory: gib},
		},
	}
	s, missing := forecast.Declared(p)
	if d := cmp.Diff([]string{"node node4 has no hardware.yml: its memory is not known", "target odd has no declared memory, or its node's is not known"}, missing); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
	r := ask(t, s, forecast.DefaultCapacity())
	if l := r.Losses[0]; l.Could != forecast.DoesNotFit || l.Why != "ct:100 (core) needs 40 GiB: node2 has 22.4 GiB free; node3 has 15 GiB free" {
		t.Errorf("core fits nowhere else: %+v", l)
	}
	if l := r.Losses[1]; l.Could != forecast.Fits || l.Will != forecast.Fits {
		t.Errorf("files fits on node3: %+v", l)
	}
}
