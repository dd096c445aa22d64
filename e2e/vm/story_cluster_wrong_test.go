//go:build vm

package vm_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// cause is something wrong with one node, by a shell script on it, and what is found.
type cause struct {
	node, title, break_, mend string
	finds                     []finding
}

type finding struct {
	code    ha.Code
	subject string // the cause's node, if empty
	status  ha.Status
	words   string // that the evidence must have
}

// Mounts that are not what they should be, one on each node.
func TestMountsThatMislead(t *testing.T) {
	const unmount = "for try in 1 2 3 4 5 6 7 8 9; do umount /mnt/shared && break; sleep 0.5; done; "
	sideBySide(t, share(t, nodes...), []cause{
		{"pve1", "the shared storage is mounted soft", unmount + "/usr/lib/lab/mount-shared soft", unmount + "/usr/lib/lab/mount-shared",
			[]finding{{code: check.NFSSoftMount, status: ha.Warn}}},
		{"pve2", "the shared storage is mounted read-only", "mount -o remount,ro /mnt/shared", "mount -o remount,rw /mnt/shared",
			[]finding{{code: check.NFSReadOnly, status: ha.Fail}}},
		{"pve3", "a folder of the node is called shared",
			`cp /etc/pve/storage.cfg /run/storage.cfg && printf '\ndir: pool\n\tpath /srv/pool\n\tshared 1\n\tcontent images\n' >>/etc/pve/storage.cfg`,
			"cp /run/storage.cfg /etc/pve/storage.cfg",
			[]finding{{code: check.StorageNotShareable, status: ha.Fail}}},
	})
}

// Watchdogs that would not reset their node, or nobody knows which of them would.
func TestWatchdogsThatGuardNothing(t *testing.T) {
	// hold feeds the second watchdog until the file is gone, and closes it in order.
	const hold = "touch /run/held; modprobe i6300esb; (exec 9>/dev/watchdog1; while test -e /run/held; do printf . >&9; sleep 1; done; printf V >&9) </dev/null >/dev/null 2>&1 &"
	sideBySide(t, share(t, nodes...), []cause{
		{"pve1", "softdog only says that it would reset, and another module is configured",
			"echo options softdog soft_noboot=1 >/etc/modprobe.d/softdog.conf; systemctl stop watchdog-mux && rmmod softdog && systemctl start watchdog-mux && echo WATCHDOG_MODULE=iTCO_wdt >/etc/default/pve-ha-manager",
			"rm /etc/default/pve-ha-manager /etc/modprobe.d/softdog.conf; systemctl stop watchdog-mux && rmmod softdog && systemctl start watchdog-mux",
			[]finding{{code: check.WatchdogSoftNoboot, status: ha.Fail}, {code: check.WatchdogModuleNotLoaded, status: ha.Warn}}},
		{"pve2", "watchdog-mux is stopped, and there is no watchdog", "systemctl stop watchdog-mux && rmmod softdog", "systemctl start watchdog-mux",
			[]finding{{code: check.WatchdogMuxNotRunning, status: ha.Fail}, {code: check.WatchdogMissing, status: ha.Fail}}},
		{"pve3", "there are two watchdogs, and another program feeds the second", hold, "rm /run/held; for try in 1 2 3 4 5 6 7 8 9; do rmmod i6300esb && break; sleep 0.5; done",
			[]finding{{code: check.WatchdogSeveral, status: ha.Fail, words: "watchdog1 (i6300ESB timer"}, {code: check.WatchdogHeld, status: ha.Fail}}},
	})
}

// The daemons that HA consists of: one frozen, one stopped, one dead, and corosync gone from
// a node, for which somebody lowered the expected votes. And a process that waits in the
// kernel: after vfork (58), until its child ends, which sleeps.
func TestDaemonsThatAreGone(t *testing.T) {
	sideBySide(t, share(t, nodes...), []cause{
		{"pve3", "corosync is stopped", "systemctl stop corosync", "systemctl start corosync",
			[]finding{{code: check.CorosyncNotRunning, status: ha.Fail}}},
		{"pve1", "pvecm expected 2, and pve-ha-lrm is frozen",
			"for try in 1 2 3 4 5 6 7 8 9; do corosync-quorumtool -s | grep -q '^Total votes: *2' && break; sleep 0.5; done; corosync-quorumtool -e 2; pkill -STOP -x pve-ha-lrm",
			"pkill -CONT -x pve-ha-lrm; corosync-quorumtool -e 3",
			[]finding{{code: check.QuorumExpectedLow, subject: "cluster", status: ha.Fail}, {code: check.QuorumTooFewVotes, subject: "cluster", status: ha.Fail}, {code: check.LRMStatusStale, status: ha.Fail}}},
		{"pve2", "pve-ha-lrm is stopped, pve-ha-crm was killed, and a process hangs in the kernel",
			"(perl -e 'syscall(58) || sleep 600' </dev/null >/dev/null 2>&1 &); systemctl stop pve-ha-lrm; pkill -KILL -x pve-ha-crm",
			"pkill -KILL -x perl; systemctl start pve-ha-lrm pve-ha-crm",
			[]finding{{code: check.LRMNotRunning, status: ha.Fail}, {code: check.CRMNotRunning, status: ha.Fail}, {code: check.HAUnitFailed, status: ha.Fail},
				{code: check.ProcessesStuck, status: ha.Fail, words: "perl"}}},
	})
}

// What is written down and does not hold: a corosync.conf that one node alone has, a cluster
// file system that is away, and an agent with no room to remember whom it obeys.
func TestFilesThatAreNotRight(t *testing.T) {
	const state = "/var/lib/psw-ha/agent"
	sideBySide(t, share(t, nodes...), []cause{
		{"pve1", "the cluster file system is not mounted", "mv /etc/pve/local /run/local", "mv /run/local /etc/pve/local",
			[]finding{{code: check.PmxcfsNotMounted, status: ha.Fail}}},
		{"pve2", "corosync.conf was edited by hand on one node", "sed -i.old 's/config_version: 1/config_version: 2/' /etc/corosync/corosync.conf", "mv /etc/corosync/corosync.conf.old /etc/corosync/corosync.conf",
			[]finding{{code: check.CorosyncConfigDiffers, subject: "pve3", status: ha.Warn}, {code: check.CorosyncConfigNotRun, status: ha.Fail}}},
		{"pve3", "the disk of the agent's state is full",
			"systemctl stop psw-agent && mount -t tmpfs -o size=4k tmpfs " + state + " && (head -c 4096 /dev/zero >" + state + "/full; systemctl start --no-block psw-agent)",
			"systemctl stop psw-agent && umount " + state + " && systemctl start --no-block psw-agent",
			[]finding{{code: check.AgentSuperseded, status: ha.Fail}}},
	})
}

// sideBySide breaks every node in its own way, waits until each is found, mends them all, and
// waits until nothing of it is found any more.
func sideBySide(t *testing.T, lab *vm.Lab, causes []cause) {
	t.Helper()
	for _, c := range causes {
		t.Logf("         -- %s: %s", c.node, c.title)
		lab.Node(c.node).Run(c.break_)
	}
	each := func(do func(f finding)) {
		for _, c := range causes {
			for _, f := range c.finds {
				f.subject = cmp.Or(f.subject, c.node)
				do(f)
			}
		}
	}
	each(func(f finding) {
		if found := lab.AwaitFinding(f.code, f.subject, f.status, time.Minute); !strings.Contains(found.Evidence, f.words) {
			t.Errorf("%s does not say %q: %s", f.code, f.words, found.Evidence)
		}
	})
	t.Log("         -- all of it is mended")
	for _, c := range causes {
		lab.Node(c.node).Run(c.mend)
	}
	each(func(f finding) {
		well := ha.Pass
		if f.code == check.WatchdogModuleNotLoaded {
			well = ha.Skip // none is configured
		}
		lab.AwaitFinding(f.code, f.subject, well, time.Minute)
	})
}
