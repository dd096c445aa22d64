package coordinator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// unregistered is home with nothing of ours registered but what is declared no longer: the
// VM nas, with a rule. The other's rule is to stay.
func unregistered() pvesim.Spec {
	spec := home()
	old := resource("vm:103", "nas")
	theirs := pvesim.ResourceSpec{SID: "vm:102", State: "started", Options: map[string]string{"comment": "by hand"}}
	spec.Resources = []pvesim.ResourceSpec{old, theirs}
	spec.Rules = []pvesim.RuleSpec{
		{ID: "psw-nas", Type: "node-affinity", Resources: []string{"vm:103"}, Nodes: []string{"node2:100"}, Comment: "psw-ha: target nas"},
		{ID: "pin-wiki", Type: "node-affinity", Resources: []string{"vm:102"}, Nodes: []string{"node1"}},
	}
	return spec
}

// withGroups is the same on Proxmox VE 8, which has groups instead of rules.
func withGroups() pvesim.Spec {
	spec := unregistered()
	spec.Version, spec.Rules = "8.4.14", nil
	spec.Groups = []pvesim.GroupSpec{
		{ID: "psw-nas", Nodes: []string{"node2:100"}, NoFailback: true, Comment: "psw-ha: target nas"},
		{ID: "by-hand", Nodes: []string{"node1"}, Comment: "mine"},
	}
	for k := range spec.Resources {
		delete(spec.Resources[k].Options, "failback")
	}
	spec.Resources[0].Options["group"], spec.Resources[1].Options["group"] = "psw-nas", "by-hand"
	return spec
}

// file is a file of the HA configuration as the nodes have it.
func (w *world) file(name string) string {
	w.t.Helper()
	f, err := w.sim.Host("node1").Open("etc/pve/ha/" + name)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// asks begins an operation. These worlds are no whole machines, so that HA does not read as
// ready in them: every check that says so is accepted by its name.
func (w *world) asks(r ha.OperationRequest) ha.Operation {
	w.t.Helper()
	r.By, r.Policy = "anna", homePolicy()
	o, err := w.c.StartOperation(context.Background(), w.accepting(r))
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) accepting(r ha.OperationRequest) ha.OperationRequest {
	blockers, _ := check.Blockers(w.c.Snapshot(), r.Policy, nil)
	for _, b := range blockers {
		if !slices.Contains(r.Options.Accept, b.Code) {
			r.Options.Accept = append(r.Options.Accept, b.Code)
		}
	}
	return r
}

// operation is one as it is stored.
func (w *world) operation(id string) ha.Operation {
	w.t.Helper()
	views, err := w.c.Operations(context.Background(), id)
	if err != nil || len(views) != 1 {
		w.t.Fatalf("operation %s: %v, %v", id, views, err)
	}
	return views[0].Operation
}

// over steps until the operation has ended, well.
func (w *world) over(id string) ha.Operation {
	w.t.Helper()
	w.until(15*time.Minute, "end of "+id, func() bool { return w.operation(id).Closed() })
	o := w.operation(id)
	if o.Outcome != ha.OperationDone {
		w.t.Errorf("%s ended as %s: %s\n%s", id, o.Outcome, o.Reason, w.story(0))
	}
	return o
}

// begun lets the cluster and the coordinator come to rest.
func (w *world) begun() *world {
	w.t.Helper()
	for range 6 {
		w.step()
	}
	return w
}

var applyRequest = ha.OperationRequest{Kind: ha.OperationApply}

// What network.yml declares is registered, what it declares no longer is not, what others
// made stays. A second time nothing at all is written.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, unregistered()).begun()
		o := w.over(w.asks(applyRequest).ID)
		for _, key := range []string{"ct:100", "vm:101", "vm:103", "psw-core", "psw-media", "psw-nas"} {
			if st, ok := o.Step(key); !ok || st.State != ha.StepDone {
				t.Errorf("%s is %q: %s", key, st.State, st.Note)
			}
		}
		resources, rules := w.file("resources.cfg"), w.file("rules.cfg")
		if strings.Contains(resources, "103") || !strings.Contains(rules, "pin-wiki") || w.runs("vm:103") != "node2" {
			t.Errorf("resources.cfg:\n%s\nrules.cfg:\n%s\nvm:103 runs on %q", resources, rules, w.runs("vm:103"))
		}
		before := len(w.asked())
		again := w.over(w.asks(applyRequest).ID)
		for _, st := range again.Steps {
			if st.State != ha.StepUnchanged {
				t.Errorf("the second time %s is %s", st.Key, st.State)
			}
		}
		if n := len(w.asked()) - before; n != 0 || w.file("resources.cfg") != resources || w.file("rules.cfg") != rules {
			t.Errorf("the second time %d requests were made", n)
		}
		w.noDoubleRun()
	})
}

// On Proxmox VE 8 each target gets a group, and the group of others stays.
func TestApplyOnPVE8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, withGroups()).begun()
		w.over(w.asks(applyRequest).ID)
		resources, groups := w.file("resources.cfg"), w.file("groups.cfg")
		for _, want := range []string{"group: psw-core", "group: psw-media", "nofailback 1", "group: by-hand"} {
			if !strings.Contains(groups, want) {
				t.Errorf("groups.cfg lacks %q:\n%s", want, groups)
			}
		}
		if strings.Contains(groups, "psw-nas") || strings.Contains(resources, "103") || !strings.Contains(resources, "group psw-media") {
			t.Errorf("resources.cfg:\n%s\ngroups.cfg:\n%s", resources, groups)
		}
		before := len(w.asked())
		w.over(w.asks(applyRequest).ID)
		if n := len(w.asked()) - before; n != 0 || w.file("resources.cfg") != resources || w.file("groups.cfg") != groups {
			t.Errorf("the second time %d requests were made", n)
		}
	})
}

// The coordinator is killed before and after each deed of an operation, and started again
// on its file: it goes on, and ends where it would have ended.
func TestOperationsKilledAtAnyDeed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		spec    pvesim.Spec
		prepare func(*world)
		request ha.OperationRequest
		end     func(*world) string
	}{
		{"apply", unregistered(), nil, applyRequest, func(w *world) string { return w.file("resources.cfg") + w.file("rules.cfg") }},
		{"apply on Proxmox VE 8", withGroups(), nil, applyRequest, func(w *world) string { return w.file("resources.cfg") + w.file("groups.cfg") }},
		{"rebalance", away(), nil, ha.OperationRequest{Kind: ha.OperationRebalance}, where},
		{"move by the HA manager", home(), nil, moveRequest(false), func(w *world) string { return where(w) + w.file("resources.cfg") }},
		{"move past the HA manager", home(), nil, moveRequest(true), func(w *world) string { return where(w) + w.file("resources.cfg") }},
		{"recover", home(), inError, ha.OperationRequest{Kind: ha.OperationRecover, Target: "media", Options: ha.OperationOptions{Mended: true}},
			func(w *world) string { return where(w) + w.file("resources.cfg") }},
	} {
		deeds, want := 0, ""
		run := func(t *testing.T, deed int, after bool) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.spec).begun()
				if tt.prepare != nil {
					tt.prepare(w)
				}
				o := w.asks(tt.request)
				seen := 0
				die := func(*http.Request) {
					if seen++; seen == deed {
						panic(killed{})
					}
				}
				if w.api.before = die; after {
					w.api.before, w.api.after = nil, die
				}
				for deed > 0 && !w.stepOrDie() {
				}
				if deed > 0 {
					w.api.before, w.api.after = nil, nil
					w.crash()
					time.Sleep(3 * time.Second)
					w.start()
				}
				w.over(o.ID)
				for range 6 {
					w.step() // the HA manager comes to rest
				}
				w.noDoubleRun()
				if deed == 0 {
					deeds, want = seen, tt.end(w)
				} else if got := tt.end(w); got != want {
					t.Errorf("it ends otherwise than undisturbed:\n%s\nwant\n%s\n%s", got, want, w.story(0))
				}
			})
		}
		t.Run(tt.name, func(t *testing.T) {
			run(t, 0, false)
			if deeds == 0 {
				t.Fatal("nothing was done")
			}
			for k := 1; k <= deeds; k++ {
				t.Run(fmt.Sprintf("before deed %d", k), func(t *testing.T) { run(t, k, false) })
				t.Run(fmt.Sprintf("after deed %d", k), func(t *testing.T) { run(t, k, true) })
			}
		})
	}
}

func moveRequest(manual bool) ha.OperationRequest {
	return ha.OperationRequest{Kind: ha.OperationMove, Target: "media", Options: ha.OperationOptions{To: "node2", Manual: manual}}
}

// away is home with both protected targets on other nodes than theirs.
func away() pvesim.Spec {
	spec := home()
	spec.Guests[0].Node, spec.Guests[1].Node = "node3", "node2"
	return spec
}

// where says where everything runs.
func where(w *world) string {
	out := ""
	for _, sid := range []string{"ct:100", "vm:101", "vm:102", "vm:103"} {
		out += sid + " on " + w.runs(sid) + "\n"
	}
	return out
}

// inError has the HA manager give media up: it does not start, anywhere.
func inError(w *world) {
	w.t.Helper()
	w.sim.FailStart("vm:101", 20)
	w.sim.Crash("vm:101")
	w.until(10*time.Minute, "error", func() bool {
		svc, _ := w.c.Snapshot().Inventory.HA.Service(ha.MustSID("vm:101"))
		return svc.State == ha.ServiceError
	})
	w.sim.FailStart("vm:101", 0)
}

// A recovery of which nobody has said that the cause is mended stays open, says that the
// guest is disabled, and says so again after a crash.
func TestARecoveryNeverLeavesATargetDisabledInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		inError(w)
		o := w.asks(ha.OperationRequest{Kind: ha.OperationRecover, Target: "media"})
		says := func() bool {
			views, err := w.c.Operations(context.Background(), o.ID)
			return err == nil && len(views) == 1 && !views[0].Operation.Closed() && slices.ContainsFunc(views[0].Waits, func(x ha.Wait) bool {
				return x.Blocked && strings.Contains(x.Reason, "it is disabled, and nothing protects it") && strings.Contains(x.Fix, "psw ha recover media --mended")
			})
		}
		w.until(3*time.Minute, "word of it", says)
		w.crash()
		w.start()
		w.until(time.Minute, "word of it after a crash", says)
		if same := w.asks(ha.OperationRequest{Kind: ha.OperationRecover, Target: "media", Options: ha.OperationOptions{Mended: true}}); same.ID != o.ID {
			t.Errorf("a second recovery was begun: %s", same.ID)
		}
		w.over(o.ID)
		if w.runs("vm:101") == "" {
			t.Errorf("media does not run\n%s", w.story(0))
		}
	})
}

// Somebody edits a resource between the plan and the deed. The edit is seen, what is there
// then is planned anew, and the journal tells.
func TestApplySeesAConcurrentEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := home()
		spec.Resources[1].Options["max_restart"] = "3"
		w := newWorld(t, spec).settled()
		hand := w.hand("root@pam!ha", tokenSecret)
		edited := false
		w.api.onGet = func(path string) {
			if path == "/cluster/ha/resources/vm:101" && !edited {
				edited = true
				r := ha.Resource{SID: ha.MustSID("vm:101"), State: ha.RequestStarted, MaxRestart: 3, MaxRelocate: 5, Comment: "psw-ha: target media"}
				if _, err := hand.Do(context.Background(), ha.UpdateResource{Resource: r}); err != nil {
					t.Error(err)
				}
			}
		}
		w.over(w.asks(applyRequest).ID)
		if w.count(ha.EventFailed, "somebody has changed the resource vm:101 meanwhile") != 1 {
			t.Errorf("the journal does not tell of it:\n%s", w.story(0))
		}
		if text := w.file("resources.cfg"); strings.Contains(text, "max_relocate 5") || strings.Contains(text, "max_restart 3") {
			t.Errorf("resources.cfg:\n%s", text)
		}
	})
}

// hand is somebody else who uses the API.
func (w *world) hand(token, secret string) *pve.Client {
	w.t.Helper()
	c, err := pve.New(pve.Config{Endpoints: []string{"https://node2:8006"}, TokenID: token, TokenSecret: secret, Transport: w.sim.Transport()})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// A token that may only look: the plan is shown, the apply is refused, and the refusal
// names the privilege and the path.
func TestApplyWithATokenThatMayOnlyLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := unregistered()
		spec.Tokens = []pvesim.TokenSpec{{User: "psw@pve", ID: "ha", Secret: tokenSecret, UserACL: []pvesim.ACL{{Path: "/", Role: "PVEAuditor"}}}}
		w := newWorldAs(t, spec, "psw@pve!ha").begun()
		p, err := w.c.Plan(context.Background(), homePolicy())
		if err != nil || len(p.Changes) == 0 {
			t.Errorf("the plan: %v, %v", p, err)
		}
		r := w.accepting(ha.OperationRequest{Kind: ha.OperationApply, By: "anna", Policy: homePolicy()})
		_, err = w.c.StartOperation(context.Background(), r)
		if ha.KindOf(err) != ha.NotReady || !strings.Contains(err.Error(), "lacks Sys.Console on /") {
			t.Errorf("got %v", err)
		}
		if len(w.asked()) != 0 {
			t.Errorf("asked all the same: %v", w.asked())
		}
	})
}

// Where HA does not read as ready nothing is registered, every check that says so is named
// with its remedy; one that is accepted by its code stands in the journal. What the
// registration itself mends is not among them.
func TestApplyAsksTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, unregistered()).begun()
		r := ha.OperationRequest{Kind: ha.OperationApply, By: "anna", Policy: homePolicy()}
		blockers, _ := check.Blockers(w.c.Snapshot(), homePolicy(), nil)
		_, err := w.c.StartOperation(context.Background(), r)
		if ha.KindOf(err) != ha.NotReady || len(blockers) == 0 {
			t.Fatalf("got %v with %d blockers", err, len(blockers))
		}
		for _, b := range blockers {
			if !strings.Contains(err.Error(), b.Reason) || b.Code == check.TargetNotRegistered {
				t.Errorf("the refusal and %s: %v", b.Code, err)
			}
		}
		if len(w.asked()) != 0 {
			t.Errorf("asked all the same: %v", w.asked())
		}
		w.over(w.asks(applyRequest).ID)
		if w.count(ha.EventRequested, string(blockers[0].Code)) == 0 {
			t.Errorf("what was accepted is not in the journal:\n%s", w.story(0))
		}
	})
}

// callsMax bounds what a registration of 200 targets costs: two writes a target, and for
// each 25 writes one reading of nine calls; some more for the beginning and the end.
const callsMax = 200*2 + (200*2/25+4)*9 + 50

// Two hundred targets are registered with a bounded number of calls, one write at a time.
func TestApplyOfTwoHundredTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, policy := home(), homePolicy()
		spec.Resources = nil
		policy.Targets = nil
		spec.Guests = nil
		for k := range 200 {
			name, node := fmt.Sprintf("t%03d", k), fmt.Sprintf("node%d", k%3+1)
			spec.Guests = append(spec.Guests, pvesim.GuestSpec{ID: 1000 + k, Name: name, Node: node, Running: true, Memory: gib / 8,
				Disks: []pvesim.DiskSpec{{Key: "scsi0", Storage: "psw", Size: gib}}})
			policy.Targets = append(policy.Targets, ha.Target{Name: name, Type: ha.TargetVM, Node: ha.NodeName(node), HA: true, VMID: 1000 + k})
		}
		w := newWorld(t, spec).begun()
		reads, flying := 0, 0
		w.api.onGet = func(string) { reads++ }
		w.api.before = func(*http.Request) {
			if flying++; flying > 1 {
				t.Error("two writes at once")
			}
		}
		w.api.after = func(*http.Request) { flying-- }
		o, err := w.c.StartOperation(context.Background(), w.accepting(ha.OperationRequest{Kind: ha.OperationApply, By: "anna", Policy: policy}))
		if err != nil {
			t.Fatal(err)
		}
		w.over(o.ID)
		writes := len(w.asked())
		t.Logf("%d writes, %d reads", writes, reads)
		if writes != 400 || writes+reads > callsMax {
			t.Errorf("%d writes and %d reads, at most %d in all", writes, reads, callsMax)
		}
		reads = 0
		o, err = w.c.StartOperation(context.Background(), w.accepting(ha.OperationRequest{Kind: ha.OperationApply, By: "anna", Policy: policy}))
		if err != nil {
			t.Fatal(err)
		}
		w.over(o.ID)
		if len(w.asked()) != writes || reads > 30 {
			t.Errorf("the second time: %d writes, %d reads", len(w.asked())-writes, reads)
		}
	})
}

// What was applied with --keep is put right after a minute; not while a node is in
// maintenance, and not against somebody who undoes it again and again.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		kept := applyRequest
		kept.Options.Keep = true
		w.over(w.asks(kept).ID)
		rules := w.file("rules.cfg")
		hand := w.hand("root@pam!ha", tokenSecret)
		undo := func() {
			if _, err := hand.Do(context.Background(), ha.RemoveRule{ID: "psw-media"}); err != nil {
				t.Fatal(err)
			}
		}
		undo()
		began := time.Now()
		w.until(5*time.Minute, "repair", func() bool { return w.file("rules.cfg") == rules })
		if took := time.Since(began); took < time.Minute {
			t.Errorf("it was put right after %s already", took)
		}
		if w.count(ha.EventRequested, "psw ha apply --keep") == 0 {
			t.Errorf("the journal does not tell who did it:\n%s", w.story(0))
		}
		for range ha.KeepFightsMax - 1 {
			w.until(time.Minute, "end", func() bool { _, open := w.c.Snapshot().OpenOperation(); return !open })
			undo()
			w.until(5*time.Minute, "repair", func() bool { return w.file("rules.cfg") == rules })
		}
		w.until(time.Minute, "end", func() bool { _, open := w.c.Snapshot().OpenOperation(); return !open })
		undo()
		for range 60 {
			w.step()
		}
		if w.file("rules.cfg") == rules {
			t.Error("it goes on fighting")
		}
		r, err := w.c.Check(context.Background(), ha.CheckRequest{Policy: homePolicy()})
		if err != nil || !slices.ContainsFunc(r.Findings, func(f ha.Finding) bool { return f.Code == check.RegistrationContested && f.Status == ha.Warn }) {
			t.Errorf("no finding says that it has given up: %v", err)
		}
	})
}

// A guest is deleted, and somebody removes the rule of another target. The target without a
// guest is left as it is; what was kept of the others is put right all the same.
func TestKeepGoesOnWithoutADeletedGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, home()).settled()
		kept := applyRequest
		kept.Options.Keep = true
		w.over(w.asks(kept).ID)
		w.sim.RemoveGuest("ct:100")
		hand := w.hand("root@pam!ha", tokenSecret)
		if _, err := hand.Do(context.Background(), ha.RemoveRule{ID: "psw-media"}); err != nil {
			t.Fatal(err)
		}
		w.until(5*time.Minute, "repair", func() bool { return strings.Contains(w.file("rules.cfg"), "psw-media") })
		w.until(time.Minute, "end", func() bool { _, open := w.c.Snapshot().OpenOperation(); return !open })
		asked := w.count(ha.EventRequested, "psw ha apply --keep")
		for range 60 {
			w.step()
		}
		if again := w.count(ha.EventRequested, "psw ha apply --keep"); asked != 1 || again != 1 {
			t.Errorf("it was put right %d times, and %d times after ten minutes\n%s", asked, again, w.story(0))
		}
	})
}
