package probe

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The kernel, asked directly, says of this machine what Go's own library finds, and, where it
// is installed, what ip says.
func TestAddressesAreThoseThatIPPrints(t *testing.T) {
	host := Local(LocalOptions{}).(*localHost)
	asked, err := host.interfaceAddresses()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(asked["lo"], "127.0.0.1/8") {
		t.Errorf("the loopback has %q", asked["lo"])
	}
	if diff := cmp.Diff(found(t), asked); diff != "" {
		t.Errorf("-net +kernel\n%s", diff)
	}
	out, err := host.Run(t.Context(), "ip", "-j", "addr")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	printed, err := parseAddresses(out)
	if err != nil {
		t.Fatal(err)
	}
	for name := range printed {
		if ofGuest(name) {
			delete(printed, name)
		}
	}
	if diff := cmp.Diff(printed, asked); diff != "" {
		t.Errorf("-ip +kernel\n%s", diff)
	}
}

// found are the addresses of this machine's interfaces by package net.
func found(t *testing.T) map[string][]string {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string][]string{}
	for _, i := range interfaces {
		list, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if p := netip.MustParsePrefix(a.String()); !ofGuest(i.Name) && !p.Addr().IsLinkLocalUnicast() {
				addresses[i.Name] = append(addresses[i.Name], p.String())
			}
		}
		slices.Sort(addresses[i.Name])
	}
	return addresses
}

// A host with another's files or commands has another's addresses.
func TestAnotherMachinesAddressesAreNotOurs(t *testing.T) {
	for _, o := range []LocalOptions{{Root: t.TempDir()}, {CommandDirs: []string{t.TempDir()}}} {
		if got, err := Local(o).(*localHost).interfaceAddresses(); !errors.Is(err, errAskIP) {
			t.Errorf("%+v: %v, %v", o, got, err)
		}
	}
}

// addressMessage is one message of rtnetlink: of interface 2.
func addressMessage(kind, flags uint16, prefix, scope byte, attributes ...[]byte) []byte {
	body := append([]byte{syscall.AF_INET, prefix, 0, scope}, binary.NativeEndian.AppendUint32(nil, 2)...)
	body = append(body, slices.Concat(attributes...)...)
	b := binary.NativeEndian.AppendUint32(nil, uint32(syscall.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	return append(append(b, make([]byte, 8)...), body...)
}

// attribute is one of a message, of a multiple of four bytes.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	return append(binary.NativeEndian.AppendUint16(b, kind), value...)
}

func TestWhatTheKernelSaysOfAddresses(t *testing.T) {
	ours, peer := attribute(syscall.IFA_LOCAL, 10, 30, 0, 1), attribute(syscall.IFA_ADDRESS, 10, 30, 0, 2)
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"an address", addressMessage(syscall.RTM_NEWADDR, 0, 24, 0, attribute(syscall.IFA_ADDRESS, 10, 30, 0, 1)), "10.30.0.1/24"},
		{"of two ends ours", addressMessage(syscall.RTM_NEWADDR, 0, 32, 0, peer, ours), "10.30.0.1/32"},
		{"ours, named first", addressMessage(syscall.RTM_NEWADDR, 0, 32, 0, ours, peer), "10.30.0.1/32"},
		{"of the link only", addressMessage(syscall.RTM_NEWADDR, 0, 24, syscall.RT_SCOPE_LINK, ours), ""},
		{"something else", addressMessage(syscall.RTM_NEWLINK, 0, 24, 0, ours), ""},
		{"changed meanwhile", addressMessage(syscall.RTM_NEWADDR, 0x10, 24, 0, ours), "ask ip"},
		{"refused", addressMessage(syscall.NLMSG_ERROR, 0, 24, 0), "ask ip"},
		{"longer than an address", addressMessage(syscall.RTM_NEWADDR, 0, 33, 0, ours), "not an address of eno1"},
		{"no address", addressMessage(syscall.RTM_NEWADDR, 0, 24, 0), "not an address of eno1"},
		{"cut off", addressMessage(syscall.RTM_NEWADDR, 0, 24, 0, ours)[:30], "list of addresses: invalid argument"},
	} {
		got, err := parseAddressAnswer(tt.answer, map[uint32]string{2: "eno1"})
		said := strings.Join(got["eno1"], " ")
		if err != nil {
			said = err.Error()
		}
		if said != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.want)
		}
	}
}
