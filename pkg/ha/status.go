package ha

import "time"

// ClusterStatus is the answer of `psw ha status`: what an operator wants to see at a
// glance. It is computed from a Snapshot and is a documented JSON contract.
type ClusterStatus struct {
	At      time.Time `json:"at"`
	Project string    `json:"project"`
	Cluster string    `json:"cluster"`
	Quorate bool      `json:"quorate"`
	// Votes, Expected and Quorum are corosync's where an agent reports them.
	Votes    int `json:"votes"`
	Expected int `json:"expected"`
	Quorum   int `json:"quorum"`
	// LossesTolerated is how many more votes may vanish before quorum is lost.
	LossesTolerated int            `json:"losses_tolerated"`
	Master          NodeName       `json:"master,omitempty"`
	Armed           string         `json:"armed,omitempty"`
	ShutdownPolicy  string         `json:"shutdown_policy,omitempty"`
	Nodes           []NodeStatus   `json:"nodes"`
	Targets         []TargetStatus `json:"targets"`
	Maintenances    []Maintenance  `json:"maintenances,omitempty"` // the open ones
	// Operations are the open ones, with what they wait for.
	Operations []OperationView `json:"operations,omitempty"`
	// Readiness is the published verdict by the minimum profile.
	Readiness *Standing `json:"readiness,omitempty"`
	// Warnings are sentences about what could not be read or does not fit together.
	Warnings []string `json:"warnings,omitempty"`
}

// NodeStatus is one node's line.
type NodeStatus struct {
	Name   NodeName `json:"name"`
	Online bool     `json:"online"`
	// HAState is node_status: online, maintenance, unknown, fence, gone.
	HAState  string `json:"ha_state,omitempty"`
	LRM      string `json:"lrm,omitempty"`
	Watchdog string `json:"watchdog,omitempty"`
	// Storage is "mounted", "hanging", "not mounted" or "unknown" for the shared storage.
	Storage string `json:"storage,omitempty"`
	// ReportAge is the age of the agent's report; negative if there is none.
	ReportAge   time.Duration `json:"report_age"`
	Gossip      MemberState   `json:"gossip,omitempty"`
	MemoryTotal int64         `json:"memory_total,omitempty"`
	MemoryUsed  int64         `json:"memory_used,omitempty"`
	Guests      int           `json:"guests"`
	Phase       Phase         `json:"phase,omitempty"` // of its open maintenance
	// ForgottenAt is about when the HA manager forgets a node that left the cluster; zero for
	// every other, and if it is not known when that one was last online.
	ForgottenAt time.Time `json:"forgotten_at,omitzero"`
}

// TargetStatus is one target's line.
type TargetStatus struct {
	Name string `json:"name"`
	SID  SID    `json:"sid,omitzero"`
	HA   bool   `json:"ha"`
	// Preferred is its node in network.yml, Node where it is.
	Preferred NodeName `json:"preferred,omitempty"`
	Node      NodeName `json:"node,omitempty"`
	Running   bool     `json:"running"`
	// State is the HA manager's, Request what is asked of it; empty if not registered.
	State   string `json:"state,omitempty"`
	Request string `json:"request,omitempty"`
	// Note says what is remarkable: not registered, away from home, two candidates …
	Note string `json:"note,omitempty"`
}

// MaintenanceView is a maintenance with what its last step said.
type MaintenanceView struct {
	Maintenance Maintenance `json:"maintenance"`
	Waits       []Wait      `json:"waits,omitempty"`
	// Guests are the guests still to be handled, for a progress table.
	Guests []GuestProgress `json:"guests,omitempty"`
	// Safe: the node is safe to power off now.
	Safe bool `json:"safe"`
}

// GuestProgress is one guest's line in a progress table.
type GuestProgress struct {
	SID    SID      `json:"sid"`
	Name   string   `json:"name"`
	Method Method   `json:"method"`
	From   NodeName `json:"from"`
	To     NodeName `json:"to,omitempty"`
	// State is waiting, moving, done, failed or stays.
	State    string        `json:"state"`
	Since    time.Time     `json:"since,omitzero"`
	Downtime time.Duration `json:"downtime,omitempty"`
	Note     string        `json:"note,omitempty"`
}
