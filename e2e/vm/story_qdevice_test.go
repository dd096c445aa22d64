//go:build vm

package vm_test

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A QDevice on the NFS server's machine votes, goes, and comes back. Each is seen in the
// nodes' reports, and its absence is a fault of its own, not a loss of quorum.
func TestTheQDeviceGoes(t *testing.T) {
	lab := start(t)
	lab.AddQDevice()
	for _, node := range nodes {
		lab.AwaitFinding(check.QDeviceNotVoting, node, ha.Pass, 90*time.Second)
	}
	lab.NAS().StopQNetd()
	for _, node := range nodes {
		lab.AwaitFinding(check.QDeviceNotVoting, node, ha.Fail, 90*time.Second)
		lab.AwaitFinding(check.NodeNotQuorate, node, ha.Pass, 10*time.Second)
	}
	lab.NAS().StartQNetd()
	for _, node := range nodes {
		lab.AwaitFinding(check.QDeviceNotVoting, node, ha.Pass, 2*time.Minute)
	}
}
