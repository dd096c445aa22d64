package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Recording is a machine as it was once: everything its probes read, and nothing else.
// It is a Host, so that a report from the field becomes a test. Record makes one,
// ParseRecording reads one.
type Recording struct {
	// Node is the machine's name in the cluster.
	Node ha.NodeName
	// Comment is what the file says before its first part.
	Comment string

	files  map[string]recordedFile
	links  map[string]string
	statfs map[string]recordedAnswer
	writes map[string]recordedAnswer
	runs   map[string]recordedAnswer
	clock  *recordedClock // nil if nobody asked
}

// noLink stands for the target of what is there and is no link.
const noLink = "."

// recordedClock is what the kernel said of the clock.
type recordedClock struct {
	offset, errorMax, errorEstimated time.Duration
	synchronized                     bool
}

// recordedFile is a file, a folder, or why it could not be read.
type recordedFile struct {
	data       []byte
	dir        bool
	mode       fs.FileMode // of a folder: permissions
	names      []string    // of a folder: what is in it that nobody reads, where that matters
	unreadable string
}

// recordedAnswer is what a command printed, or what a file system answered.
type recordedAnswer struct {
	hangs       bool
	code        int    // of a command
	output      []byte // of a command
	total, free uint64 // of a file system
	err         string // of a file system
}

func newRecording(node ha.NodeName) *Recording {
	return &Recording{
		Node:   node,
		files:  map[string]recordedFile{},
		links:  map[string]string{},
		statfs: map[string]recordedAnswer{},
		writes: map[string]recordedAnswer{},
		runs:   map[string]recordedAnswer{},
	}
}

// commandLine names a command in a recording.
func commandLine(name string, args []string) string {
	return strings.Join(append([]string{name}, args...), " ")
}

// Run returns what the command printed when it was recorded.
func (r *Recording) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	run, ok := r.runs[commandLine(name, args)]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is not in the recording: %w", name, fs.ErrNotExist)
	case run.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case run.code != 0:
		return slices.Clone(run.output), &CommandError{Name: name, Code: run.code}
	}
	return slices.Clone(run.output), nil
}

// Statfs answers, fails or hangs as the file system did when it was recorded.
func (r *Recording) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	answer, ok := r.statfs[path]
	switch {
	case !ok:
		return 0, 0, fmt.Errorf("statfs of %s is not in the recording", path)
	case answer.hangs:
		<-ctx.Done()
		return 0, 0, ctx.Err()
	case answer.err != "":
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: errors.New(answer.err)}
	}
	return answer.total, answer.free, nil
}

// TryWrite succeeds, fails or hangs as it did when it was recorded.
func (r *Recording) TryWrite(ctx context.Context, path string) error {
	answer, ok := r.writes[path]
	switch {
	case !ok:
		return fmt.Errorf("a write to %s is not in the recording", path)
	case answer.hangs:
		<-ctx.Done()
		return ctx.Err()
	case answer.err != "":
		return &fs.PathError{Op: "write", Path: path, Err: errors.New(answer.err)}
	}
	return nil
}

// Clock returns what the kernel said.
func (r *Recording) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	if r.clock == nil {
		return 0, 0, 0, false, errors.New("it is not in the recording")
	}
	return r.clock.offset, r.clock.errorMax, r.clock.errorEstimated, r.clock.synchronized, nil
}

// ReadLink returns the target of a recorded symbolic link.
func (r *Recording) ReadLink(name string) (string, error) {
	target, ok := r.links[name]
	if !ok {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	if target == noLink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
	}
	return target, nil
}

// Open opens a recorded file, or a folder for listing.
func (r *Recording) Open(name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	real := name
	file, ok := r.files[real]
	if !ok { // not recorded by this name: it may lie behind a link
		real = r.resolve(name)
		file, ok = r.files[real]
	}
	if file.unreadable != "" {
		return fail(errors.New(file.unreadable))
	}
	if ok && !file.dir {
		return &openFile{info: fileInfo{path.Base(name), int64(len(file.data)), 0o444}, data: bytes.NewReader(file.data)}, nil
	}
	children := r.children(real)
	if !ok && len(children) == 0 {
		return fail(fs.ErrNotExist)
	}
	mode := file.mode
	if !ok {
		mode = 0o755
	}
	return &openFile{info: fileInfo{path.Base(name), 0, fs.ModeDir | mode}, children: children}, nil
}

// resolve follows links in a name, as often as a chain of them can make sense.
func (r *Recording) resolve(name string) string {
	for range 8 {
		at := name
		for at != "." && (r.links[at] == "" || r.links[at] == noLink) {
			at = path.Dir(at)
		}
		if at == "." {
			return name
		}
		target := r.links[at]
		if !path.IsAbs(target) {
			target = "/" + path.Join(path.Dir(at), target)
		}
		name = strings.TrimPrefix(path.Join(target, strings.TrimPrefix(name, at)), "/")
	}
	return name
}

// children lists what is directly in a folder, sorted by name.
func (r *Recording) children(dir string) []fs.DirEntry {
	found := map[string]fs.DirEntry{}
	add := func(name string, mode fs.FileMode) {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if dir == "." {
			rest, ok = name, true
		}
		if !ok || rest == "" {
			return
		}
		child, _, deeper := strings.Cut(rest, "/")
		if deeper {
			mode = fs.ModeDir | 0o755
		}
		if found[child] == nil || deeper {
			found[child] = fs.FileInfoToDirEntry(fileInfo{child, 0, mode})
		}
	}
	for name, file := range r.files {
		mode := fs.FileMode(0o444)
		if file.dir {
			mode = fs.ModeDir | file.mode
		}
		add(name, mode)
	}
	for name := range r.links {
		add(name, fs.ModeSymlink|0o777)
	}
	for _, name := range r.files[dir].names {
		add(dir+"/"+name, 0o444)
	}
	list := make([]fs.DirEntry, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list
}

// fileInfo describes a recorded file.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }

// openFile is an open file or folder.
type openFile struct {
	info     fileInfo
	data     *bytes.Reader
	children []fs.DirEntry
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.data == nil {
		return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: fs.ErrInvalid}
	}
	return f.data.Read(p)
}

func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.data != nil {
		return nil, &fs.PathError{Op: "readdir", Path: f.info.name, Err: fs.ErrInvalid}
	}
	if n > 0 && len(f.children) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.children) {
		n = len(f.children)
	}
	list := f.children[:n]
	f.children = f.children[n:]
	return list, nil
}
