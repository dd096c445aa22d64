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
	"sync"

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
	report := Look(ctx, r, node)
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
		r.note(func(n *Recording) { n.files[name] = recordedFile{dir: true, mode: info.Mode().Perm()} })
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

// noteFailure notes why a file could not be read. One that is not there leaves no trace,
// which says the same.
func (r *recorder) noteFailure(name string, err error) {
	if !gone(err) {
		r.note(func(n *Recording) { n.files[name] = recordedFile{unreadable: bare(err).Error()} })
	}
}

func (r *recorder) ReadLink(name string) (string, error) {
	target, err := r.host.ReadLink(name)
	if err == nil {
		r.note(func(n *Recording) { n.links[name] = target })
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
