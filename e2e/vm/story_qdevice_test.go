//go:build vm

package vm_test

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A QDevice on the NFS server's machine votes, goes, and comes back. Each is seen in the
// reports of pve1, and its absence is a fault of its own, not a loss of quorum.
func TestTheQDeviceGoes(t *testing.T) {
	lab := start(t, "pve1")
	lab.AddQDevice()
	lab.AwaitFinding(check.QDeviceNotVoting, "pve1", ha.Pass, 90*time.Second)
	lab.NAS().StopQNetd()
	lab.AwaitFinding(check.QDeviceNotVoting, "pve1", ha.Fail, 90*time.Second)
	lab.AwaitFinding(check.NodeNotQuorate, "pve1", ha.Pass, 10*time.Second)
	lab.NAS().StartQNetd()
	lab.AwaitFinding(check.QDeviceNotVoting, "pve1", ha.Pass, 2*time.Minute)
}
