package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/casaeureka/psw-ha/pkg/ha"
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"
)

// listen starts a coordinator on a real socket and returns its address.
func listen(t *testing.T, b Backend, cfg *tls.Config, log io.Writer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(b, cfg, slog.New(slog.NewTextHandler(log, nil)))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// askStatus asks as an operator.
func askStatus(t *testing.T, address string, cfg *tls.Config) error {
	t.Helper()
	o, err := DialOperator([]string{address}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = o.Status(ctx, nil)
	return err
}

// connect says messages as an agent and returns how the session ends; a session that
// is welcomed and does not end by itself is an error of this test.
func connect(t *testing.T, address string, cfg *tls.Config, messages ...*hav1.ConnectRequest) error {
	t.Helper()
	l, err := newLink([]string{address}, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := hav1.NewAgentServiceClient(l).Connect(ctx)
	if err != nil {
		return l.failure(ctx, err)
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			break // Recv tells why
		}
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return l.failure(ctx, err)
		}
	}
}

func hello(node string) *hav1.ConnectRequest {
	return &hav1.ConnectRequest{Message: &hav1.ConnectRequest_Hello{Hello: &hav1.Hello{Node: node}}}
}

// Who may do what hangs on the certificate and on nothing else.
func TestIdentity(t *testing.T) {
	p := newPKI(t)
	d := &desk{}
	address := listen(t, d, p.server(), io.Discard)

	tests := []struct {
		name string
		err  error
		kind ha.Kind
		says string
	}{
		{
			"an operator may ask",
			askStatus(t, address, p.client(RoleOperator, "alice")), "", "",
		},
		{
			"an operator is no agent",
			connect(t, address, p.client(RoleOperator, "alice"), hello("node1")),
			ha.Denied, "operator alice does not entitle to this: role agent is needed",
		},
		{
			"an agent is no operator",
			askStatus(t, address, p.client(RoleAgent, "node1")),
			ha.Denied, "agent node1 does not entitle to this: role operator is needed",
		},
		{
			"an agent cannot claim another node",
			connect(t, address, p.client(RoleAgent, "node1"), hello("node2")),
			ha.Denied, `agent node1, which may not speak for "node2"`,
		},
		{
			"an agent cannot report for another node",
			connect(t, address, p.client(RoleAgent, "node1"), hello("node1"),
				&hav1.ConnectRequest{Message: &hav1.ConnectRequest_Report{Report: &hav1.Report{Node: "node2"}}}),
			ha.Denied, `may not speak for "node2"`,
		},
		{
			"an agent cannot answer for another node",
			connect(t, address, p.client(RoleAgent, "node1"), hello("node1"),
				&hav1.ConnectRequest{Message: &hav1.ConnectRequest_OrderResult{OrderResult: &hav1.OrderResult{Id: "o1", Node: "node2"}}}),
			ha.Denied, `may not speak for "node2"`,
		},
		{
			"an agent says hello first",
			connect(t, address, p.client(RoleAgent, "node1"),
				&hav1.ConnectRequest{Message: &hav1.ConnectRequest_Report{Report: &hav1.Report{Node: "node1"}}}),
			ha.Invalid, "must be hello",
		},
		{
			"an agent says hello once",
			connect(t, address, p.client(RoleAgent, "node1"), hello("node1"), hello("node1")),
			ha.Invalid, "hello comes once",
		},
		{
			"a report must make sense",
			connect(t, address, p.client(RoleAgent, "node1"), hello("node1"),
				&hav1.ConnectRequest{Message: &hav1.ConnectRequest_Report{Report: &hav1.Report{Node: "node1", Running: []*hav1.LocalGuest{{Sid: "101"}}}}}),
			ha.Invalid, `"101" is not a guest name`,
		},
		{
			"a certificate of another cluster is nothing here",
			askStatus(t, address, stranger(t)),
			ha.Unavailable, address,
		},
		{
			"without a certificate nobody gets in",
			askStatus(t, address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}),
			ha.Unavailable, address,
		},
		{
			"an expired certificate is refused",
			askStatus(t, address, expired(t, p)),
			ha.Unavailable, address,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if ha.KindOf(test.err) != test.kind || test.err != nil && !strings.Contains(test.err.Error(), test.says) {
				t.Errorf("got %v of kind %q, want kind %q and %q", test.err, ha.KindOf(test.err), test.kind, test.says)
			}
		})
	}
	if len(d.reports) != 0 || len(d.results) != 0 {
		t.Errorf("reports %v and results %v arrived, want none", d.reports, d.results)
	}
}

// stranger has a certificate of another CA, and does not mind whom it speaks to.
func stranger(t *testing.T) *tls.Config {
	t.Helper()
	c, err := newPKI(t).ca.Issue(RoleOperator, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return careless(t, c)
}

// expired has a certificate that ended a minute ago, and uses it all the same.
func expired(t *testing.T, p pki) *tls.Config {
	t.Helper()
	return careless(t, expiredCertificate(t, p, Identity{RoleOperator, "alice"}))
}

func expiredCertificate(t *testing.T, p pki, id Identity) *Certificate {
	t.Helper()
	c, err := p.ca.issue(id, time.Now().Add(-time.Hour), time.Now().Add(-time.Minute), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// careless uses a certificate without any of the checks of ClientTLS and ServerTLS.
func careless(t *testing.T, c *Certificate) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true,
		ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func TestAClientBelievesOnlyACoordinator(t *testing.T) {
	p := newPKI(t)
	issue := func(role Role, name string) *Certificate {
		c, err := p.ca.Issue(role, name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tests := []struct {
		name   string
		server *tls.Config
		says   string
	}{
		{"an agent's certificate cannot serve", careless(t, issue(RoleAgent, "node2")), "that of agent node2; role coordinator is needed there"},
		{"nor can one of another CA", newPKI(t).server(), "was not issued by the CA in "},
		{"nor one that expired", careless(t, expiredCertificate(t, p, Identity{RoleCoordinator, "home"})), "certificate of coordinator home expired on "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log strings.Builder
			address := listen(t, &desk{}, test.server, &log)
			err := askStatus(t, address, p.client(RoleOperator, "alice"))
			if ha.KindOf(err) != ha.Unavailable || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v of kind %q, want Unavailable and %q", err, ha.KindOf(err), test.says)
			}
		})
	}
}

// Neither an old protocol nor plaintext gets an answer.
func TestThereIsOnlyTLS13(t *testing.T) {
	p := newPKI(t)
	address := listen(t, &desk{}, p.server(), io.Discard)
	f := p.files(RoleOperator, "alice")
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	old, err := tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
	})
	if err == nil {
		old.Close()
		t.Error("the server speaks TLS 1.2")
	}
	for name, creds := range map[string]credentials.TransportCredentials{
		"plaintext": insecure.NewCredentials(),
		"TLS without a certificate": credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		}),
	} {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := hav1.NewOperatorServiceClient(conn).Status(t.Context(), &hav1.StatusRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("%s is answered with %v, want no connection", name, err)
		}
	}
}

// A lax configuration of TLS must not open the services: the gate wants verified chains.
func TestTheGateDoesNotTrustAnUnverifiedCertificate(t *testing.T) {
	p := newPKI(t)
	c, err := p.ca.Issue(RoleCoordinator, "home")
	if err != nil {
		t.Fatal(err)
	}
	lax := careless(t, c)
	lax.ClientAuth = tls.RequireAnyClientCert
	address := listen(t, &desk{}, lax, io.Discard)
	if err := askStatus(t, address, stranger(t)); ha.KindOf(err) != ha.Denied {
		t.Errorf("got %v of kind %q, want Denied", err, ha.KindOf(err))
	}
}

// The coordinator's log says who was refused and why; the other end learns only an alert.
func TestRefusedConnectionsAreLogged(t *testing.T) {
	p := newPKI(t)
	lines := make(lineWriter, 100)
	address := listen(t, &desk{}, p.server(), lines)
	if err := askStatus(t, address, expired(t, p)); err == nil {
		t.Fatal("an expired certificate was let in")
	}
	line := <-lines
	if !strings.Contains(line, "connection refused") || !strings.Contains(line, "127.0.0.1:") || !strings.Contains(line, "expired") {
		t.Errorf("the log says %q, want the address and that the certificate expired", line)
	}
}

// lineWriter hands over each line that is logged.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	select {
	case w <- string(b):
	default:
	}
	return len(b), nil
}

// Certificates are renewed, and then the whole CA is replaced, under running programs.
func TestCertificatesAreRenewedWithoutARestart(t *testing.T) {
	old, young := newPKI(t), newPKI(t)
	serverFiles, clientFiles := old.files(RoleCoordinator, "home"), old.files(RoleOperator, "alice")
	server, err := ServerTLS(serverFiles)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ClientTLS(clientFiles, RoleCoordinator)
	if err != nil {
		t.Fatal(err)
	}
	address := listen(t, &desk{}, server, io.Discard)
	renew := func(p pki, role Role, f Files) {
		t.Helper()
		c, err := p.ca.Issue(role, "renewed")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Save(filepath.Dir(f.Cert)); err != nil {
			t.Fatal(err)
		}
	}
	if err := askStatus(t, address, client); err != nil {
		t.Fatal(err)
	}
	renew(old, RoleCoordinator, serverFiles)
	renew(old, RoleOperator, clientFiles)
	if err := askStatus(t, address, client); err != nil {
		t.Errorf("after both certificates were renewed: %v", err)
	}
	renew(young, RoleCoordinator, serverFiles)
	if err := askStatus(t, address, client); ha.KindOf(err) != ha.Unavailable {
		t.Errorf("a server of a new CA, a client of the old one: %v, want Unavailable", err)
	}
	renew(young, RoleOperator, clientFiles)
	if err := askStatus(t, address, client); err != nil {
		t.Errorf("after the CA was replaced on both sides: %v", err)
	}
	if err := os.Remove(clientFiles.Key); err != nil {
		t.Fatal(err)
	}
	if err := askStatus(t, address, client); err == nil || !strings.Contains(err.Error(), clientFiles.Key) {
		t.Errorf("without a key: %v, want the error to name %s", err, clientFiles.Key)
	}
}
