package coordinator_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What a coordinator found when it began may have been registered for years; what it sees
// appear is new for a minute.
func TestAResourceIsNewForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		if got := w.c.Snapshot().NewResources; got != nil {
			t.Errorf("%v were there before the coordinator was", got)
		}
		if _, err := w.c.StartOperation(t.Context(), w.accepting(ha.OperationRequest{Kind: ha.OperationApply, By: "anna", Policy: wikiPolicy()})); err != nil {
			t.Fatal(err)
		}
		isNew := func() bool { return slices.Equal(w.c.Snapshot().NewResources, []ha.SID{ha.MustSID("vm:102")}) }
		w.until(2*time.Minute, "new resource", isNew)
		began := time.Now()
		w.until(2*time.Minute, "resource that is not new any more", func() bool { return w.c.Snapshot().NewResources == nil })
		if age := time.Since(began); age < 50*time.Second || age > 70*time.Second {
			t.Errorf("it was new for %s", age)
		}
	})
}

// wikiPolicy puts wiki under HA as well.
func wikiPolicy() *ha.Policy {
	p := homePolicy()
	for k := range p.Targets {
		if p.Targets[k].Name == "wiki" {
			p.Targets[k].HA = true
		}
	}
	return p
}
