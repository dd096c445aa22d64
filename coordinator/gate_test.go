package coordinator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// idle steps for a while and demands that nothing was asked of anybody.
func (w *world) idle(d time.Duration) {
	w.t.Helper()
	before, orders := len(w.asked()), 0
	for _, a := range w.agents {
		orders += len(a.done)
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.step()
	}
	for _, a := range w.agents {
		orders -= len(a.done)
	}
	if n := len(w.asked()) - before; n != 0 || orders != 0 {
		w.t.Errorf("%d deeds and %d orders; want none\n%s", n, -orders, w.story(0))
	}
}

// waitsFor demands that the newest maintenance of node1 says what it waits for.
func (w *world) waitsFor(text string) {
	w.t.Helper()
	for _, wait := range w.view("node1").Waits {
		if strings.Contains(wait.String(), text) {
			return
		}
	}
	w.t.Errorf("waits %v; want one that says %q", w.view("node1").Waits, text)
}

func TestACoordinatorActsOnlyOnceAMajorityOfAgentsObeysIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.crash()
		w.start()
		w.absent["node2"], w.absent["node3"] = true, true
		w.idle(time.Minute)
		w.waitsFor("1 of 3 agents obey this coordinator, it needs 2; missing: node2, node3")
		if _, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node2"}); ha.KindOf(err) != ha.NotReady ||
			!strings.Contains(err.Error(), "systemctl status psw-agent") {
			t.Errorf("err = %v; want a refusal with its fix", err)
		}
		w.absent["node2"], w.absent["node3"] = false, false
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
	})
}

// An agent says that it obeys a newer coordinator. From that moment this one does nothing,
// for good, and says so everywhere.
func TestAnOvertakenCoordinatorOnlyObserves(t *testing.T) {
	for _, how := range []string{"a report", "a hello", "a twin's report"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, home()).settled()
				w.drain("node1")
				newer := w.c.Identity().Generation + 4
				switch how {
				case "a report":
					r := reportOf(w.sim, "node3")
					r.Generation, r.Coordinator = newer, "other"
					if err := w.c.Report(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				case "a hello":
					if _, err := w.c.Hello(t.Context(), ha.Hello{Node: "node3", Generation: newer, Coordinator: "other"}); ha.KindOf(err) != ha.Conflict {
						t.Errorf("err = %v; want a Conflict", err)
					}
				default: // two coordinators on copies of one file
					r := reportOf(w.sim, "node3")
					r.Generation, r.Coordinator = w.c.Identity().Generation, "other"
					if err := w.c.Report(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				w.idle(2 * time.Minute) // though all agents report again that they obey this one
				w.waitsFor("only observes")
				if n := w.count(ha.EventSuperseded, "node3"); n != 1 {
					t.Errorf("the journal says it %d times", n)
				}
				st, err := w.c.Status(t.Context(), nil)
				if err != nil || !strings.Contains(strings.Join(st.Warnings, "\n"), "only observes") {
					t.Errorf("status warns of %q, %v", st.Warnings, err)
				}
				if _, err := w.c.CancelMaintenance(t.Context(), "node1", "anna"); ha.KindOf(err) != ha.Conflict {
					t.Errorf("cancel: %v; want a Conflict", err)
				}
				if n := w.c.Snapshot().Inventory.At; time.Since(n) > time.Minute {
					t.Error("it no longer observes")
				}

				w.crash()
				w.start() // on purpose: now it is the newer one
				if g := w.c.Identity().Generation; how != "a twin's report" && g != newer+1 || g <= newer-4 {
					t.Errorf("generation %d after a restart; agents accepted %d", g, newer)
				}
				w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
			})
		})
	}
}

func TestNothingIsDoneWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.sim.PowerOff("node2")
		w.sim.PowerOff("node3")
		time.Sleep(8 * time.Second) // until corosync has noticed
		w.idle(30 * time.Second)    // until node1's own watchdog fires
		w.waitsFor("cluster is not quorate")
		if w.count(ha.EventQuorum, "lost quorum") != 1 {
			t.Errorf("the journal does not tell of the quorum:\n%s", w.story(0))
		}
	})
}

func TestNothingIsDoneWhileTheAPIIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		w.drain("node1")
		w.sim.RefuseAnswers(-1, "", 595, "No route to host")
		w.idle(2 * time.Minute)
		w.waitsFor("the Proxmox API has not answered lately")
		if w.tick == nil || !strings.Contains(w.tick.Error(), "No route to host") {
			t.Errorf("the tick says %v; want why the API does not answer", w.tick)
		}
		w.sim.ClearAnswers()
		w.until(5*time.Minute, "safe node", func() bool { return w.view("node1").Safe })
		if w.count(ha.EventAPI, "does not answer") != 1 || w.count(ha.EventAPI, "answers again") != 1 {
			t.Errorf("the journal does not tell of the silence:\n%s", w.story(0))
		}
	})
}

func TestATokenWithTooFewRightsIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := home()
		spec.Tokens[0].PrivSep = true
		spec.Tokens[0].ACL = []pvesim.ACL{{Path: "/", Role: "PVEAuditor"}}
		w := newWorld(t, spec)
		for range 8 {
			w.step()
		}
		_, err := w.c.StartMaintenance(t.Context(), ha.MaintenanceRequest{Node: "node1", Policy: homePolicy()})
		if ha.KindOf(err) != ha.NotReady || !strings.Contains(err.Error(), "VM.Migrate on /vms") || !strings.Contains(err.Error(), "pveum acl modify") {
			t.Errorf("err = %v; want a refusal that names what the token lacks and the remedy", err)
		}
		w.idle(30 * time.Second)
	})
}
