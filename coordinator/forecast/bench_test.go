package forecast_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// big is a cluster of n nodes with guests guests, nine tenths of them under HA, filled to
// the given part of its memory. One guest in five is bound by a rule.
func big(n, guests int, full float64, scheduler string, seed uint64) ha.Snapshot {
	r := rand.New(rand.NewPCG(seed, 0))
	s := cluster(n)
	inv := &s.Inventory
	inv.Options.Scheduler = scheduler
	sizes := make([]int64, guests)
	var sum int64
	for k := range sizes {
		sizes[k] = 1 << (30 + r.IntN(4))
		sum += sizes[k]
	}
	memory := int64(float64(sum) / full / float64(n))
	for k := range inv.Nodes {
		inv.Nodes[k].MemoryMax = memory/95*100 + 2*gib
		inv.Nodes[k].MemoryUsed = memory / 2
		inv.Nodes[k].CPUs = 4 * guests / n
	}
	for k := range guests {
		runs(&s, fmt.Sprintf("vm:%d", 10_000+k), fmt.Sprintf("guest%d", k), inv.Nodes[k%n].Name, sizes[k], r.IntN(10) > 0)
	}
	for k := 0; k+1 < guests; k += 10 {
		a, b := inv.Guests[k], inv.Guests[k+1]
		if k%20 == 0 {
			inv.Rules = append(inv.Rules, ha.Rule{ID: fmt.Sprintf("apart%05d", k), Type: ha.ResourceAffinity, Affinity: ha.Negative, Resources: []ha.SID{a.SID, b.SID}})
			continue
		}
		rule := ha.Rule{ID: fmt.Sprintf("prefer%05d", k), Type: ha.NodeAffinity, Resources: []ha.SID{a.SID, b.SID}}
		rule.Nodes = []ha.RuleNode{{Node: a.Node, Priority: 1}, {Node: b.Node, Priority: 1}}
		inv.Rules = append(inv.Rules, rule)
	}
	return s
}

func BenchmarkForecast(b *testing.B) {
	for _, scheduler := range []string{"basic", "static", "dynamic"} {
		b.Run("one of 32 nodes, 2000 guests, "+scheduler, func(b *testing.B) {
			s := big(32, 2000, 0.75, scheduler, 1)
			b.ReportAllocs()
			for b.Loop() {
				p := forecast.Forecast(s, forecast.Fault{Nodes: []ha.NodeName{node(7)}})
				if !p.Settled || len(p.Targets) == 0 {
					b.Fatal("nothing happened")
				}
			}
		})
	}
}

func BenchmarkCapacity(b *testing.B) {
	for _, c := range []struct {
		nodes, guests int
		full          float64
		o             forecast.CapacityOptions
	}{
		{64, 5_000, 0.75, forecast.CapacityOptions{CoreRatio: 8}},
		{64, 5_000, 0.97, forecast.CapacityOptions{CoreRatio: 8}},
		{64, 5_000, 0.75, forecast.CapacityOptions{CoreRatio: 8, Will: true}},
		{1_000, 100_000, 0.75, forecast.CapacityOptions{CoreRatio: 8}},
	} {
		s := big(c.nodes, c.guests, c.full, "basic", 1)
		name := fmt.Sprintf("%d nodes, %d guests, %.0f%% full", c.nodes, c.guests, 100*c.full)
		if c.o.Will {
			name += ", asking the manager"
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := forecast.Capacity(s, c.o)
				if err != nil || len(r.Losses) != c.nodes {
					b.Fatal(err, len(r.Losses))
				}
			}
		})
	}
}
