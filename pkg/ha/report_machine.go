package ha

import "time"

// Clock is how right the node's clock is, as its kernel has been told.
type Clock struct {
	// Synchronized: something keeps the clock right (STA_UNSYNC of adjtimex is clear).
	Synchronized bool `json:"synchronized"`
	// Offset is how far the clock still is from where it is being steered to; ErrorMax and
	// ErrorEstimated bound how wrong it may be (maxerror and esterror of adjtimex).
	Offset         time.Duration `json:"offset"`
	ErrorMax       time.Duration `json:"error_max"`
	ErrorEstimated time.Duration `json:"error_estimated"`
	// Daemon is the process that keeps it: chronyd, systemd-timesyn (the kernel's name is
	// cut), ntpd; empty if none runs. Source is chrony's reference, empty if it has none.
	Daemon string `json:"daemon,omitempty"`
	Source string `json:"source,omitempty"`
	// Stratum is chrony's distance from a reference clock, 0 if not known.
	Stratum int `json:"stratum,omitempty"`
}

// Hardware is the machine itself: what changes only with a reboot.
type Hardware struct {
	// Vendor and Product are the machine's, BoardVendor its main board's, BIOS the firmware's
	// version (/sys/class/dmi/id). Hypervisor: it is itself a virtual machine.
	Vendor      string `json:"vendor,omitempty"`
	Product     string `json:"product,omitempty"`
	BoardVendor string `json:"board_vendor,omitempty"`
	BIOS        string `json:"bios,omitempty"`
	Hypervisor  bool   `json:"hypervisor,omitempty"`
	// CPUVendor and CPUModel are vendor_id and model name of /proc/cpuinfo.
	CPUVendor string `json:"cpu_vendor,omitempty"`
	CPUModel  string `json:"cpu_model,omitempty"`
	// CPULevel is n of the highest x86-64-vn whose features are all there; 0 on another
	// architecture. CPUFlags identifies the set of features: equal sets, equal texts.
	CPULevel  int    `json:"cpu_level,omitempty"`
	CPUFlags  string `json:"cpu_flags,omitempty"`
	Microcode string `json:"microcode,omitempty"`
	// Virtualization: the CPU offers what KVM needs (vmx or svm).
	Virtualization bool `json:"virtualization,omitempty"`
	// NewestKernel is the newest installed kernel; another than System.Kernel waits for a reboot.
	NewestKernel string `json:"newest_kernel,omitempty"`
	// IPMI: the kernel has found a BMC (/dev/ipmi0).
	IPMI bool `json:"ipmi,omitempty"`
}

// Unit is a unit of systemd. Those that are not installed are not listed.
type Unit struct {
	// Name is without .service.
	Name string `json:"name"`
	// Active is active, inactive, failed, activating or deactivating; Sub is finer: running,
	// dead, exited, auto-restart.
	Active string `json:"active"`
	Sub    string `json:"sub,omitempty"`
	// Enabled is enabled, disabled, static or masked.
	Enabled string `json:"enabled,omitempty"`
	// Restarts is how often systemd restarted it by itself.
	Restarts int `json:"restarts,omitempty"`
}

// Unit returns the state of a unit; ok is false if it is not installed, or unknown.
func (r Report) Unit(name string) (Unit, bool) {
	for _, u := range r.Units {
		if u.Name == name {
			return u, true
		}
	}
	return Unit{}, false
}

// InterfaceKind is what a network interface is made of.
type InterfaceKind string

// Kinds of interfaces. Those of guests, and lo, are not reported.
const (
	InterfacePhysical InterfaceKind = "physical" // it has a device: a network card's port
	InterfaceBond     InterfaceKind = "bond"
	InterfaceBridge   InterfaceKind = "bridge"
	InterfaceVLAN     InterfaceKind = "vlan"
	InterfaceOther    InterfaceKind = "other" // a tunnel, an Open vSwitch port, …, with an address
)

// Interface is a network interface of the node.
type Interface struct {
	Name string        `json:"name"`
	Kind InterfaceKind `json:"kind"`
	// State is operstate: up, down, lowerlayerdown, unknown. Carrier: there is a signal.
	State   string `json:"state"`
	Carrier bool   `json:"carrier"`
	// Speed is in Mbit/s, 0 if not known; FullDuplex is meaningful where it is not.
	Speed      int  `json:"speed,omitempty"`
	FullDuplex bool `json:"full_duplex,omitempty"`
	// MTU is in bytes.
	MTU int `json:"mtu"`
	// Addresses are address/prefix, sorted, without link-local ones.
	Addresses []string `json:"addresses,omitempty"`
	// Lower are the interfaces it is built on, sorted: a bond's slaves, a bridge's ports
	// without those of guests, a VLAN's parent.
	Lower []string `json:"lower,omitempty"`
	// Physical are the physical interfaces that finally carry it, sorted; itself if it is one.
	Physical []string `json:"physical,omitempty"`
	// BondMode is active-backup, 802.3ad, …; BondActive the slave in use, where only one is.
	// Both are empty unless Kind is bond.
	BondMode   string `json:"bond_mode,omitempty"`
	BondActive string `json:"bond_active,omitempty"`
	// VLAN is the VLAN's number, 0 unless Kind is vlan.
	VLAN int `json:"vlan,omitempty"`
	// Gateway: the default route leaves here.
	Gateway bool `json:"gateway,omitempty"`
	// CarrierChanges counts how often the signal came or went since the interface exists.
	CarrierChanges int64 `json:"carrier_changes,omitempty"`
}

// Interface returns the interface of that name.
func (r Report) Interface(name string) (Interface, bool) {
	for _, i := range r.Interfaces {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}

// Membership is the cluster that the node is in, or what another needs to form one with it.
type Membership struct {
	// Clustered: corosync.conf exists, in /etc/corosync or in pmxcfs. A node without it
	// stands alone, and pmxcfs is then always writable.
	Clustered bool `json:"clustered"`
	// ClusterName, Quorate and Members are of /etc/pve/.members; a node that stands alone has none.
	ClusterName string         `json:"cluster_name,omitempty"`
	Quorate     bool           `json:"quorate,omitempty"`
	Members     []PmxcfsMember `json:"members,omitempty"` // by id
	// RootKeys are root's public SSH keys (/root/.ssh/id_*.pub), while pmxcfs lists no members:
	// afterwards the cluster knows them. HostKeys are those of the node's SSH server
	// (/etc/ssh/ssh_host_*_key.pub): the ed25519 one, or all others if there is none. Each is
	// "TYPE BASE64", sorted. Public ones only.
	RootKeys []string `json:"root_keys,omitempty"`
	HostKeys []string `json:"host_keys,omitempty"`
	// Pvecm says whether a pvecm that an agent began still runs. It goes on when the agent
	// ends, and then nobody answers for it. It is looked at after the rest.
	Pvecm PvecmState `json:"pvecm,omitempty"`
}

// PvecmState says whether pvecm runs on a node, begun by an agent.
type PvecmState string

// The states of pvecm. The empty one is that of an agent that does not look.
const (
	PvecmRuns PvecmState = "runs"
	PvecmIdle PvecmState = "idle"
)

// PmxcfsMember is a node as /etc/pve/.members lists it.
type PmxcfsMember struct {
	ID     int      `json:"id"`
	Name   NodeName `json:"name"`
	Online bool     `json:"online"`
	// Address is what the other nodes reach it by, empty until the node has told.
	Address string `json:"address,omitempty"`
}
