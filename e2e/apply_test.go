package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/lab"
)

// The files of Proxmox's that a second run must leave as they are, to the byte.
var registered = []string{"etc/pve/storage.cfg", "etc/pve/ha/resources.cfg", "etc/pve/ha/rules.cfg", "etc/pve/corosync.conf"}

func (r *rig) files(node string) map[string]string {
	files := make(map[string]string)
	for _, name := range registered {
		files[name] = r.file(node, name)
	}
	return files
}

// post asks a node's API for a change, as an administrator would.
func (r *rig) post(node, path string, form url.Values) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://"+node+":8006/api2/json"+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", lab.Authorization)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := r.lab.Cluster.Transport().RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		r.t.Fatalf("POST %s: %s %s", path, resp.Status, body)
	}
}

// mount registers the project's shared storage by hand.
func (r *rig) mount() {
	r.t.Helper()
	r.post("node1", "/storage", url.Values{"storage": {"psw"}, "type": {"nfs"}, "server": {"10.10.0.50"}, "export": {"/mnt/pool/psw"},
		"path": {"/mnt/shared"}, "content": {"images,rootdir"}})
	r.wait(20*time.Second, "every node has mounted the storage", func() bool {
		for _, node := range r.lab.Cluster.Nodes() {
			if !strings.Contains(r.file(node, "proc/self/mountinfo"), "10.10.0.50:/mnt/pool/psw ") {
				return false
			}
		}
		return true
	})
}

// protected reports whether Proxmox has every target of the project that says ha: true.
func (r *rig) protected() bool {
	resources, rules := r.file("node1", "etc/pve/ha/resources.cfg"), r.file("node1", "etc/pve/ha/rules.cfg")
	for _, target := range []string{"core", "media", "monitoring", "photos"} {
		if !strings.Contains(resources, "psw-ha: target "+target) || !strings.Contains(rules, "psw-"+target) {
			return false
		}
	}
	return !strings.Contains(resources, "target backup")
}

// onBareCluster is a cluster that was formed by hand on blank nodes, with its storage and the
// project's targets, none of which is registered.
func onBareCluster(t *testing.T) *rig {
	t.Helper()
	r := rigOf(t, lab.Options{Blank: true, Restart: true})
	c := r.lab.Cluster
	r.console("node1", "pvecm", "create", "home", "--link0", c.Address("node1"), "--link1", secondLink(c.Address("node1")))
	r.byHand("node2")
	r.byHand("node3")
	r.mount()
	r.tell("deploy")
	var said []byte
	defer func() {
		if t.Failed() {
			t.Logf("psw ha apply --dry-run said:\n%s", said)
		}
	}()
	r.wait(60*time.Second, "HA may be registered", func() (ready bool) {
		var err error
		said, err = r.command("ha", "apply", "--dry-run").CombinedOutput()
		return err == nil
	})
	return r
}

// What was deployed on fresh nodes is protected by one apply; a second one changes nothing,
// to the byte, and says so.
func TestDeployedTargetsAreProtected(t *testing.T) {
	t.Parallel()
	r := onBareCluster(t)
	if r.protected() {
		t.Fatal("the targets were under HA before anybody asked for it")
	}
	r.run(0, "ha", "apply", "--yes")
	if !r.protected() {
		t.Errorf("psw said it was done, and Proxmox has:\n%s", r.file("node1", "etc/pve/ha/resources.cfg"))
	}
	before := r.files("node1")
	r.run(0, "ha", "apply", "--yes")
	for name, text := range r.files("node1") {
		if text != before[name] {
			t.Errorf("a second apply changed /%s:\n%s\nwas:\n%s", name, text, before[name])
		}
	}
	r.unharmed()
}

// The coordinator is killed in the middle of an apply and started again: the apply goes on to
// its end, and nothing is registered twice.
func TestACoordinatorKilledMidApplyGoesOn(t *testing.T) {
	t.Parallel()
	r := onBareCluster(t)
	var out bytes.Buffer
	cmd := r.command("ha", "apply", "--yes")
	cmd.Stdout, cmd.Stderr = &out, &out
	r.lab.Cluster.DelayAnswers(-1, "/cluster/ha/r", 300*time.Millisecond) // so that there is a middle
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait(30*time.Second, "the first target is registered", func() bool { return r.file("node1", "etc/pve/ha/resources.cfg") != "" })
	if err := r.lab.KillCoordinator(); err != nil {
		t.Fatal(err)
	}
	r.lab.Cluster.ClearAnswers()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("psw did not follow through: %v\n%s", err, out.String())
	}
	if !r.protected() {
		t.Errorf("psw said it was done:\n%s", out.String())
	}
	before := r.files("node1")
	r.run(0, "ha", "apply", "--yes")
	if after := r.files("node1"); after["etc/pve/ha/resources.cfg"] != before["etc/pve/ha/resources.cfg"] || after["etc/pve/ha/rules.cfg"] != before["etc/pve/ha/rules.cfg"] {
		t.Error("a second apply changed what the first one had registered")
	}
	r.unharmed()
}
