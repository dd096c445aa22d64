package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// encodeReport leaves Received behind: it is the coordinator's to set.
func encodeReport(r ha.Report) *hav1.Report {
	return &hav1.Report{
		Node:         string(r.Node),
		Agent:        r.Agent,
		Taken:        encodeTime(r.Taken),
		Took:         encodeDuration(r.Took),
		Generation:   r.Generation,
		Coordinator:  r.Coordinator,
		System:       encodeSystem(r.System),
		Mounts:       each(r.Mounts, encodeMount),
		Watchdog:     encodeWatchdog(r.Watchdog),
		Corosync:     encodeCorosync(r.Corosync),
		Ha:           encodeLocalHA(r.HA),
		Running:      each(r.Running, encodeLocalGuest),
		GuestConfigs: each(r.GuestConfigs, encodeGuestConfig),
		Failures:     each(r.Failures, encodeProbeFailure),
		Clock:        encodeClock(r.Clock),
		Hardware:     encodeHardware(r.Hardware),
		Interfaces:   each(r.Interfaces, encodeInterface),
		Units:        each(r.Units, encodeUnit),
		Fencing:      encodeLocalFencing(r.Fencing),
		Storages:     each(r.Storages, encodeLocalStorage),
		Replications: each(r.Replications, encodeReplication),
		Ceph:         encodeLocalCeph(r.Ceph),
		Membership:   encodeMembership(r.Membership),
		Stalls:       encodeStalls(r.Stalls),
	}
}

func (d *decoder) report(m *hav1.Report) ha.Report {
	return ha.Report{
		Node:         ha.NodeName(m.GetNode()),
		Agent:        m.GetAgent(),
		Taken:        decodeTime(m.GetTaken()),
		Took:         m.GetTook().AsDuration(),
		Generation:   m.GetGeneration(),
		Coordinator:  m.GetCoordinator(),
		System:       d.system(m.GetSystem()),
		Mounts:       each(m.GetMounts(), d.mount),
		Watchdog:     d.watchdog(m.GetWatchdog()),
		Corosync:     d.corosync(m.GetCorosync()),
		HA:           d.localHA(m.GetHa()),
		Running:      each(m.GetRunning(), d.localGuest),
		GuestConfigs: each(m.GetGuestConfigs(), d.guestConfig),
		Failures:     each(m.GetFailures(), d.probeFailure),
		Clock:        d.clock(m.GetClock()),
		Hardware:     d.hardware(m.GetHardware()),
		Interfaces:   each(m.GetInterfaces(), d.netInterface),
		Units:        each(m.GetUnits(), d.unit),
		Fencing:      d.localFencing(m.GetFencing()),
		Storages:     each(m.GetStorages(), d.localStorage),
		Replications: each(m.GetReplications(), d.replication),
		Ceph:         d.localCeph(m.GetCeph()),
		Membership:   d.membership(m.GetMembership()),
		Stalls:       d.stalls(m.GetStalls()),
	}
}

func encodeProbeFailure(f ha.ProbeFailure) *hav1.ProbeFailure {
	return &hav1.ProbeFailure{Probe: f.Probe, Reason: f.Reason}
}

func (d *decoder) probeFailure(m *hav1.ProbeFailure) ha.ProbeFailure {
	return ha.ProbeFailure{Probe: m.GetProbe(), Reason: m.GetReason()}
}

func encodeSystem(s ha.System) *hav1.System {
	return &hav1.System{
		BootId:          s.BootID,
		Kernel:          s.Kernel,
		Uptime:          encodeDuration(s.Uptime),
		Cpus:            int64(s.CPUs),
		Load1:           s.Load1,
		MemoryTotal:     s.MemoryTotal,
		MemoryAvailable: s.MemoryAvailable,
		PveVersion:      s.PVEVersion,
		PveHaVersion:    s.PVEHAVersion,
		PmxcfsMounted:   s.PmxcfsMounted,
		PmxcfsWritable:  s.PmxcfsWritable,
	}
}

func (d *decoder) system(m *hav1.System) ha.System {
	return ha.System{
		BootID:          m.GetBootId(),
		Kernel:          m.GetKernel(),
		Uptime:          m.GetUptime().AsDuration(),
		CPUs:            int(m.GetCpus()),
		Load1:           m.GetLoad1(),
		MemoryTotal:     m.GetMemoryTotal(),
		MemoryAvailable: m.GetMemoryAvailable(),
		PVEVersion:      m.GetPveVersion(),
		PVEHAVersion:    m.GetPveHaVersion(),
		PmxcfsMounted:   m.GetPmxcfsMounted(),
		PmxcfsWritable:  m.GetPmxcfsWritable(),
	}
}

func encodeMount(v ha.Mount) *hav1.Mount {
	return &hav1.Mount{
		Source:       v.Source,
		Path:         v.Path,
		Type:         v.Type,
		Version:      v.Version,
		Server:       v.Server,
		Hard:         v.Hard,
		ReadOnly:     v.ReadOnly,
		Options:      v.Options,
		Answering:    v.Answering,
		Stuck:        encodeDuration(v.Stuck),
		Error:        v.Error,
		Took:         encodeDuration(v.Took),
		Total:        v.Total,
		Free:         v.Free,
		Timeouts:     v.Timeouts,
		Rtt:          encodeDuration(v.RTT),
		Device:       v.Device,
		FilesystemId: v.FilesystemID,
		Write:        encodeWriteTest(v.Write),
	}
}

func (d *decoder) mount(m *hav1.Mount) ha.Mount {
	return ha.Mount{
		Source:       m.GetSource(),
		Path:         m.GetPath(),
		Type:         m.GetType(),
		Version:      m.GetVersion(),
		Server:       m.GetServer(),
		Hard:         m.GetHard(),
		ReadOnly:     m.GetReadOnly(),
		Options:      m.GetOptions(),
		Answering:    m.GetAnswering(),
		Stuck:        m.GetStuck().AsDuration(),
		Error:        m.GetError(),
		Took:         m.GetTook().AsDuration(),
		Total:        m.GetTotal(),
		Free:         m.GetFree(),
		Timeouts:     m.GetTimeouts(),
		RTT:          m.GetRtt().AsDuration(),
		Device:       m.GetDevice(),
		FilesystemID: m.GetFilesystemId(),
		Write:        d.writeTest(m.GetWrite()),
	}
}

func encodeWatchdog(w ha.Watchdog) *hav1.Watchdog {
	return &hav1.Watchdog{
		Devices:         each(w.Devices, encodeWatchdogDevice),
		MuxRunning:      w.MuxRunning,
		MuxDevice:       w.MuxDevice,
		MuxActive:       w.MuxActive,
		Module:          w.Module,
		SoftNoboot:      w.SoftNoboot,
		Loaded:          words[string](w.Loaded),
		Options:         each(w.Options, encodeModuleOption),
		Blacklisted:     words[string](w.Blacklisted),
		Holders:         each(w.Holders, encodeWatchdogHolder),
		RuntimeWatchdog: w.RuntimeWatchdog,
		RuntimeDevice:   w.RuntimeDevice,
	}
}

func (d *decoder) watchdog(m *hav1.Watchdog) ha.Watchdog {
	return ha.Watchdog{
		Devices:         each(m.GetDevices(), d.watchdogDevice),
		MuxRunning:      m.GetMuxRunning(),
		MuxDevice:       m.GetMuxDevice(),
		MuxActive:       m.GetMuxActive(),
		Module:          m.GetModule(),
		SoftNoboot:      m.GetSoftNoboot(),
		Loaded:          words[string](m.GetLoaded()),
		Options:         each(m.GetOptions(), d.moduleOption),
		Blacklisted:     words[string](m.GetBlacklisted()),
		Holders:         each(m.GetHolders(), d.watchdogHolder),
		RuntimeWatchdog: m.GetRuntimeWatchdog(),
		RuntimeDevice:   m.GetRuntimeDevice(),
	}
}

func encodeWatchdogDevice(w ha.WatchdogDevice) *hav1.WatchdogDevice {
	return &hav1.WatchdogDevice{
		Name:       w.Name,
		Identity:   w.Identity,
		State:      w.State,
		Timeout:    encodeDuration(w.Timeout),
		TimeLeft:   encodeDuration(w.TimeLeft),
		Nowayout:   w.Nowayout,
		BootStatus: int64(w.BootStatus),
		Driver:     w.Driver,
		Pretimeout: encodeDuration(w.Pretimeout),
	}
}

func (d *decoder) watchdogDevice(m *hav1.WatchdogDevice) ha.WatchdogDevice {
	return ha.WatchdogDevice{
		Name:       m.GetName(),
		Identity:   m.GetIdentity(),
		State:      m.GetState(),
		Timeout:    m.GetTimeout().AsDuration(),
		TimeLeft:   m.GetTimeLeft().AsDuration(),
		Nowayout:   m.GetNowayout(),
		BootStatus: int(m.GetBootStatus()),
		Driver:     m.GetDriver(),
		Pretimeout: m.GetPretimeout().AsDuration(),
	}
}

func encodeCorosync(c ha.Corosync) *hav1.Corosync {
	return &hav1.Corosync{
		Running:       c.Running,
		NodeId:        int64(c.NodeID),
		Quorate:       c.Quorate,
		Votes:         int64(c.Votes),
		Expected:      int64(c.Expected),
		Quorum:        int64(c.Quorum),
		Flags:         words[string](c.Flags),
		Qdevice:       c.QDevice,
		QdeviceAlive:  c.QDeviceAlive,
		Members:       numbers[int64](c.Members),
		Links:         each(c.Links, encodeLink),
		TokenTimeout:  encodeDuration(c.TokenTimeout),
		Consensus:     encodeDuration(c.Consensus),
		ConfigVersion: int64(c.ConfigVersion),
		Config:        encodeCorosyncConfig(c.Config),
		QdeviceState:  c.QDeviceState,
	}
}

func (d *decoder) corosync(m *hav1.Corosync) ha.Corosync {
	return ha.Corosync{
		Running:       m.GetRunning(),
		NodeID:        int(m.GetNodeId()),
		Quorate:       m.GetQuorate(),
		Votes:         int(m.GetVotes()),
		Expected:      int(m.GetExpected()),
		Quorum:        int(m.GetQuorum()),
		Flags:         words[string](m.GetFlags()),
		QDevice:       m.GetQdevice(),
		QDeviceAlive:  m.GetQdeviceAlive(),
		Members:       numbers[int](m.GetMembers()),
		Links:         each(m.GetLinks(), d.link),
		TokenTimeout:  m.GetTokenTimeout().AsDuration(),
		Consensus:     m.GetConsensus().AsDuration(),
		ConfigVersion: int(m.GetConfigVersion()),
		Config:        d.corosyncConfig(m.GetConfig()),
		QDeviceState:  m.GetQdeviceState(),
	}
}

func encodeLink(l ha.Link) *hav1.Link {
	return &hav1.Link{
		Number:     int64(l.Number),
		PeerId:     int64(l.PeerID),
		Peer:       string(l.Peer),
		Local:      l.Local,
		Remote:     l.Remote,
		Enabled:    l.Enabled,
		Connected:  l.Connected,
		Mtu:        int64(l.MTU),
		Latency:    encodeDuration(l.Latency),
		LatencyMax: encodeDuration(l.LatencyMax),
		Interface:  l.Interface,
		Downs:      l.Downs,
	}
}

func (d *decoder) link(m *hav1.Link) ha.Link {
	return ha.Link{
		Number:     int(m.GetNumber()),
		PeerID:     int(m.GetPeerId()),
		Peer:       ha.NodeName(m.GetPeer()),
		Local:      m.GetLocal(),
		Remote:     m.GetRemote(),
		Enabled:    m.GetEnabled(),
		Connected:  m.GetConnected(),
		MTU:        int(m.GetMtu()),
		Latency:    m.GetLatency().AsDuration(),
		LatencyMax: m.GetLatencyMax().AsDuration(),
		Interface:  m.GetInterface(),
		Downs:      m.GetDowns(),
	}
}

func encodeLocalHA(l ha.LocalHA) *hav1.LocalHA {
	return &hav1.LocalHA{
		LrmRunning:           l.LRMRunning,
		CrmRunning:           l.CRMRunning,
		LrmState:             l.LRMState,
		LrmMode:              l.LRMMode,
		LrmAt:                encodeTime(l.LRMAt),
		Master:               string(l.Master),
		MasterAt:             encodeTime(l.MasterAt),
		NodeState:            l.NodeState,
		MaintenanceRequested: l.MaintenanceRequested,
		Disarm:               l.Disarm,
		DisarmMode:           l.DisarmMode,
		Commands:             int64(l.Commands),
		CommandsAt:           encodeTime(l.CommandsAt),
		Failed:               each(l.Failed, encodeLRMResult),
	}
}

func (d *decoder) localHA(m *hav1.LocalHA) ha.LocalHA {
	return ha.LocalHA{
		LRMRunning:           m.GetLrmRunning(),
		CRMRunning:           m.GetCrmRunning(),
		LRMState:             m.GetLrmState(),
		LRMMode:              m.GetLrmMode(),
		LRMAt:                decodeTime(m.GetLrmAt()),
		Master:               ha.NodeName(m.GetMaster()),
		MasterAt:             decodeTime(m.GetMasterAt()),
		NodeState:            m.GetNodeState(),
		MaintenanceRequested: m.GetMaintenanceRequested(),
		Disarm:               m.GetDisarm(),
		DisarmMode:           m.GetDisarmMode(),
		Commands:             int(m.GetCommands()),
		CommandsAt:           decodeTime(m.GetCommandsAt()),
		Failed:               each(m.GetFailed(), d.lrmResult),
	}
}

func encodeLocalGuest(g ha.LocalGuest) *hav1.LocalGuest {
	return &hav1.LocalGuest{
		Sid:      encodeSID(g.SID),
		Pid:      int64(g.PID),
		Started:  encodeTime(g.Started),
		Incoming: g.Incoming,
	}
}

func (d *decoder) localGuest(m *hav1.LocalGuest) ha.LocalGuest {
	return ha.LocalGuest{
		SID:      d.sid(m.GetSid()),
		PID:      int(m.GetPid()),
		Started:  decodeTime(m.GetStarted()),
		Incoming: m.GetIncoming(),
	}
}

func encodeGuestConfig(c ha.GuestConfig) *hav1.GuestConfig {
	return &hav1.GuestConfig{
		Sid:       encodeSID(c.SID),
		Name:      c.Name,
		Lock:      c.Lock,
		Storages:  words[string](c.Storages),
		Local:     words[string](c.Local),
		Snapshots: int64(c.Snapshots),
		OnBoot:    c.OnBoot,
		Cpu:       c.CPU,
		Mapped:    each(c.Mapped, encodeMappedDevice),
	}
}

func encodeMappedDevice(m ha.MappedDevice) *hav1.MappedDevice {
	return &hav1.MappedDevice{Kind: m.Kind, Id: m.ID, Nodes: words[string](m.Nodes)}
}

func (d *decoder) mappedDevice(m *hav1.MappedDevice) ha.MappedDevice {
	return ha.MappedDevice{Kind: m.GetKind(), ID: m.GetId(), Nodes: words[ha.NodeName](m.GetNodes())}
}

func (d *decoder) guestConfig(m *hav1.GuestConfig) ha.GuestConfig {
	return ha.GuestConfig{
		SID:       d.sid(m.GetSid()),
		Name:      m.GetName(),
		Lock:      m.GetLock(),
		Storages:  words[string](m.GetStorages()),
		Local:     words[string](m.GetLocal()),
		Snapshots: int(m.GetSnapshots()),
		OnBoot:    m.GetOnBoot(),
		CPU:       m.GetCpu(),
		Mapped:    each(m.GetMapped(), d.mappedDevice),
	}
}
