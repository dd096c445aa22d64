package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Role is what a certificate entitles its bearer to.
type Role string

// The roles. A certificate has exactly one.
const (
	// RoleAgent may call AgentService, in the name of the node in the certificate.
	RoleAgent Role = "agent"
	// RoleCoordinator may be the server of both services.
	RoleCoordinator Role = "coordinator"
	// RoleOperator may call OperatorService; the name is put down in the journal.
	RoleOperator Role = "operator"
)

func (r Role) known() bool { return r == RoleAgent || r == RoleCoordinator || r == RoleOperator }

func (r Role) keyUsage() x509.ExtKeyUsage {
	if r == RoleCoordinator {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// Identity is whom a certificate speaks for: the URI psw-ha://ROLE/NAME in it. Host names
// play no part, so that a coordinator may move to another address.
type Identity struct {
	Role Role
	Name string
}

const identityScheme = "psw-ha"

func (id Identity) String() string { return string(id.Role) + " " + id.Name }

func (id Identity) url() *url.URL {
	return &url.URL{Scheme: identityScheme, Host: string(id.Role), Path: "/" + id.Name}
}

// identityOf reads the identity of a certificate. It does not verify the certificate.
func identityOf(cert *x509.Certificate) (Identity, error) {
	var found []Identity
	for _, u := range cert.URIs {
		if u.Scheme == identityScheme {
			found = append(found, Identity{Role: Role(u.Host), Name: strings.TrimPrefix(u.Path, "/")})
		}
	}
	if len(found) != 1 || found[0].validate() != nil {
		return Identity{}, ha.Errorf(ha.Denied, "certificate %q names no role: want exactly one URI %s://ROLE/NAME in it", cert.Subject.CommonName, identityScheme)
	}
	return found[0], nil
}

// Files are the certificate files of one program. They are read again for each new
// connection: renewing them needs no restart, and a botched renewal shows at once.
type Files struct {
	// CA holds the certificate of the cluster's CA; two of them while a CA is replaced.
	CA string
	// Cert and Key are this program's own, in PEM.
	Cert, Key string
	// Role is what Cert must be issued for.
	Role Role
}

const (
	caCertFile = "ca.crt"
	caKeyFile  = "ca.key"
)

// FilesIn names the files of a role in a directory: ca.crt, ROLE.crt and ROLE.key.
func FilesIn(dir string, role Role) Files {
	return Files{
		CA:   filepath.Join(dir, caCertFile),
		Cert: filepath.Join(dir, string(role)+".crt"),
		Key:  filepath.Join(dir, string(role)+".key"),
		Role: role,
	}
}

// ServerTLS is the coordinator's configuration: TLS 1.3, and no connection without a
// certificate that the CA issued. Errors name the file that is wrong.
func ServerTLS(f Files) (*tls.Config, error) {
	if f.Role != RoleCoordinator {
		return nil, ha.Errorf(ha.Invalid, "certificate %s cannot serve: want the files of role coordinator, not %q", f.Cert, f.Role)
	}
	if _, err := f.load(time.Now()); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := f.load(time.Now())
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:             tls.VersionTLS13,
				Certificates:           []tls.Certificate{c.pair},
				ClientAuth:             tls.RequireAndVerifyClientCert,
				ClientCAs:              c.pool,
				SessionTicketsDisabled: true, // every connection is verified in full
			}, nil
		},
	}, nil
}

// ClientTLS is the configuration of an agent or an operator: TLS 1.3, its own certificate,
// and no server but one whose certificate the CA issued for the wanted role. Errors name
// the file that is wrong.
func ClientTLS(f Files, want Role) (*tls.Config, error) {
	if _, err := f.load(time.Now()); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// What crypto/tls would verify is a host name, which a coordinator may change, and a
		// fixed pool, which must follow the file. VerifyConnection verifies chain and role.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			c, err := f.load(time.Now())
			if err != nil {
				return err
			}
			return verifyServer(state.PeerCertificates, c.pool, want, f.CA)
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c, err := f.load(time.Now())
			if err != nil {
				return nil, err
			}
			return &c.pair, nil
		},
	}, nil
}

// verifyServer is what a client demands of the other end's certificate.
func verifyServer(chain []*x509.Certificate, pool *x509.CertPool, want Role, caFile string) error {
	if len(chain) == 0 {
		return errors.New("the server showed no certificate")
	}
	leaf := chain[0]
	id, err := identityOf(leaf)
	if err != nil {
		return fmt.Errorf("the server's %w", err)
	}
	opts := x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{want.keyUsage()}, CurrentTime: time.Now()}
	if id.Role != want {
		return fmt.Errorf("the server's certificate is that of %s; role %s is needed there", id, want)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return fmt.Errorf("the certificate of %s %w", id, explain(err, caFile, opts.CurrentTime))
	}
	return nil
}

// loaded is what Files held at one moment, verified.
type loaded struct {
	pair tls.Certificate
	pool *x509.CertPool
}

func (f Files) load(now time.Time) (*loaded, error) {
	pemCA, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, ha.Errorf(ha.Invalid, "no certificate of the CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pemCA) {
		return nil, ha.Errorf(ha.Invalid, "%s holds no certificate in PEM", f.CA)
	}
	pair, err := f.readPair()
	if err != nil {
		return nil, err
	}
	opts := x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: now}
	if _, err := pair.Leaf.Verify(opts); err != nil {
		return nil, ha.Errorf(ha.Invalid, "certificate %s %w", f.Cert, explain(err, f.CA, now))
	}
	id, err := identityOf(pair.Leaf)
	if err != nil {
		return nil, ha.Errorf(ha.Invalid, "%s: %w", f.Cert, err)
	}
	if id.Role != f.Role {
		return nil, ha.Errorf(ha.Invalid, "certificate %s is that of %s; role %s is needed here", f.Cert, id, f.Role)
	}
	return &loaded{pair: pair, pool: pool}, nil
}

func (f Files) readPair() (tls.Certificate, error) {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return tls.Certificate{}, ha.Errorf(ha.Invalid, "no certificate: %w", err)
	}
	info, err := os.Stat(f.Key)
	if err != nil {
		return tls.Certificate{}, ha.Errorf(ha.Invalid, "no private key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return tls.Certificate{}, ha.Errorf(ha.Invalid, "private key %s is open to everybody on this machine: chmod 600 it", f.Key)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return tls.Certificate{}, ha.Errorf(ha.Invalid, "no private key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, ha.Errorf(ha.Invalid, "certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	return pair, nil
}

// explain turns what x509 says of a certificate into the rest of a sentence about it.
func explain(err error, caFile string, now time.Time) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert.IsCA:
		return fmt.Errorf("cannot be trusted: the CA itself in %s expired on %s", caFile, day(invalid.Cert.NotAfter))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return fmt.Errorf("is not valid before %s: is the clock right? It says %s", invalid.Cert.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("expired on %s: issue a new one", day(invalid.Cert.NotAfter))
	case errors.As(err, &unknown):
		return fmt.Errorf("was not issued by the CA in %s", caFile)
	default:
		return fmt.Errorf("cannot be trusted: %w", err)
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// expiryNotice is how long before its end both sides of a connection speak of a
// certificate: a month, so that a monthly look at the logs finds it.
const expiryNotice = 30 * 24 * time.Hour

func expiresSoon(cert *x509.Certificate, now time.Time) bool {
	return now.Add(expiryNotice).After(cert.NotAfter)
}
