package agent

import (
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A node that has joined keeps its key unless another line lets it in by that key: one that was
// commented out, or that stands in the command of another key, does not.
func TestAKeyThatIsOnlyNamedLetsNobodyIn(t *testing.T) {
	onARack(t, 2, func(r *rack) {
		r.done("node1", ha.CreateCluster{Node: "node1", Name: "home", Links: links("11")})
		time.Sleep(10 * time.Second)
		root, _ := r.keys("node2")
		_, own := r.keys("node1")
		theirs := []string{
			"# " + root[0] + " root@node2, not now",
			`command="echo ` + root[0] + ` psw-ha-join-node2",restrict ` + own[0] + " logs a key",
			`environment="A=\"x ` + root[0] + `" ` + own[0] + " quotes a quote",
		}
		text := r.authorized() + strings.Join(theirs, "\n") + "\n"
		if err := r.Host("node1").WriteFile("etc/pve/priv/authorized_keys", []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
		r.done("node1", ha.AuthorizeJoin{On: "node1", Node: "node2", Keys: root[:1], From: links("12"), For: time.Minute})
		r.done("node1", ha.RevokeJoin{On: "node1", Node: "node2", Joined: true})
		if got, want := r.authorized(), text+root[0]+" root@node2\n"; got != want {
			r.t.Errorf("who is let in:\n%swant:\n%s", got, want)
		}
	})
}

// Whoever wrote the line, a key counts where sshd finds it.
func TestTheKeyOfALine(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	for line, want := range map[string]string{
		key:                                    key,
		"  " + key + " root@node1":             key,
		"restrict " + key:                      key,
		`from="10.0.0.1,10.0.0.2" ` + key:      key,
		`command="a b",restrict	` + key + " c": key,
		"#" + key:                              "",
		" # " + key:                            "",
		"restrict # " + key:                    "",
		`command="x ` + key:                    "",
		`command="x ` + key + `" none`:         "",
		`command="x" y ` + key:                 "",
		"":                                     "",
	} {
		if got := keyOf(line); got != want {
			t.Errorf("the key of %q is %q, want %q", line, got, want)
		}
	}
}

// stuckWriter is a machine on which nothing that is written comes to an end.
type stuckWriter struct {
	*machine
	freed chan struct{}
}

func (w stuckWriter) WriteFile(string, []byte, fs.FileMode) error {
	<-w.freed
	return nil
}

// pmxcfs takes no write while it waits for the others. The order fails in time, and neither a
// second writer nor a reader is left behind beside the first.
func TestAHungClusterFileSystemIsNotWrittenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stuckWriter{newMachine(), make(chan struct{})}
		w.MapFS["etc/pve/priv/authorized_keys"] = &fstest.MapFile{Data: []byte("ssh-rsa AAAA psw-ha-join-node2\n")}
		c := DefaultConfig()
		c.Node, c.StateDir, c.Coordinators = "node1", t.TempDir(), []string{here}
		a := New(c, w, slog.New(slog.DiscardHandler))
		revoke := func(id string) ha.OrderResult {
			o := order(id)
			o.Deed = ha.RevokeJoin{On: "node1", Node: "node2"}
			return a.Obey(t.Context(), o)
		}
		began := time.Now()
		if r := revoke("o1"); !strings.Contains(r.Failed, "/etc/pve/priv/authorized_keys did not answer within 20s") || time.Since(began) != rewriteMax {
			t.Errorf("%+v after %s", r, time.Since(began))
		}
		if r := revoke("o2"); !strings.Contains(r.Failed, "/etc/pve hangs") {
			t.Errorf("%+v, want it failed because the first one still hangs", r)
		}
		if r := a.Obey(t.Context(), order("o3")); !strings.Contains(r.Refused, "/etc/pve hangs") {
			t.Errorf("%+v, want it refused because a write still hangs", r)
		}
		close(w.freed)
		synctest.Wait()
		if r := revoke("o4"); r.Failed != "" {
			t.Errorf("%+v, want it done once pmxcfs is back", r)
		}
	})
}
