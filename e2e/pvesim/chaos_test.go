package pvesim_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

var chaosSeeds = flag.Int("chaos-seeds", 30, "number of seeds of TestChaos")

// chaos does random things to a cluster for two hours and returns everything that happened.
func chaos(t *testing.T, seed uint64) (log string) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		spec := threeNodes()
		nodes := []string{"pve1", "pve2", "pve3", "pve4", "pve5"}
		spec.Nodes = nil
		for _, n := range nodes {
			spec.Nodes = append(spec.Nodes, pvesim.NodeSpec{Name: n})
		}
		for id := 100; id < 112; id++ {
			spec.Guests = append(spec.Guests, pvesim.GuestSpec{ID: id, Type: []string{"qemu", "lxc"}[id%2], Node: nodes[id%5], Running: true, Memory: 4 << 30})
			spec.Resources = append(spec.Resources, pvesim.ResourceSpec{SID: fmt.Sprintf("%s:%d", []string{"vm", "ct"}[id%2], id)})
		}
		l := start(t, spec)
		end := time.Now().Add(2 * time.Hour)
		for time.Now().Before(end) {
			time.Sleep(time.Duration(rnd.Int64N(int64(90 * time.Second))))
			l.disturb(rnd, nodes)
			l.noArmedDoubleRun()
		}
		l.Heal()
		l.HealNFS()
		for _, n := range nodes {
			l.PowerOn(n)
		}
		time.Sleep(20 * time.Minute)
		l.noArmedDoubleRun()
		log = l.log()
		for _, n := range nodes {
			if !l.Up(n) || !l.Quorate(n) {
				t.Errorf("%s does not come back", n)
			}
		}
	})
	return log
}

// noArmedDoubleRun fails if a guest ran twice although its node's watchdog was armed.
func (l *lab) noArmedDoubleRun() {
	l.t.Helper()
	for _, d := range l.DoubleRun() {
		if len(d.Unarmed) == 0 {
			l.t.Fatalf("a guest ran twice: %v\n%s", d, l.log())
		}
	}
}

// disturb does one random thing.
func (l *lab) disturb(rnd *rand.Rand, nodes []string) {
	n, o := nodes[rnd.IntN(len(nodes))], nodes[rnd.IntN(len(nodes))]
	sid := fmt.Sprintf("%s:%d", []string{"vm", "ct"}[rnd.IntN(2)], 100+rnd.IntN(12))
	switch rnd.IntN(10) {
	case 0:
		l.PowerOff(n)
	case 1, 2, 3:
		l.PowerOn(n)
	case 4:
		l.Partition([]string{n, o})
	case 5:
		l.Heal()
	case 6:
		_ = l.Command(o, "node-maintenance", []string{"enable", "disable"}[rnd.IntN(2)], n) // o may be down
	case 7, 8:
		_, _ = over(l.http, l.t.Context(), "POST", fmt.Sprintf("https://%s/api2/json/cluster/ha/resources/%s/migrate?node=%s", o, sid, n), rootToken) // as above
	case 9:
		if rnd.IntN(2) == 0 {
			l.HangNFS(n)
		} else {
			l.HealNFS()
		}
	}
}

// Whatever happens to the cluster, no guest runs twice as long as watchdogs are armed, and
// healed it comes back.
func TestChaos(t *testing.T) {
	for seed := range *chaosSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, uint64(seed)) })
	}
}

// The same seed is the same story, to the millisecond.
func TestReplaysAreIdentical(t *testing.T) {
	first := chaos(t, 4711)
	if strings.Count(first, "\n") < 50 {
		t.Fatalf("nothing much happened:\n%s", first)
	}
	for range 5 {
		if again := chaos(t, 4711); again != first {
			t.Fatal("the same seed led elsewhere")
		}
	}
}

// With Speed 60 a minute of the model is a second on the wall, and what is shown is the wall's time.
func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		spec.Options.Speed = 60
		spec.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve2", Running: true}}
		spec.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
		l := start(t, spec)
		time.Sleep(2 * time.Second)
		l.PowerOff("pve2")
		took := l.until(5*time.Second, "the recovery", func() bool { return l.runs("vm:100") != "" })
		if took > 3*time.Second {
			t.Errorf("two minutes and some took %v at speed 60", took)
		}
		var m struct {
			Status struct{ Timestamp int64 } `json:"manager_status"`
		}
		l.data("pve1", "GET", "/cluster/ha/status/manager_status", "", &m)
		if d := time.Now().Unix() - m.Status.Timestamp; d < 0 || d > 1 {
			t.Errorf("the manager's timestamp is %d s old", d)
		}
	})
}
