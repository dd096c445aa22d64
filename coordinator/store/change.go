package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Tx is one change of the state: everything done with it is stored together, or not at all.
// It is valid only inside the function given to Change.
type Tx struct {
	tx      *bolt.Tx
	at      time.Time
	options Options
	memory  memory
	dirty   bool
}

// Change runs fn in the one read-write transaction there is at a time and stores what it
// did, on disk, before it returns. If fn returns an error nothing is stored and that error
// comes back as it is. at is the time of the journal entries made in it. fn must be quick
// and must not call the Store.
func (s *Store) Change(at time.Time, fn func(*Tx) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.wrong("write", err)
	}
	defer func() { _ = tx.Rollback() }() // says "tx closed" after the commit; that is fine
	t := &Tx{tx: tx, at: at, options: s.options, memory: *s.memory.Load()}
	if err := fn(t); err != nil {
		return err
	}
	if !t.dirty {
		return nil
	}
	if err := tx.Commit(); err != nil {
		return s.wrong("write", err)
	}
	s.memory.Store(&t.memory)
	return nil
}

// remember decodes what memory holds.
func (s *Store) remember() error {
	var m memory
	err := s.db.View(func(tx *bolt.Tx) error {
		var err error
		if m.hasPolicy, err = get(tx.Bucket(bucketPolicy), keyCurrent, &m.policy); err != nil {
			return err
		}
		if m.proofs, err = readProofs(tx); err != nil {
			return err
		}
		if err := m.vouched.load(tx); err != nil {
			return err
		}
		if m.operations, err = readOperations(tx); err != nil {
			return err
		}
		return tx.Bucket(bucketMaintenances).ForEach(func(key, value []byte) error {
			var one ha.Maintenance
			if err := json.Unmarshal(value, &one); err != nil {
				return fmt.Errorf("decode maintenance %s: %w", key, err)
			}
			m.maintenances = append(m.maintenances, one)
			return nil
		})
	})
	if err != nil {
		return damagedError(s.path, err)
	}
	s.memory.Store(&m)
	return nil
}

// Maintenances returns the stored maintenances by ID, closed ones included. The slice is
// shared: callers must not change it.
func (s *Store) Maintenances() []ha.Maintenance { return s.memory.Load().maintenances }

// Policy returns the stored policy; false if none was ever stored. It is shared: callers
// must not change what it refers to.
func (s *Store) Policy() (ha.Policy, bool) {
	m := s.memory.Load()
	return m.policy, m.hasPolicy
}

// Maintenances returns the maintenances as they are in this transaction, by ID.
func (t *Tx) Maintenances() []ha.Maintenance { return t.memory.maintenances }

// Maintenance returns one of them. NotFound if there is none of that ID.
func (t *Tx) Maintenance(id string) (ha.Maintenance, error) {
	k, ok := t.find(id)
	if !ok {
		return ha.Maintenance{}, ha.Errorf(ha.NotFound, "there is no maintenance %s", id)
	}
	return t.memory.maintenances[k].Clone(), nil
}

// Create stores a new maintenance under a new ID, which it returns with it. The ID is made
// of the time of the request and the node, so that IDs sort by time. Conflict if the node
// already has an open maintenance.
func (t *Tx) Create(m ha.Maintenance) (ha.Maintenance, error) {
	for _, other := range t.memory.maintenances {
		if other.Node == m.Node && !other.Phase.Closed() {
			return ha.Maintenance{}, ha.Errorf(ha.Conflict, "%s already has an open maintenance, %s", m.Node, other.ID)
		}
	}
	for at := m.RequestedAt.UTC(); ; at = at.Add(time.Millisecond) {
		m.ID = at.Format("20060102T150405.000Z") + "-" + string(m.Node)
		if _, taken := t.find(m.ID); !taken {
			break
		}
	}
	if err := t.forgetOldest(); err != nil {
		return ha.Maintenance{}, err
	}
	return t.put(m)
}

// Amend is how every change of a stored maintenance is made: fn gets a copy of it as it is
// now and returns it as it shall be; an error of fn's undoes nothing else in this
// transaction and comes back as it is. A change of phase is journalled here, so that none
// can be forgotten.
func (t *Tx) Amend(id string, fn func(ha.Maintenance) (ha.Maintenance, error)) (ha.Maintenance, error) {
	before, err := t.Maintenance(id)
	if err != nil {
		return ha.Maintenance{}, err
	}
	after, err := fn(before.Clone())
	if err != nil {
		return ha.Maintenance{}, err
	}
	if after.ID != before.ID || after.Node != before.Node {
		return ha.Maintenance{}, ha.Errorf(ha.Internal, "maintenance %s would become %s of %s", id, after.ID, after.Node)
	}
	if after, err = t.put(after); err != nil || after.Phase == before.Phase {
		return after, err
	}
	return after, t.Journal(ha.Event{Type: ha.EventPhase, Node: after.Node, Maintenance: after.ID,
		Text: fmt.Sprintf("maintenance of %s: %s => %s", after.Node, before.Phase, after.Phase)})
}

// put stores m and returns it as it will be read back: decoded from what was written, so
// that a coordinator that was restarted and one that was not hold equal values.
func (t *Tx) put(m ha.Maintenance) (ha.Maintenance, error) {
	b := t.tx.Bucket(bucketMaintenances)
	changed, err := put(b, []byte(m.ID), m)
	if err != nil {
		return ha.Maintenance{}, fmt.Errorf("store maintenance %s: %w", m.ID, err)
	}
	var stored ha.Maintenance
	if _, err := get(b, []byte(m.ID), &stored); err != nil {
		return ha.Maintenance{}, fmt.Errorf("store maintenance %s: %w", m.ID, err)
	}
	if !changed {
		return stored, nil
	}
	t.dirty = true
	list := slices.Clone(t.memory.maintenances)
	if k, ok := t.find(m.ID); ok {
		list[k] = stored
	} else {
		list = slices.Insert(list, k, stored)
	}
	t.memory.maintenances = list
	return stored.Clone(), nil
}

// forgetOldest makes room: of the closed maintenances beyond ClosedMax the oldest goes.
func (t *Tx) forgetOldest() error {
	closed := 0
	oldest := -1
	for k, m := range t.memory.maintenances {
		if !m.Phase.Closed() {
			continue
		}
		if closed++; oldest < 0 {
			oldest = k
		}
	}
	if closed < t.options.ClosedMax {
		return nil
	}
	id := t.memory.maintenances[oldest].ID
	t.memory.maintenances = slices.Delete(slices.Clone(t.memory.maintenances), oldest, oldest+1)
	t.dirty = true
	return t.tx.Bucket(bucketMaintenances).Delete([]byte(id))
}

func (t *Tx) find(id string) (int, bool) {
	return slices.BinarySearchFunc(t.memory.maintenances, id, func(m ha.Maintenance, id string) int { return strings.Compare(m.ID, id) })
}

// SetPolicy stores p and reports whether it differs from what was stored.
func (t *Tx) SetPolicy(p ha.Policy) (changed bool, err error) {
	b := t.tx.Bucket(bucketPolicy)
	if changed, err = put(b, keyCurrent, p); err != nil || !changed {
		return changed, err
	}
	var stored ha.Policy
	if _, err = get(b, keyCurrent, &stored); err != nil {
		return false, err
	}
	t.dirty = true
	t.memory.policy, t.memory.hasPolicy = stored, true
	return true, nil
}

// Journal appends events. Their Seq is given here, ascending without gaps, and their At is
// the transaction's unless they bring one. The oldest beyond JournalMax are dropped.
func (t *Tx) Journal(events ...ha.Event) error {
	b := t.tx.Bucket(bucketJournal)
	for _, e := range events {
		seq, err := b.NextSequence()
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if e.Seq = seq; e.At.IsZero() {
			e.At = t.at
		}
		t.dirty = true
		if _, err := put(b, seqKey(seq), e); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return t.trimJournal(b)
}

// trimMax bounds the work of one transaction when JournalMax was lowered.
const trimMax = 1000

func (t *Tx) trimJournal(b *bolt.Bucket) error {
	newest := b.Sequence()
	if newest <= uint64(t.options.JournalMax) {
		return nil
	}
	keep := newest - uint64(t.options.JournalMax) // the last sequence number that goes
	c := b.Cursor()
	for n := 0; n < trimMax; n++ {
		key, _ := c.First()
		if key == nil || binary.BigEndian.Uint64(key) > keep {
			return nil
		}
		if err := c.Delete(); err != nil {
			return fmt.Errorf("trim the journal: %w", err)
		}
	}
	return nil
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
