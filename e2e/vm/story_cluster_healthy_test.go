//go:build vm

package vm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// soundOnEveryNode are the checks that pass on a node of a whole cluster. What a machine
// without KVM cannot have is left out: its corosync answers as slowly as an overloaded
// network, and no guest runs on it.
var soundOnEveryNode = []ha.Code{
	check.AgentSilent, check.AgentSuperseded, check.ClockSkew, check.PVENotInstalled,
	check.CorosyncNotRunning, check.CorosyncSingleLink, check.CorosyncLinkDown, check.CorosyncLinkAsymmetric, check.NodeNotQuorate,
	check.WatchdogMissing, check.WatchdogSeveral, check.WatchdogMuxNotRunning, check.WatchdogNotFed, check.WatchdogNotArmed,
	check.WatchdogSoftNoboot, check.WatchdogTimeoutLong,
	check.LRMNotRunning, check.LRMStatusStale,
	check.NFSNotMounted, check.NFSNotAnswering, check.NFSWrongSource, check.NFSReadOnly, check.NFSSoftMount, check.NFSNearlyFull,
	check.NFSWriteFailed, check.StorageNotShareable, check.WatchdogHeld, check.WatchdogSystemd, check.PmxcfsNotMounted, check.PmxcfsReadOnly,
	check.CorosyncConfigDiffers, check.CorosyncConfigNotRun, check.CorosyncToken, check.CRMNotRunning, check.HAUnitFailed,
}

// A cluster that is whole: real corosync with two links, a real NFS mount, softdog. Agents,
// started by their packaged unit, report it over mutual TLS, and every check passes that a
// machine of the lab can pass.
func TestAHealthyCluster(t *testing.T) {
	lab := share(t, nodes...)
	pass := map[string]func(View) string{}
	for _, code := range soundOnEveryNode {
		for _, node := range nodes {
			pass[string(code)+" on "+node] = func(v View) string {
				if f, _ := v.Finding(code, node); f.Status != ha.Pass {
					return string(f.Status) + ": " + f.Evidence
				}
				return ""
			}
		}
	}
	lab.AwaitEach(fmt.Sprintf("%d checks pass on every node", len(soundOnEveryNode)), time.Minute, pass)
	// What a machine of the lab really lacks is found: nothing keeps its clock right.
	for _, node := range nodes {
		lab.AwaitFinding(check.ClockUnsynchronized, node, ha.Fail, 10*time.Second)
	}
	lab.Await("gossip knows all three", 30*time.Second, func(v View) string {
		for _, node := range nodes {
			if state := v.Member(node); state != ha.MemberAlive {
				return node + " is " + string(state)
			}
		}
		return ""
	})
	for _, node := range nodes {
		lab.Await(node+" sees four links and the token timeout of three nodes", time.Minute, func(v View) string {
			r, _ := v.Report(node)
			if len(r.Corosync.Links) != 4 || r.Corosync.TokenTimeout != 3650*time.Millisecond {
				return fmt.Sprintf("%d links, %s", len(r.Corosync.Links), r.Corosync.TokenTimeout)
			}
			return ""
		})
		if status := lab.Node(node).Run("systemctl is-active psw-agent"); status != "active" {
			t.Errorf("psw-agent.service on %s is %s", node, status)
		}
	}
	rss := lab.Node("pve1").Run("grep VmRSS /proc/$(systemctl show -P MainPID psw-agent)/status")
	t.Logf("          agent: %s, a round took %s", strings.Join(strings.Fields(rss), " "), mustReport(t, lab.Look(), "pve1").Took.Round(time.Millisecond))
}

// On a machine without Proxmox, psw-agent check says so, plainly, and exits with 3.
func TestCheckOnAMachineWithoutProxmox(t *testing.T) {
	lab := share(t, nodes...)
	lab.Watch("psw-agent check says that this is no Proxmox node, and exits with 3", time.Minute, func() string {
		out, code := lab.NAS().Try("psw-agent check")
		if code != 3 || !strings.Contains(out, "pve-manager is not installed: this machine is no Proxmox VE node") || !strings.Contains(out, "not ready") {
			return fmt.Sprintf("exit %d:\n%s", code, out)
		}
		return ""
	})
	// A check looks and changes nothing: above all it does not touch the watchdog.
	if out := lab.NAS().Run("ls /sys/class/watchdog 2>/dev/null; lsmod | grep -c softdog || true"); strings.TrimSpace(out) != "0" {
		t.Errorf("after a check the machine has a watchdog: %s", out)
	}
}
