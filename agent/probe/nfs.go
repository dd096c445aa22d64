package probe

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on asking a mount.
const (
	// statfsMax is how long a mount may take to answer. A healthy server answers in
	// milliseconds, a busy NAS waking its disks in a few seconds; a soft mount whose
	// server is gone gives up after 6 s at the earliest, a hard one never. It is less than
	// ha.ReportInterval: a server that goes just after it was asked is reported, by the
	// round after that, in under two intervals.
	statfsMax = 4500 * time.Millisecond
	// stuckWait is how long a mount is waited for that did not answer last time. It is
	// still asked with all of statfsMax, but behind the round's back: a dead server costs
	// one slow report, not every report.
	stuckWait = 500 * time.Millisecond
)

// lookNFS lists the NFS mounts and asks each one for its size: the only question that
// tells whether its server answers. The mount point's own attributes come from a cache
// that survives the server by a minute.
func lookNFS(ctx context.Context, r *round) (facts, error) {
	info, err := read(r.host, "proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	mounts, err := parseMountinfo(string(info))
	if err != nil {
		return nil, err
	}
	var missing faults
	if len(mounts) > 0 {
		stats, err := read(r.host, "proc/self/mountstats")
		missing.add("proc/self/mountstats", bare(err))
		counters := parseMountstats(string(stats))
		for k, m := range mounts {
			mounts[k].Timeouts = counters[m.Path].timeouts
			mounts[k].RTT = counters[m.Path].mean()
		}
	}
	ids, err := filesystemIDs(r.host, len(mounts) > 0)
	missing.add("proc/fs/nfsfs/volumes", err)
	for k, m := range mounts {
		mounts[k].FilesystemID = ids[m.Device]
	}
	for k, err := range r.mounts.ask(ctx, r.host, mounts) {
		missing.add(mounts[k].Path, err)
	}
	r.testWrites(ctx, mounts)
	return func(report *ha.Report) { report.Mounts = mounts }, missing.err()
}

// mountWatch asks mounts, with never more than one question under way for each. Its zero
// value is ready.
type mountWatch struct {
	mu     sync.Mutex
	states map[string]*mountState // by path
}

// mountState is what is remembered of one mount between rounds.
type mountState struct {
	asking bool
	// silent is since when nothing came back; zero while the mount answers.
	silent time.Time
}

// ask fills in whether each mount answers, and returns of each why it could not be asked.
// It takes statfsMax at the most.
func (w *mountWatch) ask(ctx context.Context, h Host, mounts []ha.Mount) []error {
	w.forget(mounts)
	faults := make([]error, len(mounts))
	var all sync.WaitGroup
	for k := range mounts {
		all.Go(func() { faults[k] = w.askOne(ctx, h, &mounts[k]) })
	}
	all.Wait()
	return faults
}

// forget drops what is remembered of mounts that are gone, unless a question is still out.
func (w *mountWatch) forget(mounts []ha.Mount) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, state := range w.states {
		if !state.asking && !slices.ContainsFunc(mounts, func(m ha.Mount) bool { return m.Path == path }) {
			delete(w.states, path)
		}
	}
}

func (w *mountWatch) askOne(ctx context.Context, h Host, m *ha.Mount) error {
	answers, silent := w.begin(ctx, h, m.Path)
	patience := statfsMax
	if !silent.IsZero() {
		patience = stuckWait
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case a := <-answers:
		if !a.silent {
			return a.describe(m)
		}
	case <-limit.C:
	case <-ctx.Done():
	}
	m.Stuck = w.silence(m.Path)
	return nil
}

// answer is what came of one question.
type answer struct {
	total, free int64
	took        time.Duration
	err         error
	silent      bool // nothing came back in time
}

// describe fills in what the answer says, and returns why the mount could not be asked: a
// process that cannot be started says nothing about a server.
func (a answer) describe(m *ha.Mount) error {
	m.Took = a.took
	if a.err == nil {
		m.Answering, m.Total, m.Free = true, a.total, a.free
		return nil
	}
	m.Error = bare(a.err).Error()
	if _, answered := ownAnswer(a.err); answered {
		return nil
	}
	return a.err
}

// ownAnswer returns what the file system itself said when it refused a statfs.
func ownAnswer(err error) (said error, answered bool) {
	var e *fs.PathError
	if errors.As(err, &e) && e.Op == "statfs" {
		return e.Err, true
	}
	return nil, false
}

// begin asks a mount, unless the last question to it is still out, and returns where the
// answer will arrive. silent is since when the mount has not answered, zero if it has.
func (w *mountWatch) begin(ctx context.Context, h Host, path string) (answers <-chan answer, silent time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.states == nil {
		w.states = map[string]*mountState{}
	}
	state := w.states[path]
	if state == nil {
		state = &mountState{}
		w.states[path] = state
	}
	silent = state.silent
	if state.asking {
		return nil, silent
	}
	state.asking = true
	began := time.Now()
	if state.silent.IsZero() {
		state.silent = began
	}
	done := make(chan answer, 1)
	go func() {
		// The question may outlive this round: see stuckWait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statfsMax)
		defer cancel()
		total, free, err := h.Statfs(ctx, path)
		a := answer{total: clamp(total), free: clamp(free), took: time.Since(began), err: err}
		a.silent = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		w.mu.Lock()
		state.asking = false
		if !a.silent {
			state.silent = time.Time{}
		}
		w.mu.Unlock()
		done <- a
	}()
	return done, silent
}

// silence is for how long a mount has not answered. A moment's rounding must not turn
// "it hangs" into "it does not hang", so it is never zero.
func (w *mountWatch) silence(path string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := w.states[path].silent
	if since.IsZero() { // it answered just after we stopped waiting
		return time.Nanosecond
	}
	return max(time.Since(since), time.Nanosecond)
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
