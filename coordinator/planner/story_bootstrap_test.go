package planner

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// bootstrapped is a bootstrap whose cluster is there, at the leg after it.
func bootstrapped(s ha.Snapshot, a Aside, ticks int) ha.Operation {
	o := ha.Operation{Kind: ha.OperationBootstrap, By: "anna", Policy: s.Policy}
	for range ticks {
		o, _ = Operate(o, s, a)
		s.At = s.At.Add(time.Minute)
		s.Inventory.At = s.At
		for k := range s.Reports {
			s.Reports[k].Received = s.At
		}
	}
	return o
}

// stored is three members that share the declared storage.
func stored() ha.Snapshot {
	s := threeNodes(3)
	x := ha.Storage{Name: "nas", Type: "nfs", Shared: true, Server: "10.0.0.50", Export: "/pool", Path: "/mnt/shared", Content: slices.Clone(storageContent)}
	for k, n := range s.Policy.Cluster.Nodes {
		x.On = append(x.On, ha.StorageOn{Node: n, Available: true})
		s.Reports[k].Mounts = []ha.Mount{{Source: "10.0.0.50:/pool", Path: "/mnt/shared", Type: "nfs4", Answering: true, FilesystemID: "f1"}}
	}
	s.Inventory.Storages = []ha.Storage{x}
	return s
}

// A storage that a node does not have, or that is not the same there, ends a bootstrap
// before anything is registered, and says what to type.
func TestABootstrapWhoseStorageIsNotShared(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wrong func(*ha.Snapshot)
		cause string
		next  string
	}{
		{"not active", func(s *ha.Snapshot) { s.Inventory.Storages[0].On[1].Available = false }, "Proxmox does not have it active", "on node2: `pvesm status`"},
		{"not mounted", func(s *ha.Snapshot) { s.Reports[1].Mounts = nil }, "nothing is mounted at /mnt/shared", "on node2: `findmnt /mnt/shared`"},
		{"of another server", func(s *ha.Snapshot) { s.Reports[1].Mounts[0].Source = "old:/pool" }, "old:/pool is mounted at /mnt/shared", "`umount /mnt/shared`"},
		{"not answering", func(s *ha.Snapshot) { s.Reports[1].Mounts[0].Answering = false }, "does not answer", "`showmount -e 10.0.0.50`"},
		{"read-only", func(s *ha.Snapshot) { s.Reports[1].Mounts[0].ReadOnly = true }, "mounted read-only", "`findmnt /mnt/shared`"},
		{"another file system", func(s *ha.Snapshot) { s.Reports[2].Mounts[0].FilesystemID = "f2" }, "another file system than on node3", "`findmnt /mnt/shared`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stored()
			tt.wrong(&s)
			o := bootstrapped(s, Aside{}, 8)
			if o.Outcome != ha.OperationFailed || !strings.Contains(o.Reason, tt.cause) || !strings.Contains(o.Reason, tt.next) {
				t.Errorf("%s: %s", o.Outcome, o.Reason)
			}
			if st, _ := o.Step("registration"); st.State != ha.StepSkipped {
				t.Errorf("it went on: %+v", o.Steps)
			}
		})
	}
}

// Where HA is not ready nothing is registered, unless somebody accepts it by its code; who
// did, and what, is in the text that is journalled.
func TestABootstrapAsksForReadiness(t *testing.T) {
	bad := []ha.Blocker{{Code: "WATCHDOG_MISSING", Subject: "node2", Reason: "it has no watchdog", Fix: "on node2: `lsmod`"}}
	o := bootstrapped(stored(), Aside{Unready: bad}, 8)
	for _, part := range []string{"WATCHDOG_MISSING of node2: it has no watchdog; on node2: `lsmod`", "`psw bootstrap --accept CODE`"} {
		if o.Outcome != ha.OperationFailed || !strings.Contains(o.Reason, part) {
			t.Errorf("%q is missing in %s: %s", part, o.Outcome, o.Reason)
		}
	}
	o = bootstrapped(stored(), Aside{Accepted: bad}, 8)
	st, _ := o.Step("readiness")
	if want := "anna accepts WATCHDOG_MISSING of node2 (it has no watchdog)"; o.Outcome != ha.OperationDone || st.State != ha.StepDone || !strings.Contains(st.Text, want) {
		t.Errorf("%s: %s; %s: %s", o.Outcome, o.Reason, st.State, st.Text)
	}
	if st, _ := bootstrapped(stored(), Aside{}, 8).Step("readiness"); st.State != ha.StepUnchanged {
		t.Errorf("ready, and told otherwise: %+v", st)
	}
}

// withTarget declares a target of one VM, which exists or does not.
func withTarget(s ha.Snapshot, exists bool) ha.Snapshot {
	s.Policy.Targets = []ha.Target{{Name: "media", Type: ha.TargetVM, Node: "node1", HA: true}}
	if exists {
		s.Inventory.Guests = []ha.Guest{{SID: ha.MustSID("vm:101"), Name: "media", Node: "node1", Status: "running"}}
	}
	return s
}

// On blank nodes there are no guests: a bootstrap ends with the cluster and its storage, and
// says which targets do not exist.
func TestABootstrapLeavesOutWhatDoesNotExist(t *testing.T) {
	s := withTarget(stored(), false)
	o := bootstrapped(s, Aside{}, 3)
	out := o.LeftOut()
	if o.Outcome != ha.OperationDone || len(out) != 1 || !strings.Contains(out[0].Note, `no guest is called "media"; create the guest`) {
		t.Errorf("%s: %s: %+v", o.Outcome, o.Reason, o.Steps)
	}
	p := PreviewOperation(ha.OperationRequest{Kind: ha.OperationBootstrap}, s, Aside{})
	if want := "not there yet, so that they are left out: media; once they exist: `psw ha apply`"; len(p.Blockers) > 0 || !slices.Contains(p.Notices, want) {
		t.Errorf("the preview does not say %q: %+v, %q", want, p.Blockers, p.Notices)
	}
}

// What the core apps bring into being is registered after them, once HA is ready with it.
func TestABootstrapRegistersWhatItsCoreAppsBring(t *testing.T) {
	hook := Aside{Hook: true}
	o := bootstrapped(withTarget(stored(), false), hook, 1)
	st, _ := o.Step("core apps")
	if o.Closed() || st.State != ha.StepDoing || len(o.Steps) == 0 || o.Steps[len(o.Steps)-1].Key != "core apps" {
		t.Fatalf("the core apps are to come last, and be under way: %+v", o.Steps)
	}
	answered := func(o ha.Operation, at time.Time) ha.Operation {
		stepOf(&o, "core apps").Answered = at
		return o
	}
	later := func(s ha.Snapshot, d time.Duration) ha.Snapshot {
		s.At = s.At.Add(d)
		s.Inventory.At = s.At
		for k := range s.Reports {
			s.Reports[k].Received = s.At
		}
		return s
	}
	s := later(withTarget(stored(), true), 10*time.Minute)
	o = answered(o, s.At.Add(time.Second))
	if next, _ := Operate(o, s, hook); next.Closed() {
		t.Fatalf("it ended by a reading from before the hook had: %+v", next.Steps)
	}
	s = later(s, 5*time.Second)
	bad := hook
	bad.Unready = []ha.Blocker{{Code: "TARGET_DISK_LOCAL", Subject: "media", Reason: "its disk is local", Fix: "`qm disk move`"}}
	next, p := Operate(o, s, bad)
	if len(p.Actions) > 0 || next.Closed() {
		t.Fatalf("registered although HA is not ready with it: %v", p.Actions)
	}
	for range 6 {
		next, p = Operate(next, s, hook)
		for _, a := range p.Actions {
			if add, ok := a.(ha.AddResource); ok {
				s.Inventory.Resources = append(s.Inventory.Resources, add.Resource)
			}
			if put, ok := a.(ha.PutRule); ok {
				s.Inventory.Rules = append(s.Inventory.Rules, put.Rule)
			}
		}
		s = later(s, 5*time.Second)
	}
	if next.Outcome != ha.OperationDone || len(next.LeftOut()) > 0 || len(s.Inventory.Resources) != 1 || len(s.Inventory.Rules) != 1 {
		t.Errorf("%s: %s: %+v", next.Outcome, next.Reason, next.Steps)
	}
}

// Proxmox lists a new guest by its name some seconds after it was made. It is waited for, and
// not left out; one that never comes is, after a while.
func TestABootstrapWaitsForItsNewGuestsToBeListed(t *testing.T) {
	hook := Aside{Hook: true}
	s := withTarget(stored(), false)
	o := bootstrapped(s, hook, 1)
	step := func(o ha.Operation, with bool, after time.Duration) ha.Operation {
		now := withTarget(stored(), with)
		now.At = now.At.Add(time.Minute + after)
		now.Inventory.At = now.At
		for k := range now.Reports {
			now.Reports[k].Received = now.At
		}
		o, _ = Operate(o, now, hook)
		return o
	}
	stepOf(&o, "core apps").Answered = s.At.Add(time.Minute)
	o = step(o, false, 5*time.Second)
	if st, _ := o.Step("core apps"); o.Closed() || st.State != ha.StepDoing {
		t.Fatalf("%s, the core apps are %s: the guest was not waited for", o.Outcome, st.State)
	}
	if listed := step(o, true, 12*time.Second); listed.Closed() || len(listed.LeftOut()) > 0 {
		t.Errorf("%s, left out %v", listed.Outcome, listed.LeftOut())
	}
	if never := step(o, false, 21*time.Second); len(never.LeftOut()) != 1 {
		t.Errorf("it goes on waiting: %+v", never.Steps)
	}
}

// A bootstrap is given up just after it asked for registrations. It ends, whether Proxmox made
// them or somebody undid them at once: nobody is going to ask again.
func TestABootstrapGivenUpWhileItRegistersEnds(t *testing.T) {
	hook := Aside{Hook: true}
	s := withTarget(stored(), true)
	for name, made := range map[string]bool{"it was made": true, "it was undone": false} {
		t.Run(name, func(t *testing.T) {
			s := s
			o, p := Operate(ha.Operation{Kind: ha.OperationBootstrap, By: "anna", Policy: s.Policy}, s, hook)
			if len(p.Actions) != 1 {
				t.Fatalf("it was to ask for one registration: %v", p.Actions)
			}
			if made {
				s.Inventory.Resources = append(slices.Clone(s.Inventory.Resources), p.Actions[0].(ha.AddResource).Resource)
			}
			o.Cancelling = true
			next, p := Operate(o, s, hook)
			if next.Outcome != ha.OperationCancelled || len(p.Actions) > 0 {
				t.Errorf("%q, still asking for %v: %+v", next.Outcome, p.Actions, next.Steps)
			}
			for _, st := range next.Steps {
				if want := map[bool]ha.StepState{true: ha.StepDone, false: ha.StepSkipped}[made]; st.Tries > 0 && st.State != want {
					t.Errorf("%s is %s, want %s", st.Key, st.State, want)
				}
			}
		})
	}
}

// A bootstrap failed while its core apps were deployed, which goes on. The next one waits for
// the end of that, and says so.
func TestTwoDeploymentsOfCoreAppsAreNotAtWorkAtOnce(t *testing.T) {
	s := withTarget(stored(), false)
	o, p := Operate(ha.Operation{Kind: ha.OperationBootstrap, By: "anna", Policy: s.Policy}, s, Aside{Hook: true, HookBusy: true})
	if len(p.Actions) > 0 || !slices.ContainsFunc(p.Waits, func(x ha.Wait) bool { return strings.Contains(x.Reason, "earlier bootstrap is still at work") }) {
		t.Fatalf("%v; %v", p.Actions, p.Waits)
	}
	if _, p = Operate(o, s, Aside{Hook: true}); len(p.Actions) != 1 {
		t.Errorf("the earlier one has ended, and nothing is begun: %v, %v", p.Actions, p.Waits)
	}
}

// On a project that is as declared, with core apps that find nothing to do, a bootstrap ends
// with every line unchanged.
func TestABootstrapThatChangesNothingSaysSo(t *testing.T) {
	hook := Aside{Hook: true}
	s := withTarget(stored(), true)
	for _, list := range newWorld(s).registration().deeds {
		for _, d := range list {
			if add, ok := d.action.(ha.AddResource); ok {
				s.Inventory.Resources = append(s.Inventory.Resources, add.Resource)
			}
			if put, ok := d.action.(ha.PutRule); ok {
				s.Inventory.Rules = append(s.Inventory.Rules, put.Rule)
			}
		}
	}
	o := bootstrapped(s, hook, 1)
	stepOf(&o, "core apps").State = ha.StepUnchanged // as the hook's last line says
	next, p := Operate(o, s, hook)
	if next.Outcome != ha.OperationDone || len(p.Actions) > 0 {
		t.Fatalf("%s: %s; %v", next.Outcome, next.Reason, p.Actions)
	}
	for _, st := range next.Steps {
		if st.State != ha.StepUnchanged {
			t.Errorf("%s is %s", st.Key, st.State)
		}
	}
}

// While the core apps are deployed, which takes half an hour, a node's agent is silent for a
// moment, and a check cannot look. What was reached long ago is not lost by that; it is when
// it stays away.
func TestABootstrapOutlivesAMomentOfSilence(t *testing.T) {
	hook := Aside{Hook: true, HookRuns: true}
	silent := func(s *ha.Snapshot, d time.Duration) {
		s.At = s.At.Add(d)
		s.Inventory.At = s.At
		for k := range s.Reports {
			if k != 1 {
				s.Reports[k].Received = s.At
			}
		}
	}
	s := stored()
	s.Reports[1].Mounts = nil // the mount comes a minute late, so that it was waited for
	o := ha.Operation{Kind: ha.OperationBootstrap, Policy: s.Policy}
	o, _ = Operate(o, s, hook)
	silent(&s, time.Minute)
	s.Reports[1].Received, s.Reports[1].Mounts = s.At, s.Reports[0].Mounts
	for range 3 {
		o, _ = Operate(o, s, hook)
	}
	if st, _ := o.Step("core apps"); st.State != ha.StepDoing {
		t.Fatalf("the core apps are %s: %+v", st.State, o.Steps)
	}
	silent(&s, 20*time.Minute) // node2's last word is as old
	o, _ = Operate(o, s, hook)
	if apps, _ := o.Step("core apps"); o.Closed() || apps.State != ha.StepDoing {
		t.Fatalf("%s: %s; the core apps are %s", o.Outcome, o.Reason, apps.State)
	}
	s.Reports[1].Received = s.At
	if next, _ := Operate(o, s, hook); next.Closed() || len(next.Steps) != len(o.Steps) {
		t.Errorf("%s: %s", next.Outcome, next.Reason)
	}
	silent(&s, storagePatience+time.Second)
	o, _ = Operate(o, s, hook)
	if st, _ := o.Step("mount node2"); st.State != ha.StepFailed {
		t.Errorf("it is %s after %s of silence", st.State, storagePatience)
	}
}

// A check that could not look for a moment, while targets are being registered, is waited for.
func TestARegistrationWaitsForACheckThatCannotLook(t *testing.T) {
	bad := []ha.Blocker{{Code: "AGENT_SILENT", Subject: "node2", Reason: "no report", Fix: "look"}}
	s := withTarget(stored(), true)
	o := ha.Operation{Kind: ha.OperationBootstrap, Policy: s.Policy}
	at := func(d time.Duration, a Aside) (p ha.Plan) {
		s.At = s.At.Add(d)
		s.Inventory.At = s.At
		for k := range s.Reports {
			s.Reports[k].Received = s.At
		}
		o, p = Operate(o, s, a)
		return p
	}
	at(0, Aside{Unready: bad})
	if p := at(time.Minute, Aside{}); len(p.Actions) != 1 {
		t.Fatalf("the target is to be registered: %v", p.Actions)
	}
	at(5*time.Minute, Aside{Unready: bad})
	if st, _ := o.Step("readiness"); o.Closed() || st.State != ha.StepDoing {
		t.Errorf("%s: %s; readiness is %s", o.Outcome, o.Reason, st.State)
	}
}
