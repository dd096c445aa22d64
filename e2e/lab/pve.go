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
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// pveServers are the nodes' APIs on loopback, as pveproxy serves them on port 8006.
type pveServers struct {
	// endpoints are their URLs, by node name order.
	endpoints []string
	// ca is the file with the certificate they are to be trusted by, the lab's
	// /etc/pve/pve-root-ca.pem.
	ca      string
	servers []*http.Server
}

func servePVE(c *pvesim.Cluster, dir string) (*pveServers, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the lab's folder: %w", err)
	}
	cert, ca, err := serverCertificate()
	if err != nil {
		return nil, fmt.Errorf("cannot make the API's certificate: %w", err)
	}
	p := &pveServers{ca: filepath.Join(dir, "pve-root-ca.pem")}
	if err := os.WriteFile(p.ca, ca, 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the API's CA: %w", err)
	}
	for _, name := range c.Nodes() {
		// HTTP/1.1 only: over HTTP/2 there is no reason phrase, and Proxmox says much there.
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		if err != nil {
			p.close()
			return nil, fmt.Errorf("cannot listen for the API of %s: %w", name, err)
		}
		s := &http.Server{Handler: c.API(name), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
		p.endpoints = append(p.endpoints, "https://"+l.Addr().String())
		p.servers = append(p.servers, s)
		go func() {
			if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				panic(fmt.Sprintf("the API of %s: %v", name, err))
			}
		}()
	}
	return p, nil
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

// serverCertificate makes a self-signed certificate for loopback.
func serverCertificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Proxmox Virtual Environment (lab)"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
