package ha

import "time"

// A ReadinessRecord is the account of one whole check: who had HA judged, by which profile,
// when, with what result, and on which facts. It is the cluster's certificate, and worth
// nothing once the facts it stands on have changed or RecordAgeMax is over.
type ReadinessRecord struct {
	Profile string    `json:"profile"`
	Ready   bool      `json:"ready"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
	Project string    `json:"project,omitempty"`
	// Facts is a hash over what the cluster was built of: equal hashes are clusters that
	// are built alike.
	Facts string `json:"facts"`
	// Failing are the codes that kept it from being ready, sorted; Muted those that were muted.
	Failing []Code `json:"failing,omitempty"`
	Muted   []Code `json:"muted,omitempty"`
}

// ReadinessBasis is a record with what it stands on.
type ReadinessBasis struct {
	ReadinessRecord
	// Traits are what the cluster was built of, by name; they say what changed since.
	Traits []Trait `json:"traits"`
}

// Trait is one thing a cluster is built of: "pve-ha-manager of node2" and "5.2.0". Loads,
// ages and whereabouts are none: they change on a good day.
type Trait struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// RecordAgeMax is how long a readiness record counts, were nothing to change: failovers
// are to be tried every quarter.
const RecordAgeMax = 90 * 24 * time.Hour

// Standing is what is known of readiness without being asked: the published verdict, which
// lags a little so that it does not flap, and the record of the last whole check.
type Standing struct {
	// At is when this was asked.
	At      time.Time `json:"at"`
	Profile string    `json:"profile"`
	// Known is false while the coordinator has not watched for long enough to say.
	Known bool `json:"known"`
	Ready bool `json:"ready"`
	// Since is when the verdict became this.
	Since time.Time `json:"since,omitzero"`
	// Failing are the codes that are why it is not ready, in the order of the checks.
	Failing []Code `json:"failing,omitempty"`
	// Warnings and Muted count the findings that warn, and those that are muted.
	Warnings int `json:"warnings"`
	Muted    int `json:"muted"`
	// Record is the last whole check's; nil if there was none. Stale says why it no longer
	// counts; empty if it does.
	Record *ReadinessRecord `json:"record,omitempty"`
	Stale  []string         `json:"stale,omitempty"`
}
