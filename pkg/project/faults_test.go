package project

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what was found into testdata; read the difference before committing it")

// A story is a project and what is said of it: files, then under "faults" the exact text.
type story struct {
	title  string
	files  fstest.MapFS
	faults string
	head   string // everything before the faults, as it stands in the file
}

// TestFaults reads testdata/*.txt. Each story there is a project and, word by word, what
// an operator is told about it.
func TestFaults(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		intro, stories := readStories(t, string(data))
		var updated strings.Builder
		updated.WriteString(intro)
		for _, s := range stories {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txt")+"/"+s.title, func(t *testing.T) {
				_, found := load(s.files, "home")
				got := renderAll(found)
				if diff := cmp.Diff(s.faults, got); diff != "" && !*update {
					t.Errorf("what is said differs (-want +got):\n%s", diff)
				}
				nothing := strings.HasSuffix(s.title, "nothing is wrong")
				if nothing != (got == "") {
					t.Errorf("the title and what was found do not agree")
				}
				updated.WriteString(s.head + got)
			})
		}
		if *update {
			if err := os.WriteFile(name, []byte(updated.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func renderAll(found []Fault) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s: %s\n", f.Status, f)
	}
	return b.String()
}

// readStories splits a file of stories:
//
//	=== title
//	-- network.yml --
//	…
//	-- faults --
//	…
func readStories(t *testing.T, data string) (intro string, stories []story) {
	t.Helper()
	intro, rest, _ := strings.Cut(data, "\n=== ")
	for _, text := range strings.Split(rest, "\n=== ") {
		s := story{files: fstest.MapFS{}}
		s.title, _, _ = strings.Cut(text, "\n")
		head, faults, ok := strings.Cut(text, "\n-- faults --\n")
		if !ok {
			t.Fatalf("story %q has no faults section", s.title)
		}
		s.head = "\n=== " + head + "\n-- faults --\n"
		// A blank line separates stories; it is no part of the text.
		s.faults = strings.TrimSuffix(faults, "\n")
		if s.faults != "" {
			s.faults += "\n"
		}
		for _, file := range strings.Split(head, "\n-- ")[1:] {
			name, body, _ := strings.Cut(file, " --")
			body = strings.TrimPrefix(body, "\n")
			if body != "" {
				body += "\n"
			}
			s.files[name] = &fstest.MapFile{Data: []byte(body), Mode: 0o644}
		}
		stories = append(stories, s)
	}
	return intro, stories
}
