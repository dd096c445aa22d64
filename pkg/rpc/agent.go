package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// How often an agent dials.
const (
	// backoffMin: a coordinator that restarts is back in about a second.
	backoffMin = time.Second
	// backoffMax: nodes that wait for a coordinator to be restarted by the HA manager
	// (minutes) must not all hammer it, nor blind it long once it is back.
	backoffMax = 30 * time.Second
	// healthyAfter: a session this long was a good one, and the next attempt after it
	// comes at once. Shorter ones do not reset the back-off: two machines that share one
	// node's certificate would otherwise take the session from each other every second.
	healthyAfter = 10 * time.Second
)

// AgentSession is an agent's end: it keeps a session with the coordinator for as long as
// Run runs, reports, and carries out orders. Fill in the exported fields before Run;
// Report may be called at any time from any goroutine. It must not be copied.
type AgentSession struct {
	// Addresses returns where a coordinator may answer, host:port, likeliest first. It is
	// asked again for every round of attempts, so that a coordinator that moved is found.
	Addresses func() []string
	// TLS is made by ClientTLS with the agent's files.
	TLS *tls.Config
	// Hello returns what to say first in a session.
	Hello func() ha.Hello
	// Welcome is the coordinator's answer. An error refuses the session (an older
	// generation, say), and the next address is tried.
	Welcome func(ha.Welcome) error
	// Order carries out one order and returns its outcome; one at a time, but for those that
	// only look (ha.LooksOnly), which come beside others and each other. Its context ends
	// with Run's, not with the session's: a broken connection does not stop a deed half
	// way. ID and Node of the result are filled in. The TTL it sees is what is left.
	Order func(context.Context, ha.Order) ha.OrderResult
	Log   *slog.Logger
	// Dialer replaces the network, for tests; nil means TCP.
	Dialer Dialer

	box outbox
}

// Report hands in the newest report. It never blocks: a report that was not sent yet is
// replaced, and one that could not be sent for ha.ReportInterval is dropped, because the
// coordinator takes a report's age from its arrival.
func (s *AgentSession) Report(r ha.Report) { s.box.report(legible(encodeReport(r)), time.Now()) }

// Run dials, serves the session, and dials again, until ctx ends; then it returns nil. An
// order that is being carried out is waited for. Run is called once.
func (s *AgentSession) Run(ctx context.Context) error {
	if s.Addresses == nil || s.TLS == nil || s.Hello == nil || s.Welcome == nil || s.Order == nil || s.Log == nil {
		return ha.Errorf(ha.Invalid, "an agent's session needs Addresses, TLS, Hello, Welcome, Order and Log")
	}
	orders := newQueues()
	var obeying sync.WaitGroup
	obeying.Go(func() { s.obey(ctx, orders.deeds) })
	obeying.Go(func() { s.look(ctx, orders.looks) })
	defer obeying.Wait()

	said := map[string]string{}
	wait := backoffMin
	for {
		if s.round(ctx, orders, said) {
			wait = backoffMin
		}
		pause := time.NewTimer(min(wait+rand.N(wait/2), backoffMax))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
		wait = min(2*wait, backoffMax*2/3)
	}
}

// round tries each address until one has served a session. It reports whether that was a
// healthy one.
func (s *AgentSession) round(ctx context.Context, orders queues, said map[string]string) (healthy bool) {
	addresses := s.Addresses()
	if len(addresses) == 0 {
		s.complain(said, "", "no address of a coordinator is known")
	}
	for _, a := range addresses {
		lasted, err := s.session(ctx, a, orders)
		if ctx.Err() != nil {
			return false
		}
		if lasted > 0 {
			clear(said)
			s.Log.Warn("session with the coordinator ended", "address", a, "reason", err)
			return lasted >= healthyAfter
		}
		s.complain(said, a, err.Error())
	}
	return false
}

// complain logs why an address does not serve, as a warning when that is new.
func (s *AgentSession) complain(said map[string]string, address, reason string) {
	level := slog.LevelDebug
	if said[address] != reason {
		said[address] = reason
		level = slog.LevelWarn
	}
	s.Log.Log(context.Background(), level, "no session with a coordinator", "address", address, "reason", reason)
}

var errNoWelcome = errors.New("it did not welcome us in time")

// session serves one session at one address. It returns why it ended and how long it
// lasted; 0 if it never came about.
func (s *AgentSession) session(ctx context.Context, address string, orders queues) (lasted time.Duration, _ error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	l, err := newLink([]string{address}, s.TLS, s.Dialer)
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // it is given up either way
	stream, err := s.begin(ctx, end, l)
	if err != nil {
		return 0, cause(ctx, l, err)
	}
	began := time.Now()
	s.warnOfExpiry(stream)
	s.box.resend()

	var sending sync.WaitGroup
	sending.Go(func() {
		if err := s.send(ctx, stream); err != nil {
			end(err)
		}
	})
	err = s.receive(stream, orders)
	err = cause(ctx, l, err)
	end(err)
	sending.Wait()
	return max(time.Since(began), 1), err
}

// cause says why a session ended: what we ended it for, else what the stream returned.
func cause(ctx context.Context, l *link, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the coordinator ended it")
	}
	return l.failure(ctx, err)
}

type agentClientStream = grpc.BidiStreamingClient[hav1.ConnectRequest, hav1.ConnectResponse]

// begin dials, says hello and waits for the welcome.
func (s *AgentSession) begin(ctx context.Context, end context.CancelCauseFunc, l *link) (agentClientStream, error) {
	deadline := time.AfterFunc(handshakeTimeout, func() { end(errNoWelcome) })
	defer deadline.Stop()
	stream, err := hav1.NewAgentServiceClient(l).Connect(ctx)
	if err != nil {
		return nil, err
	}
	hello := &hav1.ConnectRequest{Message: &hav1.ConnectRequest_Hello{Hello: encodeHello(s.Hello())}}
	if err := stream.Send(legible(hello)); err != nil && !errors.Is(err, io.EOF) { // Recv tells why it is EOF
		return nil, err
	}
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetWelcome() == nil {
		return nil, errors.New("its first message is no welcome")
	}
	w, err := decode(m.GetWelcome(), (*decoder).welcome)
	if err == nil {
		err = s.Welcome(w)
	}
	if err != nil {
		end(fmt.Errorf("its welcome is refused: %w", err))
		return nil, err
	}
	s.Log.Info("session with the coordinator", "address", l.addresses[0], "coordinator", w.Coordinator, "generation", w.Generation)
	return stream, nil
}

// warnOfExpiry tells the agent's log when the coordinator's certificate is about to expire:
// nobody else looks at that one. The agent's own is looked at by the coordinator.
func (s *AgentSession) warnOfExpiry(stream agentClientStream) {
	p, ok := peer.FromContext(stream.Context())
	if !ok {
		return
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if ok && len(info.State.PeerCertificates) > 0 && expiresSoon(info.State.PeerCertificates[0], time.Now()) {
		s.Log.Warn("the coordinator's certificate expires soon: issue a new one", "expires", info.State.PeerCertificates[0].NotAfter)
	}
}

// send sends what is in the outbox until the stream breaks or ctx ends.
func (s *AgentSession) send(ctx context.Context, stream agentClientStream) error {
	for {
		m, sent := s.box.next(time.Now())
		if m == nil {
			select {
			case <-s.box.changed():
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := stream.Send(m); errors.Is(err, io.EOF) {
			return nil // receive learns why
		} else if err != nil {
			return err
		}
		sent()
	}
}

// receive takes the coordinator's messages until the stream ends.
func (s *AgentSession) receive(stream agentClientStream, orders queues) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch body := m.GetMessage().(type) {
		case *hav1.ConnectResponse_Order:
			o, err := decode(body.Order, (*decoder).order)
			if err != nil {
				return err
			}
			s.accept(o, orders)
		case *hav1.ConnectResponse_OrderResultTaken:
			s.box.taken(body.OrderResultTaken.GetId())
		default:
			s.Log.Debug("unknown message ignored")
		}
	}
}
