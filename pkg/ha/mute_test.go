package ha_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestMute(t *testing.T) {
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	warn := func(subject string) ha.Finding {
		return ha.Finding{Code: "NFS_SOFT_MOUNT", Status: ha.Warn, Subject: subject}
	}
	unknown := ha.Finding{Code: "NFS_SOFT_MOUNT", Status: ha.Unknown, Subject: "node1"}
	passes := ha.Finding{Code: "NFS_SOFT_MOUNT", Status: ha.Pass, Subject: "node3"}
	mute := ha.Mute{Code: "NFS_SOFT_MOUNT", Until: now.Add(4 * time.Hour), Worst: ha.Warn, Subjects: []string{"node1", "node2"}}
	for _, c := range []struct {
		name     string
		mute     ha.Mute
		findings []ha.Finding
		worse    string
	}{
		{"as it was", mute, []ha.Finding{warn("node1"), warn("node2"), passes}, ""},
		{"one less", mute, []ha.Finding{warn("node2"), passes}, ""},
		{"another instead", mute, []ha.Finding{warn("node2"), warn("node3")}, ""},
		{"one more", mute, []ha.Finding{warn("node1"), warn("node2"), warn("node3")}, "it is about node3 as well"},
		{"graver", mute, []ha.Finding{unknown}, "it is UNKNOWN on node1 and was WARN"},
		{"another check", mute, []ha.Finding{{Code: "NFS_READ_ONLY", Status: ha.Fail, Subject: "node1"}}, ""},
		{"muted beforehand", ha.Mute{Code: "NFS_SOFT_MOUNT"}, []ha.Finding{unknown, warn("node2")}, ""},
	} {
		if got := c.mute.Worse(c.findings); got != c.worse {
			t.Errorf("%s: worse because %q, want %q", c.name, got, c.worse)
		}
	}
	if !mute.Covers(warn("node1"), now) || mute.Covers(warn("node1"), mute.Until) {
		t.Error("a mute covers its findings until its time is over, and not longer")
	}
	mute.Subject = "node2"
	if mute.Covers(warn("node1"), now) {
		t.Error("a mute of one node covers another")
	}
}

// A mute silences the messenger and never the verdict.
func TestMutedFailureIsNotReady(t *testing.T) {
	until := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	r := ha.Readiness{Findings: []ha.Finding{
		{Status: ha.Warn, MutedUntil: until}, {Status: ha.Fail, MutedUntil: until}, {Status: ha.Unknown, MutedUntil: until},
	}}
	if r.Ready() || r.Count(ha.Fail) != 1 || r.Count(ha.Unknown) != 1 {
		t.Error("a muted FAIL or UNKNOWN does not count")
	}
	if r.Count(ha.Warn) != 0 || r.CountMuted() != 1 {
		t.Errorf("%d warnings and %d muted, want none and one", r.Count(ha.Warn), r.CountMuted())
	}
}

func TestAcknowledged(t *testing.T) {
	now := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	s := ha.Snapshot{At: now, Acks: []ha.Acknowledgement{
		{Item: ha.AckBIOSWatchdog, By: "anna", At: now.Add(-400 * 24 * time.Hour)},
		{Item: ha.AckBIOSWatchdog, Node: "node1", By: "ben", At: now.Add(-time.Hour)},
	}}
	for node, want := range map[ha.NodeName]struct {
		by    string
		fresh bool
	}{"node1": {"ben", true}, "node2": {"anna", false}} {
		a, fresh, ok := s.Acknowledged(ha.AckBIOSWatchdog, node)
		if !ok || a.By != want.by || fresh != want.fresh {
			t.Errorf("%s: by %q, fresh %v; want %q, %v", node, a.By, fresh, want.by, want.fresh)
		}
	}
	if _, _, ok := s.Acknowledged(ha.AckUPS, "node1"); ok {
		t.Error("what nobody vouched for is acknowledged")
	}
	for _, i := range ha.AckItems {
		if i.Title == "" || strings.ToLower(i.Name) != i.Name {
			t.Errorf("item %q has no title, or capitals", i.Name)
		}
		if _, ok := ha.FindAckItem(i.Name); !ok {
			t.Errorf("item %q is not found: the list is not sorted", i.Name)
		}
	}
}
