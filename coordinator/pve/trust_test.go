package pve

import (
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// tlsNode is a node with a real socket and certificate, on loopback.
func tlsNode(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func caOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func dial(t *testing.T, s *httptest.Server, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{Endpoints: []string{s.URL}, TokenID: testToken, TokenSecret: testSecret}
	change(&cfg)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Only the certificate one was told to trust is trusted, and otherwise the token is never
// sent.
func TestTrust(t *testing.T) {
	var asked atomic.Int32
	s := tlsNode(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		if req.ProtoMajor != 1 {
			t.Errorf("spoken to in %s: reason phrases would be lost", req.Proto)
		}
		_, _ = w.Write([]byte(someOptions))
	})
	sum := sha256.Sum256(s.Certificate().Raw)
	right := formatPin(sum)
	sum[0]++
	wrong := formatPin(sum)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, caOf(s), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		ok     bool
	}{
		"right fingerprint":         {func(c *Config) { c.Fingerprint = right }, true},
		"right one of two":          {func(c *Config) { c.Fingerprint = wrong + ", " + right }, true},
		"without colons":            {func(c *Config) { c.Fingerprint = strings.ToLower(strings.ReplaceAll(right, ":", "")) }, true},
		"wrong fingerprint":         {func(c *Config) { c.Fingerprint = wrong }, false},
		"its CA":                    {func(c *Config) { c.CAPEM = caOf(s) }, true},
		"its CA in a file":          {func(c *Config) { c.CAFile = file }, true},
		"the system's certificates": {func(*Config) {}, false},
	} {
		before := asked.Load()
		c := dial(t, s, tt.change)
		err := get(c)
		if (err == nil) != tt.ok || asked.Load() > before != tt.ok {
			t.Errorf("%s: %v, asked %d times", name, err, asked.Load()-before)
		}
		if !tt.ok {
			_, err := c.Do(t.Context(), ha.Start{SID: vm100, Node: "node1"})
			if !Refused(err) || ha.KindOf(err) != ha.Unavailable {
				t.Errorf("%s: nothing was sent, but: %v", name, err)
			}
		}
	}
	if err := get(dial(t, s, func(c *Config) { c.Fingerprint = wrong })); err == nil || !strings.Contains(err.Error(), right) {
		t.Errorf("the error does not name the fingerprint it saw: %v", err)
	}
}

// A CA file that is replaced counts from the next connection on, without a restart.
func TestTrustRenewed(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = w.Write([]byte(someOptions))
	}
	s := tlsNode(t, ok)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, caOf(s), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s, func(c *Config) { c.CAFile = file })
	if err := get(c); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := get(c); err == nil || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("with the CA gone: %v", err)
	}
	if err := os.WriteFile(file, caOf(s), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := get(c); err != nil {
		t.Errorf("with the CA back: %v", err)
	}
}

// Reads share a connection. Each changing call has its own: on a reused one nobody could
// tell whether the request arrived.
func TestConnections(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			_, _ = w.Write([]byte(someOptions))
			return
		}
		_, _ = w.Write([]byte(`{"data":null}`))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := dial(t, s, func(c *Config) { c.CAPEM = caOf(s) })
	for range 5 {
		if err := get(c); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("five reads used %d connections", n)
	}
	for range 3 {
		if _, err := c.Do(t.Context(), ha.Shutdown{SID: vm100, HA: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 4 {
		t.Errorf("three changes used %d connections", n-1)
	}
}

// What pveproxy writes to the socket: a reason phrase that net/http knows nothing of, an
// empty body, and the connection is closed.
func TestReasonPhraseOnTheWire(t *testing.T) {
	s := tlsNode(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 401 Authentication failed!\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		conn.Close()
	})
	err := get(dial(t, s, func(c *Config) { c.CAPEM = caOf(s) }))
	var api *APIError
	if !errors.As(err, &api) || api.Reason != "Authentication failed!" {
		t.Errorf("got %v", err)
	}
}

// Nothing listens: nothing was sent, and that is known.
func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c, err := New(Config{Endpoints: []string{"https://" + addr}, TokenID: testToken, TokenSecret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), ha.Start{SID: vm100, Node: "node1"})
	if !Refused(err) || ha.KindOf(err) != ha.Unavailable {
		t.Errorf("got %v", err)
	}
}
