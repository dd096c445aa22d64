package ha

import "time"

// NodeName is the name of a Proxmox host in the cluster, as `pvecm nodes` prints it.
type NodeName string

// Node is what the Proxmox API says of one cluster member (GET /cluster/status and
// the type=node rows of GET /cluster/resources).
type Node struct {
	Name NodeName `json:"name"`
	// ID is corosync's node id; 0 if the answer lacked it.
	ID int `json:"id,omitempty"`
	// IP is the address corosync knows the node by.
	IP string `json:"ip,omitempty"`
	// Online is membership in the answering node's partition.
	Online bool `json:"online"`
	// CPUs is the number of logical processors; 0 while the node is offline.
	CPUs int `json:"cpus,omitempty"`
	// CPULoad is the used fraction of all CPUs, 0 to 1.
	CPULoad float64 `json:"cpu_load,omitempty"`
	// MemoryMax and MemoryUsed are bytes; 0 while the node is offline.
	MemoryMax  int64 `json:"memory_max,omitempty"`
	MemoryUsed int64 `json:"memory_used,omitempty"`
	// Uptime is the time since boot; 0 while the node is offline.
	Uptime time.Duration `json:"uptime,omitempty"`
}

// HostReserve is the memory a node of that size keeps for itself, in bytes: hypervisor,
// page cache, ZFS ARC, daemons. Proxmox has no such figure; five percent, and at least
// one GiB, is what its documentation's sizing examples leave free.
func HostReserve(total int64) int64 { return max(1<<30, total/100*5) }

// Member is one node as gossip sees it: a second opinion on liveness beside corosync's.
type Member struct {
	Name NodeName `json:"name"`
	// Address is host:port of the member's gossip listener.
	Address string `json:"address"`
	// State is alive, suspect, dead or left.
	State MemberState `json:"state"`
	// Role is agent or coordinator.
	Role string `json:"role"`
	// RPCAddress is the coordinator's gRPC address, empty for agents. Agents find a
	// coordinator that moved by this.
	RPCAddress string `json:"rpc_address,omitempty"`
}

// MemberState is gossip's opinion of a member.
type MemberState string

// The states gossip knows.
const (
	MemberAlive   MemberState = "alive"
	MemberSuspect MemberState = "suspect"
	MemberDead    MemberState = "dead"
	MemberLeft    MemberState = "left"
)
