package ha

import "time"

// Witnessed is what the coordinator has seen happen, beyond what it judges possible: the
// only proof that failover works is one.
type Witnessed struct {
	// Fence is the last node that the HA manager fenced to the end.
	Fence FenceSeen `json:"fence,omitzero"`
	// Failover is the last HA guest that ran on another node after its own was lost.
	Failover FailoverSeen `json:"failover,omitzero"`
}

// FenceSeen is a fence that was seen to end.
type FenceSeen struct {
	Node NodeName  `json:"node"`
	At   time.Time `json:"at"`
}

// FailoverSeen is a guest that was started elsewhere, From having been Lost.
type FailoverSeen struct {
	SID  SID       `json:"sid"`
	From NodeName  `json:"from"`
	To   NodeName  `json:"to"`
	Lost time.Time `json:"lost,omitzero"`
	At   time.Time `json:"at"`
}
