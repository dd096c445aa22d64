package agent

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A join goes over SSH, and all that this takes is public: the joining node's key is let in
// on the other side, limited to its own addresses and to minutes, and the other side's host
// key is made known to it. These two files are all an agent ever writes outside its own
// folder, but for what it tries on shared storage.
const (
	// authorizedKeys is the cluster's, which root's own file links to. Beside a member that
	// stands alone it is there as well.
	authorizedKeys = "etc/pve/priv/authorized_keys"
	knownHosts     = "root/.ssh/known_hosts"
)

// A writer is a host on which those two files can be written. A recorded one is none.
type writer interface {
	WriteFile(name string, data []byte, perm fs.FileMode) error
}

// letIn lets root of a node in with any of the keys, and nobody else: a line for it that is
// there already is replaced. restrict leaves nothing but commands.
func (a *Agent) letIn(ctx context.Context, node ha.NodeName, keys []string, from []netip.Addr, until time.Time) error {
	if len(keys) == 0 {
		return fmt.Errorf("the public keys of root on %s are not known", node)
	}
	for _, key := range keys {
		if !isPublicKey(key) {
			return fmt.Errorf("what root of %s has is no public key", node)
		}
	}
	return a.rewriteAuthorized(ctx, func(have []string) []string { return admitted(have, node, keys, from, until) })
}

// admitted are the lines of authorized_keys with those that let a node in.
func admitted(have []string, node ha.NodeName, keys []string, from []netip.Addr, until time.Time) []string {
	addrs := make([]string, len(from))
	for k, addr := range from {
		addrs[k] = addr.String()
	}
	lines := slices.DeleteFunc(have, func(line string) bool { return isMarked(line, node) })
	for _, key := range keys {
		lines = append(lines, fmt.Sprintf(`restrict,from="%s",expiry-time="%s" %s %s`,
			strings.Join(addrs, ","), until.UTC().Format("20060102150405Z"), key, ha.JoinMark(node)))
	}
	return lines
}

// letOut takes our lines for a node away. Of one that has joined the key itself stays, as
// every member's does: Proxmox adds it only if no line has it, and ours had it.
func (a *Agent) letOut(ctx context.Context, node ha.NodeName, joined bool) error {
	return a.rewriteAuthorized(ctx, func(have []string) []string { return dismissed(have, node, joined) })
}

// dismissed are the lines of authorized_keys without those that let a node in.
func dismissed(have []string, node ha.NodeName, joined bool) []string {
	ours := slices.DeleteFunc(slices.Clone(have), func(line string) bool { return !isMarked(line, node) })
	rest := slices.DeleteFunc(have, func(line string) bool { return isMarked(line, node) })
	if !joined {
		return rest
	}
	for _, line := range ours {
		key := keyOf(line)
		if key != "" && !slices.ContainsFunc(rest, func(other string) bool { return keyOf(other) == key }) {
			rest = append(rest, fmt.Sprintf("%s root@%s", key, node))
		}
	}
	return rest
}

// knowHost makes an address's host keys known.
func (a *Agent) knowHost(addr netip.Addr, keys []string) error {
	if len(keys) == 0 {
		return errors.New("its host keys are not known")
	}
	for _, key := range keys {
		if !isPublicKey(key) {
			return errors.New("what it has is no public key")
		}
	}
	return a.rewrite(knownHosts, func(have []string) []string {
		for _, key := range keys {
			if line := addr.String() + " " + key; !slices.Contains(have, line) {
				have = append(have, line)
			}
		}
		return have
	})
}

// rewriteAuthorized changes who is let in, or gives up in time.
func (a *Agent) rewriteAuthorized(ctx context.Context, change func([]string) []string) error {
	_, err := onPmxcfs(ctx, a, rewriteMax, "/"+authorizedKeys, func() (none struct{}, err error) { return none, a.rewrite(authorizedKeys, change) })
	return err
}

// rewrite changes the lines of a file, and leaves it alone if nothing changes.
func (a *Agent) rewrite(name string, change func([]string) []string) error {
	w, ok := a.host.(writer)
	if !ok {
		return errors.New("nothing can be written on this host")
	}
	have, err := a.lines(name)
	if err != nil {
		return fmt.Errorf("read /%s: %w", name, err)
	}
	want := change(slices.Clone(have))
	if slices.Equal(have, want) {
		return nil
	}
	text := strings.Join(want, "\n")
	if text != "" {
		text += "\n"
	}
	if err := w.WriteFile(name, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write /%s: %w", name, err)
	}
	return nil
}

func (a *Agent) lines(name string) ([]string, error) {
	data, err := a.readFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	text := strings.TrimRight(string(data), "\n")
	if err != nil || text == "" {
		return nil, err
	}
	return strings.Split(text, "\n"), nil
}

func isMarked(line string, node ha.NodeName) bool {
	return strings.HasSuffix(line, " "+ha.JoinMark(node))
}

// keyOf is the key of a line of authorized_keys, "TYPE BASE64", as sshd(8) finds it: at the
// beginning, or behind one word of options, in which a blank may be quoted. Empty if there is
// none: what stands in a comment or in an option lets nobody in.
func keyOf(line string) string {
	for _, rest := range []string{line, line[optionsEnd(line):]} {
		words := strings.Fields(rest)
		if len(words) > 1 && isPublicKey(words[0]+" "+words[1]) {
			return words[0] + " " + words[1]
		}
	}
	return ""
}

// optionsEnd is where the options end that a line begins with.
func optionsEnd(line string) int {
	begin := len(line) - len(strings.TrimLeft(line, " \t"))
	if strings.HasPrefix(line[begin:], "#") {
		return len(line)
	}
	quoted := false
	for k := begin; k < len(line); k++ {
		switch c := line[k]; {
		case c == '\\' && strings.HasPrefix(line[k+1:], `"`):
			k++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return k
		}
	}
	return len(line)
}

// keyTypes are those a Proxmox node has.
var keyTypes = []string{"ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"}

// isPublicKey: "TYPE BASE64" and nothing else, the key itself naming the same type.
func isPublicKey(key string) bool {
	kind, text, _ := strings.Cut(key, " ")
	if !slices.Contains(keyTypes, kind) {
		return false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(data) < 4 || strings.ContainsAny(text, "\r\n") {
		return false
	}
	n := binary.BigEndian.Uint32(data)
	return int(n) == len(kind) && len(data) > 4+len(kind) && string(data[4:4+len(kind)]) == kind
}

func notKept(what string, err error) ha.OrderResult {
	return ha.OrderResult{Failed: fmt.Sprintf("cannot %s: %v", what, err)}
}
