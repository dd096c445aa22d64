package rpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// How long certificates live. There is no revocation: whoever loses a key makes a new CA.
const (
	caLifetime = 20 * 365 * 24 * time.Hour
	// A certificate that ends unnoticed blinds the coordinator to a node, and that is
	// likelier in a small cluster than a key stolen from root's own directory. Both ends
	// warn for expiryNotice before it happens.
	certificateLifetime = 5 * 365 * 24 * time.Hour
	// clockSkew is how far the clock of a fresh node may be behind.
	clockSkew = time.Hour
)

// CA is the cluster's own certificate authority: whoever it issues a certificate to may
// speak in the role written there. ECDSA on P-256.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a certificate authority. The name is for people.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"psw-ha"}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // it issues to nodes and people, never to another CA
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key}, nil
}

// LoadCA reads ca.crt and ca.key of a directory.
func LoadCA(dir string) (*CA, error) {
	f := Files{CA: filepath.Join(dir, caCertFile), Cert: filepath.Join(dir, caCertFile), Key: filepath.Join(dir, caKeyFile)}
	pair, err := f.readPair()
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, ha.Errorf(ha.Invalid, "%s with %s is no certificate authority that psw-ha made", f.Cert, f.Key)
	}
	return &CA{cert: pair.Leaf, key: key}, nil
}

// Save writes ca.crt and ca.key, the key readable by its owner only. It refuses (Conflict)
// to replace a CA that is there: every certificate it issued would be void.
func (ca *CA) Save(dir string) error {
	keyFile := filepath.Join(dir, caKeyFile)
	if _, err := os.Stat(keyFile); err == nil {
		return ha.Errorf(ha.Conflict, "%s is there already; replacing it would void every certificate that it issued", keyFile)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return err
	}
	return saveFiles(dir, file{caKeyFile, keyPEM, 0o600}, file{caCertFile, encodeCert(ca.cert.Raw), 0o644})
}

// Issue makes a certificate that entitles its bearer to speak as name in a role: for an
// agent the name of its node, for an operator who they are. Hosts are DNS names or IP
// addresses written into it for tools that look for them; peers here go by role and name.
// The name is Invalid if it is empty, long, or has a slash or a character nobody sees.
func (ca *CA) Issue(role Role, name string, hosts ...string) (*Certificate, error) {
	now := time.Now()
	return ca.issue(Identity{Role: role, Name: name}, now.Add(-clockSkew), now.Add(certificateLifetime), hosts)
}

func (ca *CA) issue(id Identity, notBefore, notAfter time.Time, hosts []string) (*Certificate, error) {
	if err := id.validate(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id.Name, Organization: []string{"psw-ha " + string(id.Role)}},
		NotBefore:   notBefore,
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{id.Role.keyUsage()},
		URIs:        []*url.URL{id.url()},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Certificate{role: id.Role, ca: encodeCert(ca.cert.Raw), cert: encodeCert(der), key: keyPEM}, nil
}

// validate keeps names to what can stand in a URI, a log line and a file name.
func (id Identity) validate() error {
	if !id.Role.known() {
		return ha.Errorf(ha.Invalid, "%q is no role; there are agent, coordinator and operator", id.Role)
	}
	unfit := func(r rune) bool { return r == '/' || !unicode.IsGraphic(r) }
	if id.Name == "" || len(id.Name) > 64 || strings.ContainsFunc(id.Name, unfit) {
		return ha.Errorf(ha.Invalid, "%q is no name for a certificate: want 1 to 64 visible characters without a slash", id.Name)
	}
	return nil
}

// Certificate is an issued certificate with its private key and the CA's certificate. It
// prints nothing of the key.
type Certificate struct {
	role          Role
	ca, cert, key []byte // PEM
}

// String names the role; the private key stays out of logs.
func (c *Certificate) String() string { return "certificate of role " + string(c.role) }

// GoString is String.
func (c *Certificate) GoString() string { return c.String() }

// Save writes ca.crt, ROLE.crt and ROLE.key into a directory, the key readable by its
// owner only, replacing what is there: running programs use them from their next
// connection on.
func (c *Certificate) Save(dir string) (Files, error) {
	f := FilesIn(dir, c.role)
	err := saveFiles(dir,
		file{filepath.Base(f.CA), c.ca, 0o644},
		file{filepath.Base(f.Key), c.key, 0o600},
		file{filepath.Base(f.Cert), c.cert, 0o644})
	return f, err
}

type file struct {
	name    string
	content []byte
	mode    fs.FileMode
}

// saveFiles replaces each file whole, so that a reader never sees half of one.
func saveFiles(dir string, files ...file) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, f := range files {
		if err := replaceFile(dir, f); err != nil {
			return err
		}
	}
	return nil
}

func replaceFile(dir string, f file) (err error) {
	tmp, err := os.CreateTemp(dir, f.name+".*") // mode 0600 from the first byte on
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(f.content)
	if err == nil {
		err = tmp.Chmod(f.mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(dir, f.name))
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
