package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// projectFile is the smallest project with a cluster.
const projectFile = `management:
  hosts:
    node1: {ip: 10.10.0.198, roles: [proxmox]}
    node2: {ip: 10.10.0.199, roles: [proxmox]}
    node3: {ip: 10.10.0.200, roles: [proxmox]}
cluster:
  nodes: [node1, node2, node3]
  shared_storage: {type: nfs, server: 10.10.0.50, export: /mnt/pool/psw, mount: /mnt/shared}
targets:
  core: {type: lxc, node: node1, ha: true, cores: 8, memory: 40960, disk: 200}
  media: {type: vm, node: node1, ha: true, cores: 4, memory: 8192, disk: 64}
`

// newProject makes a project folder with the given network.yml.
func newProject(t *testing.T, network string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "network.yml"), network)
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// psw runs the command with no terminal at either end.
func psw(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(t.Context(), args, strings.NewReader(""), &out, &err, environ...)
	return code, out.String(), err.String()
}

// What contradicts itself is refused before anybody is asked, each with its own sentence
// and nothing on stdout.
func TestWrongUsage(t *testing.T) {
	dir := newProject(t, projectFile)
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "psw needs a command after it: bootstrap, completion, ha, maintenance, node, operation, project, version"},
		{"maintenance", "psw maintenance needs a command after it: cancel, end, start, status, watch"},
		{"maintenancee start node1", `there is no "maintenancee" in psw; did you mean maintenance?`},
		{"maintenance begin node1", `there is no "begin" in psw maintenance; there is: cancel, end, start, status, watch`},
		{"maintenance start", "psw maintenance start needs a node, e.g. psw maintenance start node1"},
		{"maintenance start node1 node2", "psw maintenance start takes one node at a time, not 2: the next one only when this one is back"},
		{"maintenance status node1 node2", "psw maintenance status takes one node, not 2"},
		{"ha status node1", `psw ha status takes no argument, but "node1" was given`},
		{"maintenance start node1 --force", "there is no --force; name what may be overridden: --allow-overcommit, --stop-pinned or --leave-pinned, --guest SID"},
		{"maintenance start node1 --forever", "unknown flag: --forever (see psw maintenance start --help)"},
		{"maintenance end node1 --stop-pinned", "unknown flag: --stop-pinned (see psw maintenance end --help)"},
		{"maintenance start node1 --stop-pinned --leave-pinned --yes", "--stop-pinned and --leave-pinned contradict each other: a guest that cannot move is either shut down or left running"},
		{"maintenance start node1 --dry-run --detach", "--dry-run and --detach contradict each other: a dry run begins nothing that could be followed"},
		{"maintenance start node1 --deadline 0s --yes", "--deadline is how long it may take, e.g. 30m, not 0s"},
		{"maintenance start node1 --deadline soon --yes", `invalid argument "soon" for "--deadline" flag: time: invalid duration "soon" (see psw maintenance start --help)`},
		{"maintenance start node1", "cannot ask whether to proceed, because this is not a terminal: add --yes to begin, or --dry-run to see the plan only"},
		{"maintenance end node1", "cannot ask whether to proceed, because this is not a terminal: add --yes to begin, or --dry-run to see the plan only"},
		{"node remove node3 node4", "psw node remove takes one node at a time, not 2: the next one only when this one is out"},
		{"operation watch a b", "psw operation watch follows one operation, not 2: their IDs are in psw operation list"},
		{"node remove node3", "cannot ask whether node3 is off, because this is not a terminal: say so with --powered-off node3"},
		{"node remove node3 --yes", "cannot ask whether node3 is off, because this is not a terminal: say so with --powered-off node3"},
		{"node remove node3 --powered-off node3", "cannot ask whether to proceed, because this is not a terminal: add --yes to begin, or --dry-run to see the plan only"},
		{"node remove node3 --powered-off node2 --yes", "--powered-off says that node2 is off, but node3 is to be removed"},
		{"node remove node3 --yes -o json", "with -o json no question is asked: say that node3 is off with --powered-off node3"},
		{"maintenance start node1 -o json", "with -o json no question is asked: add --yes to begin, or --dry-run to see the plan"},
		{"maintenance start node1 --yes --guest 120", `--guest "120" is not a guest name: want vm:ID or ct:ID`},
		{"ha status -o yaml", `-o is text or json, not "yaml"`},
		{"ha status --quiet --verbose", "--quiet and --verbose contradict each other: give one of them"},
		{"ha status --coordinator node1", "--coordinator node1 is not host:port"},
		{"ha check --profile best", `--profile is minimum or production, not "best"`},
		{"ha simulate", "nothing fails: say what does with --fail NODE, --fail-nfs, --fail-link N or --partition A,B/C"},
		{"ha simulate node1", `psw ha simulate takes no argument, but "node1" was given`},
		{"ha simulate --fail node1 node2", `psw ha simulate takes no argument, but "node2" was given`},
		{"ha simulate --fail-nfs node1 node2", `psw ha simulate takes no argument, but "node1" was given`},
		{"ha simulate --fail node1,node1", "--fail names node1 twice"},
		{"ha simulate --fail-nfs=node1,node1", "--fail-nfs names node1 twice"},
		{"ha simulate --fail node1,,node2", "--fail has an empty name in it"},
		{"ha simulate --fail-link 0,0", "--fail-link names link 0 twice"},
		{"ha simulate --fail-link one", `invalid argument "one" for "--fail-link" flag`},
		{"ha simulate --partition node1,node2/node2,node3", "--partition puts node2 on two sides: a node is on one"},
		{"ha simulate --partition node1/", "--partition has an empty name in it"},
		{"ha simulate --fail node1 -f facts.json --coordinator node1:7443", "-f and --coordinator contradict each other: the facts are either a file's or the coordinator's"},
		{"ha simulate --fail node1 -f /nowhere/facts.json", "there is no file /nowhere/facts.json; psw ha facts -f /nowhere/facts.json makes it, where the coordinator can be reached"},
		{"ha capacity --losses 0", "--losses is how many nodes are lost at once, at least 1, not 0"},
		{"ha capacity --core-ratio -1", "--core-ratio is how many assigned cores a processor may carry, e.g. 4, or 0 to leave cores out, not -1"},
		{"ha capacity --core-ratio NaN", "--core-ratio is how many assigned cores a processor may carry, e.g. 4, or 0 to leave cores out, not NaN"},
		{"ha check --wait -5m", "--wait is how long to wait at most, e.g. 5m, not -5m0s"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := psw(t, nil, append([]string{"-C", dir}, strings.Fields(c.args)...)...)
			if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "psw: "+c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d\nstdout %q\nstderr %q\nwant exit %d and %q", code, stdout, stderr, exitUsage, "psw: "+c.want)
			}
		})
	}
}

// Whatever is missing to reach the coordinator is named, with what makes it.
func TestCannotReachTheCoordinator(t *testing.T) {
	dir := newProject(t, projectFile)
	home := filepath.Join(dir, ".psw", "ha")
	client := filepath.Join(home, "client.json")
	for _, c := range []struct {
		name    string
		client  string
		environ []string
		args    []string
		code    int
		want    []string
	}{
		{name: "no address", code: exitUsage, want: []string{"where the coordinator is", client, "PSW_HA_COORDINATOR", "--coordinator HOST:PORT"}},
		{name: "address from the environment, no certificates", environ: []string{"PSW_HA_COORDINATOR=10.10.0.9:7443"}, code: exitFailed,
			want: []string{filepath.Join(home, "ca.crt") + " does not exist", "psw-coordinator ca issue operator", "into " + home, "--tls DIR"}},
		{name: "address and folder from client.json", client: `{"coordinator": ["10.10.0.9:7443"], "tls": "keys"}`, code: exitFailed,
			want: []string{filepath.Join(home, "keys", "ca.crt") + " does not exist"}},
		{name: "client.json is no JSON", client: `coordinator: 10.10.0.9`, code: exitUsage, want: []string{client, `{"coordinator": ["HOST:PORT"], "tls": "DIR"}`}},
		{name: "client.json without a port", client: `{"coordinator": ["10.10.0.9"]}`, code: exitUsage, want: []string{client, `"10.10.0.9" is not host:port`}},
		{name: "environment without a port", environ: []string{"PSW_HA_COORDINATOR=10.10.0.9"}, code: exitUsage, want: []string{`PSW_HA_COORDINATOR holds "10.10.0.9"`}},
		{name: "flags over everything", client: `{"coordinator": ["10.10.0.9"]}`, args: []string{"--coordinator", "127.0.0.1:1", "--tls", "/nowhere"}, code: exitFailed,
			want: []string{"/nowhere/ca.crt does not exist"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			os.RemoveAll(home)
			if c.client != "" {
				writeFile(t, client, c.client)
			}
			code, stdout, stderr := psw(t, c.environ, append([]string{"-C", dir, "ha", "status"}, c.args...)...)
			if code != c.code || stdout != "" {
				t.Errorf("exit %d, stdout %q; want exit %d and nothing", code, stdout, c.code)
			}
			for _, part := range c.want {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr %q does not say %q", stderr, part)
				}
			}
		})
	}
}

func TestNoProject(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"ha", "status"}, {"project", "validate"}, {"maintenance", "start", "node1", "--yes"}} {
		code, _, stderr := psw(t, nil, args...)
		if code != exitUsage || !strings.Contains(stderr, "network.yml") || !strings.Contains(stderr, "-C DIR") {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	code, _, stderr := psw(t, nil, "-C", "/nowhere", "ha", "status")
	if code != exitUsage || !strings.Contains(stderr, "/nowhere is no project: it holds no network.yml") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestVersionAndHelp(t *testing.T) {
	if code, stdout, _ := psw(t, nil, "version"); code != 0 || !strings.HasPrefix(stdout, "psw ") {
		t.Errorf("version: exit %d, %q", code, stdout)
	}
	if code, stdout, _ := psw(t, nil, "version", "-o", "json"); code != 0 || !strings.Contains(stdout, `"version": "`) {
		t.Errorf("version -o json: exit %d, %q", code, stdout)
	}
	code, stdout, stderr := psw(t, nil, "maintenance", "start", "--help")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	golden(t, "help_maintenance_start", stdout)
	_, stdout, _ = psw(t, nil, "--help")
	golden(t, "help", stdout)
}

// The shell completes nodes and targets from the project.
func TestCompletion(t *testing.T) {
	dir := newProject(t, projectFile)
	_, stdout, _ := psw(t, nil, "__complete", "-C", dir, "maintenance", "start", "")
	if !strings.HasPrefix(stdout, "node1\nnode2\nnode3\n") {
		t.Errorf("nodes: %q", stdout)
	}
	_, stdout, _ = psw(t, nil, "__complete", "-C", dir, "ha", "check", "--target", "")
	if !strings.HasPrefix(stdout, "core\nmedia\n") {
		t.Errorf("targets: %q", stdout)
	}
	if code, stdout, _ := psw(t, nil, "completion", "bash"); code != 0 || !strings.Contains(stdout, "psw") {
		t.Errorf("completion bash: exit %d, %d bytes", code, len(stdout))
	}
}

// An answer that could not be written is no success.
func TestFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stderr bytes.Buffer
	code := Main(t.Context(), []string{"version"}, strings.NewReader(""), f, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "cannot write the answer") {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}
