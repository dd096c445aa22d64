package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on corosync's configuration.
const (
	CorosyncConfigDiffers  ha.Code = "COROSYNC_CONFIG_DIFFERS"
	CorosyncConfigNotRun   ha.Code = "COROSYNC_CONFIG_NOT_RUN"
	CorosyncAddressDiffers ha.Code = "COROSYNC_ADDRESS_DIFFERS"
	CorosyncToken          ha.Code = "COROSYNC_TOKEN"
	CorosyncLinkFlapping   ha.Code = "COROSYNC_LINK_FLAPPING"
	QDeviceWrongHost       ha.Code = "QDEVICE_WRONG_HOST"
	QDeviceOddVotes        ha.Code = "QDEVICE_ODD_VOTES"
)

var configChecks = []Check{
	{Code: CorosyncConfigDiffers, Title: "all nodes have the same corosync.conf", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: corosyncCauses, cluster: corosyncConfigDiffers},
	{Code: CorosyncConfigNotRun, Title: "corosync runs with the configuration that is written", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: after(corosyncCauses, CorosyncConfigDiffers), probes: []string{ha.ProbeCorosync}, node: corosyncConfigNotRun},
	{Code: CorosyncAddressDiffers, Title: "corosync uses the declared addresses", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: corosyncAddressDiffers},
	{Code: CorosyncToken, Title: "corosync's token timeout is a reasonable one", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: corosyncToken},
	{Code: CorosyncLinkFlapping, Title: "corosync's links stay up", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: after(corosyncCauses, CorosyncLinkDown), probes: []string{ha.ProbeCorosync}, node: corosyncLinkFlapping},
	{Code: QDeviceWrongHost, Title: "the QDevice is the declared one, outside the cluster", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(corosyncCauses, QDeviceNotVoting), probes: []string{ha.ProbeCorosync}, node: qdeviceWrongHost},
	{Code: QDeviceOddVotes, Title: "a QDevice makes the number of votes odd", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: after(corosyncCauses, QDeviceNotVoting), probes: []string{ha.ProbeCorosync}, node: qdeviceOddVotes},
}

// fingerprint is what two nodes' configurations must agree in.
func fingerprint(c ha.CorosyncConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s %t %s %s %s", c.Version, c.ClusterName, c.Transport, c.Secauth, c.LinkMode, c.QDeviceHost, c.Token)
	for _, n := range c.Nodes {
		fmt.Fprintf(&b, " %d %s %d %s", n.ID, n.Name, n.Votes, strings.Join(n.Addresses, ","))
	}
	return b.String()
}

func corosyncConfigDiffers(w *world) []verdict {
	const remedy = "never edit /etc/corosync/corosync.conf: edit /etc/pve/corosync.conf and raise config_version; on the node that lags: systemctl restart pve-cluster corosync"
	var newest ha.Report
	for _, name := range w.nodes {
		if r, _, ok := w.answered(name, ha.ProbeCorosync); ok && r.Corosync.Config.Version > newest.Corosync.Config.Version {
			newest = r
		}
	}
	want := newest.Corosync.Config
	var list []verdict
	for _, name := range w.nodes {
		r, why, ok := w.answered(name, ha.ProbeCorosync)
		subject, c := string(name), r.Corosync.Config
		switch {
		case !ok:
			list = append(list, unknown(subject, "%s", why))
		case c.Version == 0:
			list = append(list, unknown(subject, "its corosync.conf could not be read"))
		case c.Version != want.Version:
			list = append(list, broken(subject, fmt.Sprintf("it has config_version %d, %s has %d", c.Version, newest.Node, want.Version), remedy))
		case fingerprint(c) != fingerprint(want):
			list = append(list, broken(subject, fmt.Sprintf("its corosync.conf is not that of %s, though both say config_version %d", newest.Node, c.Version), remedy))
		default:
			list = append(list, pass(subject, "config_version %d", c.Version))
		}
	}
	return list
}

// corosyncConfigNotRun: what is written counts only once corosync has read it, and
// pmxcfs's copy only once the node has taken it over.
func corosyncConfigNotRun(n node) verdict {
	c := n.Corosync
	switch {
	case c.Config.Version == 0:
		return unknown("", "corosync.conf could not be read")
	case c.Config.ClusterVersion > 0 && c.Config.ClusterVersion != c.Config.Version:
		return broken("", fmt.Sprintf("/etc/pve/corosync.conf has config_version %d, /etc/corosync/corosync.conf %d", c.Config.ClusterVersion, c.Config.Version),
			"systemctl restart pve-cluster copies it; then systemctl restart corosync, one node after another")
	case c.ConfigVersion > 0 && c.ConfigVersion != c.Config.Version:
		return broken("", fmt.Sprintf("corosync runs with config_version %d, the file has %d: it would behave otherwise after the next start", c.ConfigVersion, c.Config.Version),
			"corosync-cfgtool -R; what it cannot take over while it runs needs systemctl restart corosync, one node after another")
	}
	return pass("", "config_version %d", c.Config.Version)
}

// corosyncAddressDiffers compares what is declared with what corosync.conf says of this
// node. A project that declares no links does not care.
func corosyncAddressDiffers(n node) verdict {
	h, ok := n.w.policy.Host(n.Node)
	if !ok || len(h.Links) == 0 {
		return skip("", "network.yml declares no links for it")
	}
	k := slices.IndexFunc(n.Corosync.Config.Nodes, func(c ha.CorosyncNode) bool { return c.Name == n.Node })
	if k < 0 {
		return unknown("", "corosync.conf does not name this node")
	}
	var differ []string
	addresses := n.Corosync.Config.Nodes[k].Addresses
	for link := range max(len(addresses), len(h.Links)) {
		have, want := "", ""
		if link < len(addresses) {
			have = addresses[link]
		}
		if link < len(h.Links) {
			want = h.Links[link].String()
		}
		if _, err := netip.ParseAddr(have); have != "" && err != nil && want != "" {
			continue // a name: what it resolves to is another matter
		}
		if have != want {
			differ = append(differ, fmt.Sprintf("link %d is %s, declared is %s", link, orNone(have), orNone(want)))
		}
	}
	if len(differ) > 0 {
		return broken("", joined(differ), "correct links in network.yml, or the ring addresses in /etc/pve/corosync.conf (raise config_version)")
	}
	return pass("", "%s", joined(addresses))
}

// Corosync's token timeout: its default, to which it adds a part for each node beyond the
// second (corosync.conf(5)), and what nobody should set it to. Shorter, and an ordinary
// pause fences healthy nodes; longer, and every failover starts that much later, until
// watchdog and lock timeouts (60 s and 120 s) no longer fit around it.
const (
	tokenDefault     = 3 * time.Second
	tokenCoefficient = 650 * time.Millisecond
	tokenLeast       = time.Second
	tokenMost        = 20 * time.Second
)

func corosyncToken(n node) verdict {
	c := n.Corosync
	const remedy = "token: 3000 in the totem section of /etc/pve/corosync.conf, raise config_version; declare token_timeout in network.yml if you measured that you need another"
	extra := time.Duration(max(0, max(len(c.Config.Nodes), len(c.Members))-2)) * tokenCoefficient
	declared := n.w.policy.Cluster.TokenTimeout
	switch {
	case c.TokenTimeout <= 0:
		return unknown("", "corosync does not tell its token timeout")
	case declared > 0 && c.TokenTimeout != declared+extra && c.TokenTimeout != declared:
		return broken("", fmt.Sprintf("it is %d ms, network.yml says %d ms (and %d ms more for the number of nodes)", c.TokenTimeout.Milliseconds(), declared.Milliseconds(), extra.Milliseconds()), remedy)
	case declared == 0 && c.TokenTimeout < tokenLeast:
		return broken("", fmt.Sprintf("it is %d ms: failures are noticed sooner, but a busy switch or a paused node is taken for one and fenced", c.TokenTimeout.Milliseconds()), remedy)
	case declared == 0 && c.TokenTimeout > max(tokenMost, 2*(tokenDefault+extra)):
		return broken("", fmt.Sprintf("it is %d ms: every failover begins that much later", c.TokenTimeout.Milliseconds()), remedy)
	}
	return pass("", "%d ms", c.TokenTimeout.Milliseconds())
}

// flapsMax is how often a link may have gone down since corosync started. A reboot of each
// other node, and a switch's, take it down as well.
const flapsMax = 10

func corosyncLinkFlapping(n node) verdict {
	if v, ok := linksUnknown(n); ok {
		return v
	}
	var worst ha.Link
	for _, l := range n.Corosync.Links {
		if l.Downs > worst.Downs {
			worst = l
		}
	}
	switch {
	case worst.Downs > flapsMax:
		return broken("", fmt.Sprintf("link %d to %s went down %d times since corosync started", worst.Number, peerName(worst), worst.Downs),
			"journalctl -u corosync | grep KNET tells when; look at the cable, the switch port, the card's driver")
	case worst.Downs > 0:
		return pass("", "link %d to %s went down %d times since corosync started", worst.Number, peerName(worst), worst.Downs)
	}
	return pass("", "none went down since corosync started")
}

// qdeviceWrongHost: a vote that stands inside the cluster is lost together with a node.
func qdeviceWrongHost(n node) verdict {
	c := n.Corosync
	declared := n.w.policy.Cluster.QDevice
	host := c.Config.QDeviceHost
	if !c.QDevice {
		return skip("", "there is no QDevice")
	}
	if host == "" {
		return unknown("", "corosync.conf does not tell the QDevice's host")
	}
	for _, h := range n.w.policy.Hosts {
		if n.w.declared(h.Name) && (host == string(h.Name) || host == h.IP.String() || slices.Contains(h.Links, parseAddr(host))) {
			return broken("", fmt.Sprintf("%s is node %s itself: its vote is lost together with the node", host, h.Name),
				"pvecm qdevice remove; then pvecm qdevice setup ADDRESS, with a machine outside the cluster")
		}
	}
	if declared != nil && declared.Host != host {
		return broken("", fmt.Sprintf("corosync asks %s, network.yml says %s", host, declared.Host),
			"correct qdevice in network.yml, or: pvecm qdevice remove; pvecm qdevice setup "+declared.Host)
	}
	return pass("", "%s", host)
}

func parseAddr(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

// qdeviceOddVotes: Proxmox advises against a QDevice where nodes are odd in number: it
// then has as many votes as all but one of them, and nearly everything hangs on it.
func qdeviceOddVotes(n node) verdict {
	c := n.Corosync
	nodes := len(c.Config.Nodes)
	switch {
	case !c.QDevice:
		return skip("", "there is no QDevice")
	case nodes == 0:
		return unknown("", "corosync.conf does not tell how many nodes there are")
	case nodes%2 == 1 && nodes > 1:
		return broken("", fmt.Sprintf("%d nodes and a QDevice: it has %d votes, and without it no node may be lost", nodes, nodes-1),
			"pvecm qdevice remove, or add a node")
	}
	return pass("", "%d nodes and a QDevice", nodes)
}
