package ha

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Snapshot is everything known at one instant. It is never changed once made, and
// its slices are sorted by name or SID, so that equal worlds are equal values.
type Snapshot struct {
	At           time.Time     `json:"at"`
	Policy       Policy        `json:"policy"`
	Inventory    Inventory     `json:"inventory"`
	Reports      []Report      `json:"reports"`      // the latest of each node, by node
	Members      []Member      `json:"members"`      // gossip's opinion, by name
	Maintenances []Maintenance `json:"maintenances"` // by ID, ended ones included
	// Operations are by ID, ended ones included.
	Operations []Operation `json:"operations,omitempty"`
	// Proofs are what was tried on several nodes and what came of it: see CompareProofs.
	Proofs []Proof `json:"proofs,omitempty"`
	// Acks are what operators vouch for, by item and node; see Acknowledged.
	Acks []Acknowledgement `json:"acks,omitempty"`
	// Witnessed is what was seen to happen.
	Witnessed Witnessed `json:"witnessed,omitzero"`
	// NewResources are the HA resources that were seen to appear less than ResourceNewMax ago,
	// sorted: the HA manager may not have taken them up yet. Nobody but a coordinator that
	// watches can know them.
	NewResources []SID `json:"new_resources,omitempty"`
	// Coordinator names who made the snapshot and its generation.
	Coordinator Identity `json:"coordinator"`
}

// Identity is a coordinator: each start has a new ID and a higher generation.
type Identity struct {
	ID         string `json:"id"`
	Generation uint64 `json:"generation"`
	// Guest is the guest the coordinator itself runs in, zero if unknown. It is drained last.
	Guest SID `json:"guest,omitzero"`
}

// ResourceNewMax: the master takes a new resource up in its next pass, at most 10 s later. With
// the first one no CRM leads: one takes the lock in its next round and passes in the one after
// that. Twice that is room for a busy node (pve-ha-manager 5.2.0).
const ResourceNewMax = time.Minute

// Limits on the age of facts. Nothing is decided on older ones.
const (
	// ReportAgeMax: an agent reports every ReportInterval; three missed reports and a
	// little slack mean that we no longer know the node. Shorter would stop a drain for
	// a node that is merely busy with it; longer would act on a dead node's last words.
	ReportAgeMax = 20 * time.Second
	// ReportInterval is how often an agent reports.
	ReportInterval = 5 * time.Second
	// InventoryAgeMax: an inventory is read on every tick; one this old means that the
	// API has not answered for several ticks.
	InventoryAgeMax = 30 * time.Second
)

// Report returns the latest report of a node, whatever its age.
func (s Snapshot) Report(node NodeName) (Report, bool) {
	return find(s.Reports, node, func(r Report) NodeName { return r.Node })
}

// FreshReport returns the latest report of a node if it may be acted upon: no older than
// ReportAgeMax. Of a node that has left the cluster only what it said very lately counts:
// the last words of a dead node are not facts, while one that is merely cut off goes on
// talking.
func (s Snapshot) FreshReport(node NodeName) (Report, bool) {
	r, ok := s.Report(node)
	if !ok || s.At.Sub(r.Received) > s.reportAgeMax(node) {
		return Report{}, false
	}
	return r, true
}

func (s Snapshot) reportAgeMax(node NodeName) time.Duration {
	if n, ok := s.Inventory.Node(node); ok && !n.Online && s.InventoryFresh() {
		return 2 * ReportInterval
	}
	return ReportAgeMax
}

// InventoryFresh reports whether the inventory may be acted upon.
func (s Snapshot) InventoryFresh() bool {
	return !s.Inventory.At.IsZero() && s.At.Sub(s.Inventory.At) <= InventoryAgeMax
}

// OpenMaintenance returns the maintenance of node that has not ended, if any.
func (s Snapshot) OpenMaintenance(node NodeName) (Maintenance, bool) {
	for _, m := range s.Maintenances {
		if m.Node == node && !m.Phase.Closed() {
			return m, true
		}
	}
	return Maintenance{}, false
}

// GuestOf finds the guest that is the target: by VMID if the project's state says one,
// else by name. Two candidates, or none, is an error that names them: NotFound or
// Conflict.
func (s Snapshot) GuestOf(t Target) (Guest, error) {
	var found []Guest
	for _, g := range s.Inventory.Guests {
		if g.Template {
			continue
		}
		if t.VMID != 0 && g.SID.ID == t.VMID || t.VMID == 0 && g.Name == t.Name {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if t.VMID != 0 {
			return Guest{}, Errorf(NotFound, "target %s: no guest has the VMID %d that .psw/converge/state.yml names", t.Name, t.VMID)
		}
		return Guest{}, Errorf(NotFound, "target %s: no guest is called %q", t.Name, t.Name)
	}
	names := make([]string, len(found))
	for k, g := range found {
		names[k] = fmt.Sprintf("%s on %s", g.SID, g.Node)
	}
	return Guest{}, Errorf(Conflict, "target %s: %d guests are called %q (%s); name one in .psw/converge/state.yml",
		t.Name, len(found), t.Name, strings.Join(names, ", "))
}

// TargetOf finds the target a guest is, if any.
func (s Snapshot) TargetOf(g Guest) (Target, bool) {
	k := slices.IndexFunc(s.Policy.Targets, func(t Target) bool {
		if t.Type == TargetBare {
			return false
		}
		return t.VMID == g.SID.ID || t.VMID == 0 && t.Name == g.Name
	})
	if k < 0 {
		return Target{}, false
	}
	return s.Policy.Targets[k], true
}
