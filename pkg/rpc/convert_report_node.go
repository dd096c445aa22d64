package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeWriteTest(v ha.WriteTest) *hav1.WriteTest {
	return &hav1.WriteTest{
		At:    encodeTime(v.At),
		Took:  encodeDuration(v.Took),
		Error: v.Error,
		Stuck: encodeDuration(v.Stuck),
	}
}

func (d *decoder) writeTest(m *hav1.WriteTest) ha.WriteTest {
	return ha.WriteTest{
		At:    decodeTime(m.GetAt()),
		Took:  m.GetTook().AsDuration(),
		Error: m.GetError(),
		Stuck: m.GetStuck().AsDuration(),
	}
}

func encodeLRMResult(v ha.LRMResult) *hav1.LRMResult {
	return &hav1.LRMResult{
		Sid:      encodeSID(v.SID),
		State:    v.State,
		ExitCode: int64(v.ExitCode),
		Log:      words[string](v.Log),
	}
}

func (d *decoder) lrmResult(m *hav1.LRMResult) ha.LRMResult {
	return ha.LRMResult{
		SID:      d.sid(m.GetSid()),
		State:    m.GetState(),
		ExitCode: int(m.GetExitCode()),
		Log:      words[string](m.GetLog()),
	}
}

func encodeStalls(v ha.Stalls) *hav1.Stalls {
	return &hav1.Stalls{
		Looked:        v.Looked,
		Watched:       encodeDuration(v.Watched),
		Stuck:         each(v.Stuck, encodeStuckProcess),
		StuckCount:    int64(v.StuckCount),
		PressureKnown: v.PressureKnown,
		Pressure:      v.Pressure,
	}
}

func (d *decoder) stalls(m *hav1.Stalls) ha.Stalls {
	return ha.Stalls{
		Looked:        m.GetLooked(),
		Watched:       m.GetWatched().AsDuration(),
		Stuck:         each(m.GetStuck(), d.stuckProcess),
		StuckCount:    int(m.GetStuckCount()),
		PressureKnown: m.GetPressureKnown(),
		Pressure:      m.GetPressure(),
	}
}

func encodeStuckProcess(v ha.StuckProcess) *hav1.StuckProcess {
	return &hav1.StuckProcess{Pid: int64(v.PID), Name: v.Name, Sid: encodeSID(v.SID), For: encodeDuration(v.For)}
}

func (d *decoder) stuckProcess(m *hav1.StuckProcess) ha.StuckProcess {
	return ha.StuckProcess{PID: int(m.GetPid()), Name: m.GetName(), SID: d.sid(m.GetSid()), For: m.GetFor().AsDuration()}
}

func encodeModuleOption(v ha.ModuleOption) *hav1.ModuleOption {
	return &hav1.ModuleOption{
		Module: v.Module,
		Name:   v.Name,
		Value:  v.Value,
	}
}

func (d *decoder) moduleOption(m *hav1.ModuleOption) ha.ModuleOption {
	return ha.ModuleOption{
		Module: m.GetModule(),
		Name:   m.GetName(),
		Value:  m.GetValue(),
	}
}

func encodeWatchdogHolder(v ha.WatchdogHolder) *hav1.WatchdogHolder {
	return &hav1.WatchdogHolder{
		Device:  v.Device,
		Pid:     int64(v.PID),
		Process: v.Process,
	}
}

func (d *decoder) watchdogHolder(m *hav1.WatchdogHolder) ha.WatchdogHolder {
	return ha.WatchdogHolder{
		Device:  m.GetDevice(),
		PID:     int(m.GetPid()),
		Process: m.GetProcess(),
	}
}

func encodeCorosyncConfig(v ha.CorosyncConfig) *hav1.CorosyncConfig {
	return &hav1.CorosyncConfig{
		Version:          int64(v.Version),
		ClusterVersion:   int64(v.ClusterVersion),
		ClusterName:      v.ClusterName,
		Transport:        v.Transport,
		Secauth:          v.Secauth,
		LinkMode:         v.LinkMode,
		Token:            encodeDuration(v.Token),
		Nodes:            each(v.Nodes, encodeCorosyncNode),
		QdeviceModel:     v.QDeviceModel,
		QdeviceHost:      v.QDeviceHost,
		QdeviceAlgorithm: v.QDeviceAlgorithm,
	}
}

func (d *decoder) corosyncConfig(m *hav1.CorosyncConfig) ha.CorosyncConfig {
	return ha.CorosyncConfig{
		Version:          int(m.GetVersion()),
		ClusterVersion:   int(m.GetClusterVersion()),
		ClusterName:      m.GetClusterName(),
		Transport:        m.GetTransport(),
		Secauth:          m.GetSecauth(),
		LinkMode:         m.GetLinkMode(),
		Token:            m.GetToken().AsDuration(),
		Nodes:            each(m.GetNodes(), d.corosyncNode),
		QDeviceModel:     m.GetQdeviceModel(),
		QDeviceHost:      m.GetQdeviceHost(),
		QDeviceAlgorithm: m.GetQdeviceAlgorithm(),
	}
}

func encodeCorosyncNode(v ha.CorosyncNode) *hav1.CorosyncNode {
	return &hav1.CorosyncNode{
		Id:        int64(v.ID),
		Name:      string(v.Name),
		Votes:     int64(v.Votes),
		Addresses: words[string](v.Addresses),
	}
}

func (d *decoder) corosyncNode(m *hav1.CorosyncNode) ha.CorosyncNode {
	return ha.CorosyncNode{
		ID:        int(m.GetId()),
		Name:      ha.NodeName(m.GetName()),
		Votes:     int(m.GetVotes()),
		Addresses: words[string](m.GetAddresses()),
	}
}

func encodeClock(v ha.Clock) *hav1.Clock {
	return &hav1.Clock{
		Synchronized:   v.Synchronized,
		Offset:         encodeDuration(v.Offset),
		ErrorMax:       encodeDuration(v.ErrorMax),
		ErrorEstimated: encodeDuration(v.ErrorEstimated),
		Daemon:         v.Daemon,
		Source:         v.Source,
		Stratum:        int64(v.Stratum),
	}
}

func (d *decoder) clock(m *hav1.Clock) ha.Clock {
	return ha.Clock{
		Synchronized:   m.GetSynchronized(),
		Offset:         m.GetOffset().AsDuration(),
		ErrorMax:       m.GetErrorMax().AsDuration(),
		ErrorEstimated: m.GetErrorEstimated().AsDuration(),
		Daemon:         m.GetDaemon(),
		Source:         m.GetSource(),
		Stratum:        int(m.GetStratum()),
	}
}

func encodeHardware(v ha.Hardware) *hav1.Hardware {
	return &hav1.Hardware{
		Vendor:         v.Vendor,
		Product:        v.Product,
		BoardVendor:    v.BoardVendor,
		Bios:           v.BIOS,
		Hypervisor:     v.Hypervisor,
		CpuVendor:      v.CPUVendor,
		CpuModel:       v.CPUModel,
		CpuLevel:       int64(v.CPULevel),
		CpuFlags:       v.CPUFlags,
		Microcode:      v.Microcode,
		Virtualization: v.Virtualization,
		NewestKernel:   v.NewestKernel,
		Ipmi:           v.IPMI,
	}
}

func (d *decoder) hardware(m *hav1.Hardware) ha.Hardware {
	return ha.Hardware{
		Vendor:         m.GetVendor(),
		Product:        m.GetProduct(),
		BoardVendor:    m.GetBoardVendor(),
		BIOS:           m.GetBios(),
		Hypervisor:     m.GetHypervisor(),
		CPUVendor:      m.GetCpuVendor(),
		CPUModel:       m.GetCpuModel(),
		CPULevel:       int(m.GetCpuLevel()),
		CPUFlags:       m.GetCpuFlags(),
		Microcode:      m.GetMicrocode(),
		Virtualization: m.GetVirtualization(),
		NewestKernel:   m.GetNewestKernel(),
		IPMI:           m.GetIpmi(),
	}
}

func encodeUnit(v ha.Unit) *hav1.Unit {
	return &hav1.Unit{
		Name:     v.Name,
		Active:   v.Active,
		Sub:      v.Sub,
		Enabled:  v.Enabled,
		Restarts: int64(v.Restarts),
	}
}

func (d *decoder) unit(m *hav1.Unit) ha.Unit {
	return ha.Unit{
		Name:     m.GetName(),
		Active:   m.GetActive(),
		Sub:      m.GetSub(),
		Enabled:  m.GetEnabled(),
		Restarts: int(m.GetRestarts()),
	}
}

func encodeInterface(v ha.Interface) *hav1.Interface {
	return &hav1.Interface{
		Name:           v.Name,
		Kind:           string(v.Kind),
		State:          v.State,
		Carrier:        v.Carrier,
		Speed:          int64(v.Speed),
		FullDuplex:     v.FullDuplex,
		Mtu:            int64(v.MTU),
		Addresses:      words[string](v.Addresses),
		Lower:          words[string](v.Lower),
		Physical:       words[string](v.Physical),
		BondMode:       v.BondMode,
		BondActive:     v.BondActive,
		Vlan:           int64(v.VLAN),
		Gateway:        v.Gateway,
		CarrierChanges: v.CarrierChanges,
	}
}

func (d *decoder) netInterface(m *hav1.Interface) ha.Interface {
	return ha.Interface{
		Name:           m.GetName(),
		Kind:           ha.InterfaceKind(m.GetKind()),
		State:          m.GetState(),
		Carrier:        m.GetCarrier(),
		Speed:          int(m.GetSpeed()),
		FullDuplex:     m.GetFullDuplex(),
		MTU:            int(m.GetMtu()),
		Addresses:      words[string](m.GetAddresses()),
		Lower:          words[string](m.GetLower()),
		Physical:       words[string](m.GetPhysical()),
		BondMode:       m.GetBondMode(),
		BondActive:     m.GetBondActive(),
		VLAN:           int(m.GetVlan()),
		Gateway:        m.GetGateway(),
		CarrierChanges: m.GetCarrierChanges(),
	}
}

func encodeMembership(v ha.Membership) *hav1.Membership {
	return &hav1.Membership{
		Clustered:   v.Clustered,
		ClusterName: v.ClusterName,
		Quorate:     v.Quorate,
		Members:     each(v.Members, encodePmxcfsMember),
		RootKeys:    words[string](v.RootKeys),
		HostKeys:    words[string](v.HostKeys),
		Pvecm:       string(v.Pvecm),
	}
}

func (d *decoder) membership(m *hav1.Membership) ha.Membership {
	return ha.Membership{
		Clustered:   m.GetClustered(),
		ClusterName: m.GetClusterName(),
		Quorate:     m.GetQuorate(),
		Members:     each(m.GetMembers(), d.pmxcfsMember),
		RootKeys:    words[string](m.GetRootKeys()),
		HostKeys:    words[string](m.GetHostKeys()),
		Pvecm:       ha.PvecmState(m.GetPvecm()),
	}
}

func encodePmxcfsMember(v ha.PmxcfsMember) *hav1.PmxcfsMember {
	return &hav1.PmxcfsMember{
		Id:      int64(v.ID),
		Name:    string(v.Name),
		Online:  v.Online,
		Address: v.Address,
	}
}

func (d *decoder) pmxcfsMember(m *hav1.PmxcfsMember) ha.PmxcfsMember {
	return ha.PmxcfsMember{
		ID:      int(m.GetId()),
		Name:    ha.NodeName(m.GetName()),
		Online:  m.GetOnline(),
		Address: m.GetAddress(),
	}
}
