package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// bootstrapStory is a bootstrap as it is seen, one view after the other.
func bootstrapStory() []ha.OperationView {
	began := time.Now().Add(-time.Minute)
	view := func(outcome ha.OperationOutcome, join, mount ha.OperationStep, waits ...ha.Wait) ha.OperationView {
		join.Key, join.Text = "join node2", "join node2 to the cluster"
		mount.Key, mount.Text = "mount node2", "storage psw is mounted on node2"
		o := ha.Operation{ID: "op1", Kind: ha.OperationBootstrap, RequestedAt: began, Outcome: outcome, Steps: []ha.OperationStep{join, mount}}
		if outcome != "" {
			o.EndedAt = began.Add(75 * time.Second)
		}
		return ha.OperationView{Operation: o, Waits: waits}
	}
	step := func(s ha.StepState) ha.OperationStep { return ha.OperationStep{State: s} }
	doing := ha.OperationStep{State: ha.StepDoing, Asked: began.Add(50 * time.Second), Tries: 1}
	return []ha.OperationView{
		view("", step(ha.StepTodo), step(ha.StepTodo)),
		view("", doing, step(ha.StepTodo), ha.Wait{Subject: "join node2", Reason: "asked for 10 s ago"}),
		view("", step(ha.StepDone), step(ha.StepTodo), ha.Wait{Subject: "mount node2", Reason: "not so yet"}),
		view(ha.OperationDone, step(ha.StepDone), step(ha.StepDone)),
	}
}

// On a terminal an operation has a live table while it is followed, and leaves behind the
// lines that tell what happened, no table, and a cursor.
func TestBootstrapOnATerminal(t *testing.T) {
	w := &world{operations: bootstrapStory(), pace: 50 * time.Millisecond,
		operationPreview: ha.OperationPreview{Steps: []ha.OperationStep{{Key: "join node2", State: ha.StepTodo, Text: "join node2 to the cluster"}}}}
	received, code := onTerminal(t, w, "\x00", nil, "bootstrap", "--yes")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, received)
	}
	for _, part := range []string{"psw bootstrap  1m", "0 of 2 steps over", "1 of 2 steps over", "Ctrl-C stops following, not bootstrap.", "doing", "asked for 10 s ago", escUp, escHide} {
		if !strings.Contains(received, part) {
			t.Errorf("the live table never showed %q", part)
		}
	}
	tt := &terminal{columns: 110, rows: 1000}
	tt.Write([]byte(received))
	shown := tt.shows()
	if tt.hidden || strings.Contains(shown, "Ctrl-C") || strings.Contains(shown, "STATE") {
		t.Errorf("cursor hidden %v; the table was left behind:\n%s", tt.hidden, shown)
	}
	for _, part := range []string{"doing      join node2: join node2 to the cluster", "done       join node2: join node2 to the cluster",
		"done       mount node2: storage psw is mounted on node2", "psw bootstrap: done, 2 done"} {
		if strings.Count(shown, part) != 1 {
			t.Errorf("%q stands there %d times:\n%s", part, strings.Count(shown, part), shown)
		}
	}
}

// Ctrl-C while an operation is followed restores the terminal and says how to go on.
func TestCtrlCOfAnOperationOnATerminal(t *testing.T) {
	w := &world{operations: bootstrapStory()[:2], pace: 20 * time.Millisecond}
	received, code := onTerminal(t, w, "asked for 10 s ago", func(_ io.Writer, interrupt func()) { interrupt() }, "bootstrap", "--yes")
	tt := &terminal{columns: 110, rows: 1000}
	tt.Write([]byte(received))
	shown := tt.shows()
	if code != exitInterrupted || tt.hidden || strings.Contains(shown, "STATE") || !strings.Contains(shown, "stopped following; bootstrap goes on") ||
		!strings.Contains(shown, "operation watch") {
		t.Errorf("exit %d, cursor hidden %t\n%s", code, tt.hidden, shown)
	}
}

// That a node is off is for somebody to say by typing its name; --yes says nothing of it.
func TestARemovalAsksForTheNodesName(t *testing.T) {
	off := func(s ha.StepState) ha.OperationPreview {
		return ha.OperationPreview{Steps: []ha.OperationStep{{Key: "off node3", State: s}, {Key: "delnode node3", State: ha.StepTodo}}}
	}
	over := []ha.OperationView{{Operation: ha.Operation{ID: "op1", Kind: ha.OperationRemoveNode, Node: "node3", Outcome: ha.OperationDone}}}
	const question = "Type its name to go on: "
	for name, c := range map[string]struct {
		preview ha.OperationPreview
		answer  func(io.Writer, func())
		args    []string
		code    int
		says    string
	}{
		"its name":     {off(ha.StepUnchanged), typed("node3\r"), nil, exitDone, "node3 must be off, and must never boot again"},
		"still online": {off(ha.StepTodo), typed("node3\r"), nil, exitDone, "The cluster sees node3 online"},
		"with --yes":   {off(ha.StepUnchanged), typed("node3\r"), []string{"--yes"}, exitDone, "node3 must be off"},
		"another name": {off(ha.StepUnchanged), typed("node2\r"), nil, exitFailed, `nothing was done: "node2" is not "node3"`},
		"yes":          {off(ha.StepUnchanged), typed("y\r"), nil, exitFailed, "nothing was done"},
		"ctrl-c":       {off(ha.StepUnchanged), func(_ io.Writer, interrupt func()) { interrupt() }, nil, exitInterrupted, "nothing was done"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{operationPreview: c.preview, operations: over}
			received, code := onTerminal(t, w, question, c.answer, append([]string{"node", "remove", "node3"}, c.args...)...)
			begun := false
			for _, a := range w.asked {
				begun = begun || strings.HasPrefix(a, "start remove-node node3")
			}
			if code != c.code || begun != (code == exitDone) || !strings.Contains(received, c.says) {
				t.Errorf("exit %d, asked %q\n%s", code, w.asked, received)
			}
		})
	}
}
