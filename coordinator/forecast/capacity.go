package forecast

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// CapacityOptions are the terms of a capacity question.
type CapacityOptions struct {
	// Losses is how many nodes are lost at once; 0 means one.
	Losses int `json:"losses"`
	// CoreRatio is how many assigned cores a processor may carry; 0 leaves cores out.
	CoreRatio float64 `json:"core_ratio"`
	// Will asks Proxmox's manager too: where it will really put everybody.
	Will bool `json:"will"`
	// Explain is for how many losses that do not fit a counter-example and a fix are
	// searched; the others only say that they do not.
	Explain int `json:"explain"`
}

// DefaultCapacity are the usual terms: one node, four assigned cores a processor, the
// manager asked, the first sixteen failures explained.
func DefaultCapacity() CapacityOptions {
	return CapacityOptions{Losses: 1, CoreRatio: 4, Will: true, Explain: 16}
}

// Verdict is the answer to "is there room?".
type Verdict string

// The verdicts. NotFound: no placement was found, and none was proved impossible: the
// search is bounded.
const (
	Fits       Verdict = "fits"
	DoesNotFit Verdict = "does_not_fit"
	NotFound   Verdict = "not_found"
	NotAsked   Verdict = ""
)

// CapacityReport answers for every loss of so many nodes.
type CapacityReport struct {
	Options CapacityOptions `json:"options"`
	Losses  []Loss          `json:"losses"` // in the order of the nodes' names
	// Assumptions are what the answer takes for granted.
	Assumptions []string `json:"assumptions"`
}

// Loss is the answer for one set of lost nodes.
type Loss struct {
	Nodes []ha.NodeName `json:"nodes"`
	// Quorate: the nodes left have quorum. Without it nothing is restarted at all.
	Quorate bool `json:"quorate"`
	// Guests is how many HA guests must find a place. Pinned are the running guests without
	// HA, which stay down with their node.
	Guests int      `json:"guests"`
	Pinned []ha.SID `json:"pinned,omitempty"`
	// Could: some placement gives every guest room, by assigned memory and cores, without
	// moving anybody else. CouldUsed is the same by the memory in use now.
	Could     Verdict `json:"could"`
	CouldUsed Verdict `json:"could_used"`
	// Will: the place Proxmox's manager chooses has room for everybody.
	Will Verdict `json:"will,omitempty"`
	// WillWhy says what is wrong with the manager's choice.
	WillWhy []string `json:"will_why,omitempty"`
	// CounterExample are guests that cannot all be placed, though all but any one of them
	// can; Why says why.
	CounterExample []ha.SID `json:"counter_example,omitempty"`
	Why            string   `json:"why,omitempty"`
	// Fixes are ways out, the cheapest first.
	Fixes []Fix `json:"fixes,omitempty"`
}

// Fix is a change that makes a loss fit.
type Fix struct {
	// Text is what to do: "+16 GiB on node2", "move media to node3".
	Text string `json:"text"`
	// Node and AddMemory (bytes) are more memory; SID, From and To a move.
	Node      ha.NodeName `json:"node,omitempty"`
	AddMemory int64       `json:"add_memory,omitempty"`
	SID       ha.SID      `json:"sid,omitzero"`
	From      ha.NodeName `json:"from,omitempty"`
	To        ha.NodeName `json:"to,omitempty"`
}

// lossesMax bounds how many sets of nodes are looked at: 64 nodes have 41,664 threes.
const lossesMax = 50_000

// Capacity tells for every loss of so many online nodes whether every HA guest on them
// finds room on the others. Rules, storage, local devices, other guests and the host's
// reserve count; a placement, not a sum, is the answer. Invalid: there are too many cases.
func Capacity(s ha.Snapshot, o CapacityOptions) (CapacityReport, error) {
	o.Losses = max(1, o.Losses)
	w := newWorld(s, Fault{})
	p := newPlant(w, o)
	cases, ok := p.cases(o.Losses)
	if !ok {
		return CapacityReport{}, ha.Errorf(ha.Invalid, "there are more than %d ways to lose %d of %d nodes; ask for fewer losses", lossesMax, o.Losses, len(p.names))
	}
	report := CapacityReport{Options: o, Losses: make([]Loss, 0, len(cases)), Assumptions: p.assumptions()}
	var set *crm.Setting
	if o.Will {
		made := w.setting()
		set = &made
	}
	explained := 0
	for _, lost := range cases {
		l := p.judge(lost)
		if set != nil && l.Quorate {
			p.ask(&l, *set, lost)
		}
		if l.Will == Fits && l.Could == NotFound {
			l.Could = Fits // the manager found what the bounded search did not
		}
		if l.Quorate && l.Could != Fits && explained < o.Explain {
			explained++
			p.explain(&l, lost)
		}
		report.Losses = append(report.Losses, l)
	}
	return report, nil
}

// cases are all sets of n online nodes, in order; false if they are too many.
func (p *plant) cases(n int) ([][]int, bool) {
	var online []int
	for k, name := range p.names {
		if p.w.node[name].Online {
			online = append(online, k)
		}
	}
	if n > len(online) {
		return nil, true
	}
	count := 1
	for k := range n {
		if count = count * (len(online) - k) / (k + 1); count > lossesMax {
			return nil, false
		}
	}
	var out [][]int
	var choose func(from int, chosen []int)
	choose = func(from int, chosen []int) {
		if len(chosen) == n {
			out = append(out, slices.Clone(chosen))
			return
		}
		for k := from; k < len(online); k++ {
			choose(k+1, append(chosen, online[k]))
		}
	}
	choose(0, nil)
	return out, true
}

// judge answers one loss.
func (p *plant) judge(lost []int) Loss {
	l := Loss{Quorate: p.quorateWithout(lost)}
	for _, n := range lost {
		l.Nodes = append(l.Nodes, p.names[n])
		l.Pinned = append(l.Pinned, p.pinned[n]...)
	}
	slices.SortFunc(l.Pinned, ha.SID.Compare)
	for _, n := range lost {
		l.Guests += len(p.on[n])
	}
	l.Could = p.could(lost, assigned)
	l.CouldUsed = p.could(lost, inUse)
	if !l.Quorate {
		l.Why = "the nodes left have no quorum: nothing is restarted"
	}
	return l
}

// quorateWithout tells whether the nodes left have quorum.
func (p *plant) quorateWithout(lost []int) bool {
	votes, expected := 0, len(p.names)
	for k, n := range p.names {
		if p.w.node[n].Online && !slices.Contains(lost, k) {
			votes++
		}
	}
	if votes == 0 {
		return false
	}
	if p.qdevice {
		votes++
		expected++
	}
	if p.quorum > 0 {
		return votes >= p.quorum
	}
	return votes >= expected/2+1
}

// ask lets the manager recover the lost nodes' services and looks whether its choice has
// room for everybody.
func (p *plant) ask(l *Loss, set crm.Setting, lost []int) {
	names := make([]string, len(lost))
	for k, n := range lost {
		names[k] = string(p.names[n])
	}
	placed := crm.Recover(set, names)
	a := p.attempt(lost, assigned)
	where := make([]int, len(p.items))
	for k, it := range p.items {
		where[k] = it.node
	}
	arrived := make(map[int]bool)
	for _, k := range a.moving() {
		it := p.items[k]
		to, found := p.index[ha.NodeName(placed[it.sid.String()])]
		if !found {
			l.WillWhy = append(l.WillWhy, fmt.Sprintf("%s finds no node and waits in recovery", p.w.label(it.sid)))
			where[k] = -1
			continue
		}
		where[k] = to
		arrived[to] = true
		if !it.may(to) {
			l.WillWhy = append(l.WillWhy, fmt.Sprintf("%s is put on %s, where it cannot run: %s", p.w.label(it.sid), p.names[to], p.w.bound(it.sid, p.names[to])))
		}
	}
	l.WillWhy = append(l.WillWhy, p.faultsOf(a, where, arrived)...)
	l.Will = Fits
	if len(l.WillWhy) > 0 {
		l.Will = DoesNotFit
	}
}

// faultsOf says what is wrong with a placement: nodes given more than they have, guests
// apart or together against a rule.
func (p *plant) faultsOf(a *attempt, where []int, arrived map[int]bool) []string {
	var out []string
	free := slices.Clone(a.free)
	for _, k := range a.moving() {
		it := p.items[k]
		if n := where[k]; n >= 0 {
			free[n].memory -= it.size(a.by)
			free[n].cores -= it.cores
		}
		for _, peer := range it.apart {
			if where[k] >= 0 && where[peer] == where[k] && !(peer < k && slices.Contains(a.lost, p.items[peer].node)) {
				out = append(out, fmt.Sprintf("%s is put beside %s, from which a rule keeps it apart", p.w.label(it.sid), p.w.label(p.items[peer].sid)))
			}
		}
	}
	for _, u := range a.units {
		for _, k := range u.items[1:] {
			if where[k] != where[u.items[0]] {
				out = append(out, fmt.Sprintf("%s is parted from %s, to which a rule binds it", p.w.label(p.items[k].sid), p.w.label(p.items[u.items[0]].sid)))
			}
		}
		if n := where[u.items[0]]; n >= 0 && u.only != nil && !slices.Contains(u.only, n) {
			out = append(out, fmt.Sprintf("%s is put on %s, away from the guests a rule binds it to", p.w.label(p.items[u.items[0]].sid), p.names[n]))
		}
	}
	for n := range p.names {
		if arrived[n] && free[n].memory < 0 {
			out = append(out, fmt.Sprintf("%s is given %s more than it has; Proxmox does not refuse that", p.names[n], gib(-free[n].memory)))
		}
		if arrived[n] && free[n].cores < 0 {
			out = append(out, fmt.Sprintf("%s is given %.0f assigned cores more than %g a processor", p.names[n], -free[n].cores, p.o.CoreRatio))
		}
	}
	return out
}

func (p *plant) assumptions() []string {
	out := []string{
		"a node keeps 5 % of its memory, at least 1 GiB, for itself",
		"guests on the other nodes stay where they are; guests without HA are restarted nowhere",
		"Proxmox never refuses a start for lack of memory: where could and will differ, its choice overcommits a node though a better one exists",
	}
	if p.o.CoreRatio > 0 {
		out = append(out, fmt.Sprintf("a processor carries up to %g assigned cores", p.o.CoreRatio))
	}
	return out
}

// gib prints bytes as GiB.
func gib(b int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(b)/(1<<30)), ".0") + " GiB"
}
