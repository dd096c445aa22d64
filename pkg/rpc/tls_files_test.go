package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What is wrong with the files is said at the start, and which file it is.
func TestWrongFilesAreNamed(t *testing.T) {
	p := newPKI(t)
	save := func(c *Certificate) Files {
		f, err := c.Save(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	issue := func(notBefore, notAfter time.Duration) *Certificate {
		c, err := p.ca.issue(Identity{RoleAgent, "node1"}, time.Now().Add(notBefore), time.Now().Add(notAfter), nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	spoil := func(change func(*Files)) Files {
		f := p.files(RoleAgent, "node1")
		change(&f)
		return f
	}
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expired := save(issue(-time.Hour, -time.Minute))
	early := save(issue(time.Hour, 2*time.Hour))
	otherCA := spoil(func(f *Files) { f.CA = newPKI(t).files(RoleAgent, "node1").CA })
	otherKey := spoil(func(f *Files) { f.Key = p.files(RoleAgent, "node1").Key })
	otherRole := spoil(func(f *Files) { o := p.files(RoleOperator, "alice"); f.Cert, f.Key = o.Cert, o.Key })
	noRole := spoil(func(f *Files) { c := saveCA(t, p); f.Cert, f.Key = c.Cert, c.Key })
	openKey := spoil(func(f *Files) {
		if err := os.Chmod(f.Key, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	noCA := spoil(func(f *Files) { write(f.CA, "nothing") })
	noFiles := FilesIn(t.TempDir(), RoleAgent)

	tests := []struct {
		name  string
		files Files
		says  []string
	}{
		{"expired", expired, []string{expired.Cert, "expired on ", "issue a new one"}},
		{"not valid yet", early, []string{early.Cert, "is the clock right?"}},
		{"wrong CA", otherCA, []string{otherCA.Cert, "was not issued by the CA in " + otherCA.CA}},
		{"wrong key", otherKey, []string{otherKey.Cert, otherKey.Key}},
		{"wrong role", otherRole, []string{otherRole.Cert, "operator alice", "role agent is needed"}},
		{"no role", noRole, []string{noRole.Cert, "names no role"}},
		{"key open to all", openKey, []string{openKey.Key, "chmod 600"}},
		{"no certificate in ca.crt", noCA, []string{noCA.CA, "no certificate in PEM"}},
		{"no files", noFiles, []string{noFiles.CA, "no such file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ClientTLS(test.files, RoleCoordinator)
			if ha.KindOf(err) != ha.Invalid {
				t.Fatalf("got %v of kind %q, want an Invalid error", err, ha.KindOf(err))
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
	if _, err := ServerTLS(p.files(RoleAgent, "node1")); ha.KindOf(err) != ha.Invalid {
		t.Errorf("ServerTLS with an agent's files: %v, want an Invalid error", err)
	}
}

func saveCA(t *testing.T, p pki) Files {
	t.Helper()
	dir := t.TempDir()
	if err := p.ca.Save(dir); err != nil {
		t.Fatal(err)
	}
	return Files{CA: filepath.Join(dir, caCertFile), Cert: filepath.Join(dir, caCertFile), Key: filepath.Join(dir, caKeyFile)}
}

func TestACAIsSavedOnceAndLoaded(t *testing.T) {
	p := newPKI(t)
	f := saveCA(t, p)
	dir := filepath.Dir(f.Key)
	if info, err := os.Stat(f.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s: %v, %v; want 0600", f.Key, info.Mode(), err)
	}
	if err := p.ca.Save(dir); ha.KindOf(err) != ha.Conflict {
		t.Errorf("saving over a CA: %v, want a Conflict", err)
	}
	loaded, err := LoadCA(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loaded.Issue(RoleAgent, "node1", "node1.lan", "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ClientTLS(files, RoleCoordinator); err != nil {
		t.Errorf("a certificate of the loaded CA: %v", err)
	}
	if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s: %v, %v; want 0600", files.Key, info.Mode(), err)
	}
	got, err := files.load(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if leaf := got.pair.Leaf; leaf.VerifyHostname("node1.lan") != nil || leaf.VerifyHostname("10.0.0.1") != nil {
		t.Error("the hosts are not in the certificate")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.*.*")); err != nil || len(left) != 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	if _, err := LoadCA(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("loading a CA that is not there: %v", err)
	}
}

func TestNamesInCertificates(t *testing.T) {
	p := newPKI(t)
	for _, name := range []string{"node1", "alice@laptop", "Zoë Müller", "50%"} {
		c, err := p.ca.Issue(RoleOperator, name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		pair, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := identityOf(pair.Leaf); err != nil || id != (Identity{RoleOperator, name}) {
			t.Errorf("%q comes back as %v, %v", name, id, err)
		}
	}
	for _, name := range []string{"", "a/b", "two\nlines", strings.Repeat("x", 65)} {
		if _, err := p.ca.Issue(RoleOperator, name); ha.KindOf(err) != ha.Invalid {
			t.Errorf("%q: %v, want an Invalid error", name, err)
		}
	}
	if _, err := p.ca.Issue("root", "alice"); ha.KindOf(err) != ha.Invalid {
		t.Errorf("role root: %v, want an Invalid error", err)
	}
}

func TestACertificatePrintsNoKey(t *testing.T) {
	c, err := newPKI(t).ca.Issue(RoleAgent, "node1")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("issued", "certificate", c)
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c), log.String()} {
		if strings.Contains(text, "PRIVATE") || strings.Contains(text, string(c.key[40:60])) || len(text) > 400 {
			t.Errorf("a certificate prints %q", text)
		}
	}
}
