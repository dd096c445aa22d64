package agent

import (
	"context"
	"fmt"
	"time"
)

const (
	// readMax is how long something below /etc/pve may take to read: pmxcfs hangs while the
	// cluster file system waits for the others.
	readMax = 5 * time.Second
	// rewriteMax is the same for reading a file and writing it anew, each step of which is
	// told to all nodes.
	rewriteMax = 20 * time.Second
)

// onPmxcfs does something below /etc/pve, which may hang, and does not wait for it for longer
// than limit. One thing is done at a time: where one hangs it is the only one, stays behind
// until the kernel lets it go, and whoever comes after it is told so.
func onPmxcfs[T any](ctx context.Context, a *Agent, limit time.Duration, what string, do func() (T, error)) (done T, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case a.pmxcfs <- struct{}{}:
	case <-ctx.Done():
		return done, fmt.Errorf("/etc/pve hangs, so %s was left alone", what)
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		v, err := do()
		<-a.pmxcfs
		answered <- answer{v, err}
	}()
	select {
	case got := <-answered:
		return got.value, got.err
	case <-ctx.Done():
		return done, fmt.Errorf("%s did not answer within %s", what, limit)
	}
}
