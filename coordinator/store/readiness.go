package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// vouched is what operators said and had judged: the part of memory that readiness is made
// of besides facts.
type vouched struct {
	mutes   []ha.Mute            // by code and subject
	acks    []ha.Acknowledgement // by item and node
	records []ha.ReadinessBasis  // by profile
}

func (v *vouched) load(tx *bolt.Tx) (err error) {
	if v.mutes, err = list[ha.Mute](tx, bucketMutes); err != nil {
		return err
	}
	slices.SortFunc(v.mutes, ha.Mute.Compare)
	if v.acks, err = list[ha.Acknowledgement](tx, bucketAcks); err != nil {
		return err
	}
	ha.SortAcks(v.acks)
	v.records, err = list[ha.ReadinessBasis](tx, bucketReadiness)
	return err
}

// list decodes every value of a bucket, by key.
func list[T any](tx *bolt.Tx, bucket []byte) ([]T, error) {
	var out []T
	err := tx.Bucket(bucket).ForEach(func(key, value []byte) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("decode %s %s: %w", bucket, key, err)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

// Mutes returns the stored mutes by code and subject, those included whose time is over.
// The slice is shared: callers must not change it.
func (s *Store) Mutes() []ha.Mute { return s.memory.Load().vouched.mutes }

// Acknowledgements returns what operators vouched for, by item and node. The slice is
// shared: callers must not change it.
func (s *Store) Acknowledgements() []ha.Acknowledgement { return s.memory.Load().vouched.acks }

// ReadinessRecord returns the record of the last whole check by a profile; false if there
// was none.
func (s *Store) ReadinessRecord(profile string) (ha.ReadinessBasis, bool) {
	for _, r := range s.memory.Load().vouched.records {
		if r.Profile == profile {
			return r, true
		}
	}
	return ha.ReadinessBasis{}, false
}

// PutMute stores a mute, replacing one of the same code and subject.
func (t *Tx) PutMute(m ha.Mute) error {
	return t.vouch(bucketMutes, muteKey(m), m)
}

// RemoveMute forgets a mute.
func (t *Tx) RemoveMute(m ha.Mute) error { return t.unvouch(bucketMutes, muteKey(m)) }

func muteKey(m ha.Mute) string { return strings.TrimSpace(string(m.Code) + " " + m.Subject) }

// PutAcknowledgement stores an acknowledgement, replacing one of the same item and node.
func (t *Tx) PutAcknowledgement(a ha.Acknowledgement) error {
	return t.vouch(bucketAcks, ackKey(a), a)
}

// RemoveAcknowledgement forgets an acknowledgement.
func (t *Tx) RemoveAcknowledgement(a ha.Acknowledgement) error {
	return t.unvouch(bucketAcks, ackKey(a))
}

func ackKey(a ha.Acknowledgement) string { return strings.TrimSpace(a.Item + " " + string(a.Node)) }

// PutReadinessRecord stores the record of a check, replacing the one of its profile.
func (t *Tx) PutReadinessRecord(r ha.ReadinessBasis) error {
	return t.vouch(bucketReadiness, r.Profile, r)
}

func (t *Tx) vouch(bucket []byte, key string, v any) error {
	changed, err := put(t.tx.Bucket(bucket), []byte(key), v)
	if err != nil || !changed {
		return err
	}
	t.dirty = true
	return t.memory.vouched.load(t.tx)
}

func (t *Tx) unvouch(bucket []byte, key string) error {
	if err := t.tx.Bucket(bucket).Delete([]byte(key)); err != nil {
		return fmt.Errorf("remove %s %s: %w", bucket, key, err)
	}
	t.dirty = true
	return t.memory.vouched.load(t.tx)
}

// Size is how large the state file is, in bytes.
func (s *Store) Size() (int64, error) {
	var size int64
	err := s.db.View(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	})
	if err != nil {
		return 0, s.wrong("read", err)
	}
	return size, nil
}
