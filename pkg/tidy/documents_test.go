package tidy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocumentsPointAtWhatExists follows every relative link of every document.
func TestDocumentsPointAtWhatExists(t *testing.T) {
	root := moduleRoot(t)
	documents := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		documents++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, link := range deadLinks(string(text), func(link string) bool {
			_, err := os.Stat(filepath.Join(filepath.Dir(path), link))
			return err == nil
		}) {
			name, _ := filepath.Rel(root, path)
			t.Errorf("%s links to %s, which does not exist", name, link)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if documents == 0 {
		t.Error("there are no documents")
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// deadLinks are the links of a text to files that do not exist.
func deadLinks(text string, exists func(string) bool) []string {
	var dead []string
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target != "" && !strings.Contains(target, "://") && !exists(target) {
			dead = append(dead, target)
		}
	}
	return dead
}

func TestDeadLinksAreFound(t *testing.T) {
	text := "[a](a.md) [b](b.md#part) [here](#part) [out](https://example.org/x) [c](../c)"
	got := deadLinks(text, func(link string) bool { return link == "a.md" })
	if diff := cmp.Diff([]string{"b.md", "../c"}, got); diff != "" {
		t.Errorf("dead links (-want +got):\n%s", diff)
	}
}
