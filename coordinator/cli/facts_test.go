package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Facts that were saved answer, without any coordinator and outside of any project, word
// for word as the coordinator's own do.
func TestOfflineAnswersAreTheOnlineOnes(t *testing.T) {
	for _, command := range []string{
		"ha simulate --fail node1", "ha simulate --fail node1 -o json", "ha simulate --partition node1/node2,node3", "ha simulate --fail-nfs node1",
		"ha capacity", "ha capacity -o json", "ha capacity --losses 2",
	} {
		inBubble(t, &world{facts: heavyFacts()}, func(h *house) {
			file := filepath.Join(h.t.TempDir(), "facts.json")
			if text, code := h.run(h.t.Context(), "ha facts -f "+file); code != exitDone {
				h.t.Fatal(text)
			}
			online, code := h.run(h.t.Context(), command)
			h.down()
			h.t.Chdir(h.t.TempDir())
			offlineCode, stdout, stderr := psw(h.t, nil, append(strings.Fields(command), "-f", file)...)
			if offline := transcript("psw -C ~/home "+command, offlineCode, stdout, stderr); offline != online || offlineCode != code {
				h.t.Errorf("%s\nonline:\n%s\noffline:\n%s", command, online, offline)
			}
		})
	}
}

// The file holds what the coordinator said, for its owner's eyes only, also where a file
// for everybody was before; stdout gets the same.
func TestFactsAreSaved(t *testing.T) {
	inBubble(t, &world{facts: clusterFacts()}, func(h *house) {
		dir := h.t.TempDir()
		file := filepath.Join(dir, "facts.json")
		if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
			h.t.Fatal(err)
		}
		text, code := h.run(h.t.Context(), "ha facts -f "+file)
		if want := file + ": 3 nodes, 4 guests, as of 2026-11-21 14:02:11\n"; code != exitDone || !strings.Contains(text, want) {
			h.t.Errorf("%s\nwant %q", text, want)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			h.t.Errorf("the file is %v, %v; want mode 0600", info.Mode(), err)
		}
		saved, err := os.ReadFile(file)
		if err != nil {
			h.t.Fatal(err)
		}
		printed, _ := h.run(h.t.Context(), "ha facts")
		if !strings.Contains(printed, string(saved)) {
			h.t.Errorf("stdout is not what was saved:\n%s", printed)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
			h.t.Errorf("left behind: %v", left)
		}
		for path, want := range map[string]string{dir: dir + " is no plain file", filepath.Join(dir, "no", "facts.json"): "no such file"} {
			if text, code := h.run(h.t.Context(), "ha facts -f "+path); code != exitFailed || !strings.Contains(text, "psw: cannot save the facts: ") || !strings.Contains(text, want) {
				h.t.Errorf("%s\nwant %q", text, want)
			}
		}
	})
}

// What is no facts, or no node of them, is refused with a sentence of its own; facts that
// lack something say so.
func TestOddFacts(t *testing.T) {
	stale, partial, down := clusterFacts(), clusterFacts(), clusterFacts()
	stale.Inventory.At = stale.At.Add(-10 * time.Minute)
	partial.Inventory.Failures = []string{"rules: permission denied"}
	down.Inventory.Nodes[2].Online = false
	for _, c := range []struct {
		facts any
		args  string
		code  int
		want  string
	}{
		{"no facts", "simulate --fail node1", exitUsage, "facts.json holds no facts, as psw ha facts writes them: json: "},
		{struct{}{}, "capacity", exitUsage, "facts.json holds no facts, as psw ha facts writes them: it names no node"},
		{clusterFacts(), "simulate --fail node9", exitUsage, `psw: there is no node "node9" in this cluster; its nodes are node1, node2, node3`},
		{clusterFacts(), "simulate --fail-nfs=node1,node9", exitUsage, `psw: there is no node "node9" in this cluster`},
		{clusterFacts(), "simulate --partition node1/node9", exitUsage, `psw: there is no node "node9" in this cluster`},
		{clusterFacts(), "simulate --partition node1,node2,node3", exitUsage, "psw: --partition leaves every node on one side: part them with a slash, e.g. A,B/C"},
		{clusterFacts(), "simulate --fail-link 1", exitUsage, "psw: no agent reports a corosync link 1"},
		{down, "simulate --fail node3", exitUsage, "psw: node3 is offline already: its failure changes nothing any more"},
		{down, "capacity --losses 2", exitUsage, "psw: --losses 2 leaves no node of the 2 that are online"},
		{stale, "simulate --fail node1", exitDone, "WARN: Proxmox last answered 10m before these facts were written down; much may be different"},
		{partial, "capacity", exitDone, "WARN: these facts are incomplete, not read: rules: permission denied"},
	} {
		file := filepath.Join(t.TempDir(), "facts.json")
		text, err := json.Marshal(c.facts)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, string(text))
		code, stdout, stderr := psw(t, nil, append(strings.Fields("ha "+c.args), "-f", file)...)
		if code != c.code || !strings.Contains(stderr, c.want) || code == exitUsage && stdout != "" {
			t.Errorf("psw ha %s: exit %d, stdout %q, stderr %q; want exit %d and %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}

// A large cluster's losses are not all listed, unless that is asked for.
func TestManyLossesAreFolded(t *testing.T) {
	s := clusterFacts()
	first := s.Inventory.Nodes[0]
	for k := range 60 {
		first.Name, first.ID = ha.NodeName("rack"+string(rune('A'+k/10))+string(rune('0'+k%10))), 10+k
		s.Inventory.Nodes = append(s.Inventory.Nodes, first)
	}
	s.Reports = nil
	file := filepath.Join(t.TempDir(), "facts.json")
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(text))
	code, stdout, _ := psw(t, nil, "ha", "capacity", "-f", file)
	if code != exitDone || !strings.Contains(stdout, "not listed: 23 more that fit, 0 more that do not; --verbose lists them") || strings.Contains(stdout, "rackF9") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	if _, stdout, _ = psw(t, nil, "ha", "capacity", "-f", file, "--verbose"); !strings.Contains(stdout, "rackF9") || strings.Contains(stdout, "not listed") {
		t.Error(stdout)
	}
}
