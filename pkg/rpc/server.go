package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// Limits of a connection.
const (
	// messageSizeMax holds the policy or the status of a project of 10,000 targets
	// (about 2 MB) with room to spare, and bounds what one message can make us allocate.
	messageSizeMax = 8 << 20
	// streamsMax per connection: an agent needs one, an operator a few.
	streamsMax = 32
	// A dead connection is noticed after pingInterval and pingTimeout: before the reports
	// of its node are too old to act on (ha.ReportAgeMax).
	pingInterval = 10 * time.Second
	pingTimeout  = 5 * time.Second
	// handshakeTimeout is for TLS and for the first message of a session.
	handshakeTimeout = 10 * time.Second
)

// NewServer makes the coordinator's gRPC server over b; ServerTLS makes its TLS
// configuration, without which there is no server (it panics on nil). What a caller may
// do hangs on the role in its certificate: agents get AgentService and speak for their own
// node only, operators get OperatorService. The caller serves it, and ends it with Stop,
// which returns after the last call of b has: sessions of agents never end by themselves,
// so GracefulStop would wait for ever.
func NewServer(b Backend, cfg *tls.Config, log *slog.Logger) *grpc.Server {
	if cfg == nil {
		panic("rpc: a server without TLS")
	}
	g := gate{log: log}
	s := grpc.NewServer(
		grpc.Creds(loggedHandshakes{TransportCredentials: credentials.NewTLS(cfg), log: log}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingInterval / 2, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(messageSizeMax),
		grpc.MaxSendMsgSize(factsSizeMax),
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.WaitForHandlers(true),
		grpc.UnaryInterceptor(g.unary),
		grpc.StreamInterceptor(g.stream),
	)
	hav1.RegisterAgentServiceServer(s, &agentService{backend: b, log: log})
	hav1.RegisterOperatorServiceServer(s, &operatorService{backend: b})
	hav1.RegisterReadinessServiceServer(s, &readinessService{backend: b})
	hav1.RegisterOperationServiceServer(s, &operationService{backend: b})
	hav1.RegisterProofServiceServer(s, &proofService{backend: b})
	return s
}

// loggedHandshakes tells the coordinator's log why a connection was refused: the other end
// learns no more than a TLS alert.
type loggedHandshakes struct {
	credentials.TransportCredentials
	log *slog.Logger
}

func (c loggedHandshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF): // somebody looked whether the port is open
		c.log.Debug("connection closed before TLS", "from", raw.RemoteAddr().String())
	default:
		c.log.Warn("connection refused", "from", raw.RemoteAddr().String(), "error", err)
	}
	return conn, info, err
}

func (c loggedHandshakes) Clone() credentials.TransportCredentials {
	return loggedHandshakes{TransportCredentials: c.TransportCredentials.Clone(), log: c.log}
}

// caller is who calls, as its verified certificate says.
type caller struct {
	Identity
	cert *x509.Certificate
	from string
}

type callerKey struct{}

// callerOf returns the caller whom the gate let in.
func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// A gate stands before every call: it lets in whom the role entitles, turns errors into
// statuses, and keeps a panic from taking the coordinator down.
type gate struct{ log *slog.Logger }

func (g gate) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() { err = g.result(info.FullMethod, recover(), err) }()
	if ctx, err = admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (g gate) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() { err = g.result(info.FullMethod, recover(), err) }()
	ctx, err := admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, admitted{ServerStream: stream, ctx: ctx})
}

// admitted is a stream whose context holds the caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is how gRPC hands a context to a stream's handler
}

func (s admitted) Context() context.Context { return s.ctx }

func (g gate) result(method string, panicked any, err error) error {
	if panicked != nil {
		g.log.Error("a call panicked", "method", method, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		err = ha.Errorf(ha.Internal, "the coordinator failed at %s: its log has the details", method[strings.LastIndex(method, "/")+1:])
	}
	return statusError(err)
}

// admit checks the caller's role against the service it calls.
func admit(ctx context.Context, method string) (context.Context, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, ha.Errorf(ha.Denied, "nobody is known to call")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil, ha.Errorf(ha.Denied, "a certificate of the cluster's CA is needed")
	}
	cert := info.State.PeerCertificates[0]
	id, err := identityOf(cert)
	if err != nil {
		return nil, err
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	var need Role
	switch service {
	case hav1.AgentService_ServiceDesc.ServiceName:
		need = RoleAgent
	case hav1.OperatorService_ServiceDesc.ServiceName,
		hav1.ReadinessService_ServiceDesc.ServiceName,
		hav1.OperationService_ServiceDesc.ServiceName,
		hav1.ProofService_ServiceDesc.ServiceName:
		need = RoleOperator
	default:
		return nil, ha.Errorf(ha.Denied, "nobody may call %s", service)
	}
	if id.Role != need {
		return nil, ha.Errorf(ha.Denied, "the certificate of %s does not entitle to this: role %s is needed", id, need)
	}
	return context.WithValue(ctx, callerKey{}, caller{Identity: id, cert: cert, from: p.Addr.String()}), nil
}
