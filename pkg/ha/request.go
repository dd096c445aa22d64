package ha

// MaintenanceRequest is what an operator asks for with maintenance start or end.
type MaintenanceRequest struct {
	Node    NodeName
	Options MaintenanceOptions
	// By is filled in by the server from the client's certificate.
	By      string
	Message string
	// Policy is the project the operator speaks of; nil: the coordinator's stored one.
	Policy *Policy
}

// CheckRequest narrows a readiness check.
type CheckRequest struct {
	// Profile is minimum or production; empty means minimum.
	Profile string
	// Only keeps these codes; empty means all.
	Only []Code
	// Target keeps what concerns one target; empty means all.
	Target string
	// Policy is the project to judge by; nil: the coordinator's stored one.
	Policy *Policy
	// By is filled in by the server from the client's certificate.
	By string
}

// PlanView is the difference between what network.yml declares and what is registered.
type PlanView struct {
	// Changes are in the order in which they are made; after them what is unchanged and
	// what is foreign.
	Changes []Change `json:"changes"`
	Waits   []Wait   `json:"waits,omitempty"`
	// Notices are things worth knowing that forbid nothing.
	Notices []string `json:"notices,omitempty"`
}

// Change is one line of that difference.
type Change struct {
	// Kind is add, change, remove, unchanged, or foreign (made by others, left alone).
	Kind    ChangeKind `json:"kind"`
	Subject string     `json:"subject"` // a SID or a rule's name
	Text    string     `json:"text"`
	// Command is the stock Proxmox command it equals; empty for unchanged and foreign.
	Command string `json:"command,omitempty"`
}

// ChangeKind is the kind of a Change.
type ChangeKind string

// Kinds of change.
const (
	ChangeAdd       ChangeKind = "add"
	ChangeChange    ChangeKind = "change"
	ChangeRemove    ChangeKind = "remove"
	ChangeUnchanged ChangeKind = "unchanged"
	ChangeForeign   ChangeKind = "foreign"
)
