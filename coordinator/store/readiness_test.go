package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What operators said, and what was judged, is there again after a restart; each replaces
// what was said before of the same thing, and nothing else.
func TestWhatOperatorsSaidSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	at := time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)
	st, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := ha.Mute{Code: "NFS_SOFT_MOUNT", Until: at.Add(time.Hour), By: "anna"}
	one := ha.Mute{Code: "NFS_SOFT_MOUNT", Subject: "node2", Until: at.Add(time.Hour), By: "ben"}
	err = st.Change(at, func(tx *store.Tx) error {
		for _, m := range []ha.Mute{one, all, {Code: "CLOCK_SKEW", Until: at}} {
			if err := tx.PutMute(m); err != nil {
				return err
			}
		}
		for _, a := range []ha.Acknowledgement{{Item: ha.AckUPS, Node: "node1", By: "anna", At: at}, {Item: ha.AckUPS, By: "anna", At: at}} {
			if err := tx.PutAcknowledgement(a); err != nil {
				return err
			}
		}
		return tx.PutReadinessRecord(ha.ReadinessBasis{
			ReadinessRecord: ha.ReadinessRecord{Profile: "minimum", Ready: true, At: at, Facts: "abc"}, Traits: []ha.Trait{{Name: "node node1"}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	one.By = "anna"
	if err := st.Change(at, func(tx *store.Tx) error {
		if err := tx.RemoveMute(all); err != nil {
			return err
		}
		if err := tx.RemoveAcknowledgement(ha.Acknowledgement{Item: ha.AckUPS}); err != nil {
			return err
		}
		return tx.PutMute(one)
	}); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		mutes, acks := st.Mutes(), st.Acknowledgements()
		if len(mutes) != 2 || mutes[0].Code != "CLOCK_SKEW" || mutes[1].Subject != "node2" || mutes[1].By != "anna" {
			t.Errorf("%s the restart the mutes are %+v", when, mutes)
		}
		if len(acks) != 1 || acks[0].Node != "node1" {
			t.Errorf("%s the restart the acknowledgements are %+v", when, acks)
		}
		if r, ok := st.ReadinessRecord("minimum"); !ok || !r.Ready || r.Facts != "abc" || len(r.Traits) != 1 {
			t.Errorf("%s the restart the record is %+v", when, r)
		}
		if _, ok := st.ReadinessRecord("production"); ok {
			t.Error("there is a record of a check that never was")
		}
		if when == "before" {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			if st, err = store.Open(path, store.Options{}); err != nil {
				t.Fatal(err)
			}
			defer st.Close()
		}
	}
}
