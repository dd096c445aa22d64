package coordinator

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a hook says at its end counts: that it had nothing to do, or why it failed. How much
// it said before does not.
func TestAHooksLastWord(t *testing.T) {
	for name, tt := range map[string]struct {
		script    string
		unchanged bool
		why       string
	}{
		"it did something":            {"cat >/dev/null; echo created core", false, ""},
		"it says nothing":             {"exit 0", false, ""},
		"nothing to do":               {"echo every target exists; echo unchanged", true, ""},
		"unchanged, then something":   {"echo unchanged; echo created core", false, ""},
		"it talks a lot":              {"yes created | head -n 100000; echo unchanged", true, ""},
		"it fails":                    {"echo unchanged; echo no room >&2; exit 7", false, "exit status 7: no room"},
		"it fails in two lines":       {"printf 'no room\\non node1\\n' >&2; exit 1", false, "no room; on node1"},
		"it complains without an end": {"yes complaint | head -n 100000 >&2; exit 1", false, "complaint"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hook")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
				t.Fatal(err)
			}
			unchanged, why := execHook(context.Background(), path, []byte("{}"))
			if unchanged != tt.unchanged || (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("unchanged %t, why %q; want %t, %q", unchanged, why, tt.unchanged, tt.why)
			}
			if len(why) > 2*hookWordsMax {
				t.Errorf("%d bytes of complaint are kept", len(why))
			}
		})
	}
}
