package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The buckets, and what their keys are.
var (
	bucketMeta         = []byte("meta")         // schema
	bucketPolicy       = []byte("policy")       // current
	bucketMaintenances = []byte("maintenances") // ID
	bucketGeneration   = []byte("generation")   // own, seen
	bucketJournal      = []byte("journal")      // sequence number, 8 bytes, big endian
	bucketReports      = []byte("reports")      // node
	bucketFacts        = []byte("facts")        // see Facts
	bucketOperations   = []byte("operations")   // ID
	bucketMutes        = []byte("mutes")        // a check's code
	bucketAcks         = []byte("acks")         // what an operator vouches for: an acknowledgement's name
	bucketReadiness    = []byte("readiness")    // profile
	bucketProofs       = []byte("proofs")       // what was proved by trying it: storage or fence, then whose
)

var (
	keySchema  = []byte("schema")
	keyCurrent = []byte("current")
	keyOwn     = []byte("own")
	keySeen    = []byte("seen")
)

// A migration brings a file from one schema version to the next.
type migration func(*bolt.Tx) error

// migrations are all of them: migrations[n] leads from version n to n+1, and version 0 is
// an empty file. A released one is never changed; a new schema appends one.
var migrations = []migration{
	func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketPolicy, bucketMaintenances, bucketGeneration, bucketJournal, bucketReports, bucketFacts} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
		}
		return nil
	},
	func(tx *bolt.Tx) error { // operations, and what readiness is made of besides facts
		for _, name := range [][]byte{bucketOperations, bucketMutes, bucketAcks, bucketReadiness, bucketProofs} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
		}
		return nil
	},
}

// migrate brings a file of an older schema version to the newest, in one transaction.
func migrate(db *bolt.DB, version int, steps []migration) error {
	if version == len(steps) {
		return nil
	}
	return db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		for k, step := range steps[version:] {
			if err := step(tx); err != nil {
				return fmt.Errorf("schema version %d to %d: %w", version+k, version+k+1, err)
			}
		}
		return meta.Put(keySchema, []byte(strconv.Itoa(len(steps))))
	})
}

// decode decodes one stored value as we would when reading it back; fields of a later
// program are ignored, a value that is no JSON of its kind is damage.
func decode(bucket, key, value []byte) error {
	var v any
	switch string(bucket) {
	case string(bucketPolicy):
		v = new(ha.Policy)
	case string(bucketMaintenances):
		v = new(ha.Maintenance)
	case string(bucketGeneration):
		v = new(uint64)
	case string(bucketJournal):
		v = new(ha.Event)
	case string(bucketReports):
		v = new(ha.Report)
	case string(bucketFacts):
		v = new(string)
	case string(bucketOperations):
		v = new(ha.Operation)
	case string(bucketProofs):
		v = new(ha.Proof)
	case string(bucketMutes):
		v = new(ha.Mute)
	case string(bucketAcks):
		v = new(ha.Acknowledgement)
	case string(bucketReadiness):
		v = new(ha.ReadinessBasis)
	default:
		return nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("%s %q: %w", bucket, key, err)
	}
	return nil
}

// put stores v as JSON and reports whether that changed anything.
func put(b *bolt.Bucket, key []byte, v any) (changed bool, err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", key, err)
	}
	if slices.Equal(b.Get(key), text) {
		return false, nil
	}
	return true, b.Put(key, text)
}

// get reads the value of key into v; false if there is none.
func get(b *bolt.Bucket, key []byte, v any) (bool, error) {
	text := b.Get(key)
	if text == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("decode %s: %w", key, err)
	}
	return true, nil
}
