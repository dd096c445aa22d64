package check_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// troubles are the ways the stories break a cluster, by code in the order of the list.
func troubles() []func(*ha.Snapshot) {
	var list []func(*ha.Snapshot)
	for _, c := range check.Checks() {
		for _, part := range allStories {
			if st, ok := part[c.Code]; ok {
				list = append(list, st.wrong)
			}
		}
	}
	return list
}

// trouble draws a cluster with up to four faults. Troubles that need a member or a
// resource another one removed are skipped, as they would be no trouble any more.
func trouble(t *rapid.T) ha.Snapshot {
	s := healthy()
	all := troubles()
	for range rapid.IntRange(0, 4).Draw(t, "faults") {
		k := rapid.IntRange(0, len(all)-1).Draw(t, "fault")
		func() {
			defer func() { _ = recover() }()
			all[k](&s)
		}()
	}
	return s
}

// removals take facts away: what nobody reported, read or could look at.
func removals() map[string]func(*ha.Snapshot) {
	list := map[string]func(*ha.Snapshot){
		"no inventory":   func(s *ha.Snapshot) { s.Inventory = ha.Inventory{} },
		"old inventory":  func(s *ha.Snapshot) { s.Inventory.At = s.Inventory.At.Add(-time.Hour) },
		"no experience":  func(s *ha.Snapshot) { s.Witnessed = ha.Witnessed{} },
		"no gossip":      func(s *ha.Snapshot) { s.Members = nil },
		"no word":        func(s *ha.Snapshot) { s.Acks = nil },
		"no rules":       part("rules", func(i *ha.Inventory) { i.Rules = nil }),
		"no storages":    part("storages", func(i *ha.Inventory) { i.Storages = nil }),
		"no options":     part("options", func(i *ha.Inventory) { i.Options = ha.Options{} }),
		"no guests":      part("guests", func(i *ha.Inventory) { i.Guests = nil }),
		"no resources":   part("resources", func(i *ha.Inventory) { i.Resources = nil }),
		"no nodes":       part("nodes", func(i *ha.Inventory) { i.Nodes = nil }),
		"no ha status":   part("ha", func(i *ha.Inventory) { i.HA = ha.HAStatus{} }),
		"no armed state": part("armed", func(i *ha.Inventory) { i.HA.Armed = "" }),
		"an unknown part": func(s *ha.Snapshot) {
			s.Inventory.Failures = append(s.Inventory.Failures, "something went wrong")
		},
	}
	for k, name := range []ha.NodeName{"node1", "node2", "node3"} {
		list[fmt.Sprintf("no report of %s", name)] = func(s *ha.Snapshot) { s.Reports = append(s.Reports[:k:k], s.Reports[k+1:]...) }
		list[fmt.Sprintf("an old report of %s", name)] = func(s *ha.Snapshot) { silent(s, name) }
		for probe, empty := range map[string]func(*ha.Report){
			ha.ProbeSystem: func(r *ha.Report) {
				r.System = ha.System{PmxcfsMounted: r.System.PmxcfsMounted, PmxcfsWritable: r.System.PmxcfsWritable}
			},
			ha.ProbePmxcfs:       func(r *ha.Report) { r.System.PmxcfsMounted, r.System.PmxcfsWritable = false, false },
			ha.ProbeNFS:          func(r *ha.Report) { r.Mounts = nil },
			ha.ProbeWatchdog:     func(r *ha.Report) { r.Watchdog = ha.Watchdog{} },
			ha.ProbeCorosync:     func(r *ha.Report) { r.Corosync = ha.Corosync{} },
			ha.ProbeLRM:          func(r *ha.Report) { r.HA = ha.LocalHA{} },
			ha.ProbeGuests:       func(r *ha.Report) { r.Running = nil },
			ha.ProbeGuestConfigs: func(r *ha.Report) { r.GuestConfigs = nil },
			ha.ProbeClock:        func(r *ha.Report) { r.Clock = ha.Clock{} },
			ha.ProbeHardware:     func(r *ha.Report) { r.Hardware = ha.Hardware{} },
			ha.ProbeNetwork:      func(r *ha.Report) { r.Interfaces = nil },
			ha.ProbeUnits:        func(r *ha.Report) { r.Units = nil },
			ha.ProbeFencing:      func(r *ha.Report) { r.Fencing = ha.LocalFencing{} },
			ha.ProbeStorage:      func(r *ha.Report) { r.Storages, r.Replications = nil, nil },
			ha.ProbeStalls:       func(r *ha.Report) { r.Stalls = ha.Stalls{} },
			ha.ProbeCeph:         func(r *ha.Report) { r.Ceph = ha.LocalCeph{} },
		} {
			list[fmt.Sprintf("no %s probe on %s", probe, name)] = func(s *ha.Snapshot) {
				empty(report(s, name))
				fails(s, name, probe)
			}
		}
	}
	return list
}

func part(name string, empty func(*ha.Inventory)) func(*ha.Snapshot) {
	return func(s *ha.Snapshot) {
		empty(&s.Inventory)
		s.Inventory.Failures = append(s.Inventory.Failures, name+": 595 no route to host")
	}
}

// Knowing less must never look better: what failed or was unknown does not pass, and a
// cluster that was not ready does not become so.
func TestRemovingFactsNeverImprovesTheVerdict(t *testing.T) {
	all := removals()
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		s := trouble(t)
		request := ha.CheckRequest{Profile: rapid.SampledFrom([]string{check.Minimum, check.Production}).Draw(t, "profile")}
		before := check.Judge(s, request)
		removed := rapid.SampledFrom(names).Draw(t, "removed")
		func() {
			defer func() { _ = recover() }() // the report was removed by the trouble already
			all[removed](&s)
		}()
		after := check.Judge(s, request)
		for _, f := range before.Findings {
			g, still := find(after, f.Code, f.Subject)
			if still && g.Status == ha.Pass && (f.Status == ha.Fail || f.Status == ha.Unknown) {
				t.Fatalf("%s: %s on %s was %s (%s) and now passes (%s)", removed, f.Code, f.Subject, f.Status, f.Evidence, g.Evidence)
			}
		}
		if after.Ready() && !before.Ready() {
			t.Fatalf("%s made the cluster ready; before:%s", removed, show(before))
		}
	})
}

// Whatever order the lists come in, the findings are the same, in the same order.
func TestShuffledInputGivesTheSameFindings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := trouble(t)
		want := check.Judge(s, ha.CheckRequest{})
		shuffle(t, s.Reports)
		shuffle(t, s.Members)
		shuffle(t, s.Policy.Targets)
		shuffle(t, s.Policy.Hosts)
		shuffle(t, s.Acks)
		shuffle(t, s.Inventory.Nodes)
		shuffle(t, s.Inventory.Guests)
		shuffle(t, s.Inventory.Storages)
		shuffle(t, s.Inventory.Resources)
		shuffle(t, s.Inventory.Rules)
		shuffle(t, s.Inventory.HA.Nodes)
		shuffle(t, s.Inventory.HA.Services)
		if diff := cmp.Diff(want, check.Judge(s, ha.CheckRequest{})); diff != "" {
			t.Fatalf("the order of the input changed the findings (-sorted +shuffled):\n%s", diff)
		}
	})
}

func shuffle[T any](t *rapid.T, list []T) { copy(list, rapid.Permutation(list).Draw(t, "order")) }

// The judge reads the snapshot and changes nothing in it.
func TestJudgingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := trouble(t)
		shuffle(t, s.Inventory.Guests)
		shuffle(t, s.Reports)
		before := fmt.Sprintf("%#v", s)
		check.Judge(s, ha.CheckRequest{Profile: check.Production})
		if after := fmt.Sprintf("%#v", s); after != before {
			t.Fatal("the snapshot was changed")
		}
	})
}
