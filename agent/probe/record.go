package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Record looks at a host once and writes everything the probes read, without secrets,
// into a new file in dir, which it makes if need be. It returns the file's name. Looking
// at the recording gives the report the host gave.
func Record(ctx context.Context, h Host, node ha.NodeName, dir string) (file string, err error) {
	recording := record(ctx, h, node)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file = filepath.Join(dir, string(node)+".txt")
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(recording.Bytes())
	return file, errors.Join(err, f.Close())
}

// record runs all probes on a host that takes notes.
func record(ctx context.Context, h Host, node ha.NodeName) *Recording {
	r := &recorder{host: h, notes: newRecording(node)}
	prober := New(r, node)
	prober.TestWrites(WriteEvery)
	report := prober.Look(ctx)
	notes := r.finish()
	for _, f := range report.Failures {
		notes.Comment += fmt.Sprintf("%s could not look: %s\n", f.Probe, f.Reason)
	}
	notes.redact()
	return notes
}

// recorder is a Host that notes what is read through it. A call that has not come back
// when the recording is written notes nothing, or that it hangs.
type recorder struct {
	host Host

	mu    sync.Mutex
	notes *Recording
}

func (r *recorder) note(note func(*Recording)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	note(r.notes)
}

// finish returns the notes. What a call that hangs notes after that goes nowhere.
func (r *recorder) finish() *Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := r.notes
	r.notes = newRecording(notes.Node)
	return notes
}

func (r *recorder) Open(name string) (fs.File, error) {
	f, err := r.host.Open(name)
	if err != nil {
		r.noteFailure(name, err)
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.IsDir() {
		folder := recordedFile{dir: true, mode: info.Mode().Perm()}
		if f, err = noteNames(name, f, &folder); err != nil {
			return nil, err
		}
		r.note(func(n *Recording) { n.files[name] = folder })
		return f, nil
	}
	data, err := io.ReadAll(io.LimitReader(f, fileSizeMax))
	if err = errors.Join(err, f.Close()); err != nil {
		r.noteFailure(name, err)
		return nil, err
	}
	r.note(func(n *Recording) { n.files[name] = recordedFile{data: data} })
	return &openFile{info: fileInfo{info.Name(), int64(len(data)), info.Mode()}, data: bytes.NewReader(data)}, nil
}

// tellingName reports whether what is in a folder tells something by its mere name.
func tellingName(dir, name string) bool {
	switch {
	case dir == "boot":
		return strings.HasPrefix(name, "vmlinuz-")
	case strings.HasPrefix(dir, "sys/class/net/"):
		lower, below := strings.CutPrefix(name, "lower_")
		return below && !ofGuest(lower) || name == "device" || name == "bonding" || name == "bridge"
	}
	return false
}

// noteNames notes the telling names in a folder, and returns it to be read again.
func noteNames(dir string, f fs.File, folder *recordedFile) (fs.File, error) {
	list, ok := f.(fs.ReadDirFile)
	if !ok || dir != "boot" && !strings.HasPrefix(dir, "sys/class/net/") {
		return f, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	entries, err := list.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if tellingName(dir, entry.Name()) {
			folder.names = append(folder.names, entry.Name())
		}
	}
	slices.Sort(folder.names)
	return &openFile{info: fileInfo{info.Name(), 0, info.Mode()}, children: entries}, nil
}

// noteFailure notes why a file could not be read. One that is not there leaves no trace,
// which says the same.
func (r *recorder) noteFailure(name string, err error) {
	if !gone(err) {
		r.note(func(n *Recording) { n.files[name] = recordedFile{unreadable: bare(err).Error()} })
	}
}

func (r *recorder) ReadLink(name string) (string, error) {
	target, err := r.host.ReadLink(name)
	switch {
	case err == nil:
		r.note(func(n *Recording) { n.links[name] = target })
	case errors.Is(err, syscall.EINVAL): // it is there, and no link
		r.note(func(n *Recording) { n.links[name] = noLink })
	}
	return target, err
}

func (r *recorder) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	r.note(func(n *Recording) { n.statfs[path] = recordedAnswer{hangs: true} })
	total, free, err = r.host.Statfs(ctx, path)
	if errors.Is(err, context.DeadlineExceeded) {
		return total, free, err
	}
	said, answered := ownAnswer(err)
	switch {
	case answered:
		r.note(func(n *Recording) { n.statfs[path] = recordedAnswer{err: said.Error()} })
	case err != nil:
		r.note(func(n *Recording) { delete(n.statfs, path) })
	default:
		r.note(func(n *Recording) { n.statfs[path] = recordedAnswer{total: total, free: free} })
	}
	return total, free, err
}

func (r *recorder) TryWrite(ctx context.Context, path string) error {
	r.note(func(n *Recording) { n.writes[path] = recordedAnswer{hangs: true} })
	err := r.host.TryWrite(ctx, path)
	if errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var said *fs.PathError
	switch {
	case errors.As(err, &said):
		r.note(func(n *Recording) { n.writes[path] = recordedAnswer{err: said.Err.Error()} })
	case err != nil:
		r.note(func(n *Recording) { delete(n.writes, path) })
	default:
		r.note(func(n *Recording) { n.writes[path] = recordedAnswer{} })
	}
	return err
}

func (r *recorder) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	offset, errorMax, errorEstimated, synchronized, err = r.host.Clock()
	if err == nil {
		r.note(func(n *Recording) { n.clock = &recordedClock{offset, errorMax, errorEstimated, synchronized} })
	}
	return offset, errorMax, errorEstimated, synchronized, err
}

func (r *recorder) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	line := commandLine(name, args)
	r.note(func(n *Recording) { n.runs[line] = recordedAnswer{hangs: true} })
	out, err := r.host.Run(ctx, name, args...)
	var exit interface{ ExitCode() int }
	switch {
	case err == nil:
		r.note(func(n *Recording) { n.runs[line] = recordedAnswer{output: bytes.Clone(out)} })
	case errors.As(err, &exit):
		r.note(func(n *Recording) { n.runs[line] = recordedAnswer{output: bytes.Clone(out), code: exit.ExitCode()} })
	case !errors.Is(err, context.DeadlineExceeded):
		r.note(func(n *Recording) { delete(n.runs, line) })
	}
	return out, err
}
