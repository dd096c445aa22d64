package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// Sandbox runs a command with namespaces of its own for processes, network, mounts, IPC and
// host name, and returns its exit code. Everything the command starts or makes there ends
// with it, by the kernel's hand: when the first process of such a namespace ends, however
// it does, the kernel kills the others, and with the last of them go interfaces, bridges
// and mounts. If ctx ends, or the calling process is killed, so is the command.
func Sandbox(ctx context.Context, env []string, name string, args ...string) (code int, err error) {
	// The kernel kills the command when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true, // a Ctrl-C is for the caller, who ends ctx
	}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if ctx.Err() != nil {
			return exit.ExitCode(), ctx.Err()
		}
		return exit.ExitCode(), nil
	}
	if errors.Is(err, syscall.EPERM) {
		return 1, fmt.Errorf("cannot make namespaces for the lab: %w; it needs root", err)
	}
	return 0, err
}

// settle makes a Sandbox's command at home: its own /proc, a memory file system on dir that
// nobody else sees, and the cluster's three networks.
func settle(ctx context.Context, dir string) error {
	const sizeMax = "size=4g,mode=0700"
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"lab", dir, "tmpfs", 0, sizeMax},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("cannot mount %s for the lab: %w", m.target, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "share"), 0o755); err != nil {
		return err
	}
	goFirst()
	return makeNetworks(ctx)
}

// niceness has the machines scheduled before what else runs on the host. Without KVM a
// starved machine is one whose tools do not answer in time, and agents rightly say so.
const niceness = -10

// goFirst sets it for the sandbox as a whole, where the kernel weighs sessions against each
// other; between processes of one session each machine's own counts. Where neither is
// allowed, the stories take longer.
func goFirst() { _ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(niceness)), 0) }

// lock takes the file for this process, for as long as it lives: one lab at a time is as
// much as a small machine can run.
func lock(path string, wait func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		wait()
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		return f, err
	} else if err != nil {
		return nil, err
	}
	return f, nil
}
