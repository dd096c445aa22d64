package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// agentService is the coordinator's end of the agents' sessions.
type agentService struct {
	hav1.UnimplementedAgentServiceServer
	backend Backend
	log     *slog.Logger
}

type agentStream = grpc.BidiStreamingServer[hav1.ConnectRequest, hav1.ConnectResponse]

// Connect is one session of one agent. Everything but receiving happens in this one
// goroutine, so that after it has returned nothing calls the backend any more.
func (s *agentService) Connect(stream agentStream) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	who := callerOf(ctx)
	node := ha.NodeName(who.Name)
	log := s.log.With("node", node, "from", who.from)

	inbox := receive(ctx, stream)
	orders, err := s.welcome(ctx, node, inbox, stream)
	if err != nil {
		log.Warn("agent not accepted", "error", err)
		return err
	}
	log.Info("agent connected")
	if expiresSoon(who.cert, time.Now()) {
		log.Warn("the agent's certificate expires soon: issue a new one", "expires", who.cert.NotAfter)
	}
	err = s.serve(ctx, node, inbox, orders, stream)
	log.Info("agent disconnected", "reason", errText(err))
	return err
}

// errText says why a session ended; nil is the agent's own wish.
func errText(err error) string {
	if err == nil {
		return "the agent ended its session"
	}
	return err.Error()
}

// inbox is what arrives on a stream: messages, then one error.
type inbox struct {
	messages chan *hav1.ConnectRequest
	broken   chan error
}

// receive moves messages from the stream to an inbox until the stream breaks or ctx ends.
func receive(ctx context.Context, stream agentStream) inbox {
	in := inbox{messages: make(chan *hav1.ConnectRequest), broken: make(chan error, 1)}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				in.broken <- err
				return
			}
			select {
			case in.messages <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return in
}

// welcome takes the agent's hello, subscribes to the orders for its node and answers.
func (s *agentService) welcome(ctx context.Context, node ha.NodeName, in inbox, stream agentStream) (<-chan ha.Order, error) {
	timeout := time.NewTimer(handshakeTimeout)
	defer timeout.Stop()
	var first *hav1.ConnectRequest
	select {
	case first = <-in.messages:
	case err := <-in.broken:
		return nil, err
	case <-timeout.C:
		return nil, ha.Errorf(ha.Invalid, "no hello within %s", handshakeTimeout)
	}
	if first.GetHello() == nil {
		return nil, ha.Errorf(ha.Invalid, "the first message of a session must be hello")
	}
	hello, err := decode(first.GetHello(), (*decoder).hello)
	if err != nil {
		return nil, err
	}
	if err := ownNode(node, hello.Node); err != nil {
		return nil, err
	}
	w, err := s.backend.Hello(ctx, hello)
	if err != nil {
		return nil, err
	}
	orders, err := s.backend.Orders(ctx, node)
	if err != nil {
		return nil, err
	}
	return orders, stream.Send(legible(&hav1.ConnectResponse{
		Message: &hav1.ConnectResponse_Welcome{Welcome: encodeWelcome(w)},
	}))
}

// ownNode demands that an agent speaks for the node in its certificate.
func ownNode(own, said ha.NodeName) error {
	if own != said {
		return ha.Errorf(ha.Denied, "the certificate is that of agent %s, which may not speak for %q", own, said)
	}
	return nil
}

// serve carries reports and results in and orders out until either side ends it.
func (s *agentService) serve(ctx context.Context, node ha.NodeName, in inbox, orders <-chan ha.Order, stream agentStream) error {
	for {
		select {
		case m := <-in.messages:
			if err := s.take(ctx, node, m, stream); err != nil {
				return err
			}
		case o, open := <-orders:
			if ctx.Err() != nil { // a backend may close the channel then, too
				return ctx.Err()
			}
			if !open {
				return ha.Errorf(ha.Conflict, "another session of agent %s took over", node)
			}
			if err := stream.Send(legible(&hav1.ConnectResponse{
				Message: &hav1.ConnectResponse_Order{Order: encodeOrder(o)},
			})); err != nil {
				return err
			}
		case err := <-in.broken:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take handles one message. An error ends the session.
func (s *agentService) take(ctx context.Context, node ha.NodeName, m *hav1.ConnectRequest, stream agentStream) error {
	switch body := m.GetMessage().(type) {
	case *hav1.ConnectRequest_Report:
		r, err := decode(body.Report, (*decoder).report)
		if err != nil {
			return err
		}
		if err := ownNode(node, r.Node); err != nil {
			return err
		}
		return s.backend.Report(ctx, r)
	case *hav1.ConnectRequest_OrderResult:
		r, err := decode(body.OrderResult, (*decoder).orderResult)
		if err != nil {
			return err
		}
		if err := ownNode(node, r.Node); err != nil {
			return err
		}
		if err := s.orderDone(ctx, r); err != nil {
			return err
		}
		return stream.Send(legible(&hav1.ConnectResponse{
			Message: &hav1.ConnectResponse_OrderResultTaken{OrderResultTaken: &hav1.OrderResultTaken{Id: r.ID}},
		}))
	case *hav1.ConnectRequest_Hello:
		return ha.Errorf(ha.Invalid, "hello comes once a session")
	default:
		// A newer agent says something this coordinator does not know.
		s.log.Debug("unknown message ignored", "node", node)
		return nil
	}
}

// orderDone hands a result to the backend. An agent repeats a result until it is taken, so
// one that the backend will never accept is taken too, and logged.
func (s *agentService) orderDone(ctx context.Context, r ha.OrderResult) error {
	err := s.backend.OrderDone(ctx, r)
	switch ha.KindOf(err) {
	case ha.Invalid, ha.NotFound, ha.Conflict, ha.Denied:
		s.log.Warn("result of an order not accepted", "node", r.Node, "order", r.ID, "error", err)
		return nil
	case ha.NotReady, ha.Unavailable, ha.Internal:
		return err
	}
	return nil
}
