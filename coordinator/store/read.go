package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Events returns up to limit journal entries after seq, oldest first. The journal begins
// with the oldest entry that is kept: asking for older ones starts there.
func (s *Store) Events(after uint64, limit int) ([]ha.Event, error) {
	if after == math.MaxUint64 {
		return nil, nil
	}
	var events []ha.Event
	err := s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketJournal).Cursor()
		for key, value := c.Seek(seqKey(after + 1)); key != nil && len(events) < limit; key, value = c.Next() {
			e, err := decodeEvent(value)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return nil, s.wrong("read the journal of", err)
	}
	return events, nil
}

// LastEvent returns the newest journal entry that fits; false if none of the newest limit
// entries does.
func (s *Store) LastEvent(limit int, fits func(ha.Event) bool) (found ha.Event, ok bool, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketJournal).Cursor()
		key, value := c.Last()
		for ; key != nil && limit > 0; key, value = c.Prev() {
			e, err := decodeEvent(value)
			if err != nil {
				return err
			}
			if fits(e) {
				found, ok = e, true
				return nil
			}
			limit--
		}
		return nil
	})
	if err != nil {
		return ha.Event{}, false, s.wrong("read the journal of", err)
	}
	return found, ok, nil
}

func decodeEvent(value []byte) (ha.Event, error) {
	var e ha.Event
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}

// Reports returns the last stored report of each node, by node.
func (s *Store) Reports() ([]ha.Report, error) {
	var reports []ha.Report
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketReports).ForEach(func(_, value []byte) error {
			var r ha.Report
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("decode report: %w", err)
			}
			reports = append(reports, r)
			return nil
		})
	})
	if err != nil {
		return nil, s.wrong("read", err)
	}
	return reports, nil
}

// SaveReports stores reports, each replacing the one of its node.
func (t *Tx) SaveReports(reports []ha.Report) error {
	b := t.tx.Bucket(bucketReports)
	for _, r := range reports {
		changed, err := put(b, []byte(r.Node), r)
		if err != nil {
			return fmt.Errorf("store report of %s: %w", r.Node, err)
		}
		t.dirty = t.dirty || changed
	}
	return nil
}

// Facts are what was last seen of the world, one short text per thing (where a guest ran,
// whether a node was online): a coordinator that starts again compares the world with them
// and can say what happened while it was away. The keys' meaning is the coordinator's.
type Facts map[string]string

// Facts returns all facts.
func (s *Store) Facts() (Facts, error) {
	facts := make(Facts)
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketFacts).ForEach(func(key, value []byte) error {
			var v string
			if err := json.Unmarshal(value, &v); err != nil {
				return fmt.Errorf("decode fact %s: %w", key, err)
			}
			facts[string(key)] = v
			return nil
		})
	})
	if err != nil {
		return nil, s.wrong("read", err)
	}
	return facts, nil
}

// SetFacts stores those facts; an empty text removes one.
func (t *Tx) SetFacts(facts Facts) error {
	b := t.tx.Bucket(bucketFacts)
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		if facts[key] == "" {
			t.dirty = true
			if err := b.Delete([]byte(key)); err != nil {
				return fmt.Errorf("remove fact %s: %w", key, err)
			}
			continue
		}
		changed, err := put(b, []byte(key), facts[key])
		if err != nil {
			return fmt.Errorf("store fact %s: %w", key, err)
		}
		t.dirty = t.dirty || changed
	}
	return nil
}

// NextGeneration takes the next generation for a coordinator that starts: one more than any
// this file was ever started with, and than any SawGeneration heard of. It is on disk when
// it returns, so that no two starts ever share one.
func (s *Store) NextGeneration() (uint64, error) {
	var next uint64
	s.changing.Lock()
	defer s.changing.Unlock()
	err := s.db.Update(func(tx *bolt.Tx) error {
		own, seen, err := generations(tx)
		if err != nil {
			return err
		}
		next = max(own, seen) + 1
		_, err = put(tx.Bucket(bucketGeneration), keyOwn, next)
		return err
	})
	if err != nil {
		return 0, s.wrong("write", err)
	}
	return next, nil
}

// SawGeneration remembers that an agent accepted generation n of some coordinator, so that
// this one, when it is started again on purpose, is the newer.
func (t *Tx) SawGeneration(n uint64) error {
	_, seen, err := generations(t.tx)
	if err != nil || n <= seen {
		return err
	}
	t.dirty = true
	_, err = put(t.tx.Bucket(bucketGeneration), keySeen, n)
	return err
}

func generations(tx *bolt.Tx) (own, seen uint64, err error) {
	b := tx.Bucket(bucketGeneration)
	if _, err = get(b, keyOwn, &own); err == nil {
		_, err = get(b, keySeen, &seen)
	}
	return own, seen, err
}
