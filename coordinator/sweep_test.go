package coordinator_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The word of a proof is removed even if the file system does not let it go at first: the
// removal is asked for again, until it was done, and then never more.
func TestTheWordOfAProofIsRemovedInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home())
		removals, stuck := 0, "/mnt/pve/psw does not answer"
		w.proving = func(d ha.ProveStorage) string {
			if d.Deed != ha.ProofRemove {
				return ""
			}
			removals++
			return stuck
		}
		w.begun()
		w.until(3*time.Minute, "second removal", func() bool { return removals == 2 })
		stuck = ""
		w.until(time.Minute, "third removal", func() bool { return removals == 3 })
		for range 60 {
			w.step()
		}
		if removals != 3 {
			t.Errorf("it was asked for %d times, want thrice", removals)
		}
	})
}
