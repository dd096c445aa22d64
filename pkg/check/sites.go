package check

import (
	"fmt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on places and size.
const (
	SiteNoTiebreaker    ha.Code = "SITE_NO_TIEBREAKER"
	SiteHoldsMajority   ha.Code = "SITE_HOLDS_MAJORITY"
	ClusterStretched    ha.Code = "CLUSTER_STRETCHED"
	ClusterLarge        ha.Code = "CLUSTER_LARGE"
	CephNotStretched    ha.Code = "CEPH_NOT_STRETCHED"
	clusterLarge                = 32
	stretchedOperations         = "docs/operating.md#more-than-one-site"
)

var siteChecks = []Check{
	{Code: SiteNoTiebreaker, Title: "two sites have a third vote on a third", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{PolicyMissing}, cluster: siteNoTiebreaker},
	{Code: SiteHoldsMajority, Title: "the cluster survives the loss of any site", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: []ha.Code{PolicyMissing, SiteNoTiebreaker}, cluster: siteHoldsMajority},
	{Code: ClusterStretched, Title: "the cluster stands in one place", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{PolicyMissing}, cluster: clusterStretched},
	{Code: CephNotStretched, Title: "Ceph over two sites runs in stretch mode", Minimum: ha.Warn, Production: ha.Fail,
		DependsOn: []ha.Code{PolicyMissing}, cluster: cephNotStretched},
	{Code: ClusterLarge, Title: "the cluster is of a usual size", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: []ha.Code{PolicyMissing}, cluster: clusterTooLarge},
}

// populated are the sites with nodes; arbiter is where the QDevice stands, if told.
func (w *world) populated() (sites []ha.Site, arbiter *ha.Site) {
	for _, s := range w.policy.Cluster.Sites {
		if len(s.Nodes) > 0 {
			sites = append(sites, s)
		}
		if s.Arbiter {
			arbiter = &s
		}
	}
	return sites, arbiter
}

func onePlace() []verdict {
	return []verdict{skip(clusterSubject, "network.yml declares one place")}
}

func siteNoTiebreaker(w *world) []verdict {
	sites, arbiter := w.populated()
	c := w.policy.Cluster
	const remedy = "a third vote on a third site: cluster.qdevice and a site with arbiter: true in network.yml; pvecm qdevice setup ADDRESS"
	switch {
	case len(sites) < 2:
		return onePlace()
	case len(sites) > 2:
		return []verdict{pass(clusterSubject, "%d sites with nodes", len(sites))}
	case c.QDevice == nil:
		return []verdict{broken(clusterSubject, fmt.Sprintf("sites %s and %s have no third vote: when one, or the line between them, fails, neither may decide", sites[0].Name, sites[1].Name), remedy)}
	case arbiter == nil:
		return []verdict{broken(clusterSubject, fmt.Sprintf("nobody says where the QDevice %s stands: on one of the two sites it fails together with it", c.QDevice.Host), remedy)}
	case len(arbiter.Nodes) > 0:
		return []verdict{broken(clusterSubject, fmt.Sprintf("the QDevice stands in site %s, with nodes: both are lost together", arbiter.Name), remedy)}
	}
	return []verdict{pass(clusterSubject, "the QDevice stands in %s", arbiter.Name)}
}

func siteHoldsMajority(w *world) []verdict {
	sites, _ := w.populated()
	if len(sites) < 2 {
		return onePlace()
	}
	total := len(w.policy.Cluster.Nodes)
	if w.policy.Cluster.QDevice != nil {
		total++
	}
	var list []verdict
	for _, s := range sites {
		votes := len(s.Nodes)
		if s.Arbiter {
			votes++
		}
		if total-votes <= total/2 {
			list = append(list, broken("site "+s.Name, fmt.Sprintf("it holds %d of %d votes: when it fails, the rest has no quorum", votes, total),
				"spread the nodes so that every site holds less than half of the votes"))
			continue
		}
		list = append(list, pass("site "+s.Name, "%d of %d votes", votes, total))
	}
	return list
}

func clusterStretched(w *world) []verdict {
	sites, _ := w.populated()
	if len(sites) < 2 {
		return []verdict{pass(clusterSubject, "network.yml declares one place")}
	}
	return []verdict{broken(clusterSubject, fmt.Sprintf("it stands on %d sites: corosync between them needs less than 5 ms, always", len(sites)),
		"prefer two clusters with replication and a manual failover procedure: "+stretchedOperations)}
}

// cephNotStretched believes what Ceph says of itself, else what is declared.
func cephNotStretched(w *world) []verdict {
	sites, _ := w.populated()
	declared := w.policy.Cluster.Ceph
	stretched, used := declared != nil && declared.Stretch, declared != nil
	if c, _, ok := w.ceph(); ok && c.Configured {
		stretched, used = c.StretchMode, true
	}
	switch {
	case len(sites) != 2:
		return []verdict{skip(clusterSubject, "there are not two sites")}
	case !used:
		return []verdict{skip(clusterSubject, "there is no Ceph")}
	case !stretched:
		return []verdict{broken(clusterSubject, "Ceph spans two sites without stretch mode: the loss of one can leave data that nobody may write",
			"ceph mon enable_stretch_mode, with the sites as failure zones and a monitor on the third: "+stretchedOperations)}
	}
	return []verdict{pass(clusterSubject, "stretch mode is on")}
}

// clusterTooLarge: corosync 3 has no fixed limit (older documents say 32), but every node
// more is one more that all must agree with.
func clusterTooLarge(w *world) []verdict {
	nodes := len(w.nodes)
	if nodes > clusterLarge {
		return []verdict{broken(clusterSubject, fmt.Sprintf("it has %d nodes: beyond %d corosync needs a fast network of its own, and care", nodes, clusterLarge),
			"consider two clusters")}
	}
	return []verdict{pass(clusterSubject, "%s", number(nodes, "node"))}
}
