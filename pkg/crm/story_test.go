package crm_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

var update = flag.Bool("update", false, "rewrite the logs of our own stories; only if you understand what changed them")

var stories = flag.String("stories", "", "a directory of stories in the format of Proxmox's HA test suite")

// storiesDir is the directory named by -stories, also if it is meant from the module's root,
// where tests are usually started.
func storiesDir() string {
	if *stories == "" {
		return filepath.Join("..", "..", "..", "shared", "reference", "ha-tests")
	}
	if _, err := os.Stat(*stories); err != nil && !filepath.IsAbs(*stories) {
		return filepath.Join("..", "..", *stories)
	}
	return *stories
}

// The model tells each story of Proxmox's own regression suite as Proxmox does: same lines,
// same virtual times, same order. The suite is not part of this repository; name a checkout
// of it with -stories.
func TestProxmox(t *testing.T) {
	dir := storiesDir()
	dirs, _ := filepath.Glob(filepath.Join(dir, "test-*"))
	if len(dirs) == 0 {
		if *stories != "" {
			t.Fatalf("no stories in %s", dir)
		}
		t.Log("no stories here; name a directory with -stories. The stories in testdata are told by TestStories.")
		return
	}
	identical, differ := 0, 0
	for _, d := range dirs {
		ok := t.Run(strings.TrimPrefix(filepath.Base(d), "test-"), func(t *testing.T) { tellStory(t, d) })
		if ok {
			identical++
		} else {
			differ++
		}
	}
	t.Logf("stories: %d identical, %d differ", identical, differ)
	fmt.Printf("stories: %d identical, %d differ\n", identical, differ)
}

// Stories of our own, in the same format, told at every test run: what an administrator
// most wants to know of the HA manager.
func TestStories(t *testing.T) {
	dirs, _ := filepath.Glob(filepath.Join("testdata", "*"))
	if len(dirs) == 0 {
		t.Fatal("no stories in testdata")
	}
	for _, d := range dirs {
		t.Run(filepath.Base(d), func(t *testing.T) { tellStory(t, d) })
	}
}

func tellStory(t *testing.T, dir string) {
	sim := crm.NewSim(readWorld(t, dir))
	var lists [][]string
	readJSON(t, filepath.Join(dir, "cmdlist"), &lists)
	sim.Run(lists)
	if *update && strings.HasPrefix(dir, "testdata") {
		if err := os.WriteFile(filepath.Join(dir, "log.expect"), []byte(strings.Join(sim.Log(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(filepath.Join(dir, "log.expect"))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(strings.Split(strings.TrimRight(string(want), "\n"), "\n"), sim.Log()); d != "" {
		t.Errorf("the log differs (- Proxmox, + model):\n%s", d)
	}
}

// diff shows the first place where two logs part, with some context.
func diff(want, got []string) string {
	for k := range max(len(want), len(got)) {
		var a, b string
		if k < len(want) {
			a = want[k]
		}
		if k < len(got) {
			b = got[k]
		}
		if a == b {
			continue
		}
		var out strings.Builder
		for _, l := range want[max(0, k-3):k] {
			fmt.Fprintf(&out, "  %s\n", l)
		}
		for _, l := range want[k:min(len(want), k+6)] {
			fmt.Fprintf(&out, "- %s\n", l)
		}
		for _, l := range got[k:min(len(got), k+6)] {
			fmt.Fprintf(&out, "+ %s\n", l)
		}
		return out.String()
	}
	return ""
}

func readJSON(t *testing.T, path string, v any) bool {
	t.Helper()
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return true
}

// number reads what the suite writes as a number or as text.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = number(f)
	return err
}

func readWorld(t *testing.T, dir string) crm.World {
	w := crm.World{Nodes: map[string]crm.Hardware{}, Services: map[string]crm.Service{}, Static: map[string]crm.GuestUsage{}, Dynamic: map[string]crm.GuestUsage{},
		Running: map[string]map[string]bool{}}
	readHardware(t, dir, &w)
	readServices(t, dir, &w)
	readManager(t, dir, &w)
	readOptions(t, dir, &w)
	var static map[string]struct{ MaxCPU, MaxMem number }
	readJSON(t, filepath.Join(dir, "static_service_stats"), &static)
	for sid, s := range static {
		w.Static[sid] = crm.GuestUsage{MaxCPU: float64(s.MaxCPU), MaxMemory: float64(s.MaxMem)}
	}
	var dynamic map[string]struct{ CPU, Mem number }
	readJSON(t, filepath.Join(dir, "dynamic_service_stats"), &dynamic)
	for sid, s := range dynamic {
		w.Dynamic[sid] = crm.GuestUsage{CPU: float64(s.CPU), Memory: float64(s.Mem)}
	}
	for _, s := range readSections(t, filepath.Join(dir, "rules_config")) {
		r := crm.Rule{ID: s.id, Type: s.kind, Affinity: s.keys["affinity"], Strict: truth(s.keys["strict"]), Nodes: nodeList(s.keys["nodes"])}
		_, r.Disabled = s.keys["disable"]
		r.Resources = strings.Split(s.keys["resources"], ",")
		slices.Sort(r.Resources)
		w.Rules = append(w.Rules, r)
	}
	for _, s := range readSections(t, filepath.Join(dir, "groups")) {
		w.Groups = append(w.Groups, crm.Group{ID: s.id, Nodes: nodeList(s.keys["nodes"]), Restricted: truth(s.keys["restricted"]),
			NoFailback: truth(s.keys["nofailback"]), Comment: s.keys["comment"]})
	}
	return w
}

func truth(s string) bool { return s != "" && s != "0" }

func readHardware(t *testing.T, dir string, w *crm.World) {
	var hw map[string]struct {
		Power, Network string
		MaxCPU, MaxMem number
		Version        string `json:"pve-manager-version"`
	}
	if !readJSON(t, filepath.Join(dir, "hardware_status"), &hw) {
		for _, n := range []string{"node1", "node2", "node3"} {
			w.Nodes[n] = crm.Hardware{}
		}
	}
	for n, h := range hw {
		w.Nodes[n] = crm.Hardware{Power: h.Power == "on", Network: h.Network == "on", CPUs: float64(h.MaxCPU), Memory: float64(h.MaxMem), Version: h.Version}
		running := map[string]number{}
		readJSON(t, filepath.Join(dir, "service_status_"+n), &running)
		w.Running[n] = map[string]bool{}
		for sid, r := range running {
			w.Running[n][sid] = r != 0
		}
	}
}

func readServices(t *testing.T, dir string, w *crm.World) {
	var services map[string]struct {
		Node, State, Group      string
		Lock                    string
		MaxRestart, MaxRelocate *number
		Max_Restart             *number `json:"max_restart"`
		Max_Relocate            *number `json:"max_relocate"`
		Failback                *number
	}
	readJSON(t, filepath.Join(dir, "service_config"), &services)
	for sid, c := range services {
		s := crm.Service{SID: sid, Node: c.Node, State: c.State, Group: c.Group, MaxRestart: 1, MaxRelocate: 1, Failback: true}
		switch s.State {
		case "":
			s.State = crm.WantDisabled
		case "enabled":
			s.State = crm.WantStarted
		}
		if c.Max_Restart != nil {
			s.MaxRestart = int(*c.Max_Restart)
		}
		if c.Max_Relocate != nil {
			s.MaxRelocate = int(*c.Max_Relocate)
		}
		if c.Failback != nil {
			s.Failback = *c.Failback != 0
		}
		if c.Lock != "" {
			if w.Locks == nil {
				w.Locks = map[string]string{}
			}
			w.Locks[sid] = c.Lock
		}
		w.Services[sid] = s
	}
}

func readManager(t *testing.T, dir string, w *crm.World) {
	var m struct {
		Master    string            `json:"master_node"`
		Timestamp number            `json:"timestamp"`
		Nodes     map[string]string `json:"node_status"`
		Services  map[string]struct {
			Node, State, UID, Target string
			Running                  number
			Failed                   []string `json:"failed_nodes"`
			Maintenance              string   `json:"maintenance_node"`
			Cmd                      []string
		} `json:"service_status"`
		Requests map[string]map[string]number `json:"node_request"`
	}
	readJSON(t, filepath.Join(dir, "manager_status"), &m)
	st := crm.ManagerStatus{Master: m.Master, Timestamp: int64(m.Timestamp), Nodes: map[string]string{}, Services: map[string]crm.ServiceStatus{}, Requests: map[string]bool{}}
	for n, s := range m.Nodes {
		st.Nodes[n] = s
	}
	for sid, s := range m.Services {
		sd := crm.ServiceStatus{Node: s.Node, State: s.State, UID: s.UID, Target: s.Target, Running: s.Running != 0, FailedNodes: s.Failed, MaintenanceNode: s.Maintenance}
		if len(s.Cmd) == 2 {
			sd.Command = &crm.Command{Verb: s.Cmd[0], Node: s.Cmd[1]}
		}
		st.Services[sid] = sd
	}
	for n, r := range m.Requests {
		st.Requests[n] = r["maintenance"] != 0
	}
	w.Manager = st
}

func readOptions(t *testing.T, dir string, w *crm.World) {
	var dc struct {
		HA struct {
			Policy string `json:"shutdown_policy"`
		} `json:"ha"`
		CRS map[string]any `json:"crs"`
	}
	readJSON(t, filepath.Join(dir, "datacenter.cfg"), &dc)
	o := crm.DefaultDatacenter()
	if dc.HA.Policy != "" {
		o.ShutdownPolicy = dc.HA.Policy
	}
	text := func(key, missing string) string {
		if v, ok := dc.CRS[key]; ok {
			return fmt.Sprint(v)
		}
		return missing
	}
	float := func(key string, missing float64) float64 {
		f, err := strconv.ParseFloat(text(key, ""), 64)
		if err != nil {
			return missing
		}
		return f
	}
	o.Scheduler = text("ha", "basic")
	o.RebalanceOnStart = truth(text("ha-rebalance-on-start", ""))
	o.AutoRebalance = truth(text("ha-auto-rebalance", ""))
	o.Threshold = float("ha-auto-rebalance-threshold", o.Threshold)
	o.Margin = float("ha-auto-rebalance-margin", o.Margin)
	o.Hold = int(float("ha-auto-rebalance-hold-duration", float64(o.Hold)))
	o.Method = text("ha-auto-rebalance-method", o.Method)
	w.Options = o
}

type section struct {
	kind, id string
	keys     map[string]string
}

// readSections reads a file of Proxmox's section format.
func readSections(t *testing.T, path string) []section {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []section
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		case line[0] == '\t' || line[0] == ' ':
			key, val, _ := strings.Cut(strings.TrimSpace(line), " ")
			out[len(out)-1].keys[key] = strings.TrimSpace(val)
		default:
			kind, id, _ := strings.Cut(line, ":")
			out = append(out, section{kind: kind, id: strings.TrimSpace(id), keys: map[string]string{}})
		}
	}
	return out
}

func nodeList(s string) []crm.RuleNode {
	var out []crm.RuleNode
	for _, part := range strings.Split(s, ",") {
		if part == "" {
			continue
		}
		name, prio, _ := strings.Cut(part, ":")
		n, _ := strconv.Atoi(prio)
		out = append(out, crm.RuleNode{Node: name, Priority: n})
	}
	return out
}
