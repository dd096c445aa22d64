package pvesim

import "slices"

// What goes wrong between machines: corosync's links and the QDevice.

// linkCut is a way packets of a link do not go any more.
type linkCut struct {
	link     int
	from, to string
}

type linkFaults []linkCut

func (f linkFaults) cut(link int, from, to *node) bool {
	return slices.Contains(f, linkCut{link, from.name, to.name})
}

// CutLink cuts a corosync link between the nodes and everybody else, both ways, as a pulled
// cable does. The first link's network is also the API's and SSH's.
func (c *Cluster) CutLink(link int, names ...string) {
	c.lock()
	defer c.unlock()
	for _, name := range names {
		n := c.mustNode(name)
		for _, o := range c.nodes {
			if o != n {
				c.faults.links = append(c.faults.links, linkCut{link, n.name, o.name}, linkCut{link, o.name, n.name})
			}
		}
	}
	c.membershipChanged()
}

// CutLinkOneWay lets packets of a link that go from one node to another be lost; those of
// the other direction arrive.
func (c *Cluster) CutLinkOneWay(link int, from, to string) {
	c.lock()
	defer c.unlock()
	c.faults.links = append(c.faults.links, linkCut{link, c.mustNode(from).name, c.mustNode(to).name})
	c.membershipChanged()
}

// HealLinks ends CutLink and CutLinkOneWay.
func (c *Cluster) HealLinks() {
	c.lock()
	defer c.unlock()
	c.faults.links = nil
	c.membershipChanged()
}

// CutQDevice keeps the nodes, or all of them, from reaching the QDevice's host.
func (c *Cluster) CutQDevice(names ...string) { c.setDevice(true, names) }

// HealQDevice ends CutQDevice.
func (c *Cluster) HealQDevice(names ...string) { c.setDevice(false, names) }

func (c *Cluster) setDevice(away bool, names []string) {
	c.lock()
	defer c.unlock()
	for _, n := range c.nodes {
		if len(names) == 0 || slices.Contains(names, n.name) {
			n.deviceAway = away
		}
	}
	c.membershipChanged()
}

// cutOff reports whether a node has no way to an NFS server.
func (f *faults) cutOff(server string, n *node) bool { return f.noServer[server][n.name] }

// refuses reports whether a server does not let a node mount an export.
func (f *faults) refuses(server, export string, n *node) bool {
	return f.noExport[server+":"+export][n.name]
}

// CutNFSServer leaves the nodes, or all of them, without a way to an NFS server: what is
// mounted from it hangs, and nothing can be mounted.
func (c *Cluster) CutNFSServer(server string, names ...string) {
	c.lock()
	defer c.unlock()
	c.setOn(&c.faults.noServer, server, true, names)
}

// HealNFSServer ends CutNFSServer.
func (c *Cluster) HealNFSServer(server string, names ...string) {
	c.lock()
	defer c.unlock()
	c.setOn(&c.faults.noServer, server, false, names)
}

// RefuseExport lets an NFS server refuse an export ("10.10.0.50:/mnt/pool") to the nodes, or
// to all of them. What is mounted stays.
func (c *Cluster) RefuseExport(export string, names ...string) {
	c.lock()
	defer c.unlock()
	c.setOn(&c.faults.noExport, export, true, names)
}

// GrantExport ends RefuseExport.
func (c *Cluster) GrantExport(export string, names ...string) {
	c.lock()
	defer c.unlock()
	c.setOn(&c.faults.noExport, export, false, names)
}

func (c *Cluster) setOn(m *map[string]map[string]bool, key string, value bool, names []string) {
	if *m == nil {
		*m = map[string]map[string]bool{}
	}
	if (*m)[key] == nil {
		(*m)[key] = map[string]bool{}
	}
	for _, n := range c.nodes {
		if len(names) == 0 || slices.Contains(names, n.name) {
			(*m)[key][n.name] = value
		}
	}
}
