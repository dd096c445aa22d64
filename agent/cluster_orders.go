package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// How long pvecm may take. What has not ended by then is not known to have failed: whoever
// ordered it looks at the cluster.
const (
	createMax = 2 * time.Minute
	// joinMax: a join waits for quorum without a limit of its own; on real nodes it takes
	// from ten seconds to a minute.
	joinMax    = 5 * time.Minute
	qdeviceMax = 3 * time.Minute
	delnodeMax = 2 * time.Minute
	// linksMax is how many links corosync has.
	linksMax = 8
	// authorizeMax is the longest a node may be let in to join.
	authorizeMax = time.Hour
)

// pvecm runs one pvecm command, which was checked word by word; the host checks it again.
func (a *Agent) pvecm(ctx context.Context, limit time.Duration, what string, args ...string) ha.OrderResult {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := a.host.Run(ctx, "pvecm", args...)
	r := ha.OrderResult{Output: cut(out)}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		r.Failed = fmt.Sprintf("cannot %s: pvecm has not ended after %s; whether it was done is to be seen in the cluster", what, limit)
	default:
		r.Failed = fmt.Sprintf("cannot %s: %v", what, err)
	}
	return r
}

// here refuses an order that is for another node.
func (a *Agent) here(node ha.NodeName) string {
	if node != a.config.Node {
		return fmt.Sprintf("it is for %s, and this is %s", node, a.config.Node)
	}
	return ""
}

func (a *Agent) createCluster(ctx context.Context, deed ha.CreateCluster) ha.OrderResult {
	links, fault := linkArgs(deed.Links)
	switch why := a.here(deed.Node); {
	case why != "":
		return refused("%s", why)
	case !probe.ClusterName.Matches(deed.Name):
		return refused("%q is no name of a cluster: it has 1 to 15 letters, digits and hyphens", deed.Name)
	case fault != "":
		return refused("%s", fault)
	}
	return a.pvecm(ctx, createMax, deed.String(), append([]string{"create", deed.Name}, links...)...)
}

// joinCluster makes this node join: the peer's SSH server becomes known to it first, so that
// nothing asks whether to trust it. Root's own key was let in on the other side.
func (a *Agent) joinCluster(ctx context.Context, deed ha.JoinCluster) ha.OrderResult {
	links, fault := linkArgs(deed.Links)
	switch why := a.here(deed.Node); {
	case why != "":
		return refused("%s", why)
	case !isAddress(deed.Peer):
		return refused("the peer has no address")
	case fault != "":
		return refused("%s", fault)
	}
	if err := a.knowHost(deed.Peer, deed.PeerKeys); err != nil {
		return notKept("make the peer's SSH server known", err)
	}
	return a.pvecm(ctx, joinMax, deed.String(), append([]string{"add", deed.Peer.String(), "--use_ssh", "1"}, links...)...)
}

// authorizeJoin lets the joining node's root in. Every member's file is one and the same.
func (a *Agent) authorizeJoin(ctx context.Context, deed ha.AuthorizeJoin) ha.OrderResult {
	switch {
	case !probe.NodeName.Matches(string(deed.Node)):
		return refused("%q is no name of a node", deed.Node)
	case deed.For <= 0 || deed.For > authorizeMax:
		return refused("a node is let in for %s at the most, and not for %s", authorizeMax, deed.For)
	case len(deed.From) == 0 || !allAddresses(deed.From):
		return refused("the addresses it may come from are not known")
	}
	if err := a.letIn(ctx, deed.Node, deed.Keys, deed.From, time.Now().Add(deed.For)); err != nil {
		return notKept(deed.String(), err)
	}
	return ha.OrderResult{}
}

func (a *Agent) revokeJoin(ctx context.Context, deed ha.RevokeJoin) ha.OrderResult {
	if !probe.NodeName.Matches(string(deed.Node)) {
		return refused("%q is no name of a node", deed.Node)
	}
	if err := a.letOut(ctx, deed.Node, deed.Joined); err != nil {
		return notKept(deed.String(), err)
	}
	return ha.OrderResult{}
}

func (a *Agent) setupQDevice(ctx context.Context, deed ha.SetupQDevice) ha.OrderResult {
	if !probe.HostName.Matches(deed.Host) {
		return refused("%q is no name and no address of a host", deed.Host)
	}
	return a.pvecm(ctx, qdeviceMax, deed.String(), "qdevice", "setup", deed.Host)
}

// removeClusterNode takes another node out. That it is off is for who orders it to be sure
// of; that it is a member, and not this one, is seen here once more.
func (a *Agent) removeClusterNode(ctx context.Context, deed ha.RemoveClusterNode) ha.OrderResult {
	switch {
	case !probe.NodeName.Matches(string(deed.Node)):
		return refused("%q is no name of a node", deed.Node)
	case deed.Node == a.config.Node:
		return refused("a node cannot remove itself from the cluster")
	}
	members, err := a.members(ctx)
	if err != nil {
		return refused("it cannot be seen whether %s is a member of the cluster: %v", deed.Node, err)
	}
	if !slices.Contains(members, string(deed.Node)) {
		return refused("%s is no member of the cluster", deed.Node)
	}
	return a.pvecm(ctx, delnodeMax, deed.String(), "delnode", string(deed.Node))
}

// linkArgs are the options of pvecm that name the node's links.
func linkArgs(links []netip.Addr) (args []string, fault string) {
	if len(links) == 0 || len(links) > linksMax {
		return nil, fmt.Sprintf("it names %d links: want 1 to %d", len(links), linksMax)
	}
	if !allAddresses(links) {
		return nil, "a link has no usable address"
	}
	for k, addr := range links {
		args = append(args, fmt.Sprintf("--link%d", k), addr.String())
	}
	return args, ""
}

func allAddresses(list []netip.Addr) bool {
	return !slices.ContainsFunc(list, func(a netip.Addr) bool { return !isAddress(a) })
}

// isAddress: an address of a machine, as it is written on a command line.
func isAddress(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && probe.IsAddress(a.String())
}
