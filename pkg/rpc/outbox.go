package rpc

import (
	"slices"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// resultsMax bounds the results that wait to be taken. The oldest goes first: the
// coordinator asks again for what it still wants to know.
const resultsMax = 64

// An outbox holds what an agent has to say, across sessions: the newest report, and each
// order's result until the coordinator has taken it. The zero outbox is ready to use.
type outbox struct {
	mu       sync.Mutex
	wake     chan struct{}
	newest   *hav1.Report // nil once sent
	handedIn time.Time
	results  []*untaken
	open     map[string]bool // orders accepted whose result is not there yet, by ID
}

type untaken struct {
	result *hav1.OrderResult
	sent   bool // in this session
}

// changed is signalled when there may be something new to send.
func (b *outbox) changed() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.signal()
}

// signal needs b.mu.
func (b *outbox) signal() chan struct{} {
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
	}
	return b.wake
}

// ring needs b.mu.
func (b *outbox) ring() {
	select {
	case b.signal() <- struct{}{}:
	default:
	}
}

func (b *outbox) report(r *hav1.Report, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest, b.handedIn = r, now
	b.ring()
}

// begun notes that an order arrived, and reports whether it had before: it is being seen
// to, or its result, which then is sent again, waits to be taken.
func (b *outbox) begun(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[id] {
		return true
	}
	for _, u := range b.results {
		if u.result.GetId() == id {
			u.sent = false
			b.ring()
			return true
		}
	}
	if b.open == nil {
		b.open = map[string]bool{}
	}
	b.open[id] = true
	return false
}

// result puts in the outcome of an order.
func (b *outbox) result(r *hav1.OrderResult) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, r.GetId())
	b.results = append(b.results, &untaken{result: r})
	if len(b.results) > resultsMax {
		b.results = slices.Delete(b.results, 0, 1)
	}
	b.ring()
}

// taken forgets a result that the coordinator has.
func (b *outbox) taken(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results = slices.DeleteFunc(b.results, func(u *untaken) bool { return u.result.GetId() == id })
}

// resend makes every result due again: a new session began.
func (b *outbox) resend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.results {
		u.sent = false
	}
	b.ring()
}

// next returns what to send now, results before the report, and a function to call once
// it was sent; nil if there is nothing. A report that waited too long is dropped.
func (b *outbox) next(now time.Time) (m *hav1.ConnectRequest, sent func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.results {
		if !u.sent {
			return &hav1.ConnectRequest{Message: &hav1.ConnectRequest_OrderResult{OrderResult: u.result}}, func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				u.sent = true
			}
		}
	}
	if b.newest != nil && now.Sub(b.handedIn) > ha.ReportInterval {
		b.newest = nil
	}
	r := b.newest
	if r == nil {
		return nil, nil
	}
	return &hav1.ConnectRequest{Message: &hav1.ConnectRequest_Report{Report: r}}, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.newest == r {
			b.newest = nil
		}
	}
}
