package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeClusterPolicy(c ha.ClusterPolicy) *hav1.ClusterPolicy {
	m := &hav1.ClusterPolicy{
		Name:         c.Name,
		Nodes:        words[string](c.Nodes),
		Rto:          encodeDuration(c.RTO),
		TokenTimeout: encodeDuration(c.TokenTimeout),
		Networks:     each(c.Networks, encodeNetwork),
		Sites:        each(c.Sites, encodeSite),
	}
	if c.QDevice != nil {
		m.Qdevice = &hav1.QDevice{Host: c.QDevice.Host}
	}
	if s := c.Storage; s != nil {
		m.Storage = &hav1.SharedStorage{
			Type: s.Type, Server: s.Server, Export: s.Export, Mount: s.Mount, Options: s.Options, Redundant: s.Redundant,
		}
	}
	if f := c.Fencing; f != nil {
		m.Fencing = encodeFencing(*f)
	}
	if c.Ceph != nil {
		m.Ceph = &hav1.Ceph{Stretch: c.Ceph.Stretch, Public: encodePrefix(c.Ceph.Public), Cluster: encodePrefix(c.Ceph.Cluster)}
	}
	return m
}

func (d *decoder) clusterPolicy(m *hav1.ClusterPolicy) ha.ClusterPolicy {
	c := ha.ClusterPolicy{
		Name:         m.GetName(),
		Nodes:        words[ha.NodeName](m.GetNodes()),
		RTO:          m.GetRto().AsDuration(),
		TokenTimeout: m.GetTokenTimeout().AsDuration(),
		Networks:     each(m.GetNetworks(), d.network),
		Sites:        each(m.GetSites(), d.site),
	}
	if q := m.GetQdevice(); q != nil {
		c.QDevice = &ha.QDevice{Host: q.GetHost()}
	}
	if s := m.GetStorage(); s != nil {
		c.Storage = &ha.SharedStorage{
			Type: s.GetType(), Server: s.GetServer(), Export: s.GetExport(), Mount: s.GetMount(), Options: s.GetOptions(),
			Redundant: s.GetRedundant(),
		}
	}
	if f := m.GetFencing(); f != nil {
		c.Fencing = d.fencing(f)
	}
	if p := m.GetCeph(); p != nil {
		c.Ceph = &ha.Ceph{Stretch: p.GetStretch(), Public: d.prefix(p.GetPublic()), Cluster: d.prefix(p.GetCluster())}
	}
	return c
}

func encodeNetwork(n ha.Network) *hav1.Network {
	return &hav1.Network{Use: string(n.Use), Prefix: encodePrefix(n.Prefix)}
}

func (d *decoder) network(m *hav1.Network) ha.Network {
	return ha.Network{Use: ha.NetworkUse(m.GetUse()), Prefix: d.prefix(m.GetPrefix())}
}

func encodeSite(s ha.Site) *hav1.Site {
	return &hav1.Site{Name: s.Name, Nodes: words[string](s.Nodes), Arbiter: s.Arbiter}
}

func (d *decoder) site(m *hav1.Site) ha.Site {
	return ha.Site{Name: m.GetName(), Nodes: words[ha.NodeName](m.GetNodes()), Arbiter: m.GetArbiter()}
}

func encodeFencing(f ha.Fencing) *hav1.Fencing {
	m := &hav1.Fencing{Methods: words[string](f.Methods), Watchdog: f.Watchdog}
	if s := f.SBD; s != nil {
		m.Sbd = &hav1.SBD{
			Device: s.Device, WatchdogTimeout: encodeDuration(s.WatchdogTimeout), Msgwait: encodeDuration(s.MsgWait),
		}
	}
	return m
}

func (d *decoder) fencing(m *hav1.Fencing) *ha.Fencing {
	f := &ha.Fencing{Methods: words[ha.FencingMethod](m.GetMethods()), Watchdog: m.GetWatchdog()}
	if s := m.GetSbd(); s != nil {
		f.SBD = &ha.SBD{
			Device: s.GetDevice(), WatchdogTimeout: s.GetWatchdogTimeout().AsDuration(), MsgWait: s.GetMsgwait().AsDuration(),
		}
	}
	return f
}
