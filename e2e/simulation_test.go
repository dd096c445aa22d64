package e2e_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seeds = flag.Int("seeds", 20, "how many seeds the simulation tries")
	seed  = flag.Uint64("seed", 0, "try this one seed, and say all that happens")
	// operations are apart, so that the seeds of maintenances alone go on telling what they told.
	operations = flag.Bool("operations", false, "let the simulation register, bootstrap, move, rebalance and remove nodes as well")
)

// The simulation is a whole coordinator and real agents over a simulated cluster whose
// nodes lose power, whose network parts, whose storage hangs and whose API loses answers,
// with a coordinator that is killed at any step. First everything goes wrong and only
// safety is demanded; then everything is healed, and each maintenance must end or say what
// it waits for. A seed replays what it found.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		t.Log(strings.Join(simulate(t, *seed), "\n"))
		return
	}
	for s := range uint64(*seeds) {
		t.Run(fmt.Sprintf("seed=%d", s+1), func(t *testing.T) {
			t.Parallel()
			simulate(t, s+1)
		})
	}
}

// A seed tells the same story every time, whatever else the machine does.
func TestSimulationReplaysASeed(t *testing.T) {
	for s := range uint64(3) {
		first, second := simulate(t, s+1), simulate(t, s+1)
		if !slices.Equal(first, second) {
			t.Fatalf("seed %d tells two stories:\n%s", s+1, firstDifference(first, second))
		}
	}
}

func firstDifference(a, b []string) string {
	for k := range min(len(a), len(b)) {
		if a[k] != b[k] {
			return fmt.Sprintf("line %d\n- %s\n+ %s", k+1, a[k], b[k])
		}
	}
	return fmt.Sprintf("%d lines and %d lines", len(a), len(b))
}

// simulate plays one seed and returns what happened.
func simulate(t *testing.T, seed uint64) (log []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newChaos(t, seed)
		defer w.close()
		w.suffer()
		w.heal()
		log = w.log
	})
	return log
}
