//go:build vm

package vm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/vm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// inside marks the process that runs in the sandbox.
const inside = "PSW_HA_VM_INSIDE"

// rig is what all stories share.
var rig *vm.Rig

// start begins a story, with agents on the nodes that it looks at.
func start(t *testing.T, agents ...string) *vm.Lab {
	t.Helper()
	return vm.Start(t, rig, agents...)
}

// share begins a story that leaves the cluster as it finds it, so that others can have it.
func share(t *testing.T, agents ...string) *vm.Lab {
	t.Helper()
	return vm.Share(t, rig, agents...)
}

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() (int, error) { return withLab(ctx, m) }
	if os.Getenv(pretended) != "" {
		run = func() (int, error) { return pretend(ctx) }
	}
	code, err := run()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot run the lab: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// withLab makes what needs the outside world, and runs this same program again in a
// sandbox, where the stories are.
func withLab(ctx context.Context, m *testing.M) (int, error) {
	o, err := options()
	if err != nil {
		return 1, err
	}
	if os.Getenv(inside) != "" {
		if rig, err = vm.Open(ctx, o, os.Environ()); err != nil {
			return 1, err
		}
		code := m.Run()
		fmt.Print(rig.Summary())
		return code, nil
	}
	if os.Geteuid() != 0 {
		return 1, errors.New("it makes namespaces and network interfaces, and needs root")
	}
	began := time.Now()
	held, err := vm.Prepare(ctx, o)
	if err != nil {
		return 1, err
	}
	defer held.Close()
	defer func() {
		o.Log("%s in all; what ran in the machines' sandbox ended with it", time.Since(began).Round(time.Second))
	}()
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	return vm.Sandbox(ctx, append(os.Environ(), inside+"=1"), self, os.Args[1:]...)
}

func options() (vm.Options, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return vm.Options{}, err
	}
	source, err := filepath.Abs("../..")
	return vm.Options{Cache: filepath.Join(cache, "psw-ha", "vm"), Source: source, Log: func(format string, args ...any) {
		fmt.Println("lab: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
	}}, err
}

// View is what the stories look at.
type View = vm.View

// nodes are the cluster's.
var nodes = []string{"pve1", "pve2", "pve3"}

// mustReport is a node's newest report.
func mustReport(t *testing.T, v View, node string) ha.Report {
	t.Helper()
	r, ok := v.Report(node)
	if !ok {
		t.Fatalf("%s has never reported", node)
	}
	return r
}
