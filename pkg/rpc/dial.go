package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A Dialer connects to an address, host:port. It is net.Dialer's DialContext unless a test
// brings its own network.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

const (
	// connectTimeout is for one address: a node that lost its power answers nothing at all.
	connectTimeout = 5 * time.Second
	// reconnectMax is how long gRPC may wait before it tries again by itself.
	reconnectMax = 5 * time.Second
)

// link is a connection to whichever of its addresses a coordinator answers at.
type link struct {
	*grpc.ClientConn
	addresses []string

	mu       sync.Mutex
	failures map[string]error // of the last attempt at an address
}

// newLink makes a link; it connects with the first call.
func newLink(addresses []string, cfg *tls.Config, dial Dialer) (*link, error) {
	if cfg == nil {
		return nil, ha.Errorf(ha.Invalid, "no TLS configuration: there is no plaintext connection to a coordinator")
	}
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	l := &link{addresses: addresses, failures: map[string]error{}}
	list := manual.NewBuilderWithScheme("psw-ha")
	var state resolver.State
	for _, a := range addresses {
		// ServerName tells noteHandshakes which address it is; nobody verifies it.
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a, ServerName: a})
	}
	list.InitialState(state)
	conn, err := grpc.NewClient(list.Scheme()+":///coordinator",
		grpc.WithResolvers(list),
		grpc.WithTransportCredentials(noteHandshakes{TransportCredentials: credentials.NewTLS(cfg), link: l}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			l.note(address, err)
			return conn, err
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageSizeMax), grpc.MaxCallSendMsgSize(messageSizeMax)),
	)
	if err != nil {
		return nil, ha.Errorf(ha.Invalid, "coordinator addresses %s: %w", strings.Join(addresses, ", "), err)
	}
	l.ClientConn = conn
	return l, nil
}

func (l *link) note(address string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[address] = err
}

// noteHandshakes remembers why TLS failed at an address.
type noteHandshakes struct {
	credentials.TransportCredentials
	link *link
}

func (c noteHandshakes) ClientHandshake(ctx context.Context, address string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, address, raw)
	if err != nil {
		c.link.note(address, err)
	}
	return conn, info, err
}

func (c noteHandshakes) Clone() credentials.TransportCredentials {
	return noteHandshakes{TransportCredentials: c.TransportCredentials.Clone(), link: c.link}
}

// failure turns what a call over the link returned into an error with a kind: what the
// coordinator answered; ctx's own error if the caller gave up; else why nobody answers.
func (l *link) failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := answered(err); ok {
		return answer
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, limited := ctx.Deadline(); limited && status.Code(err) == codes.DeadlineExceeded {
		return context.DeadlineExceeded // the server, which is told the deadline, was the first to notice
	}
	at := strings.Join(l.addresses, ", ")
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return ha.Errorf(ha.Unavailable, "no coordinator answers at %s: is psw-coordinator running, and can this machine reach it?", l.reasons(err))
	case codes.Unimplemented:
		return ha.Errorf(ha.Unavailable, "the coordinator at %s is older than this program and does not know what was asked: update it", at)
	case codes.Unauthenticated:
		return ha.Errorf(ha.Denied, "the coordinator at %s: %s", at, status.Convert(err).Message())
	default:
		return ha.Errorf(ha.Internal, "the coordinator at %s: %s", at, status.Convert(err).Message())
	}
}

// reasons names each address with why it does not serve: "node1:8007 (connection refused)".
func (l *link) reasons(err error) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	parts := make([]string, len(l.addresses))
	for k, a := range l.addresses {
		reason := transportReason(err)
		if l.failures[a] != nil {
			reason = dialReason(l.failures[a])
		}
		parts[k] = fmt.Sprintf("%s (%s)", a, reason)
	}
	return strings.Join(parts, ", ")
}

// dialReason drops what net says of addresses: ours is named already.
func dialReason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Sprintf("no answer within %s", connectTimeout)
	case errors.As(err, &op):
		return op.Err.Error()
	default:
		return err.Error()
	}
}
