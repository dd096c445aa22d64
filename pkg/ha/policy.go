package ha

import (
	"net/netip"
	"time"
)

// Policy is what a PSW project declares: network.yml read by pkg/project.
type Policy struct {
	// Project is the project's folder name.
	Project string `json:"project"`
	// Hosts are management.hosts, by name.
	Hosts []Host `json:"hosts"`
	// Cluster is the cluster section; Nodes is empty if there is none.
	Cluster ClusterPolicy `json:"cluster"`
	// Targets are what the project runs, by name.
	Targets []Target `json:"targets"`
}

// Host is a management host: a machine that exists before PSW.
type Host struct {
	Name  NodeName   `json:"name"`
	IP    netip.Addr `json:"ip"`
	Roles []string   `json:"roles,omitempty"`
	BMC   *BMC       `json:"bmc,omitempty"`
	// Capacity is read from nodes/NAME/hardware.yml; nil if there is none.
	Capacity *Capacity `json:"capacity,omitempty"`
}

// BMC is a node's management controller. Its password is never here: Secret names it.
type BMC struct {
	Address netip.Addr `json:"address"`
	Secret  string     `json:"secret,omitempty"`
}

// Capacity is what a node has, as declared offline.
type Capacity struct {
	CPUs int `json:"cpus"`
	// Memory is in bytes, as hardware.yml says; that tool rounds it up.
	Memory int64 `json:"memory"`
}

// ClusterPolicy is the declared cluster.
type ClusterPolicy struct {
	// Name defaults to the project's folder name.
	Name string `json:"name"`
	// Nodes are the declared members, in the order of the file.
	Nodes   []NodeName `json:"nodes"`
	QDevice *QDevice   `json:"qdevice,omitempty"`
	// RTO is what a failover is measured against; 0 if not declared.
	RTO     time.Duration  `json:"rto,omitempty"`
	Storage *SharedStorage `json:"shared_storage,omitempty"`
}

// QDevice is a third vote outside the cluster.
type QDevice struct {
	Host string `json:"host"`
}

// SharedStorage is where all managed targets' data lives.
type SharedStorage struct {
	// Type is nfs.
	Type   string `json:"type"`
	Server string `json:"server"`
	Export string `json:"export"`
	// Mount is the path on every node; Proxmox's fixed `path` of the storage.
	Mount   string `json:"mount"`
	Options string `json:"options,omitempty"`
}

// TargetType is the type of a target.
type TargetType string

// The types of target network.yml knows.
const (
	TargetLXC  TargetType = "lxc"
	TargetVM   TargetType = "vm"
	TargetBare TargetType = "bare"
)

// MaintenanceMode is what a drain does with a target.
type MaintenanceMode string

// The modes of a target in a drain. Empty: move if ha, else ask.
const (
	MaintenanceMove  MaintenanceMode = "move"
	MaintenanceStop  MaintenanceMode = "stop"
	MaintenanceLeave MaintenanceMode = "leave"
)

// Target is a place where apps run, as network.yml declares it.
type Target struct {
	Name string     `json:"name"`
	Type TargetType `json:"type"`
	// Node is the preferred node; empty for a bare target.
	Node NodeName `json:"node,omitempty"`
	HA   bool     `json:"ha"`
	// Cores, Memory (bytes) and Disk (bytes) are what is declared; 0 if not.
	Cores  float64 `json:"cores,omitempty"`
	Memory int64   `json:"memory,omitempty"`
	Disk   int64   `json:"disk,omitempty"`
	IP     string  `json:"ip,omitempty"`
	// Bootstrap: it runs the core apps, the convergence engine and, usually, the coordinator.
	Bootstrap   bool            `json:"bootstrap,omitempty"`
	Options     HAOptions       `json:"ha_options"`
	Maintenance MaintenanceMode `json:"maintenance,omitempty"`
	// ReadyTCP is a port that answers when the target is really back; 0 if not declared.
	ReadyTCP int `json:"ready_tcp,omitempty"`
	// VMID is .psw/converge/state.yml's; 0 if it says nothing, then the name decides.
	VMID int `json:"vmid,omitempty"`
}

// HAOptions are a target's ha_options.
type HAOptions struct {
	// Nodes restricts or orders where it may run; empty means every cluster node.
	Nodes []NodeName `json:"nodes,omitempty"`
	// Strict: never anywhere but on Nodes.
	Strict bool `json:"strict,omitempty"`
	// Priority per node; the highest wins.
	Priority []RuleNode `json:"priority,omitempty"`
	// MaxRestart and MaxRelocate are nil where not declared (Proxmox: 1 and 1).
	MaxRestart  *int `json:"max_restart,omitempty"`
	MaxRelocate *int `json:"max_relocate,omitempty"`
}

// Target returns the target of that name.
func (p Policy) Target(name string) (Target, bool) {
	return find(p.Targets, name, func(t Target) string { return t.Name })
}

// Host returns the management host of that name.
func (p Policy) Host(name NodeName) (Host, bool) {
	return find(p.Hosts, name, func(h Host) NodeName { return h.Name })
}
