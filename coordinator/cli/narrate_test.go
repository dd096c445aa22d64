package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// tell narrates a story view by view.
func tell(views []ha.MaintenanceView) []string {
	var lines []string
	var last ha.MaintenanceView
	for k, v := range views {
		for _, n := range narrate(last, v) {
			lines = append(lines, fmt.Sprintf("%d  %s", k+1, n.text))
		}
		last = v
	}
	return lines
}

func TestNarrateDrainAndReturn(t *testing.T) {
	golden(t, "narrate_drain", text(tell(drainStory())))
	golden(t, "narrate_return", text(tell(returnStory())))
}

// Whoever attaches in the middle reads what was done before.
func TestNarrateAttachesInTheMiddle(t *testing.T) {
	golden(t, "narrate_attach", text(tell([]ha.MaintenanceView{drainingView()})))
}

// The same view twice is no news, and a countdown in a reason is none either.
func TestNarrateTellsNothingTwice(t *testing.T) {
	v, later := drainingView(), drainingView()
	later.Waits = slices.Clone(later.Waits)
	later.Waits[0].Reason = "its move failed; next try in 25 s"
	if notes := narrate(v, later); len(notes) != 0 {
		t.Errorf("nothing happened, but it says %v", notes)
	}
}

// Proxmox's log tells the pause a moment after the guest was seen on its new node.
func TestNarrateTellsALateMeasurement(t *testing.T) {
	early, late := drainStory()[5], drainStory()[5]
	early.Guests = slices.Clone(early.Guests)
	early.Guests[0].Downtime = 0
	notes := narrate(early, late)
	if len(notes) != 1 || notes[0].text != "vm:101 media: paused 84ms" {
		t.Errorf("got %v", notes)
	}
}

// That a guest which is on its way is waited for goes without saying.
func TestNarrateDoesNotWaitForWhatMoves(t *testing.T) {
	v, later := drainStory()[2], drainStory()[2]
	later.Waits = []ha.Wait{{Subject: "vm:101", Reason: "moving live from node1 to node2"}}
	if notes := narrate(v, later); len(notes) != 0 {
		t.Errorf("got %v", notes)
	}
}

// But a wait for another node is news, although only a digit changed.
func TestNarrateTellsAnotherReason(t *testing.T) {
	v, later := drainingView(), drainingView()
	v.Waits = []ha.Wait{{Subject: "vm:120", Reason: "waits for node2"}}
	later.Waits = []ha.Wait{{Subject: "vm:120", Reason: "waits for node3"}}
	if notes := narrate(v, later); len(notes) != 1 || !strings.Contains(notes[0].text, "node3") {
		t.Errorf("got %v", notes)
	}
}

// Forty guests that wait for their turn are one line.
func TestNarrateGroupsEqualWaits(t *testing.T) {
	v := ha.MaintenanceView{Maintenance: drainMaintenance()}
	for id := range 40 {
		v.Waits = append(v.Waits, ha.Wait{Subject: fmt.Sprintf("vm:%d", 100+id), Reason: "its turn"})
	}
	notes := narrate(ha.MaintenanceView{Maintenance: drainMaintenance()}, v)
	want := "waiting: vm:100, vm:101, vm:102, vm:103, vm:104, vm:105 and 34 more: its turn"
	if len(notes) != 1 || notes[0].text != want {
		t.Errorf("got %v, want %q", notes, want)
	}
}

// Every way a maintenance can go has its word.
func TestNarrateTurns(t *testing.T) {
	from := func(p ha.Phase) ha.MaintenanceView {
		m := drainMaintenance()
		m.Phase = p
		return ha.MaintenanceView{Maintenance: m}
	}
	cancelling := from(ha.Draining)
	cancelling.Maintenance.Cancelling = true
	newer := from(ha.Requested)
	newer.Maintenance.ID, newer.Maintenance.By = "m-0002", "bert"
	deadline := from(ha.Draining)
	deadline.Maintenance.Options.Deadline = at("14:30:00")
	for _, c := range []struct {
		name     string
		old, now ha.MaintenanceView
		want     string
	}{
		{"cancel", from(ha.Draining), cancelling, "node1: being cancelled: what is on its way lands first"},
		{"cancelled", cancelling, from(ha.Cancelled), "node1: maintenance cancelled"},
		{"a guest appears", from(ha.Drained), from(ha.Draining), "node1: draining again: a guest appeared on it, or maintenance mode was switched off"},
		{"another one", from(ha.Ended), newer, `node1: a newer maintenance was asked for by bert ("replace a fan")|node1: maintenance requested by bert ("replace a fan")`},
		{"deadline", from(ha.Draining), deadline, "node1: no new move after 14:30:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range narrate(c.old, c.now) {
				got = append(got, n.text)
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A watched status in a pipe tells what changed, and nothing when nothing did.
func TestStatusChanges(t *testing.T) {
	old, now := clusterStatus(), clusterStatus()
	now.At, now.Nodes, now.Targets = at("14:02:16"), slices.Clone(now.Nodes), slices.Clone(now.Targets)
	now.Nodes[1].ReportAge *= 2
	if lines := statusChanges(old, now); len(lines) != 0 {
		t.Errorf("only the clock went on, but it says %q", lines)
	}
	now.Quorate, now.Votes, now.Master = false, 1, "node3"
	now.Nodes[1].Online, now.Nodes[1].HAState, now.Nodes[1].ReportAge = false, "unknown", -1
	now.Nodes[0].Phase = ha.Drained
	now.Targets[1].Node, now.Targets[1].State = "node2", "started"
	open := func(id string, kind ha.OperationKind, target string) []ha.OperationView {
		return []ha.OperationView{{Operation: ha.Operation{ID: id, Kind: kind, Target: target}}}
	}
	old.Operations, now.Operations = open("1", ha.OperationRecover, "media"), open("2", ha.OperationApply, "")
	now.Warnings = []string{"could not read: storage status of node2"}
	golden(t, "status_changes", text(statusChanges(old, now)))
}
