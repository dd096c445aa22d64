package crm_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/google/go-cmp/cmp"
)

// Rules that contradict each other are dropped, and the rest compiled, as Proxmox does: the
// cases of its own rules tests, named by -stories.
func TestProxmoxRules(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(storiesDir(), "rules_cfgs", "*.cfg"))
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { checkRulesFile(t, f) })
	}
}

func checkRulesFile(t *testing.T, path string) {
	raw, err := os.ReadFile(path + ".expect")
	if err != nil {
		t.Fatal(err)
	}
	head, compiled, ok := strings.Cut(string(raw), "--- Compiled Config ---\n")
	if !ok {
		t.Fatal("the case expects no compiled rules: it is not in the format we read")
	}
	var rules []crm.Rule
	for _, s := range readSections(t, path) {
		r := crm.Rule{ID: s.id, Type: s.kind, Affinity: s.keys["affinity"], Strict: truth(s.keys["strict"]), Nodes: nodeList(s.keys["nodes"])}
		_, r.Disabled = s.keys["disable"]
		r.Resources = strings.Split(s.keys["resources"], ",")
		slices.Sort(r.Resources)
		rules = append(rules, r)
	}
	got, dropped := crm.Compile(rules, []string{"node1", "node2", "node3"})
	var want, have []string
	for line := range strings.Lines(head) {
		if strings.HasPrefix(line, "Drop rule") {
			want = append(want, strings.TrimSpace(line))
		}
	}
	for _, d := range dropped {
		have = append(have, "Drop rule '"+d.Rule+"', because "+d.Reason+".")
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("dropped (-Proxmox +model):\n%s", d)
	}
	compareCompiled(t, compiled, got)
}

func compareCompiled(t *testing.T, text string, got crm.Compiled) {
	var want struct {
		Nodes map[string]struct {
			Nodes map[string]struct{ Priority int }
		} `json:"node-affinity"`
		Resources struct {
			Positive, Negative map[string]map[string]number
		} `json:"resource-affinity"`
	}
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	nodes, together, apart := got.Maps([]string{"node1", "node2", "node3"})
	wantNodes := map[string]map[string]int{}
	for sid, r := range want.Nodes {
		wantNodes[sid] = map[string]int{}
		for n, p := range r.Nodes {
			wantNodes[sid][n] = p.Priority
		}
	}
	if d := cmp.Diff(wantNodes, nodes); d != "" {
		t.Errorf("node affinity (-Proxmox +model):\n%s", d)
	}
	peers := func(m map[string]map[string]number) map[string]map[string]bool {
		out := map[string]map[string]bool{}
		for a, set := range m {
			out[a] = map[string]bool{}
			for b := range set {
				out[a][b] = true
			}
		}
		return out
	}
	if d := cmp.Diff(peers(want.Resources.Positive), together); d != "" {
		t.Errorf("positive (-Proxmox +model):\n%s", d)
	}
	if d := cmp.Diff(peers(want.Resources.Negative), apart); d != "" {
		t.Errorf("negative (-Proxmox +model):\n%s", d)
	}
}

// The static scheduler gives the scores that Proxmox's own does for the same nodes.
func TestStartScores(t *testing.T) {
	const gib = 1 << 30
	nodes := map[string]crm.NodeUsage{"a": {CPUs: 8, Memory: 16 * gib}, "b": {CPUs: 8, Memory: 16 * gib}, "c": {CPUs: 16, Memory: 32 * gib}}
	services := map[string]crm.GuestUsage{"vm:1": {MaxCPU: 2, MaxMemory: 4 * gib}, "vm:2": {MaxCPU: 4, MaxMemory: 8 * gib}}
	on := map[string]crm.ServiceStatus{"vm:1": {Node: "a", State: crm.Started}, "vm:2": {Node: "c", State: crm.Started}}
	got := crm.StartScores("static", nodes, services, on, crm.GuestUsage{MaxCPU: 2, MaxMemory: 4 * gib})
	near(t, got, map[string]float64{"a": 0, "b": -1, "c": -0.508544766170049})

	nodes = map[string]crm.NodeUsage{"a": {CPUs: 8, CPUUsed: 4, Memory: 16 * gib, MemoryUsed: 8 * gib}, "b": {CPUs: 8, CPUUsed: 1, Memory: 16 * gib, MemoryUsed: 2 * gib},
		"c": {CPUs: 16, CPUUsed: 6, Memory: 32 * gib, MemoryUsed: 20 * gib}}
	services = map[string]crm.GuestUsage{"vm:1": {CPU: 2, MaxCPU: 4, Memory: 3 * gib, MaxMemory: 4 * gib}, "vm:2": {CPU: 0.5, MaxCPU: 2, Memory: gib, MaxMemory: 8 * gib}}
	on = map[string]crm.ServiceStatus{"vm:1": {Node: "a", State: crm.Started, Running: true}, "vm:2": {Node: "b", State: crm.Started}}
	got = crm.StartScores("dynamic", nodes, services, on, crm.GuestUsage{MaxCPU: 2, MaxMemory: 4 * gib})
	near(t, got, map[string]float64{"a": -0.68006883334745, "b": -0.174078861835774, "c": -1})
}

func near(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for n, w := range want {
		if math.Abs(got[n]-w) > 1e-12 {
			t.Errorf("node %s scores %v, want %v", n, got[n], w)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, ok := range map[string]bool{"9.0.0~16": true, "9.0.0~17": true, "9.0.0": true, "9.1.2": true, "9.0.1-4": true, "9.0.0~15": false,
		"8.4.1": false, "8.4-4": false, "10.0.0~1": true, "": false, "nonsense": false} {
		if got := crm.VersionAtLeast(v, "9.0.0~16"); got != ok {
			t.Errorf("%q is at least 9.0.0~16: %v, want %v", v, got, ok)
		}
	}
}
