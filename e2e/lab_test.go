package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/lab"
)

// built is the folder of the binaries, if a test needed them.
var built string

// binaries are psw and psw-coordinator, built once for these tests.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "psw-ha-e2e")
	if err != nil {
		return "", err
	}
	built = dir
	out, err := exec.Command("go", "build", "-o", dir, "../coordinator/cmd/psw", "../coordinator/cmd/psw-coordinator").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// rig is a lab and the real psw in front of it.
type rig struct {
	t   *testing.T
	lab *lab.Lab
	psw string
}

func newRig(t *testing.T, restart bool) *rig {
	t.Helper()
	return rigOf(t, lab.Options{Restart: restart})
}

// rigOf builds a lab with those options and what every test has in common.
func rigOf(t *testing.T, o lab.Options) *rig {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	o.Dir, o.Speed, o.Coordinator = filepath.Join(t.TempDir(), "lab"), 10, filepath.Join(dir, "psw-coordinator")
	o.Environ, o.Log, o.Notify = os.Environ(), slog.New(slog.DiscardHandler), t.Logf
	l, err := lab.Start(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(l.Dir(), "coordinator.log"))
			t.Logf("coordinator.log:\n%s", log)
		}
		l.Close()
		cancel()
	})
	return &rig{t: t, lab: l, psw: filepath.Join(dir, "psw")}
}

// command is psw on the lab's project, not started yet.
func (r *rig) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.t.Context(), r.psw, append([]string{"-C", r.lab.Project}, args...)...)
	cmd.Env = []string{"HOME=" + r.t.TempDir(), "PATH=" + os.Getenv("PATH")}
	return cmd
}

// run runs psw and demands an exit code. It returns what was printed.
func (r *rig) run(code int, args ...string) string {
	r.t.Helper()
	var out bytes.Buffer
	cmd := r.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		r.t.Fatalf("psw %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

func (r *rig) wait(limit time.Duration, what string, holds func() bool) {
	r.t.Helper()
	if err := lab.WaitFor(r.t.Context(), limit, what, holds); err != nil {
		truth, _ := lab.Tell(context.Background(), r.lab.Dir(), "truth")
		r.t.Fatalf("%v\n%s", err, truth)
	}
}

func (r *rig) empty(node string) bool { return len(r.lab.Cluster.Running(node)) == 0 }

func (r *rig) at(name string) string {
	for _, g := range r.lab.Cluster.Guests() {
		if g.Name == name {
			return g.Running
		}
	}
	return ""
}

func (r *rig) unharmed() {
	r.t.Helper()
	if twice := r.lab.Cluster.DoubleRun(); len(twice) > 0 {
		r.t.Errorf("%s ran on %v at once", twice[0].SID, twice[0].Nodes)
	}
	for _, name := range []string{"core", "media", "photos"} {
		if r.at(name) == "" {
			r.t.Errorf("%s is lost: it runs nowhere", name)
		}
	}
}

// moves counts how often Proxmox really began to move each guest.
func (r *rig) moves() map[string]int {
	n := make(map[string]int)
	for _, task := range r.lab.Cluster.Tasks() {
		if task.Type == "qmigrate" || task.Type == "vzmigrate" {
			n[task.ID]++
		}
	}
	return n
}

// The coordinator is killed in the middle of a drain and started again: the drain goes on
// to its end, no guest is lost, and none is moved twice. psw keeps following.
func TestACoordinatorKilledMidDrainGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	var out bytes.Buffer
	cmd := r.command("maintenance", "start", "node1", "--yes")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait(20*time.Second, "the first guest leaves node1", func() bool { return len(r.moves()) > 0 })
	if err := r.lab.KillCoordinator(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("psw did not follow through: %v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "safe to power off") || !r.empty("node1") {
		t.Errorf("node1 is not empty, or psw did not say so:\n%s", out.String())
	}
	for id, n := range r.moves() {
		if n > 1 {
			t.Errorf("guest %s was moved %d times", id, n)
		}
	}
	r.unharmed()
}

// Ctrl-C stops following, never the drain; psw says so, and another psw takes it up.
func TestCtrlCStopsFollowingOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	cmd := r.command("maintenance", "start", "node1", "--yes")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	r.wait(20*time.Second, "the first guest leaves node1", func() bool { return len(r.moves()) > 0 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code is looked at below
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("psw ended with %d after Ctrl-C, want 130", code)
	}
	if !strings.Contains(talk.String(), "maintenance watch node1") {
		t.Errorf("psw did not say how to take the drain up again:\n%s", talk.String())
	}
	if answer := r.run(0, "maintenance", "watch", "node1"); !strings.Contains(answer, "safe to power off") {
		t.Errorf("the watcher did not see the drain through:\n%s", answer)
	}
	r.unharmed()
}

// A second node is refused while one is in maintenance; the first one's power may be cut,
// and when it is back everything comes home.
func TestADrainedNodeIsPoweredOffAndComesHome(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.run(0, "maintenance", "start", "node1", "--yes")
	refusal := r.run(3, "maintenance", "start", "node2", "--yes")
	if !strings.Contains(refusal, "psw maintenance end node1") {
		t.Errorf("the refusal does not say what to type:\n%s", refusal)
	}
	before := r.moves()
	r.lab.Cluster.PowerOff("node1")
	// A minute of the cluster's time: whatever the HA manager would do, it does now.
	r.wait(20*time.Second, "the cluster sees that node1 is off", func() bool {
		return strings.Contains(r.run(0, "ha", "status"), "offline")
	})
	refusal = r.run(3, "maintenance", "end", "node1", "--yes")
	if !strings.Contains(refusal, "power it on") {
		t.Errorf("the refusal does not say what to do:\n%s", refusal)
	}
	r.lab.Cluster.PowerOn("node1")
	r.wait(30*time.Second, "node1 has booted", func() bool { return r.lab.Cluster.Up("node1") })
	r.wait(30*time.Second, "node1's agent reports", func() bool {
		return !strings.Contains(r.run(0, "ha", "status"), "offline")
	})
	if !r.empty("node1") || fmt.Sprint(before) != fmt.Sprint(r.moves()) {
		t.Error("something returned to node1 before maintenance ended")
	}
	r.wait(60*time.Second, "node1 is fit to come back", func() bool {
		cmd := r.command("maintenance", "end", "node1", "--yes")
		return cmd.Run() == nil
	})
	for _, name := range []string{"core", "media", "photos"} {
		if at := r.at(name); at != "node1" {
			t.Errorf("%s is on %q after the end of maintenance", name, at)
		}
	}
	r.unharmed()
}

// The source page's own project, two nodes in network.yml, is drained and brought home; the
// cluster's third node, which it does not declare, is its third vote.
func TestTheSourcePagesOwnProject(t *testing.T) {
	t.Parallel()
	r := rigOf(t, lab.Options{Project: "../deploy/config/example"})
	r.run(0, "project", "validate")
	if answer := r.run(0, "maintenance", "start", "node1", "--yes"); !strings.Contains(answer, "safe to power off") || !r.empty("node1") {
		t.Errorf("node1 is not empty, or psw did not say so:\n%s", answer)
	}
	r.run(0, "maintenance", "end", "node1", "--yes")
	for _, home := range []struct{ target, node string }{{"core", "node1"}, {"media", "node1"}, {"monitoring", "node2"}} {
		if at := r.at(home.target); at != home.node {
			t.Errorf("%s is on %q, not at home on %s", home.target, at, home.node)
		}
	}
}
