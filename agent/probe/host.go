package probe

import (
	"context"
	"io/fs"
)

// Host is the slice of a machine that a probe may touch: the real one (Local), a recorded
// one, or a simulated one. Its methods mention only standard types, so that a simulator
// satisfies it without importing us.
type Host interface {
	// Open opens a file by its absolute path without the leading slash: proc/meminfo,
	// sys/class/watchdog/watchdog0/identity, etc/pve/.members. Directories can be listed.
	Open(name string) (fs.File, error)
	// ReadLink returns the target of a symbolic link, e.g. proc/812/fd/4.
	ReadLink(name string) (string, error)
	// Statfs asks the file system at an absolute path for its size, in bytes. On a dead NFS
	// server it may hang: implementations return when ctx ends and never leave more than
	// one call in flight per path.
	Statfs(ctx context.Context, path string) (total, free uint64, err error)
	// Run runs one of the commands on the allow-list and returns its standard output. A
	// non-zero exit is an error that has ExitCode() int; the output is returned with it.
	Run(ctx context.Context, name string, args ...string) ([]byte, error)
}
