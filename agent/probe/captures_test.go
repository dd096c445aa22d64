package probe

import (
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// capturesEnv names a folder of raw captures: what the tools printed on real machines,
// file by file. The recordings in testdata/hosts were made from them; where the folder is
// at hand, TestCaptures holds the recordings to it.
const capturesEnv = "PSW_CAPTURES"

// captures turns every raw capture below dir into a recording, by name.
func captures(t *testing.T, dir string) map[string]*Recording {
	t.Helper()
	recordings := map[string]*Recording{}
	lab := os.DirFS(filepath.Join(dir, "hosts"))
	for _, scenario := range folders(t, lab, ".") {
		for _, node := range folders(t, lab, scenario) {
			recordings[scenario+"."+node] = labCapture(t, lab, scenario, node)
		}
		for _, file := range files(t, lab, scenario, ".txt") {
			if strings.HasPrefix(file, "console-") {
				continue
			}
			name := scenario + "." + strings.TrimSuffix(file, ".txt")
			recordings[name] = textCapture(t, name, get(t, lab, scenario+"/"+file))
		}
	}
	series2 := os.DirFS(filepath.Join(dir, "recordings/series2/hosts"))
	codes := exitCodes(t, series2)
	for _, state := range folders(t, series2, ".") {
		for _, node := range folders(t, series2, state) {
			if r := clusterCapture(t, series2, state, node, codes); r != nil {
				recordings["cluster-"+state+"."+node] = r
			}
		}
	}
	systemd := newRecording("pve1")
	systemd.Comment = "a lab node under systemd: only its mounts were captured\n"
	mounts := get(t, lab, "systemd-healthy/cat__proc_self_mountinfo.out")
	systemd.add("proc/self/mountinfo", mounts)
	systemd.addStatfs("healthy", mounts)
	recordings["systemd-healthy.pve1"] = systemd
	for _, r := range recordings {
		r.redact()
	}
	return recordings
}

func (r *Recording) add(name, data string) { r.files[name] = recordedFile{data: []byte(data)} }

func folders(t *testing.T, fsys fs.FS, dir string) []string { return list(t, fsys, dir, true, "") }
func files(t *testing.T, fsys fs.FS, dir, suffix string) []string {
	return list(t, fsys, dir, false, suffix)
}

func list(t *testing.T, fsys fs.FS, dir string, dirs bool, suffix string) (names []string) {
	t.Helper()
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() == dirs && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func get(t *testing.T, fsys fs.FS, name string) string {
	t.Helper()
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// labCapture reads a folder of a lab node: real corosync, NFS and watchdogs under Debian.
func labCapture(t *testing.T, lab fs.FS, scenario, node string) *Recording {
	r := newRecording(ha.NodeName(node))
	r.Comment = scenario + ", seen on " + node + "\n"
	dir := scenario + "/" + node
	for _, file := range files(t, lab, dir, ".out") {
		text := get(t, lab, dir+"/"+file)
		switch strings.TrimSuffix(file, ".out") {
		case "mountinfo":
			r.add("proc/self/mountinfo", text)
			r.addStatfs(scenario, text)
		case "mountstats":
			r.add("proc/self/mountstats", shortMountstats(text))
		case "corosync.conf":
			r.add("etc/corosync/corosync.conf", text)
		case "sys-watchdog":
			r.addSysfs(text)
		case "uptime":
			uptime, load, _ := strings.Cut(text, "\n")
			r.add("proc/uptime", uptime+"\n")
			r.add("proc/loadavg", load)
		}
	}
	index, err := fs.ReadFile(lab, dir+"/INDEX.tsv")
	if err != nil {
		return r // nothing was run here
	}
	for line := range strings.Lines(string(index)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if command := fields[4]; (strings.HasPrefix(command, "corosync-") || command == "ip -j addr") && Allowed(strings.Fields(command)[0], strings.Fields(command)[1:]...) {
			r.addRun(t, command, fields[1], get(t, lab, dir+"/"+fields[0]+".out"))
		}
	}
	return r
}

func (r *Recording) addRun(t *testing.T, command, code, output string) {
	t.Helper()
	n, err := strconv.Atoi(code)
	if err != nil {
		t.Fatalf("%s: exit code %q", command, code)
	}
	r.runs[command] = recordedAnswer{code: n, output: []byte(output), hangs: n == 124}
}

// addStatfs adds what a statfs of each NFS mount did in a scenario. Sizes were not
// captured. Soft mounts that give up do so after 6 to 30 s, which is later than we wait.
func (r *Recording) addStatfs(scenario, mountinfo string) {
	answer := recordedAnswer{}
	switch scenario {
	case "nfs-server-frozen", "nfs-server-dead", "nfs-server-nfsd-stopped":
		answer.hangs = true
	case "nfs-unexported":
		answer.err = "permission denied"
	}
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); strings.Contains(line, " - nfs") {
			r.statfs[fields[4]] = answer
		}
	}
}

// shortMountstats leaves out operations that never happened.
func shortMountstats(text string) string {
	never := regexp.MustCompile(`(?m)^\s+[A-Z_]+:( 0)+\n`)
	return never.ReplaceAllString(text, "")
}

// addSysfs reads "PATH: VALUE" lines.
func (r *Recording) addSysfs(text string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if ok && strings.HasPrefix(name, "/sys/class/watchdog/") && slices.Contains([]string{
			"identity", "state", "timeout", "nowayout", "bootstatus", "pretimeout"}, path.Base(name)) {
			r.add(strings.TrimPrefix(name, "/"), value+"\n")
		}
	}
}

// textCapture reads a capture that is one text: watchdogs in four states, a node that is
// booting, and one whose corosync is stopped by a signal.
func textCapture(t *testing.T, name, text string) *Recording {
	t.Helper()
	r := newRecording("pve1")
	r.Comment = name + "\n"
	switch {
	case strings.HasPrefix(name, "watchdog-"):
		r.addSysfs(text)
		if m := regexp.MustCompile(`soft_noboot=(\d)`).FindStringSubmatch(text); m != nil {
			r.add("sys/module/softdog/parameters/soft_noboot", m[1]+"\n")
		}
	case name == "corosync-sigstop.pve3":
		r.Node = "pve3"
		for _, command := range []string{"corosync-quorumtool -s", "corosync-cfgtool -n", "corosync-cfgtool -s", "corosync-cmapctl", "corosync-cmapctl -m stats"} {
			r.runs[command] = recordedAnswer{hangs: true}
		}
	case strings.HasPrefix(name, "node-booting."):
		r.Node = "pve2"
		commands := []string{"corosync-quorumtool -s", "corosync-cfgtool -s", "corosync-cfgtool -n", "corosync-cmapctl -m stats"}
		text, _, _ = strings.Cut(strings.TrimPrefix(text, "--- stdout\n"), "--- stderr")
		for _, command := range commands {
			at := regexp.MustCompile(`(?m)^rc=(\d+)\n`).FindStringSubmatchIndex(text)
			if at == nil {
				t.Fatalf("%s: no exit code of %s", name, command)
			}
			r.addRun(t, command, text[at[2]:at[3]], text[:at[0]])
			text = text[at[1]:]
		}
	default:
		t.Fatalf("no idea how to read %s", name)
	}
	return r
}

// exitCodes reads the index of the cluster captures: exit code by state/node/name.
func exitCodes(t *testing.T, series2 fs.FS) map[string]string {
	t.Helper()
	table := csv.NewReader(strings.NewReader(get(t, series2, "INDEX.tsv")))
	table.Comma, table.LazyQuotes, table.FieldsPerRecord = '\t', true, -1
	rows, err := table.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	for _, row := range rows[1:] {
		codes[path.Join(row[0], row[1], row[2])] = row[4]
	}
	return codes
}

// clusterCapture reads a node of a real Proxmox cluster; nil if it was dead.
func clusterCapture(t *testing.T, series2 fs.FS, state, node string, codes map[string]string) *Recording {
	t.Helper()
	r := newRecording(ha.NodeName(node))
	r.Comment = state + ", seen on " + node + "\n"
	dir := path.Join(state, node)
	if codes[dir+"/members"] != "0" {
		return nil
	}
	members := get(t, series2, dir+"/members.out")
	r.add("etc/pve/.members", members)
	mode := fs.FileMode(0o755)
	if !strings.Contains(members, `"quorate": 1`) {
		mode = 0o555 // as every folder of pmxcfs without quorum
	}
	r.files["etc/pve/nodes/"+node] = recordedFile{dir: true, mode: mode}
	r.links["etc/pve/local"] = "nodes/" + node
	for file, name := range map[string]string{
		"lrm_status-" + node: "etc/pve/nodes/" + node + "/lrm_status",
		"manager_status":     "etc/pve/ha/manager_status",
	} {
		if codes[dir+"/"+file] == "0" {
			r.add(name, get(t, series2, dir+"/"+file+".out"))
		}
	}
	if strings.Contains(get(t, series2, dir+"/ls-watchdog-mux.out"), "/run/watchdog-mux.active:") {
		r.files["run/watchdog-mux.active"] = recordedFile{dir: true, mode: 0o755}
	}
	for file, command := range map[string]string{
		"corosync-cfgtool-n": "corosync-cfgtool -n", "corosync-cfgtool-s": "corosync-cfgtool -s",
		"corosync-quorumtool-s": "corosync-quorumtool -s",
	} {
		r.addRun(t, command, codes[dir+"/"+file], get(t, series2, dir+"/"+file+".out"))
	}
	return r
}

// TestCaptures holds the recordings in testdata to the raw captures they were made from.
// With -update it makes them anew.
func TestCaptures(t *testing.T) {
	dir := os.Getenv(capturesEnv)
	if dir == "" {
		t.Skipf("no %s: the recordings in testdata are tested by TestHosts", capturesEnv)
	}
	all := captures(t, dir)
	if len(all) < 90 {
		t.Errorf("only %d captures in %s", len(all), dir)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		file := filepath.Join("testdata", "hosts", name+".txt")
		text := all[name].Bytes()
		if *update {
			if err := os.WriteFile(file, text, 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		recorded, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		} else if string(recorded) != string(text) {
			t.Errorf("%s is not what the captures say; see -update", file)
		}
	}
}

// TestCapturesOfHAFiles reads every version of the HA manager's status files that was
// captured.
func TestCapturesOfHAFiles(t *testing.T) {
	dir := os.Getenv(capturesEnv)
	if dir == "" {
		t.Skipf("no %s: each shape of file is tested by TestHAFiles", capturesEnv)
	}
	for _, name := range []string{"recordings/ha-files.jsonl", "recordings/series2/ha-files.jsonl"} {
		read := 0
		for line := range strings.Lines(get(t, os.DirFS(dir), name)) {
			var file struct {
				File    string
				Content *string
			}
			if err := json.Unmarshal([]byte(line), &file); err != nil {
				t.Fatal(err)
			}
			var l ha.LocalHA
			var err error
			switch path.Base(file.File) {
			case "lrm_status":
				if file.Content != nil {
					err = parseLRMStatus([]byte(*file.Content), &l)
				}
			case "manager_status":
				if file.Content != nil {
					err = parseManagerStatus([]byte(*file.Content), "pve2", &l)
				}
			default:
				continue
			}
			read++
			if file.Content != nil && (err != nil || l.LRMAt.IsZero() && l.MasterAt.IsZero()) {
				t.Errorf("%s: %v: %+v in %s", name, err, l, *file.Content)
			}
		}
		if read < 400 {
			t.Errorf("only %d files in %s", read, name)
		}
	}
}
