package pvesim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// SSH between nodes, as far as pvecm needs it: whose key is let in, and who knows whose host
// key. A fresh node knows nobody and lets nobody in; the nodes of a cluster all do.

// publicKey is a well-formed key made of a seed.
func publicKey(kind, seed string) string {
	var b []byte
	field := func(data []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
	}
	sum := sha256.Sum256([]byte(kind + seed))
	field([]byte(kind))
	if kind == "ssh-rsa" {
		field([]byte{1, 0, 1})
		modulus := []byte{0}
		for k := range 12 { // 3072 bits
			part := sha256.Sum256([]byte(fmt.Sprint(kind, seed, k)))
			modulus = append(modulus, part[:]...)
		}
		modulus[1] |= 0x80
		field(modulus)
	} else {
		field(sum[:])
	}
	return kind + " " + base64.StdEncoding.EncodeToString(b)
}

// rootKey is the line of root's public key.
func (n *node) rootKey() string { return publicKey("ssh-rsa", "root "+n.name) + " root@" + n.name }

// hostKeys are the node's own, by kind.
func (n *node) hostKeys() []string {
	return []string{publicKey("ssh-ed25519", "host "+n.name), publicKey("ssh-rsa", "host "+n.name)}
}

// knownHosts are the lines for a node in a file of known hosts.
func (n *node) knownHosts() []string {
	var list []string
	for _, key := range n.hostKeys() {
		list = append(list, n.name+" "+key, n.spec.Address+" "+key)
	}
	return list
}

// trust makes root of the node welcome, and the node known, in that cluster.
func (f *pmxcfs) trust(n *node) {
	if !slices.Contains(f.authorized, n.rootKey()) {
		f.authorized = append(f.authorized, n.rootKey())
	}
	for _, line := range n.knownHosts() {
		if !slices.Contains(f.known, line) {
			f.known = append(f.known, line)
		}
	}
}

// ssh reports what `ssh -o BatchMode=yes root@NODE` complains of; empty if it gets in. It
// takes o's first address.
func (n *node) ssh(o *node) string {
	address := o.spec.Address
	if !connected(n, o) {
		return fmt.Sprintf("ssh: connect to host %s port 22: No route to host", address)
	}
	known := false
	for line := range strings.SplitSeq(n.knownHostsText(), "\n") {
		hosts, key, _ := strings.Cut(line, " ")
		if slices.Contains(strings.Split(hosts, ","), address) && slices.ContainsFunc(o.hostKeys(), func(k string) bool { return strings.HasPrefix(key, k) }) {
			known = true
		}
	}
	if !known {
		return "Host key verification failed."
	}
	body, _, _ := strings.Cut(strings.TrimPrefix(n.rootKey(), "ssh-rsa "), " ")
	if !slices.ContainsFunc(o.fs.authorized, func(line string) bool { return slices.Contains(strings.Fields(line), body) && n.admitted(line) }) {
		return fmt.Sprintf("root@%s: Permission denied (publickey,password).", address)
	}
	return ""
}

// admitted goes by the options of a line of authorized_keys: where from, and until when.
func (n *node) admitted(line string) bool {
	if _, from, ok := strings.Cut(line, `from="`); ok {
		from, _, _ = strings.Cut(from, `"`)
		addresses := append([]string{n.spec.Address}, n.spec.Links...)
		if !slices.ContainsFunc(strings.Split(from, ","), func(a string) bool { return slices.Contains(addresses, a) }) {
			return false
		}
	}
	if _, until, ok := strings.Cut(line, `expiry-time="`); ok {
		until, _, _ = strings.Cut(until, `"`)
		end, err := time.Parse("20060102150405Z", until)
		return err == nil && n.c.clock.wall(n.c.now()).Before(end)
	}
	return true
}

// knownHostsText is what root's ssh goes by: his own file and the cluster's.
func (n *node) knownHostsText() string {
	return n.known + strings.Join(append(slices.Clone(n.fs.known), ""), "\n")
}

// sshFile is a file of SSH's.
func (n *node) sshFile(name string) (entry, bool) {
	switch name {
	case "root/.ssh/id_rsa.pub":
		return file(n.rootKey() + "\n")
	case "root/.ssh/known_hosts":
		if n.known == "" {
			return entry{}, false
		}
		return entry{text: n.known, mode: 0o600}, true
	case "root/.ssh/authorized_keys", "etc/pve/priv/authorized_keys": // the first is a link to the second
		return entry{text: strings.Join(append(slices.Clone(n.fs.authorized), ""), "\n"), mode: 0o600}, true
	case "etc/ssh/ssh_known_hosts", "etc/pve/priv/known_hosts":
		return entry{text: strings.Join(append(slices.Clone(n.fs.known), ""), "\n"), mode: 0o600}, true
	case "etc/ssh/ssh_host_ed25519_key.pub":
		return file(n.hostKeys()[0] + " root@" + n.name + "\n")
	case "etc/ssh/ssh_host_rsa_key.pub":
		return file(n.hostKeys()[1] + " root@" + n.name + "\n")
	}
	return entry{}, false
}

// WriteFile replaces one of the few files a program may write here: root's known hosts and
// the keys that may log in as root. The latter lie in /etc/pve, which cannot be written
// without quorum.
func (h *Host) WriteFile(name string, data []byte, _ fs.FileMode) error {
	if err := h.enter("write", name); err != nil {
		return err
	}
	defer h.n.c.unlock()
	switch name {
	case "root/.ssh/known_hosts":
		h.n.known = string(data)
		return nil
	case "root/.ssh/authorized_keys", "etc/pve/priv/authorized_keys":
		if !h.n.quorate {
			return &fs.PathError{Op: "write", Path: name, Err: fs.ErrPermission}
		}
		h.n.fs.authorized = strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
		return nil
	}
	return &fs.PathError{Op: "write", Path: name, Err: fs.ErrPermission}
}
