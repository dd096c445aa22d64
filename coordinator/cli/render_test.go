package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What people read, word for word. The same texts in JSON are compared where psw is run
// as a whole.
func TestRenderings(t *testing.T) {
	plainStyle := style{}
	ready := ha.Readiness{Findings: readiness().Findings[:3]}
	minority := clusterStatus()
	minority.Quorate, minority.Votes, minority.LossesTolerated, minority.Master, minority.Armed = false, 1, 0, "", "disarmed"
	asDeclared := ha.PlanView{Changes: planView().Changes[3:]}
	ended := returnStory()[3]
	ended.Maintenance.Moves = []ha.Move{
		{SID: media, Method: ha.MethodLive, From: "node1", To: "node2", HA: true, Asked: at("14:00:05"), Failed: "no route to host", FailedAt: at("14:00:25")},
		{SID: media, Method: ha.MethodLive, From: "node1", To: "node2", HA: true, Asked: at("14:00:35"), Done: at("14:01:20"), Downtime: 84e6},
		{SID: core, Method: ha.MethodRestart, From: "node3", To: "node1", HA: true, Asked: at("15:00:40"), Done: at("15:01:12"), Downtime: 11e9},
	}
	withoutCeph := readiness()
	for _, title := range []string{"Ceph is healthy", "three OSDs or more are up", "Ceph has room for a rebuild"} {
		withoutCeph.Findings = append(withoutCeph.Findings, ha.Finding{Code: "CEPH_HEALTH", Status: ha.Skip, Subject: "cluster", Title: title, Evidence: "there is no Ceph"})
	}
	for name, lines := range map[string][]string{
		"preview_drain":             previewLines(plainStyle, "Drain of", drainPreview(), false),
		"preview_drain_commands":    previewLines(plainStyle, "Drain of", drainPreview(), true),
		"preview_drain_blocked":     previewLines(plainStyle, "Drain of", blockedPreview(), false),
		"preview_return":            previewLines(plainStyle, "Return of", returnPreview(), true),
		"preview_nothing":           previewLines(plainStyle, "Drain of", ha.Preview{Node: "node3"}, true),
		"status":                    statusLines(plainStyle, clusterStatus(), false),
		"status_verbose":            statusLines(plainStyle, clusterStatus(), true),
		"status_minority":           statusLines(plainStyle, minority, false),
		"status_colour":             statusLines(style{on: true}, clusterStatus(), false),
		"check":                     checkLines(plainStyle, readiness(), false, false),
		"check_quiet":               checkLines(plainStyle, readiness(), true, false),
		"check_verbose":             checkLines(plainStyle, readiness(), false, true),
		"check_idle":                checkLines(plainStyle, withoutCeph, false, false),
		"check_ready":               checkLines(plainStyle, ready, false, false),
		"check_colour":              checkLines(style{on: true}, readiness(), false, false),
		"plan":                      planLines(plainStyle, planView(), false),
		"plan_quiet":                planLines(plainStyle, planView(), true),
		"plan_nothing":              planLines(plainStyle, asDeclared, false),
		"maintenance_status":        viewLines(plainStyle, drainingView(), at("14:01:12"), false),
		"maintenance_status_detail": viewLines(plainStyle, drainingView(), at("14:01:12"), true),
		"maintenance_status_safe":   viewLines(plainStyle, drainStory()[5], at("14:20:00"), false),
		"maintenance_status_ended":  viewLines(plainStyle, ended, at("16:00:00"), false),
		"progress":                  progressLines(plainStyle, drainingView(), at("14:01:12"), 0),
		"progress_folded":           progressLines(plainStyle, crowd(), at("14:01:12"), 3),
		"progress_colour":           progressLines(style{on: true}, drainingView(), at("14:31:12"), 0),
		"left":                      leftLines(drainingView().Guests, drainingView().Waits),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, text(lines)) })
	}
}

// crowd is a drain of a node with many guests.
func crowd() ha.MaintenanceView {
	v := drainingView()
	for id := range 20 {
		v.Guests = append(v.Guests, ha.GuestProgress{SID: ha.SID{Kind: ha.VM, ID: 200 + id}, Method: ha.MethodStays, From: "node1", State: []string{"waiting", "done"}[id%2]})
	}
	return v
}

// A container's move is a restart, whatever else changes in the words around it.
func TestContainerMoveIsNeverCalledLive(t *testing.T) {
	for _, line := range previewLines(style{}, "Drain of", drainPreview(), true) {
		if strings.Contains(line, "ct:100") && (strings.Contains(line, " live ") || !strings.Contains(line, "restart")) {
			t.Errorf("this line does not say that the container restarts: %q", line)
		}
	}
	for _, state := range []string{progressMoving, progressDone} {
		n := guestNotes(ha.GuestProgress{}, ha.GuestProgress{SID: core, Name: "core", Method: ha.MethodRestart, From: "node1", To: "node3", State: state})
		if len(n) != 1 || strings.Contains(n[0].text, "live") || !strings.Contains(n[0].text, "restart") {
			t.Errorf("%s: %v does not say that the container restarts", state, n)
		}
	}
}

// A downtime that nobody measured is not told as zero, and is missed at the end.
func TestUnmeasuredDowntimeIsNotZero(t *testing.T) {
	v := drainStory()[5]
	v.Guests = slices.Clone(v.Guests)
	v.Guests[1].Downtime = 0
	if got := doneText(v.Guests[1]); strings.Contains(got, "0") {
		t.Errorf("got %q", got)
	}
	if got := summary(v); !strings.Contains(got, "not measured: ct:100") {
		t.Errorf("got %q", got)
	}
}

// Colours are decoration: with them taken away the text is the same.
func TestColoursOnlyDecorate(t *testing.T) {
	strip := func(s string) string {
		var b strings.Builder
		for s != "" {
			if n := escape(s); n > 0 {
				s = s[n:]
				continue
			}
			b.WriteByte(s[0])
			s = s[1:]
		}
		return b.String()
	}
	colour, plain := style{on: true}, style{}
	pairs := map[string][2][]string{
		"status":    {statusLines(plain, clusterStatus(), true), statusLines(colour, clusterStatus(), true)},
		"check":     {checkLines(plain, readiness(), false, true), checkLines(colour, readiness(), false, true)},
		"plan":      {planLines(plain, planView(), false), planLines(colour, planView(), false)},
		"preview":   {previewLines(plain, "Drain of", blockedPreview(), true), previewLines(colour, "Drain of", blockedPreview(), true)},
		"operation": {openOperationLines(plain, recovering()), openOperationLines(colour, recovering())},
		"progress":  {progressLines(plain, drainingView(), at("14:01:12"), 2), progressLines(colour, drainingView(), at("14:01:12"), 2)},
	}
	for name, p := range pairs {
		if got := strip(text(p[1])); got != text(p[0]) {
			t.Errorf("%s: without its colours it reads\n%s\ninstead of\n%s", name, got, text(p[0]))
		}
		if text(p[1]) == text(p[0]) {
			t.Errorf("%s: colour was asked for and there is none", name)
		}
	}
}
