package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// guestPrefixes begin the names of interfaces that Proxmox makes for guests: a node has
// hundreds of them, and they carry nobody else.
var guestPrefixes = []string{"tap", "veth", "fwbr", "fwln", "fwpr"}

func ofGuest(name string) bool {
	return slices.ContainsFunc(guestPrefixes, func(p string) bool {
		rest, ok := strings.CutPrefix(name, p)
		return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9'
	})
}

// lookNetwork reads the interfaces from sysfs, and asks for their addresses: no file of the
// kernel has those with both their prefix and their interface.
func lookNetwork(ctx context.Context, r *round) (facts, error) {
	entries, err := fs.ReadDir(r.host, "sys/class/net")
	if err != nil {
		return nil, fmt.Errorf("sys/class/net: %w", bare(err))
	}
	var missing faults
	addresses, err := askAddresses(ctx, r.host)
	missing.add("addresses", err)
	gateways := defaultRoutes(r.host, &missing)
	interfaces := map[string]ha.Interface{}
	for _, entry := range entries {
		name := entry.Name()
		if name == "lo" || ofGuest(name) || name == "bonding_masters" {
			continue
		}
		i, err := readInterface(r.host, name)
		if gone(err) {
			continue
		}
		missing.add(name, err)
		i.Addresses, i.Gateway = addresses[name], gateways[name]
		if i.Kind != ha.InterfaceOther || len(i.Addresses) > 0 {
			interfaces[name] = i
		}
	}
	list := make([]ha.Interface, 0, len(interfaces))
	for _, i := range interfaces {
		i.Physical = carriers(interfaces, i.Name, 0)
		list = append(list, i)
	}
	return func(report *ha.Report) { report.Interfaces = list }, missing.err()
}

// carriers are the physical interfaces below one. A chain longer than any sensible one is cut:
// sysfs has no loops, a broken recording may.
func carriers(all map[string]ha.Interface, name string, depth int) []string {
	const depthMax = 8
	i := all[name]
	if i.Kind == ha.InterfacePhysical {
		return []string{name}
	}
	var list []string
	if depth < depthMax {
		for _, lower := range i.Lower {
			list = append(list, carriers(all, lower, depth+1)...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// readInterface reads sys/class/net/NAME.
func readInterface(h Host, name string) (ha.Interface, error) {
	i := ha.Interface{Name: name}
	dir := "sys/class/net/" + name + "/"
	entries, err := fs.ReadDir(h, strings.TrimSuffix(dir, "/"))
	if err != nil {
		return i, bare(err)
	}
	has := map[string]bool{}
	for _, entry := range entries {
		has[entry.Name()] = true
		if lower, ok := strings.CutPrefix(entry.Name(), "lower_"); ok && !ofGuest(lower) {
			i.Lower = append(i.Lower, lower)
		}
	}
	slices.Sort(i.Lower)
	// Most attributes of an interface that is down refuse to be read: that says it is down.
	attribute := func(name string) string {
		data, err := read(h, dir+name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(data))
	}
	uevent := attribute("uevent")
	switch {
	case has["bonding"] || strings.Contains(uevent, "DEVTYPE=bond"):
		i.Kind = ha.InterfaceBond
		i.BondMode, _, _ = strings.Cut(attribute("bonding/mode"), " ")
		i.BondActive = attribute("bonding/active_slave")
	case has["bridge"] || strings.Contains(uevent, "DEVTYPE=bridge"):
		i.Kind = ha.InterfaceBridge
	case strings.Contains(uevent, "DEVTYPE=vlan"):
		i.Kind = ha.InterfaceVLAN
		i.VLAN = vlanNumber(h, name)
	case has["device"]:
		i.Kind = ha.InterfacePhysical
	default:
		i.Kind = ha.InterfaceOther
	}
	i.State, i.Carrier, i.FullDuplex = attribute("operstate"), attribute("carrier") == "1", attribute("duplex") == "full"
	if speed, err := strconv.Atoi(attribute("speed")); err == nil && speed > 0 { // -1 while it is down, or virtual
		i.Speed = speed
	}
	if changes, err := strconv.ParseInt(attribute("carrier_changes"), 10, 64); err == nil && changes > 0 {
		i.CarrierChanges = changes
	}
	mtu, err := strconv.ParseUint(attribute("mtu"), 10, 31)
	i.MTU = int(mtu)
	if err != nil || i.State == "" {
		return i, errors.New("its mtu or operstate cannot be read")
	}
	return i, nil
}

// vlanNumber reads "NAME  VID: 30 …" of /proc/net/vlan/NAME.
func vlanNumber(h Host, name string) int {
	data, err := read(h, path.Join("proc/net/vlan", name))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if at := slices.Index(fields, "VID:"); at >= 0 && at+1 < len(fields) {
		if n, err := strconv.ParseUint(fields[at+1], 10, 12); err == nil {
			return int(n)
		}
	}
	return 0
}

// defaultRoutes are the interfaces that a default route of IPv4 leaves by.
func defaultRoutes(h Host, missing *faults) map[string]bool {
	data, err := optional(h, "proc/net/route")
	missing.add("proc/net/route", bare(err))
	gateways := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		// Interface, destination, gateway, flags, …, mask as the eighth.
		if f := strings.Fields(line); len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" {
			gateways[f[0]] = true
		}
	}
	return gateways
}

// askAddresses asks for every interface's addresses: the kernel, or ip where that cannot be.
func askAddresses(ctx context.Context, h Host) (map[string][]string, error) {
	if own, ok := h.(addressHost); ok {
		if addresses, err := own.interfaceAddresses(); err == nil {
			return addresses, nil
		}
	}
	out, code, err := tool(ctx, h, "ip", "-j", "addr")
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("ip exited with %d", code)
	}
	return parseAddresses(out)
}

// parseAddresses reads "ip -j addr". Addresses of the link scope are left out: nothing that
// matters here uses them.
func parseAddresses(data []byte) (map[string][]string, error) {
	var list []struct {
		Name  string `json:"ifname"`
		Infos []struct {
			Local  string `json:"local"`
			Prefix int    `json:"prefixlen"`
			Scope  string `json:"scope"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("ip: %w", err)
	}
	addresses := map[string][]string{}
	for _, i := range list {
		for _, a := range i.Infos {
			if a.Local == "" || a.Scope == "link" {
				continue
			}
			addr, err := netip.ParseAddr(a.Local)
			if err != nil || a.Prefix < 0 || a.Prefix > addr.BitLen() {
				return nil, fmt.Errorf("ip: not an address of %.20s: %.60q", i.Name, a.Local)
			}
			addresses[i.Name] = append(addresses[i.Name], netip.PrefixFrom(addr, a.Prefix).String())
		}
		slices.Sort(addresses[i.Name])
	}
	return addresses, nil
}

// nameLinks fills in which interface each link of corosync uses.
func nameLinks(report *ha.Report) {
	owners := map[string]string{}
	for _, i := range report.Interfaces {
		for _, a := range i.Addresses {
			addr, _, _ := strings.Cut(a, "/")
			owners[addr] = i.Name
		}
	}
	for k := range report.Corosync.Links {
		l := &report.Corosync.Links[k]
		l.Interface = owners[l.Local]
	}
}
