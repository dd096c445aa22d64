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
	never := ha.OperationPreview{Notices: []string{"node3 must never boot again"}}
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
		{"node remove node3 --powered-off node3 --yes", &world{operationPreview: never, operations: over(ha.OperationRemoveNode, media)}, exitDone,
			"node3 must never boot again"},
	} {
		t.Run(c.command, func(t *testing.T) {
			inBubble(t, c.world, func(h *house) {
				text, code := h.run(h.t.Context(), c.command)
				if _, tail, _ := strings.Cut(text, "done"); code != c.code || !strings.Contains(tail, c.last) {
					h.t.Errorf("exit %d, want %d and %q after it was done in:\n%s", code, c.code, c.last, text)
				}
			})
		})
	}
}
