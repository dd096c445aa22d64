package ha

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Inventory is what the Proxmox API says of the whole cluster at one reading. It may
// be incomplete and is outdated as soon as it is made.
type Inventory struct {
	// At is when the reading began. Zero means there was none.
	At time.Time `json:"at"`
	// Source is the node that answered.
	Source NodeName `json:"source,omitempty"`
	// Version is pve-manager's version on the answering node, e.g. 9.2.11.
	Version   string     `json:"version"`
	Cluster   Cluster    `json:"cluster"`
	Nodes     []Node     `json:"nodes"`     // by name
	Guests    []Guest    `json:"guests"`    // by SID
	Storages  []Storage  `json:"storages"`  // by name
	Resources []Resource `json:"resources"` // by SID
	Rules     []Rule     `json:"rules"`     // by ID
	// Groups are PVE 8's, by name. Those that have resources are among Rules as well, as
	// what they amount to.
	Groups  []Group  `json:"groups,omitempty"`
	HA      HAStatus `json:"ha"`
	Options Options  `json:"options"`
	// Tasks are the recent and running tasks of the cluster, newest first.
	Tasks []Task `json:"tasks,omitempty"`
	// Failures are the parts that could not be read; the parts then are empty and
	// must be taken as unknown, never as absent.
	Failures []string `json:"failures,omitempty"`
}

// Cluster is the cluster row of GET /cluster/status.
type Cluster struct {
	Name string `json:"name"`
	// Quorate is the answering node's view.
	Quorate bool `json:"quorate"`
	// Votes and Expected are nodes online and nodes configured, one vote each; agents
	// report the true votes from corosync (a QDevice has one too).
	Votes    int `json:"votes"`
	Expected int `json:"expected"`
	// Standalone: the node is in no cluster at all.
	Standalone bool `json:"standalone,omitempty"`
}

// Storage is one storage of storage.cfg with its state on each node.
type Storage struct {
	Name string `json:"name"`
	// Type is the plug-in: nfs, dir, lvmthin, zfspool, rbd, …
	Type string `json:"type"`
	// Shared: the content is the same on every node. Proxmox believes the flag of
	// storage.cfg and does not verify it.
	Shared  bool     `json:"shared"`
	Content []string `json:"content,omitempty"`
	// Path is where file storages are mounted.
	Path   string `json:"path,omitempty"`
	Server string `json:"server,omitempty"`
	Export string `json:"export,omitempty"`
	// Options are those of the mount, as storage.cfg has them.
	Options string `json:"options,omitempty"`
	// Disabled in storage.cfg.
	Disabled bool `json:"disabled,omitempty"`
	// Nodes restricts the storage to these nodes; empty means all.
	Nodes []NodeName `json:"nodes,omitempty"`
	// On is its state per node, by node name. A node that is offline has no entry.
	On []StorageOn `json:"on"`
}

// StorageOn is a storage on one node.
type StorageOn struct {
	Node NodeName `json:"node"`
	// Available is pvestatd's opinion, refreshed about every 10 s.
	Available bool  `json:"available"`
	Total     int64 `json:"total,omitempty"` // bytes
	Used      int64 `json:"used,omitempty"`  // bytes
}

// Offers reports whether the storage is configured for node.
func (s Storage) Offers(node NodeName) bool {
	return !s.Disabled && (len(s.Nodes) == 0 || slices.Contains(s.Nodes, node))
}

// AvailableOn reports whether node has the storage active now.
func (s Storage) AvailableOn(node NodeName) bool {
	for _, on := range s.On {
		if on.Node == node {
			return s.Offers(node) && on.Available
		}
	}
	return false
}

// Options are the datacenter options that matter to HA (GET /cluster/options).
type Options struct {
	// ShutdownPolicy is conditional (default), freeze, failover or migrate.
	ShutdownPolicy string `json:"shutdown_policy"`
	// MaxWorkers is how many moves an LRM runs at once; Proxmox's default is 4.
	MaxWorkers int `json:"max_workers"`
	// Scheduler is basic (default), static or dynamic.
	Scheduler string `json:"scheduler"`
	// MigrationNetwork is the network guests move over, in CIDR; empty: the one the cluster
	// knows its nodes by, which is corosync's first link.
	MigrationNetwork string `json:"migration_network,omitempty"`
	// RebalanceOnStart and AutoRebalance let Proxmox move guests unasked.
	RebalanceOnStart bool `json:"rebalance_on_start,omitempty"`
	AutoRebalance    bool `json:"auto_rebalance,omitempty"`
}

// Task is a Proxmox task (UPID).
type Task struct {
	UPID string   `json:"upid"`
	Node NodeName `json:"node"`
	// Type is qmigrate, vzmigrate, hamigrate, qmstart, …
	Type string `json:"type"`
	// ID is the guest's number as text, if the task is about a guest.
	ID      string    `json:"id,omitempty"`
	Started time.Time `json:"started"`
	// Ended is zero while it runs.
	Ended time.Time `json:"ended,omitzero"`
	// Status is the exit text: OK, "WARNINGS: n", or the error. Empty while it runs.
	Status string `json:"status,omitempty"`
}

// HA node states kept by the CRM in manager_status.node_status.
const (
	NodeOnline      = "online"
	NodeMaintenance = "maintenance"
	NodeUnknown     = "unknown"
	NodeFence       = "fence"
	NodeGone        = "gone"
)

// GoneForgottenAfter is how long after a node was last online the HA manager forgets it, once
// it is no member any more (pve-ha-manager 5.2.0). Until then it stands there as gone.
const GoneForgottenAfter = time.Hour

// HA service states of the CRM (pve-ha-manager 5.2.0).
const (
	ServiceRequestStart   = "request_start"
	ServiceRequestBalance = "request_start_balance"
	ServiceStarted        = "started"
	ServiceRequestStop    = "request_stop"
	ServiceStopped        = "stopped"
	ServiceMigrate        = "migrate"
	ServiceRelocate       = "relocate"
	ServiceFence          = "fence"
	ServiceRecovery       = "recovery"
	ServiceFreeze         = "freeze"
	ServiceError          = "error"
)

// HAStatus is the HA manager's own state, from GET
// /cluster/ha/status/manager_status and status/current.
type HAStatus struct {
	// Master is the node whose CRM leads; empty if none ever did.
	Master NodeName `json:"master,omitempty"`
	// MasterAt is when the master last completed a pass (its own clock).
	MasterAt time.Time `json:"master_at,omitzero"`
	Quorate  bool      `json:"quorate"`
	// Armed is armed, standby, disarming, disarmed, or empty before pve-ha-manager 5.1.3.
	Armed string `json:"armed,omitempty"`
	// DisarmMode is freeze or ignore while not armed.
	DisarmMode string      `json:"disarm_mode,omitempty"`
	Nodes      []HANode    `json:"nodes"`    // by name
	Services   []HAService `json:"services"` // by SID
}

// HANode is what the HA manager holds of one node.
type HANode struct {
	Name NodeName `json:"name"`
	// State is node_status: online, maintenance, unknown, fence, gone. It is the only
	// reliable sign of maintenance (series2 recordings, surprise 1).
	State string `json:"state"`
	// MaintenanceRequested is node_request.maintenance: the latch. It survives reboots.
	MaintenanceRequested bool `json:"maintenance_requested,omitempty"`
	// LRMState is wait_for_agent_lock, active, lost_agent_lock or maintenance.
	LRMState string `json:"lrm_state,omitempty"`
	// LRMMode is active, maintenance, disarm, restart or shutdown.
	LRMMode string    `json:"lrm_mode,omitempty"`
	LRMAt   time.Time `json:"lrm_at,omitzero"`
}

// HAService is the CRM's runtime record of one resource.
type HAService struct {
	SID   SID      `json:"sid"`
	Node  NodeName `json:"node"`
	State string   `json:"state"`
	// Target is where it is moving to, in states migrate, relocate and
	// request_start_balance.
	Target NodeName `json:"target,omitempty"`
	// Running is set once the LRM confirmed that it runs; it is missing for a round
	// after every state change.
	Running bool `json:"running,omitempty"`
	// MaintenanceNode is where Proxmox means to return it after maintenance.
	MaintenanceNode NodeName   `json:"maintenance_node,omitempty"`
	FailedNodes     []NodeName `json:"failed_nodes,omitempty"`
	// Command is a queued, unexecuted command, e.g. "migrate node2".
	Command string `json:"command,omitempty"`
}

// Moving reports whether the CRM has the service on its way.
func (s HAService) Moving() bool {
	return s.State == ServiceMigrate || s.State == ServiceRelocate || s.State == ServiceRequestBalance
}

// UsesGroups reports whether the cluster says where resources may run by groups: before
// Proxmox VE 9. A version nobody knows is taken for a new one.
func (i Inventory) UsesGroups() bool {
	major, err := strconv.Atoi(i.Version[:max(0, strings.IndexAny(i.Version, ".-~"))])
	return err == nil && major < 9
}

// Unread says why a part of the cluster could not be read, "rules" or "storages" say; "" if it
// was read. An unread part is empty, and that means nothing.
func (i Inventory) Unread(part string) string {
	for _, f := range i.Failures {
		if name, why, _ := strings.Cut(f, ": "); name == part {
			return why
		}
	}
	return ""
}

// Node returns the node of that name.
func (i Inventory) Node(name NodeName) (Node, bool) {
	return find(i.Nodes, name, func(n Node) NodeName { return n.Name })
}

// Guest returns the guest of that SID.
func (i Inventory) Guest(sid SID) (Guest, bool) {
	k, ok := slices.BinarySearchFunc(i.Guests, sid, func(g Guest, s SID) int { return g.SID.Compare(s) })
	if !ok {
		return Guest{}, false
	}
	return i.Guests[k], true
}

// Storage returns the storage of that name.
func (i Inventory) Storage(name string) (Storage, bool) {
	return find(i.Storages, name, func(s Storage) string { return s.Name })
}

// Resource returns the HA configuration of that SID; false if it is not HA-managed.
func (i Inventory) Resource(sid SID) (Resource, bool) {
	k, ok := slices.BinarySearchFunc(i.Resources, sid, func(r Resource, s SID) int { return r.SID.Compare(s) })
	if !ok {
		return Resource{}, false
	}
	return i.Resources[k], true
}

// Node returns the HA manager's record of a node.
func (h HAStatus) Node(name NodeName) (HANode, bool) {
	return find(h.Nodes, name, func(n HANode) NodeName { return n.Name })
}

// Service returns the CRM's record of a resource; false while it has none (queued,
// ignored, or not HA-managed).
func (h HAStatus) Service(sid SID) (HAService, bool) {
	k, ok := slices.BinarySearchFunc(h.Services, sid, func(r HAService, s SID) int { return r.SID.Compare(s) })
	if !ok {
		return HAService{}, false
	}
	return h.Services[k], true
}

// find looks a key up in a slice sorted by that key.
func find[T any, K cmp.Ordered](list []T, key K, of func(T) K) (T, bool) {
	k, ok := slices.BinarySearchFunc(list, key, func(t T, k K) int { return cmp.Compare(of(t), k) })
	if !ok {
		var zero T
		return zero, false
	}
	return list[k], true
}
