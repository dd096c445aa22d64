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
	// Links are the host's corosync addresses, link 0 first; empty: IP is the only one.
	Links []netip.Addr `json:"links,omitempty"`
	// Switches say which switch each of its network interfaces is plugged into, by
	// interface. Only people know that.
	Switches []Port `json:"switches,omitempty"`
	// UPS are the power supplies that feed it, as upsc names them (rack@10.10.0.70).
	UPS []string `json:"ups,omitempty"`
	// Capacity is read from nodes/NAME/hardware.yml; nil if there is none.
	Capacity *Capacity `json:"capacity,omitempty"`
	// Devices are what a target may be bound to, read from the same file.
	Devices []Device `json:"devices,omitempty"`
}

// Port is a network interface and the switch it is plugged into.
type Port struct {
	Interface string `json:"interface"`
	Switch    string `json:"switch"`
}

// Device is a piece of hardware a target may be bound to.
type Device struct {
	// Kind is gpu, usb or pci.
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// BMC is a node's management controller. Its password is never here: Secret names it.
type BMC struct {
	Address netip.Addr `json:"address"`
	Secret  string     `json:"secret,omitempty"`
	// Type is what it is; BMCIPMI if not declared.
	Type BMCType `json:"type,omitempty"`
	// Switch is the switch it is plugged into; empty if not declared.
	Switch string `json:"switch,omitempty"`
}

// BMCType is what can switch a node off from outside.
type BMCType string

// The types of BMC. All but the PDU speak IPMI.
const (
	BMCIPMI  BMCType = "ipmi"
	BMCIDRAC BMCType = "idrac"
	BMCILO   BMCType = "ilo"
	BMCPDU   BMCType = "pdu"
)

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
	// TokenTimeout is corosync's token timeout as it should be; 0: its default.
	TokenTimeout time.Duration `json:"token_timeout,omitempty"`
	// Networks are what the declared networks are for, by use.
	Networks []Network `json:"networks,omitempty"`
	// Sites are the places the nodes stand in; empty: one place.
	Sites   []Site   `json:"sites,omitempty"`
	Fencing *Fencing `json:"fencing,omitempty"`
	Ceph    *Ceph    `json:"ceph,omitempty"`
}

// NetworkUse is what a network is for.
type NetworkUse string

// The uses of a network. Corosync's are not among them: each host's Links say them.
const (
	NetworkBMC       NetworkUse = "bmc"
	NetworkGuests    NetworkUse = "guests"
	NetworkMigration NetworkUse = "migration"
	NetworkStorage   NetworkUse = "storage"
)

// Network is a declared network.
type Network struct {
	Use    NetworkUse   `json:"use"`
	Prefix netip.Prefix `json:"prefix"`
}

// Site is a place of its own: power, cooling and network fail for all of it at once.
type Site struct {
	Name  string     `json:"name"`
	Nodes []NodeName `json:"nodes,omitempty"`
	// Arbiter: the QDevice stands here.
	Arbiter bool `json:"arbiter,omitempty"`
}

// FencingMethod is a way to be sure that a node is down.
type FencingMethod string

// The methods of fencing network.yml knows.
const (
	FenceWatchdog FencingMethod = "watchdog"
	FenceIPMI     FencingMethod = "ipmi"
	FencePDU      FencingMethod = "pdu"
	FenceSBD      FencingMethod = "sbd"
	// FenceSSH asks the node itself: it is unreliable, since a node that must be fenced
	// does not answer.
	FenceSSH FencingMethod = "ssh"
)

// Fencing is how a node is made sure to be down.
type Fencing struct {
	Methods []FencingMethod `json:"methods,omitempty"`
	// Watchdog is the kernel module every node should use; empty: whichever is in use.
	Watchdog string `json:"watchdog,omitempty"`
	SBD      *SBD   `json:"sbd,omitempty"`
}

// SBD is fencing by a block device every node writes to.
type SBD struct {
	Device string `json:"device"`
	// WatchdogTimeout and MsgWait are what `sbd dump` should say; 0 if not declared.
	WatchdogTimeout time.Duration `json:"watchdog_timeout,omitempty"`
	MsgWait         time.Duration `json:"msgwait,omitempty"`
}

// Ceph is what is declared of a Ceph cluster on the nodes.
type Ceph struct {
	// Stretch: it runs in stretch mode, with its failure zones the sites.
	Stretch bool `json:"stretch_mode,omitempty"`
	// Public and Cluster are its networks; zero if not declared.
	Public  netip.Prefix `json:"public_network,omitzero"`
	Cluster netip.Prefix `json:"cluster_network,omitzero"`
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
	// Redundant: the server is not a single machine but survives the loss of one.
	Redundant bool `json:"redundant,omitempty"`
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
	// Storage is the Proxmox storage its disks lie on; empty: the shared storage.
	Storage string `json:"storage,omitempty"`
	// Devices are what it is bound to: a kind (gpu) or part of a device's name.
	Devices []string `json:"devices,omitempty"`
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

// Links returns the corosync addresses of a host, link 0 first: what is declared, else
// its one address. It is empty for a host that is not declared.
func (p Policy) Links(name NodeName) []netip.Addr {
	h, ok := p.Host(name)
	switch {
	case !ok || len(h.Links) == 0 && !h.IP.IsValid():
		return nil
	case len(h.Links) == 0:
		return []netip.Addr{h.IP}
	}
	return h.Links
}

// Network returns the declared network of that use.
func (c ClusterPolicy) Network(use NetworkUse) (netip.Prefix, bool) {
	n, ok := find(c.Networks, use, func(n Network) NetworkUse { return n.Use })
	return n.Prefix, ok
}

// SiteOf returns the site a node stands in.
func (c ClusterPolicy) SiteOf(node NodeName) (Site, bool) {
	for _, s := range c.Sites {
		for _, n := range s.Nodes {
			if n == node {
				return s, true
			}
		}
	}
	return Site{}, false
}
