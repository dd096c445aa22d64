package rpc

import (
	hav1 "github.com/casaeureka/psw-ha/proto/psw/ha/v1"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func encodeLocalStorage(v ha.LocalStorage) *hav1.LocalStorage {
	return &hav1.LocalStorage{
		Name:         v.Name,
		Type:         v.Type,
		Shared:       v.Shared,
		Disabled:     v.Disabled,
		Nodes:        words[string](v.Nodes),
		Content:      words[string](v.Content),
		Path:         v.Path,
		Server:       v.Server,
		Export:       v.Export,
		Mounted:      v.Mounted,
		MountedType:  v.MountedType,
		IsMountpoint: v.IsMountpoint,
	}
}

func (d *decoder) localStorage(m *hav1.LocalStorage) ha.LocalStorage {
	return ha.LocalStorage{
		Name:         m.GetName(),
		Type:         m.GetType(),
		Shared:       m.GetShared(),
		Disabled:     m.GetDisabled(),
		Nodes:        words[ha.NodeName](m.GetNodes()),
		Content:      words[string](m.GetContent()),
		Path:         m.GetPath(),
		Server:       m.GetServer(),
		Export:       m.GetExport(),
		Mounted:      m.GetMounted(),
		MountedType:  m.GetMountedType(),
		IsMountpoint: m.GetIsMountpoint(),
	}
}

func encodeReplication(v ha.Replication) *hav1.Replication {
	return &hav1.Replication{
		Id:       v.ID,
		Sid:      encodeSID(v.SID),
		Target:   string(v.Target),
		Schedule: v.Schedule,
		Disabled: v.Disabled,
		LastSync: encodeTime(v.LastSync),
		Failures: int64(v.Failures),
		Error:    v.Error,
	}
}

func (d *decoder) replication(m *hav1.Replication) ha.Replication {
	return ha.Replication{
		ID:       m.GetId(),
		SID:      d.sid(m.GetSid()),
		Target:   ha.NodeName(m.GetTarget()),
		Schedule: m.GetSchedule(),
		Disabled: m.GetDisabled(),
		LastSync: decodeTime(m.GetLastSync()),
		Failures: int(m.GetFailures()),
		Error:    m.GetError(),
	}
}

func encodeLocalCeph(v ha.LocalCeph) *hav1.LocalCeph {
	return &hav1.LocalCeph{
		Configured:      v.Configured,
		Id:              v.ID,
		PublicNetworks:  words[string](v.PublicNetworks),
		ClusterNetworks: words[string](v.ClusterNetworks),
		Asked:           encodeTime(v.Asked),
		Health:          v.Health,
		Checks:          words[string](v.Checks),
		Monitors:        int64(v.Monitors),
		MonitorsQuorate: int64(v.MonitorsQuorate),
		StretchMode:     v.StretchMode,
		Hosts:           each(v.Hosts, encodeCephHost),
		Pools:           each(v.Pools, encodeCephPool),
		Degraded:        v.Degraded,
		Misplaced:       v.Misplaced,
		Recovery:        v.Recovery,
		Total:           v.Total,
		Used:            v.Used,
		Flags:           words[string](v.Flags),
	}
}

func (d *decoder) localCeph(m *hav1.LocalCeph) ha.LocalCeph {
	return ha.LocalCeph{
		Configured:      m.GetConfigured(),
		ID:              m.GetId(),
		PublicNetworks:  words[string](m.GetPublicNetworks()),
		ClusterNetworks: words[string](m.GetClusterNetworks()),
		Asked:           decodeTime(m.GetAsked()),
		Health:          m.GetHealth(),
		Checks:          words[string](m.GetChecks()),
		Monitors:        int(m.GetMonitors()),
		MonitorsQuorate: int(m.GetMonitorsQuorate()),
		StretchMode:     m.GetStretchMode(),
		Hosts:           each(m.GetHosts(), d.cephHost),
		Pools:           each(m.GetPools(), d.cephPool),
		Degraded:        m.GetDegraded(),
		Misplaced:       m.GetMisplaced(),
		Recovery:        m.GetRecovery(),
		Total:           m.GetTotal(),
		Used:            m.GetUsed(),
		Flags:           words[string](m.GetFlags()),
	}
}

func encodeCephHost(v ha.CephHost) *hav1.CephHost {
	return &hav1.CephHost{
		Name:    string(v.Name),
		Osds:    int64(v.OSDs),
		Up:      int64(v.Up),
		In:      int64(v.In),
		FillMax: v.FillMax,
	}
}

func (d *decoder) cephHost(m *hav1.CephHost) ha.CephHost {
	return ha.CephHost{
		Name:    ha.NodeName(m.GetName()),
		OSDs:    int(m.GetOsds()),
		Up:      int(m.GetUp()),
		In:      int(m.GetIn()),
		FillMax: m.GetFillMax(),
	}
}

func encodeCephPool(v ha.CephPool) *hav1.CephPool {
	return &hav1.CephPool{
		Name:    v.Name,
		Size:    int64(v.Size),
		MinSize: int64(v.MinSize),
		Erasure: v.Erasure,
		Rule:    int64(v.Rule),
	}
}

func (d *decoder) cephPool(m *hav1.CephPool) ha.CephPool {
	return ha.CephPool{
		Name:    m.GetName(),
		Size:    int(m.GetSize()),
		MinSize: int(m.GetMinSize()),
		Erasure: m.GetErasure(),
		Rule:    int(m.GetRule()),
	}
}

func encodeLocalFencing(v ha.LocalFencing) *hav1.LocalFencing {
	return &hav1.LocalFencing{
		Mode:       v.Mode,
		Configured: v.Configured,
		Devices:    words[string](v.Devices),
		Sbd:        encodeLocalSBD(v.SBD),
	}
}

func (d *decoder) localFencing(m *hav1.LocalFencing) ha.LocalFencing {
	return ha.LocalFencing{
		Mode:       m.GetMode(),
		Configured: m.GetConfigured(),
		Devices:    words[string](m.GetDevices()),
		SBD:        d.localSBD(m.GetSbd()),
	}
}

func encodeLocalSBD(v ha.LocalSBD) *hav1.LocalSBD {
	return &hav1.LocalSBD{
		Configured: v.Configured,
		Running:    v.Running,
		Devices:    each(v.Devices, encodeSBDDevice),
	}
}

func (d *decoder) localSBD(m *hav1.LocalSBD) ha.LocalSBD {
	return ha.LocalSBD{
		Configured: m.GetConfigured(),
		Running:    m.GetRunning(),
		Devices:    each(m.GetDevices(), d.sbdDevice),
	}
}

func encodeSBDDevice(v ha.SBDDevice) *hav1.SBDDevice {
	return &hav1.SBDDevice{
		Path:            v.Path,
		Error:           v.Error,
		TimeoutWatchdog: encodeDuration(v.TimeoutWatchdog),
		TimeoutMsgwait:  encodeDuration(v.TimeoutMsgwait),
		Slots:           each(v.Slots, encodeSBDSlot),
	}
}

func (d *decoder) sbdDevice(m *hav1.SBDDevice) ha.SBDDevice {
	return ha.SBDDevice{
		Path:            m.GetPath(),
		Error:           m.GetError(),
		TimeoutWatchdog: m.GetTimeoutWatchdog().AsDuration(),
		TimeoutMsgwait:  m.GetTimeoutMsgwait().AsDuration(),
		Slots:           each(m.GetSlots(), d.sbdSlot),
	}
}

func encodeSBDSlot(v ha.SBDSlot) *hav1.SBDSlot {
	return &hav1.SBDSlot{
		Node:    string(v.Node),
		Message: v.Message,
		From:    v.From,
	}
}

func (d *decoder) sbdSlot(m *hav1.SBDSlot) ha.SBDSlot {
	return ha.SBDSlot{
		Node:    ha.NodeName(m.GetNode()),
		Message: m.GetMessage(),
		From:    m.GetFrom(),
	}
}
