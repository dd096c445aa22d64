package ha

import (
	"cmp"
	"slices"
	"time"
)

// Report is what one agent saw on one node, once. Probes fill in facts and never
// judge; what a probe could not look at is in Failures and must be taken as unknown.
type Report struct {
	Node NodeName `json:"node"`
	// Agent is the agent's version.
	Agent string `json:"agent"`
	// Taken is the agent's clock when the probes began; Received the coordinator's
	// when the report arrived. Ages are computed from Received only, so that a wrong
	// clock on a node cannot make an old report look fresh.
	Taken    time.Time `json:"taken"`
	Received time.Time `json:"received,omitzero"`
	// Took is how long the probes ran.
	Took time.Duration `json:"took"`
	// Generation and Coordinator are the newest coordinator the agent has accepted.
	Generation  uint64 `json:"generation"`
	Coordinator string `json:"coordinator,omitempty"`

	System       System        `json:"system"`
	Mounts       []Mount       `json:"mounts"`                  // NFS mounts, by path
	Watchdog     Watchdog      `json:"watchdog"`                // devices and who feeds them
	Corosync     Corosync      `json:"corosync"`                // links, votes, membership
	HA           LocalHA       `json:"ha"`                      // pve-ha-lrm and pve-ha-crm here
	Running      []LocalGuest  `json:"running"`                 // guest processes here, by SID
	GuestConfigs []GuestConfig `json:"guest_configs,omitempty"` // guests whose config lies here, by SID
	// Failures are the probes that could not look, by name.
	Failures []ProbeFailure `json:"failures,omitempty"`
}

// ProbeFailure says that a probe could not look, and why. It becomes UNKNOWN, never PASS.
type ProbeFailure struct {
	// Probe is the probe's name: see the constants.
	Probe  string `json:"probe"`
	Reason string `json:"reason"`
}

// Names of the probes, and which part of a report each fills in.
const (
	ProbeSystem       = "system"        // System, but for the two about pmxcfs
	ProbePmxcfs       = "pmxcfs"        // System.PmxcfsMounted and PmxcfsWritable
	ProbeNFS          = "nfs"           // Mounts
	ProbeWatchdog     = "watchdog"      // Watchdog
	ProbeCorosync     = "corosync"      // Corosync
	ProbeLRM          = "lrm"           // HA
	ProbeGuests       = "guests"        // Running
	ProbeGuestConfigs = "guest_configs" // GuestConfigs
)

// System is the node at large.
type System struct {
	BootID string        `json:"boot_id,omitempty"`
	Kernel string        `json:"kernel,omitempty"`
	Uptime time.Duration `json:"uptime"`
	CPUs   int           `json:"cpus"`
	Load1  float64       `json:"load1"`
	// MemoryTotal and MemoryAvailable are MemTotal and MemAvailable of /proc/meminfo, in bytes.
	MemoryTotal     int64 `json:"memory_total"`
	MemoryAvailable int64 `json:"memory_available"`
	// PVEVersion is the installed pve-manager, PVEHAVersion the installed
	// pve-ha-manager; empty if the host is no Proxmox node.
	PVEVersion   string `json:"pve_version,omitempty"`
	PVEHAVersion string `json:"pve_ha_version,omitempty"`
	// PmxcfsMounted: /etc/pve/local exists. PmxcfsWritable: its mode has the write bit,
	// which is how Proxmox itself asks for quorum cheaply.
	PmxcfsMounted  bool `json:"pmxcfs_mounted"`
	PmxcfsWritable bool `json:"pmxcfs_writable"`
}

// Mount is an NFS mount.
type Mount struct {
	// Source is server:/export, Path the mount point.
	Source string `json:"source"`
	Path   string `json:"path"`
	// Type is nfs or nfs4; Version the vers= option, e.g. 4.2.
	Type    string `json:"type"`
	Version string `json:"version,omitempty"`
	// Server is the address the kernel really talks to (addr=).
	Server string `json:"server,omitempty"`
	// Hard: operations block for ever when the server is gone.
	Hard     bool   `json:"hard"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Options  string `json:"options,omitempty"`
	// Answering: statfs came back in time. Stuck is for how long a statfs has been
	// hanging, or 0.
	Answering bool          `json:"answering"`
	Stuck     time.Duration `json:"stuck,omitempty"`
	// Error is what statfs said, if it came back with an error.
	Error string `json:"error,omitempty"`
	// Took is how long statfs took.
	Took time.Duration `json:"took,omitempty"`
	// Total and Free are bytes.
	Total int64 `json:"total,omitempty"`
	Free  int64 `json:"free,omitempty"`
	// Timeouts counts major timeouts since the mount was made (mountstats, all operations).
	Timeouts int64 `json:"timeouts,omitempty"`
	// RTT is the mean round-trip of the operations so far.
	RTT time.Duration `json:"rtt,omitempty"`
}

// Watchdog is what the node would be reset by.
type Watchdog struct {
	// Devices are the entries of /sys/class/watchdog, by name.
	Devices []WatchdogDevice `json:"devices"`
	// MuxRunning: a watchdog-mux process exists. MuxDevice is the device it holds open.
	MuxRunning bool   `json:"mux_running"`
	MuxDevice  string `json:"mux_device,omitempty"`
	// MuxActive: /run/watchdog-mux.active exists, i.e. an HA client holds it: the node is armed.
	MuxActive bool `json:"mux_active"`
	// Module is WATCHDOG_MODULE of /etc/default/pve-ha-manager, empty if unset.
	Module string `json:"module,omitempty"`
	// SoftNoboot is softdog's soft_noboot=1: it would not reset the node at all.
	SoftNoboot bool `json:"soft_noboot,omitempty"`
	// Loaded are the loaded kernel modules that provide or compete for a watchdog, sorted.
	Loaded []string `json:"loaded,omitempty"`
}

// WatchdogDevice is an entry of /sys/class/watchdog.
type WatchdogDevice struct {
	Name string `json:"name"`
	// Identity is the driver's: "Software Watchdog", "i6300ESB timer", …
	Identity string `json:"identity"`
	// State is active or inactive.
	State    string        `json:"state"`
	Timeout  time.Duration `json:"timeout"`
	TimeLeft time.Duration `json:"time_left,omitempty"`
	Nowayout bool          `json:"nowayout"`
	// BootStatus is non-zero when the device says that it caused the last reset.
	BootStatus int `json:"boot_status,omitempty"`
}

// Corosync is the node's own view of the cluster network.
type Corosync struct {
	// Running: corosync answered.
	Running bool `json:"running"`
	NodeID  int  `json:"node_id,omitempty"`
	Quorate bool `json:"quorate"`
	// Votes: total now; Expected; Quorum: the number needed.
	Votes    int `json:"votes"`
	Expected int `json:"expected"`
	Quorum   int `json:"quorum"`
	// Flags as corosync-quorumtool prints them, e.g. Quorate, 2Node, Qdevice.
	Flags []string `json:"flags,omitempty"`
	// QDevice: one is configured; QDeviceAlive: it votes.
	QDevice      bool `json:"qdevice,omitempty"`
	QDeviceAlive bool `json:"qdevice_alive,omitempty"`
	// Members are the node ids in this partition, ascending.
	Members []int  `json:"members"`
	Links   []Link `json:"links"` // by peer, then number
	// TokenTimeout is the runtime token timeout, 0 if not known.
	TokenTimeout time.Duration `json:"token_timeout,omitempty"`
}

// Link is one knet link from here to one peer.
type Link struct {
	// Number is the link's, 0 to 7.
	Number int `json:"number"`
	// PeerID is corosync's node id of the other end, Peer its name where known.
	PeerID int      `json:"peer_id"`
	Peer   NodeName `json:"peer,omitempty"`
	// Local and Remote are the addresses of both ends.
	Local  string `json:"local,omitempty"`
	Remote string `json:"remote,omitempty"`
	// Enabled: configured and bound; Connected: packets come back.
	Enabled   bool `json:"enabled"`
	Connected bool `json:"connected"`
	// MTU is the link's, 0 if not known.
	MTU int `json:"mtu,omitempty"`
	// Latency is knet's average, LatencyMax its largest since the link came up; 0 if not known.
	Latency    time.Duration `json:"latency,omitempty"`
	LatencyMax time.Duration `json:"latency_max,omitempty"`
}

// LocalHA is the HA stack on this node.
type LocalHA struct {
	// LRMRunning and CRMRunning: the daemons' processes exist.
	LRMRunning bool `json:"lrm_running"`
	CRMRunning bool `json:"crm_running"`
	// LRMState, LRMMode and LRMAt are of /etc/pve/nodes/NODE/lrm_status.
	LRMState string    `json:"lrm_state,omitempty"`
	LRMMode  string    `json:"lrm_mode,omitempty"`
	LRMAt    time.Time `json:"lrm_at,omitzero"`
	// Master and MasterAt are of /etc/pve/ha/manager_status.
	Master   NodeName  `json:"master,omitempty"`
	MasterAt time.Time `json:"master_at,omitzero"`
	// NodeState is node_status of this node there.
	NodeState string `json:"node_state,omitempty"`
	// MaintenanceRequested is node_request.NODE.maintenance there.
	MaintenanceRequested bool `json:"maintenance_requested,omitempty"`
}

// LocalGuest is a guest whose process runs here: the truth, whatever the API says.
type LocalGuest struct {
	SID SID `json:"sid"`
	// PID is the kvm process, or the container's monitor.
	PID int `json:"pid"`
	// Started is when the process began.
	Started time.Time `json:"started,omitzero"`
	// Incoming: a kvm process that is still waiting for a migration's state. It holds
	// memory but is not the running guest. QEMU keeps -incoming in its command line after
	// the state has arrived, so the flag means: started with -incoming, and the guest's
	// configuration does not lie on this node (yet).
	Incoming bool `json:"incoming,omitempty"`
}

// GuestConfig is what a guest's configuration file says about where it can run. The
// agent reads it from pmxcfs, so that the coordinator need not ask the API per guest.
type GuestConfig struct {
	SID  SID    `json:"sid"`
	Name string `json:"name,omitempty"`
	Lock string `json:"lock,omitempty"`
	// Storages holds the guest's volumes: names of storages, sorted, unique.
	Storages []string `json:"storages,omitempty"`
	// Local are what binds it to this node, each as the config line's key and why:
	// "hostpci0: passes a device through", "mp0: bind mount /tank without shared=1".
	Local []string `json:"local,omitempty"`
	// Snapshots is the number of snapshots.
	Snapshots int `json:"snapshots,omitempty"`
	// OnBoot starts it when the node boots (not used for HA-managed guests).
	OnBoot bool `json:"on_boot,omitempty"`
}

// Failed returns why a probe could not look; ok is false if it could.
func (r Report) Failed(probe string) (reason string, ok bool) {
	for _, f := range r.Failures {
		if f.Probe == probe {
			return f.Reason, true
		}
	}
	return "", false
}

// GuestConfig returns the configuration of a guest that lies on the reporting node.
func (r Report) GuestConfig(sid SID) (GuestConfig, bool) {
	k, ok := slices.BinarySearchFunc(r.GuestConfigs, sid, func(c GuestConfig, s SID) int { return c.SID.Compare(s) })
	if !ok {
		return GuestConfig{}, false
	}
	return r.GuestConfigs[k], true
}

// Sort puts every list of the report into its documented order. Whoever makes a
// report calls it once, so that equal worlds are equal values.
func (r *Report) Sort() {
	slices.SortFunc(r.Mounts, func(a, b Mount) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(r.Watchdog.Devices, func(a, b WatchdogDevice) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(r.Watchdog.Loaded)
	slices.Sort(r.Corosync.Members)
	slices.SortFunc(r.Corosync.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.PeerID, b.PeerID), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(r.Running, func(a, b LocalGuest) int { return a.SID.Compare(b.SID) })
	slices.SortFunc(r.GuestConfigs, func(a, b GuestConfig) int { return a.SID.Compare(b.SID) })
	slices.SortFunc(r.Failures, func(a, b ProbeFailure) int { return cmp.Compare(a.Probe, b.Probe) })
}
