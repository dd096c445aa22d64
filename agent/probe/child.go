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
	"slices"
	"strings"
	"syscall"
)

// childFailed is the child's exit code when the file system answered with an error, which
// it then writes to standard error. No runtime or shell exits so by itself.
const childFailed = 77

// ChildArgument, as the first argument, makes RunChild act.
const ChildArgument = "internal-child"

// fileChild asks something of a file system in a child process, because a call to a dead
// NFS server cannot be interrupted from within: a blocked thread would stay, and with it
// this process when it is told to end. The child is killed when ctx ends. If the kernel
// does not let it go, it stays the one call of its kind in flight for its path: until it
// ends, fileChild returns an error that is context.DeadlineExceeded, at once. What the file
// system said is an *fs.PathError of the operation what.
func (h *localHost) fileChild(ctx context.Context, what, path string, more ...string) (stdout []byte, err error) {
	argv := h.options.Child
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = []string{self, ChildArgument}
	}
	cmd := exec.Command(argv[0], slices.Concat(argv[1:], []string{what, path}, more)...)
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off"} // it lives for a millisecond
	// Nobody would kill it any more if this process died before it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, complaint, err := h.children.run(ctx, what+" "+path, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == childFailed {
		return nil, &fs.PathError{Op: what, Path: path, Err: errors.New(strings.TrimSpace(string(complaint)))}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
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

// RunChild is the other end of Local's Statfs and TryWrite. A main that uses Local calls it
// first, with its arguments, and exits with code if handled is true: it does the one thing
// it is told to the one path it is given, and prints the answer, or why there is none.
func RunChild(args []string) (code int, handled bool) {
	if len(args) == 0 || args[0] != ChildArgument {
		return 0, false
	}
	return child(args[1:], os.Stdout, os.Stderr), true
}

func child(args []string, stdout, stderr io.Writer) (code int) {
	deeds := map[string]func(path string, stdout io.Writer) error{"statfs": childStatfs, "write": childWrite}
	if len(args) == 5 && args[0] == "prove" {
		return childProve(args[1], args[2], args[3], args[4] == mustBeMounted, stdout)
	}
	if len(args) != 2 || deeds[args[0]] == nil {
		fmt.Fprintf(stderr, "usage: %s statfs|write PATH, or prove PATH DEED NONCE WHERE\n", ChildArgument)
		return 2
	}
	if err := deeds[args[0]](args[1], stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return childFailed
	}
	return 0
}
