package ha

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ProofKind says what was tried.
type ProofKind string

// The kinds of proof.
const (
	// ProofStorage: one node wrote a word on a storage, the others looked for it there. Its
	// subject is the storage's name.
	ProofStorage ProofKind = "storage"
	// ProofFence: every other node asked a node's BMC whether that node has power. Its
	// subject is the node whose BMC was asked.
	ProofFence ProofKind = "fence"
)

// A Proof is what came of trying something that no configuration can tell: several nodes
// did a harmless thing, and this is what each of them met. It holds facts and judges
// nothing. Of each kind and subject the newest that ended is kept, and the one under way.
type Proof struct {
	Kind    ProofKind `json:"kind"`
	Subject string    `json:"subject"`
	// Began is when it was stored, before anybody was asked. Ended is zero while it is
	// under way.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`
	// By is who asked for it; empty: the coordinator by itself. Reason is why.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Path, Nonce and Writer are a storage's: where, which word, and who wrote it. Writer
	// is empty if nobody could.
	Path   string   `json:"path,omitempty"`
	Nonce  string   `json:"nonce,omitempty"`
	Writer NodeName `json:"writer,omitempty"`
	// Address is a fence's: the BMC that was asked.
	Address netip.Addr `json:"address,omitzero"`
	// Results are what each node met, by node. A node that was not asked is in it too.
	Results []ProofResult `json:"results"`
}

// ProofResult is what one node met.
type ProofResult struct {
	Node NodeName `json:"node"`
	// Asked is when it was told to try, zero if it never was; Answered when it answered.
	Asked    time.Time `json:"asked,omitzero"`
	Answered time.Time `json:"answered,omitzero"`
	// Fault is why there is no answer, or why nothing could be tried.
	Fault string `json:"fault,omitempty"`
	// Storage and Power are what it met, of the kind that was tried; nil if there is no answer.
	Storage *StorageSight `json:"storage,omitempty"`
	Power   *PowerSight   `json:"power,omitempty"`
}

// StorageSight is what a node saw of a storage. The path and what is mounted there are
// filled in even where the word could not be read.
type StorageSight struct {
	// Seen: the word that was looked for was there, and whole. Written: this node could
	// create, write, flush and remove a file of its own.
	Seen    bool `json:"seen"`
	Written bool `json:"written"`
	// ReadFault and WriteFault are the system's own words on what did not work.
	ReadFault  string `json:"read_fault,omitempty"`
	WriteFault string `json:"write_fault,omitempty"`
	// Lock is what came of asking for the lock on the word's file.
	Lock LockSight `json:"lock,omitempty"`
	// MountPoint, Source and FSType are the mount that the path lies in, which is the root
	// file system where nothing is mounted on it.
	MountPoint string `json:"mount_point,omitempty"`
	Source     string `json:"source,omitempty"`
	FSType     string `json:"fs_type,omitempty"`
	ReadOnly   bool   `json:"read_only,omitempty"`
	// FSID is the file system's own id: of NFS the server's, of others statfs's. File is
	// the number of the word's file in it. Empty and 0 if not known.
	FSID string `json:"fsid,omitempty"`
	File uint64 `json:"file,omitempty"`
	// Squashed: a file that root made belongs to somebody else.
	Squashed bool `json:"squashed,omitempty"`
	// Took is how long all of it took.
	Took time.Duration `json:"took,omitempty"`
}

// LockSight is what came of asking for a lock on the word's file. QEMU locks its images so;
// a storage without locks cannot keep a second start away from a disk in use.
type LockSight string

// Answers to asking for a lock. Empty: it was not asked for.
const (
	LockGiven LockSight = "given"
	// LockHeld: somebody else holds it.
	LockHeld LockSight = "held"
	// LockNone: the file system has none to give.
	LockNone LockSight = "none"
)

// PowerSight is a BMC's answer.
type PowerSight struct {
	State PowerState `json:"state"`
	// Said is what it said, where State is unknown.
	Said string        `json:"said,omitempty"`
	Took time.Duration `json:"took,omitempty"`
}

// PowerState is whether a machine has power, as its BMC says.
type PowerState string

// The states of power.
const (
	PowerOn      PowerState = "on"
	PowerOff     PowerState = "off"
	PowerUnknown PowerState = "unknown"
)

// ProofAgeMax is how long a proof is worth anything. Exports, mounts and passwords change
// without telling anybody; a day is often enough for that and cheap enough for everybody.
const ProofAgeMax = 36 * time.Hour

// Open reports whether the proof is still under way.
func (p Proof) Open() bool { return p.Ended.IsZero() }

// Clone copies p so deeply that a change of the copy's results leaves p alone. What a node
// met is never changed and is shared.
func (p Proof) Clone() Proof {
	p.Results = slices.Clone(p.Results)
	return p
}

// Result returns what a node met.
func (p Proof) Result(node NodeName) (ProofResult, bool) {
	return find(p.Results, node, func(r ProofResult) NodeName { return r.Node })
}

// Wrong says what is wrong with what a node met, or that it is not known; "" if nothing is.
func (p Proof) Wrong(r ProofResult) string {
	switch {
	case r.Fault != "":
		return r.Fault
	case p.Kind == ProofFence:
		return r.Power.wrong()
	default:
		return r.Storage.wrong()
	}
}

const unanswered = "it has not answered"

func (s *StorageSight) wrong() string {
	switch {
	case s == nil:
		return unanswered
	case !s.Seen:
		return cmp.Or(s.ReadFault, s.WriteFault, "it does not see the word")
	case !s.Written:
		return "it cannot write there: " + cmp.Or(s.WriteFault, "its agent does not say why")
	}
	return ""
}

func (s *PowerSight) wrong() string {
	switch {
	case s == nil:
		return unanswered
	case s.State != PowerOn && s.State != PowerOff:
		return cmp.Or(s.Said, "the BMC does not tell whether there is power")
	}
	return ""
}

// Shared reports whether a proof of a storage showed, on every one of these nodes, that it
// is one and the same and can be written. If not, without are those where it did not.
func (p Proof) Shared(nodes []NodeName) (without []NodeName, shared bool) {
	for _, n := range nodes {
		if r, ok := p.Result(n); !ok || r.Storage == nil || !r.Storage.Seen || !r.Storage.Written {
			without = append(without, n)
		}
	}
	return without, p.Kind == ProofStorage && !p.Open() && p.Writer != "" && len(without) == 0
}

// Proof returns the newest proof of a kind and subject that ended.
func (s Snapshot) Proof(kind ProofKind, subject string) (Proof, bool) {
	return s.findProof(kind, subject, false)
}

// OpenProof returns the proof of a kind and subject that is under way.
func (s Snapshot) OpenProof(kind ProofKind, subject string) (Proof, bool) {
	return s.findProof(kind, subject, true)
}

func (s Snapshot) findProof(kind ProofKind, subject string, open bool) (Proof, bool) {
	k := slices.IndexFunc(s.Proofs, func(p Proof) bool { return p.Kind == kind && p.Subject == subject && p.Open() == open })
	if k < 0 {
		return Proof{}, false
	}
	return s.Proofs[k], true
}

// CompareProofs is the order of Snapshot.Proofs: by kind, subject, and the one that ended
// before the one under way.
func CompareProofs(a, b Proof) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject), a.Began.Compare(b.Began))
}

// SharedFileStorages are the storages that claim to hold the same files on every node and
// on which an HA target, or the project, relies: those that can be tried by writing a file.
// By name.
func (s Snapshot) SharedFileStorages() []Storage {
	used := s.storagesOfHATargets()
	var list []Storage
	for _, st := range s.Inventory.Storages {
		declared := s.Policy.Cluster.Storage != nil && strings.TrimRight(st.Path, "/") == strings.TrimRight(s.Policy.Cluster.Storage.Mount, "/")
		if st.Shared && st.Path != "" && !st.Disabled && (used[st.Name] || declared) {
			list = append(list, st)
		}
	}
	return list
}

// storagesOfHATargets are the names of the storages that hold volumes of HA targets, and of
// guests that are under HA already: a coordinator may know of no project yet.
func (s Snapshot) storagesOfHATargets() map[string]bool {
	byName, byID := map[string]bool{}, map[int]bool{}
	for _, t := range s.Policy.Targets {
		if t.HA && t.VMID != 0 {
			byID[t.VMID] = true
		} else if t.HA {
			byName[t.Name] = true
		}
	}
	used := map[string]bool{}
	for _, r := range s.Reports {
		for _, c := range r.GuestConfigs {
			if g, ok := s.Inventory.Guest(c.SID); ok && g.Node == r.Node && (byName[g.Name] || byID[g.SID.ID] || s.registered(g.SID)) {
				for _, name := range c.Storages {
					used[name] = true
				}
			}
		}
	}
	return used
}

func (s Snapshot) registered(sid SID) bool {
	_, ok := s.Inventory.Resource(sid)
	return ok
}

// ProofRequest asks that something be tried now.
type ProofRequest struct {
	Kind ProofKind
	// Subjects are the storages or the nodes; empty: all that matter.
	Subjects []string
	// By is filled in by the server from the client's certificate.
	By string
	// Policy is the project to go by; nil: the coordinator's stored one.
	Policy *Policy
}

// PowerOffRequest asks that a node's BMC cut its power: a test, and a deed.
type PowerOffRequest struct {
	Node NodeName
	// By is filled in by the server from the client's certificate.
	By     string
	Policy *Policy
}
