package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What Proxmox does by itself within a round or two is no fault: nobody could mend it, and a
// second apply must not be refused for what the first has just set going. What lasts is one.
func TestATakeoverIsNoFaultUntilItLasts(t *testing.T) {
	sids := func(s *ha.Snapshot) (out []ha.SID) {
		for _, r := range s.Inventory.Resources {
			out = append(out, r.SID)
		}
		return out
	}
	nobodyLeads := func(s *ha.Snapshot) {
		s.Inventory.HA.Master, s.Inventory.HA.MasterAt, s.Inventory.HA.Services = "", time.Time{}, nil
	}
	idle := func(s *ha.Snapshot) { // it led hours ago, until the last resource went
		s.Inventory.HA.MasterAt = noon.Add(-3 * time.Hour)
		for k := range s.Reports {
			s.Reports[k].HA.MasterAt = s.Inventory.HA.MasterAt
		}
		s.Inventory.HA.Services = nil
	}
	other := func(s *ha.Snapshot) ha.NodeName {
		for _, n := range s.Inventory.Nodes {
			if n.Name != s.Inventory.HA.Master {
				return n.Name
			}
		}
		panic("one node only")
	}
	for _, c := range []struct {
		name   string
		change func(*ha.Snapshot)
		code   ha.Code
		status ha.Status
		says   string
	}{
		{"the first resources are new", both(nobodyLeads, func(s *ha.Snapshot) { s.NewResources = sids(s) }), check.CRMMasterStale, ha.Notice, "registered a moment ago"},
		{"it was idle for hours", both(idle, func(s *ha.Snapshot) { s.NewResources = sids(s) }), check.CRMMasterStale, ha.Notice, "registered a moment ago"},
		{"one is older", both(nobodyLeads, func(s *ha.Snapshot) { s.NewResources = sids(s)[1:] }), check.CRMMasterStale, ha.Fail, "no CRM has become master"},
		{"nobody saw them come", idle, check.CRMMasterStale, ha.Fail, "has not worked for"},
		{"a new resource has no record", both(nobodyLeads, func(s *ha.Snapshot) { s.NewResources = sids(s) }), check.TargetInError, ha.Notice, "takes it up in one of its next rounds"},
		{"an old one has none", nobodyLeads, check.TargetInError, ha.Unknown, "has no record"},
		{"another node has just taken the lead", func(s *ha.Snapshot) {
			s.Inventory.HA.Master = other(s)
			s.Inventory.HA.MasterAt = report(s, s.Inventory.HA.Master).Taken.Add(time.Second)
		}, check.CRMMasterStale, ha.Notice, "has just taken the lead"},
		{"it still does not know of it", func(s *ha.Snapshot) {
			s.Inventory.HA.Master = other(s)
			s.Inventory.HA.MasterAt = report(s, s.Inventory.HA.Master).Taken.Add(-time.Second)
		}, check.CRMMasterStale, ha.Unknown, "its own /etc/pve does not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := healthy()
			c.change(&s)
			for _, f := range check.Judge(s, ha.CheckRequest{Profile: check.Minimum}).Findings {
				if f.Code == c.code && f.Status == c.status && strings.Contains(f.Evidence, c.says) {
					return
				} else if f.Code == c.code {
					t.Logf("%s %s: %s", f.Status, f.Subject, f.Evidence)
				}
			}
			t.Errorf("want %s of %s, saying %q", c.status, c.code, c.says)
		})
	}
}

// As long as another node takes over by itself, that is what to wait for.
func TestADeadMastersRemedyIsToWaitFirst(t *testing.T) {
	for age, want := range map[time.Duration]string{40 * time.Second: "wait 100 s: then another node leads", 5 * time.Minute: "on every node: systemctl restart pve-ha-crm"} {
		s := healthy()
		s.Inventory.HA.MasterAt = s.Inventory.At.Add(-age)
		for k := range s.Reports {
			s.Reports[k].HA.MasterAt = s.Reports[k].Taken.Add(-age)
		}
		for _, f := range check.Judge(s, ha.CheckRequest{Profile: check.Minimum}).Findings {
			if f.Code == check.CRMMasterStale && !strings.HasPrefix(f.Remedy, want) {
				t.Errorf("after %s: %s", age, f.Remedy)
			}
		}
	}
}

// A node that was removed for good says nothing any more, and nobody waits for it; one that
// is silent for any other reason is missed.
func TestANodeThatLeftIsNotMissed(t *testing.T) {
	silent := func(ago time.Duration, ops ...ha.Operation) ha.Snapshot {
		s := healthy()
		r := *report(&s, "node3")
		r.Node, r.Taken, r.Received = "node4", s.At.Add(-ago), s.At.Add(-ago)
		s.Reports = append(s.Reports, r)
		s.Operations = ops
		return s
	}
	removal := ha.Operation{Kind: ha.OperationRemoveNode, Node: "node4", Outcome: ha.OperationDone, EndedAt: noon.Add(-time.Minute)}
	failed := removal
	failed.Outcome = ha.OperationFailed
	for _, c := range []struct {
		name   string
		s      ha.Snapshot
		missed bool
	}{
		{"removed", silent(2*time.Minute, removal), false},
		{"heard since", silent(30*time.Second, removal), true},
		{"not removed", silent(2*time.Minute, failed), true},
		{"forgotten by the HA manager", silent(2 * time.Hour), false},
	} {
		missed := false
		for _, f := range check.Judge(c.s, ha.CheckRequest{Profile: check.Minimum}).Findings {
			missed = missed || f.Subject == "node4" && f.Status != ha.Pass
		}
		if missed != c.missed {
			t.Errorf("%s: missed %v, want %v", c.name, missed, c.missed)
		}
	}
}
