package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// pveServers are the nodes' APIs on loopback, as pveproxy serves them on port 8006. Each
// node shows a certificate of its cluster's authority, which every node that is in no
// cluster is for itself; a join exchanges it.
type pveServers struct {
	cluster *pvesim.Cluster
	dir     string
	// endpoints are their URLs, by node name order.
	endpoints []string
	// ca is the file with the first node's authority, the lab's /etc/pve/pve-root-ca.pem.
	ca      string
	servers []*http.Server

	mu           sync.Mutex
	authorities  map[string]*authority
	certificates map[shown]*tls.Certificate
}

// shown is which certificate a node shows: whose authority signed it, and how many it had
// before.
type shown struct {
	node, authority string
	number          int
}

func servePVE(c *pvesim.Cluster, dir string) (*pveServers, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the lab's folder: %w", err)
	}
	p := &pveServers{cluster: c, dir: dir, ca: filepath.Join(dir, "pve-root-ca.pem"),
		authorities: make(map[string]*authority), certificates: make(map[shown]*tls.Certificate)}
	first := p.shownBy(c.Nodes()[0])
	a, err := p.authority(first.authority)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.ca, a.pem, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the API's CA: %w", err)
	}
	for _, name := range c.Nodes() {
		if err := p.serve(name); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// certificateAtAccept is the key under which a connection's context has what its node showed
// when it began.
type certificateAtAccept struct{}

// serve serves one more node's API.
func (p *pveServers) serve(name string) error {
	// HTTP/1.1 only: over HTTP/2 there is no reason phrase, and Proxmox says much there.
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.certificate(p.shownBy(name)) }})
	if err != nil {
		return fmt.Errorf("cannot listen for the API of %s: %w", name, err)
	}
	api := p.cluster.API(name)
	s := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, certificateAtAccept{}, p.shownBy(name))
		},
		// A proxy that restarts with another certificate drops the connections it had.
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(certificateAtAccept{}) != p.shownBy(name) {
				panic(http.ErrAbortHandler)
			}
			api.ServeHTTP(w, r)
		}),
	}
	p.endpoints = append(p.endpoints, "https://"+l.Addr().String())
	p.servers = append(p.servers, s)
	go func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			panic(fmt.Sprintf("the API of %s: %v", name, err))
		}
	}()
	return nil
}

func (p *pveServers) shownBy(node string) shown {
	a, number := p.cluster.Certificate(node)
	return shown{node, a, number}
}

func (p *pveServers) close() {
	for _, s := range p.servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // a request still hangs; nothing more can be done for it
		}
		cancel()
	}
}

// authority is a cluster's own CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// authority is that of the cluster a node made.
func (p *pveServers) authority(node string) (*authority, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.authorityLocked(node)
}

func (p *pveServers) authorityLocked(node string) (*authority, error) {
	if a := p.authorities[node]; a != nil {
		return a, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make the API's CA: %w", err)
	}
	t := template("Proxmox Virtual Environment (" + node + ")")
	t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make the API's CA: %w", err)
	}
	a := &authority{key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("cannot read the API's CA: %w", err)
	}
	p.authorities[node] = a
	return a, nil
}

// certificate is a node's server certificate, made when it is shown first.
func (p *pveServers) certificate(k shown) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.certificates[k]; c != nil {
		return c, nil
	}
	a, err := p.authorityLocked(k.authority)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(k.node)
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.IPAddresses, t.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost", k.node}
	der, err := x509.CreateCertificate(rand.Reader, t, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key}
	p.certificates[k] = c
	return c, nil
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
}
