package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden and the examples in docs/cli.md; read the diff before committing")

// TestMain fixes the zone that times are shown in, because goldens are compared everywhere.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	code := m.Run()
	if *update {
		if err := updateDocs(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// golden compares text with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if the change is meant, go test -update:\n%s", path, diff)
	}
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// transcript is one run of psw as somebody would have seen it.
func transcript(command string, code int, stdout, stderr string) string {
	return fmt.Sprintf("$ %s\n%s--- stderr\n%s--- exit %d\n", strings.TrimSpace(command), stdout, stderr, code)
}
