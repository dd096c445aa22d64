package probe

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// Host is the slice of a machine that a probe may touch: the real one (Local), a recorded
// one, or a simulated one. Its methods mention only standard types, so that a simulator
// satisfies it without importing us. Having Open, a Host is an fs.FS; one that can read a
// file or list a folder more cheaply may also implement fs.ReadFileFS and fs.ReadDirFS.
type Host interface {
	// Open opens a file by its absolute path without the leading slash: proc/meminfo,
	// sys/class/watchdog/watchdog0/identity, etc/pve/.members. Directories can be listed.
	Open(name string) (fs.File, error)
	// ReadLink returns the target of a symbolic link, e.g. proc/812/fd/4.
	ReadLink(name string) (string, error)
	// Statfs asks the file system at an absolute path for its size, in bytes. On a dead NFS
	// server it may hang: implementations return when ctx ends and never leave more than
	// one call in flight per path. An *fs.PathError of the operation statfs is the file
	// system's own answer; any other error means that it could not be asked.
	Statfs(ctx context.Context, path string) (total, free uint64, err error)
	// TryWrite writes a small file below an absolute path, syncs it, reads it back and removes
	// it. It may hang as Statfs may, with the same guarantees: it returns when ctx ends, and
	// never leaves more than one attempt in flight per path. An *fs.PathError of the operation
	// write is what the file system said; any other error means that it could not be tried.
	TryWrite(ctx context.Context, path string) error
	// Clock asks the kernel how right the clock is: how far it still is from where it is being
	// steered to, how wrong it may be at most and is by estimate, and whether anything steers it.
	Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error)
	// Run runs one of the commands on the allow-list and returns its standard output. A
	// non-zero exit is an error that has ExitCode() int; the output is returned with it.
	Run(ctx context.Context, name string, args ...string) ([]byte, error)
}

// fileSizeMax bounds what is read of any one file. The largest we read is the package
// database: 1 to 3 MB on a Proxmox node. Files of proc and pmxcfs are far smaller, and
// pmxcfs allows no more than 1 MiB a file.
const fileSizeMax = 16 << 20

// read reads a whole file, at most fileSizeMax of it.
func read(h Host, name string) ([]byte, error) {
	if f, ok := h.(fs.ReadFileFS); ok {
		return f.ReadFile(name)
	}
	f, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, fileSizeMax))
}
