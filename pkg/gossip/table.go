package gossip

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// forgetAfter is how long a member that died or left is shown: a node that was
	// switched off in the evening is still there in the morning.
	forgetAfter = 24 * time.Hour
	// suspectAfter is how many pings in a row must go unanswered. One is lost now and
	// then on a busy network.
	suspectAfter = 2
)

// table is what we know of the members; memberlist tells it as an EventDelegate. It keeps
// what memberlist forgets (who died or left) or does not say (who is suspect).
type table struct {
	log *slog.Logger

	mu       sync.Mutex
	rows     map[string]*row   // by instance
	failures map[string]string // why an address was not reached, to say it once
}

// row is one instance: one run of one member.
type row struct {
	card
	node    *memberlist.Node // name, address and port; never changed
	state   ha.MemberState   // alive, dead or left
	leaving bool             // it said goodbye
	joined  time.Time
	changed time.Time
	missed  int // pings in a row
}

func newTable(log *slog.Logger) *table {
	return &table{log: log, rows: map[string]*row{}, failures: map[string]string{}}
}

func readCard(n *memberlist.Node) (card, error) {
	var c card
	if err := json.Unmarshal(n.Meta, &c); err != nil {
		return card{}, fmt.Errorf("its description is not ours: %w", err)
	}
	if c.Name == "" || !strings.HasPrefix(n.Name, c.Role+"."+c.Name+".") {
		return card{}, fmt.Errorf("%s says that it is %s %s", n.Name, c.Role, c.Name)
	}
	return c, nil
}

// NotifyAlive refuses members whose description makes no sense.
func (t *table) NotifyAlive(n *memberlist.Node) error {
	_, err := readCard(n)
	return err
}

// NotifyJoin notes a member that is there, for the first time or again.
func (t *table) NotifyJoin(n *memberlist.Node) {
	c, err := readCard(n)
	if err != nil {
		return // NotifyAlive refused it
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[n.Name]
	if r == nil {
		r = &row{joined: now}
		t.rows[n.Name] = r
	}
	r.card, r.state, r.leaving, r.changed, r.missed = c, ha.MemberAlive, false, now, 0
	r.node = &memberlist.Node{Name: n.Name, Addr: slices.Clone(n.Addr), Port: n.Port} // n is memberlist's to change
	t.log.Info("gossip member joined", "member", c.Name, "role", c.Role, "address", r.node.Address())
}

// NotifyUpdate would be a new card; an instance never changes its own.
func (t *table) NotifyUpdate(*memberlist.Node) {}

// NotifyLeave notes a member that left or was given up.
func (t *table) NotifyLeave(n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[n.Name]
	if r == nil {
		return
	}
	r.changed = time.Now()
	who := []any{"member", r.Name, "role", r.Role, "address", r.node.Address()}
	switch {
	case r.leaving:
		r.state = ha.MemberLeft
		t.log.Info("gossip member left", who...)
	case t.successor(r):
		r.state = ha.MemberDead
		t.log.Info("gossip member was restarted", who...)
	default:
		r.state = ha.MemberDead
		t.log.Warn("gossip member died", who...)
	}
}

// goodbye notes that an instance leaves of its own will. It may come after NotifyLeave.
func (t *table) goodbye(instance string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[instance]
	if r == nil {
		return
	}
	r.leaving = true
	if r.state == ha.MemberDead {
		r.state = ha.MemberLeft
		t.log.Info("gossip member left", "member", r.Name, "role", r.Role, "address", r.node.Address())
	}
}

// successor reports whether a later run of the same member is known. It needs t.mu.
func (t *table) successor(r *row) bool {
	for _, o := range t.rows {
		if o.Name == r.Name && o.Role == r.Role && o.joined.After(r.joined) {
			return true
		}
	}
	return false
}

// pinged notes whether an instance answered.
func (t *table) pinged(instance string, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[instance]
	if r == nil {
		return
	}
	if answered {
		r.missed = 0
	} else {
		r.missed++
	}
}

// view is the state as shown: memberlist's, and suspect if it missed pings.
func (r *row) view() ha.MemberState {
	if r.state == ha.MemberAlive && r.missed >= suspectAfter {
		return ha.MemberSuspect
	}
	return r.state
}

// rank orders states by how likely it is that somebody is there.
func rank(s ha.MemberState) int {
	return slices.Index([]ha.MemberState{ha.MemberAlive, ha.MemberSuspect, ha.MemberDead, ha.MemberLeft}, s)
}

// likeliest are the rows worth showing, who is likeliest there first: those alive before
// those that are not, then by who joined last. Rows that are old, or that a later run of
// the same member replaced, are dropped for good. It needs t.mu.
func (t *table) likeliest(now time.Time) []*row {
	for instance, r := range t.rows {
		if r.state != ha.MemberAlive && (now.Sub(r.changed) > forgetAfter || t.successor(r)) {
			delete(t.rows, instance)
		}
	}
	rows := make([]*row, 0, len(t.rows))
	for _, r := range t.rows {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(rank(a.view()), rank(b.view())), b.joined.Compare(a.joined), cmp.Compare(a.node.Name, b.node.Name))
	})
	return rows
}

func (t *table) members(now time.Time) []ha.Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []ha.Member
	for _, r := range t.likeliest(now) {
		known := func(m ha.Member) bool { return string(m.Name) == r.Name && m.Role == r.Role }
		if slices.ContainsFunc(list, known) {
			continue // another run of it is likelier
		}
		list = append(list, ha.Member{
			Name: ha.NodeName(r.Name), Address: r.node.Address(), State: r.view(), Role: r.Role, RPCAddress: r.RPCAddress,
		})
	}
	slices.SortFunc(list, func(a, b ha.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role))
	})
	return list
}

func (t *table) coordinators(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	for _, r := range t.likeliest(now) {
		if r.RPCAddress != "" && r.state != ha.MemberLeft && !slices.Contains(list, r.RPCAddress) {
			list = append(list, r.RPCAddress)
		}
	}
	return list
}

// others are the live instances but our own.
func (t *table) others(own string) []row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []row
	for _, r := range t.rows {
		if r.state == ha.MemberAlive && r.node.Name != own {
			list = append(list, *r)
		}
	}
	return list
}

// lost are the addresses of peers and of members that died at which nobody alive is.
func (t *table) lost(peers []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var alive, wanted []string
	wanted = append(wanted, peers...)
	for _, r := range t.rows {
		switch r.state {
		case ha.MemberAlive:
			alive = append(alive, r.node.Address())
		case ha.MemberDead:
			wanted = append(wanted, r.node.Address())
		case ha.MemberSuspect, ha.MemberLeft:
		}
	}
	slices.Sort(wanted)
	return slices.DeleteFunc(slices.Compact(wanted), func(a string) bool { return slices.Contains(alive, a) })
}

// reached logs why an address was not reached, as a warning when that is new.
func (t *table) reached(address string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.failures, address)
		return
	}
	if t.failures[address] != err.Error() {
		t.failures[address] = err.Error()
		t.log.Warn("gossip peer not reached", "address", address, "reason", err)
		return
	}
	t.log.Debug("gossip peer still not reached", "address", address, "reason", err)
}
