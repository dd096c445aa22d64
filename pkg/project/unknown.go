package project

import (
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// onlyKnown notes the keys of m that we do not know. PSW has keys of its own, so they are
// no faults; but one that is nearly ours is probably a slip, and says so.
func (m mapping) onlyKnown(known []string) {
	for _, e := range m.entries {
		if _, ok := index(known, e.key); ok {
			continue
		}
		text, fix := e.path+" is a key psw does not know; it is ignored", "nothing is to be done if another tool reads it"
		if near, ok := nearest(e.key, known); ok {
			fix = "did you mean " + near + "?"
		}
		status := ha.Notice
		if secretPath(e.key) {
			status = ha.Warn
			fix = "a secret does not belong into network.yml: keep it in secrets/ and name it here"
		}
		e.src.noteKey(status, e, text, fix)
	}
}

// noteKey is note with an excerpt that ends behind the key: what we do not know we do not
// repeat.
func (s *source) noteKey(status ha.Status, e entry, text, fix string) {
	f := Fault{Status: status, File: s.file, Line: e.at.line, Column: e.at.column, Text: text, Fix: fix}
	if e.at.line > 0 && e.at.line <= len(s.lines) {
		line := []rune(s.lines[e.at.line-1])
		end := min(len(line), e.at.column-1+len([]rune(e.key)))
		shown := string(line[:end])
		if end < len(line) {
			shown += string(line[end]) + " …"
		}
		f.Excerpt, f.Caret = excerpt(shown, e.at.column)
	}
	s.add(f)
}

func index(list []string, s string) (int, bool) {
	for k, t := range list {
		if t == s {
			return k, true
		}
	}
	return 0, false
}

// nearest returns the candidate that word probably was meant to be.
func nearest(word string, candidates []string) (string, bool) {
	best, distance := "", 3
	for _, c := range candidates {
		if plain(word) == plain(c) {
			return c, true
		}
		// In a short word two slips make another word.
		limit := 2
		if len(c) < 5 {
			limit = 1
		}
		if d := editDistance(word, c); d <= limit && d < distance {
			best, distance = c, d
		}
	}
	return best, best != ""
}

// plain is a key without what people vary: case, hyphens, underscores.
func plain(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(asciiLower(s))
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	const lengthMax = 64
	if len(x) > lengthMax || len(y) > lengthMax {
		return lengthMax
	}
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := range x {
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			d[i+1][j+1] = min(d[i][j+1]+1, d[i+1][j]+1, d[i][j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d[i+1][j+1] = min(d[i+1][j+1], d[i-1][j-1]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
