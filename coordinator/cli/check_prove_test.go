package cli

import (
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// With --prove the storages and the BMCs are tried before the verdict. Where nobody is there to
// try, on a cluster of one say, the verdict is given all the same; what else keeps it from being
// tried ends the command.
func TestACheckThatProvesFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		untried error
		code    int
		says    string
	}{
		"all is tried":    {nil, exitDone, "HA is ready."},
		"nobody to try":   {ha.Errorf(ha.NotReady, "no node is known that could try it"), exitDone, "WARN: not tried: no node is known that could try it"},
		"another is boss": {ha.Errorf(ha.Conflict, "cannot have anything tried here: superseded"), exitRefused, "superseded"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{verdicts: []ha.Readiness{ready()}, untried: tt.untried}
			inBubble(t, w, func(h *house) {
				text, code := h.run(h.t.Context(), "ha check --prove")
				if code != tt.code || !strings.Contains(text, tt.says) || strings.Contains(text, "HA is ready.") != (tt.code == exitDone) {
					t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.says, text)
				}
			})
		})
	}
}
