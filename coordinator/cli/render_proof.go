package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// proofLines tells each storage and what every node met on it.
func proofLines(st style, proofs []ha.Proof, verbose bool) []string {
	var lines []string
	good := 0
	for k, p := range proofs {
		if k > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, st.bold(fmt.Sprintf("= storage %s on %s =", p.Subject, p.Path)))
		for _, r := range p.Results {
			word, said, wrong := st.status(ha.Pass, "PASS"), "reads it, and can write", p.Wrong(r)
			if r.Node == p.Writer {
				said = "wrote it"
			}
			switch {
			case r.Storage == nil:
				word, said = st.status(ha.Unknown, "UNKNOWN"), wrong
			case wrong != "":
				word, said = st.status(ha.Fail, "FAIL"), wrong
			}
			lines = append(lines, fmt.Sprintf("%s: %s: %s", word, r.Node, said))
			if r.Storage != nil && (verbose || wrong != "") {
				lines = append(lines, "      "+st.faint(mountWords(*r.Storage)))
			}
		}
		if proved(p) {
			good++
		}
	}
	if good == len(proofs) {
		return append(lines, "", st.good(fmt.Sprintf("Shared: every node sees and writes the same, on %s.", count(good, "storage"))))
	}
	return append(lines, "", st.bad(fmt.Sprintf("Not proved shared: %s of %d.", count(len(proofs)-good, "storage"), len(proofs))))
}

// mountWords tell what lies where the storage should be.
func mountWords(s ha.StorageSight) string {
	text := fmt.Sprintf("%s (%s) on %s", s.Source, s.FSType, s.MountPoint)
	if s.FSID != "" {
		text += ", file system " + s.FSID
	}
	return text
}

// matrixLines is who reaches whose BMC: a row for each node that asks, a column for each BMC.
func matrixLines(st style, proofs []ha.Proof, verbose bool) []string {
	names := map[string]bool{}
	for _, p := range proofs {
		names[p.Subject] = true
		for _, r := range p.Results {
			names[string(r.Node)] = true
		}
	}
	nodes := slices.Sorted(maps.Keys(names))
	var t table
	head := []string{"asked from"}
	for _, p := range proofs {
		head = append(head, "BMC of "+p.Subject)
	}
	t.head(st, head...)
	var notes []string
	dead, cells := 0, 0
	for _, from := range nodes {
		row := []string{from}
		for _, p := range proofs {
			cell := "-"
			if r, ok := p.Result(ha.NodeName(from)); ok {
				cells++
				wrong := p.Wrong(r)
				switch {
				case wrong != "":
					dead++
					cell = st.bad("FAIL")
					notes = append(notes, fmt.Sprintf("%s: %s -> %s: %s", st.bad("FAIL"), from, p.Subject, wrong))
				case verbose:
					cell = fmt.Sprintf("%s (%s)", st.good(string(r.Power.State)), span(r.Power.Took))
				default:
					cell = st.good(string(r.Power.State))
				}
			}
			row = append(row, cell)
		}
		t.row(row...)
	}
	lines := append(t.lines(), "")
	lines = append(lines, notes...)
	if dead == 0 {
		return append(lines, st.good(fmt.Sprintf("Every node reaches every other node's BMC: %d of %d cells answer.", cells, cells)))
	}
	return append(lines, st.bad(fmt.Sprintf("%d of %d cells do not answer.", dead, cells)))
}

// fenceWords say of each method of fencing what it is worth, and whether it was tried here.
var fenceWords = map[ha.FencingMethod]string{
	ha.FenceWatchdog: "the node resets itself when it loses quorum; what Proxmox relies on. `psw ha check` judges it",
	ha.FenceIPMI:     "the BMC cuts the power; tried above",
	ha.FencePDU:      "the outlet is switched off; not tried here: it does not speak IPMI",
	ha.FenceSBD:      "the node resets itself when its slot on a shared disk says so; `psw ha check` reads the slots",
	ha.FenceSSH:      "the node is asked to stop; unreliable: a node that must be fenced does not answer",
}

// methodLines show the declared methods as what they are.
func methodLines(st style, p *ha.Policy) []string {
	if p == nil || p.Cluster.Fencing == nil || len(p.Cluster.Fencing.Methods) == 0 {
		return nil
	}
	lines := []string{"", st.bold("= methods declared in network.yml =")}
	for _, m := range p.Cluster.Fencing.Methods {
		text := fmt.Sprintf("%s: %s", m, fenceWords[m])
		if m == ha.FenceSSH {
			text = st.warn(text)
		}
		lines = append(lines, text)
	}
	var pdus []string
	for _, h := range p.Hosts {
		if h.BMC != nil && h.BMC.Type == ha.BMCPDU {
			pdus = append(pdus, string(h.Name))
		}
	}
	if len(pdus) > 0 {
		lines = append(lines, "fenced by a PDU: "+strings.Join(pdus, ", "))
	}
	return lines
}
