package planner_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/planner"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var proofNoon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// storageWorld is a cluster of three with one shared storage, mounted everywhere.
func storageWorld() ha.Snapshot {
	s := ha.Snapshot{At: proofNoon}
	s.Inventory.At = proofNoon
	for k, n := range []ha.NodeName{"node1", "node2", "node3"} {
		s.Inventory.Nodes = append(s.Inventory.Nodes, ha.Node{Name: n, ID: k + 1, Online: true})
		s.Reports = append(s.Reports, ha.Report{Node: n, Received: proofNoon, Mounts: []ha.Mount{{Source: "nas:/psw", Path: "/mnt/shared", Type: "nfs4", Answering: true}}})
	}
	s.Inventory.Storages = []ha.Storage{
		{Name: "backup", Type: "nfs", Shared: true, Path: "/mnt/backup", Content: []string{"backup"}},
		{Name: "local-lvm", Type: "lvmthin", Content: []string{"images"}},
		{Name: "psw", Type: "nfs", Shared: true, Path: "/mnt/shared", Content: []string{"images"}},
	}
	return s
}

func everybody(ha.NodeName) bool { return true }

func sawIt() *ha.StorageSight {
	return &ha.StorageSight{Seen: true, Written: true, MountPoint: "/mnt/shared", Source: "nas:/psw", FSType: "nfs4"}
}

// answer gives every order of a step the answer of its node, until the proof has ended, and
// returns it with the deeds in the order they were asked for.
func run(t *testing.T, p ha.Proof, answers map[ha.NodeName]ha.OrderResult, can func(ha.NodeName) bool) (ha.Proof, []string) {
	t.Helper()
	var asked []string
	for range 20 {
		var orders []planner.NodeOrder
		p, orders = planner.StepProof(p, proofNoon, "", can)
		for _, o := range orders {
			deed := o.Deed.(ha.ProveStorage)
			asked = append(asked, string(o.Node)+" "+string(deed.Deed))
			r := answers[o.Node]
			if r.Node = o.Node; r.Storage == nil && r.Failed == "" && r.Refused == "" {
				r.Storage = sawIt()
			}
			p = planner.AnswerProof(p, r, proofNoon)
		}
		if !p.Open() {
			for _, o := range planner.Sweep(p) {
				asked = append(asked, string(o.Node)+" remove")
			}
			return p, asked
		}
	}
	t.Fatalf("it does not end: %+v", p)
	return p, nil
}

func newStorageProof(t *testing.T, s ha.Snapshot) ha.Proof {
	t.Helper()
	p, err := planner.NewProof(ha.ProofStorage, "psw", s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOneWritesThenAllReadThenTheWordIsRemoved(t *testing.T) {
	p, asked := run(t, newStorageProof(t, storageWorld()), nil, everybody)
	if want := []string{"node1 write", "node2 read", "node3 read", "node1 remove"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	if without, shared := p.Shared([]ha.NodeName{"node1", "node2", "node3"}); !shared {
		t.Errorf("not shared for %v: %+v", without, p)
	}
}

// A node that cannot write leaves it to the next, and says afterwards whether it can read.
func TestWhoCannotWriteStillReads(t *testing.T) {
	full := ha.OrderResult{Storage: &ha.StorageSight{MountPoint: "/mnt/shared", WriteFault: "permission denied"}}
	p, asked := run(t, newStorageProof(t, storageWorld()), map[ha.NodeName]ha.OrderResult{"node1": full}, everybody)
	if p.Writer != "node2" || !slices.Contains(asked, "node1 read") {
		t.Errorf("written by %q after %v, want node2, and node1 asked to read", p.Writer, asked)
	}
	if without, shared := p.Shared([]ha.NodeName{"node1", "node2", "node3"}); shared || !slices.Equal(without, []ha.NodeName{"node1"}) {
		t.Errorf("without %v", without)
	}
}

func TestNobodyWritesAndItEnds(t *testing.T) {
	full := ha.OrderResult{Storage: &ha.StorageSight{WriteFault: "no space left on device"}}
	p, asked := run(t, newStorageProof(t, storageWorld()), map[ha.NodeName]ha.OrderResult{"node1": full, "node2": full, "node3": full}, everybody)
	if p.Writer != "" || len(asked) != 3 {
		t.Errorf("writer %q after %v, want nobody after three attempts", p.Writer, asked)
	}
}

func TestANodeThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	p, orders := planner.StepProof(newStorageProof(t, storageWorld()), proofNoon, "", everybody)
	if len(orders) != 1 || !p.Open() {
		t.Fatalf("%v", orders)
	}
	p, orders = planner.StepProof(p, proofNoon.Add(2*time.Minute), "", func(n ha.NodeName) bool { return n == "node3" })
	r, _ := p.Result("node1")
	if !strings.Contains(r.Fault, "did not answer") || len(orders) != 1 || orders[0].Node != "node3" {
		t.Errorf("%+v, then asked %v; want node1 given up, node2 passed over and node3 to write", r, orders)
	}
}

// A write that was given up may have happened all the same, and so may what a reader was to
// write: whoever did not say what came of it removes it too.
func TestWhatWasGivenUpIsRemovedToo(t *testing.T) {
	late := ha.OrderResult{Failed: "/mnt/shared does not answer"}
	_, asked := run(t, newStorageProof(t, storageWorld()), map[ha.NodeName]ha.OrderResult{"node1": late}, everybody)
	if want := []string{"node1 write", "node2 write", "node3 read", "node1 remove", "node2 remove"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	p, asked := run(t, newStorageProof(t, storageWorld()), map[ha.NodeName]ha.OrderResult{"node1": late, "node2": late, "node3": late}, everybody)
	if p.Writer != "" || len(asked) != 6 {
		t.Errorf("writer %q after %v, want nobody, and three removals", p.Writer, asked)
	}
}

// Storages that could not be read are not gone.
func TestAStorageThatCouldNotBeReadIsNotCalledMissing(t *testing.T) {
	s := storageWorld()
	s.Inventory.Storages, s.Inventory.Failures = nil, []string{"storages: 595 No route to host"}
	_, err := planner.NewProof(ha.ProofStorage, "psw", s)
	if ha.KindOf(err) != ha.Unavailable || !strings.Contains(err.Error(), "could not be read: 595 No route to host") {
		t.Errorf("%v", err)
	}
}

// A BMC of which a node told nothing, because the coordinator was restarted meanwhile, is
// asked again soon; one that answered is not.
func TestACutShortTrialOfABMCIsSoonRepeated(t *testing.T) {
	s := storageWorld()
	s.Inventory.Storages = nil
	s.Policy.Hosts = []ha.Host{{Name: "node1", BMC: &ha.BMC{Address: netip.MustParseAddr("10.0.0.101")}}}
	p, err := planner.NewProof(ha.ProofFence, "node1", s)
	if err != nil {
		t.Fatal(err)
	}
	for k := range p.Results {
		p.Results[k].Asked, p.Results[k].Answered = proofNoon, proofNoon
		p.Results[k].Power = &ha.PowerSight{State: ha.PowerOn}
	}
	p.Ended = proofNoon.Add(-2 * time.Minute)
	s.Proofs = []ha.Proof{p}
	if due := planner.DueProofs(s); len(due) != 0 {
		t.Errorf("due although everybody answered: %+v", due)
	}
	s.Proofs[0].Results[0].Answered, s.Proofs[0].Results[0].Power = time.Time{}, nil
	s.Proofs[0].Results[0].Fault = "the coordinator was restarted meanwhile"
	if due := planner.DueProofs(s); len(due) != 1 || !strings.Contains(due[0].Reason, "told nothing") {
		t.Errorf("not due although one node told nothing: %+v", due)
	}
}

// When a storage is tried without anybody asking, and when it is left alone.
func TestWhenAProofIsDue(t *testing.T) {
	done := func(ago time.Duration) ha.Proof {
		p, _ := run(t, newStorageProof(t, storageWorld()), nil, everybody)
		p.Ended = proofNoon.Add(-ago)
		return p
	}
	for name, tt := range map[string]struct {
		change func(s *ha.Snapshot)
		why    string
	}{
		"never tried": {func(s *ha.Snapshot) { s.Proofs = nil }, "never tried"},
		"an hour ago": {func(s *ha.Snapshot) { s.Proofs = []ha.Proof{done(time.Hour)} }, ""},
		"yesterday":   {func(s *ha.Snapshot) { s.Proofs = []ha.Proof{done(25 * time.Hour)} }, "a day has passed"},
		"another export": {func(s *ha.Snapshot) {
			s.Proofs = []ha.Proof{done(time.Hour)}
			s.Reports[1].Mounts[0].Source = "nas:/old"
		}, "node2 has changed"},
		"not mounted now": {func(s *ha.Snapshot) { s.Proofs = []ha.Proof{done(time.Hour)}; s.Reports[1].Mounts = nil }, "node2 has changed"},
		"a moment ago":    {func(s *ha.Snapshot) { s.Proofs = []ha.Proof{done(time.Second)}; s.Reports[1].Mounts = nil }, ""},
		"a new node": {func(s *ha.Snapshot) {
			p := done(time.Minute)
			p.Results = p.Results[:2]
			s.Proofs = []ha.Proof{p}
		}, "node3 can be asked now"},
		"under way":          {func(s *ha.Snapshot) { p := newStorageProof(t, *s); s.Proofs = []ha.Proof{p} }, ""},
		"no fresh inventory": {func(s *ha.Snapshot) { s.Inventory.At = proofNoon.Add(-time.Hour) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := storageWorld()
			tt.change(&s)
			due := planner.DueProofs(s)
			if tt.why == "" && len(due) > 0 || tt.why != "" && (len(due) != 1 || due[0].Subject != "psw" || !strings.Contains(due[0].Reason, tt.why)) {
				t.Errorf("due is %+v, want %q", due, tt.why)
			}
		})
	}
}

// The power of a node that is in service, or that the others need, is not cut.
func TestPowerIsCutOfNobodyWhoIsNeeded(t *testing.T) {
	s := storageWorld()
	s.Policy.Hosts = []ha.Host{{Name: "node3", BMC: &ha.BMC{}}}
	s.Inventory.Guests = []ha.Guest{{SID: ha.MustSID("vm:101"), Node: "node3", Status: ha.GuestRunning}}
	for k := range s.Reports {
		s.Reports[k].Corosync = ha.Corosync{Running: true, Quorate: true, Votes: 2, Expected: 3, Quorum: 2}
	}
	_, why := planner.MayCutPower("node3", s)
	text := strings.Join(why, "\n")
	for _, want := range []string{"not in maintenance", "does not keep node3 in maintenance", "still runs vm:101", "would lose quorum"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among:\n%s", want, text)
		}
	}
	s.Inventory.Guests = nil
	s.Maintenances = []ha.Maintenance{{ID: "m1", Node: "node3", Phase: ha.Drained}}
	s.Inventory.HA.Nodes = []ha.HANode{{Name: "node3", State: ha.NodeMaintenance}}
	for k := range s.Reports {
		s.Reports[k].Corosync.Votes = 3
	}
	if deed, why := planner.MayCutPower("node3", s); len(why) > 0 || deed.Node != "node3" {
		t.Errorf("%+v, %v; want that it may be", deed, why)
	}
}
