package coordinator_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestARefusalListsEveryBlockerWithItsFix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := home()
		spec.Guests[0].Memory = 62 * gib // core fits nowhere beside
		spec.Guests[3].Memory = 10 * gib // nas
		spec.Nodes[2].Memory = 16 * gib  // node3 is small
		spec.Guests[2].Name = "stranger" // wiki is not wiki
		w := newWorld(t, spec).settled()
		policy := homePolicy()
		policy.Targets = policy.Targets[:3] // the project no longer declares it
		r := ha.MaintenanceRequest{Node: "node1", Policy: policy}
		_, err := w.c.StartMaintenance(t.Context(), r)
		if ha.KindOf(err) != ha.NotReady {
			t.Fatalf("err = %v; want NotReady", err)
		}
		p, perr := w.c.PreviewStart(t.Context(), r)
		if perr != nil || len(p.Blockers) < 2 {
			t.Fatalf("preview = %+v, %v; want two blockers", p.Blockers, perr)
		}
		for _, b := range p.Blockers {
			if line := b.Subject + ": " + b.Reason + "; " + b.Fix; b.Fix == "" || !strings.Contains(err.Error(), "\n  "+line) {
				t.Errorf("the refusal lacks the line %q:\n%s", line, err)
			}
		}
		if views, _ := w.c.Maintenances(t.Context(), ""); len(views) != 0 {
			t.Error("a refused maintenance was stored")
		}
	})
}

func TestAskingAgainGoesOnWithWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		first := w.drain("node1")
		w.step()
		deadline := time.Now().Add(time.Hour).UTC()
		again, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", By: "bert",
			Options: ha.MaintenanceOptions{Deadline: deadline, AllowOvercommit: true, Guests: []ha.SID{ha.MustSID("vm:999")}}})
		if err != nil || again.ID != first.ID || !again.Options.Deadline.Equal(deadline) || !again.Options.AllowOvercommit || len(again.Options.Guests) != 1 {
			t.Errorf("again = %+v, %v; want the first with the new options", again, err)
		}
		again, err = w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1"})
		if err != nil || !again.Options.AllowOvercommit || !again.Options.Deadline.Equal(deadline) {
			t.Errorf("again = %+v, %v; want what was allowed to stay allowed", again, err)
		}
		if _, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node2"}); ha.KindOf(err) != ha.NotReady || !strings.Contains(err.Error(), "node1: it is in maintenance") {
			t.Errorf("a second node: %v; want NotReady that names node1", err)
		}
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		eachMovedOnce(t, w)
	})
}

// The deadline passes while guests wait for their turn; asking again without one goes on.
func TestAPassedDeadlineIsNotInTheWayOfSomebodyWhoAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.sim.FailMigration("vm:102", 1)
		if _, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", Policy: homePolicy(),
			Options: ha.MaintenanceOptions{Deadline: time.Now().Add(20 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			w.step()
		}
		w.waitsFor("the deadline has passed")
		w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	})
}

func TestWrongRequestsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		for _, tt := range []struct {
			name string
			r    ha.MaintenanceRequest
			kind ha.Kind
			text string
		}{
			{"no node", ha.MaintenanceRequest{}, ha.Invalid, "which node"},
			{"a node that does not exist", ha.MaintenanceRequest{Node: "node9"}, ha.NotFound, "node1, node2, node3"},
			{"contradicting options", ha.MaintenanceRequest{Node: "node1", Options: ha.MaintenanceOptions{StopPinned: true, LeavePinned: true}}, ha.Invalid, "not both"},
			{"a deadline in the past", ha.MaintenanceRequest{Node: "node1", Options: ha.MaintenanceOptions{Deadline: time.Now()}}, ha.Invalid, "has passed"},
		} {
			if _, err := w.c.StartMaintenance(t.Context(), tt.r); ha.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("start with %s: %v; want %s with %q", tt.name, err, tt.kind, tt.text)
			}
			if _, err := w.c.EndMaintenance(t.Context(), tt.r); ha.KindOf(err) != tt.kind {
				t.Errorf("end with %s: %v; want %s", tt.name, err, tt.kind)
			}
			if _, err := w.c.PreviewEnd(t.Context(), tt.r); ha.KindOf(err) != tt.kind {
				t.Errorf("preview with %s: %v; want %s", tt.name, err, tt.kind)
			}
		}
		if _, err := w.c.CancelMaintenance(t.Context(), "node1", "anna"); ha.KindOf(err) != ha.NotFound {
			t.Errorf("cancel: %v; want NotFound", err)
		}
		if _, err := w.c.EndMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node2", Policy: homePolicy()}); ha.KindOf(err) != ha.NotFound || !strings.Contains(err.Error(), "nothing to end") {
			t.Errorf("end of a node without any maintenance: %v; want that there is nothing to end", err)
		}
	})
}

// media was moved away by hand. Ending a maintenance that never was brings it home.
func TestEndBringsHomeWhatBelongsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := home()
		spec.Guests[1].Node = "node3"
		w := newWorld(t, spec).settled()
		m, err := w.c.EndMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", Policy: homePolicy()})
		if err != nil || m.Phase != ha.Restoring {
			t.Fatalf("m = %+v, %v; want one that restores", m, err)
		}
		w.until(3*time.Minute, "end", func() bool { return w.phase("node1") == ha.Ended })
		if on := w.runs("vm:101"); on != "node1" {
			t.Errorf("media runs on %s", on)
		}
	})
}

// Somebody switched maintenance mode on by hand; ending it switches it off.
func TestEndTakesOffAMaintenanceModeSetByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		if err := w.sim.Command("node2", "node-maintenance", "enable", "node3"); err != nil {
			t.Fatal(err)
		}
		state := func() string { n, _ := w.c.Snapshot().Inventory.HA.Node("node3"); return n.State }
		w.until(2*time.Minute, "maintenance mode", func() bool { return state() == ha.NodeMaintenance })
		w.end("node3")
		w.until(2*time.Minute, "end", func() bool { return w.phase("node3") == ha.Ended })
		if state() != ha.NodeOnline {
			t.Errorf("node3 is %s", state())
		}
	})
}

func TestACancelledDrainLeavesGuestsWhereTheyAreUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.until(time.Minute, "first move", func() bool { return w.runs("vm:102") == "node2" })
		m, err := w.c.CancelMaintenance(t.Context(), "node1", "bert")
		if err != nil || !m.Cancelling {
			t.Fatalf("m = %+v, %v", m, err)
		}
		if _, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1"}); ha.KindOf(err) != ha.Conflict {
			t.Errorf("start while cancelling: %v; want a Conflict", err)
		}
		w.until(3*time.Minute, "cancelled", func() bool { return w.phase("node1") == ha.Cancelled })
		if on := w.runs("vm:102"); on != "node2" {
			t.Errorf("wiki runs on %s; want it where it was", on)
		}
		if w.count(ha.EventRequested, "bert asks: maintenance cancel node1") != 1 {
			t.Error("the journal does not say who cancelled")
		}
		if again := w.end("node1"); again.ID != m.ID {
			t.Errorf("end made a new maintenance %s", again.ID)
		}
		w.until(3*time.Minute, "end", func() bool { return w.phase("node1") == ha.Ended })
		if on := w.runs("vm:102"); on != "node1" {
			t.Errorf("wiki runs on %s; want it at home", on)
		}
	})
}

// On its way home the node is wanted empty after all.
func TestANodeThatIsComingBackCanBeDrainedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		first := w.drain("node1")
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		w.end("node1")
		w.until(2*time.Minute, "first return", func() bool { return w.runs("vm:102") == "node1" })
		again := w.drain("node1")
		if again.ID != first.ID || again.Phase != ha.Draining {
			t.Errorf("again = %s %s; want %s draining", again.ID, again.Phase, first.ID)
		}
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		w.end("node1")
		w.until(5*time.Minute, "end", func() bool { return w.phase("node1") == ha.Ended })
		for _, sid := range []string{"ct:100", "vm:101", "vm:102"} {
			if on := w.runs(sid); on != "node1" {
				t.Errorf("%s runs on %s", sid, on)
			}
		}
		w.noDoubleRun()
	})
}

func TestTheProjectIsStoredWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		if _, err := w.c.Plan(t.Context(), nil); ha.KindOf(err) != ha.NotFound {
			t.Errorf("plan without a project: %v; want NotFound", err)
		}
		for range 2 {
			w.drain("node1")
		}
		if n := w.count(ha.EventPolicy, "project home stored, as anna has it: 4 targets"); n != 1 {
			t.Errorf("the journal has it %d times; want once", n)
		}
		if diff := cmp.Diff(*homePolicy(), w.c.Snapshot().Policy); diff != "" {
			t.Error(diff)
		}
		other := homePolicy()
		other.Targets = other.Targets[:1]
		if _, err := w.c.PreviewStart(t.Context(), ha.MaintenanceRequest{Node: "node1", Policy: other}); err != nil {
			t.Fatal(err)
		}
		if n := len(w.c.Snapshot().Policy.Targets); n != 4 {
			t.Errorf("a preview stored a project of %d targets", n)
		}
		view, err := w.c.Plan(t.Context(), nil)
		if err != nil || len(view.Changes) == 0 {
			t.Errorf("plan = %+v, %v", view, err)
		}
	})
}

// The first question comes before the first tick.
func TestAFreshlyStartedCoordinatorAnswersFromALookOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home())
		r, err := w.c.Check(t.Context(), ha.CheckRequest{Policy: homePolicy()})
		if err != nil || len(r.Findings) == 0 || r.Ready() {
			t.Errorf("check = %d findings, ready %v, %v; want findings, and not ready without any agent", len(r.Findings), r.Ready(), err)
		}
		if w.c.Snapshot().Inventory.At.IsZero() {
			t.Error("it did not look")
		}
	})
}

// A typing error in the request is said, not judged.
func TestACheckOfWhatDoesNotExistIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home())
		for _, r := range []ha.CheckRequest{{Profile: "produktion"}, {Only: []ha.Code{"NFS_NOT_ANSWRING"}}} {
			if verdict, err := w.c.Check(t.Context(), r); ha.KindOf(err) != ha.Invalid {
				t.Errorf("check of %+v = %d findings, %v; want an Invalid error", r, len(verdict.Findings), err)
			}
		}
	})
}

// Facts are the whole snapshot: with the project that was sent, or the stored one, or, before
// the first tick, from a look of the coordinator's own.
func TestFactsAreWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early, err := newWorld(t, home()).c.Facts(t.Context(), nil)
		if err != nil || len(early.Inventory.Nodes) != 3 {
			t.Errorf("before the first tick: %d nodes, %v", len(early.Inventory.Nodes), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		s, err := w.c.Facts(t.Context(), homePolicy())
		if err != nil || s.Policy.Project != "home" || len(s.Reports) != 3 || len(s.Inventory.Guests) == 0 {
			t.Errorf("facts of project %q, %d reports, %d guests, %v", s.Policy.Project, len(s.Reports), len(s.Inventory.Guests), err)
		}
		if stored := w.c.Snapshot().Policy.Project; stored != "" {
			t.Errorf("asking for facts stored the project %q", stored)
		}
	})
}

// An operator cancels while the drain's first deed is on its way: the others, though planned
// and written down, are not asked any more.
func TestACancelInTheMiddleOfATickHoldsBackTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.api.before = func(*http.Request) {
			w.api.before = nil
			if _, err := w.c.CancelMaintenance(t.Context(), "node1", "bert"); err != nil {
				t.Error(err)
			}
		}
		w.step()
		if asked := w.asked(); len(asked) != 1 {
			t.Errorf("asked: %q; want the first only", asked)
		}
		if m := w.view("node1").Maintenance; !m.Cancelling || len(m.Moves) != 1 {
			t.Errorf("m = %+v; want it cancelling, with one move", m)
		}
		w.until(3*time.Minute, "cancelled", func() bool { return w.phase("node1") == ha.Cancelled })
	})
}

// A tick works on two maintenances; while it acts on the first an operator cancels the
// second. What the tick then planned for that one is thrown away, and the cancel stands.
func TestARequestThatOvertakesATickStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		past := ha.MaintenanceOptions{Deadline: time.Now().Add(time.Millisecond)} // so that it begins nothing yet
		if _, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", Policy: homePolicy(), Options: past}); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Command("node2", "node-maintenance", "enable", "node2"); err != nil {
			t.Fatal(err)
		}
		w.until(2*time.Minute, "maintenance mode", func() bool {
			n, _ := w.c.Snapshot().Inventory.HA.Node("node2")
			return n.State == ha.NodeMaintenance
		})
		w.end("node2")
		w.drain("node1") // now it may begin
		cancelled := false
		w.api.before = func(*http.Request) {
			if w.api.before = nil; !cancelled {
				cancelled = true
				if _, err := w.c.CancelMaintenance(t.Context(), "node2", "bert"); err != nil {
					t.Error(err)
				}
			}
		}
		w.step()
		if m := w.view("node2").Maintenance; !cancelled || !m.Cancelling {
			t.Errorf("cancelled %v, m = %+v; want the cancel to stand", cancelled, m)
		}
	})
}
