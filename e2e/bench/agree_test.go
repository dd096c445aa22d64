package bench

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var failing = regexp.MustCompile(`HCHECK_INIT_CLUSTER_GN1_FAIL=(\d+)`)

// hcheck and we count, on many small clusters, the nodes whose loss does not fit. hcheck
// places greedily and so may call a loss impossible that has a placement; and its check of
// lost nodes does not look at the tags that keep instances apart, so it may restart two
// beside each other that must not meet. Any other difference is an error of ours.
func TestAgreesWithHcheck(t *testing.T) {
	clusters := 3
	if *rivals {
		clusters = 300
	}
	same, better, rules, silent, fit := 0, 0, 0, 0, 0
	for k := range clusters {
		c := size{nodes: 4 + k%5, guests: 24 + k%40, full: 0.60 + 0.03*float64(k%12)}
		s := world(c, *seed+uint64(k))
		ours, fits := impossible(t, s)
		fit += fits
		if !*rivals {
			continue
		}
		theirs, answered := hcheckFails(t, s)
		switch {
		case !answered:
			silent++
		case theirs == ours:
			same++
		case theirs > ours:
			better++
			t.Logf("%s, seed %d: hcheck calls %d losses impossible, %d are: its greedy placement misses one", c, *seed+uint64(k), theirs, ours)
		default:
			s.Inventory.Rules = nil
			if without, _ := impossible(t, s); without > theirs {
				t.Errorf("%s, seed %d: hcheck calls %d losses impossible, we %d, %d even without rules", c, *seed+uint64(k), theirs, ours, without)
			}
			rules++
			t.Logf("%s, seed %d: hcheck calls %d losses impossible, %d are: it does not keep apart what must not meet", c, *seed+uint64(k), theirs, ours)
		}
	}
	if fit == 0 {
		t.Error("nothing ever fitted")
	}
	if *rivals {
		t.Logf("%d clusters the same, %d where a placement exists that hcheck misses, %d where it breaks a rule, %d it has no answer for within %s",
			same, better, rules, silent, *patience)
	}
}

// impossible counts the losses that do not fit, and those that do.
func impossible(t *testing.T, s ha.Snapshot) (n, fits int) {
	t.Helper()
	report, err := forecast.Capacity(s, forecast.CapacityOptions{CoreRatio: coreRatio})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range report.Losses {
		if l.Could == forecast.Fits {
			fits++
		} else {
			n++
		}
	}
	return n, fits
}

func hcheckFails(t *testing.T, s ha.Snapshot) (fails int, answered bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.data")
	if err := os.WriteFile(path, []byte(ganetiText(s)), 0o644); err != nil {
		t.Fatal(err)
	}
	r, out := outside(t, "hcheck", "-t", path, "--no-simulation", "--machine-readable")
	m := failing.FindStringSubmatch(out)
	if m == nil {
		if r.took < *patience {
			t.Fatalf("hcheck says: %s", out)
		}
		return 0, false
	}
	fails, _ = strconv.Atoi(m[1])
	return fails, true
}
