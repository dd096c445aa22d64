package agent

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// source is something foreign that an agent reads, a check that looks at nothing else, and
// the word without which that check cannot pass.
type source struct {
	machine   string // the recording; busy.pve1 unless it says
	file, run string
	code      ha.Code
	word      string
}

var sources = []source{
	{file: "var/lib/dpkg/status", code: check.PVENotInstalled, word: "pve-manager"},
	{file: "proc/cpuinfo", code: check.KVMMissing, word: "m"}, // vmx or svm
	{machine: "nfs-healthy.pve1", file: "proc/self/mountinfo", code: check.NFSNotAnswering, word: "nfs"},
	{file: "etc/pve/nodes/pve1/lrm_status", code: check.LRMLockLost, word: "state"},
	{file: "etc/corosync/corosync.conf", code: check.CorosyncConfigNotRun, word: "config_version"},
	{run: "corosync-quorumtool -s", code: check.CorosyncNotRunning, word: "Quorate"},
	{run: "corosync-quorumtool -s", code: check.NodeNotQuorate, word: "Yes"},
	{run: "corosync-cfgtool -n", code: check.CorosyncLinkDown, word: "connected"},
	{run: "corosync-cmapctl", code: check.CorosyncToken, word: "runtime.config.totem.token"},
	{run: "corosync-cmapctl -m stats", code: check.CorosyncLatencyHigh, word: "latency_ave"},
	{run: "systemctl show", code: check.HAUnitFailed, word: "ActiveState=active"},
}

// garbled is a recorded machine on which one source says something else.
type garbled struct {
	*probe.Recording
	source
	text string
}

func (g garbled) Open(name string) (fs.File, error) {
	if g.file != "" && name == g.file {
		return fstest.MapFS{name: {Data: []byte(g.text)}}.Open(name)
	}
	return g.Recording.Open(name)
}

func (g garbled) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	line := name + " " + strings.Join(args, " ")
	if g.run != "" && (strings.TrimSpace(line) == g.run || g.run == "systemctl show" && name == "systemctl") {
		return []byte(g.text), nil
	}
	return g.Recording.Run(ctx, name, args...)
}

// verdict is what the judge makes of that machine.
func (g garbled) verdict(t *testing.T) ha.Status {
	for _, f := range check.JudgeNode(probe.Look(t.Context(), g, g.Node)).Findings {
		if f.Code == g.code {
			return f.Status
		}
	}
	t.Fatalf("there is no check %s of a node", g.code)
	return ""
}

// garbage is what no source says when all is well.
var garbage = []string{
	"", "\n", "\x00", "0", "-1", "yes", "{}", "[]", "null", `{"timestamp":"x"}`, `{"state":{}}`, "Quorate: maybe\n", "ActiveState=\n", "Node ID: 1\n", "% \xff\xfe",
	strings.Repeat("A", 70_000), strings.Repeat("{", 5000), "Local node ID 1, transport knet\n", "runtime.config.totem.token (u32) = 0\n", "config_version: 0\n",
}

// Whatever stands where a probe looks: a word that is not there is not seen, and nothing that
// needs it passes. UNKNOWN is what garbage is, and never ready.
func FuzzGarbagePassesNothing(f *testing.F) {
	machines := recordings(f)
	for k := range sources {
		for _, text := range garbage {
			f.Add(uint8(k), text)
		}
	}
	f.Fuzz(func(t *testing.T, k uint8, text string) {
		at := int(k) % len(sources)
		g := garbled{machines[at], sources[at], text}
		if got := g.verdict(t); got == ha.Pass && !strings.Contains(text, g.word) {
			t.Errorf("%s%s says %q, and %s passes", g.file, g.run, text, g.code)
		}
	})
}

// With what the machine really said, each of these checks passes: it is the source that
// decides.
func TestEverySourceDecides(t *testing.T) {
	for k, machine := range recordings(t) {
		if got := (garbled{machine, source{code: sources[k].code}, ""}).verdict(t); got != ha.Pass {
			t.Errorf("%s is %s", sources[k].code, got)
		}
	}
}

// recordings are the machines of all sources.
func recordings(t testing.TB) []*probe.Recording {
	list := make([]*probe.Recording, len(sources))
	for k, s := range sources {
		text, err := os.ReadFile("probe/testdata/hosts/" + cmp.Or(s.machine, "busy.pve1") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if list[k], err = probe.ParseRecording(text); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
