package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// ready is what checks say when all is well.
func ready() ha.Readiness { return ha.Readiness{Findings: readiness().Findings[:3]} }

// Every command as somebody sees it in a pipe, word for word: the answer, the talk and
// the exit code, against a real server.
func TestTranscripts(t *testing.T) {
	for _, c := range []struct {
		name    string
		command string
		world   *world
		code    int
	}{
		{"ha_status", "ha status", &world{status: []ha.ClusterStatus{clusterStatus()}}, exitDone},
		{"ha_status_json", "ha status -o json", &world{status: []ha.ClusterStatus{clusterStatus()}}, exitDone},
		{"ha_check", "ha check", &world{verdicts: []ha.Readiness{readiness()}}, exitRefused},
		{"ha_check_ready", "ha check", &world{verdicts: []ha.Readiness{ready()}}, exitDone},
		{"ha_check_json", "ha check -o json", &world{verdicts: []ha.Readiness{readiness()}}, exitRefused},
		{"ha_check_nothing", "ha check --only NO_SUCH_CODE", &world{verdicts: []ha.Readiness{{}}}, exitUsage},
		{"ha_check_wait", "ha check --wait 1m", &world{verdicts: []ha.Readiness{readiness(), readiness(), ready()}}, exitDone},
		{"ha_check_wait_in_vain", "ha check --wait 12s --quiet", &world{verdicts: []ha.Readiness{readiness()}}, exitDeadline},
		{"ha_plan", "ha plan", &world{plan: planView()}, exitRefused},
		{"ha_plan_json", "ha plan -o json", &world{plan: planView()}, exitRefused},
		{"ha_plan_nothing", "ha plan", &world{plan: ha.PlanView{Changes: planView().Changes[3:]}}, exitDone},
		{"ha_events", "ha events --after 41", &world{journal: journal()}, exitDone},
		{"ha_events_json", "ha events -o json", &world{journal: journal()}, exitDone},

		{"ha_simulate", "ha simulate --fail node1", &world{facts: clusterFacts()}, exitDone},
		{"ha_simulate_json", "ha simulate --fail node1 -o json", &world{facts: clusterFacts()}, exitDone},
		{"ha_simulate_quiet", "ha simulate --fail node1 --quiet", &world{facts: clusterFacts()}, exitDone},
		{"ha_simulate_overcommit", "ha simulate --fail node1", &world{facts: heavyFacts()}, exitRefused},
		{"ha_simulate_overcommit_json", "ha simulate --fail node1 -o json", &world{facts: heavyFacts()}, exitRefused},
		{"ha_simulate_nowhere", "ha simulate --fail node1 --quiet", &world{facts: pinnedFacts()}, exitRefused},
		{"ha_simulate_partition", "ha simulate --partition node1/node2,node3", &world{facts: clusterFacts()}, exitDone},
		{"ha_simulate_link", "ha simulate --fail-link 0 --quiet", &world{facts: clusterFacts()}, exitRefused},
		{"ha_simulate_nfs", "ha simulate --fail-nfs", &world{facts: clusterFacts()}, exitRefused},
		{"ha_simulate_nfs_node", "ha simulate --fail-nfs node2 --quiet", &world{facts: clusterFacts()}, exitRefused},
		{"ha_simulate_unregistered", "ha simulate --fail node2 --quiet", &world{facts: unregisteredFacts()}, exitRefused},
		{"ha_simulate_untouched", "ha simulate --fail node3 --quiet", &world{facts: clusterFacts()}, exitDone},
		{"ha_simulate_unavailable", "ha simulate --fail node1", &world{refuse: ha.Errorf(ha.Unavailable, "no node's Proxmox API has answered yet")}, exitFailed},
		{"ha_capacity", "ha capacity", &world{facts: heavyFacts()}, exitRefused},
		{"ha_capacity_json", "ha capacity -o json", &world{facts: heavyFacts()}, exitRefused},
		{"ha_capacity_quiet", "ha capacity --quiet", &world{facts: heavyFacts()}, exitRefused},
		{"ha_capacity_fits", "ha capacity", &world{facts: clusterFacts()}, exitDone},
		{"ha_capacity_no_quorum", "ha capacity --losses 2 --core-ratio 0 --quiet", &world{facts: clusterFacts()}, exitRefused},
		{"ha_prove", "ha prove", &world{proofs: storageProofs()}, exitRefused},
		{"ha_fence_test", "ha fence-test", &world{proofs: fenceProofs()}, exitRefused},
		{"ha_fence_test_verbose", "ha fence-test --verbose", &world{proofs: fenceProofs()[1:]}, exitDone},
		{"ha_fence_test_nothing", "ha fence-test", &world{}, exitUsage},
		{"ha_fence_test_off_yes", "ha fence-test --off node3 --yes", &world{}, exitFailed},

		{"start_dry_run", "maintenance start node1 --dry-run", &world{preview: drainPreview()}, exitDone},
		{"start_dry_run_json", "maintenance start node1 --dry-run -o json", &world{preview: drainPreview()}, exitDone},
		{"start_dry_run_blocked", "maintenance start node1 --dry-run", &world{preview: blockedPreview()}, exitRefused},
		{"start_blocked", "maintenance start node1 --yes", &world{preview: blockedPreview()}, exitRefused},
		{"start_blocked_quiet", "maintenance start node1 --yes --quiet", &world{preview: blockedPreview()}, exitRefused},
		{"start_blocked_json", "maintenance start node1 --yes -o json", &world{preview: blockedPreview()}, exitRefused},
		{"start", `maintenance start node1 --yes -m "replace a fan"`, &world{preview: drainPreview(), story: drainStory()}, exitDone},
		{"start_quiet", "maintenance start node1 --yes --quiet", &world{preview: drainPreview(), story: drainStory()}, exitDone},
		{"start_json", "maintenance start node1 --yes -o json", &world{preview: drainPreview(), story: drainStory()}, exitDone},
		{"start_detached", "maintenance start node1 --yes --detach", &world{preview: drainPreview(), story: drainStory()}, exitDone},
		{"start_detached_json", "maintenance start node1 --yes --detach -o json", &world{preview: drainPreview(), story: drainStory()}, exitDone},
		{"start_again", "maintenance start node1 --yes", &world{preview: blockedPreview(), story: drainStory(), now: drainStory()[1:2]}, exitDone},
		{"start_already_safe", "maintenance start node1 --yes", &world{now: drainStory()[5:]}, exitDone},
		{"start_already_safe_json", "maintenance start node1 --yes -o json", &world{now: drainStory()[5:]}, exitDone},
		{"start_refused_late", "maintenance start node1 --yes", &world{preview: drainPreview(),
			refuse: ha.Errorf(ha.NotReady, "cannot start maintenance of node1: the cluster is not quorate")}, exitRefused},
		{"start_left_running", "maintenance start node1 --yes --leave-pinned --quiet", &world{preview: drainPreview(), story: leftStory()}, exitDone},
		{"start_left_running_json", "maintenance start node1 --yes --leave-pinned -o json", &world{preview: drainPreview(), story: leftStory()}, exitDone},
		{"start_unknown_node", "maintenance start node9 --yes", &world{preview: drainPreview(),
			refuse: ha.Errorf(ha.NotFound, "the cluster has no node9; it has node1, node2, node3")}, exitUsage},
		{"start_deadline", "maintenance start node1 --yes --deadline 25s", &world{preview: drainPreview(), story: drainStory()}, exitDeadline},
		{"start_deadline_json", "maintenance start node1 --yes --deadline 25s -o json", &world{preview: drainPreview(), story: drainStory()}, exitDeadline},
		{"end", "maintenance end node1 --yes", &world{preview: returnPreview(), story: returnStory(), now: drainStory()[5:]}, exitDone},
		{"end_dry_run", "maintenance end node1 --dry-run", &world{preview: returnPreview(), now: drainStory()[5:]}, exitDone},
		{"end_json", "maintenance end node1 --yes -o json", &world{preview: returnPreview(), story: returnStory(), now: drainStory()[5:]}, exitDone},
		{"watch", "maintenance watch node1", &world{story: drainStory()[3:]}, exitDone},
		{"watch_nothing", "maintenance watch node1", &world{}, exitUsage},
		{"watch_return", "maintenance watch node1", &world{story: returnStory()[1:]}, exitDone},
		{"cancel", "maintenance cancel node1", &world{story: cancelStory()}, exitDone},
		{"cancel_return", "maintenance cancel node1", &world{story: cancelReturnStory()}, exitDone},
		{"cancel_detached", "maintenance cancel node1 --detach", &world{story: cancelStory()}, exitDone},
		{"cancel_nothing", "maintenance cancel node1", &world{}, exitUsage},
		{"maintenance_status_none", "maintenance status", &world{}, exitDone},
		{"maintenance_status_never", "maintenance status node1", &world{}, exitDone},
		{"maintenance_status_all", "maintenance status", &world{now: drainStory()[5:]}, exitDone},
		{"maintenance_status_json", "maintenance status node1 -o json", &world{now: drainStory()[5:]}, exitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.world.pace = 10 * time.Second
			inBubble(t, c.world, func(h *house) {
				text, code := h.run(h.t.Context(), c.command)
				golden(t, c.name, text)
				if code != c.code {
					t.Errorf("exit %d, want %d", code, c.code)
				}
			})
		})
	}
}

// cancelStory is a drain given up in its middle.
func cancelStory() []ha.MaintenanceView {
	moving := drainStory()[3]
	moving.Maintenance.Cancelling = true
	landed := drainStory()[4]
	landed.Maintenance.Phase, landed.Maintenance.DrainedAt, landed.Waits = ha.Draining, time.Time{}, nil
	landed.Maintenance.Cancelling = true
	over := landed
	over.Maintenance.Phase, over.Maintenance.EndedAt = ha.Cancelled, at("14:03:00")
	return []ha.MaintenanceView{moving, landed, over}
}

// cancelReturnStory is a return given up in its middle: the node is in service by then,
// so the maintenance is over.
func cancelReturnStory() []ha.MaintenanceView {
	moving := returnStory()[2]
	moving.Maintenance.Cancelling = true
	over := returnStory()[3]
	over.Maintenance.Cancelling = true
	return []ha.MaintenanceView{moving, over}
}

// leftStory is a drain of a node on which a pinned guest is left running: it is never
// called safe to power off.
func leftStory() []ha.MaintenanceView {
	story := drainStory()[:5]
	last := &story[4]
	last.Waits = []ha.Wait{{Subject: "node1", Reason: "not safe to power off: left running there as asked, and going down with it: vm:120 (router)"}}
	last.Guests = append(last.Guests, ha.GuestProgress{SID: router, Name: "router", Method: ha.MethodStays, From: "node1", State: "stays"})
	return story
}

// What is asked of the coordinator is what the flags say, in the name of the certificate.
func TestRequestSaysWhatTheFlagsSay(t *testing.T) {
	w := &world{preview: drainPreview(), story: drainStory(), pace: time.Second}
	inBubble(t, w, func(h *house) {
		h.run(h.t.Context(), `maintenance start node1 --yes --detach --deadline 30m -m "replace a fan" --guest vm:120 --guest ct:7`)
		want := "start node1 by anna: replace a fan, guests [vm:120 ct:7], deadline 00:30:00"
		if len(w.asked) != 1 || w.asked[0] != want {
			t.Errorf("asked %q, want %q", w.asked, want)
		}
	})
	w = &world{verdicts: []ha.Readiness{ready()}}
	inBubble(t, w, func(h *house) {
		h.run(h.t.Context(), "ha check --profile production --only nfs-not-mounted,AGENT_SILENT --target core")
		want := "check production [NFS_NOT_MOUNTED AGENT_SILENT] core"
		if len(w.asked) != 1 || w.asked[0] != want {
			t.Errorf("asked %q, want %q", w.asked, want)
		}
	})
}

// A dry run and a refusal ask for nothing.
func TestNothingIsBegunUnasked(t *testing.T) {
	for command, preview := range map[string]ha.Preview{
		"maintenance start node1 --dry-run": drainPreview(),
		"maintenance end node1 --dry-run":   returnPreview(),
		"maintenance start node1 --yes":     blockedPreview(),
	} {
		w := &world{preview: preview, story: drainStory(), pace: time.Second}
		inBubble(t, w, func(h *house) {
			if h.run(h.t.Context(), command); len(w.asked) != 0 {
				t.Errorf("%s asked %q", command, w.asked)
			}
		})
	}
}

// ctrlC is a context that somebody ends after a while.
func ctrlC(t *testing.T, after time.Duration) context.Context {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	timer := time.AfterFunc(after, interrupt)
	t.Cleanup(func() { timer.Stop(); interrupt() })
	return ctx
}

// Ctrl-C while following ends psw only, and says what goes on and what to type.
func TestCtrlC(t *testing.T) {
	for _, c := range []struct{ name, command string }{
		{"ctrl_c_start", "maintenance start node1 --yes"},
		{"ctrl_c_start_json", "maintenance start node1 --yes -o json"},
		{"ctrl_c_watch", "maintenance watch node1"},
		{"ctrl_c_events", "ha events --follow"},
		{"ctrl_c_check", "ha check --wait 5m --quiet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{preview: drainPreview(), story: drainStory(), pace: 10 * time.Second, journal: journal(), verdicts: []ha.Readiness{readiness()}}
			inBubble(t, w, func(h *house) {
				ctx := ctrlC(h.t, 35*time.Second)
				text, code := h.run(ctx, c.command)
				golden(t, c.name, text)
				if code != exitInterrupted {
					t.Errorf("exit %d, want %d", code, exitInterrupted)
				}
			})
		})
	}
}

// The maintenance before this one is not taken for it.
func TestOlderMaintenanceIsNotFollowed(t *testing.T) {
	older := returnStory()[3]
	older.Maintenance.ID = "m-0000"
	w := &world{preview: drainPreview(), story: append([]ha.MaintenanceView{older}, drainStory()...), pace: 10 * time.Second}
	inBubble(t, w, func(h *house) {
		text, code := h.run(h.t.Context(), "maintenance start node1 --yes")
		if code != exitDone || strings.Contains(text, "has ended") || !strings.Contains(text, "node1 is safe to power off.") {
			t.Error(text)
		}
	})
}

// A coordinator that restarts in the middle is waited for; what was told is not told
// again, and what happened meanwhile is.
func TestCoordinatorRestartsWhileFollowing(t *testing.T) {
	w := &world{preview: drainPreview(), story: drainStory(), pace: 10 * time.Second}
	inBubble(t, w, func(h *house) {
		go func() {
			time.Sleep(25 * time.Second)
			h.down()
			time.Sleep(12 * time.Second)
			h.up()
		}()
		text, code := h.run(h.t.Context(), "maintenance start node1 --yes")
		golden(t, "coordinator_restarts", text)
		if code != exitDone {
			t.Errorf("exit %d", code)
		}
		if n := strings.Count(text, "vm:101 media: moving live"); n != 1 {
			t.Errorf("the move is told %d times", n)
		}
	})
}

// The same for the journal: no entry twice, none left out.
func TestCoordinatorRestartsUnderTheJournal(t *testing.T) {
	w := &world{journal: journal(), pace: 10 * time.Second}
	inBubble(t, w, func(h *house) {
		go func() {
			time.Sleep(15 * time.Second)
			h.down()
			time.Sleep(5 * time.Second)
			h.up()
		}()
		ctx := ctrlC(h.t, 2*time.Minute)
		text, _ := h.run(ctx, "ha events --follow -o json")
		for _, e := range journal() {
			if n := strings.Count(text, e.Text); n != 1 {
				t.Errorf("entry %d is told %d times", e.Seq, n)
			}
		}
		if !strings.Contains(text, "the coordinator answers again") {
			t.Errorf("the restart is not told:\n%s", text)
		}
	})
}

// A coordinator that dies while it is asked to begin may have begun: the request is
// repeated, which begins nothing twice, and after a minute psw says that it cannot tell.
func TestCoordinatorGoneWhileAsked(t *testing.T) {
	w := &world{preview: drainPreview(), refuse: ha.Errorf(ha.Unavailable, "the store is closed")}
	inBubble(t, w, func(h *house) {
		text, code := h.run(h.t.Context(), "maintenance start node1 --yes --quiet")
		golden(t, "coordinator_gone", text)
		if code != exitFailed || len(w.asked) < 2 {
			t.Errorf("exit %d after %d requests", code, len(w.asked))
		}
	})
}

// Without a coordinator every command fails at once, and says where it looked.
func TestNoCoordinator(t *testing.T) {
	inBubble(t, &world{}, func(h *house) {
		h.down()
		for _, command := range []string{"ha status", "ha check", "ha plan", "ha facts", "ha simulate --fail node1", "ha capacity",
			"maintenance start node1 --yes", "maintenance status", "maintenance cancel node1"} {
			text, code := h.run(h.t.Context(), command)
			if code != exitFailed || !strings.Contains(text, "psw: cannot ") || !strings.Contains(text, "no coordinator answers at node2:7443 (") {
				t.Errorf("%s", text)
			}
		}
	})
}

// What somebody else asks for can put the goal out of reach; then following ends.
func TestSomebodyElseAsksForSomethingElse(t *testing.T) {
	back := drainStory()[2]
	back.Maintenance.Phase, back.Maintenance.RestoreAt = ha.Restoring, at("14:01:00")
	for name, story := range map[string][]ha.MaintenanceView{
		"superseded_by_end":    append(drainStory()[:3], back),
		"superseded_by_cancel": append(drainStory()[:3], cancelStory()...),
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{preview: drainPreview(), story: story, pace: 10 * time.Second}
			inBubble(t, w, func(h *house) {
				text, code := h.run(h.t.Context(), "maintenance start node1 --yes --quiet")
				golden(t, name, text)
				if code != exitFailed {
					t.Errorf("exit %d", code)
				}
			})
		})
	}
}

// A watched status in a pipe is one overview, then a line a change.
func TestWatchStatus(t *testing.T) {
	later := clusterStatus()
	later.At = at("14:02:21")
	later.Targets[1].Node, later.Targets[1].State = "node2", "started"
	for _, c := range []struct{ name, command string }{{"watch_status", "ha status --watch"}, {"watch_status_json", "ha status --watch -o json"}} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, &world{status: []ha.ClusterStatus{clusterStatus(), clusterStatus(), later}}, func(h *house) {
				ctx := ctrlC(h.t, 12*time.Second)
				text, code := h.run(ctx, c.command)
				golden(t, c.name, text)
				if code != exitInterrupted {
					t.Errorf("exit %d", code)
				}
			})
		})
	}
}
