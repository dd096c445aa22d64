package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// faultyProject has three faults, two of them in one line, and a key nobody knows.
const faultyProject = `management:
  hosts:
    node1: {ip: 10.10.0.198, roles: [proxmox]}
    node2: {ip: 10.10.0.199, roles: [proxmox]}
cluster:
  nodes: [node1, node2, node9]
  colour: blue
targets:
  core: {type: lxd, node: node7, ha: true}
`

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, network string
		args          []string
		code          int
	}{
		{"validate_valid", projectFile, nil, exitDone},
		{"validate_faults", faultyProject, nil, exitUsage},
		{"validate_faults_json", faultyProject, []string{"-o", "json"}, exitUsage},
		{"validate_valid_json", projectFile, []string{"-o", "json"}, exitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newProject(t, c.network)
			code, stdout, stderr := psw(t, nil, append([]string{"-C", dir, "project", "validate"}, c.args...)...)
			golden(t, c.name, strings.ReplaceAll(transcript("psw project validate "+strings.Join(c.args, " "), code, stdout, stderr), dir, "/srv/home"))
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
		})
	}
}

// With --strict a warning makes the project invalid; a notice never does.
func TestValidateStrict(t *testing.T) {
	twoNodes := strings.Replace(strings.Replace(projectFile, "  nodes: [node1, node2, node3]", "  nodes: [node1, node2]", 1), "    node3: {ip: 10.10.0.200, roles: [proxmox]}\n", "", 1)
	dir := newProject(t, twoNodes)
	code, stdout, _ := psw(t, nil, "-C", dir, "project", "validate")
	if code != exitDone || !strings.Contains(stdout, "WARN: ") {
		t.Fatalf("two nodes without a QDevice: exit %d\n%s", code, stdout)
	}
	code, _, stderr := psw(t, nil, "-C", dir, "project", "validate", "--strict")
	if code != exitUsage || !strings.Contains(stderr, "--strict was asked for") {
		t.Errorf("--strict: exit %d, %q", code, stderr)
	}
	dir = newProject(t, strings.Replace(projectFile, "cluster:", "colour: blue\ncluster:", 1))
	code, stdout, _ = psw(t, nil, "-C", dir, "project", "validate", "--strict")
	if code != exitDone || !strings.Contains(stdout, "NOTICE: ") {
		t.Errorf("an unknown key: exit %d\n%s", code, stdout)
	}
}

// A project with faults is used for nothing, and says how to see them all.
func TestInvalidProjectIsNotUsed(t *testing.T) {
	dir := newProject(t, faultyProject)
	for _, args := range []string{"maintenance start node1 --yes", "ha plan", "ha check"} {
		code, _, stderr := psw(t, nil, append([]string{"-C", dir}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(stderr, "network.yml:") || !strings.Contains(stderr, "psw project validate") {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
}

// The JSON of a valid project holds nodes, cluster, storage and ha flags.
func TestValidateJSONHoldsTheProject(t *testing.T) {
	dir := newProject(t, projectFile)
	_, stdout, _ := psw(t, nil, "-C", dir, "project", "validate", "-o", "json")
	var d struct {
		Valid  bool
		Policy struct {
			Cluster struct {
				Nodes   []string
				Storage struct{ Export string } `json:"shared_storage"`
			}
			Targets []struct {
				Name string
				HA   bool
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Valid || len(d.Policy.Cluster.Nodes) != 3 || d.Policy.Cluster.Storage.Export != "/mnt/pool/psw" || len(d.Policy.Targets) != 2 || !d.Policy.Targets[0].HA {
		t.Errorf("got %+v", d)
	}
}
