package project

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A Fault is one thing wrong or remarkable in a project's files. Its JSON form is what
// `psw project validate -o json` prints.
type Fault struct {
	// Status is FAIL for what makes the project unusable, WARN for what will hurt some
	// day, NOTICE for what is merely good to know.
	Status ha.Status `json:"status"`
	// File is relative to the project's folder, with slashes.
	File string `json:"file"`
	// Line and Column count from 1, columns in characters. Both are 0 where the fault is
	// the file's as a whole.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Text says what is wrong.
	Text string `json:"text"`
	// Excerpt is the line, made safe to print: no control characters, no secrets, cut if
	// long. Caret is the character of Excerpt, from 1, that Column is; 0 if there is none.
	Excerpt string `json:"excerpt,omitempty"`
	Caret   int    `json:"-"`
	// Fix says what would be right.
	Fix string `json:"fix"`
}

// Place is file:line:column, as far as it is known.
func (f Fault) Place() string {
	switch {
	case f.Line == 0:
		return f.File
	case f.Column == 0:
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
}

// String renders the fault for people: place and text, the line with a caret, and what
// would be right. It has no trailing newline.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", f.Place(), f.Text)
	if f.Excerpt != "" {
		number := fmt.Sprint(f.Line)
		fmt.Fprintf(&b, "  %s | %s\n", number, f.Excerpt)
		if f.Caret > 0 {
			fmt.Fprintf(&b, "  %*s | %*s\n", len(number), "", f.Caret, "^")
		}
	}
	fmt.Fprintf(&b, "  %s", f.Fix)
	return b.String()
}

// Faults is the error of a project that cannot be used: every fault found, not only the
// first. It is of kind ha.Invalid.
type Faults struct {
	// List are the faults, ordered by file and place; at least one.
	List []Fault
	// Notices are what Load would have said besides.
	Notices []Fault
}

// Error is one line: the first fault, and how many more there are.
func (f *Faults) Error() string {
	first := f.List[0].Place() + ": " + f.List[0].Text
	switch more := len(f.List) - 1; more {
	case 0:
		return first
	case 1:
		return first + " (and 1 more fault; psw project validate shows both)"
	default:
		return fmt.Sprintf("%s (and %d more faults; psw project validate shows them all)", first, more)
	}
}

// As lets ha.KindOf see the kind of the error.
func (f *Faults) As(target any) bool {
	e, ok := target.(**ha.Error)
	if ok {
		*e = &ha.Error{Kind: ha.Invalid, Err: f}
	}
	return ok
}

// sortFaults puts faults in the order a reader meets their places.
func sortFaults(list []Fault) {
	slices.SortStableFunc(list, func(a, b Fault) int {
		return cmp.Or(compareFiles(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// compareFiles puts network.yml first: the other files only add to it.
func compareFiles(a, b string) int {
	if (a == networkFile) != (b == networkFile) {
		if a == networkFile {
			return -1
		}
		return 1
	}
	return cmp.Compare(a, b)
}

// excerptMax is the longest excerpt, in characters: with number and margin it still fits
// a terminal of 120 columns.
const excerptMax = 110

// excerpt makes a line printable around column (from 1) and returns it with the caret's
// position in it.
func excerpt(line string, column int) (text string, caret int) {
	runes := []rune(strings.TrimRight(printable(maskSecret(line)), " "))
	// A caret just behind the line is where a value is missing.
	caret = min(column, len(runes)+1)
	if len(runes) > excerptMax {
		begin := max(0, min(caret-excerptMax/2, len(runes)-excerptMax))
		end := begin + excerptMax
		cutLeft, cutRight := begin > 0, end < len(runes)
		runes = slices.Clone(runes[begin:end])
		caret -= begin
		if cutLeft {
			runes[0] = '…'
		}
		if cutRight {
			runes[len(runes)-1] = '…'
		}
	}
	return string(runes), caret
}

// printable replaces what could do something to a terminal, character by character.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// secretWords are parts of keys whose values are never shown, even when the line is
// wrong: people do put passwords where they do not belong.
var secretWords = []string{"pass", "secret", "token", "credential", "private", "api_key", "apikey"}

// maskable is text in lower case without the words of ours that only look like secrets:
// corosync's token timeout is none.
func maskable(text string) string {
	return strings.ReplaceAll(asciiLower(text), "token_timeout", "corosync_time")
}

// maskSecret replaces what follows the first key on the line that smells of a secret.
func maskSecret(line string) string {
	lower := maskable(line)
	at := -1
	for _, w := range secretWords {
		if k := strings.Index(lower, w); k >= 0 && (at < 0 || k < at) {
			at = k
		}
	}
	if at < 0 {
		return line
	}
	colon := strings.IndexByte(line[at:], ':')
	if colon < 0 || strings.TrimSpace(line[at+colon+1:]) == "" {
		return line
	}
	return line[:at+colon+1] + " …"
}

// asciiLower lowers A to Z only, so that places in the result are places in s.
func asciiLower(s string) string {
	b := []byte(s)
	for k, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[k] = c + 'a' - 'A'
		}
	}
	return string(b)
}
