package e2e_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/lab"
)

// member reports whether a node is in the cluster, with quorum and a certificate of the
// cluster's own authority.
func (r *rig) member(node string) bool {
	by, _ := r.lab.Cluster.Certificate(node)
	return by == "node1" && r.lab.Cluster.Quorate(node) && strings.Contains(r.file(node, "etc/pve/corosync.conf"), "name: "+node)
}

func (r *rig) mounted(node string) bool {
	return strings.Contains(r.file(node, "proc/self/mountinfo"), "10.10.0.50:/mnt/pool/psw ")
}

// formed fails unless those nodes are members and each has mounted the shared storage.
func (r *rig) formed(nodes ...string) {
	r.t.Helper()
	for _, node := range nodes {
		if !r.member(node) || !r.mounted(node) {
			r.t.Errorf("%s: member %v, storage mounted %v", node, r.member(node), r.mounted(node))
		}
	}
}

// unchanged runs bootstrap once more: Proxmox's files stay as they are, to the byte, and
// psw says so.
func (r *rig) unchanged() {
	r.t.Helper()
	before := r.files("node1")
	out := r.run(0, "bootstrap", "--yes")
	for name, text := range r.files("node1") {
		if text != before[name] {
			r.t.Errorf("a second bootstrap changed /%s:\n%s\nwas:\n%s", name, text, before[name])
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "  +  todo") && !strings.Contains(line, "core apps") { // whose hook says so itself
			r.t.Errorf("a second bootstrap has something to do: %s", line)
		}
	}
}

// Three blank nodes become a protected cluster with one command, whose hook deploys the
// targets; a second run changes nothing. A fourth machine joins when it is declared.
func TestBlankNodesBecomeAProtectedCluster(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Blank: true, Restart: true, PSWLab: pswLab(t)})
	r.wait(60*time.Second, "bootstrap may begin", func() bool { return r.command("bootstrap", "--dry-run").Run() == nil })
	r.run(0, "bootstrap", "--yes")
	r.formed("node1", "node2", "node3")
	if !r.protected() {
		t.Errorf("psw said it was done, and Proxmox has:\n%s", r.file("node1", "etc/pve/ha/resources.cfg"))
	}
	r.unchanged()
	r.declare("      ip: 10.10.0.200\n      roles: [proxmox]\n", "      ip: 10.10.0.200\n      roles: [proxmox]\n    node4:\n      ip: 10.10.0.201\n      roles: [proxmox]\n")
	r.declare("nodes: [node1, node2, node3]\n", "nodes: [node1, node2, node3, node4]\n")
	r.tell("add-node", "node4")
	r.wait(60*time.Second, "node4 may join", func() bool { return r.command("node", "cluster", "--dry-run").Run() == nil })
	r.run(0, "node", "cluster", "--yes")
	r.wait(20*time.Second, "node4 has mounted the storage", func() bool { return r.mounted("node4") })
	r.formed("node1", "node2", "node3", "node4")
	if !r.protected() {
		t.Error("the fourth node's join cost a target its protection")
	}
	r.unharmed()
}

// pswLab is the psw-lab binary, whose deploy is the core apps of a bootstrap.
func pswLab(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "psw-lab")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./lab/cmd/psw-lab").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// Without a hook nobody has deployed anything yet: a bootstrap ends with the cluster and its
// storage, says what does not exist, and what to type when it does.
func TestABootstrapWithoutTargetsSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Blank: true, Restart: true})
	r.wait(60*time.Second, "bootstrap may begin", func() bool { return r.command("bootstrap", "--dry-run").Run() == nil })
	out := r.run(3, "bootstrap", "--yes")
	for _, want := range []string{"core, media, monitoring, photos", `media: target media: no guest is called "media"`, "ha apply"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	r.formed("node1", "node2", "node3")
	r.tell("deploy")
	r.wait(60*time.Second, "HA may be registered", func() bool { return r.command("ha", "apply", "--dry-run").Run() == nil })
	r.run(0, "ha", "apply", "--yes")
	if !r.protected() {
		t.Errorf("Proxmox has:\n%s", r.file("node1", "etc/pve/ha/resources.cfg"))
	}
	r.unharmed()
}

// The coordinator, and then the joining node's agent, are killed in the middle of a join:
// bootstrap goes on to the same end.
func TestABootstrapOutlivesCoordinatorAndAgent(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Blank: true, Restart: true, PSWLab: pswLab(t)})
	defer func() {
		if t.Failed() {
			said, _ := r.command("-o", "json", "operation", "list").CombinedOutput()
			t.Logf("psw operation list said:\n%s", said)
		}
	}()
	r.wait(60*time.Second, "bootstrap may begin", func() bool { return r.command("bootstrap", "--dry-run").Run() == nil })
	var said bytes.Buffer
	cmd := r.command("bootstrap", "--yes")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait(60*time.Second, "node2 joins", func() bool { return r.lab.Cluster.Joining("node2") != "" })
	if err := r.lab.KillCoordinator(); err != nil {
		t.Fatal(err)
	}
	r.wait(60*time.Second, "node3 joins", func() bool { return r.lab.Cluster.Joining("node3") != "" })
	r.tell("kill-agent", "node3")
	r.wait(90*time.Second, "the shared storage is mounted on every node", func() bool { // nobody waits for an answer that does not come
		return !slices.ContainsFunc(r.lab.Cluster.Nodes(), func(n string) bool { return !r.mounted(n) })
	})
	if err := cmd.Wait(); err != nil {
		t.Fatalf("psw bootstrap: %v\n%s", err, said.String())
	}
	r.formed("node1", "node2", "node3")
	if !r.protected() {
		t.Error("psw said it was done, and a target is not registered")
	}
	r.unchanged()
	r.unharmed()
}
