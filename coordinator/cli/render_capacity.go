package cli

import (
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/coordinator/forecast"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lossesShown is how many losses that fit are listed, and how many that do not: two of 64
// nodes can be lost in 2,016 ways.
const lossesShown = 40

// capacityLines renders the answer for every loss: a table, then what is wrong with each
// loss that does not fit and the ways out, what is assumed, and the result. Quiet leaves
// out what fits, verbose lists everything.
func capacityLines(st style, d capacityDocument, quiet, verbose bool) []string {
	lines := []string{st.bold("Room for everybody without " + count(d.Options.Losses, "node")), st.faint(factsOf(d.Project, d.Cluster, d.At))}
	t := table{indent: "  "}
	t.head(st, "LOST", "HA GUESTS", "STAY DOWN", "QUORUM", "COULD FIT", "AS USED NOW", "WILL FIT")
	var wrong []string
	fit, not, inquorate := 0, 0, 0
	for _, l := range d.Losses {
		nth := &not
		switch {
		case lossFits(l):
			nth = &fit
		case !l.Quorate:
			inquorate++
		}
		if *nth++; *nth > lossesShown && !verbose || quiet && nth == &fit {
			continue
		}
		t.row(lossCells(st, l)...)
		wrong = append(wrong, apart(lossLines(st, l))...)
	}
	if len(t.rows) > 1 {
		lines = append(lines, apart(t.lines())...)
	}
	if hidden := max(0, fit-lossesShown) + max(0, not-lossesShown); hidden > 0 && !verbose {
		lines = append(lines, fmt.Sprintf("  not listed: %d more that fit, %d more that do not; --verbose lists them", max(0, fit-lossesShown), max(0, not-lossesShown)))
	}
	if inquorate > 0 {
		lines = append(lines, apart(failLines(st, fmt.Sprintf("without quorum: %d of %s; the nodes left then restart nothing", inquorate, count(len(d.Losses), "loss"))))...)
	}
	lines = append(lines, wrong...)
	if !quiet {
		lines = append(lines, apart(assumptionLines(d.Assumptions))...)
	}
	result := st.good(fmt.Sprintf("Fits: any loss of %s.", count(d.Options.Losses, "node")))
	if !d.Fits {
		result = st.bad(fmt.Sprintf("Does not fit: %d of %s.", not, count(len(d.Losses), "loss")))
	}
	return append(lines, "", result)
}

func lossCells(st style, l forecast.Loss) []string {
	quorum := st.good("yes")
	if !l.Quorate {
		quorum = st.bad("no")
	}
	return []string{join(l.Nodes, " + "), fmt.Sprint(l.Guests), fmt.Sprint(len(l.Pinned)), quorum,
		verdictWord(st, l.Could), verdictWord(st, l.CouldUsed), verdictWord(st, l.Will)}
}

func verdictWord(st style, v forecast.Verdict) string {
	switch v {
	case forecast.Fits:
		return st.good("yes")
	case forecast.DoesNotFit:
		return st.bad("no")
	case forecast.NotFound:
		return st.warn("not found")
	case forecast.NotAsked:
	}
	return "-"
}

// lossLines say why the guests of a loss do not fit, and what would put it right, the
// cheapest first.
func lossLines(st style, l forecast.Loss) []string {
	if lossFits(l) || !l.Quorate {
		return nil
	}
	who := join(l.Nodes, " + ")
	var lines []string
	switch l.Could {
	case forecast.DoesNotFit, forecast.NotFound:
		text := "no placement has room for everybody"
		if l.Could == forecast.NotFound {
			text = "no placement was found, and none was proved impossible"
		}
		if len(l.CounterExample) > 1 {
			text += "; not all together: " + joinSIDs(l.CounterExample)
		}
		if l.Why != "" {
			text += ": " + l.Why
		}
		lines = failLines(st, who+" lost: "+text)
	case forecast.Fits, forecast.NotAsked:
		lines = failLines(st, who+" lost: there is room, but Proxmox does not use it so")
	}
	for _, why := range l.WillWhy {
		lines = append(lines, sentence("    Proxmox: ", why)...)
	}
	for k, f := range l.Fixes {
		lead := "    fix: "
		if k > 0 {
			lead = "     or: "
		}
		lines = append(lines, sentence(lead, f.Text)...)
	}
	return lines
}

func failLines(st style, text string) []string {
	lines := sentence("FAIL: ", text)
	lines[0] = st.bad("FAIL:") + lines[0][len("FAIL:"):]
	return lines
}

func joinSIDs(list []ha.SID) string {
	names := make([]string, len(list))
	for k, g := range list {
		names[k] = g.String()
	}
	return strings.Join(names, ", ")
}
