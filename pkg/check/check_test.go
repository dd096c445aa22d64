package check_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func show(r ha.Readiness) string {
	var b strings.Builder
	for _, f := range r.Findings {
		if f.Status != ha.Pass {
			b.WriteString("\n\t" + string(f.Status) + " " + string(f.Code) + " " + f.Subject + ": " + f.Evidence)
			if f.Because != "" {
				b.WriteString(" (because " + string(f.Because) + ")")
			}
		}
	}
	return b.String()
}

func find(r ha.Readiness, code ha.Code, subject string) (ha.Finding, bool) {
	k := slices.IndexFunc(r.Findings, func(f ha.Finding) bool { return f.Code == code && f.Subject == subject })
	if k < 0 {
		return ha.Finding{}, false
	}
	return r.Findings[k], true
}

func TestAHealthyClusterIsReadyInBothProfiles(t *testing.T) {
	for _, profile := range []string{check.Minimum, check.Production} {
		r := check.Judge(healthy(), ha.CheckRequest{Profile: profile})
		if !r.Ready() || r.Count(ha.Warn) > 0 {
			t.Errorf("profile %s is not ready:%s", profile, show(r))
		}
		for _, f := range r.Findings {
			if f.Status == ha.Notice {
				t.Errorf("profile %s: unexpected %s %s: %s", profile, f.Status, f.Code, f.Evidence)
			}
			if f.Status == ha.Pass && f.Evidence == "" {
				t.Errorf("%s on %s passes without saying what was seen", f.Code, f.Subject)
			}
		}
	}
}

// Softdog, a single link and no BMC are what a minimum cluster has: ready, with warnings
// and notices; the production profile says no.
func TestAMinimumClusterIsReadyButNotForProduction(t *testing.T) {
	s := healthy()
	for k := range s.Reports {
		r := &s.Reports[k]
		r.Watchdog.Devices[0].Identity, r.Watchdog.Module, r.Watchdog.Loaded = "Software Watchdog", "", []string{"softdog"}
		r.Corosync.Links = slices.DeleteFunc(r.Corosync.Links, func(l ha.Link) bool { return l.Number == 1 })
		s.Policy.Hosts[k].BMC = nil
	}
	if r := check.Judge(s, ha.CheckRequest{Profile: check.Minimum}); !r.Ready() || r.Count(ha.Warn) != 3 {
		t.Errorf("minimum: want ready with a warning for each node's single link, got:%s", show(r))
	}
	r := check.Judge(s, ha.CheckRequest{Profile: check.Production})
	if r.Ready() || r.Count(ha.Fail) != 3 {
		t.Errorf("production: want a failure for each node's single link, got:%s", show(r))
	}
	for _, code := range []ha.Code{check.WatchdogSoftware, check.BMCUndeclared} {
		if f, _ := find(r, code, "node2"); f.Status != ha.Warn {
			t.Errorf("production: %s is %s, want WARN", code, f.Status)
		}
	}
}

func TestAWordNamesTheChecksThatBeginWithIt(t *testing.T) {
	for _, c := range check.Named("NFS") {
		if !strings.HasPrefix(string(c), "NFS_") {
			t.Errorf("NFS names %s", c)
		}
	}
	for word, want := range map[ha.Code]int{"NFS": 5, "NFS_NOT": 2} {
		if got := check.Named(word); len(got) < want {
			t.Errorf("%s names %v, want %d or more", word, got, want)
		}
	}
	for _, one := range []ha.Code{check.NFSNotMounted, "NFS_NOT_ANSWRING", "NF"} {
		if got := check.Named(one); !slices.Equal(got, []ha.Code{one}) {
			t.Errorf("%s names %v, want itself", one, got)
		}
	}
}

func TestAMistypedProfileIsNotJudgedMildly(t *testing.T) {
	s := healthy()
	s.Policy.Hosts[0].BMC = nil
	if _, asked := find(check.Judge(s, ha.CheckRequest{Profile: "produktion"}), check.BMCUndeclared, "node1"); !asked {
		t.Error("an unknown profile must be judged as production")
	}
	if err := check.Validate(ha.CheckRequest{Profile: "produktion"}); ha.KindOf(err) != ha.Invalid {
		t.Errorf("Validate: %v, want an Invalid error", err)
	}
}

// A node that lost power: one failure that says so, and its effects name it.
func TestADeadNodeIsOneFaultAndItsEffectsNameIt(t *testing.T) {
	s := healthy()
	s.Inventory.Nodes[2].Online, s.Inventory.Cluster.Votes = false, 2
	silent(&s, "node3")
	for _, name := range []ha.NodeName{"node1", "node2"} {
		r := report(&s, name)
		r.Corosync.Members, r.Corosync.Votes = []int{1, 2}, 2
		for k := range r.Corosync.Links {
			l := &r.Corosync.Links[k]
			l.Connected = l.PeerID != 3
		}
	}
	r := check.Judge(s, ha.CheckRequest{})
	if f, _ := find(r, check.NodeOffline, "node3"); f.Status != ha.Fail {
		t.Errorf("NODE_OFFLINE is %s, want FAIL", f.Status)
	}
	for _, f := range r.Findings {
		if f.Subject == "node3" && f.Code != check.NodeOffline && f.Status != ha.Pass && (f.Status != ha.Skip || f.Because != check.NodeOffline && f.Because != "") {
			t.Errorf("%s on node3 is %s because %q, want SKIP because NODE_OFFLINE: %s", f.Code, f.Status, f.Because, f.Evidence)
		}
		if f.Because != "" && f.Remedy != "" {
			t.Errorf("%s on %s is only an effect, but has a remedy of its own", f.Code, f.Subject)
		}
	}
	for _, f := range r.Findings {
		if f.Subject == "node1" && f.Status != ha.Pass && f.Status != ha.Skip {
			t.Errorf("%s on node1 is %s, but node1 is well: %s", f.Code, f.Status, f.Evidence)
		}
	}
	// What is not known of a target that lies on the dead node is an effect as well.
	moved := s
	moved.Inventory.Guests = slices.Clone(s.Inventory.Guests)
	setGuest(&moved, "ct:101", func(g *ha.Guest) { g.Node = "node3" })
	if f, _ := find(check.Judge(moved, ha.CheckRequest{}), check.TargetDiskLocal, "core"); f.Status != ha.Skip || f.Because != check.NodeOffline {
		t.Errorf("TARGET_DISK_LOCAL of a guest on the dead node is %s because %q, want SKIP because NODE_OFFLINE", f.Status, f.Because)
	}
	// With the votes of two, quorum 2, nothing more may be lost; and whether node3 really
	// is dead, and runs nothing, nobody can see.
	if f, _ := find(r, check.QuorumNoLossTolerated, "cluster"); f.Status != ha.Fail {
		t.Errorf("QUORUM_NO_LOSS_TOLERATED is %s, want FAIL", f.Status)
	}
	if f, _ := find(r, check.SplitBrain, "cluster"); f.Status != ha.Unknown {
		t.Errorf("SPLIT_BRAIN is %s, want UNKNOWN", f.Status)
	}
}

func TestWithoutTheAPINothingIsReady(t *testing.T) {
	s := healthy()
	s.Inventory.At = noon.Add(-5 * time.Minute)
	r := check.Judge(s, ha.CheckRequest{})
	if r.Ready() || r.Count(ha.Fail) != 1 {
		t.Errorf("want one failure and its effects:%s", show(r))
	}
	if f, _ := find(r, check.NFSNotAnswering, "node2"); f.Status != ha.Pass {
		t.Errorf("what the agents see does not need the API: NFS_NOT_ANSWERING is %s", f.Status)
	}
}

func TestANodeFreshlyInstalledIsToldWhatIsMissing(t *testing.T) {
	r := check.JudgeNode(healthyReport(1))
	if !r.Ready() {
		t.Errorf("a good node alone is not ready:%s", show(r))
	}
	bare := ha.Report{Node: "laptop", Taken: noon}
	r = check.JudgeNode(bare)
	if r.Ready() || r.Count(ha.Fail) != 1 {
		t.Errorf("want the one failure that Proxmox is not installed:%s", show(r))
	}
	f, _ := find(r, check.PVENotInstalled, "laptop")
	if f.Status != ha.Fail || !strings.Contains(f.Evidence, "pve-manager is not installed") {
		t.Errorf("PVE_NOT_INSTALLED: %s %q", f.Status, f.Evidence)
	}
	if got, _ := find(r, check.WatchdogMissing, "laptop"); got.Because != check.PVENotInstalled {
		t.Errorf("WATCHDOG_MISSING is %s because %q, want SKIP because of PVE_NOT_INSTALLED", got.Status, got.Because)
	}
}

// A report with nothing in it but failures must not read as anything good.
func TestANodeWhereNothingCouldBeLookedAtIsUnknown(t *testing.T) {
	r := ha.Report{Node: "node1", Taken: noon}
	for _, p := range []string{ha.ProbeSystem, ha.ProbePmxcfs, ha.ProbeNFS, ha.ProbeWatchdog, ha.ProbeCorosync, ha.ProbeLRM, ha.ProbeGuests, ha.ProbeGuestConfigs,
		ha.ProbeClock, ha.ProbeHardware, ha.ProbeNetwork, ha.ProbeUnits, ha.ProbeFencing, ha.ProbeStorage, ha.ProbeCeph, ha.ProbeMembership, ha.ProbeStalls} {
		r.Failures = append(r.Failures, ha.ProbeFailure{Probe: p, Reason: "permission denied"})
	}
	got := check.JudgeNode(r)
	if got.Count(ha.Unknown) != len(got.Findings) {
		t.Errorf("want nothing but UNKNOWN:%s", show(got))
	}
}

func TestNarrowing(t *testing.T) {
	s := healthy()
	silent(&s, "node2")
	report(&s, "node1").Mounts[0].Stuck = time.Minute

	t.Run("only keeps the cause of what it keeps", func(t *testing.T) {
		r := check.Judge(s, ha.CheckRequest{Only: []ha.Code{check.WatchdogMissing}})
		if f, _ := find(r, check.AgentSilent, "node2"); r.Ready() || f.Status != ha.Fail {
			t.Errorf("node2's silence must show, it is why its watchdog is not judged:%s", show(r))
		}
		if _, shown := find(r, check.NFSNotAnswering, "node1"); shown {
			t.Error("node1's NFS was not asked for")
		}
	})
	t.Run("a code that does not exist is not ready", func(t *testing.T) {
		r := check.Judge(s, ha.CheckRequest{Only: []ha.Code{"NFS_NOT_ANSWRING"}})
		if r.Ready() {
			t.Error("a mistyped code must not read as ready")
		}
		if err := check.Validate(ha.CheckRequest{Only: []ha.Code{"NFS_NOT_ANSWRING"}}); ha.KindOf(err) != ha.Invalid {
			t.Errorf("Validate: %v, want an Invalid error", err)
		}
	})
	t.Run("a target keeps the cluster and drops the other targets", func(t *testing.T) {
		r := check.Judge(healthy(), ha.CheckRequest{Target: "media"})
		if _, shown := find(r, check.TargetNotFound, "media"); !shown {
			t.Error("media's own findings are missing")
		}
		if _, shown := find(r, check.TargetNotFound, "core"); shown {
			t.Error("core's findings were not asked for")
		}
		if _, shown := find(r, check.QuorumLost, "cluster"); !shown {
			t.Error("media depends on the cluster")
		}
	})
	t.Run("a target that does not exist is not ready", func(t *testing.T) {
		if check.Judge(healthy(), ha.CheckRequest{Target: "medai"}).Ready() {
			t.Error("a mistyped target must not read as ready")
		}
	})
}

// The list itself: codes are unique, causes come first, every severity is one a
// violation can have, and titles speak in the affirmative of a good state.
func TestTheListOfChecks(t *testing.T) {
	seen := make(map[ha.Code]bool)
	for _, c := range check.Checks() {
		if seen[c.Code] {
			t.Errorf("%s is listed twice", c.Code)
		}
		for _, dep := range c.DependsOn {
			if !seen[dep] {
				t.Errorf("%s depends on %s, which does not stand before it", c.Code, dep)
			}
		}
		seen[c.Code] = true
		for _, severity := range []ha.Status{c.Minimum, c.Production} {
			if severity != "" && severity != ha.Fail && severity != ha.Warn && severity != ha.Notice {
				t.Errorf("%s: a violation cannot be %s", c.Code, severity)
			}
		}
		worth := []ha.Status{"", ha.Notice, ha.Warn, ha.Fail}
		if slices.Index(worth, c.Minimum) > slices.Index(worth, c.Production) {
			t.Errorf("%s is worse in the minimum profile than in production", c.Code)
		}
		if c.Title == "" || c.Title[:1] != strings.ToLower(c.Title[:1]) && !slices.ContainsFunc([]string{"HA", "Proxmox", "Intel", "Ceph", "SBD"}, func(name string) bool { return strings.HasPrefix(c.Title, name) }) {
			t.Errorf("%s: title %q", c.Code, c.Title)
		}
	}
}

// An agent whose memory is damaged reports and obeys nobody. That must show before a
// drain needs it.
func TestAnAgentThatObeysNobodyIsNotReady(t *testing.T) {
	s := healthy()
	report(&s, "node2").Generation, report(&s, "node2").Coordinator = 0, ""
	if f, _ := find(check.Judge(s, ha.CheckRequest{}), check.AgentSuperseded, "node2"); f.Status != ha.Fail {
		t.Errorf("AGENT_SUPERSEDED is %s, want FAIL", f.Status)
	}
	// One that reported to the coordinator's last start has not met this one yet.
	report(&s, "node2").Generation, report(&s, "node2").Coordinator = 6, "c0"
	if f, _ := find(check.Judge(s, ha.CheckRequest{}), check.AgentSuperseded, "node2"); f.Status != ha.Notice {
		t.Errorf("AGENT_SUPERSEDED is %s, want NOTICE", f.Status)
	}
}

// A machine that is installed and waits to be declared is nobody's trouble; one that
// believes it is a member, or holds a guest, is judged like the others.
func TestAMachineThatWaitsToBeDeclaredIsNotJudged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ha.Report)
		ready  bool
	}{
		"blank":    {func(*ha.Report) {}, true},
		"removed":  {func(r *ha.Report) { r.Membership.Clustered = true }, false},
		"guests":   {func(r *ha.Report) { r.GuestConfigs = []ha.GuestConfig{{SID: ha.MustSID("vm:900")}} }, false},
		"not seen": {func(r *ha.Report) { r.Failures = []ha.ProbeFailure{{Probe: ha.ProbeMembership, Reason: "denied"}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			r := ha.Report{Node: "node9", Taken: s.At, Received: s.At, System: s.Reports[0].System}
			tt.change(&r)
			s.Reports = append(s.Reports, r)
			if got := check.Judge(s, ha.CheckRequest{Profile: check.Minimum}); got.Ready() != tt.ready {
				t.Errorf("ready %v, want %v:%s", got.Ready(), tt.ready, show(got))
			}
		})
	}
}
