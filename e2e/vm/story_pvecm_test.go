//go:build vm

package vm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// An agent's unit may do little on its machine, and pvecm does much: it gets a unit of its
// own, which systemd starts for an agent from within its sandbox, which may do all that root
// may, of which there is one at a time, and which outlives the agent. Debian has no pvecm;
// what stands in for it tells what it could do. The journal of pve-ha-lrm, which tells why
// a guest did not start, can be read from within.
func TestPvecmRunsOutsideTheAgentsSandbox(t *testing.T) {
	const (
		told    = "/etc/corosync/pvecm-told"
		journal = "/etc/corosync/journal-told"
		dropIn  = "/run/systemd/system/psw-agent.service.d/try.conf"
		pvecm   = `#!/bin/sh
echo "$* as $HOME in $(cat /proc/self/cgroup)" >` + told + `
grep CapEff /proc/self/status >>` + told + `
mount -t tmpfs none /opt && umount /opt && echo mounts >>` + told + `
while ! test -e /run/pvecm-may-end; do sleep 0.2; done
echo ended >>` + told + `
`
	)
	lab := start(t, "pve1")
	pve1 := lab.Node("pve1")
	pve1.Write("/usr/bin/pvecm", pvecm, 0o755)
	pve1.Write(dropIn, "[Service]\nExecStartPost=-/bin/sh -c 'journalctl -u pve-ha-lrm -n 3 --no-pager -q >"+journal+"'\nExecStartPost=-/usr/sbin/try-pvecm\n", 0o644)
	pve1.Run("cp /usr/bin/lab-standin /usr/sbin/try-pvecm && systemctl daemon-reload && systemctl restart --no-block psw-agent")

	var tells string
	lab.Watch("systemd starts pvecm for what runs in the agent's sandbox", 2*time.Minute, func() string {
		var code int
		if tells, code = pve1.Try("cat " + told); code != 0 || !strings.Contains(tells, "CapEff") {
			return fmt.Sprintf("%s; %s", tells, pve1.Run("journalctl -b -n 5 --no-pager -u psw-agent -u psw-pvecm; true"))
		}
		return ""
	})
	all := pve1.Run("grep CapEff /proc/1/status")
	for _, want := range []string{"delnode pve9 as /root in 0::/system.slice/psw-pvecm.service", all, "mounts"} {
		if tells = pve1.Run("sleep 0.5; cat " + told); !strings.Contains(tells, want) {
			t.Errorf("pvecm does not tell %q:\n%s", want, tells)
		}
	}
	if lines := pve1.Run("cat " + journal); !strings.Contains(lines, "pve-ha-lrm") {
		t.Errorf("the journal of pve-ha-lrm cannot be read in the sandbox: %q", lines)
	}
	if out, code := pve1.Try("/usr/sbin/try-pvecm 2>&1"); code == 0 || !strings.Contains(out, "psw-pvecm.service") {
		t.Errorf("a second pvecm ran beside the first: exit %d, %s", code, out)
	}
	pve1.Run("rm " + dropIn + "; systemctl daemon-reload; systemctl kill -s KILL psw-agent; touch /run/pvecm-may-end")
	lab.Watch("pvecm ends, although the agent was killed", time.Minute, func() string {
		if tells = pve1.Run("cat " + told); !strings.HasSuffix(tells, "ended") {
			return tells
		}
		return ""
	})
	lab.Await("the agent is back", time.Minute, func(v View) string {
		if r, ok := v.FreshReport("pve1"); !ok || r.System.BootID == "" {
			return "it has not reported"
		}
		return ""
	})
}
