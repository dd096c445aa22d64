package probe

import "strings"

// A Form says how a word must look that becomes part of a command line or the name of a
// file: so many characters, letters and digits of ASCII and, where it says so, some others.
// A regular expression would say the same, and take a hundred kilobytes of every node's
// memory once it counts to 253.
type Form struct {
	lengthMin, lengthMax int
	first, inside, last  string // allowed there beside letters and digits
}

// The forms of what an agent hands on.
var (
	// NodeName is what Proxmox takes for the name of a node: a host name's first label.
	NodeName = Form{1, 63, "", "-", ""}
	// ClusterName is what pvecm takes for the name of a cluster.
	ClusterName = Form{1, 15, "", "-", ""}
	// HostName is a host's name or address. What could be an option is none.
	HostName = Form{1, 254, "", ".:-", ""}
	// BMCUser is what an agent takes for the name of a BMC's user. IPMI allows 16 characters
	// (IPMI 2.0, 22.28). What could be an option is none.
	BMCUser = Form{1, 16, "._@", "._@-", "._@-"}
	// fileName is the name of a file that needs no quoting and is not hidden.
	fileName = Form{1, 64, "", "._-", "._-"}
	// deviceName is a path below /dev, without the slash that begins it.
	deviceName = Form{1, 4096, "_+:=@-", "_+:=@./-", "_+:=@./-"}
	nonce      = Form{16, 64, "", "", ""}
)

// Matches reports whether a word looks so.
func (f Form) Matches(word string) bool {
	if len(word) < f.lengthMin || len(word) > f.lengthMax {
		return false
	}
	for k := range len(word) {
		others := f.inside
		switch k {
		case 0:
			others = f.first
		case len(word) - 1:
			others = f.last
		}
		if c := word[k]; !letterOrDigit(c) && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

func letterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// BMCSecret reports whether s can name the file with a BMC's password.
func BMCSecret(s string) bool {
	name, ok := strings.CutPrefix(s, "bmc/")
	return ok && fileName.Matches(name)
}

// ProofNonce reports whether s can be the word of a proof: it becomes the name of a file.
func ProofNonce(s string) bool { return nonce.Matches(s) && s == strings.ToLower(s) }
