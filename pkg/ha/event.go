package ha

import "time"

// Event is an entry of the coordinator's journal: what was decided, done, seen, and why.
type Event struct {
	// Seq is the entry's number, ascending without gaps.
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
	// Type is a stable word: see the constants.
	Type EventType `json:"type"`
	// Node, SID, Maintenance and Operation are what it is about, where it applies.
	Node        NodeName `json:"node,omitempty"`
	SID         SID      `json:"sid,omitzero"`
	Maintenance string   `json:"maintenance,omitempty"`
	Operation   string   `json:"operation,omitempty"`
	// Text is one sentence for people.
	Text string `json:"text"`
}

// EventType is the stable word of an event.
type EventType string

// Types of event.
const (
	EventStarted    EventType = "coordinator_started"
	EventPolicy     EventType = "policy_stored"
	EventRequested  EventType = "requested"   // an operator asked for something
	EventPhase      EventType = "phase"       // a maintenance changed its phase
	EventDo         EventType = "do"          // a deed was asked of Proxmox or an agent
	EventDone       EventType = "done"        // its outcome was seen
	EventFailed     EventType = "failed"      // it failed
	EventWait       EventType = "wait"        // something is waited for: a new reason
	EventSafe       EventType = "safe"        // a node is safe to power off
	EventNodeDown   EventType = "node_down"   // a node left the cluster
	EventNodeUp     EventType = "node_up"     // a node came back
	EventFenced     EventType = "fenced"      // the HA manager fenced a node
	EventGuestMoved EventType = "guest_moved" // a guest is on another node than before
	EventGuestDown  EventType = "guest_down"
	EventGuestUp    EventType = "guest_up"
	EventQuorum     EventType = "quorum"
	EventAgent      EventType = "agent" // an agent connected, went silent, refused
	EventSplitBrain EventType = "split_brain"
	EventHAState    EventType = "ha_state"   // the HA manager changed its state of a node
	EventAPI        EventType = "api"        // the Proxmox API stopped answering, or answers again
	EventReadiness  EventType = "readiness"  // HA became ready, or is no longer, and why
	EventVouched    EventType = "vouched"    // an operator muted something or vouched for it, or that is over
	EventOperation  EventType = "operation"  // an operation began or ended
	EventProof      EventType = "proof"      // something was tried on several nodes, and what came of it
	EventSuperseded EventType = "superseded" // a newer coordinator exists; this one stopped acting
)
