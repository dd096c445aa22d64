package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A node that left the cluster stands in the overview until the HA manager forgets it, with
// what is left of that hour.
func TestANodeThatLeftIsShownWithItsCountdown(t *testing.T) {
	s := clusterStatus()
	s.Nodes = append(s.Nodes, ha.NodeStatus{Name: "node4", HAState: ha.NodeGone, ReportAge: -1, ForgottenAt: s.At.Add(43*time.Minute + 10*time.Second)})
	golden(t, "status_gone", text(statusLines(style{}, s, false)))
	for left, want := range map[time.Duration]string{
		-time.Minute: "forgets it any moment now",
		time.Hour:    "forgets it in about 1h",
	} {
		s.Nodes[3].ForgottenAt = s.At.Add(left)
		if got := strings.Join(strings.Fields(text(statusLines(style{}, s, false))), " "); !strings.Contains(got, want) {
			t.Errorf("%s left: want %q in\n%s", left, want, got)
		}
	}
	s.Nodes[3].ForgottenAt = time.Time{}
	if got := strings.Join(strings.Fields(text(statusLines(style{}, s, false))), " "); !strings.Contains(got, "an hour after it was last online") {
		t.Errorf("no countdown is known:\n%s", got)
	}
}
