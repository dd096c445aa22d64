package ha

import "time"

// LocalStorage is a storage of /etc/pve/storage.cfg, and whether this node has it. The
// files say so, and not pvesm: it asks every storage in turn and hangs on a dead one.
type LocalStorage struct {
	Name string `json:"name"`
	// Type is dir, nfs, lvm, zfspool, rbd, iscsi, …
	Type string `json:"type"`
	// Shared: the type is shared by nature, or shared 1 is set.
	Shared   bool `json:"shared,omitempty"`
	Disabled bool `json:"disabled,omitempty"`
	// Nodes are those it is restricted to, in the file's order; empty means all.
	Nodes []NodeName `json:"nodes,omitempty"`
	// Content is what it may hold, in the file's order: images, rootdir, backup, iso, …
	Content []string `json:"content,omitempty"`
	// Path is where its files are, empty for a block storage.
	Path string `json:"path,omitempty"`
	// Server and Export name its origin: server and export of NFS, server and share of CIFS,
	// portal and target of iSCSI, monhost and pool of Ceph.
	Server string `json:"server,omitempty"`
	Export string `json:"export,omitempty"`
	// Mounted is what is mounted at Path itself: its source, 10.0.0.9:/srv/nas; empty if
	// nothing is, and files then lie in the node's own file system.
	Mounted string `json:"mounted,omitempty"`
	// MountedType is the type of that file system: nfs4, ext4, zfs, …
	MountedType string `json:"mounted_type,omitempty"`
	// IsMountpoint is is_mountpoint of a dir storage: Proxmox refuses it unless mounted.
	IsMountpoint bool `json:"is_mountpoint,omitempty"`
}

// Replication is a job that copies a guest's ZFS volumes to another node again and again.
// It is not shared storage: what was written since the last run is lost with the node.
type Replication struct {
	// ID is the job's, e.g. 100-0.
	ID  string `json:"id"`
	SID SID    `json:"sid"`
	// Target is the node that gets the copies.
	Target NodeName `json:"target"`
	// Schedule is a calendar event of systemd's kind; empty means */15.
	Schedule string `json:"schedule,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
	// LastSync is when the last run that succeeded began; zero if none did. Failures is how
	// often it has failed since, Error why.
	LastSync time.Time `json:"last_sync,omitzero"`
	Failures int       `json:"failures,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// LocalCeph is the Ceph cluster as this node sees it.
type LocalCeph struct {
	// Configured: /etc/pve/ceph.conf or /etc/ceph/ceph.conf names a cluster. All else is empty without.
	Configured bool   `json:"configured"`
	ID         string `json:"id,omitempty"` // fsid
	// PublicNetworks and ClusterNetworks are public_network and cluster_network, in the
	// file's order. Without the latter all traffic uses the former.
	PublicNetworks  []string `json:"public_networks,omitempty"`
	ClusterNetworks []string `json:"cluster_networks,omitempty"`
	// Asked is when Ceph last answered; what follows is of then.
	Asked time.Time `json:"asked,omitzero"`
	// Health is HEALTH_OK, HEALTH_WARN or HEALTH_ERR. Checks are the codes why, sorted: OSD_DOWN, …
	Health string   `json:"health,omitempty"`
	Checks []string `json:"checks,omitempty"`
	// Monitors is how many there are, MonitorsQuorate how many agree.
	Monitors        int `json:"monitors,omitempty"`
	MonitorsQuorate int `json:"monitors_quorate,omitempty"`
	// StretchMode: it is laid out for two sites and a tiebreaker.
	StretchMode bool       `json:"stretch_mode,omitempty"`
	Hosts       []CephHost `json:"hosts,omitempty"` // with OSDs, by name
	Pools       []CephPool `json:"pools,omitempty"` // by name
	// Degraded and Misplaced count objects with too few copies, and with copies elsewhere
	// than they belong. Recovery is how fast Ceph repairs that, in bytes a second.
	Degraded  int64 `json:"degraded,omitempty"`
	Misplaced int64 `json:"misplaced,omitempty"`
	Recovery  int64 `json:"recovery,omitempty"`
	// Total and Used are bytes of all OSDs, copies counted.
	Total int64 `json:"total,omitempty"`
	Used  int64 `json:"used,omitempty"`
	// Flags are those set on the OSD map that matter to maintenance: noout, norebalance, …
	Flags []string `json:"flags,omitempty"`
}

// CephHost is a node's share of a Ceph cluster.
type CephHost struct {
	Name NodeName `json:"name"`
	// OSDs is how many are on it, Up how many run, In how many hold data.
	OSDs int `json:"osds"`
	Up   int `json:"up"`
	In   int `json:"in"`
	// FillMax is how full its fullest OSD is, from 0 to 1.
	FillMax float64 `json:"fill_max,omitempty"`
}

// CephPool is a pool of a Ceph cluster.
type CephPool struct {
	Name string `json:"name"`
	// Size is how many copies there should be, MinSize how many there must be to write.
	Size    int `json:"size"`
	MinSize int `json:"min_size"`
	// Erasure: Size counts pieces of an erasure code, not copies.
	Erasure bool `json:"erasure,omitempty"`
	// Rule is the number of its CRUSH rule.
	Rule int `json:"rule,omitempty"`
}

// LocalFencing is what the cluster's files say of fencing beyond the watchdog.
type LocalFencing struct {
	// Mode is fencing of /etc/pve/datacenter.cfg: watchdog, hardware or both; empty if
	// unset, which means watchdog.
	Mode string `json:"mode,omitempty"`
	// Configured: /etc/pve/ha/fence.cfg exists and is not empty. Devices are the names of
	// the devices in it, in the file's order.
	Configured bool     `json:"configured,omitempty"`
	Devices    []string `json:"devices,omitempty"`
	SBD        LocalSBD `json:"sbd,omitzero"`
}

// LocalSBD is storage-based death: nodes that talk through slots on a shared disk.
type LocalSBD struct {
	// Configured: SBD_DEVICE of /etc/default/sbd names a device. Running: its process exists.
	Configured bool        `json:"configured,omitempty"`
	Running    bool        `json:"running,omitempty"`
	Devices    []SBDDevice `json:"devices,omitempty"` // by path
}

// SBDDevice is a disk that SBD uses.
type SBDDevice struct {
	Path string `json:"path"`
	// Error is why the disk could not be read; all else is empty then.
	Error string `json:"error,omitempty"`
	// TimeoutWatchdog and TimeoutMsgwait are of its header.
	TimeoutWatchdog time.Duration `json:"timeout_watchdog,omitempty"`
	TimeoutMsgwait  time.Duration `json:"timeout_msgwait,omitempty"`
	Slots           []SBDSlot     `json:"slots,omitempty"` // in the disk's order
}

// SBDSlot is a node's mailbox on the disk.
type SBDSlot struct {
	Node NodeName `json:"node"`
	// Message is clear, or what the node has been told: reset, off, exit, test.
	Message string `json:"message"`
	// From is who told it, empty where nobody did.
	From string `json:"from,omitempty"`
}
