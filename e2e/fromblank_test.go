package e2e_test

import (
	"bytes"
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

// bootstrap begins psw bootstrap; what it prints is in out. The targets are deployed as
// soon as their storage is mounted everywhere, which it waits for.
func (r *rig) bootstrap(meanwhile func()) (out string) {
	r.t.Helper()
	r.wait(60*time.Second, "bootstrap may begin", func() bool { return r.command("bootstrap", "--dry-run").Run() == nil })
	var text bytes.Buffer
	cmd := r.command("bootstrap", "--yes")
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	meanwhile()
	r.wait(90*time.Second, "the shared storage is mounted on every node", func() bool {
		for _, node := range r.lab.Cluster.Nodes() {
			if !r.mounted(node) {
				return false
			}
		}
		return true
	})
	r.tell("deploy")
	if err := <-ended; err != nil {
		r.t.Fatalf("psw bootstrap: %v\n%s", err, text.String())
	}
	return text.String()
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
		if strings.Contains(line, "  +  todo") {
			r.t.Errorf("a second bootstrap has something to do: %s", line)
		}
	}
}

// Three blank nodes become a protected cluster with one command, while PSW deploys the
// targets; a second run changes nothing. A fourth machine joins when it is declared.
func TestBlankNodesBecomeAProtectedCluster(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Blank: true, Restart: true})
	r.bootstrap(func() {})
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
