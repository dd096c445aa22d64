package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// accepted is the newest coordinator an agent has met.
type accepted struct {
	Generation  uint64 `json:"generation"`
	Coordinator string `json:"coordinator"`
}

// A lineage remembers the newest coordinator, so that an older one that wakes up again, a
// restored backup, say, cannot give orders. What it admits is on disk before it is obeyed:
// a node that loses power in between must not come back more trusting than it was.
//
// If the file cannot be read or written nobody is admitted, because "which is the newest"
// has no answer then. The operator decides: once it is certain that only one coordinator
// runs, removing the file makes the agent accept the next one it meets, without a restart.
type lineage struct {
	path string

	mu     sync.Mutex
	newest accepted
	// fault is why the file cannot be read; it is read again for each admission.
	fault error
}

// lineageFile is the name of the file in the state folder.
const lineageFile = "coordinator.json"

func openLineage(dir string) *lineage {
	l := &lineage{path: filepath.Join(dir, lineageFile)}
	l.load()
	return l
}

// load reads the file. None at all is an agent that has met nobody.
func (l *lineage) load() {
	l.newest, l.fault = accepted{}, nil
	data, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		l.fault = err
		return
	}
	var a accepted
	if err := json.Unmarshal(data, &a); err != nil || a.Generation == 0 || a.Coordinator == "" {
		l.fault = fmt.Errorf("%s is damaged", l.path)
		return
	}
	l.newest = a
}

// current returns the newest coordinator; the zero value if none is known.
func (l *lineage) current() accepted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest
}

// admit accepts a coordinator that is the newest one known, or newer; then it is on disk.
// The error is Conflict if another one is newer or claims the same generation, and
// Internal if it cannot be remembered.
func (l *lineage) admit(a accepted) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		l.load()
	}
	switch {
	case l.fault != nil:
		return ha.Errorf(ha.Internal, "it is not known which coordinator is the newest (%w): make sure that only one runs, then remove %s", l.fault, l.path)
	case a.Generation == 0 || a.Coordinator == "":
		return ha.Errorf(ha.Conflict, "the coordinator does not say who it is")
	case a.Generation < l.newest.Generation:
		return ha.Errorf(ha.Conflict, "coordinator %s of generation %d is outdated: this agent obeys %s of generation %d",
			a.Coordinator, a.Generation, l.newest.Coordinator, l.newest.Generation)
	case a == l.newest:
		return nil
	case a.Generation == l.newest.Generation:
		return ha.Errorf(ha.Conflict, "coordinator %s claims generation %d, which is that of %s: restart the one that shall stay",
			a.Coordinator, a.Generation, l.newest.Coordinator)
	}
	if err := a.save(l.path); err != nil {
		return ha.Errorf(ha.Internal, "coordinator %s of generation %d cannot be remembered: %w", a.Coordinator, a.Generation, err)
	}
	l.newest = a
	return nil
}

// save replaces the file so that it always holds either the old or the new value, whole.
func (a accepted) save(path string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The name is fixed, so that what a kill left behind is overwritten, not collected.
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes a rename in the folder survive a loss of power.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
