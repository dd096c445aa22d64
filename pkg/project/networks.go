package project

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var (
	networkUses = []string{"bmc", "guests", "migration", "storage"}
	cephKeys    = []string{"stretch_mode", "public_network", "cluster_network"}
)

// readNetworks reads what networks there are, by use.
func (n *network) readNetworks(e entry) []ha.Network {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(networkUses)
	var list []ha.Network
	for _, f := range fields.entries {
		if !slices.Contains(networkUses, f.key) || !f.given() {
			continue
		}
		n.networkAt[ha.NetworkUse(f.key)] = f
		if p, ok := f.prefix(); ok {
			list = append(list, ha.Network{Use: ha.NetworkUse(f.key), Prefix: p})
		}
	}
	slices.SortFunc(list, func(a, b ha.Network) int { return cmp.Compare(a.Use, b.Use) })
	return list
}

// prefix reads a network such as 10.10.0.0/24.
func (v value) prefix() (netip.Prefix, bool) {
	text, ok := v.text()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		fix := "write it with its length, e.g. 10.10.0.0/24"
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
			fix = "add the length: " + netip.PrefixFrom(a, 24).Masked().String()
		}
		v.src.fault(v.at, fix, "%s is %s, which is no network", v.path, quote(text))
	case p != p.Masked():
		v.src.fault(v.at, "write "+p.Masked().String(), "%s is %s, which is an address in a network", v.path, quote(text))
	case p.Bits() == 0:
		v.src.fault(v.at, "write the network itself, e.g. 10.10.0.0/24", "%s is %s, which is every network", v.path, quote(text))
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

func (n *network) readCeph(e entry) *ha.Ceph {
	n.ceph = e
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(cephKeys)
	var c ha.Ceph
	if f, _ := fields.get("stretch_mode"); f.given() {
		c.Stretch = f.boolean()
	}
	if f, _ := fields.get("public_network"); f.given() {
		c.Public, _ = f.prefix()
	}
	if f, _ := fields.get("cluster_network"); f.given() {
		c.Cluster, _ = f.prefix()
	}
	return &c
}

// guestNetwork is the network guests live in: the declared one, else the one all targets'
// addresses agree on.
func (n *network) guestNetwork() (netip.Prefix, bool) {
	if p, ok := n.policy.Cluster.Network(ha.NetworkGuests); ok {
		return p, true
	}
	var found netip.Prefix
	for _, t := range n.policy.Targets {
		p, err := netip.ParsePrefix(t.IP)
		if err != nil || t.Type == ha.TargetBare {
			continue
		}
		if found.IsValid() && found != p.Masked() {
			return netip.Prefix{}, false
		}
		found = p.Masked()
	}
	return found, found.IsValid()
}

// checkNetworks: traffic that can fill a network must not share it with corosync, whose
// packets must never wait.
func (n *network) checkNetworks() {
	c := n.policy.Cluster
	for _, w := range c.Networks {
		at := n.networkAt[w.Use]
		for _, name := range c.Nodes {
			h, _ := n.host(name)
			for k, a := range h.Links {
				if w.Prefix.Contains(a) && !(len(h.Links) > 1 && k > 0) {
					n.src.warn(n.linksAt[name].value.at, "give corosync's first link a network of its own", "%s: link %d (%s) is in the %s network %s", n.linksAt[name].path, k, a, w.Use, w.Prefix)
				}
			}
		}
		for _, other := range c.Networks {
			if other.Use < w.Use && other.Prefix.Overlaps(w.Prefix) {
				n.src.warn(at.value.at, "separate them, or know that one can fill the other", "%s (%s) and %s (%s) are one network", at.path, w.Prefix, n.networkAt[other.Use].path, other.Prefix)
			}
		}
	}
	p := c.Ceph
	if p == nil {
		return
	}
	if p.Public.IsValid() && p.Public == p.Cluster {
		n.src.warn(n.ceph.at, "give the OSDs' own traffic a network of its own", "%s has one network for clients and for the OSDs: a rebuild slows every guest", n.ceph.path)
	}
	if guests, ok := n.guestNetwork(); ok && (guests.Overlaps(p.Public) || guests.Overlaps(p.Cluster)) {
		n.src.warn(n.ceph.at, "give Ceph networks of its own", "%s shares the guests' network %s", n.ceph.path, guests)
	}
}

// Bounds of corosync's token timeout, and its default (totem.token of corosync.conf(5), to
// which it adds 650 ms for each node beyond the second).
const (
	tokenMin     = 500 * time.Millisecond
	tokenMax     = time.Minute
	tokenDefault = 3 * time.Second
)

func (n *network) readToken(e entry) time.Duration {
	d := e.durationUpTo(tokenMax, "3s", "which is no time corosync could wait for its token")
	if d != 0 && d < tokenMin {
		n.src.fault(e.value.at, "write 3s, corosync's default", "%s is %s: an ordinary pause would fence nodes", e.path, d)
		return 0
	}
	n.token = e
	return d
}

// checkToken says what a token timeout that is not corosync's own costs.
func (n *network) checkToken() {
	d := n.policy.Cluster.TokenTimeout
	trade := "a failure is noticed sooner, but a busy switch or a paused node is taken for a failure and fenced"
	switch {
	case d == 0 || d == tokenDefault:
		return
	case d > tokenDefault:
		trade = fmt.Sprintf("a short disturbance is forgiven, but every failover begins %s later", d-tokenDefault)
	}
	n.src.note(ha.Notice, n.token.at, "remove it, unless you measured that you need it", "%s is %s, corosync's own is %s: %s", n.token.path, d, tokenDefault, trade)
}
