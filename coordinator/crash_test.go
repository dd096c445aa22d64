package coordinator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// killed is what a test panics with in the middle of a tick: the coordinator runs no further.
type killed struct{}

// stepOrDie is step; true if the coordinator was killed in it.
func (w *world) stepOrDie() (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(killed); !ours {
				panic(r)
			}
			died = true
		}
	}()
	w.step()
	return false
}

// A drain asks Proxmox for three moves and an agent for maintenance mode. The coordinator is
// killed before and after each of these, and started again on its file: the drain finishes,
// and nothing was asked twice.
func TestACoordinatorKilledAtAnyDeedNeverAsksTwice(t *testing.T) {
	for deed := 1; deed <= 3; deed++ {
		for _, when := range []string{"before it is asked", "after it is asked"} {
			t.Run(fmt.Sprintf("deed %d %s", deed, when), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { killAtDeed(t, deed, when == "after it is asked") })
			})
		}
	}
	t.Run("with an order on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, home()).settled()
			w.drain("node1")
			w.until(3*time.Minute, "order", func() bool { return w.count(ha.EventDo, "switch maintenance mode of node1 on") == 1 })
			w.crash()
			w.start()
			w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
			eachMovedOnce(t, w)
		})
	})
}

func killAtDeed(t *testing.T, deed int, after bool) {
	w := newWorld(t, home()).settled()
	w.drain("node1")
	seen := 0
	die := func(*http.Request) {
		if seen++; seen == deed {
			panic(killed{})
		}
	}
	if after {
		w.api.after = die
	} else {
		w.api.before = die
	}
	died := false
	for range 100 {
		if died = w.stepOrDie(); died {
			break
		}
	}
	if !died {
		t.Fatalf("deed %d never came", deed)
	}
	w.api.before, w.api.after = nil, nil
	w.crash()
	time.Sleep(3 * time.Second)
	w.start()
	w.until(10*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	eachMovedOnce(t, w)
}

// eachMovedOnce demands that every guest of node1 was asked to move exactly once.
func eachMovedOnce(t *testing.T, w *world) {
	t.Helper()
	for _, part := range []string{"/ct:100/migrate", "/vm:101/migrate", "/qemu/102/migrate"} {
		n := 0
		for _, a := range w.asked() {
			if strings.HasSuffix(a, part) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s was asked %d times\n%s", part, n, w.story(0))
		}
	}
	for _, sid := range []string{"ct:100", "vm:101", "vm:102"} {
		if on := w.runs(sid); on == "" || on == "node1" {
			t.Errorf("%s runs on %q", sid, on)
		}
	}
	w.noDoubleRun()
}

// Whatever reaches the API is in the file by then, as an intent without an outcome, where a
// coordinator that starts on that file would find it.
func TestTheIntentIsOnDiskBeforeTheDeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		checked := 0
		w.api.before = func(r *http.Request) {
			checked++
			at := t.TempDir() + "/copy.db"
			if err := store.CopyLive(w.path, at); err != nil {
				t.Fatal(err)
			}
			st, err := store.Open(at, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			found := false
			for _, mv := range st.Maintenances()[0].Moves {
				id := fmt.Sprintf("/%d/", mv.SID.ID)
				if mv.HA {
					id = "/" + mv.SID.String() + "/"
				}
				found = found || mv.Open() && mv.UPID == "" && strings.Contains(r.URL.Path, id)
			}
			if !found {
				t.Errorf("%s %s reached the API and the file knows of no such intent: %+v", r.Method, r.URL.Path, st.Maintenances()[0].Moves)
			}
		}
		w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		w.end("node1")
		w.until(5*time.Minute, "end", func() bool { return w.phase("node1") == ha.Ended })
		if checked != 6 {
			t.Errorf("%d deeds were looked at; want 3 out and 3 home", checked)
		}
	})
}

// Proxmox does what it was asked and its answer is lost. Nothing is asked again.
func TestALostAnswerIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.LoseAnswers(1, "/migrate")
		w.drain("node1")
		w.step()
		if moves := w.view("node1").Maintenance.Moves; len(moves) != 1 || !moves[0].Open() {
			t.Errorf("moves = %+v; want only the one without an answer, open", moves)
		}
		w.step()
		if moves := w.view("node1").Maintenance.Moves; len(moves) != 3 {
			t.Errorf("moves = %+v; want that the others were asked on the next tick", moves)
		}
		w.until(10*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		eachMovedOnce(t, w)
		if w.count(ha.EventFailed, "no answer: ") != 1 || w.count(ha.EventFailed, "not asked: ") != 1 {
			t.Errorf("the journal does not tell of the lost answer and of what was held back:\n%s", w.story(0))
		}
	})
}

// A refusal is a refusal: it is written down with Proxmox's words, and tried again later.
func TestARefusalIsTriedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.RefuseAnswers(1, "/qemu/102/migrate", 595, "No route to host")
		w.drain("node1")
		w.step()
		w.step()
		var failed ha.Move
		for _, mv := range w.view("node1").Maintenance.Moves {
			if mv.Failed != "" {
				failed = mv
			}
		}
		if failed.SID != ha.MustSID("vm:102") || !strings.Contains(failed.Failed, "No route to host") || failed.FailedAt.IsZero() {
			t.Errorf("failed move = %+v", failed)
		}
		if w.count(ha.EventFailed, "refused: migrate vm:102 live from node1 to node2: ") != 1 {
			t.Errorf("the journal does not tell of the refusal:\n%s", w.story(0))
		}
		w.until(10*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	})
}

// The state file can no longer be written, in the middle of a drain: nothing is begun that
// could not be written down, and when it can be again the drain goes on.
func TestNothingIsDoneThatCannotBeWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		if err := w.store.Close(); err != nil { // every write fails from here on
			t.Fatal(err)
		}
		for range 20 {
			w.step()
		}
		const why = "cannot write the coordinator's state"
		if w.tick == nil || !strings.Contains(w.tick.Error(), why) {
			t.Errorf("the tick says %v; want %q", w.tick, why)
		}
		if asked := w.asked(); len(asked) > 0 {
			t.Errorf("asked: %q; want nothing", asked)
		}
		if st, err := w.c.Status(t.Context(), nil); err != nil || !strings.Contains(strings.Join(st.Warnings, "\n"), why) {
			t.Errorf("status warns of %q, %v; want %q", st.Warnings, err, why)
		}
		w.crash()
		w.start()
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		eachMovedOnce(t, w)
	})
}
