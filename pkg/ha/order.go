package ha

import "time"

// Order is a deed an agent is told to do. What an agent may be told is an allow-list by
// type: OrderDeed's variants, and nothing else.
type Order struct {
	// ID is unique; an agent that sees one twice answers with the first outcome.
	ID string
	// Coordinator and Generation are who orders. An agent refuses a generation older than
	// the newest it has accepted, and a second coordinator of the same generation.
	Coordinator string
	Generation  uint64
	// Expires: an order not begun by then is refused (the agent's own clock plus TTL).
	TTL  time.Duration
	Deed OrderDeed
}

// OrderDeed is the closed set of deeds: what has no API, or none that a token may use.
//
//sumtype:decl
type OrderDeed interface {
	Action
	orderDeed()
}

func (SetNodeMaintenance) orderDeed() {}

// OrderResult is an agent's answer.
type OrderResult struct {
	ID   string   `json:"id"`
	Node NodeName `json:"node"`
	// Refused: it was not even tried. Failed: it was tried. Both empty: done.
	Refused string `json:"refused,omitempty"`
	Failed  string `json:"failed,omitempty"`
	// Output is what the command printed, cut to a limit.
	Output string `json:"output,omitempty"`
	// Storage and Power are what was met, where something was to be tried.
	Storage *StorageSight `json:"storage,omitempty"`
	Power   *PowerSight   `json:"power,omitempty"`
}

// Hello is what an agent says first.
type Hello struct {
	Node    NodeName
	Version string
	// Generation and Coordinator are the newest the agent has accepted.
	Generation  uint64
	Coordinator string
}

// Welcome is the coordinator's answer to Hello.
type Welcome struct {
	Coordinator string
	Generation  uint64
	Interval    time.Duration
}
