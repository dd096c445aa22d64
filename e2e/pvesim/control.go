package pvesim

import (
	"fmt"
	"maps"
	"strings"
)

// What a test or a lab does to the cluster besides calling its API.

// SetGuest changes lines of a guest's configuration; an empty value removes one.
func (c *Cluster) SetGuest(sid string, lines map[string]string) {
	c.lock()
	defer c.unlock()
	g := c.guest(sid)
	if g == nil {
		panic(fmt.Sprintf("pvesim: no guest %q", sid))
	}
	maps.Copy(g.conf, lines)
	maps.DeleteFunc(g.conf, func(_, v string) bool { return v == "" })
}

// AddGuest creates a guest while the cluster runs.
func (c *Cluster) AddGuest(s GuestSpec) {
	c.lock()
	defer c.unlock()
	c.addGuest(s)
}

// RemoveGuest ends a guest and deletes it, with its HA resource and rules' mention of it.
func (c *Cluster) RemoveGuest(sid string) {
	c.lock()
	defer c.unlock()
	g := c.guest(sid)
	if g == nil {
		return
	}
	for _, n := range c.nodes {
		n.endProcess(g.id, "destroyed")
	}
	fs := c.node(g.node).home
	fs.removeResource(sid, true)
	delete(fs.guests, g.id)
	delete(fs.guestStats, g.id)
}

// Command runs a line of `ha-manager crm-command` on a node, e.g. "node-maintenance enable
// pve2": there is no REST call for it. It only queues; an error is what the command would
// print.
func (c *Cluster) Command(name string, args ...string) error {
	c.lock()
	defer c.unlock()
	return c.mustNode(name).crmCommand(args)
}

func (n *node) crmCommand(args []string) error {
	switch {
	case !n.up:
		return fmt.Errorf("%s is down", n.name)
	case len(args) == 3 && args[0] == "node-maintenance" && (args[1] == "enable" || args[1] == "disable"):
		if n.peer(args[2]) == nil {
			return fmt.Errorf("no such cluster node '%s'", args[2])
		}
	case len(args) == 3 && (args[0] == "migrate" || args[0] == "relocate" || args[0] == "stop"):
	case len(args) == 2 && args[0] == "disarm-ha", len(args) == 1 && args[0] == "arm-ha":
	default:
		return fmt.Errorf("unknown command 'ha-manager crm-command %s'", strings.Join(args, " "))
	}
	if !n.quorate {
		return fmt.Errorf("cfs-lock 'domain-ha' error: no quorum!")
	}
	line := strings.Join(args, " ")
	if args[0] == "node-maintenance" {
		line = args[1] + "-node-maintenance " + args[2]
	}
	n.fs.queueCommand("%s", line)
	return nil
}

// HasStorage reports whether a node works with a storage now.
func (c *Cluster) HasStorage(name, id string) bool {
	c.lock()
	defer c.unlock()
	n := c.node(name)
	if n == nil || !n.up {
		return false
	}
	s := n.fs.storage(id)
	return s != nil && n.active(s)
}

// Upgrade gives a node another pve-manager. Its daemons go on as they were.
func (c *Cluster) Upgrade(name, version string) {
	c.lock()
	defer c.unlock()
	c.mustNode(name).spec.Version = version
}
