package tidy

import (
	"cmp"
	"go/ast"
	"slices"
	"testing"
)

// TestRules holds the tree to every rule.
func TestRules(t *testing.T) {
	tree := readTree(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, b := range r.check(tree) {
				t.Errorf("%s\n\twhy this matters: %s", b, r.why)
			}
		})
	}
}

// linesMax is about how long a file may be and still be read in one go. It is a report
// and no rule: a table of cases may be longer, and cutting a subject in two to please a
// counter makes it harder to read.
const linesMax = 400

// TestReportLongFiles names the files worth splitting by subject (go test -v).
func TestReportLongFiles(t *testing.T) {
	var long []file
	for _, p := range readTree(t) {
		for _, f := range p.files {
			if f.lines > linesMax && !ast.IsGenerated(f.ast) {
				long = append(long, f)
			}
		}
	}
	slices.SortFunc(long, func(a, b file) int { return cmp.Compare(b.lines, a.lines) })
	for _, f := range long {
		t.Logf("%s has %d lines; about %d reads well", f.name, f.lines, linesMax)
	}
}
