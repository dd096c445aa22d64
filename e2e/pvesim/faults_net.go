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
	if c.faults.deviceAway == nil {
		c.faults.deviceAway = map[string]bool{}
	}
	for _, n := range c.nodes {
		if len(names) == 0 || slices.Contains(names, n.name) {
			c.faults.deviceAway[n.name] = away
		}
	}
	c.membershipChanged()
}
