package probe

import (
	"errors"
	"time"
)

// Limits on probes that do not look every round.
const (
	// seldomWait is how long a round waits for a probe that has a result from before: it
	// may go on behind the round's back, and what it finds is in the next report.
	seldomWait = 500 * time.Millisecond
	// seldomRetry is how soon such a probe looks again when it could not.
	seldomRetry = 10 * time.Second
)

// sight is what a probe saw last.
type sight struct {
	result
	at time.Time
}

// fresh reports whether what a probe saw last will do. The caller holds the lock.
func (p *Prober) fresh(probe Probe) bool {
	last, ok := p.seen[probe.Name]
	limit := probe.Every
	if last.err != nil {
		limit = min(limit, seldomRetry)
	}
	return ok && time.Since(last.at) < limit
}

// patience is how long a round waits for a probe.
func (p *Prober) patience(probe Probe) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.seen[probe.Name]; known && probe.Every > 0 {
		return seldomWait
	}
	return probe.Deadline + graceMax
}

// recall replaces "not yet" by what the probe saw before, while that is not too old: until
// its present run has had all of its deadline.
func (p *Prober) recall(probe Probe, got result) result {
	var h hanging
	if !errors.Is(got.err, errLate) && !errors.As(got.err, &h) {
		return got
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.seen[probe.Name]
	if !known || time.Since(last.at) > probe.Every+probe.Deadline+graceMax {
		return got
	}
	return last.result
}
