package cli

import (
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What operators say of readiness and are told of a target, as somebody sees it in a pipe.
func TestVerdictTranscripts(t *testing.T) {
	soft := ha.Mute{Code: "NFS_SOFT_MOUNT", Until: at("18:02:11"), At: at("14:02:11"), By: "anna", Worst: ha.Warn, Subjects: []string{"node1", "node2"}}
	clockSkew := ha.Mute{Code: "CLOCK_SKEW", Subject: "node2", Until: at("16:00:00"), At: at("14:00:00"), By: "ben", Message: "new NTP server on Monday"}
	failing := ha.Mute{Code: "NFS_NOT_ANSWERING", Worst: ha.Fail, Subjects: []string{"node1"}}
	ups := ha.Acknowledgement{Item: ha.AckUPS, By: "anna", At: at("10:00:00"), Note: "APC 1500, tested in May"}
	bios := ha.Acknowledgement{Item: ha.AckBIOSWatchdog, Node: "node1", By: "ben", At: at("10:00:00").AddDate(-2, 0, 0)}
	for _, c := range []struct {
		name, command string
		world         *world
		code          int
		asked         string
	}{
		{"ha_check_muted", "ha check", &world{verdicts: []ha.Readiness{mutedReadiness()}}, exitRefused, ""},
		{"ha_check_muted_json", "ha check -o json", &world{verdicts: []ha.Readiness{mutedReadiness()}}, exitRefused, ""},
		{"ha_check_recorded", "ha check", &world{verdicts: []ha.Readiness{recordedReadiness()}}, exitDone, ""},
		{"ha_status_ready", "ha status", &world{status: []ha.ClusterStatus{judgedStatus()}}, exitDone, ""},
		{"ha_mute", "ha mute NFS_SOFT_MOUNT 4h", &world{mutes: []ha.Mute{soft}}, exitDone, `mute NFS_SOFT_MOUNT of "" for 4h0m0s by anna: `},
		{"ha_mute_json", `ha mute clock-skew node2 2d -m "new NTP server on Monday" -o json`, &world{mutes: []ha.Mute{clockSkew}}, exitDone,
			`mute CLOCK_SKEW of "node2" for 48h0m0s by anna: new NTP server on Monday`},
		{"ha_mute_failure", "ha mute NFS_NOT_ANSWERING 1h", &world{mutes: []ha.Mute{failing}}, exitDone, ""},
		{"ha_mute_nothing", "ha mute NFS_READ_ONLY 1h", &world{}, exitDone, ""},
		{"ha_mute_refused", "ha mute NO_SUCH_CODE 1h", &world{refuse: ha.Errorf(ha.Invalid, `there is no check "NO_SUCH_CODE": docs/checks.md lists them all`)}, exitUsage, ""},
		{"ha_mute_no_time", "ha mute NFS_SOFT_MOUNT soon", &world{}, exitUsage, ""},
		{"ha_mute_list", "ha mute list", &world{mutes: []ha.Mute{clockSkew, soft}}, exitDone, ""},
		{"ha_mute_list_json", "ha mute list -o json", &world{mutes: []ha.Mute{clockSkew, soft}}, exitDone, ""},
		{"ha_mute_list_none", "ha mute list", &world{}, exitDone, ""},
		{"ha_unmute", "ha unmute CLOCK_SKEW node2", &world{mutes: []ha.Mute{clockSkew}}, exitDone, `unmute CLOCK_SKEW of "node2" by anna`},
		{"ha_unmute_json", "ha unmute CLOCK_SKEW -o json", &world{mutes: []ha.Mute{clockSkew}}, exitDone, ""},
		{"ha_ack", `ha ack bios-watchdog node1 -m "Advanced > Watchdog"`, &world{}, exitDone, `ack bios-watchdog of "node1" by anna: Advanced > Watchdog`},
		{"ha_ack_json", "ha ack ups -o json", &world{}, exitDone, ""},
		{"ha_ack_withdraw", "ha ack ups --withdraw", &world{}, exitDone, `withdraw ups of "" by anna`},
		{"ha_ack_list", "ha ack list", &world{acks: []ha.Acknowledgement{bios, ups}}, exitDone, ""},
		{"ha_ack_list_json", "ha ack list -o json", &world{acks: []ha.Acknowledgement{ups}}, exitDone, ""},
		{"ha_simulate_each", "ha simulate --each", &world{facts: clusterFacts()}, exitRefused, ""},
		{"ha_simulate_each_quiet", "ha simulate --each --quiet", &world{facts: clusterFacts()}, exitRefused, ""},
		{"ha_simulate_each_json", "ha simulate --each -o json", &world{facts: heavyFacts()}, exitRefused, ""},
		{"ha_simulate_each_and", "ha simulate --each --fail node1", &world{facts: clusterFacts()}, exitUsage, ""},
		{"ha_explain", "ha explain media", &world{explanation: explanation()}, exitRefused, "explain media"},
		{"ha_explain_json", "ha explain media -o json", &world{explanation: explanation()}, exitRefused, ""},
		{"ha_explain_quiet", "ha explain media --quiet", &world{explanation: explanation()}, exitRefused, ""},
		{"ha_explain_well", "ha explain core", &world{explanation: ha.Explanation{Target: "core", Well: true,
			Summary: "core (ct:100) runs on node1, its preferred node; the HA manager has it as started",
			Places:  []ha.Place{{Node: "node1", OK: true, Text: "it is here"}}}}, exitDone, ""},
		{"ha_explain_unknown", "ha explain nobody", &world{refuse: ha.Errorf(ha.NotFound, `the project declares no target "nobody"; it declares core, media`)}, exitUsage, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.world, func(h *house) {
				text, code := h.run(h.t.Context(), c.command)
				golden(t, c.name, text)
				if code != c.code {
					t.Errorf("exit %d, want %d", code, c.code)
				}
				if c.asked != "" && (len(c.world.asked) != 1 || c.world.asked[0] != c.asked) {
					t.Errorf("asked %q, want %q", c.world.asked, c.asked)
				}
			})
		})
	}
}

// A word that is too old is told as such.
func TestStaleAcknowledgementIsTold(t *testing.T) {
	now := at("14:00:00")
	golden(t, "acks_stale", text(ackLines(style{}, []ha.Acknowledgement{
		{Item: ha.AckUPS, By: "anna", At: now.AddDate(-1, 0, -1)}, {Item: ha.AckUPS, Node: "node2", By: "ben", At: now}}, now)))
}

func TestPeriods(t *testing.T) {
	for in, want := range map[string]time.Duration{"30m": 30 * time.Minute, "4h": 4 * time.Hour, "2d": 48 * time.Hour, "1w": 168 * time.Hour, "1.5d": 36 * time.Hour} {
		if got, err := period(in); err != nil || got != want {
			t.Errorf("%s is %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "4", "-1h", "0d", "soon", "d", "NaNd", "1e9w"} {
		if got, err := period(in); err == nil {
			t.Errorf("%q is read as %s", in, got)
		}
	}
}

// mutedReadiness is a verdict in which a warning and a failure are muted, while the
// published one still says that all is well.
func mutedReadiness() ha.Readiness {
	r := readiness()
	for k := range r.Findings {
		f := &r.Findings[k]
		switch f.Status {
		case ha.Warn:
			f.Since, f.MutedUntil, f.MutedBy = at("09:00:00"), at("18:00:00"), "anna"
		case ha.Fail:
			f.Since, f.MutedUntil, f.MutedBy = at("14:02:03"), at("15:00:00"), "ben"
		case ha.Unknown:
			f.Since = at("14:02:06")
		case ha.Pass, ha.Notice, ha.Skip:
		}
	}
	r.Standing = &ha.Standing{At: at("14:02:11"), Profile: "minimum", Known: true, Ready: true, Since: at("08:00:00"), Muted: 1}
	return r
}

func recordedReadiness() ha.Readiness {
	r := ready()
	r.Standing = &ha.Standing{At: at("14:02:11"), Profile: "minimum", Known: true, Ready: true, Since: at("08:00:00"),
		Record: &ha.ReadinessRecord{Profile: "minimum", Ready: true, At: at("14:02:11"), By: "anna", Project: "home", Facts: "6d0f3ab2c1e4f507"}}
	return r
}

func judgedStatus() ha.ClusterStatus {
	s := clusterStatus()
	s.Readiness = &ha.Standing{At: at("14:02:11"), Profile: "minimum", Known: true, Since: at("14:01:50"), Failing: []ha.Code{"NFS_NOT_ANSWERING", "AGENT_SILENT"},
		Warnings: 2, Muted: 1,
		Record: &ha.ReadinessRecord{Profile: "minimum", Ready: true, At: at("14:02:11").AddDate(0, 0, -9), By: "anna", Project: "home", Facts: "6d0f3ab2c1e4f507"},
		Stale:  []string{"storage psw changed", "versions of node2: pve-manager 9.2.11, pve-ha-manager 5.2.0, kernel 6.17.2 => pve-manager 9.2.12, pve-ha-manager 5.2.1, kernel 6.17.4"}}
	return s
}

func explanation() ha.Explanation {
	return ha.Explanation{
		At: at("14:02:11"), Target: "media", SID: media, Preferred: "node1", Node: "node2", Registered: true, Request: "started", State: "error",
		Summary: "media (vm:101) does not run on node2; its preferred node is node1; the HA manager has it as error",
		Reasons: []ha.Reason{
			{Subject: "vm:101", Text: "it is in state error: the HA manager gave it up after its tries on node2, and leaves it alone until somebody clears that; its start failed on node2, node3"},
			{Subject: "node1", Text: "its preferred node cannot take it now: needs 8.0 GiB of assigned memory, 3.2 GiB is free"},
		},
		Places: []ha.Place{
			{Node: "node1", Text: "needs 8.0 GiB of assigned memory, 3.2 GiB is free"},
			{Node: "node2", Text: "the HA manager tried there and its start failed; it is here"},
			{Node: "node3", OK: true, Text: "could run it: needs 8.0 GiB, 41.0 GiB is free"},
		},
		Rules:    []string{"media-nodes: node-affinity, rather on node1:2,node2:1"},
		Tasks:    []ha.Task{{UPID: "UPID:node2:0001", Node: "node2", Type: "qmstart", ID: "101", Started: at("14:00:10"), Ended: at("14:00:12"), Status: "start failed: QEMU exited with code 1"}},
		Events:   []ha.Event{{Seq: 51, At: at("13:58:00"), Type: ha.EventGuestDown, SID: media, Text: "vm:101 (media) no longer runs on node1"}},
		Findings: []ha.Finding{{Code: "TARGET_IN_ERROR", Status: ha.Fail, Subject: "media", Title: "the HA manager has not given the target up", Evidence: "vm:101 is in state error on node2"}},
		Next: []ha.Hint{
			{Command: "psw ha recover media", Why: "leads it out of the error state, step by step"},
			{Command: "journalctl -u pve-ha-lrm -n 50 -o short-iso --no-pager", Why: "on node2: what its LRM did and what it was told"},
		},
	}
}
