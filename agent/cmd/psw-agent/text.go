package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Widths of the text: codes begin in one column, so that the eye finds them.
const (
	codeColumn = 76
	indent     = "      "
)

// How much a text says.
type detail int

const (
	quiet   detail = iota // what is wrong
	usual                 // and what is well; what there is nothing to say of is counted
	verbose               // everything
)

// countedMin is from how many on checks of which there is nothing to say are counted: on a
// machine without Proxmox nearly all of them.
const countedMin = 3

// writeText writes a verdict in pve8to9's words, under the node's name, with totals. What
// is well is said by what was checked; what is not by what was seen, and what to do.
func writeText(w io.Writer, r ha.Readiness, much detail) error {
	counted := make(map[ha.Code]int) // by cause; none: there is nothing to look at
	for _, f := range r.Findings {
		if f.Status == ha.Skip {
			counted[f.Because]++
		}
	}
	var b strings.Builder
	subject := ""
	for _, f := range r.Findings {
		switch {
		case much == quiet && f.Status != ha.Warn && f.Status != ha.Fail && f.Status != ha.Unknown:
			continue
		case much == usual && f.Status == ha.Skip && counted[f.Because] >= countedMin:
			continue
		}
		if f.Subject != subject {
			fmt.Fprintf(&b, "= %s =\n", f.Subject)
			subject = f.Subject
		}
		writeFinding(&b, f)
	}
	if much == usual {
		writeCounted(&b, counted)
	}
	t := count(r)
	fmt.Fprintf(&b, "\n= SUMMARY =\nTOTAL: %d  PASSED: %d  NOTICES: %d  WARNINGS: %d  FAILURES: %d  SKIPPED: %d  UNKNOWN: %d\n",
		t.Total, t.Passed, t.Notices, t.Warnings, t.Failures, t.Skipped, t.Unknown)
	if r.Ready() {
		b.WriteString("This node is ready for HA.\n")
	} else {
		b.WriteString("This node is not ready for HA.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCounted says how many checks were left out, and why.
func writeCounted(b *strings.Builder, counted map[ha.Code]int) {
	for _, cause := range slices.Sorted(maps.Keys(counted)) {
		switch n := counted[cause]; {
		case n < countedMin:
		case cause == "":
			fmt.Fprintf(b, "SKIP: %d checks have nothing to look at here (--verbose names them)\n", n)
		default:
			fmt.Fprintf(b, "SKIP: %d checks are effects of %s (--verbose names them)\n", n, cause)
		}
	}
}

func writeFinding(b *strings.Builder, f ha.Finding) {
	switch {
	case f.Status == ha.Pass:
		fmt.Fprintf(b, "PASS: %s\n", joinNonEmpty(f.Title, f.Evidence))
	case f.Because != "":
		writeHead(b, f, f.Title+": an effect of "+string(f.Because))
	case f.Status == ha.Skip:
		writeHead(b, f, joinNonEmpty(f.Title, f.Evidence))
	case f.Status == ha.Unknown: // nothing was seen: what was to be checked names it
		writeHead(b, f, f.Title)
		writeIndented(b, "", f.Evidence)
		writeIndented(b, "do: ", f.Remedy)
		writeIndented(b, "", "see "+docs(f.Code))
	default:
		writeHead(b, f, cmp.Or(f.Evidence, f.Title))
		writeIndented(b, "", "should be: "+f.Title)
		writeIndented(b, "do: ", f.Remedy)
		writeIndented(b, "", "see "+docs(f.Code))
	}
}

// writeHead writes the verdict's first line, with its code where one looks for it.
func writeHead(b *strings.Builder, f ha.Finding, text string) {
	lines := wrap(text, codeColumn-len(f.Status)-4)
	fmt.Fprintf(b, "%-*s  [%s]\n", codeColumn-2, string(f.Status)+": "+lines[0], f.Code)
	for _, l := range lines[1:] {
		fmt.Fprintf(b, "%s%s\n", indent, l)
	}
}

func joinNonEmpty(title, evidence string) string {
	if evidence == "" {
		return title
	}
	return title + " (" + evidence + ")"
}

func writeIndented(b *strings.Builder, lead, text string) {
	if text == "" {
		return
	}
	for k, l := range wrap(text, codeColumn+20-len(indent)-len(lead)) {
		if k > 0 {
			lead = strings.Repeat(" ", len(lead))
		}
		fmt.Fprintf(b, "%s%s%s\n", indent, lead, l)
	}
}

// wrap breaks a text at blanks into lines of at most width, if words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
