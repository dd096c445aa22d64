package cli

import (
	"strings"
	"unicode/utf8"
)

// A table lays cells out in columns wide enough for their longest text, two blanks
// apart. Escape sequences take no room, which is why this is not text/tabwriter.
type table struct {
	indent string
	rows   [][]string
}

// row adds a line; lines may have fewer cells than others.
func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// head adds the line of column names.
func (t *table) head(st style, names ...string) {
	cells := make([]string, len(names))
	for k, n := range names {
		cells[k] = st.faint(n)
	}
	t.row(cells...)
}

// lines returns the laid-out lines, without trailing blanks.
func (t *table) lines() []string {
	var widths []int
	for _, r := range t.rows {
		for k, c := range r {
			if k == len(widths) {
				widths = append(widths, 0)
			}
			widths[k] = max(widths[k], width(c))
		}
	}
	lines := make([]string, 0, len(t.rows))
	for _, r := range t.rows {
		var b strings.Builder
		b.WriteString(t.indent)
		for k, c := range r {
			b.WriteString(c)
			if k < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[k]-width(c)+2))
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// width counts the characters of s that take room on a terminal: escape sequences
// (ESC [ … letter) take none.
func width(s string) int {
	n := 0
	for s != "" {
		if skip := escape(s); skip > 0 {
			s = s[skip:]
			continue
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		n++
	}
	return n
}

// clip cuts s to at most limit characters of room, keeps every escape sequence, and
// marks the cut with "…".
func clip(s string, limit int) string {
	if width(s) <= limit {
		return s
	}
	var b strings.Builder
	for n := 0; s != ""; {
		if skip := escape(s); skip > 0 {
			b.WriteString(s[:skip])
			s = s[skip:]
			continue
		}
		_, size := utf8.DecodeRuneInString(s)
		switch {
		case n < limit-1:
			b.WriteString(s[:size])
		case n == limit-1:
			b.WriteString("…")
		}
		s = s[size:]
		n++
	}
	return b.String()
}

// escape returns the length of the escape sequence s begins with, or 0.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	for k := 2; k < len(s); k++ {
		if s[k] >= 0x40 && s[k] <= 0x7e {
			return k + 1
		}
	}
	return len(s)
}

// wrap breaks text into lines of at most limit characters at blanks, for sentences that
// are indented under a heading. A longer word stands alone.
func wrap(text string, limit int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= limit:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
