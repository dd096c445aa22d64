package ha

import "slices"

// RequestState is what is asked of an HA resource.
type RequestState string

// Request states (pve-ha-manager 5.2.0). Enabled is an alias of started.
const (
	RequestStarted  RequestState = "started"
	RequestStopped  RequestState = "stopped"
	RequestDisabled RequestState = "disabled"
	RequestIgnored  RequestState = "ignored"
)

// Resource is a guest's HA configuration (GET /cluster/ha/resources). That answer
// omits defaults; coordinator/pve fills them in: started, failback on, one restart,
// one relocation.
type Resource struct {
	SID         SID          `json:"sid"`
	State       RequestState `json:"state"`
	MaxRestart  int          `json:"max_restart"`
	MaxRelocate int          `json:"max_relocate"`
	// Failback: the HA manager moves the guest back to its best node by itself.
	Failback bool `json:"failback"`
	// Group is PVE 8's; empty once groups were migrated to rules.
	Group   string `json:"group,omitempty"`
	Comment string `json:"comment,omitempty"`
	// Digest is of the whole resources.cfg: a change of another resource makes it stale.
	Digest string `json:"digest,omitempty"`
}

// Same reports whether two configurations say the same, wherever they were read.
func (r Resource) Same(o Resource) bool {
	r.Digest, o.Digest = "", ""
	return r == o
}

// Group is an HA group: PVE 8's way to say where resources may run (GET
// /cluster/ha/groups). A PVE 9 cluster turns its groups into rules by itself.
type Group struct {
	Name string `json:"name"`
	// Nodes are sorted by name; the highest priority is preferred.
	Nodes []RuleNode `json:"nodes"`
	// Restricted: never anywhere but on Nodes.
	Restricted bool `json:"restricted,omitempty"`
	// NoFailback: a resource stays where it is when a better node comes back.
	NoFailback bool   `json:"no_failback,omitempty"`
	Comment    string `json:"comment,omitempty"`
	Digest     string `json:"digest,omitempty"`
}

// Same reports whether two groups say the same, wherever they were read.
func (g Group) Same(o Group) bool {
	return g.Name == o.Name && slices.Equal(g.Nodes, o.Nodes) && g.Restricted == o.Restricted && g.NoFailback == o.NoFailback && g.Comment == o.Comment
}

// RuleType is the type of an HA rule.
type RuleType string

// Types of rule (PVE 9).
const (
	NodeAffinity     RuleType = "node-affinity"
	ResourceAffinity RuleType = "resource-affinity"
)

// Affinity is the direction of a resource-affinity rule.
type Affinity string

// Directions of resource affinity.
const (
	Positive Affinity = "positive"
	Negative Affinity = "negative"
)

// Rule is an HA rule (GET /cluster/ha/rules), or a PVE 8 group read as one.
type Rule struct {
	ID   string   `json:"id"`
	Type RuleType `json:"type"`
	// Resources are the guests it binds, sorted.
	Resources []SID `json:"resources"`
	// Nodes are the nodes of a node-affinity rule, sorted by name.
	Nodes []RuleNode `json:"nodes,omitempty"`
	// Strict: never anywhere but on Nodes.
	Strict   bool     `json:"strict,omitempty"`
	Affinity Affinity `json:"affinity,omitempty"`
	Disabled bool     `json:"disabled,omitempty"`
	Comment  string   `json:"comment,omitempty"`
	// Errors are the reasons for which the HA manager ignores the rule. A rule with
	// errors does not bind.
	Errors []string `json:"errors,omitempty"`
	Digest string   `json:"digest,omitempty"`
}

// Same reports whether two rules say the same, wherever they were read. What the HA
// manager makes of them (Errors) does not count. Resources and nodes are sorted in both.
func (r Rule) Same(o Rule) bool {
	return r.ID == o.ID && r.Type == o.Type && slices.Equal(r.Resources, o.Resources) && slices.Equal(r.Nodes, o.Nodes) &&
		r.Strict == o.Strict && r.Affinity == o.Affinity && r.Disabled == o.Disabled && r.Comment == o.Comment
}

// RuleNode is a node of a node-affinity rule. The highest Priority is preferred.
type RuleNode struct {
	Node     NodeName `json:"node"`
	Priority int      `json:"priority"`
}

// Binds reports whether the HA manager honours the rule.
func (r Rule) Binds() bool { return !r.Disabled && len(r.Errors) == 0 }
