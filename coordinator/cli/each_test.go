package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What hangs on a switch only a node's agent tells. Where it is silent nobody knows whether
// the switch may fail, and that is not called survived.
func TestASwitchOfWhichTooLittleIsKnownIsNotSurvived(t *testing.T) {
	s := clusterFacts()
	for k := range s.Reports {
		r := &s.Reports[k]
		r.Interfaces = []ha.Interface{{Name: "eno1", Physical: []string{"eno1"}}}
		s.Policy.Hosts = append(s.Policy.Hosts, ha.Host{Name: r.Node, Switches: []ha.Port{{Interface: "eno1", Switch: "sw1"}}})
	}
	line := func() string {
		for _, l := range eachLines(style{}, s, newEachDocument(s), false) {
			if strings.HasPrefix(l, "switch sw1") {
				return l
			}
		}
		return ""
	}
	if got := line(); !strings.Contains(got, "survives  nothing is touched") {
		t.Errorf("nothing hangs on it: %q", got)
	}
	s.Reports[1].Received = s.At.Add(-time.Minute)
	if got := line(); !strings.Contains(got, "UNKNOWN   what hangs on it is not known of node2") {
		t.Errorf("node2 is silent: %q", got)
	}
	d := newEachDocument(s)
	if last := eachLines(style{}, s, d, true); d.Survives || !strings.Contains(last[len(last)-1], "Not known of 1 of 6.") {
		t.Errorf("survives %v: %q", d.Survives, last[len(last)-1])
	}
}
