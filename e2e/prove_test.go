package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// says demands that an answer holds each of these, wherever its lines break.
func (r *rig) says(answer string, want ...string) {
	r.t.Helper()
	for _, w := range want {
		if !strings.Contains(strings.Join(strings.Fields(answer), " "), w) {
			r.t.Errorf("it does not say %q:\n%s", w, answer)
		}
	}
}

// proves waits until a trial ends with an exit code: agents report in their own time.
func (r *rig) proves(code int, args ...string) (said string) {
	r.t.Helper()
	r.wait(60*time.Second, "psw "+strings.Join(args, " ")+" ends as it should", func() bool {
		cmd := r.command(args...)
		out, _ := cmd.CombinedOutput()
		said = string(out)
		return cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == code
	})
	return said
}

// A storage is proved shared by writing and reading. On one node the NFS is not mounted, and
// nobody notices: a folder of the same name is there, it can be written, Proxmox calls it
// active. That is found, named, and gone when it is mended.
func TestAFolderInTheStoragesPlaceIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.says(r.proves(0, "ha", "prove"), "= storage psw on /mnt/shared =", "wrote it", "reads it, and can write", "Shared: every node sees and writes the same")

	r.tell("mask-storage", "node2")
	r.says(r.proves(3, "ha", "prove"), "FAIL: node2:", "Not proved shared: 1 storage of 1.")
	verdict := r.proves(3, "ha", "check", "--only", "STORAGE_PROVED_NOT_SHARED")
	r.says(verdict, "/mnt/shared is a folder of node2's own disk", "[STORAGE_PROVED_NOT_SHARED]", "HA is not ready.")
	if strings.Contains(verdict, "folder of node1") || strings.Contains(verdict, "folder of node3") {
		t.Errorf("a node is named that is well:\n%s", verdict)
	}

	r.tell("unmask-storage", "node2")
	r.says(r.proves(0, "ha", "check", "--prove", "--only", "STORAGE_PROVED_NOT_SHARED,STORAGE_NOT_PROVED_SHARED"), "HA is ready.")
	r.unharmed()
}

// The matrix of who reaches whose BMC is whole; then one cable is cut, and the one cell that
// is dead is named, in the matrix and in the verdict. No power is touched.
func TestABMCThatOneNodeCannotReachIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	for range 3 {
		r.declare("      # bmc: {address:", "      bmc: {address:")
	}
	r.says(r.proves(0, "ha", "fence-test"), "BMC of node3", "Every node reaches every other node's BMC: 6 of 6 cells answer.")

	r.tell("cut-bmc", "node3", "node1")
	r.says(r.proves(3, "ha", "fence-test"), "FAIL: node1 -> node3:", "1 of 6 cells do not answer.")
	r.says(r.proves(3, "ha", "check", "--prove", "--profile", "production", "--only", "FENCE_UNREACHABLE"), "node1 -> node3:", "[FENCE_UNREACHABLE]")

	r.tell("heal-bmc", "node3", "node1")
	r.says(r.proves(0, "ha", "fence-test"), "6 of 6 cells answer")
	for _, node := range r.lab.Cluster.Nodes() {
		if !r.lab.Cluster.Up(node) {
			t.Errorf("%s has lost its power", node)
		}
	}
	r.unharmed()
}
