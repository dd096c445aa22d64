package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeHello(h ha.Hello) *hav1.Hello {
	return &hav1.Hello{
		Node:        string(h.Node),
		Version:     h.Version,
		Generation:  h.Generation,
		Coordinator: h.Coordinator,
	}
}

func (d *decoder) hello(m *hav1.Hello) ha.Hello {
	return ha.Hello{
		Node:        ha.NodeName(m.GetNode()),
		Version:     m.GetVersion(),
		Generation:  m.GetGeneration(),
		Coordinator: m.GetCoordinator(),
	}
}

func encodeWelcome(w ha.Welcome) *hav1.Welcome {
	return &hav1.Welcome{
		Coordinator: w.Coordinator,
		Generation:  w.Generation,
		Interval:    encodeDuration(w.Interval),
	}
}

func (d *decoder) welcome(m *hav1.Welcome) ha.Welcome {
	return ha.Welcome{
		Coordinator: m.GetCoordinator(),
		Generation:  m.GetGeneration(),
		Interval:    m.GetInterval().AsDuration(),
	}
}

func encodeOrder(o ha.Order) *hav1.Order {
	m := &hav1.Order{
		Id:          o.ID,
		Coordinator: o.Coordinator,
		Generation:  o.Generation,
		Ttl:         encodeDuration(o.TTL),
	}
	switch d := o.Deed.(type) {
	case ha.SetNodeMaintenance:
		m.Deed = &hav1.Order_SetNodeMaintenance{SetNodeMaintenance: &hav1.SetNodeMaintenance{Node: string(d.Node), On: d.On}}
	case ha.ProveStorage:
		m.Deed = &hav1.Order_ProveStorage{ProveStorage: &hav1.ProveStorage{Path: d.Path, Nonce: d.Nonce, Deed: string(d.Deed)}}
	case ha.PowerStatus:
		m.Deed = &hav1.Order_PowerStatus{PowerStatus: &hav1.PowerStatus{Node: string(d.Node), Address: encodeAddr(d.Address), Secret: d.Secret}}
	case ha.CutPower:
		m.Deed = &hav1.Order_CutPower{CutPower: &hav1.CutPower{Node: string(d.Node), Address: encodeAddr(d.Address), Secret: d.Secret}}
	case ha.CreateCluster, ha.AuthorizeJoin, ha.JoinCluster, ha.RevokeJoin, ha.SetupQDevice, ha.RemoveQDevice, ha.RemoveClusterNode:
		encodeClusterOrder(m, d)
	}
	return m
}

// order leaves Deed nil if this program does not know the deed: nobody may carry it out.
func (d *decoder) order(m *hav1.Order) ha.Order {
	o := ha.Order{
		ID:          m.GetId(),
		Coordinator: m.GetCoordinator(),
		Generation:  m.GetGeneration(),
		TTL:         m.GetTtl().AsDuration(),
	}
	switch deed := m.GetDeed().(type) {
	case *hav1.Order_SetNodeMaintenance:
		set := deed.SetNodeMaintenance
		o.Deed = ha.SetNodeMaintenance{Node: ha.NodeName(set.GetNode()), On: set.GetOn()}
	case *hav1.Order_ProveStorage:
		p := deed.ProveStorage
		o.Deed = ha.ProveStorage{Path: p.GetPath(), Nonce: p.GetNonce(), Deed: ha.ProofDeed(p.GetDeed())}
	case *hav1.Order_PowerStatus:
		p := deed.PowerStatus
		o.Deed = ha.PowerStatus{Node: ha.NodeName(p.GetNode()), Address: d.addr(p.GetAddress()), Secret: p.GetSecret()}
	case *hav1.Order_CutPower:
		p := deed.CutPower
		o.Deed = ha.CutPower{Node: ha.NodeName(p.GetNode()), Address: d.addr(p.GetAddress()), Secret: p.GetSecret()}
	default:
		o.Deed = d.clusterOrder(m)
	}
	return o
}

func encodeOrderResult(r ha.OrderResult) *hav1.OrderResult {
	return &hav1.OrderResult{
		Id:      r.ID,
		Node:    string(r.Node),
		Refused: r.Refused,
		Failed:  r.Failed,
		Output:  r.Output,
		Storage: encodeStorageSight(r.Storage),
		Power:   encodePowerSight(r.Power),
	}
}

func (d *decoder) orderResult(m *hav1.OrderResult) ha.OrderResult {
	return ha.OrderResult{
		ID:      m.GetId(),
		Node:    ha.NodeName(m.GetNode()),
		Refused: m.GetRefused(),
		Failed:  m.GetFailed(),
		Output:  m.GetOutput(),
		Storage: d.storageSight(m.GetStorage()),
		Power:   d.powerSight(m.GetPower()),
	}
}
