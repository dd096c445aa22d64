package planner

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// When proofs are made without anybody asking.
const (
	// proofDaily: often enough that an export, a mount option or a password that was changed
	// by somebody else is known before the next bad night.
	proofDaily = 24 * time.Hour
	// proofRetry is how soon one that did not succeed is tried again, silenceRetry how soon
	// if a node told nothing at all, changeRetry how soon after the world has changed: a
	// mount that comes and goes must not be written to on every tick, and one that was made
	// just now must not keep a first registration waiting.
	proofRetry   = 30 * time.Minute
	silenceRetry = time.Minute
	changeRetry  = 5 * time.Second
	// proofAnswerMax is how long a node's answer is waited for: the order's own time limit,
	// what the agent gives the file system or the BMC, and a busy network.
	proofAnswerMax = 50 * time.Second
)

// NewProof is a proof that is to begin now. The error, NotFound or Invalid, says what there
// is instead.
func NewProof(kind ha.ProofKind, subject string, s ha.Snapshot) (ha.Proof, error) {
	p := ha.Proof{Kind: kind, Subject: subject, Began: s.At}
	nodes := proofNodes(s)
	switch kind {
	case ha.ProofStorage:
		st, ok := s.Inventory.Storage(subject)
		if why := s.Inventory.Unread("storages"); !ok && why != "" {
			return p, ha.Errorf(ha.Unavailable, "the storages could not be read: %s", why)
		}
		if !ok {
			return p, ha.Errorf(ha.NotFound, "Proxmox has no storage %q; it has %s", subject, listed(s.Inventory.Storages, func(s ha.Storage) string { return s.Name }))
		}
		if st.Path == "" {
			return p, ha.Errorf(ha.Invalid, "storage %s (%s) holds no files: whether it is shared cannot be tried by writing one", subject, st.Type)
		}
		p.Path = path.Clean(st.Path)
		nodes = slices.DeleteFunc(nodes, func(n ha.NodeName) bool { return !st.Offers(n) })
	case ha.ProofFence:
		h, ok := s.Policy.Host(ha.NodeName(subject))
		if !ok || h.BMC == nil {
			return p, ha.Errorf(ha.NotFound, "network.yml declares no BMC of %q", subject)
		}
		if h.BMC.Type == ha.BMCPDU {
			return p, ha.Errorf(ha.Invalid, "%s is fenced by a PDU, which does not speak IPMI: it can only be tried by hand", subject)
		}
		p.Address = h.BMC.Address
		nodes = slices.DeleteFunc(nodes, func(n ha.NodeName) bool { return string(n) == subject })
	default:
		return p, ha.Errorf(ha.Invalid, "nothing can be tried of the kind %q: want %s or %s", kind, ha.ProofStorage, ha.ProofFence)
	}
	for _, n := range nodes {
		p.Results = append(p.Results, ha.ProofResult{Node: n})
	}
	if len(p.Results) == 0 {
		return p, ha.Errorf(ha.NotReady, "no node is known that could try it")
	}
	return p, nil
}

func listed[T any](list []T, name func(T) string) string {
	var text string
	for k, one := range list {
		if k > 0 {
			text += ", "
		}
		text += name(one)
	}
	return cmp.Or(text, "none")
}

// proofNodes are the nodes that take part: the cluster's members, by name.
func proofNodes(s ha.Snapshot) []ha.NodeName {
	var nodes []ha.NodeName
	for _, n := range s.Inventory.Nodes {
		nodes = append(nodes, n.Name)
	}
	return nodes
}

// FenceSubjects are the nodes with a BMC that can be asked, by name.
func FenceSubjects(s ha.Snapshot) []string {
	var nodes []string
	for _, n := range proofNodes(s) {
		if h, ok := s.Policy.Host(n); ok && h.BMC != nil && h.BMC.Type != ha.BMCPDU {
			nodes = append(nodes, string(n))
		}
	}
	return nodes
}

// ProofSubjects are all subjects of a kind. Of storages these are all that guests' disks may
// be put on, not only those that HA targets rely on by now: what is asked before the first
// registration must be known by then.
func ProofSubjects(kind ha.ProofKind, s ha.Snapshot) []string {
	if kind == ha.ProofFence {
		return FenceSubjects(s)
	}
	var names []string
	for _, st := range s.Inventory.Storages {
		takes := slices.Contains(st.Content, "images") || slices.Contains(st.Content, "rootdir")
		if st.Shared && st.Path != "" && !st.Disabled && takes {
			names = append(names, st.Name)
		}
	}
	return names
}

// DueProofs are the proofs that should begin now without anybody asking, each with why.
func DueProofs(s ha.Snapshot) []ha.Proof {
	if !s.InventoryFresh() {
		return nil
	}
	var due []ha.Proof
	for _, kind := range []ha.ProofKind{ha.ProofStorage, ha.ProofFence} {
		for _, subject := range ProofSubjects(kind, s) {
			if _, under := s.OpenProof(kind, subject); under {
				continue
			}
			why := whyProve(kind, subject, s)
			if why == "" {
				continue
			}
			if p, err := NewProof(kind, subject, s); err == nil {
				p.Reason = why
				due = append(due, p)
			}
		}
	}
	return due
}

// whyProve says why a subject should be tried now; "" if it need not be.
func whyProve(kind ha.ProofKind, subject string, s ha.Snapshot) string {
	last, tried := s.Proof(kind, subject)
	if !tried {
		return "it was never tried"
	}
	next, err := NewProof(kind, subject, s)
	age := s.At.Sub(last.Ended)
	switch {
	case err != nil:
		return ""
	case age >= proofDaily:
		return "a day has passed"
	case next.Path != last.Path || next.Address != last.Address:
		return "it has moved"
	case age < changeRetry:
		return ""
	}
	for _, r := range next.Results {
		report, fresh := s.FreshReport(r.Node)
		if !fresh {
			continue
		}
		then, asked := last.Result(r.Node)
		switch {
		case !asked || then.Asked.IsZero():
			return fmt.Sprintf("%s can be asked now", r.Node)
		case then.Storage == nil && then.Power == nil && age >= silenceRetry:
			return fmt.Sprintf("%s told nothing the last time", r.Node)
		case kind == ha.ProofStorage && then.Storage != nil && mountChanged(*then.Storage, report, last.Path):
			return fmt.Sprintf("what is mounted on %s of %s has changed", last.Path, r.Node)
		}
	}
	if age >= proofRetry && !succeeded(last) {
		return "it did not succeed the last time"
	}
	return ""
}

// mountChanged reports whether a node mounts something else on a path than it did.
func mountChanged(then ha.StorageSight, now ha.Report, at string) bool {
	if _, blind := now.Failed(ha.ProbeNFS); blind {
		return false
	}
	k := slices.IndexFunc(now.Mounts, func(m ha.Mount) bool { return m.Path == at })
	mounted := then.MountPoint == at
	if k < 0 {
		return mounted && (then.FSType == "nfs" || then.FSType == "nfs4")
	}
	return !mounted || now.Mounts[k].Source != then.Source
}

func succeeded(p ha.Proof) bool {
	return !slices.ContainsFunc(p.Results, func(r ha.ProofResult) bool { return p.Wrong(r) != "" })
}

// NodeOrder is a deed for the agent of a node.
type NodeOrder struct {
	Node ha.NodeName
	Deed ha.OrderDeed
}

// StepProof says what is to be asked next, and ends the proof when everybody has answered
// or cannot. can says whether a node's agent can be asked now. The orders are given after
// the proof was stored.
func StepProof(p ha.Proof, at time.Time, secret string, can func(ha.NodeName) bool) (ha.Proof, []NodeOrder) {
	p = p.Clone()
	for k := range p.Results {
		r := &p.Results[k]
		if !r.Asked.IsZero() && r.Answered.IsZero() && r.Fault == "" && at.Sub(r.Asked) > proofAnswerMax {
			r.Fault = fmt.Sprintf("its agent did not answer within %s", proofAnswerMax)
		}
	}
	if p.Kind == ha.ProofStorage {
		return stepStorage(p, at, can)
	}
	orders := askAll(&p, at, can, ha.PowerStatus{Node: ha.NodeName(p.Subject), Address: p.Address, Secret: secret})
	return ended(p, at), orders
}

// stepStorage has one node write, then all others read. Whoever cannot write is noted, and
// the next one is asked.
func stepStorage(p ha.Proof, at time.Time, can func(ha.NodeName) bool) (ha.Proof, []NodeOrder) {
	if w, ok := p.Result(p.Writer); p.Writer != "" && ok {
		switch {
		case w.Fault == "" && w.Answered.IsZero():
			return p, nil
		case w.Storage != nil && w.Storage.Written:
			orders := askAll(&p, at, can, ha.ProveStorage{Path: p.Path, Nonce: p.Nonce, Deed: ha.ProofRead})
			return ended(p, at), orders
		}
		p.Writer = ""
	}
	for k := range p.Results {
		r := &p.Results[k]
		switch {
		case !r.Asked.IsZero() || r.Fault != "":
		case !can(r.Node):
			r.Fault = noAgent
		default:
			p.Writer, r.Asked = r.Node, at
			return p, []NodeOrder{{r.Node, ha.ProveStorage{Path: p.Path, Nonce: p.Nonce, Deed: ha.ProofWrite}}}
		}
	}
	p.Ended = at // nobody can write
	return p, nil
}

const noAgent = "its agent is not connected"

// Sweep says who removes what a proof that has ended has left on its storage: who wrote the
// word, and everybody who was asked for something and did not say what came of it. A write
// that took too long is often one that happens later.
func Sweep(p ha.Proof) []NodeOrder {
	if p.Kind != ha.ProofStorage || p.Open() {
		return nil
	}
	var orders []NodeOrder
	for _, r := range p.Results {
		if r.Node == p.Writer || !r.Asked.IsZero() && r.Storage == nil {
			orders = append(orders, NodeOrder{r.Node, ha.ProveStorage{Path: p.Path, Nonce: p.Nonce, Deed: ha.ProofRemove}})
		}
	}
	return orders
}

// askAll asks every node that was not asked yet.
func askAll(p *ha.Proof, at time.Time, can func(ha.NodeName) bool, deed ha.OrderDeed) []NodeOrder {
	var orders []NodeOrder
	for k := range p.Results {
		r := &p.Results[k]
		// Who tried to write before, in vain, has still to say whether it sees the word.
		again := p.Writer != "" && r.Node != p.Writer && r.Storage != nil && r.Storage.WriteFault != "" && r.Storage.ReadFault == "" && !r.Storage.Seen
		if r.Fault != "" || !r.Asked.IsZero() && !again {
			continue
		}
		if !can(r.Node) {
			r.Fault = noAgent
			continue
		}
		r.Asked, r.Answered, r.Storage = at, time.Time{}, nil
		orders = append(orders, NodeOrder{r.Node, deed})
	}
	return orders
}

// ended ends a proof if nobody is waited for any more.
func ended(p ha.Proof, at time.Time) ha.Proof {
	if !slices.ContainsFunc(p.Results, func(r ha.ProofResult) bool { return r.Fault == "" && r.Answered.IsZero() }) {
		p.Ended = at
	}
	return p
}

// AnswerProof notes what a node met. An answer that nobody waits for changes nothing.
func AnswerProof(p ha.Proof, answer ha.OrderResult, at time.Time) ha.Proof {
	p = p.Clone()
	for k := range p.Results {
		r := &p.Results[k]
		if r.Node != answer.Node || !r.Answered.IsZero() || r.Asked.IsZero() || r.Fault != "" {
			continue
		}
		r.Fault = cmp.Or(answer.Refused, answer.Failed)
		r.Storage, r.Power = answer.Storage, answer.Power
		if s := r.Storage; s != nil && r.Node != p.Writer && !s.Seen && s.ReadFault == "" {
			read := *s // it looked, or it would be asked to look once more
			read.ReadFault, r.Storage = "it does not see the word", &read
		}
		if r.Fault == "" && r.Storage == nil && r.Power == nil {
			r.Fault = "its agent answered nothing: update it"
		}
		r.Answered = at
	}
	return p
}
