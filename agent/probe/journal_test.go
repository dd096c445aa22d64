package probe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lrmWrote is what pve-ha-lrm writes when a start fails, in the form of its messages in the
// recordings, with the guest's command line as Proxmox prints it: arguments are quoted with the
// sign that the whole is quoted with.
const lrmWrote = `2026-11-28T09:00:01+00:00 pve1 pve-ha-lrm[706]: starting service vm:101
2026-11-28T09:00:01+00:00 pve1 pve-ha-lrm[707]: start VM 101: UPID:pve1:000002C3:0006A8AA:6B00E5B4:qmstart:101:root@pam:
2026-11-28T09:00:02+00:00 pve1 pve-ha-lrm[708]: service status vm:1011 started
2026-11-28T09:00:03+00:00 pve1 pve-ha-lrm[707]: start failed: command '/usr/bin/kvm -id 101 -name 'web,debug-threads=on' -drive 'file=iscsi://user%hunter2@10.0.0.9/lun,if=none' -m 512' failed: exit code 1 (VM 101)
2026-11-28T09:00:03+00:00 pve1 pve-ha-lrm[706]: unable to start service vm:101
`

// Of a guest whose job failed the LRM's own lines are reported, its command line is not.
func TestTheLRMsLinesAreReportedOfWhatFailed(t *testing.T) {
	h := load(t, "busy.pve1")
	h.add("etc/pve/nodes/pve1/lrm_status", `{"state":"active","mode":"active","timestamp":1790000000,"results":{"a":{"sid":"vm:101","state":"started","exit_code":1}}}`)
	h.runs["journalctl "+strings.Join(lrmJournal, " ")] = recordedAnswer{output: []byte(lrmWrote)}
	var report ha.Report
	synctest.Test(t, func(t *testing.T) {
		p := New(h, "pve1")
		p.Look(t.Context())
		time.Sleep(16 * time.Second) // it looks again, and knows by now that a job failed
		report = p.Look(t.Context())
	})
	if len(report.HA.Failed) != 1 || len(report.HA.Failed[0].Log) != 4 {
		t.Fatalf("%+v", report.HA.Failed)
	}
	said := strings.Join(report.HA.Failed[0].Log, "\n")
	if strings.Contains(said, "hunter2") || strings.Contains(said, "vm:1011") || !strings.Contains(said, "command '/usr/bin/kvm …' failed: exit code 1") || !strings.Contains(said, "unable to start service vm:101") {
		t.Errorf("%s", said)
	}
}

// Where nothing failed no process is started for it.
func TestTheJournalIsLeftAloneWhereNothingFailed(t *testing.T) {
	for _, name := range []string{"busy.pve1", "cluster-02-healthy-3-ha-vms.pve1"} {
		if reason, failed := Look(t.Context(), load(t, name), "pve1").Failed(ha.ProbeJournal); failed {
			t.Errorf("%s: %s", name, reason)
		}
	}
}

// No line is longer than allowed, none has what a terminal would obey, and each is about the
// guest.
func FuzzJournal(f *testing.F) {
	f.Add(lrmWrote)
	f.Add("x vm:101 command 'a b\x1b[31m vm:101 command '' VM 101\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := linesOf(text, ha.MustSID("vm:101"))
		if len(lines) > journalLines {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len([]rune(line)) > journalWidth+1 || strings.ContainsAny(line, "\x1b\r\n\x00") || !strings.Contains(text, "101") {
				t.Errorf("%q", line)
			}
			if again := legibleLine(line); len([]rune(again)) > len([]rune(line))+2 {
				t.Errorf("%q became %q", line, again)
			}
		}
	})
}
