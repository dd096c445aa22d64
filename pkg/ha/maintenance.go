package ha

import (
	"slices"
	"time"
)

// Phase is where a maintenance stands.
//
//	requested ──► draining ──► drained ──► restoring ──► ended
//	    │            │            │            │
//	    │            │            └──► draining│ (a guest appeared on the node)
//	    └────────────┴──► cancelled ──► restoring
//
// "Blocked" is no phase: it is a plan that has waits and no actions.
type Phase string

// The phases of a maintenance.
const (
	Requested Phase = "requested"
	Draining  Phase = "draining"
	Drained   Phase = "drained"
	Restoring Phase = "restoring"
	Ended     Phase = "ended"
	Cancelled Phase = "cancelled"
)

// phaseChanges are the legal ones; everything else is a bug.
var phaseChanges = map[Phase][]Phase{
	Requested: {Draining, Restoring, Cancelled},
	Draining:  {Drained, Restoring, Cancelled},
	Drained:   {Draining, Restoring, Cancelled},
	Restoring: {Ended, Draining},
	Cancelled: {Restoring},
	Ended:     nil,
}

// Closed reports whether nothing is to be done any more without a new request.
func (p Phase) Closed() bool { return p == Ended || p == Cancelled }

// Known reports whether p is one of the phases.
func (p Phase) Known() bool { _, ok := phaseChanges[p]; return ok }

// Maintenance is a node's journey out of service and back. It is intent and memory:
// who asked for what, where guests lived, what was asked of Proxmox. Whether something
// is done is never read from here but from the snapshot.
type Maintenance struct {
	// ID is unique and sorts by time of request.
	ID    string   `json:"id"`
	Node  NodeName `json:"node"`
	Phase Phase    `json:"phase"`
	// By is who asked, as the operator's certificate names them.
	By      string             `json:"by,omitempty"`
	Message string             `json:"message,omitempty"`
	Options MaintenanceOptions `json:"options"`

	RequestedAt time.Time `json:"requested_at"`
	DrainedAt   time.Time `json:"drained_at,omitzero"`
	RestoreAt   time.Time `json:"restore_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`

	// Cancelling: give up; unlatch, let what is in flight land, then Cancelled.
	Cancelling bool `json:"cancelling,omitempty"`
	// LatchAsked and UnlatchAsked are when maintenance mode was last asked on or off;
	// zero if never. LatchSeen is when manager_status first showed it.
	LatchAsked   time.Time `json:"latch_asked,omitzero"`
	LatchSeen    time.Time `json:"latch_seen,omitzero"`
	UnlatchAsked time.Time `json:"unlatch_asked,omitzero"`
	// OnlineSeen is when, restoring, the HA manager first had the node online again.
	OnlineSeen time.Time `json:"online_seen,omitzero"`
	// RetryFrom forgets the failures before it: the operator asked again.
	RetryFrom time.Time `json:"retry_from,omitzero"`

	// Homes are the guests that lived on the node when it was drained, and those found
	// there later, by SID: where each belongs.
	Homes []Home `json:"homes"`
	// Moves are the deeds asked of Proxmox, oldest first: one entry per attempt.
	Moves []Move `json:"moves"`
}

// MaintenanceOptions are the named overrides. There is no force.
type MaintenanceOptions struct {
	// AllowOvercommit lets a destination hold more assigned memory than it has.
	AllowOvercommit bool `json:"allow_overcommit,omitempty"`
	// StopPinned shuts down guests that cannot move; LeavePinned leaves them running
	// until the node itself goes down. Not both.
	StopPinned  bool `json:"stop_pinned,omitempty"`
	LeavePinned bool `json:"leave_pinned,omitempty"`
	// Guests names guests outside the project that may be moved or stopped, by SID.
	Guests []SID `json:"guests,omitempty"`
	// Deadline: after it no new move is begun. Zero means none.
	Deadline time.Time `json:"deadline,omitzero"`
}

// Home is where a guest belongs.
type Home struct {
	SID  SID    `json:"sid"`
	Name string `json:"name"`
	// Node is its preferred node, or, if it has none, the node it was drained from.
	Node NodeName `json:"node"`
	// Was is the node it was found on.
	Was NodeName `json:"was"`
	// Running: it ran when it was found; a guest we stopped is started again at home.
	Running bool `json:"running"`
	// Returned is when it was seen at home again; zero before.
	Returned time.Time `json:"returned,omitzero"`
}

// Method is how a guest leaves a node, or comes back.
type Method string

// The methods. A container cannot live-migrate in Proxmox: its move is a restart.
const (
	MethodLive    Method = "live"    // a VM keeps running; the pause is measured
	MethodRestart Method = "restart" // shut down, moved, started
	MethodOffline Method = "offline" // moved while stopped
	MethodStop    Method = "stop"    // shut down and left here
	MethodStart   Method = "start"   // started where it is
	MethodStays   Method = "stays"   // not touched
)

// Move is one deed asked of Proxmox for one guest.
type Move struct {
	SID    SID      `json:"sid"`
	Method Method   `json:"method"`
	From   NodeName `json:"from"`
	To     NodeName `json:"to,omitempty"`
	// HA: asked of the HA manager, otherwise a migrate task of our own.
	HA bool `json:"ha,omitempty"`
	// Asked is when the intent was stored, before the deed.
	Asked time.Time `json:"asked"`
	// UPID is the task Proxmox answered with; empty if the answer was lost.
	UPID string `json:"upid,omitempty"`
	// Done is when the guest was seen where it should be, by its process where an agent
	// reports; zero before.
	Done time.Time `json:"done,omitzero"`
	// Gone is when its process was first missing at the source; used for the downtime.
	Gone time.Time `json:"gone,omitzero"`
	// Downtime is the measured time between Gone and Done; 0 if not measured.
	Downtime time.Duration `json:"downtime,omitempty"`
	// Failed is why the attempt failed; empty while it is open or done.
	Failed string `json:"failed,omitempty"`
	// FailedAt is when that was seen.
	FailedAt time.Time `json:"failed_at,omitzero"`
}

// Open reports whether the outcome of the move is not known yet.
func (m Move) Open() bool { return m.Done.IsZero() && m.Failed == "" }

// Advance returns m in phase p. It panics on an illegal change: that is a fault in the
// planner, and continuing would act on a state nobody understands.
func (m Maintenance) Advance(p Phase) Maintenance {
	if !slices.Contains(phaseChanges[m.Phase], p) {
		panic("illegal phase change of maintenance " + m.ID + ": " + string(m.Phase) + " => " + string(p))
	}
	m.Phase = p
	return m
}

// CanAdvance reports whether the change to p is legal.
func (m Maintenance) CanAdvance(p Phase) bool { return slices.Contains(phaseChanges[m.Phase], p) }

// Clone returns a copy that shares no slice with m, for a step that changes it.
func (m Maintenance) Clone() Maintenance {
	m.Homes = slices.Clone(m.Homes)
	m.Moves = slices.Clone(m.Moves)
	m.Options.Guests = slices.Clone(m.Options.Guests)
	return m
}

// Home returns the remembered home of a guest.
func (m Maintenance) Home(sid SID) (Home, bool) {
	k, ok := slices.BinarySearchFunc(m.Homes, sid, func(h Home, s SID) int { return h.SID.Compare(s) })
	if !ok {
		return Home{}, false
	}
	return m.Homes[k], true
}

// OpenMove returns the move of sid whose outcome is not known yet.
func (m Maintenance) OpenMove(sid SID) (Move, bool) {
	for k := len(m.Moves) - 1; k >= 0; k-- {
		if m.Moves[k].SID == sid && m.Moves[k].Open() {
			return m.Moves[k], true
		}
	}
	return Move{}, false
}
