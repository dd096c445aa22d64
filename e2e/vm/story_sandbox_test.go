//go:build vm

package vm_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
)

// pretended makes this program run a small sandbox instead of the stories.
const pretended = "PSW_HA_VM_PRETENDED"

// pretend is a lab in small: an interface, and a process that nobody waits for. It tells its
// network namespace and stays until it is ended.
func pretend(ctx context.Context) (int, error) {
	return vm.Sandbox(ctx, os.Environ(), "sh", "-c", "ip link add left-behind type dummy; (setsid sleep 98765 &); readlink /proc/self/ns/net; sleep 98765")
}

// However a lab ends, nothing is left of it: no process, no interface, no namespace.
func TestNothingIsLeftBehind(t *testing.T) {
	for _, tt := range []struct {
		how    string
		signal syscall.Signal
	}{{"Ctrl-C", syscall.SIGINT}, {"a time-out's SIGTERM", syscall.SIGTERM}, {"kill -9", syscall.SIGKILL}} {
		t.Run(tt.how, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), pretended+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			namespace, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			namespace = strings.TrimSpace(namespace)
			if left := living(namespace); len(left) < 2 {
				t.Fatalf("the sandbox has %d processes: it proves nothing", len(left))
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // a signal ended it, or the sandbox's exit code did
			limit := time.Now().Add(30 * time.Second)
			for len(living(namespace)) > 0 && time.Now().Before(limit) {
				time.Sleep(20 * time.Millisecond)
			}
			if left := living(namespace); len(left) > 0 {
				t.Errorf("after %s these are left: %v", tt.how, left)
			}
			if exec.Command("ip", "link", "show", "left-behind").Run() == nil {
				t.Error("its interface is ours")
			}
		})
	}
}

// living are the processes in a network namespace.
func living(namespace string) []string {
	all, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	var list []string
	for _, path := range all {
		if ns, err := os.Readlink(path); err == nil && ns == namespace {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "cmdline"))
			list = append(list, fmt.Sprintf("%q", strings.ReplaceAll(string(cmdline), "\x00", " ")))
		}
	}
	return list
}
