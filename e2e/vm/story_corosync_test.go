//go:build vm

package vm_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A switch swallows one link of a node, both ways. Both ends report it, the node stays in
// the cluster, and nothing else is said to be wrong with it.
func TestALinkCutBothWays(t *testing.T) {
	lab := share(t, "pve1", "pve2")
	pve2 := lab.Node("pve2")
	linkStory(lab, 1, func() { pve2.CutLink(1) }, func() { pve2.MendLink(1) })
}

// The other ways in which a link of a node goes: a firewall that drops what arrives, a cable
// that is pulled, an interface taken down.
func TestALinkLostInOtherWays(t *testing.T) {
	lab := share(t, "pve1", "pve2")
	pve2 := lab.Node("pve2")
	for _, way := range []struct {
		name        string
		link        int
		break_, fix func()
	}{
		{"one way: what arrives on link 0 is dropped", 0, func() { pve2.DeafenLink(0) }, pve2.HearAgain},
		{"the carrier of link 1 is lost", 1, func() { pve2.PullCable(1) }, func() { pve2.PlugCable(1) }},
		{"the interface of link 1 is taken down", 1, func() { pve2.Run("ip link set eth1 down") },
			func() { pve2.Run("ip link set eth1 up; ip addr replace 10.10.1.2/24 dev eth1") }},
	} {
		t.Logf("         -- %s", way.name)
		linkStory(lab, way.link, way.break_, way.fix)
	}
}

// linkStory breaks a link of pve2 and mends it again.
func linkStory(lab *vm.Lab, link int, break_, fix func()) {
	break_()
	cut := map[string]func(View) string{"pve1 is in a whole cluster": wholeOn("pve1"), "pve2 is in a whole cluster": wholeOn("pve2")}
	for _, ends := range [][2]string{{"pve2", "pve1"}, {"pve2", "pve3"}, {"pve1", "pve2"}} {
		cut[ends[0]+" to "+ends[1]] = func(v View) string {
			if l, ok := v.Link(ends[0], ends[1], link); !ok || l.Connected {
				return fmt.Sprintf("%+v", l)
			}
			return ""
		}
	}
	lab.AwaitEach(fmt.Sprintf("both ends report link %d of pve2 as not connected", link), time.Minute, cut)
	lab.AwaitFinding(check.CorosyncLinkDown, "pve2", ha.Fail, 10*time.Second)
	lab.AwaitFinding(check.NodeNotQuorate, "pve2", ha.Pass, 10*time.Second)
	fix()
	for _, node := range []string{"pve1", "pve2"} {
		lab.AwaitFinding(check.CorosyncLinkDown, node, ha.Pass, time.Minute)
	}
	lab.AwaitEach("nobody has lost anybody", time.Minute, map[string]func(View) string{"pve1": wholeOn("pve1"), "pve2": wholeOn("pve2")})
}

func wholeOn(node string) func(View) string {
	return func(v View) string { return v.WholeOn(node) }
}

// Corosync is frozen: its tools hang. The agent's other facts keep coming, round after
// round, it says what it could not see, and corosync's checks are unknown, never passed.
func TestCorosyncFrozen(t *testing.T) {
	lab := share(t, "pve1", "pve2")
	pve2 := lab.Node("pve2")
	pve2.FreezeCorosync()
	lab.Await("pve2 reports that it cannot look at corosync", time.Minute, func(v View) string {
		if reason, failed := mustReport(t, v, "pve2").Failed(ha.ProbeCorosync); !failed || !strings.Contains(reason, "did not answer") {
			return "corosync probe: " + reason
		}
		return ""
	})
	lab.AwaitFinding(check.NodeNotQuorate, "pve2", ha.Unknown, 10*time.Second)
	keepsReporting(t, lab, "pve2", func(r ha.Report) string {
		if _, failed := r.Failed(ha.ProbeNFS); failed || len(r.Mounts) != 1 || !r.Mounts[0].Answering {
			return "NFS is not looked at"
		}
		return ""
	})
	lab.Await("pve1 goes on without it", time.Minute, func(v View) string {
		if r, _ := v.Report("pve1"); !slices.Equal(r.Corosync.Members, []int{1, 3}) || !r.Corosync.Quorate {
			return fmt.Sprintf("pve1 sees members %v", r.Corosync.Members)
		}
		return ""
	})
	pve2.ThawCorosync()
	lab.Await("pve2 is back in the cluster", time.Minute, wholeOn("pve2"))
}
