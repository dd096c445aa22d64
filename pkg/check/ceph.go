package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on Ceph, where there is one.
const (
	CephUnhealthy     ha.Code = "CEPH_UNHEALTHY"
	CephMonitors      ha.Code = "CEPH_MONITORS"
	CephOSDDown       ha.Code = "CEPH_OSD_DOWN"
	CephPoolSize      ha.Code = "CEPH_POOL_SIZE"
	CephDegraded      ha.Code = "CEPH_DEGRADED"
	CephOneOSDPerNode ha.Code = "CEPH_ONE_OSD_PER_NODE"
	CephNetworkShared ha.Code = "CEPH_NETWORK_SHARED"
	CephNearlyFull    ha.Code = "CEPH_NEARLY_FULL"
)

var cephChecks = []Check{
	{Code: CephUnhealthy, Title: "Ceph is healthy", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle, DependsOn: nodeCauses, cluster: cephUnhealthy},
	{Code: CephMonitors, Title: "Ceph's monitors survive the loss of one", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle, DependsOn: nodeCauses, cluster: cephMonitors},
	{Code: CephOSDDown, Title: "three OSDs or more are up", Minimum: ha.Warn, Production: ha.Fail, Settle: slowSettle, DependsOn: nodeCauses, cluster: cephOSDDown},
	{Code: CephPoolSize, Title: "every pool keeps three copies and writes two", Minimum: ha.Warn, Production: ha.Fail, DependsOn: nodeCauses, cluster: cephPoolSize},
	{Code: CephDegraded, Title: "Ceph is not rebuilding", Minimum: ha.Warn, Production: ha.Warn, Settle: slowSettle, DependsOn: nodeCauses, cluster: cephDegraded},
	{Code: CephOneOSDPerNode, Title: "a node has more than one OSD", Minimum: ha.Notice, Production: ha.Warn, DependsOn: nodeCauses, cluster: cephOneOSDPerNode},
	{Code: CephNetworkShared, Title: "Ceph's own traffic has a network of its own", Minimum: ha.Notice, Production: ha.Warn, DependsOn: nodeCauses, cluster: cephNetworkShared},
	{Code: CephNearlyFull, Title: "Ceph has room for a rebuild", Minimum: ha.Warn, Production: ha.Fail, DependsOn: nodeCauses, cluster: cephNearlyFull},
}

// cephAgeMax is how old Ceph's last answer to a node may be.
const cephAgeMax = 5 * time.Minute

// ceph returns what the node says that heard from Ceph last. It is the same cluster, seen
// from each node; ok is false while no node could look.
func (w *world) ceph() (c ha.LocalCeph, why string, ok bool) {
	var reasons []string
	for _, name := range w.nodes {
		r, reason, answered := w.answered(name, ha.ProbeCeph)
		switch {
		case !answered:
			reasons = append(reasons, reason)
		case !ok || r.Ceph.Configured && (!c.Configured || r.Ceph.Asked.After(c.Asked)):
			c, ok = r.Ceph, true
		}
	}
	return c, strings.Join(reasons, "; "), ok
}

// judgeCeph judges the Ceph cluster, if there is one that answered lately.
func (w *world) judgeCeph(judge func(ha.LocalCeph) verdict) []verdict {
	c, why, ok := w.ceph()
	declared := w.policy.Cluster.Ceph != nil
	switch {
	case !ok:
		return []verdict{unknown(clusterSubject, "%s", orNone(why))}
	case !c.Configured && declared:
		return []verdict{unknown(clusterSubject, "network.yml declares Ceph, but no node has it")}
	case !c.Configured:
		return []verdict{skip(clusterSubject, "there is no Ceph")}
	case c.Asked.IsZero() || w.s.At.Sub(c.Asked) > cephAgeMax:
		return []verdict{unknown(clusterSubject, "Ceph has not answered any node for %s or more", span(cephAgeMax))}
	}
	v := judge(c)
	v.subject = clusterSubject
	return []verdict{v}
}

func cephUnhealthy(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		switch c.Health {
		case "HEALTH_OK":
			return pass("", "%s", c.Health)
		case "HEALTH_WARN":
			return passing("", "%s: %s; ceph health detail", c.Health, joined(c.Checks))
		case "HEALTH_ERR":
			return broken("", fmt.Sprintf("%s: %s", c.Health, joined(c.Checks)), "ceph health detail; start no maintenance before it is gone")
		}
		return unknown("", "Ceph does not tell its health")
	})
}

func cephMonitors(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		switch {
		case c.Monitors == 0:
			return unknown("", "Ceph does not tell its monitors")
		case c.MonitorsQuorate < c.Monitors:
			return broken("", fmt.Sprintf("%d of %d monitors agree", c.MonitorsQuorate, c.Monitors), "ceph mon stat; systemctl status ceph-mon@NODE on the node that is missing")
		case c.Monitors < 3:
			return broken("", fmt.Sprintf("there are %d monitors: the loss of one stops Ceph", c.Monitors), "pveceph mon create on a third node")
		}
		return pass("", "%d of %d", c.MonitorsQuorate, c.Monitors)
	})
}

func osds(c ha.LocalCeph) (total, up int) {
	for _, h := range c.Hosts {
		total += h.OSDs
		up += h.Up
	}
	return total, up
}

func cephOSDDown(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		total, up := osds(c)
		var down []string
		for _, h := range c.Hosts {
			if h.Up < h.OSDs {
				down = append(down, fmt.Sprintf("%d of %d on %s", h.OSDs-h.Up, h.OSDs, h.Name))
			}
		}
		switch {
		case total == 0:
			return unknown("", "Ceph does not tell its OSDs")
		case len(down) > 0:
			return broken("", "down: "+joined(down)+"; drain no other node meanwhile", "ceph osd tree; systemctl status ceph-osd@ID on that node; a dead disk: pveceph osd destroy and create")
		case up < 3:
			return broken("", fmt.Sprintf("%d OSDs are up: three copies find no place", up), "pveceph osd create DEVICE, on a node that has none")
		}
		return pass("", "%d of %d", up, total)
	})
}

func cephPoolSize(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		var weak []string
		remedy := ""
		for _, p := range c.Pools {
			if p.Erasure || p.Size >= 3 && p.MinSize >= 2 || strings.HasPrefix(p.Name, ".") {
				continue
			}
			weak = append(weak, fmt.Sprintf("%s has size %d, min_size %d", p.Name, p.Size, p.MinSize))
			remedy += fmt.Sprintf("pveceph pool set %s --size 3 --min_size 2; ", p.Name)
		}
		switch {
		case len(c.Pools) == 0:
			return unknown("", "Ceph does not tell its pools")
		case len(weak) > 0:
			return broken("", joined(weak)+": with two copies the second failure loses data, with min_size 1 the first may", strings.TrimSuffix(remedy, "; "))
		}
		return pass("", "%s", number(len(c.Pools), "pool"))
	})
}

// cephDegraded tells how a rebuild goes: it can take hours, and slows every guest.
func cephDegraded(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		if c.Degraded == 0 && c.Misplaced == 0 {
			return pass("", "no object is degraded or misplaced")
		}
		pace := "it does not progress"
		if c.Recovery > 0 {
			pace = fmt.Sprintf("it repairs %s a second", size(c.Recovery))
		}
		return broken("", fmt.Sprintf("%d objects have too few copies, %d lie elsewhere than they belong; %s", c.Degraded, c.Misplaced, pace),
			"wait: start no maintenance and take no OSD away before it is done; ceph -s shows how far it is")
	})
}

// cephOneOSDPerNode: with three nodes of one OSD each, a disk that fails while another
// node is in maintenance leaves one copy.
func cephOneOSDPerNode(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		if len(c.Hosts) == 0 {
			return unknown("", "Ceph does not tell its OSDs")
		}
		most := slices.MaxFunc(c.Hosts, func(a, b ha.CephHost) int { return a.OSDs - b.OSDs })
		if most.OSDs <= 1 && len(c.Hosts) <= 3 {
			return broken("", fmt.Sprintf("%s with one OSD each: when a disk fails during the maintenance of another node, one copy is left and pools stop", number(len(c.Hosts), "node")),
				"add a second OSD to each node: pveceph osd create DEVICE; until then, no maintenance while any OSD is down")
		}
		return pass("", "up to %d on a node", most.OSDs)
	})
}

func cephNetworkShared(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		const remedy = "give the OSDs a network of their own: cluster_network in /etc/pve/ceph.conf, then restart the OSDs one after another"
		guests, known := w.policy.Cluster.Network(ha.NetworkGuests)
		public, cluster := prefixes(c.PublicNetworks), prefixes(c.ClusterNetworks)
		switch {
		case len(public) == 0:
			return unknown("", "ceph.conf does not tell its networks")
		case len(cluster) == 0 || slices.Equal(public, cluster):
			return broken("", fmt.Sprintf("clients and OSDs share %s: a rebuild slows every guest", joined(public)), remedy)
		}
		for _, p := range slices.Concat(public, cluster) {
			if known && p.Overlaps(guests) {
				return broken("", fmt.Sprintf("%s is the guests' network: their traffic and the disks' are one", p), remedy)
			}
		}
		return pass("", "clients %s, OSDs %s", joined(public), joined(cluster))
	})
}

func prefixes(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range texts {
		if p, err := netip.ParsePrefix(strings.TrimSpace(t)); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

// cephFillMax: at 85 % Ceph itself warns, and a rebuild after the loss of a node needs the
// room of what was on it.
const cephFillMax = 0.85

func cephNearlyFull(w *world) []verdict {
	return w.judgeCeph(func(c ha.LocalCeph) verdict {
		if len(c.Hosts) == 0 {
			return unknown("", "Ceph does not tell its OSDs")
		}
		fullest := slices.MaxFunc(c.Hosts, func(a, b ha.CephHost) int {
			switch {
			case a.FillMax < b.FillMax:
				return -1
			case a.FillMax > b.FillMax:
				return 1
			}
			return 0
		})
		if fullest.FillMax > cephFillMax {
			return broken("", fmt.Sprintf("the fullest OSD, on %s, is filled to %.0f %%: at 95 %% every write stops", fullest.Name, 100*fullest.FillMax), "ceph osd df; add OSDs, or delete what is not needed")
		}
		return pass("", "the fullest OSD is filled to %.0f %%", 100*fullest.FillMax)
	})
}
