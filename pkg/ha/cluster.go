package ha

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What follows has no REST endpoint an API token may use: only root@pam can create a
// cluster, join one or leave it. So the nodes' agents run pvecm, and each becomes an Order.

// CreateCluster makes Node the first member of a cluster.
type CreateCluster struct {
	Node NodeName
	Name string
	// Links are Node's corosync addresses, link 0 first.
	Links []netip.Addr
}

// AuthorizeJoin lets root of the joining Node log in to the cluster's nodes by SSH, from
// its own addresses and for a limited time: `pvecm add --use_ssh` needs it, and no secret
// has to travel. A member of the cluster, On if it can, does it.
type AuthorizeJoin struct {
	On, Node NodeName
	// Keys are the public keys of root on Node, "TYPE BASE64".
	Keys []string
	From []netip.Addr
	For  time.Duration
}

// JoinCluster makes Node join the cluster of which the node at Peer is a member. PeerKeys
// are the public keys of the peer's SSH server, which Node knows from then on.
type JoinCluster struct {
	Node     NodeName
	Peer     netip.Addr
	PeerKeys []string
	Links    []netip.Addr
}

// RevokeJoin takes back what AuthorizeJoin allowed. Joined: Node has become a member, and
// its key stays as every member's does, without the limits.
type RevokeJoin struct {
	On, Node NodeName
	Joined   bool
}

// SetupQDevice gives the cluster a QDevice, whose qnetd runs on Host.
type SetupQDevice struct {
	On   NodeName
	Host string
}

// RemoveQDevice takes the cluster's QDevice away.
type RemoveQDevice struct{ On NodeName }

// RemoveClusterNode takes Node, which is off for good, out of the cluster.
type RemoveClusterNode struct{ On, Node NodeName }

// PutStorage makes a storage of storage.cfg what is wanted: it is added if Was is zero, and
// else changed in what can be changed. Server, export and path cannot.
type PutStorage struct {
	Storage Storage
	Was     Storage
}

// RunHook runs the command that the coordinator is configured with to deploy the core apps.
type RunHook struct {
	Project string
	Nodes   []NodeName
	Storage string
}

func (CreateCluster) action()     {}
func (AuthorizeJoin) action()     {}
func (JoinCluster) action()       {}
func (RevokeJoin) action()        {}
func (SetupQDevice) action()      {}
func (RemoveQDevice) action()     {}
func (RemoveClusterNode) action() {}
func (PutStorage) action()        {}
func (RunHook) action()           {}

func (CreateCluster) orderDeed()     {}
func (AuthorizeJoin) orderDeed()     {}
func (JoinCluster) orderDeed()       {}
func (RevokeJoin) orderDeed()        {}
func (SetupQDevice) orderDeed()      {}
func (RemoveQDevice) orderDeed()     {}
func (RemoveClusterNode) orderDeed() {}

func (a CreateCluster) String() string { return fmt.Sprintf("create cluster %s on %s", a.Name, a.Node) }
func (a AuthorizeJoin) String() string {
	return fmt.Sprintf("let root of %s log in to the cluster for %d min", a.Node, int(a.For.Minutes()))
}
func (a JoinCluster) String() string { return fmt.Sprintf("join %s to the cluster", a.Node) }
func (a RevokeJoin) String() string {
	return fmt.Sprintf("end what %s was let in with to join", a.Node)
}
func (a SetupQDevice) String() string  { return "set up the QDevice " + a.Host }
func (a RemoveQDevice) String() string { return "remove the QDevice" }
func (a RemoveClusterNode) String() string {
	return fmt.Sprintf("remove %s from the cluster", a.Node)
}
func (a PutStorage) String() string {
	if a.Was.Name == "" {
		return "add storage " + a.Storage.Name
	}
	return "change storage " + a.Storage.Name
}
func (a RunHook) String() string { return "deploy the core apps" }

// Command is the stock command.
func (a CreateCluster) Command() string {
	return fmt.Sprintf("pvecm create %s%s", a.Name, linkOptions(a.Links))
}

// Command says what it amounts to: Proxmox itself asks for root's password instead.
func (a AuthorizeJoin) Command() string {
	return fmt.Sprintf("ssh-copy-id root@%s", a.On)
}

// Command is the stock command.
func (a JoinCluster) Command() string {
	return fmt.Sprintf("pvecm add %s --use_ssh 1%s", a.Peer, linkOptions(a.Links))
}

// Command says where it is done.
func (a RevokeJoin) Command() string {
	return "# remove the line that ends in " + JoinMark(a.Node) + " from /etc/pve/priv/authorized_keys"
}

// JoinMark is the comment of a line of authorized_keys that lets a node in to join: by it the
// line is found again, and by nothing else.
func JoinMark(node NodeName) string { return "psw-ha-join-" + string(node) }

// Command is the stock command.
func (a SetupQDevice) Command() string { return "pvecm qdevice setup " + a.Host }

// Command is the stock command.
func (a RemoveQDevice) Command() string { return "pvecm qdevice remove" }

// Command is the stock command.
func (a RemoveClusterNode) Command() string { return "pvecm delnode " + string(a.Node) }

// Command is the stock command.
func (a PutStorage) Command() string {
	s := a.Storage
	if a.Was.Name != "" {
		return fmt.Sprintf("pvesm set %s --content %s --disable %d%s%s", s.Name, strings.Join(s.Content, ","), bit(s.Disabled), optionsOf(s), a.cleared())
	}
	return fmt.Sprintf("pvesm add %s %s --server %s --export %s --path %s --content %s%s", s.Type, s.Name, s.Server, s.Export, s.Path,
		strings.Join(s.Content, ","), optionsOf(s))
}

// cleared is the option that takes away what is there and not wanted.
func (a PutStorage) cleared() string {
	var names []string
	if len(a.Was.Nodes) > 0 && len(a.Storage.Nodes) == 0 {
		names = append(names, "nodes")
	}
	if a.Was.Options != "" && a.Storage.Options == "" {
		names = append(names, "options")
	}
	if names == nil {
		return ""
	}
	return " --delete " + strings.Join(names, ",")
}

// Command is where the command is configured.
func (a RunHook) Command() string { return "# the hook of the coordinator's configuration" }

func optionsOf(s Storage) string {
	if s.Options == "" {
		return ""
	}
	return " --options " + s.Options
}

func linkOptions(links []netip.Addr) string {
	var b strings.Builder
	for k, a := range links {
		fmt.Fprintf(&b, " --link%d %s", k, a)
	}
	return b.String()
}
