package probe

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Statfs asks a file system for its size in a child process: see fileChild.
func (h *localHost) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	out, err := h.fileChild(ctx, "statfs", path)
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(string(out), "%d %d\n", &total, &free); err != nil {
		return 0, 0, fmt.Errorf("statfs printed %.40q", out)
	}
	return total, free, nil
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
