package probe

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on what is taken from the journal.
const (
	// journalLookBack is how many of the LRM's lines are looked through: a start that fails
	// writes about ten.
	journalLookBack = "400"
	// journalLines is how many are kept of a guest, journalWidth how much of each.
	journalLines = 8
	journalWidth = 300
)

// lrmJournal are the arguments of journalctl for what pve-ha-lrm wrote last.
var lrmJournal = []string{"--unit", "pve-ha-lrm", "--lines", journalLookBack, "--output", "short-iso", "--no-pager", "--quiet"}

// lookJournal looks up what the LRM wrote of the guests whose last job failed, by what the lrm
// probe saw last: it must not wait for pmxcfs a second time. Where nothing failed, which is
// nearly always, no process is started.
func lookJournal(ctx context.Context, r *round) (facts, error) {
	if !r.jobsFailed.Load() {
		return func(*ha.Report) {}, nil
	}
	text, err := r.host.Run(ctx, "journalctl", lrmJournal...)
	if errors.Is(err, fs.ErrNotExist) { // no systemd: there is no journal to look at
		return func(*ha.Report) {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func(report *ha.Report) {
		for k := range report.HA.Failed {
			report.HA.Failed[k].Log = linesOf(string(text), report.HA.Failed[k].SID)
		}
	}, nil
}

// linesOf are the last lines that are about a guest, as the HA manager names it (vm:101) or
// as a task does (UPID:…:qmstart:101:…, "start VM 101").
func linesOf(text string, sid ha.SID) []string {
	id := strconv.Itoa(sid.ID)
	about := regexp.MustCompile(`\b` + regexp.QuoteMeta(sid.String()) + `\b|:` + id + `:|\b(?:VM|CT|VMID) ` + id + `\b`)
	var lines []string
	for line := range strings.Lines(text) {
		if about.MatchString(line) {
			lines = append(lines, legibleLine(line))
		}
	}
	return lines[max(0, len(lines)-journalLines):]
}

// legibleLine cuts a line of a journal to what may be shown to anybody.
func legibleLine(line string) string {
	line = ha.WithoutCommandLine(strings.TrimSpace(line))
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, " "))
	if runes := []rune(line); len(runes) > journalWidth {
		line = string(runes[:journalWidth]) + "…"
	}
	return line
}

// redactJournal keeps of the LRM's lines those about a guest, as they are reported.
func redactJournal(line string) string {
	if !aboutSomeGuest.MatchString(line) {
		return ""
	}
	return legibleLine(line)
}

var aboutSomeGuest = regexp.MustCompile(`\b(?:vm|ct):\d+\b|:\d+:|\b(?:VM|CT|VMID) \d+\b`)
