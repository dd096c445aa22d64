package agent

import (
	"strings"
	"testing"
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
