package project

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// linksMax is how many links corosync can have (knet: link 0 to link 7).
const linksMax = 8

// readWiring reads what only people know of a host: its corosync addresses, which switch
// each interface is plugged into, what feeds it.
func (n *network) readWiring(fields mapping, host *ha.Host) {
	if links, _ := fields.get("links"); links.given() {
		n.linksAt[host.Name] = links
		host.Links = n.readLinks(links)
	}
	if switches, _ := fields.get("switches"); switches.given() {
		n.switchesAt[host.Name] = switches
		host.Switches = readSwitches(switches)
	}
	if ups, _ := fields.get("ups"); ups.given() {
		list, _ := ups.list("[rack@10.10.0.70]")
		for _, v := range list {
			if name, ok := v.upsName(); ok {
				host.UPS = append(host.UPS, name)
			}
		}
	}
}

func (n *network) readLinks(e entry) []netip.Addr {
	list, ok := e.list("[10.30.0.1, 10.31.0.1]")
	if ok && len(list) == 0 {
		n.src.fault(e.value.at, "write one address for each corosync link, e.g. [10.30.0.1, 10.31.0.1], or remove it", "%s is empty", e.path)
	}
	if len(list) > linksMax {
		n.src.fault(list[linksMax].at, "keep the two or three that run over different switches", "%s has %d addresses; corosync has %d links at most", e.path, len(list), linksMax)
		list = list[:linksMax]
	}
	var links []netip.Addr
	for _, v := range list {
		a, ok := v.address()
		switch {
		case !ok:
		case slices.Contains(links, a):
			n.src.fault(v.at, "write one address for each link", "%s names %s twice", e.path, a)
		default:
			links = append(links, a)
		}
	}
	return links
}

// interfaceName is a name Linux gives a network interface; label is what people call a
// switch.
var (
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,15}$`)
	label         = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,39}$`)
	upsName       = regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9_.:\[\]-]+$`)
)

func readSwitches(e entry) []ha.Port {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	var ports []ha.Port
	for _, f := range fields.entries {
		if !interfaceName.MatchString(f.key) {
			f.src.fault(f.at, "write the interface's name as `ip link` prints it, e.g. eno1: sw1", "%s is no network interface's name", quote(f.key))
			continue
		}
		if !f.given() {
			f.src.fault(f.at, "write what the switch is called, e.g. "+f.key+": sw1", "%s names no switch", f.path)
			continue
		}
		if name, ok := f.label(); ok {
			ports = append(ports, ha.Port{Interface: f.key, Switch: name})
		}
	}
	slices.SortFunc(ports, func(a, b ha.Port) int { return cmp.Compare(a.Interface, b.Interface) })
	return ports
}

// label reads what people call a thing: a switch, a site.
func (v value) label() (string, bool) {
	text, ok := v.text()
	if ok && !label.MatchString(text) {
		v.src.fault(v.at, "use letters, digits, blanks and . _ / -, 40 at most", "%s is %s, which is no name for it", v.path, quote(text))
		return "", false
	}
	return text, ok
}

func (v value) upsName() (string, bool) {
	text, ok := v.text()
	if ok && !upsName.MatchString(text) {
		v.src.fault(v.at, "write its name and the machine whose upsd watches it, e.g. rack@10.10.0.70, as `upsc` takes it", "%s is %s, which is no UPS", v.path, quote(text))
		return "", false
	}
	return text, ok
}

// checkLinks compares the links of all cluster nodes: link k must mean the same network
// everywhere, and no address may be anybody else's.
func (n *network) checkLinks() {
	type owner struct {
		name ha.NodeName
		what string
	}
	taken := map[netip.Addr]owner{}
	for _, h := range n.policy.Hosts {
		if h.IP.IsValid() {
			taken[h.IP] = owner{h.Name, "ip"}
		}
	}
	for _, h := range n.policy.Hosts {
		for _, a := range h.Links {
			first, used := taken[a]
			if used && first.name != h.Name {
				n.src.fault(n.linksAt[h.Name].value.at, "give each node its own address on each link", "%s has %s, which is the %s of %s", n.linksAt[h.Name].path, a, first.what, first.name)
				continue
			}
			taken[a] = owner{h.Name, "link address"}
		}
	}
	n.checkLinkCount()
}

func (n *network) checkLinkCount() {
	var first ha.Host
	for _, name := range n.policy.Cluster.Nodes {
		h, ok := n.host(name)
		if ok && len(h.Links) > len(first.Links) {
			first = h
		}
	}
	for _, name := range n.policy.Cluster.Nodes {
		h, ok := n.host(name)
		if !ok || len(first.Links) == 0 {
			continue
		}
		at := n.linksAt[name]
		switch {
		case len(h.Links) == 0 && !at.given():
			n.src.fault(n.hostAt[name], "add links: with "+count(len(first.Links), "address", "addresses")+", in the same order", "management.hosts.%s has no links, but %s has", name, first.Name)
		case len(h.Links) != len(first.Links):
			if len(h.Links) > 0 { // else what is wrong is said already
				n.src.fault(at.value.at, "write one address for each link, in the same order on every node", "%s has %s, but %s has %d", at.path, count(len(h.Links), "address", "addresses"), first.Name, len(first.Links))
			}
		default:
			for k, a := range h.Links {
				if a.Is4() != first.Links[k].Is4() {
					n.src.fault(at.value.at, "use IPv4 or IPv6 on one link, on every node", "link %d is %s on %s, but %s on %s", k, a, name, first.Links[k], first.Name)
				}
			}
		}
	}
}

// checkSwitches: one switch for everything fails for everybody at once.
func (n *network) checkSwitches() {
	labels := map[string]bool{}
	var at entry
	told := 0 // nodes of which something is known
	for _, name := range n.policy.Cluster.Nodes {
		h, _ := n.host(name)
		if len(h.Switches) > 0 {
			told++
		}
		for _, p := range h.Switches {
			labels[p.Switch] = true
			if !at.given() {
				at = n.switchesAt[name]
			}
		}
		if h.BMC == nil || h.BMC.Switch == "" {
			continue
		}
		if k := slices.IndexFunc(h.Switches, func(p ha.Port) bool { return p.Switch == h.BMC.Switch }); k >= 0 {
			n.src.warn(n.bmcAt[name].at, "plug the management controller into another switch than the node itself", "%s is plugged into %s, as is %s: when it fails, nobody can fence the node", n.bmcAt[name].path, h.BMC.Switch, h.Switches[k].Interface)
		}
	}
	if len(labels) == 1 && told > 1 && told == len(n.policy.Cluster.Nodes) {
		for name := range labels {
			n.src.warn(at.at, "run a second corosync link over a second switch", "every interface is plugged into %s: a switch reboot longer than 60 s fences all nodes", name)
		}
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "one " + one
	}
	return number(n) + " " + many
}

// number writes small numbers out.
func number(n int) string {
	words := strings.Fields("no one two three four five six seven eight nine")
	if n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}
