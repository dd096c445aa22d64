package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// encodePolicy keeps nil: the coordinator then uses the policy it has stored.
func encodePolicy(p *ha.Policy) *hav1.Policy {
	if p == nil {
		return nil
	}
	return &hav1.Policy{
		Project: p.Project,
		Hosts:   each(p.Hosts, encodeHost),
		Cluster: encodeClusterPolicy(p.Cluster),
		Targets: each(p.Targets, encodeTarget),
	}
}

func (d *decoder) policy(m *hav1.Policy) *ha.Policy {
	if m == nil {
		return nil
	}
	return &ha.Policy{
		Project: m.GetProject(),
		Hosts:   each(m.GetHosts(), d.host),
		Cluster: d.clusterPolicy(m.GetCluster()),
		Targets: each(m.GetTargets(), d.target),
	}
}

func encodeHost(h ha.Host) *hav1.Host {
	m := &hav1.Host{
		Name:     string(h.Name),
		Ip:       encodeAddr(h.IP),
		Roles:    words[string](h.Roles),
		Links:    each(h.Links, encodeAddr),
		Switches: each(h.Switches, encodePort),
		Ups:      words[string](h.UPS),
		Devices:  each(h.Devices, encodeDevice),
	}
	if h.BMC != nil {
		m.Bmc = &hav1.BMC{Address: encodeAddr(h.BMC.Address), Secret: h.BMC.Secret, Type: string(h.BMC.Type), Switch: h.BMC.Switch}
	}
	if h.Capacity != nil {
		m.Capacity = &hav1.Capacity{Cpus: int64(h.Capacity.CPUs), Memory: h.Capacity.Memory}
	}
	return m
}

func (d *decoder) host(m *hav1.Host) ha.Host {
	h := ha.Host{
		Name:     ha.NodeName(m.GetName()),
		IP:       d.addr(m.GetIp()),
		Roles:    words[string](m.GetRoles()),
		Links:    each(m.GetLinks(), d.addr),
		Switches: each(m.GetSwitches(), d.port),
		UPS:      words[string](m.GetUps()),
		Devices:  each(m.GetDevices(), d.device),
	}
	if b := m.GetBmc(); b != nil {
		h.BMC = &ha.BMC{Address: d.addr(b.GetAddress()), Secret: b.GetSecret(), Type: ha.BMCType(b.GetType()), Switch: b.GetSwitch()}
	}
	if c := m.GetCapacity(); c != nil {
		h.Capacity = &ha.Capacity{CPUs: int(c.GetCpus()), Memory: c.GetMemory()}
	}
	return h
}

func encodePort(p ha.Port) *hav1.Port { return &hav1.Port{Interface: p.Interface, Switch: p.Switch} }

func (d *decoder) port(m *hav1.Port) ha.Port {
	return ha.Port{Interface: m.GetInterface(), Switch: m.GetSwitch()}
}

func encodeDevice(v ha.Device) *hav1.Device { return &hav1.Device{Kind: v.Kind, Name: v.Name} }

func (d *decoder) device(m *hav1.Device) ha.Device {
	return ha.Device{Kind: m.GetKind(), Name: m.GetName()}
}

func encodeTarget(t ha.Target) *hav1.Target {
	return &hav1.Target{
		Name:        t.Name,
		Type:        string(t.Type),
		Node:        string(t.Node),
		Ha:          t.HA,
		Cores:       t.Cores,
		Memory:      t.Memory,
		Disk:        t.Disk,
		Ip:          t.IP,
		Bootstrap:   t.Bootstrap,
		Options:     encodeHAOptions(t.Options),
		Maintenance: string(t.Maintenance),
		ReadyTcp:    int64(t.ReadyTCP),
		Vmid:        int64(t.VMID),
		Storage:     t.Storage,
		Devices:     words[string](t.Devices),
	}
}

func (d *decoder) target(m *hav1.Target) ha.Target {
	return ha.Target{
		Name:        m.GetName(),
		Type:        ha.TargetType(m.GetType()),
		Node:        ha.NodeName(m.GetNode()),
		HA:          m.GetHa(),
		Cores:       m.GetCores(),
		Memory:      m.GetMemory(),
		Disk:        m.GetDisk(),
		IP:          m.GetIp(),
		Bootstrap:   m.GetBootstrap(),
		Options:     d.haOptions(m.GetOptions()),
		Maintenance: ha.MaintenanceMode(m.GetMaintenance()),
		ReadyTCP:    int(m.GetReadyTcp()),
		VMID:        int(m.GetVmid()),
		Storage:     m.GetStorage(),
		Devices:     words[string](m.GetDevices()),
	}
}

func encodeHAOptions(o ha.HAOptions) *hav1.HAOptions {
	return &hav1.HAOptions{
		Nodes:       words[string](o.Nodes),
		Strict:      o.Strict,
		Priority:    each(o.Priority, encodeRuleNode),
		MaxRestart:  encodeInt(o.MaxRestart),
		MaxRelocate: encodeInt(o.MaxRelocate),
	}
}

func (d *decoder) haOptions(m *hav1.HAOptions) ha.HAOptions {
	if m == nil {
		m = &hav1.HAOptions{}
	}
	return ha.HAOptions{
		Nodes:       words[ha.NodeName](m.GetNodes()),
		Strict:      m.GetStrict(),
		Priority:    each(m.GetPriority(), d.ruleNode),
		MaxRestart:  decodeInt(m.MaxRestart),
		MaxRelocate: decodeInt(m.MaxRelocate),
	}
}

func encodeRuleNode(n ha.RuleNode) *hav1.RuleNode {
	return &hav1.RuleNode{Node: string(n.Node), Priority: int64(n.Priority)}
}

func (d *decoder) ruleNode(m *hav1.RuleNode) ha.RuleNode {
	return ha.RuleNode{Node: ha.NodeName(m.GetNode()), Priority: int(m.GetPriority())}
}
