package probe

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LocalOptions change where Local looks. The zero value is the machine itself.
type LocalOptions struct {
	// Root is the folder taken for /, empty for / itself.
	Root string
	// CommandDirs are the folders searched for the commands on the allow-list; empty means
	// /usr/sbin, /usr/bin, /sbin and /bin. $PATH is not used.
	CommandDirs []string
	// Child is the command line that calls RunChild with the path appended;
	// empty means this program itself with ChildArgument.
	Child []string
}

// Local is the machine this program runs on. Its caller's main must call RunChild
// before anything else.
func Local(o LocalOptions) Host {
	itself := o.Root == "" && len(o.CommandDirs) == 0
	if o.Root == "" {
		o.Root = "/"
	}
	if len(o.CommandDirs) == 0 {
		o.CommandDirs = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}
	}
	return &localHost{options: o, itself: itself, children: children{running: map[string]time.Time{}}}
}

type localHost struct {
	options  LocalOptions
	itself   bool // neither its files nor its commands are those of another
	children children
}

// path maps a name of Host.Open to a path of this machine.
func (h *localHost) path(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(h.options.Root, name), nil
}

func (h *localHost) Open(name string) (fs.File, error) {
	f, err := h.open(name)
	if err != nil {
		return nil, err // and not a nil *os.File
	}
	return f, nil
}

// open does without what os.Open does to offer a file to the network poller: six system calls,
// of which the last says that files of this kind are not taken.
func (h *localHost) open(name string) (*os.File, error) {
	fd, path, err := h.descriptor(name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// descriptor opens a file for reading. Whoever calls closes it.
func (h *localHost) descriptor(name string) (fd int, path string, err error) {
	path, err = h.path("open", name)
	if err != nil {
		return -1, path, err
	}
	fd, err = retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return -1, path, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, path, nil
}

func (h *localHost) ReadLink(name string) (string, error) {
	path, err := h.path("readlink", name)
	if err != nil {
		return "", err
	}
	return os.Readlink(path)
}

// scratch are buffers to read files into: nearly all that a round reads are smaller.
var scratch = sync.Pool{New: func() any { return new([4096]byte) }}

// ReadFile reads a whole file with four system calls, and no os.File, which comes with a
// finalizer. What is returned takes no more memory than the file is long.
func (h *localHost) ReadFile(name string) ([]byte, error) {
	fd, path, err := h.descriptor(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	buf := scratch.Get().(*[4096]byte)
	defer scratch.Put(buf)
	data := buf[:0]
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, data[len(data):cap(data)]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		data = data[:len(data)+n]
		if n == 0 || len(data) >= fileSizeMax {
			return slices.Clone(data), nil
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

// holdingHost is a host that can keep a file open to read it again and again.
type holdingHost interface {
	hold(name string) (*heldFile, error)
}

// heldFile is a file of /proc that is kept open. It does not keep its process alive: once
// that has ended, reading fails with ESRCH. Whoever holds it closes it.
type heldFile struct{ descriptor int }

func (h *localHost) hold(name string) (*heldFile, error) {
	fd, _, err := h.descriptor(name)
	if err != nil {
		return nil, err
	}
	return &heldFile{fd}, nil
}

// readAgain reads a file from its beginning: as much as one call gets, which of a file of one
// line is all.
func (f *heldFile) readAgain(buf []byte) (n int, err error) {
	return retry(func() (int, error) { return unix.Pread(f.descriptor, buf, 0) })
}

func (f *heldFile) close() { _ = unix.Close(f.descriptor) }

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// ReadDir lists a folder without the sorting and the per-entry work of os.ReadDir.
func (h *localHost) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := h.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(-1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}
