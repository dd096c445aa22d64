package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A proof under way stands beside the one that ended before it, and takes its place only
// when it has ended itself: a coordinator that dies in between still knows the old one.
func TestProofsReplaceEachOtherWhenTheyEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	proof := func(began, ended time.Time) ha.Proof {
		return ha.Proof{Kind: ha.ProofStorage, Subject: "psw", Began: began, Ended: ended, Results: []ha.ProofResult{{Node: "node1"}}}
	}
	st := openProofs(t, path)
	putProof(t, st, proof(noon, noon.Add(time.Second)))
	putProof(t, st, proof(noon.Add(time.Hour), time.Time{}))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	st = openProofs(t, path) // as after a crash
	if got := st.Proofs(); len(got) != 2 || !got[0].Began.Equal(noon) || !got[1].Open() {
		t.Fatalf("want the old proof and the one under way, got %+v", got)
	}
	putProof(t, st, proof(noon.Add(time.Hour), noon.Add(61*time.Minute)))
	if got := st.Proofs(); len(got) != 1 || got[0].Open() || !got[0].Began.Equal(noon.Add(time.Hour)) {
		t.Fatalf("want the newer proof alone, got %+v", got)
	}
	if err := st.Change(noon, func(tx *store.Tx) error { return tx.RemoveProofs(ha.ProofStorage, "psw") }); err != nil {
		t.Fatal(err)
	}
	if got := st.Proofs(); len(got) != 0 {
		t.Fatalf("want none, got %+v", got)
	}
}

func openProofs(t *testing.T, path string) *store.Store {
	t.Helper()
	st, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func putProof(t *testing.T, st *store.Store, p ha.Proof) {
	t.Helper()
	if err := st.Change(p.Began, func(tx *store.Tx) error { return tx.PutProof(p) }); err != nil {
		t.Fatal(err)
	}
}
