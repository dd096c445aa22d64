package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// checkLines renders a verdict in pve8to9's words, grouped by subject in the order the
// subjects first appear. What is well takes one line; the rest says what was seen, what
// to do, and where to read more. Quiet leaves out what is well, verbose adds long
// evidence of it.
func checkLines(st style, r ha.Readiness, quiet, verbose bool) []string {
	var lines []string
	for _, subject := range subjects(r.Findings) {
		var group []string
		for _, f := range r.Findings {
			if f.Subject == subject && (!quiet || grave(f.Status)) {
				group = append(group, findingLines(st, f, verbose)...)
			}
		}
		if len(group) > 0 {
			lines = append(lines, st.bold("= "+subject+" ="))
			lines = append(append(lines, group...), "")
		}
	}
	return append(lines, summaryLines(st, r)...)
}

// grave tells the verdicts that --quiet keeps.
func grave(s ha.Status) bool { return s == ha.Warn || s == ha.Fail || s == ha.Unknown }

func subjects(findings []ha.Finding) []string {
	var list []string
	for _, f := range findings {
		if _, known := findBy(list, func(s string) bool { return s == f.Subject }); !known {
			list = append(list, f.Subject)
		}
	}
	return list
}

// findingLines renders one finding. What is well is said by what was checked; what is
// wrong by what was seen, as pve8to9 does, followed by what should be and what to do.
func findingLines(st style, f ha.Finding, verbose bool) []string {
	switch f.Status {
	case ha.Pass:
		return briefLines(st, f, f.Evidence, verbose)
	case ha.Skip:
		if f.Because != "" && !verbose {
			return briefLines(st, f, "an effect of "+string(f.Because), false)
		}
		return briefLines(st, f, f.Evidence, verbose)
	case ha.Notice, ha.Warn, ha.Fail, ha.Unknown:
	}
	text, detail := cmp.Or(f.Evidence, f.Title), "should be: "+f.Title
	if f.Status == ha.Unknown {
		text, detail = f.Title, f.Evidence
	}
	lines := headline(st, f, text)
	if detail != "" && f.Evidence != "" {
		lines = append(lines, sentence(findingIndent, detail)...)
	}
	if f.Remedy != "" {
		lines = append(lines, sentence(findingIndent+"do: ", f.Remedy)...)
	}
	if grave(f.Status) {
		lines = append(lines, findingIndent+"see "+docsAnchor(f.Code))
	}
	return lines
}

const findingIndent = "      "

// headline is the verdict's first line, with its code at the right where one looks for it.
func headline(st style, f ha.Finding, text string) []string {
	const codeColumn = 78
	lead := string(f.Status) + ": "
	parts := wrap(text, codeColumn-2-len(lead))
	if len(parts) == 0 {
		parts = []string{""}
	}
	pad := strings.Repeat(" ", max(2, codeColumn-len(lead)-width(parts[0])))
	lines := []string{st.status(f.Status, string(f.Status)) + ": " + parts[0] + pad + st.faint("["+string(f.Code)+"]")}
	for _, p := range parts[1:] {
		lines = append(lines, findingIndent+p)
	}
	return lines
}

// briefLines say in one line what asks for nothing, with what was seen if that fits into
// it; verbose gives it lines of its own if not.
func briefLines(st style, f ha.Finding, seen string, verbose bool) []string {
	head := st.status(f.Status, string(f.Status)) + ": " + f.Title
	var lines []string
	switch {
	case seen == "":
		lines = []string{head}
	case len(f.Status)+len(": ")+width(f.Title)+width(seen)+3 <= lineWidth:
		lines = []string{head + " (" + seen + ")"}
	case verbose:
		lines = append([]string{head}, sentence(findingIndent, seen)...)
	default:
		lines = []string{head}
	}
	if verbose && f.Because != "" {
		lines = append(lines, findingIndent+"an effect of "+string(f.Because))
	}
	return lines
}

// docsAnchor is where a check is explained.
func docsAnchor(c ha.Code) string {
	return "docs/checks.md#" + strings.ReplaceAll(strings.ToLower(string(c)), "_", "-")
}

func summaryLines(st style, r ha.Readiness) []string {
	total := fmt.Sprintf("TOTAL: %d", len(r.Findings))
	for _, part := range []struct {
		word string
		of   ha.Status
	}{{"PASSED", ha.Pass}, {"NOTICES", ha.Notice}, {"WARNINGS", ha.Warn}, {"FAILURES", ha.Fail}, {"SKIPPED", ha.Skip}, {"UNKNOWN", ha.Unknown}} {
		n := r.Count(part.of)
		text := fmt.Sprintf("%s: %d", part.word, n)
		if n > 0 {
			text = st.status(part.of, text)
		}
		total += "  " + text
	}
	verdict := st.good("HA is ready.")
	if !r.Ready() {
		verdict = st.bad("HA is not ready.")
	}
	return []string{st.bold("= SUMMARY ="), total, verdict}
}
