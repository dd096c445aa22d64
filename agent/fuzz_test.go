package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
)

// What a BMC's file says of it is believed only if it is the ordered address, and a name that
// IPMI allows; its first line, the password, is in nothing that leaves.
func FuzzBMCFile(f *testing.F) {
	for _, text := range []string{
		"s3cret-pw\nuser admin\naddress 10.20.0.11\n", "s3cret-pw\r\nuser admin\r\naddress 10.20.0.11\r\n", "s3cret-pw\nuser -f\naddress 10.20.0.11\n",
		"user admin\naddress 10.20.0.11\n", "s3cret-pw\nuser admin\nuser x\naddress 10.20.0.12\naddress 10.20.0.11", "s3cret-pw\naddress ::ffff:10.20.0.11\nuser a b\n", "", "\n\n",
	} {
		f.Add(text)
	}
	want := netip.MustParseAddr("10.20.0.11")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := parseBMC(strings.NewReader(text), "/etc/psw-ha/bmc/node1", want)
		password, rest, _ := strings.Cut(text, "\n")
		if err == nil {
			if b.address != want || !probe.BMCUser.Matches(b.user) || strings.HasPrefix(b.user, "-") {
				t.Errorf("%q gives %+v", text, b)
			}
			if !strings.Contains(rest, b.user) || !strings.Contains(rest, "address") {
				t.Errorf("%+v is not in what follows the password: %q", b, rest)
			}
			if args := probe.IPMIArguments(b.address, b.user, b.file, "status"); !probe.Allowed("ipmitool", args...) {
				t.Errorf("the command would be refused: %q", args)
			}
		}
		if err != nil && len(password) > 12 && strings.Contains(err.Error(), password) {
			t.Errorf("the error tells the password: %v", err)
		}
	})
}

// Whatever lies in authorized_keys, only lines of ours for that node change: who had access
// keeps it, and nobody gets more.
func FuzzAuthorizedKeys(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	f.Add("# comment\n" + key + " root@node1\n" + `restrict,from="10.0.0.1" ` + key + " psw-ha-join-node2\n")
	f.Add(`command="echo ` + key + ` psw-ha-join-node2" ` + key)
	f.Add("\n\n \t ssh-rsa AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		before := strings.Split(text, "\n")
		foreign := slices.DeleteFunc(slices.Clone(before), func(line string) bool { return isMarked(line, "node2") })
		let := admitted(slices.Clone(before), "node2", []string{key}, []netip.Addr{netip.MustParseAddr("10.0.0.2")}, time.Unix(1_800_000_000, 0))
		if len(let) != len(foreign)+1 || !slices.Equal(let[:len(foreign)], foreign) || !strings.HasPrefix(let[len(let)-1], `restrict,from="10.0.0.2",`) {
			t.Errorf("letting in made %q of %q", let, before)
		}
		for _, joined := range []bool{false, true} {
			out := dismissed(slices.Clone(let), "node2", joined)
			if len(out) < len(foreign) || !slices.Equal(out[:len(foreign)], foreign) || !joined && len(out) != len(foreign) || len(out) > len(foreign)+1 {
				t.Errorf("letting out (joined: %t) made %q of %q", joined, out, before)
			}
		}
		for _, line := range before {
			if k := keyOf(line); k != "" && !strings.Contains(strings.Join(strings.Fields(line), " "), k) {
				t.Errorf("%q is no key of %q", k, line)
			}
			if strings.HasPrefix(strings.TrimSpace(line), "#") && keyOf(line) != "" {
				t.Errorf("%q is a comment", line)
			}
		}
	})
}

// What passes for a public key is one line of two words and names its own type.
func FuzzPublicKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")
	f.Add("ssh-rsa AAAAB3NzaC1yc2EAAAA=")
	f.Add("ssh-rsa AAAAB3NzaC1yc2E\n")
	f.Add("ssh-ed25519 AAAAB3NzaC1yc2EAAAA=")
	f.Fuzz(func(t *testing.T, key string) {
		if isPublicKey(key) && (len(strings.Fields(key)) != 2 || strings.ContainsAny(key, "\"',\r\n\t\x00#") || !slices.Contains(keyTypes, strings.Fields(key)[0])) {
			t.Errorf("%q", key)
		}
	})
}
