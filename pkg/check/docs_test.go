package check_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/check"
)

// Every code has its anchor in docs/checks.md and every anchor its code, and the page says
// of each check what the code says: a remedy that points nowhere is worse than none.
func TestEveryCheckIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	entries := make(map[string]string)
	for _, entry := range strings.Split(string(page), "\n### ")[1:] {
		anchor, text, _ := strings.Cut(entry, "\n")
		if _, twice := entries[anchor]; twice {
			t.Errorf("docs/checks.md has the anchor %s twice", anchor)
		}
		entries[anchor] = text
	}
	for _, c := range check.Checks() {
		text, found := entries[c.Anchor()]
		if !found {
			t.Errorf("docs/checks.md has no entry ### %s", c.Anchor())
			continue
		}
		delete(entries, c.Anchor())
		worth := fmt.Sprintf("minimum: %s; production: %s", c.Minimum, c.Production)
		if c.Minimum == "" {
			worth = fmt.Sprintf("production: %s; not asked in the minimum profile", c.Production)
		}
		if text := held(c); text != "" {
			worth += "; " + text
		}
		if want := fmt.Sprintf("`%s`: %s (%s)", c.Code, c.Title, worth); !strings.Contains(text, want) {
			t.Errorf("the entry %s does not say\n\t%s", c.Anchor(), want)
		}
		for _, part := range []string{"**What it means.**", "**Why it matters.**", "**What to do.**"} {
			if !strings.Contains(text, part) {
				t.Errorf("the entry %s does not say %s", c.Anchor(), part)
			}
		}
	}
	for anchor := range entries {
		t.Errorf("docs/checks.md explains %s, but there is no such check", anchor)
	}
}

// held says how a check's verdict is held, where that is not as with the others.
func held(c check.Check) string {
	graver, lighter := check.Hold(c.Code)
	var parts []string
	switch {
	case graver == 0:
		parts = append(parts, "told at once")
	case graver != check.HoldTime:
		parts = append(parts, fmt.Sprintf("told after %d s", int(graver.Seconds())))
	}
	switch {
	case lighter == 0:
		parts = append(parts, "taken back at once")
	case lighter != check.HoldTime:
		parts = append(parts, fmt.Sprintf("taken back after %d s", int(lighter.Seconds())))
	}
	return strings.Join(parts, ", ")
}
