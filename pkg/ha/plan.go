package ha

import (
	"fmt"
	"time"
)

// An Action is one thing the coordinator may do to the cluster. The set is closed:
// the coordinator switches over it and the gochecksumtype linter guards the switch. String
// says it for people; Command is the stock Proxmox command it equals, for --dry-run.
//
//sumtype:decl
type Action interface {
	fmt.Stringer
	Command() string
	action()
}

// Migrate moves a guest. With HA it asks the HA manager (POST
// /cluster/ha/resources/SID/migrate), otherwise it starts a migrate task.
type Migrate struct {
	SID      SID
	From, To NodeName
	Method   Method // live, restart or offline
	HA       bool
}

// Shutdown shuts a guest down cleanly. With HA the resource's request state becomes
// stopped.
type Shutdown struct {
	SID  SID
	Node NodeName
	HA   bool
}

// Start starts a guest where it is. With HA the request state becomes started.
type Start struct {
	SID  SID
	Node NodeName
	HA   bool
}

// SetNodeMaintenance switches Proxmox's maintenance mode. There is no REST endpoint for
// it, so it becomes an Order for an agent (pve-ha-manager 5.2.0 registers it in the CLI only).
type SetNodeMaintenance struct {
	Node NodeName
	On   bool
}

func (Migrate) action()            {}
func (Shutdown) action()           {}
func (Start) action()              {}
func (SetNodeMaintenance) action() {}

func (a Migrate) String() string {
	switch a.Method {
	case MethodLive:
		return fmt.Sprintf("migrate %s live from %s to %s", a.SID, a.From, a.To)
	case MethodRestart:
		return fmt.Sprintf("restart %s from %s on %s", a.SID, a.From, a.To)
	default:
		return fmt.Sprintf("move %s %s from %s to %s", a.SID, a.Method, a.From, a.To)
	}
}

func (a Shutdown) String() string { return fmt.Sprintf("shut down %s on %s", a.SID, a.Node) }
func (a Start) String() string    { return fmt.Sprintf("start %s on %s", a.SID, a.Node) }

func (a SetNodeMaintenance) String() string {
	return fmt.Sprintf("switch maintenance mode of %s %s", a.Node, onOff(a.On))
}

// Command is the stock command.
func (a Migrate) Command() string {
	switch {
	case a.HA:
		return fmt.Sprintf("ha-manager migrate %s %s", a.SID, a.To)
	case a.SID.Kind == CT && a.Method == MethodRestart:
		return fmt.Sprintf("pct migrate %d %s --restart", a.SID.ID, a.To)
	case a.SID.Kind == CT:
		return fmt.Sprintf("pct migrate %d %s", a.SID.ID, a.To)
	case a.Method == MethodLive:
		return fmt.Sprintf("qm migrate %d %s --online", a.SID.ID, a.To)
	default:
		return fmt.Sprintf("qm migrate %d %s", a.SID.ID, a.To)
	}
}

// Command is the stock command.
func (a Shutdown) Command() string {
	if a.HA {
		return fmt.Sprintf("ha-manager set %s --state stopped", a.SID)
	}
	return fmt.Sprintf("%s shutdown %d", guestTool(a.SID), a.SID.ID)
}

// Command is the stock command.
func (a Start) Command() string {
	if a.HA {
		return fmt.Sprintf("ha-manager set %s --state started", a.SID)
	}
	return fmt.Sprintf("%s start %d", guestTool(a.SID), a.SID.ID)
}

// Command is the stock command.
func (a SetNodeMaintenance) Command() string {
	verb := "disable"
	if a.On {
		verb = "enable"
	}
	return fmt.Sprintf("ha-manager crm-command node-maintenance %s %s", verb, a.Node)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func guestTool(s SID) string {
	if s.Kind == CT {
		return "pct"
	}
	return "qm"
}

// A Wait is something that is not done now, and why, in words the operator can act on.
type Wait struct {
	// Subject is a node, a SID or "cluster".
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	// Blocked: it will not go away by itself; somebody must do Fix.
	Blocked bool   `json:"blocked,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

func (w Wait) String() string { return w.Subject + ": " + w.Reason }

// A Plan is what to do now and what is being waited for. An empty plan with no waits
// means that the world is as it should be.
type Plan struct {
	Actions []Action
	Waits   []Wait
}

// Do adds actions.
func (p *Plan) Do(a ...Action) { p.Actions = append(p.Actions, a...) }

// Wait adds a wait that ends by itself.
func (p *Plan) Wait(subject, format string, args ...any) {
	p.Waits = append(p.Waits, Wait{Subject: subject, Reason: fmt.Sprintf(format, args...)})
}

// Block adds a wait that needs somebody to do fix.
func (p *Plan) Block(subject, reason, fix string) {
	p.Waits = append(p.Waits, Wait{Subject: subject, Reason: reason, Blocked: true, Fix: fix})
}

// Preview is a drain or a restore as it would go, shown before anything is done.
type Preview struct {
	Node NodeName `json:"node"`
	// Steps are what happens to each guest, in order.
	Steps []Step `json:"steps"`
	// Blockers are what forbids it, each with its fix; none means it can begin.
	Blockers []Blocker `json:"blockers,omitempty"`
	// Notices are things worth knowing that forbid nothing.
	Notices []string `json:"notices,omitempty"`
	// Fit says how full each node is now and would be after.
	Fit []Fit `json:"fit,omitempty"`
	// Commands are the stock Proxmox commands it equals, in order.
	Commands []string `json:"commands"`
	// Estimate is how long it should take.
	Estimate time.Duration `json:"estimate,omitempty"`
}

// Step is one guest's part of a preview.
type Step struct {
	SID    SID      `json:"sid"`
	Name   string   `json:"name"`
	Target bool     `json:"target"` // declared in network.yml
	HA     bool     `json:"ha"`
	Method Method   `json:"method"`
	From   NodeName `json:"from"`
	To     NodeName `json:"to,omitempty"`
	// Chosen: the HA manager chooses the destination; To is the prediction.
	Chosen bool `json:"chosen,omitempty"`
	// Memory is what counts on the destination, in bytes.
	Memory   int64         `json:"memory"`
	Estimate time.Duration `json:"estimate,omitempty"`
	Reason   string        `json:"reason"`
}

// Blocker is something that forbids a drain or a restore.
type Blocker struct {
	// Code is stable: NO_QUORUM, STALE_REPORT, NO_ROOM, PINNED, …
	Code    Code   `json:"code"`
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	Fix     string `json:"fix"`
}

// Fit is the memory of one node before and after, in bytes.
type Fit struct {
	Node NodeName `json:"node"`
	// Total is the node's memory; Reserve what the host keeps for itself.
	Total   int64 `json:"total"`
	Reserve int64 `json:"reserve"`
	// AssignedNow and AssignedAfter are sums of guests' maximum memory.
	AssignedNow   int64 `json:"assigned_now"`
	AssignedAfter int64 `json:"assigned_after"`
	// UsedNow and UsedAfter are what is really used.
	UsedNow   int64 `json:"used_now"`
	UsedAfter int64 `json:"used_after"`
}
