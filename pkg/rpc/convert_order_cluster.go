package rpc

import (
	"net/netip"

	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// encodeClusterOrder encodes the deeds that form a cluster or take it apart.
func encodeClusterOrder(m *hav1.Order, deed ha.OrderDeed) {
	switch d := deed.(type) {
	case ha.CreateCluster:
		m.Deed = &hav1.Order_CreateCluster{CreateCluster: &hav1.CreateCluster{Node: string(d.Node), Name: d.Name, Links: encodeAddrs(d.Links)}}
	case ha.AuthorizeJoin:
		m.Deed = &hav1.Order_AuthorizeJoin{AuthorizeJoin: &hav1.AuthorizeJoin{
			On: string(d.On), Node: string(d.Node), Keys: d.Keys, From: encodeAddrs(d.From), For: encodeDuration(d.For),
		}}
	case ha.JoinCluster:
		m.Deed = &hav1.Order_JoinCluster{JoinCluster: &hav1.JoinCluster{
			Node: string(d.Node), Peer: d.Peer.String(), PeerKeys: d.PeerKeys, Links: encodeAddrs(d.Links),
		}}
	case ha.RevokeJoin:
		m.Deed = &hav1.Order_RevokeJoin{RevokeJoin: &hav1.RevokeJoin{On: string(d.On), Node: string(d.Node), Joined: d.Joined}}
	case ha.SetupQDevice:
		m.Deed = &hav1.Order_SetupQdevice{SetupQdevice: &hav1.SetupQDevice{On: string(d.On), Host: d.Host}}
	case ha.RemoveQDevice:
		m.Deed = &hav1.Order_RemoveQdevice{RemoveQdevice: &hav1.RemoveQDevice{On: string(d.On)}}
	case ha.RemoveClusterNode:
		m.Deed = &hav1.Order_RemoveClusterNode{RemoveClusterNode: &hav1.RemoveClusterNode{On: string(d.On), Node: string(d.Node)}}
	case ha.SetNodeMaintenance, ha.ProveStorage, ha.PowerStatus, ha.CutPower: // encodeOrder's own
	}
}

// clusterOrder decodes them; nil for any other deed.
func (d *decoder) clusterOrder(m *hav1.Order) ha.OrderDeed {
	switch deed := m.GetDeed().(type) {
	case *hav1.Order_CreateCluster:
		x := deed.CreateCluster
		return ha.CreateCluster{Node: ha.NodeName(x.GetNode()), Name: x.GetName(), Links: orderAddrs(x.GetLinks())}
	case *hav1.Order_AuthorizeJoin:
		x := deed.AuthorizeJoin
		return ha.AuthorizeJoin{On: ha.NodeName(x.GetOn()), Node: ha.NodeName(x.GetNode()), Keys: x.GetKeys(), From: orderAddrs(x.GetFrom()), For: x.GetFor().AsDuration()}
	case *hav1.Order_JoinCluster:
		x := deed.JoinCluster
		return ha.JoinCluster{Node: ha.NodeName(x.GetNode()), Peer: orderAddr(x.GetPeer()), PeerKeys: x.GetPeerKeys(), Links: orderAddrs(x.GetLinks())}
	case *hav1.Order_RevokeJoin:
		x := deed.RevokeJoin
		return ha.RevokeJoin{On: ha.NodeName(x.GetOn()), Node: ha.NodeName(x.GetNode()), Joined: x.GetJoined()}
	case *hav1.Order_SetupQdevice:
		x := deed.SetupQdevice
		return ha.SetupQDevice{On: ha.NodeName(x.GetOn()), Host: x.GetHost()}
	case *hav1.Order_RemoveQdevice:
		return ha.RemoveQDevice{On: ha.NodeName(deed.RemoveQdevice.GetOn())}
	case *hav1.Order_RemoveClusterNode:
		x := deed.RemoveClusterNode
		return ha.RemoveClusterNode{On: ha.NodeName(x.GetOn()), Node: ha.NodeName(x.GetNode())}
	}
	return nil
}

func encodeAddrs(list []netip.Addr) []string {
	out := make([]string, len(list))
	for k, a := range list {
		out[k] = a.String()
	}
	return out
}

// orderAddr is zero for what is no address: an agent refuses an order that has one.
func orderAddr(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}

func orderAddrs(list []string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for k, text := range list {
		out[k] = orderAddr(text)
	}
	return out
}
