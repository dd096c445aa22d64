package probe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on writing to a mount.
const (
	// writeMax is how long an attempt may take before its process is killed. A sync to a NAS
	// that is busy with a backup takes seconds.
	writeMax = 20 * time.Second
	// writeWait is how long a round waits for an attempt. One that takes longer goes on
	// behind its back, and what came of it is in a later report.
	writeWait = 800 * time.Millisecond
	// storagesWait is how long is waited for storage.cfg, which lies in pmxcfs and may hang.
	storagesWait = 500 * time.Millisecond
)

// WriteEvery is how often an agent tries to write to a mount, unless it is told otherwise.
const WriteEvery = time.Minute

// TestWrites lets the Prober try to write to mounts, no more often than every so often: to
// those that a storage of Proxmox's names, and to those on the given paths.
func (p *Prober) TestWrites(every time.Duration, paths ...string) {
	p.writes.every, p.writes.paths = every, paths
}

// writeWatch tries to write to mounts, with never more than one attempt under way for each.
// Its zero value tries nothing.
type writeWatch struct {
	every time.Duration
	paths []string

	mu      sync.Mutex
	states  map[string]*writeState // by path
	reading bool                   // storage.cfg
	stored  []string               // paths of its storages, when last read
}

// writeState is what is remembered of the attempts at one mount.
type writeState struct {
	trying bool
	tried  time.Time // when the last attempt began
	silent time.Time // since when no attempt has come back; zero if the last one did
	last   ha.WriteTest
}

// testWrites fills in what is known of writing to each mount, and tries again where it is
// time. Only a mount that answers is tried: one that does not would only keep a second
// process waiting.
func (r *round) testWrites(ctx context.Context, mounts []ha.Mount) {
	w := &r.writes
	if w.every == 0 {
		return
	}
	wanted := w.paths
	if slices.ContainsFunc(mounts, func(m ha.Mount) bool { return w.due(m.Path) }) {
		wanted = append(slices.Clone(wanted), w.storagePaths(r.host)...)
	}
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	var all sync.WaitGroup
	for k := range mounts {
		all.Go(func() {
			m := &mounts[k]
			if m.Answering && !m.ReadOnly && slices.Contains(wanted, m.Path) {
				w.try(ctx, r.host, m.Path)
			}
			m.Write = w.known(m.Path)
		})
	}
	all.Wait()
}

// due reports whether it is time to try a mount again.
func (w *writeWatch) due(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[path]
	return s == nil || !s.trying && time.Since(s.tried) >= w.every
}

// begin notes that an attempt begins; nil if one is under way.
func (w *writeWatch) begin(path string) *writeState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.states == nil {
		w.states = map[string]*writeState{}
	}
	s := w.states[path]
	if s == nil {
		s = &writeState{}
		w.states[path] = s
	}
	if s.trying {
		return nil
	}
	s.trying, s.tried = true, time.Now()
	if s.silent.IsZero() {
		s.silent = s.tried
	}
	return s
}

// try makes an attempt if it is time for one, and waits for it until ctx ends.
func (w *writeWatch) try(ctx context.Context, h Host, path string) {
	if !w.due(path) {
		return
	}
	s := w.begin(path)
	if s == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeMax)
		defer cancel()
		began := time.Now()
		err := h.TryWrite(limited, path)
		w.mu.Lock()
		defer w.mu.Unlock()
		s.trying = false
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		s.silent, s.last = time.Time{}, ha.WriteTest{At: began.UTC(), Took: time.Since(began)}
		if err != nil {
			s.last.Error = bare(err).Error()
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// known is what is known of writing to a mount.
func (w *writeWatch) known(path string) ha.WriteTest {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[path]
	if s == nil {
		return ha.WriteTest{}
	}
	test := s.last
	if !s.silent.IsZero() {
		test.Stuck = max(time.Since(s.silent), time.Nanosecond)
	}
	return test
}

// storagePaths are where Proxmox's storages keep their files. While pmxcfs hangs they are
// what they were, and nobody else waits for it.
func (w *writeWatch) storagePaths(h Host) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading {
		return w.stored
	}
	w.reading = true
	done := make(chan struct{})
	go func() {
		defer close(done)
		data, err := optional(h, storageConf)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reading = false
		if err != nil {
			return // what it was
		}
		w.stored = nil
		for _, s := range parseStorageConf(string(data)) {
			if s.Path != "" && !s.Disabled {
				w.stored = append(w.stored, s.Path)
			}
		}
	}()
	w.mu.Unlock()
	limit := time.NewTimer(storagesWait)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
	w.mu.Lock()
	return w.stored
}
