package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// addressHost is a host that can tell every interface's addresses without starting ip: a
// process is nearly all that the question costs.
type addressHost interface {
	// interfaceAddresses returns what parseAddresses does. An error means: ask ip.
	interfaceAddresses() (map[string][]string, error)
}

// errAskIP says that a host has no better way than ip.
var errAskIP = errors.New("ask ip")

// interfaceAddresses asks the kernel as ip does, in one question.
func (h *localHost) interfaceAddresses() (map[string][]string, error) {
	if !h.itself {
		return nil, errAskIP
	}
	names, err := h.interfaceNames()
	if err != nil {
		return nil, err
	}
	answer, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("ask for addresses: %w", err)
	}
	return parseAddressAnswer(answer, names)
}

// interfaceNames are the names of interfaces by the kernel's number, without those of guests.
func (h *localHost) interfaceNames() (map[uint32]string, error) {
	entries, err := fs.ReadDir(h, "sys/class/net")
	if err != nil {
		return nil, err
	}
	names := make(map[uint32]string, len(entries))
	for _, entry := range entries {
		if ofGuest(entry.Name()) {
			continue
		}
		data, err := read(h, "sys/class/net/"+entry.Name()+"/ifindex")
		if gone(err) || errors.Is(err, syscall.ENOTDIR) { // bonding_masters is a file
			continue
		}
		if err != nil {
			return nil, err
		}
		index, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("number of interface %s: %.20q", entry.Name(), data)
		}
		names[uint32(index)] = entry.Name()
	}
	return names, nil
}

// parseAddressAnswer reads the messages of rtnetlink(7). Of an address that has a peer the
// local end counts, as ip prints it.
func parseAddressAnswer(answer []byte, names map[uint32]string) (map[string][]string, error) {
	const interrupted = 0x10 // NLM_F_DUMP_INTR: something changed while the kernel was answering
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil {
		return nil, fmt.Errorf("list of addresses: %w", err)
	}
	addresses := map[string][]string{}
	for _, m := range messages {
		switch {
		case m.Header.Flags&interrupted != 0 || m.Header.Type == syscall.NLMSG_ERROR:
			return nil, errAskIP
		case m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg:
			continue
		}
		// struct ifaddrmsg: family, length of the prefix, flags, scope, number of the interface.
		prefix, scope, index := int(m.Data[1]), m.Data[3], binary.NativeEndian.Uint32(m.Data[4:8])
		name, ok := names[index]
		if !ok || scope == syscall.RT_SCOPE_LINK {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, fmt.Errorf("list of addresses: %w", err)
		}
		addr := localAddress(attributes)
		if !addr.IsValid() || prefix > addr.BitLen() {
			return nil, fmt.Errorf("not an address of %.20s", name)
		}
		addresses[name] = append(addresses[name], netip.PrefixFrom(addr, prefix).String())
	}
	for _, list := range addresses {
		slices.Sort(list)
	}
	return addresses, nil
}

// localAddress is the address of our end: IFA_LOCAL, or where there is no peer IFA_ADDRESS.
func localAddress(attributes []syscall.NetlinkRouteAttr) (addr netip.Addr) {
	for _, a := range attributes {
		if a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && !addr.IsValid() {
			if found, ok := netip.AddrFromSlice(a.Value); ok {
				addr = found
			}
		}
	}
	return addr
}
