package cli

import (
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// An apply that could not register a target says which and why, and does not end with 0.
// After a removal what is left to the operator is the last thing that is read.
func TestWhatIsLeftToTheOperatorIsSaidAtTheEnd(t *testing.T) {
	over := func(kind ha.OperationKind, steps ...ha.OperationStep) []ha.OperationView {
		return []ha.OperationView{{Operation: ha.Operation{ID: "op1", Kind: kind, Outcome: ha.OperationDone, Steps: steps}}}
	}
	wiki := ha.OperationStep{Key: ha.LeftOutPrefix + "wiki", State: ha.StepSkipped, Note: `no guest is called "wiki"`}
	media := ha.OperationStep{Key: "vm:101", State: ha.StepDone}
	noHook := ha.OperationStep{Key: "core apps", State: ha.StepSkipped, Note: "no hook is configured"}
	removed := over(ha.OperationRemoveNode, media)
	removed[0].Operation.Node, removed[0].Operation.Notices = "node3", []string{"node3 must never boot again"}
	never := ha.OperationPreview{Notices: removed[0].Operation.Notices}
	for _, c := range []struct {
		command string
		world   *world
		code    int
		last    string
	}{
		{"ha apply --yes", &world{operations: over(ha.OperationApply, media, wiki)}, exitRefused, `wiki: no guest is called "wiki"`},
		{"ha apply --yes", &world{operations: over(ha.OperationApply, media)}, exitDone, "done"},
		{"ha apply --yes -o json", &world{operations: over(ha.OperationApply, media, wiki)}, exitRefused, `"exit_code":3`},
		{"bootstrap --yes", &world{operations: over(ha.OperationBootstrap, media, wiki, noHook)}, exitRefused, "once that is mended: psw -C"},
		{"bootstrap --yes", &world{operations: over(ha.OperationBootstrap, media, noHook)}, exitDone, "done"},
		{"node remove node3 --powered-off node3 --yes", &world{operations: removed}, exitDone, "NOTICE: node3 must never boot again"},
		{"node remove node3 --powered-off node3 --yes -o json", &world{operations: removed}, exitDone, `"notices":["node3 must never boot again"],"exit_code":0`},
		{"node remove node3 --powered-off node3 --yes --detach", &world{operationPreview: never, operations: removed}, exitDone, "NOTICE: node3 must never boot again"},
		{"node remove node3 --powered-off node3 --yes --detach -o json", &world{operationPreview: never, operations: removed}, exitDone,
			`"outcome":"detached","notices":["node3 must never boot again"]`},
		{"operation watch", &world{operations: removed}, exitDone, "NOTICE: node3 must never boot again"},
		{"operation list", &world{operations: removed}, exitDone, "Left to you by node remove node3 of"},
	} {
		t.Run(c.command, func(t *testing.T) {
			inBubble(t, c.world, func(h *house) {
				text, code := h.run(h.t.Context(), c.command)
				_, tail, found := strings.Cut(text, ": done")
				if !found {
					tail = text // nobody waited for it
				}
				if code != c.code || !strings.Contains(tail, c.last) {
					h.t.Errorf("exit %d, want %d and %q after it was done in:\n%s", code, c.code, c.last, text)
				}
			})
		})
	}
}

// What is asked for stands above its preview as it was typed, also where it is refused.
func TestThePreviewOfAnOperationSaysWhatItIs(t *testing.T) {
	blocked := ha.OperationPreview{Moves: &ha.Preview{Node: "node2"}, Blockers: []ha.Blocker{{Subject: "media", Reason: "it is not in error", Fix: "look"}}}
	one := ha.OperationPreview{Moves: &ha.Preview{Node: "node2", Steps: []ha.Step{{Method: ha.MethodLive}}, Commands: []string{"ha-manager migrate vm:101 node2"}}}
	none := ha.OperationPreview{Moves: &ha.Preview{}}
	for _, c := range []struct {
		request ha.OperationRequest
		preview ha.OperationPreview
		want    string
	}{
		{ha.OperationRequest{Kind: ha.OperationRecover, Target: "media"}, blocked, "psw ha recover media"},
		{ha.OperationRequest{Kind: ha.OperationMove, Target: "media", Options: ha.OperationOptions{To: "node2"}}, one, "psw ha move media node2: 1 guest"},
		{ha.OperationRequest{Kind: ha.OperationRebalance}, none, "psw ha rebalance: nothing to do"},
	} {
		if got := operationPreviewLines(style{}, operationHead(c.request), c.preview, false, false)[0]; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
