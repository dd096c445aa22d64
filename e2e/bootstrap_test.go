package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/lab"
)

// console runs a command as root of a node, as an administrator would.
func (r *rig) console(node string, args ...string) string {
	r.t.Helper()
	out, err := r.lab.Cluster.Host(node).Run(r.t.Context(), args[0], args[1:]...)
	if err != nil {
		r.t.Fatalf("%s on %s: %v\n%s", strings.Join(args, " "), node, err, out)
	}
	return string(out)
}

// file is a file of a node; empty if there is none.
func (r *rig) file(node, name string) string {
	text, err := r.lab.Cluster.Host(node).ReadFile(name)
	if err != nil {
		return ""
	}
	return string(text)
}

// tell is a command of psw-lab.
func (r *rig) tell(command string, args ...string) string {
	r.t.Helper()
	answer, err := lab.Tell(r.t.Context(), r.lab.Dir(), command, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

// declare changes network.yml of the lab's project.
func (r *rig) declare(from, to string) {
	r.t.Helper()
	name := filepath.Join(r.lab.Project, "network.yml")
	text, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		r.t.Fatalf("network.yml has no %q", from)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// byHand joins a node to node1's cluster as the wiki tells, trust between the two included.
func (r *rig) byHand(node string) {
	r.t.Helper()
	c := r.lab.Cluster
	key := r.file(node, "root/.ssh/id_rsa.pub")
	if err := c.Host("node1").WriteFile("root/.ssh/authorized_keys", []byte(r.file("node1", "root/.ssh/authorized_keys")+key), 0o600); err != nil {
		r.t.Fatal(err)
	}
	known := c.Address("node1") + " " + r.file("node1", "etc/ssh/ssh_host_ed25519_key.pub")
	if err := c.Host(node).WriteFile("root/.ssh/known_hosts", []byte(known), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.console(node, "pvecm", "add", c.Address("node1"), "--use_ssh", "1", "--link0", c.Address(node), "--link1", secondLink(c.Address(node)))
}

func secondLink(address string) string { return strings.Replace(address, ".0.", ".1.", 1) }

// A cluster that somebody forms by hand on blank nodes is seen while it grows, over joins
// that take an API away and bring it back with another certificate; a machine that is
// installed later joins it.
func TestAClusterFormedByHandIsSeen(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Blank: true})
	c := r.lab.Cluster
	r.console("node1", "pvecm", "create", "home", "--link0", c.Address("node1"), "--link1", secondLink(c.Address("node1")))
	r.byHand("node2")
	r.byHand("node3")
	r.tell("add-node", "node4")
	r.byHand("node4")
	r.wait(30*time.Second, "psw sees four nodes with quorum", func() bool {
		out, err := r.command("ha", "status").Output()
		return err == nil && strings.Count(string(out), "online") >= 4 && !strings.Contains(string(out), "offline")
	})
	if _, err := r.lab.Deploy(); err == nil || !strings.Contains(err.Error(), "psw bootstrap") {
		t.Errorf("targets were created without their storage: %v", err)
	}
	for _, node := range c.Nodes() {
		if by, _ := c.Certificate(node); by != "node1" {
			t.Errorf("%s shows a certificate of %s", node, by)
		}
		if links := r.console(node, "corosync-cfgtool", "-s"); strings.Contains(links, "disconnected") || strings.Count(links, "connected") != 6 {
			t.Error(fmt.Sprint(node, " has links:\n", links))
		}
	}
}
