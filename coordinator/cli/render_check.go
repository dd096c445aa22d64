package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// checkLines renders a verdict in pve8to9's words, grouped by subject in the order the
// subjects first appear. What is well takes one line; the rest says what was seen, what
// to do, and where to read more. Quiet leaves out what is well, verbose adds long
// evidence of it and names the checks that have nothing to look at.
func checkLines(st style, r ha.Readiness, quiet, verbose bool) []string {
	var lines []string
	for _, subject := range subjects(r.Findings) {
		var group []string
		idle := idleChecks(r.Findings, subject)
		for _, f := range r.Findings {
			switch {
			case f.Subject != subject || quiet && (!grave(f.Status) || f.Muted()):
			case idle >= idleMin && f.Idle() && !verbose:
			default:
				group = append(group, findingLines(st, f, judgedAt(r), verbose)...)
			}
		}
		if idle >= idleMin && !quiet && !verbose {
			group = append(group, st.status(ha.Skip, "SKIP")+fmt.Sprintf(": %d checks have nothing to look at here (--verbose names them)", idle))
		}
		if len(group) > 0 {
			lines = append(lines, st.bold("= "+subject+" ="))
			lines = append(append(lines, group...), "")
		}
	}
	return append(lines, summaryLines(st, r)...)
}

// idleMin is from how many on checks that have nothing to look at are counted, not listed:
// a cluster without Ceph, SBD and BMCs has dozens of them.
const idleMin = 3

func idleChecks(findings []ha.Finding, subject string) (n int) {
	for _, f := range findings {
		if f.Subject == subject && f.Idle() {
			n++
		}
	}
	return n
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
func findingLines(st style, f ha.Finding, at time.Time, verbose bool) []string {
	if f.Muted() && !verbose {
		return headline(st, f, "MUTED", fmt.Sprintf("%s until %s: %s", f.Status, stamp(f.MutedUntil), cmp.Or(f.Evidence, f.Title)))
	}
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
	lines := headline(st, f, string(f.Status), text)
	if detail != "" && f.Evidence != "" {
		lines = append(lines, sentence(findingIndent, detail)...)
	}
	if grave(f.Status) && !f.Since.IsZero() {
		lines = append(lines, findingIndent+"since "+stamp(f.Since)+lasting(f.Since, at))
	}
	if !f.MutedUntil.IsZero() {
		counts := ""
		if !f.Muted() {
			counts = "; it is shown and counts all the same"
		}
		lines = append(lines, sentence(findingIndent, fmt.Sprintf("muted by %s until %s%s", cmp.Or(f.MutedBy, "an operator"), stamp(f.MutedUntil), counts))...)
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
func headline(st style, f ha.Finding, word, text string) []string {
	const codeColumn = 78
	lead := word + ": "
	parts := wrap(text, codeColumn-2-len(lead))
	if len(parts) == 0 {
		parts = []string{""}
	}
	pad := strings.Repeat(" ", max(2, codeColumn-len(lead)-width(parts[0])))
	lines := []string{st.status(f.Status, word) + ": " + parts[0] + pad + st.faint("["+string(f.Code)+"]")}
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
	total += fmt.Sprintf("  MUTED: %d", r.CountMuted())
	verdict := st.good("HA is ready.")
	if !r.Ready() {
		verdict = st.bad("HA is not ready.")
	}
	lines := append([]string{st.bold("= SUMMARY ="), total}, troubleLines(st, r)...)
	return append(append(lines, verdict), standingLines(st, r)...)
}

// troubleLines name what is not well once more, gravest first: the end of a long verdict is
// what stays on the screen.
func troubleLines(st style, r ha.Readiness) []string {
	var lines []string
	for _, status := range []ha.Status{ha.Fail, ha.Unknown, ha.Warn, ha.Notice} {
		var codes []ha.Code
		on := make(map[ha.Code][]string)
		for _, f := range r.Findings {
			if f.Status != status || f.Muted() {
				continue
			}
			if on[f.Code] == nil {
				codes = append(codes, f.Code)
			}
			on[f.Code] = append(on[f.Code], f.Subject)
		}
		for _, code := range codes {
			lead := fmt.Sprintf("%-9s%s ", string(status)+":", code)
			text := wrap("("+strings.Join(on[code], ", ")+")", lineWidth-len(lead))
			lines = append(lines, st.status(status, string(status))+lead[len(status):]+text[0])
			for _, l := range text[1:] {
				lines = append(lines, strings.Repeat(" ", len(lead)+1)+l)
			}
		}
	}
	return lines
}

// standingLines say what is published where that differs, or since when it is so, and what
// the record of the last whole check is worth.
func standingLines(st style, r ha.Readiness) []string {
	p := r.Standing
	if p == nil {
		return nil
	}
	var lines []string
	switch {
	case p.Known && p.Ready != r.Ready():
		lines = append(lines, fmt.Sprintf("In journal and metrics, which follow %s later, it is %s since %s.", span(check.HoldTime), readyWord(p.Ready), stamp(p.Since)))
	case p.Known && !p.Since.IsZero():
		lines = append(lines, fmt.Sprintf("It is so since %s%s.", stamp(p.Since), lasting(p.Since, p.At)))
	}
	return append(lines, recordLines(st, p)...)
}

// recordLines say what the record of the last whole check is worth.
func recordLines(st style, p *ha.Standing) []string {
	if p.Record == nil {
		return nil
	}
	head := fmt.Sprintf("Recorded %s", stamp(p.Record.At))
	if p.Record.By != "" {
		head += " by " + p.Record.By
	}
	head += fmt.Sprintf(" (%s): %s", p.Record.Profile, readyWord(p.Record.Ready))
	if len(p.Stale) > 0 {
		return sentence("", head+", "+st.warn("which no longer counts")+": "+strings.Join(p.Stale, "; ")+". Check again: psw ha check")
	}
	return sentence("", fmt.Sprintf("%s. It counts until %s, or until what the cluster is built of changes.", head, p.Record.At.Add(ha.RecordAgeMax).Local().Format(time.DateOnly)))
}

func readyWord(yes bool) string {
	if yes {
		return "ready"
	}
	return "not ready"
}

// judgedAt is when the verdict was made, by the coordinator's clock; zero if it is not known.
func judgedAt(r ha.Readiness) time.Time {
	if r.Standing == nil {
		return time.Time{}
	}
	return r.Standing.At
}

// lasting says for how long something has been so.
func lasting(since, now time.Time) string {
	if now.IsZero() || now.Before(since) {
		return ""
	}
	return " (for " + span(now.Sub(since).Truncate(time.Second)) + ")"
}
