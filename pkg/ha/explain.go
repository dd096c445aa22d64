package ha

import "time"

// An Explanation is the answer to "why is this target not where, or as, it should be?": what
// is asked for, what is, every reason that is known, and what to type next.
type Explanation struct {
	At     time.Time `json:"at"`
	Target string    `json:"target"`
	SID    SID       `json:"sid,omitzero"`
	// Well: it is where and as it should be, and Reasons is empty.
	Well bool `json:"well"`
	// Summary says in one sentence how it stands.
	Summary string `json:"summary"`
	// Preferred is its node in network.yml, Node where it is, Running whether it runs there.
	Preferred NodeName `json:"preferred,omitempty"`
	Node      NodeName `json:"node,omitempty"`
	Running   bool     `json:"running"`
	// Registered: it is an HA resource. Request is what is asked of it, State what the HA
	// manager makes of it.
	Registered bool   `json:"registered"`
	Request    string `json:"request,omitempty"`
	State      string `json:"state,omitempty"`
	// Reasons are why it is not as it should be, the nearest first.
	Reasons []Reason `json:"reasons"`
	// Places say of each node whether the target could run there.
	Places []Place `json:"places"`
	// Rules are the HA rules that bind it, in words.
	Rules []string `json:"rules"`
	// Tasks are Proxmox's recent tasks about it, newest first; Events the coordinator's.
	Tasks  []Task  `json:"tasks"`
	Events []Event `json:"events"`
	// Log is what pve-ha-lrm wrote where its last job failed, each line behind its node's name.
	Log []string `json:"log"`
	// Findings are the checks' about it that are not well.
	Findings []Finding `json:"findings"`
	// Next are commands that look further or help, in the order to try them.
	Next []Hint `json:"next"`
}

// Reason is one cause, as it was seen.
type Reason struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// Place is a node and why a target could run there, or not.
type Place struct {
	Node NodeName `json:"node"`
	OK   bool     `json:"ok"`
	Text string   `json:"text"`
}

// Hint is a command and what it is for.
type Hint struct {
	Command string `json:"command"`
	Why     string `json:"why"`
}
