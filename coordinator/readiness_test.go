package coordinator_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// installed is a node with Proxmox on it, which is what the checks ask first.
func installed(r *ha.Report) {
	r.System.PVEVersion, r.System.PVEHAVersion = "9.2.11", "5.2.0"
}

// soft makes the mounts of these nodes soft, which is a warning each.
func soft(nodes ...ha.NodeName) func(*ha.Report) {
	return func(r *ha.Report) {
		installed(r)
		for k := range r.Mounts {
			r.Mounts[k].Hard = !slices.Contains(nodes, r.Node)
		}
	}
}

// hanging has the mounts of a node hang.
func hanging(node ha.NodeName) func(*ha.Report) {
	return func(r *ha.Report) {
		installed(r)
		for k := range r.Mounts {
			if r.Node == node {
				r.Mounts[k].Answering, r.Mounts[k].Stuck = false, 8*time.Second
			}
		}
	}
}

func (w *world) steps(n int) {
	for range n {
		w.step()
	}
}

// judge asks as anna would.
func (w *world) judge() ha.Readiness {
	w.t.Helper()
	r, err := w.c.Check(context.Background(), ha.CheckRequest{Profile: check.Production, By: "anna", Policy: homePolicy()})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// finding is what is said of a code and a subject.
func (w *world) finding(code ha.Code, subject string) ha.Finding {
	w.t.Helper()
	for _, f := range w.judge().Findings {
		if f.Code == code && f.Subject == subject {
			return f
		}
	}
	w.t.Fatalf("nothing is said of %s of %s", code, subject)
	return ha.Finding{}
}

// judged is a world at rest whose coordinator knows the project and whose nodes have
// Proxmox on them.
func judged(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, home())
	w.alter = installed
	if err := w.store.Change(time.Now(), func(tx *store.Tx) error {
		_, err := tx.SetPolicy(*homePolicy())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return w.settled()
}

// What is muted is silent until its time is over, also across a restart of the
// coordinator; it is heard again at once when another node has the same trouble.
func TestAMuteEndsWhenItIsWorseOrOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		w.alter = soft("node1")
		w.steps(5)
		m, err := w.c.Mute(context.Background(), ha.MuteRequest{Code: check.NFSSoftMount, For: 4 * time.Hour, By: "anna", Message: "known"})
		if err != nil || m.Worst != ha.Warn || !slices.Equal(m.Subjects, []string{"node1"}) {
			t.Fatalf("muted %+v, %v", m, err)
		}
		if f := w.finding(check.NFSSoftMount, "node1"); !f.Muted() || f.MutedBy != "anna" {
			t.Errorf("it is not muted: %+v", f)
		}
		w.crash()
		w.start()
		w.steps(5)
		if f := w.finding(check.NFSSoftMount, "node1"); !f.Muted() {
			t.Errorf("after a restart it is not muted: %+v", f)
		}

		w.alter = soft("node1", "node2")
		w.step()
		if f := w.finding(check.NFSSoftMount, "node1"); f.Muted() {
			t.Error("a second node has it, and whoever asks is not told")
		}
		w.steps(5)
		if n := w.count(ha.EventVouched, "the mute of NFS_SOFT_MOUNT by anna has ended: it has become worse, it is about node2 as well"); n != 1 {
			t.Errorf("that the mute has ended is told %d times:\n%s", n, w.story(0))
		}

		if _, err := w.c.Mute(context.Background(), ha.MuteRequest{Code: check.NFSSoftMount, For: time.Minute, By: "anna"}); err != nil {
			t.Fatal(err)
		}
		w.steps(14)
		if list, _ := w.c.Mutes(context.Background()); len(list) != 0 {
			t.Errorf("a minute later there is still muted: %+v", list)
		}
		if n := w.count(ha.EventVouched, "has ended: its time is over"); n != 1 {
			t.Errorf("that its time is over is told %d times", n)
		}
	})
}

// A flapping mount is no news; one that stays away is, once. Who asks sees it at once.
func TestAFlappingMountIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		w.steps(5)
		told := func() int { return w.count(ha.EventReadiness, "NFS_NOT_ANSWERING on node1") }
		for range 5 {
			w.alter = hanging("node1")
			w.step()
			if f := w.finding(check.NFSNotAnswering, "node1"); f.Status != ha.Fail || f.Since.IsZero() {
				t.Fatalf("it hangs, and whoever asks is told %s since %s", f.Status, f.Since)
			}
			w.alter = installed
			w.steps(2)
		}
		if told() != 0 {
			t.Errorf("a flapping mount is told:\n%s", w.story(0))
		}
		w.alter = hanging("node1")
		w.steps(8)
		if told() != 1 {
			t.Errorf("a mount that stays away is told %d times:\n%s", told(), w.story(0))
		}
		w.crash()
		w.start()
		w.steps(5)
		if told() != 1 {
			t.Errorf("a restart tells it again:\n%s", w.story(0))
		}
		s, err := w.c.Status(context.Background(), homePolicy())
		if err != nil || s.Readiness == nil || !s.Readiness.Known || s.Readiness.Ready || !slices.Contains(s.Readiness.Failing, check.NFSNotAnswering) {
			t.Errorf("the status says %+v, %v", s.Readiness, err)
		}
	})
}

// The record of a whole check counts until what the cluster is built of changes; a restart keeps it, a narrowed check makes none.
func TestARecordCountsUntilTheClusterChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		w.steps(3)
		narrowed := ha.CheckRequest{Profile: check.Production, Only: []ha.Code{check.NFSSoftMount}, Policy: homePolicy()}
		if r, _ := w.c.Check(context.Background(), narrowed); r.Standing.Record != nil {
			t.Errorf("a narrowed check is recorded: %+v", r.Standing.Record)
		}
		w.judge()
		stale := func() []string {
			t.Helper()
			r, err := w.c.Check(context.Background(), narrowed)
			if err != nil || r.Standing.Record == nil || r.Standing.Record.By != "anna" {
				t.Fatalf("the record is %+v, %v", r.Standing.Record, err)
			}
			return r.Standing.Stale
		}
		w.crash()
		w.start()
		w.steps(3)
		if why := stale(); len(why) != 0 {
			t.Errorf("nothing has changed, but the record does not count: %v", why)
		}
		w.absent["node3"] = true // a silent agent has not changed its node
		w.steps(8)
		if why := stale(); len(why) != 0 {
			t.Errorf("an agent is silent, and the record does not count: %v", why)
		}
		w.alter = func(r *ha.Report) {
			installed(r)
			if r.Node == "node1" {
				r.System.PVEHAVersion = "5.2.1"
			}
		}
		w.step()
		if why := stale(); len(why) != 1 || !strings.HasPrefix(why[0], "versions of node1: ") || !strings.Contains(why[0], "5.2.1") {
			t.Errorf("after an upgrade of node1 the record does not count because %v", why)
		}
	})
}

// What operators vouch for is there for the checks, with their names, and after a restart.
func TestAcknowledgementsReachTheChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		ctx := context.Background()
		for _, wrong := range []ha.Acknowledgement{{Item: "wishes"}, {Item: ha.AckUPS, Node: "node9"}, {Item: ha.AckRunbookKnown, Node: "node1"}} {
			if _, err := w.c.Acknowledge(ctx, wrong); err == nil {
				t.Errorf("%+v is taken", wrong)
			}
		}
		if _, err := w.c.Acknowledge(ctx, ha.Acknowledgement{Item: ha.AckUPS, Node: "node1", By: "anna", Note: "APC"}); err != nil {
			t.Fatal(err)
		}
		w.crash()
		w.start()
		if a, fresh, ok := w.c.Snapshot().Acknowledged(ha.AckUPS, "node1"); !ok || !fresh || a.By != "anna" {
			t.Errorf("after a restart it is %+v", a)
		}
		if err := w.c.Withdraw(ctx, ha.Acknowledgement{Item: ha.AckUPS, Node: "node1", By: "ben"}); err != nil {
			t.Fatal(err)
		}
		if err := w.c.Withdraw(ctx, ha.Acknowledgement{Item: ha.AckUPS, Node: "node1"}); ha.KindOf(err) != ha.NotFound {
			t.Errorf("withdrawn twice: %v", err)
		}
		if n := w.count(ha.EventVouched, "ups") + w.count(ha.EventVouched, "a UPS that is watched feeds it"); n != 2 {
			t.Errorf("the journal tells %d of two:\n%s", n, w.story(0))
		}
	})
}

// A mistyped code or node mutes nothing.
func TestNothingIsMutedByMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		ctx := context.Background()
		for _, wrong := range []ha.MuteRequest{
			{Code: "NFS_SOFT_MONT", For: time.Hour}, {Code: check.NFSSoftMount, Subject: "node9", For: time.Hour},
			{Code: check.NFSSoftMount}, {Code: check.NFSSoftMount, For: ha.MuteMax + 1},
		} {
			if m, err := w.c.Mute(ctx, wrong); err == nil {
				t.Errorf("%+v is muted", m)
			}
		}
		if _, err := w.c.Unmute(ctx, check.NFSSoftMount, "", "anna"); ha.KindOf(err) != ha.NotFound {
			t.Errorf("what is not muted is unmuted: %v", err)
		}
	})
}

// A target that left its node for a maintenance explains itself.
func TestATargetAwayForMaintenanceExplainsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := judged(t)
		ctx := context.Background()
		explain := func(target string) ha.Explanation {
			t.Helper()
			e, err := w.c.Explain(ctx, target, homePolicy())
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if e := explain("media"); !e.Well || e.Node != "node1" {
			t.Errorf("all is well, and media is explained as %+v", e)
		}
		w.drain("node1")
		w.until(10*time.Minute, "drained node", func() bool { return w.phase("node1") == ha.Drained })
		w.steps(3)
		e := explain("media")
		if e.Well || e.Node == "node1" || len(e.Events) == 0 || len(e.Tasks) == 0 {
			t.Errorf("after the drain media is explained as %+v", e)
		}
		if !slices.ContainsFunc(e.Next, func(h ha.Hint) bool { return h.Command == "psw maintenance end node1" }) {
			t.Errorf("the way home is not named: %+v", e.Next)
		}
		if _, err := w.c.Explain(ctx, "nobody", homePolicy()); ha.KindOf(err) != ha.NotFound {
			t.Errorf("a target that does not exist is explained: %v", err)
		}
	})
}
