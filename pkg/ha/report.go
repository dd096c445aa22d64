package ha

import (
	"slices"
	"strings"
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

	Clock        Clock          `json:"clock,omitzero"`         // how right the node's clock is
	Hardware     Hardware       `json:"hardware,omitzero"`      // the machine itself
	Interfaces   []Interface    `json:"interfaces,omitempty"`   // network, by name
	Units        []Unit         `json:"units,omitempty"`        // systemd's units that HA needs, by name
	Fencing      LocalFencing   `json:"fencing,omitzero"`       // fence.cfg, datacenter.cfg, SBD
	Storages     []LocalStorage `json:"storages,omitempty"`     // of storage.cfg, by name
	Replications []Replication  `json:"replications,omitempty"` // of guests whose config lies here, by ID
	Ceph         LocalCeph      `json:"ceph,omitzero"`          // as this node sees it
	Membership   Membership     `json:"membership,omitzero"`    // the cluster this node is in, or could form
	Stalls       Stalls         `json:"stalls,omitzero"`        // what processes here wait for
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
	ProbeClock        = "clock"         // Clock
	ProbeHardware     = "hardware"      // Hardware
	ProbeNetwork      = "network"       // Interfaces
	ProbeUnits        = "units"         // Units
	ProbeFencing      = "fencing"       // Fencing
	ProbeStorage      = "storage"       // Storages and Replications
	ProbeCeph         = "ceph"          // Ceph
	ProbeMembership   = "membership"    // Membership
	ProbeStalls       = "stalls"        // Stalls
	ProbeJournal      = "journal"       // HA.Failed.Log
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
	// Device is the mount's st_dev as MAJOR:MINOR. FilesystemID is the server's id of the
	// exported file system (FSID of /proc/fs/nfsfs/volumes), the same on every client that
	// mounts it; empty if the kernel does not say. f_fsid of statfs is 0 for NFS.
	Device       string `json:"device,omitempty"`
	FilesystemID string `json:"filesystem_id,omitempty"`
	// Write is the last attempt to write a small file and read it back.
	Write WriteTest `json:"write,omitzero"`
}

// WriteTest is an attempt to write, sync, read and remove a small file on a mount. Only
// mounts that a storage or the agent's settings name are tried, seldom, and one at a time.
type WriteTest struct {
	// At is when the last attempt that came back began; zero if there was none.
	At time.Time `json:"at,omitzero"`
	// Took is how long it took. Error is why it failed, empty if the file came back as written.
	Took  time.Duration `json:"took,omitempty"`
	Error string        `json:"error,omitempty"`
	// Stuck is for how long an attempt has been hanging, or 0.
	Stuck time.Duration `json:"stuck,omitempty"`
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
	// Disarm is disarm.state there, disarming or disarmed; empty while the stack is armed.
	// DisarmMode is what it does to the resources: freeze or ignore.
	Disarm     string `json:"disarm,omitempty"`
	DisarmMode string `json:"disarm_mode,omitempty"`
	// Commands is the number of commands in /etc/pve/ha/crm_commands that the master has
	// not taken yet, CommandsAt when the file was last written. It takes them every 10 s.
	Commands   int       `json:"commands,omitempty"`
	CommandsAt time.Time `json:"commands_at,omitzero"`
	// Failed are the LRM's last jobs that did not exit with 0, by SID (results of lrm_status).
	Failed []LRMResult `json:"failed,omitempty"`
}

// LRMResult is how the LRM's last job for a guest ended.
type LRMResult struct {
	SID SID `json:"sid"`
	// State is what was to be reached: started, stopped, migrate, …
	State string `json:"state"`
	// ExitCode is the job's; Proxmox's meanings are its own (1 error, 5 wrong node, …).
	ExitCode int `json:"exit_code"`
	// Log is what pve-ha-lrm wrote of the guest last, oldest line first, without command lines.
	Log []string `json:"log,omitempty"`
}

// Wrote is the last of what the LRM wrote of the guest, without time, host and program.
func (r LRMResult) Wrote() string {
	if len(r.Log) == 0 {
		return ""
	}
	last := r.Log[len(r.Log)-1]
	if _, text, ok := strings.Cut(last, "]: "); ok {
		last = text
	}
	return strings.TrimSpace(last)
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
	// CPU is a virtual machine's model of CPU: host, x86-64-v2-AES, kvm64, …; empty: Proxmox's
	// default, and for a container.
	CPU string `json:"cpu,omitempty"`
	// Mapped are the resource mappings it uses, by kind and ID.
	Mapped []MappedDevice `json:"mapped,omitempty"`
}

// MappedDevice is a device or folder that a guest uses by a name of the cluster.
type MappedDevice struct {
	// Kind is pci, usb or dir.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Nodes are those that the mapping names, sorted; none if there is no such mapping.
	Nodes []NodeName `json:"nodes,omitempty"`
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
