package store

import (
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Proofs returns, of each kind and subject, the newest proof that ended and the one under
// way, in the order of ha.CompareProofs. The slice is shared: callers must not change it.
func (s *Store) Proofs() []ha.Proof { return s.memory.Load().proofs }

// Proofs returns the proofs as they are in this transaction.
func (t *Tx) Proofs() []ha.Proof { return t.memory.proofs }

// PutProof stores a proof. One under way replaces the one under way of its kind and
// subject; one that ended replaces that and the one that ended before.
func (t *Tx) PutProof(p ha.Proof) error {
	b := t.tx.Bucket(bucketProofs)
	if !p.Open() {
		if err := b.Delete(proofKey(p.Kind, p.Subject, true)); err != nil {
			return fmt.Errorf("remove the proof under way of %s %s: %w", p.Kind, p.Subject, err)
		}
	}
	if _, err := put(b, proofKey(p.Kind, p.Subject, p.Open()), p); err != nil {
		return fmt.Errorf("store the proof of %s %s: %w", p.Kind, p.Subject, err)
	}
	return t.proofsChanged()
}

// RemoveProofs forgets what was proved of a subject that is no more, or no more needed.
func (t *Tx) RemoveProofs(kind ha.ProofKind, subject string) error {
	b := t.tx.Bucket(bucketProofs)
	for _, open := range []bool{true, false} {
		if err := b.Delete(proofKey(kind, subject, open)); err != nil {
			return fmt.Errorf("remove the proof of %s %s: %w", kind, subject, err)
		}
	}
	return t.proofsChanged()
}

func (t *Tx) proofsChanged() (err error) {
	t.dirty = true
	t.memory.proofs, err = readProofs(t.tx)
	return err
}

// proofKey is "storage/psw", and "storage/psw/open" for the one under way. No name of a
// node or a storage has a slash.
func proofKey(kind ha.ProofKind, subject string, open bool) []byte {
	key := string(kind) + "/" + subject
	if open {
		key += "/open"
	}
	return []byte(key)
}

func readProofs(tx *bolt.Tx) ([]ha.Proof, error) {
	var list []ha.Proof
	err := tx.Bucket(bucketProofs).ForEach(func(key, value []byte) error {
		var p ha.Proof
		if err := json.Unmarshal(value, &p); err != nil {
			return fmt.Errorf("decode proof %s: %w", key, err)
		}
		list = append(list, p)
		return nil
	})
	slices.SortFunc(list, ha.CompareProofs)
	return list, err
}
