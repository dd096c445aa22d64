package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the cluster network.
const (
	CorosyncNotRunning       ha.Code = "COROSYNC_NOT_RUNNING"
	CorosyncSingleLink       ha.Code = "COROSYNC_SINGLE_LINK"
	CorosyncLinkDown         ha.Code = "COROSYNC_LINK_DOWN"
	CorosyncLinkAsymmetric   ha.Code = "COROSYNC_LINK_ASYMMETRIC"
	CorosyncLatencyExcessive ha.Code = "COROSYNC_LATENCY_EXCESSIVE"
	CorosyncLatencyHigh      ha.Code = "COROSYNC_LATENCY_HIGH"
	CorosyncLatencyPeaks     ha.Code = "COROSYNC_LATENCY_PEAKS"
)

// Latency limits: Proxmox asks for less than 5 ms between all nodes and calls more than
// 10 ms unlikely to work with more than three (its cluster manager documentation).
const (
	latencyHigh      = 5 * time.Millisecond
	latencyExcessive = 10 * time.Millisecond
)

var corosyncChecks = []Check{
	{Code: CorosyncNotRunning, Title: "corosync runs", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: nodeCauses, probes: []string{ha.ProbeCorosync}, node: corosyncNotRunning},
}

var linkChecks = []Check{
	{Code: CorosyncSingleLink, Title: "corosync has two links", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: corosyncSingleLink},
	{Code: CorosyncLinkDown, Title: "every corosync link is connected", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: corosyncLinkDown},
	{Code: CorosyncLinkAsymmetric, Title: "both ends of every corosync link see it alike", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle,
		DependsOn: corosyncCauses, cluster: corosyncLinkAsymmetric},
	{Code: CorosyncLatencyExcessive, Title: "corosync's latency is bearable", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: corosyncCauses, probes: []string{ha.ProbeCorosync}, node: corosyncLatencyExcessive},
	{Code: CorosyncLatencyHigh, Title: "corosync's latency is that of a local network", Minimum: ha.Warn, Production: ha.Warn, Settle: slowSettle,
		DependsOn: after(corosyncCauses, CorosyncLatencyExcessive), probes: []string{ha.ProbeCorosync}, node: corosyncLatencyHigh},
	{Code: CorosyncLatencyPeaks, Title: "corosync's latency has no dangerous peaks", Minimum: ha.Notice, Production: ha.Warn,
		DependsOn: after(corosyncCauses, CorosyncLatencyExcessive), probes: []string{ha.ProbeCorosync}, node: corosyncLatencyPeaks},
}

var corosyncCauses = after(nodeCauses, CorosyncNotRunning)

func corosyncNotRunning(n node) verdict {
	if !n.Corosync.Running {
		return broken("", "corosync does not answer: the node is in no cluster, or its corosync is down",
			"systemctl status corosync; a node that is in no cluster yet: pvecm create NAME, or pvecm add ADDRESS")
	}
	return pass("", "node id %d of %s", n.Corosync.NodeID, number(len(n.Corosync.Members), "member"))
}

// linkNumbers are the numbers of the links this node has to anybody.
func linkNumbers(c ha.Corosync) []int {
	set := make(map[int]bool)
	for _, l := range c.Links {
		if l.Enabled {
			set[l.Number] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// linksUnknown: a node that is alone, or cut off, is told of no link at all
// (corosync-cfgtool -n lists no unreachable peer), which says nothing of the wiring.
func linksUnknown(n node) (verdict, bool) {
	if !n.Corosync.Running {
		return unknown("", "corosync does not answer"), true
	}
	if len(n.Corosync.Links) == 0 {
		return unknown("", "corosync reports no link to any other node"), true
	}
	return verdict{}, false
}

func corosyncSingleLink(n node) verdict {
	if v, ok := linksUnknown(n); ok {
		return v
	}
	if numbers := linkNumbers(n.Corosync); len(numbers) < 2 {
		if wires, _ := n.linkWires(); len(wires) == 1 && len(wires[0].cards) > 1 {
			return pass("", "%s, bonded over %s", wires[0], joined(wires[0].cards))
		}
		return broken("", fmt.Sprintf("there is only link %s: a switch that is away for longer than 60 s makes every node reset itself", joined(numbers)),
			"add ring1_addr to every node in /etc/pve/corosync.conf, on another network and switch, and raise config_version; or bond its network card")
	}
	return pass("", "links %s", joined(linkNumbers(n.Corosync)))
}

// corosyncLinkDown looks from this end. A link number that other peers have and one
// lacks is down as well.
func corosyncLinkDown(n node) verdict {
	if v, ok := linksUnknown(n); ok {
		return v
	}
	var down []string
	for _, l := range n.Corosync.Links {
		if (!l.Connected || !l.Enabled) && !n.w.away[l.PeerID] {
			down = append(down, fmt.Sprintf("link %d to %s", l.Number, peerName(l)))
		}
	}
	for _, peer := range peers(n.Corosync) {
		for _, number := range linkNumbers(n.Corosync) {
			if !n.w.away[peer.PeerID] && !slices.ContainsFunc(n.Corosync.Links, func(l ha.Link) bool {
				return l.PeerID == peer.PeerID && l.Number == number
			}) {
				down = append(down, fmt.Sprintf("link %d to %s", number, peerName(peer)))
			}
		}
	}
	if len(down) > 0 {
		return broken("", "not connected, seen from here: "+joined(down), "corosync-cfgtool -n here and on the other end; then cable, switch port, firewall (UDP 5405 to 5412)")
	}
	return pass("", "%s to %s", number(len(n.Corosync.Links), "link"), number(len(peers(n.Corosync)), "node"))
}

func peers(c ha.Corosync) []ha.Link {
	links := slices.Clone(c.Links)
	slices.SortStableFunc(links, func(a, b ha.Link) int { return cmp.Compare(a.PeerID, b.PeerID) })
	return slices.CompactFunc(links, func(a, b ha.Link) bool { return a.PeerID == b.PeerID })
}

func peerName(l ha.Link) string {
	if l.Peer != "" {
		return string(l.Peer)
	}
	return fmt.Sprintf("node id %d", l.PeerID)
}

// corosyncLinkAsymmetric compares both ends: packets that travel one way only pass many
// tests and fail in an emergency.
func corosyncLinkAsymmetric(w *world) []verdict {
	var list []verdict
	for _, name := range w.nodes {
		r, why, ok := w.answered(name, ha.ProbeCorosync)
		if !ok {
			list = append(list, unknown(string(name), "%s", why))
			continue
		}
		list = append(list, w.compareLinks(r))
	}
	return list
}

func (w *world) compareLinks(here ha.Report) verdict {
	subject, compared := string(here.Node), 0
	if len(here.Corosync.Links) == 0 {
		return unknown(subject, "corosync reports no link to any other node")
	}
	var differ, unseen []string
	for _, l := range here.Corosync.Links {
		there, ok := w.reportOfID(l.PeerID)
		if w.away[l.PeerID] {
			continue
		}
		if !ok {
			unseen = append(unseen, fmt.Sprintf("link %d as %s sees it", l.Number, peerName(l)))
			continue
		}
		compared++
		k := slices.IndexFunc(there.Corosync.Links, func(o ha.Link) bool {
			return o.PeerID == here.Corosync.NodeID && o.Number == l.Number
		})
		seen := k >= 0 && there.Corosync.Links[k].Connected
		if seen != l.Connected {
			differ = append(differ, fmt.Sprintf("link %d to %s: %s seen from %s, %s seen from there",
				l.Number, there.Node, connected(l.Connected), here.Node, connected(seen)))
		}
	}
	switch {
	case len(differ) > 0:
		return broken(subject, joined(differ), "packets travel one way only: look for a firewall rule, a half-dead port or a wrong VLAN on one side")
	case len(unseen) > 0:
		return unknown(subject, "the other end did not report: %s", joined(unseen))
	}
	return pass(subject, "%s compared", number(compared, "link"))
}

// reportOfID finds the fresh report of a corosync node id whose corosync answered.
func (w *world) reportOfID(id int) (ha.Report, bool) {
	name, ok := w.byID[id]
	return w.reports[name], ok
}

func connected(c bool) string {
	if c {
		return "connected"
	}
	return "disconnected"
}

// slowest is the link with the highest average latency; false if none is measured.
func slowest(c ha.Corosync) (ha.Link, bool) {
	var worst ha.Link
	for _, l := range c.Links {
		if l.Connected && l.Latency > worst.Latency {
			worst = l
		}
	}
	return worst, worst.Latency > 0
}

func corosyncLatencyExcessive(n node) verdict {
	return judgeLatency(n, latencyExcessive, "corosync loses its token and the node its quorum at this latency")
}

func corosyncLatencyHigh(n node) verdict {
	return judgeLatency(n, latencyHigh, "Proxmox asks for less than 5 ms between all nodes")
}

func judgeLatency(n node, limit time.Duration, meaning string) verdict {
	worst, measured := slowest(n.Corosync)
	switch {
	case !measured:
		return unknown("", "corosync has measured no latency yet")
	case worst.Latency > limit:
		return broken("", fmt.Sprintf("%.1f ms on link %d to %s: %s", milliseconds(worst.Latency), worst.Number, peerName(worst), meaning),
			"give corosync a network of its own, away from storage and migration traffic")
	}
	return pass("", "at most %.1f ms, on link %d to %s", milliseconds(worst.Latency), worst.Number, peerName(worst))
}

// peakShare: a link whose answer takes half the token timeout counts as down
// (knet_ping_timeout, corosync.conf(5)). A peak of half of that is too near.
const peakShare = 4

// corosyncLatencyPeaks looks at what the averages hide: a backup once a night that fills the
// network for a second.
func corosyncLatencyPeaks(n node) verdict {
	var worst ha.Link
	for _, l := range n.Corosync.Links {
		if l.LatencyMax > worst.LatencyMax {
			worst = l
		}
	}
	token := n.Corosync.TokenTimeout
	if token <= 0 {
		token = tokenDefault
	}
	switch {
	case worst.LatencyMax <= 0:
		return unknown("", "corosync has measured no latency yet")
	case worst.LatencyMax > token/peakShare:
		return broken("", fmt.Sprintf("once it was %.0f ms on link %d to %s; at %d ms the link counts as down, and with it the node's quorum may go",
			milliseconds(worst.LatencyMax), worst.Number, peerName(worst), (token/2).Milliseconds()),
			"find what fills that network now and then (backups, migrations, storage), and give corosync one of its own; the figure counts since corosync started")
	}
	return pass("", "at most %.1f ms, on link %d to %s", milliseconds(worst.LatencyMax), worst.Number, peerName(worst))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
