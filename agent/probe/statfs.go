package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Statfs asks a file system for its size in a child process: see fileChild. The child is
// stat(1), which every Debian has. This program can do it itself, and does where there is no
// stat, but making all of it ready takes many times the processor time of the question,
// every few seconds and for every mount.
func (h *localHost) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	var size, blocks, available uint64
	program, missing := h.find("stat")
	if len(h.options.Child) == 0 && missing == nil {
		out, err := h.askStat(ctx, program, path)
		if err != nil {
			return 0, 0, err
		}
		if _, err := fmt.Sscanf(string(out), "%d %d %d\n", &size, &blocks, &available); err != nil {
			return 0, 0, fmt.Errorf("stat printed %.40q", out)
		}
		return size * blocks, size * available, nil
	}
	out, err := h.fileChild(ctx, "statfs", path)
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(string(out), "%d %d\n", &total, &free); err != nil {
		return 0, 0, fmt.Errorf("statfs printed %.40q", out)
	}
	return total, free, nil
}

// askStat asks with stat(1). It prints what the file system said, in C's own words and with
// exit code 1; any other end says nothing about the file system.
func (h *localHost) askStat(ctx context.Context, program, path string) ([]byte, error) {
	cmd := exec.Command(program, "--file-system", "--format=%S %b %a", "--", path)
	cmd.Args[0] = "stat" // its complaints begin with it
	cmd.Env = []string{"LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, complaint, err := h.children.run(ctx, "statfs "+path, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		if said, ok := statComplaint(string(complaint)); ok {
			return nil, &fs.PathError{Op: "statfs", Path: path, Err: errors.New(said)}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("statfs: %w", err)
	}
	return out, nil
}

// statComplaint finds what the file system said in what stat(1) did:
// stat: cannot read file system information for 'PATH': Stale file handle.
func statComplaint(complaint string) (said string, ok bool) {
	const head = "stat: cannot read file system information for "
	line := strings.TrimSuffix(complaint, "\n")
	if !strings.HasPrefix(line, head) || strings.Contains(line, "\n") {
		return "", false
	}
	k := strings.LastIndex(line, ": ")
	if k < len(head) {
		return "", false
	}
	said = line[k+2:]
	if said == "" {
		return "", false
	}
	return strings.ToLower(said[:1]) + said[1:], true
}

// childStatfs is Statfs in the child.
func childStatfs(path string, stdout io.Writer) error {
	var s unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Statfs(path, &s) }); err != nil {
		return err
	}
	size := uint64(s.Frsize)
	fmt.Fprintf(stdout, "%d %d\n", s.Blocks*size, s.Bavail*size)
	return nil
}
