package ha

import (
	"slices"
	"strings"
	"time"
)

// OperationKind says what an operation is to reach.
type OperationKind string

// The kinds of operation.
const (
	// OperationCluster forms the cluster that is declared, or joins the nodes that are not in it yet.
	OperationCluster OperationKind = "cluster"
	// OperationBootstrap is cluster, shared storage, registration and the hook for core apps, in this order.
	OperationBootstrap OperationKind = "bootstrap"
	// OperationApply registers what network.yml declares.
	OperationApply OperationKind = "apply"
	// OperationRemoveNode takes a node out of the cluster for good.
	OperationRemoveNode OperationKind = "remove-node"
	// OperationRecover leads a target out of the HA manager's error state.
	OperationRecover OperationKind = "recover"
	// OperationRebalance brings every target to its preferred node.
	OperationRebalance OperationKind = "rebalance"
	// OperationMove moves one guest the manual way: ignored, migrated, put under HA again.
	OperationMove OperationKind = "move"
)

// An Operation is what an operator asked for that takes more than one tick and is no
// maintenance. It is an intent and an account, never a script: every tick plans anew from
// what is seen, and Steps say what has come of it so far.
type Operation struct {
	ID   string        `json:"id"`
	Kind OperationKind `json:"kind"`
	// Node and Target are what it is about, where its kind is about one.
	Node    NodeName         `json:"node,omitempty"`
	Target  string           `json:"target,omitempty"`
	Options OperationOptions `json:"options"`
	By      string           `json:"by"`
	Message string           `json:"message,omitempty"`
	// Policy is the project it was asked with; what it does is judged by this one.
	Policy      Policy    `json:"policy,omitzero"`
	RequestedAt time.Time `json:"requested_at"`
	// Cancelling: the operator gives it up. What is under way lands and what was changed only
	// for its sake is put back before it ends.
	Cancelling bool `json:"cancelling,omitempty"`
	// EndedAt and Outcome are zero while it is open. Reason says why it did not succeed.
	EndedAt time.Time        `json:"ended_at,omitzero"`
	Outcome OperationOutcome `json:"outcome,omitempty"`
	Reason  string           `json:"reason,omitempty"`
	// Steps are its parts, in the order in which they are done.
	Steps []OperationStep `json:"steps"`
	// Moves are the guests it moves, as those of a maintenance.
	Moves []Move `json:"moves,omitempty"`
	// Was is the request state the target had before the operation changed it; it is stored
	// before the change, so that it can be put back whatever happens. Empty: not changed.
	Was RequestState `json:"was,omitempty"`
	// Notices are what is left to whoever asked, once it is over.
	Notices []string `json:"notices,omitempty"`
}

// OperationOptions are what the operator named beside what is to be done.
type OperationOptions struct {
	// Accept are the codes of checks that may fail or be unknown all the same, sorted.
	Accept []Code `json:"accept,omitempty"`
	// Keep asks that drift be put right after an apply.
	Keep bool `json:"keep,omitempty"`
	// AllowOvercommit lets a guest be moved where memory is short.
	AllowOvercommit bool `json:"allow_overcommit,omitempty"`
	// PoweredOff: the operator says that the node to be removed is off, and will never be
	// started on this network again as it is.
	PoweredOff bool `json:"powered_off,omitempty"`
	// To is the destination of a move.
	To NodeName `json:"to,omitempty"`
	// Manual moves past the HA manager, even where that would do it.
	Manual bool `json:"manual,omitempty"`
	// Mended: the operator says that what led a target into error is mended.
	Mended bool `json:"mended,omitempty"`
	// Deadline is when to give up; zero is never.
	Deadline time.Time `json:"deadline,omitzero"`
}

// OperationOutcome is how an operation ended.
type OperationOutcome string

// The ways to end. An open operation has none.
const (
	OperationDone      OperationOutcome = "done"
	OperationFailed    OperationOutcome = "failed"
	OperationCancelled OperationOutcome = "cancelled"
)

// Closed reports whether the operation has ended.
func (o Operation) Closed() bool { return o.Outcome != "" }

// Clone copies o so deeply that a change of the copy's steps or options leaves o alone. The
// policy is shared: nobody changes one.
func (o Operation) Clone() Operation {
	o.Options.Accept = slices.Clone(o.Options.Accept)
	o.Steps = slices.Clone(o.Steps)
	o.Moves = slices.Clone(o.Moves)
	o.Notices = slices.Clone(o.Notices)
	return o
}

// Step returns the step of that key.
func (o Operation) Step(key string) (OperationStep, bool) {
	k := slices.IndexFunc(o.Steps, func(s OperationStep) bool { return s.Key == key })
	if k < 0 {
		return OperationStep{}, false
	}
	return o.Steps[k], true
}

// LeftOutPrefix begins the key of a step for what could not be registered yet, most often
// because its guest does not exist. What follows is its target, resource or rule.
const LeftOutPrefix = "left out: "

// LeftOut returns the steps for what an operation that ended well could not register. To
// whoever asked for protection that is no success.
func (o Operation) LeftOut() []OperationStep {
	var out []OperationStep
	for _, st := range o.Steps {
		if o.Outcome == OperationDone && st.State == StepSkipped && strings.HasPrefix(st.Key, LeftOutPrefix) {
			out = append(out, st)
		}
	}
	return out
}

// OperationStep is one part of an operation.
type OperationStep struct {
	// Key is unique in the operation and stable: "join node2", "storage psw", "vm:101".
	Key string `json:"key"`
	// Text says it for people, Command is the stock Proxmox command it equals.
	Text    string    `json:"text"`
	Command string    `json:"command,omitempty"`
	State   StepState `json:"state"`
	// Asked is when the deed was last asked for, stored before it was; Ref is the task or
	// the order it became. Ended is when its end was seen.
	Asked time.Time `json:"asked,omitzero"`
	Ref   string    `json:"ref,omitempty"`
	Ended time.Time `json:"ended,omitzero"`
	// Answered is when an agent said that it carried out what it was ordered to.
	Answered time.Time `json:"answered,omitzero"`
	// Tries is how often it was asked for.
	Tries int `json:"tries,omitempty"`
	// Note is why it waits, was left out, or failed.
	Note string `json:"note,omitempty"`
}

// StepState is how far a step has come.
type StepState string

// The states of a step. Unchanged: it was so already and nothing was done.
const (
	StepTodo      StepState = "todo"
	StepDoing     StepState = "doing"
	StepDone      StepState = "done"
	StepUnchanged StepState = "unchanged"
	StepFailed    StepState = "failed"
	StepSkipped   StepState = "skipped"
)

// Over reports whether nothing more will become of the step.
func (s StepState) Over() bool { return s != StepTodo && s != StepDoing }

// OperationView is an operation with what it waits for now.
type OperationView struct {
	Operation Operation `json:"operation"`
	Waits     []Wait    `json:"waits,omitempty"`
}

// OperationRequest is what an operator asks for.
type OperationRequest struct {
	Kind    OperationKind
	Node    NodeName
	Target  string
	Options OperationOptions
	Message string
	// By is filled in by the server from the client's certificate.
	By string
	// Policy is the project the operator speaks of; nil: the coordinator's stored one.
	Policy *Policy
}

// OperationPreview is an operation as it would go, shown before anything is done.
type OperationPreview struct {
	Kind OperationKind `json:"kind"`
	// Plan is what would be registered, of an apply; Moves what would be moved and how, of a
	// rebalance, a move and a recovery; Steps is what would be done one after the other, of
	// what changes the cluster itself.
	Plan  *PlanView       `json:"plan,omitempty"`
	Moves *Preview        `json:"moves,omitempty"`
	Steps []OperationStep `json:"steps,omitempty"`
	// Blockers are what forbids it, each with its fix; none means it can begin.
	Blockers []Blocker `json:"blockers,omitempty"`
	// Notices are things worth knowing that forbid nothing.
	Notices []string `json:"notices,omitempty"`
}

// OpenOperation returns the operation that has not ended, if any; there is one at the most.
func (s Snapshot) OpenOperation() (Operation, bool) {
	for _, o := range s.Operations {
		if !o.Closed() {
			return o, true
		}
	}
	return Operation{}, false
}

// Command is the psw command that asks for an operation of this kind.
func (k OperationKind) Command() string {
	switch k {
	case OperationCluster:
		return "node cluster"
	case OperationRemoveNode:
		return "node remove"
	case OperationBootstrap:
		return "bootstrap"
	case OperationApply, OperationRecover, OperationRebalance, OperationMove:
		return "ha " + string(k)
	}
	return string(k)
}

// Subject is what the operation is about: its node, its target, or the cluster.
func (o Operation) Subject() string {
	switch {
	case o.Node != "":
		return string(o.Node)
	case o.Target != "":
		return o.Target
	}
	return "cluster"
}
