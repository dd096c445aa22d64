package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Back-off between attempts to reach a coordinator that does not answer: it restarts in
// a second or two; after a failover it takes minutes.
const (
	retryFirst = time.Second
	retryMax   = 5 * time.Second
)

// foundAgain is what keepAsking says when the coordinator is there again.
const foundAgain = "the coordinator answers again"

// keepAsking runs ask, and runs it again whenever the coordinator does not answer, until
// ask succeeds, it says no, or ctx ends. What it says once each time: that the
// coordinator was lost, and that it is there again. ask calls answered when it has heard
// something.
func keepAsking(ctx context.Context, say func(string), ask func(answered func()) error) error {
	delay, lost := retryFirst, false
	answered := func() {
		if lost {
			say(foundAgain)
		}
		delay, lost = retryFirst, false
	}
	for {
		err := ask(answered)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ha.KindOf(err) != ha.Unavailable && !errors.Is(err, context.DeadlineExceeded):
			return err
		case !lost:
			say(again(err.Error()))
			lost = true
		}
		if err := pause(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, retryMax)
	}
}

// again ends a sentence about a coordinator that does not answer.
func again(why string) string {
	if strings.HasSuffix(why, "?") || strings.HasSuffix(why, ".") {
		return why + " Trying again until it answers."
	}
	return why + "; trying again until it answers"
}

// endless makes the orderly end of a stream that should never end a reason to ask again:
// a coordinator that stops ends its streams so.
func endless(err error) error {
	if err == nil {
		return ha.Errorf(ha.Unavailable, "the coordinator ended the connection: is it being restarted?")
	}
	return err
}

// pause waits, or returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
