package forecast_test

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// round is how far a forecast may be from what was seen: daemons have rounds of 10 s.
const round = 10 * time.Second

// recorded is the cluster of the recordings: three nodes, two HA guests on each.
func recorded(master ha.NodeName) ha.Snapshot {
	s := cluster(3)
	s.Inventory.HA.Master = master
	for k, sid := range []string{"vm:100", "vm:101", "vm:102", "vm:103", "vm:104", "vm:105"} {
		runs(&s, sid, strings.Replace(sid, ":", "", 1), node(3-k/2), 2*gib, true)
	}
	return s
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want-round || got > want+round {
		t.Errorf("%s after %s; seen on a real cluster after %s", what, got, want)
	}
}

// said is when the time line first says something.
func said(t *testing.T, p forecast.Prediction, text string) time.Duration {
	t.Helper()
	for _, e := range p.TimeLine {
		if strings.Contains(e.Text, text) {
			return e.At
		}
	}
	t.Errorf("the time line never says %q", text)
	return 0
}

// A node that is not master loses power: recorded on pve-manager 9.2.11, first series.
func TestPowerLossAsRecorded(t *testing.T) {
	p := forecast.Forecast(recorded(node(2)), forecast.Fault{Nodes: []ha.NodeName{node(3)}})
	tell(t, p)
	near(t, "out of the membership", said(t, p, "new membership"), 8*time.Second)
	near(t, "unknown", said(t, p, "calls node03 unknown"), 9*time.Second)
	near(t, "fence", said(t, p, "wants to fence node03"), 59*time.Second)
	near(t, "fenced", said(t, p, "node03 is fenced"), 129*time.Second)
	near(t, "restarted", target(t, p, "vm:100").UpAt, 130*time.Second)
	if !p.Settled || p.Untouched != 4 {
		t.Errorf("settled %v, %d guests untouched", p.Settled, p.Untouched)
	}
}

// The master loses power: second series, surprise 6.
func TestMasterPowerLossAsRecorded(t *testing.T) {
	p := forecast.Forecast(recorded(node(3)), forecast.Fault{Nodes: []ha.NodeName{node(3)}})
	tell(t, p)
	near(t, "a new master, and unknown", said(t, p, "calls node03 unknown"), 120*time.Second)
	near(t, "fence", said(t, p, "wants to fence node03"), 180*time.Second)
	near(t, "fenced and recovered", said(t, p, "node03 is fenced"), 190*time.Second)
	for _, sid := range []string{"vm:100", "vm:101"} {
		near(t, sid+" runs again", target(t, p, sid).UpAt, 198*time.Second)
	}
}

// A node is cut off from the others: first series 67 s and 138 s, second 62.8 s and 140 s.
func TestPartitionAsRecorded(t *testing.T) {
	p := forecast.Forecast(recorded(node(2)), forecast.Fault{Partition: [][]ha.NodeName{{node(1)}, {node(2), node(3)}}})
	tell(t, p)
	cut := p.Nodes[0]
	if !cut.LosesQuorum || !cut.SelfFences || cut.Up {
		t.Fatalf("the node alone is %+v", cut)
	}
	near(t, "reset, first series", said(t, p, "is reset"), 67*time.Second)
	near(t, "reset, second series", said(t, p, "is reset"), 63*time.Second)
	for _, sid := range []string{"vm:104", "vm:105"} {
		o := target(t, p, sid)
		near(t, sid+" elsewhere", o.UpAt, 139*time.Second)
		if o.UpAt < cut.SelfFencesLatest {
			t.Errorf("%s would run on two nodes at once", sid)
		}
	}
}
