package project

import (
	"slices"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var siteKeys = []string{"name", "nodes", "arbiter"}

func (n *network) readSites(e entry) []ha.Site {
	n.sites = e
	list, _ := e.list("[{name: cellar, nodes: [node1, node2]}, {name: attic, nodes: [node3]}]")
	var sites []ha.Site
	owned := map[ha.NodeName]bool{}
	for _, v := range list {
		fields, ok := v.mapping()
		if !ok {
			continue
		}
		fields.onlyKnown(siteKeys)
		var s ha.Site
		name, _ := fields.get("name")
		if !name.given() {
			n.src.fault(v.at, "add e.g. name: cellar", "%s has no name", v.path)
		} else if s.Name, _ = name.label(); slices.ContainsFunc(sites, func(t ha.Site) bool { return t.Name == s.Name }) {
			n.src.fault(name.value.at, "give each site its own name", "%s is %s, as is another's", name.path, s.Name)
		}
		nodes, _ := fields.get("nodes")
		if nodes.given() {
			members, _ := nodes.list("[node1, node2]")
			for _, m := range members {
				node, ok := n.clusterNode(m)
				switch {
				case !ok:
				case owned[node]:
					n.src.fault(m.at, "name each node once, in one site", "%s stands in a site already", node)
				default:
					owned[node] = true
					s.Nodes = append(s.Nodes, node)
				}
			}
		}
		if f, _ := fields.get("arbiter"); f.given() {
			s.Arbiter = f.boolean()
		}
		if !nodes.given() && !s.Arbiter {
			n.src.fault(v.at, "add nodes: [node1], or arbiter: true if only the QDevice stands there", "%s has neither nodes nor the arbiter", v.path)
		}
		sites = append(sites, s)
	}
	return sites
}

// checkSites: the loss of any one site must leave a majority behind.
func (n *network) checkSites() {
	c := n.policy.Cluster
	if len(c.Sites) == 0 || !n.clusterRead {
		return
	}
	n.checkSiteMembers()
	var populated int
	var arbiter *ha.Site
	for k, s := range c.Sites {
		if len(s.Nodes) > 0 {
			populated++
		}
		if s.Arbiter {
			if arbiter != nil {
				n.src.fault(n.sites.at, "keep arbiter: true where the QDevice stands", "sites %s and %s both have the arbiter", arbiter.Name, s.Name)
			}
			arbiter = &c.Sites[k]
		}
	}
	switch {
	case populated < 2:
		return
	case arbiter != nil && !n.thirdVote:
		n.src.fault(n.sites.at, "declare it: qdevice: {host: 10.10.0.60}, next to sites", "site %s has the arbiter, but there is no qdevice", arbiter.Name)
	case populated == 2 && !n.thirdVote:
		n.src.fault(n.sites.at, "add a third vote on a third site: qdevice: {host: 10.10.0.60} and a site with arbiter: true", "two sites without a third vote: when one of them, or the line between them, fails, neither may decide")
	case populated == 2 && arbiter == nil:
		n.src.warn(n.sites.at, "add the site where it stands: {name: third, arbiter: true}", "two sites and a qdevice of which nobody says where it stands: on one of the two it fails together with that site")
	case populated == 2 && len(arbiter.Nodes) > 0:
		n.src.fault(n.sites.at, "put the QDevice on a third site", "the arbiter stands in site %s, with nodes: both are lost together", arbiter.Name)
	default:
		n.checkSiteVotes()
	}
	n.checkStretchedCeph(populated)
	n.src.note(ha.Notice, n.sites.at, "prefer replication and a manual failover procedure between sites; read docs/operating.md#more-than-one-site",
		"%s: corosync between sites needs less than 5 ms, always; one cluster over several sites is hard to run", count(populated, "site", "sites"))
}

func (n *network) checkSiteMembers() {
	for _, node := range n.policy.Cluster.Nodes {
		if _, ok := n.policy.Cluster.SiteOf(node); !ok {
			n.src.fault(n.sites.at, "name it in the nodes of one site", "%s stands in no site", node)
		}
	}
}

// checkSiteVotes: no site may hold so many votes that its loss takes the majority along.
func (n *network) checkSiteVotes() {
	c := n.policy.Cluster
	total := len(c.Nodes)
	if c.QDevice != nil {
		total++
	}
	for _, s := range c.Sites {
		votes := len(s.Nodes)
		if s.Arbiter {
			votes++
		}
		if left := total - votes; left <= total/2 && len(s.Nodes) > 0 {
			n.src.warn(n.sites.at, "spread the nodes so that every site holds less than half of the votes", "site %s holds %d of %d votes: when it fails, the rest has no quorum", s.Name, votes, total)
		}
	}
}

func (n *network) checkStretchedCeph(populated int) {
	if p := n.policy.Cluster.Ceph; p != nil && !p.Stretch && populated == 2 {
		n.src.warn(n.ceph.at, "set stretch_mode: true once it is on (`ceph mon enable_stretch_mode`), with the sites as failure zones", "%s spans two sites without stretch mode: the loss of a site can leave data that nobody may write", n.ceph.path)
	}
}
