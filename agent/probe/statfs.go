package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// statfsFailed is the child's exit code when the file system answered with an error, which
// it then writes to standard error. No runtime or shell exits so by itself.
const statfsFailed = 77

// StatfsChildArgument, as the first argument, makes RunStatfsChild act.
const StatfsChildArgument = "internal-statfs"

// Statfs asks a file system for its size in a child process, because a call to a dead NFS
// server cannot be interrupted from within: a blocked thread would stay, and with it this
// process when it is told to end. The child is killed when ctx ends. If the kernel does
// not let it go, it stays the one call in flight for its path: until it ends, Statfs
// returns an error that is context.DeadlineExceeded, at once.
func (h *localHost) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	argv := h.options.StatfsChild
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return 0, 0, err
		}
		argv = []string{self, StatfsChildArgument}
	}
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], path)...)
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"} // it lives for a millisecond
	// Nobody would kill it any more if this process died before it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, complaint, err := h.children.run(ctx, "statfs "+path, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == statfsFailed {
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: errors.New(strings.TrimSpace(string(complaint)))}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("statfs: %w", err)
	}
	if _, err := fmt.Sscanf(string(out), "%d %d\n", &total, &free); err != nil {
		return 0, 0, fmt.Errorf("statfs printed %.40q", out)
	}
	return total, free, nil
}

// lockThread keeps the calling goroutine on its thread while it waits for a child that is
// to die with us: the kernel means the thread that started it, not the process.
func lockThread(cmd *exec.Cmd) (unlock func()) {
	if cmd.SysProcAttr == nil || cmd.SysProcAttr.Pdeathsig == 0 {
		return func() {}
	}
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// RunStatfsChild is the other end of Local's Statfs. A main that uses Local calls it first,
// with its arguments, and exits with code if handled is true: it asks the file system at
// the one path it is given and prints total and free bytes, or why it could not.
func RunStatfsChild(args []string) (code int, handled bool) {
	if len(args) == 0 || args[0] != StatfsChildArgument {
		return 0, false
	}
	return statfsChild(args[1:], os.Stdout, os.Stderr), true
}

func statfsChild(args []string, stdout, stderr io.Writer) (code int) {
	if len(args) != 1 {
		fmt.Fprintf(stderr, "usage: %s PATH\n", StatfsChildArgument)
		return 2
	}
	var s unix.Statfs_t
	_, err := retry(func() (int, error) { return 0, unix.Statfs(args[0], &s) })
	if err != nil {
		fmt.Fprintln(stderr, err)
		return statfsFailed
	}
	size := uint64(s.Frsize)
	fmt.Fprintf(stdout, "%d %d\n", s.Blocks*size, s.Bavail*size)
	return 0
}
