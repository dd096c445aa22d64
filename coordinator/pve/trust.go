package pve

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Limits on making a connection. A node of the same cluster is milliseconds away: what
// takes longer than dialTimeout is down, and the next node is asked.
const (
	dialTimeout      = 3 * time.Second
	handshakeTimeout = 5 * time.Second
	// idleTimeout is shorter than the few seconds after which pveproxy closes an idle
	// connection, so that a read does not begin on one that is just being closed.
	idleTimeout = 2 * time.Second
)

// trust knows which certificates to accept.
type trust struct {
	roots func() (*x509.CertPool, error) // nil pool: the system's
	pins  [][sha256.Size]byte
}

func newTrust(cfg Config) (*trust, error) {
	t := &trust{roots: func() (*x509.CertPool, error) { return nil, nil }}
	n := 0
	if cfg.CAFile != "" {
		n++
		t.roots = func() (*x509.CertPool, error) {
			pem, err := os.ReadFile(cfg.CAFile)
			if err != nil {
				return nil, fmt.Errorf("read CA: %w", err)
			}
			return pool(pem, cfg.CAFile)
		}
	}
	if len(cfg.CAPEM) > 0 {
		n++
		t.roots = func() (*x509.CertPool, error) { return pool(cfg.CAPEM, "the configured CA") }
	}
	if strings.TrimSpace(cfg.Fingerprint) != "" {
		n++
		pins, err := parsePins(cfg.Fingerprint)
		if err != nil {
			return nil, err
		}
		t.pins = pins
	}
	if n > 1 {
		return nil, ha.Errorf(ha.Invalid, "the Proxmox certificate is described more than once: give a CA file, a CA or a fingerprint, not several")
	}
	// An unreadable CA must show now, not as a mystery at the first call.
	if _, err := t.roots(); err != nil {
		return nil, ha.Errorf(ha.Invalid, "cannot trust Proxmox's certificate: %w", err)
	}
	return t, nil
}

func pool(pem []byte, name string) (*x509.CertPool, error) {
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	return p, nil
}

// parsePins reads fingerprints as Proxmox prints them: 32 bytes in hex, colons between.
func parsePins(text string) ([][sha256.Size]byte, error) {
	var pins [][sha256.Size]byte
	for _, s := range list(String(text)) {
		raw, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
		if err != nil || len(raw) != sha256.Size {
			return nil, ha.Errorf(ha.Invalid, "%q is not a SHA-256 fingerprint: want 32 bytes in hex, as `pvenode cert info` prints them", s)
		}
		pins = append(pins, [sha256.Size]byte(raw))
	}
	return pins, nil
}

// config is the TLS configuration for one connection to host.
func (t *trust) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if len(t.pins) > 0 {
		// The pin replaces the chain: a node's self-made certificate has no chain to check,
		// and its very bytes are compared instead, also on a resumed session.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = t.verifyPin
		return cfg, nil
	}
	roots, err := t.roots()
	if err != nil {
		return nil, err
	}
	cfg.RootCAs = roots
	return cfg, nil
}

func (t *trust) verifyPin(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the node showed no certificate")
	}
	got := sha256.Sum256(cs.PeerCertificates[0].Raw)
	if slices.Contains(t.pins, got) {
		return nil
	}
	return fmt.Errorf("the node's certificate has the fingerprint %s, which is not the pinned one", formatPin(got))
}

func formatPin(p [sha256.Size]byte) string {
	parts := make([]string, len(p))
	for k, b := range p {
		parts[k] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// network is for reads. No proxy is ever used: the API is on the nodes' own network.
func (t *trust) network() *http.Transport {
	return &http.Transport{
		DialTLSContext:  t.dial,
		MaxConnsPerHost: 4,
		IdleConnTimeout: idleTimeout,
		// HTTP/1.1 only: over HTTP/2 the reason phrase is lost, and with it the text of a 401.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// freshNetwork is for changing calls. Each makes its own connection: on a reused one the
// peer may be closing it that very moment, and then nobody knows whether the request got
// there. A connection that cannot be made is a clean "not sent".
func (t *trust) freshNetwork() *http.Transport {
	n := t.network()
	n.DisableKeepAlives = true
	n.MaxConnsPerHost = 0 // no waiting in a queue that would count as sent
	return n
}

// dialError is any failure before a connection stood: no byte of the request was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (t *trust) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &dialError{err}
	}
	cfg, err := t.config(host)
	if err != nil {
		return nil, &dialError{err}
	}
	raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	conn := tls.Client(raw, cfg)
	hs, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(hs); err != nil {
		_ = raw.Close()
		return nil, &dialError{err}
	}
	return conn, nil
}
