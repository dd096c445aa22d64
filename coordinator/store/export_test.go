package store

import (
	"slices"
	"strconv"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// SetSchema pretends that a later program wrote the file.
func SetSchema(t testing.TB, s *Store, version int) {
	t.Helper()
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keySchema, []byte(strconv.Itoa(version)))
	}); err != nil {
		t.Fatal(err)
	}
}

// ForeignFile makes a bbolt file as another program would.
func ForeignFile(t testing.TB, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("raft"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Schema is the file's schema version.
func Schema(t testing.TB, s *Store) (version int) {
	t.Helper()
	if err := s.db.View(func(tx *bolt.Tx) (err error) {
		version, err = strconv.Atoi(string(tx.Bucket(bucketMeta).Get(keySchema)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return version
}

// MigrateFurther migrates as a later program with two more schema versions would, the
// second of which ends with err.
func MigrateFurther(s *Store, err error) error {
	further := append(slices.Clone(migrations),
		func(tx *bolt.Tx) error { _, err := tx.CreateBucketIfNotExists([]byte("more")); return err },
		func(*bolt.Tx) error { return err })
	return migrate(s.db, len(migrations), further)
}
