package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestIDsSortByTimeAndAreNeverReused(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{})
	var ids []string
	for _, node := range []ha.NodeName{"node1", "node2", "node3"} {
		ids = append(ids, create(t, s, maintenance(node, at)).ID)
	}
	if ids[0] != "20261121T030000.123Z-node1" {
		t.Errorf("ID = %s", ids[0])
	}
	change(t, s, func(tx *store.Tx) error {
		_, err := tx.Amend(ids[0], func(m ha.Maintenance) (ha.Maintenance, error) {
			m.Phase = ha.Ended
			return m, nil
		})
		return err
	})
	again := create(t, s, maintenance("node1", at)) // in the same millisecond
	if again.ID <= ids[0] {
		t.Errorf("second ID %s does not come after %s", again.ID, ids[0])
	}
}

func TestANodeHasOneOpenMaintenance(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{})
	create(t, s, maintenance("node1", at))
	err := s.Change(at, func(tx *store.Tx) error {
		_, err := tx.Create(maintenance("node1", at.Add(time.Hour)))
		return err
	})
	if ha.KindOf(err) != ha.Conflict {
		t.Errorf("err = %v; want a Conflict", err)
	}
}

func TestAPhaseChangeIsJournalledWithItsChange(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{})
	m := create(t, s, maintenance("node1", at))
	change(t, s, func(tx *store.Tx) error {
		_, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) { return m.Advance(ha.Draining), nil })
		return err
	})
	events, _ := s.Events(0, 10)
	want := []ha.Event{{Seq: 1, At: at, Type: ha.EventPhase, Node: "node1", Maintenance: m.ID, Text: "maintenance of node1: requested => draining"}}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
}

func TestAChangeThatFailsLeavesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{})
	m := create(t, s, maintenance("node1", at))
	boom := errors.New("boom")
	err := s.Change(at, func(tx *store.Tx) error {
		if _, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) { return m.Advance(ha.Draining), nil }); err != nil {
			return err
		}
		if _, err := tx.SetPolicy(ha.Policy{Project: "other"}); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("err = %v; want the function's own", err)
	}
	if _, ok := s.Policy(); ok || s.Maintenances()[0].Phase != ha.Requested {
		t.Error("part of the change was kept")
	}
	if events, _ := s.Events(0, 10); len(events) != 0 {
		t.Errorf("events = %v; want none", events)
	}
}

// A snapshot that was handed out is never changed under its holder's feet.
func TestASliceOnceHandedOutStaysAsItWas(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{})
	m := create(t, s, maintenance("node1", at))
	held := s.Maintenances()
	change(t, s, func(tx *store.Tx) error {
		_, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
			m.Moves = append(m.Moves, ha.Move{SID: ha.MustSID("vm:100"), Asked: at})
			return m.Advance(ha.Draining), nil
		})
		return err
	})
	create(t, s, maintenance("node0", at.Add(-time.Hour)))
	if len(held) != 1 || held[0].Phase != ha.Requested || len(held[0].Moves) != 0 {
		t.Errorf("held = %+v; want it as it was", held)
	}
}

func TestTheJournalKeepsTheNewest(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{JournalMax: 50})
	for range 30 {
		change(t, s, func(tx *store.Tx) error {
			return tx.Journal(ha.Event{Text: "a"}, ha.Event{Text: "b"}, ha.Event{Text: "c"})
		})
	}
	events, err := s.Events(0, 1000)
	if err != nil || len(events) != 50 || events[0].Seq != 41 || events[49].Seq != 90 {
		t.Fatalf("%v: %d events from %d; want 50 from 41", err, len(events), events[0].Seq)
	}
	if page, _ := s.Events(60, 10); len(page) != 10 || page[0].Seq != 61 {
		t.Errorf("a page after 60 begins with %v", page[0].Seq)
	}
	if none, err := s.Events(^uint64(0), 10); err != nil || len(none) != 0 {
		t.Errorf("after the end of numbers: %v, %v", none, err)
	}
	e, ok, err := s.LastEvent(10, func(e ha.Event) bool { return e.Text == "b" })
	if err != nil || !ok || e.Seq != 89 {
		t.Errorf("last b = %v %v %v; want 89", e.Seq, ok, err)
	}
}

func TestClosedMaintenancesAreForgottenOldestFirst(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "psw.db"), store.Options{ClosedMax: 3})
	open := create(t, s, maintenance("node9", at)) // the oldest of all, and open
	var last string
	for k := range 10 {
		m := create(t, s, maintenance("node1", at.Add(time.Duration(k+1)*time.Hour)))
		last = m.ID
		change(t, s, func(tx *store.Tx) error {
			_, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
				m.Phase = ha.Ended
				return m, nil
			})
			return err
		})
	}
	list := s.Maintenances()
	if len(list) != 4 || list[0].ID != open.ID || list[len(list)-1].ID != last {
		t.Errorf("kept %d, first %s, last %s; want the open one and the newest 3", len(list), list[0].ID, list[len(list)-1].ID)
	}
}

func TestNoTwoStartsShareAGeneration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	next := func() uint64 {
		s := open(t, path, store.Options{})
		defer func() { _ = s.Close() }()
		g, err := s.NextGeneration()
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if a, b := next(), next(); a != 1 || b != 2 {
		t.Errorf("generations %d, %d; want 1, 2", a, b)
	}
	s := open(t, path, store.Options{})
	change(t, s, func(tx *store.Tx) error { return tx.SawGeneration(17) })
	change(t, s, func(tx *store.Tx) error { return tx.SawGeneration(5) })
	_ = s.Close()
	if g := next(); g != 18 {
		t.Errorf("generation %d after an agent accepted 17 elsewhere; want 18", g)
	}
}

// A backup is taken while a coordinator writes; each is whole, and none holds less than what
// was stored before it began.
func TestABackupOfALiveStoreIsWhole(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "psw.db")
	s := open(t, path, store.Options{})
	m := create(t, s, maintenance("node1", at))
	for k := range 5 {
		before, _, _ := s.LastEvent(1, func(ha.Event) bool { return true })
		to := filepath.Join(folder, "copy"+string(rune('0'+k)))
		wrote := make(chan error, 1)
		go func() {
			var errs []error
			for range 5 { // fewer than CopyLive tries
				errs = append(errs, s.Change(at, func(tx *store.Tx) error {
					return tx.Journal(ha.Event{Text: strings.Repeat("x", 500)}, ha.Event{Text: "y"})
				}))
			}
			wrote <- errors.Join(errs...)
		}()
		if err := store.CopyLive(path, to); err != nil {
			t.Fatal(err)
		}
		c := open(t, to, store.Options{})
		events, err := c.Events(0, 1_000_000)
		if err != nil || uint64(len(events)) < before.Seq || len(events)%2 != 0 {
			t.Errorf("copy %d has %d events, %v; want whole pairs and at least %d", k, len(events), err, before.Seq)
		}
		if list := c.Maintenances(); len(list) != 1 || list[0].ID != m.ID {
			t.Errorf("copy %d has the maintenances %v", k, list)
		}
		_ = c.Close()
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	}
	if err := store.CopyLive(path, filepath.Join(folder, "copy0")); ha.KindOf(err) != ha.Conflict {
		t.Errorf("err = %v; want a Conflict: a backup never overwrites a file", err)
	}
}

// The owner of the file can copy and check it too.
func TestAnOpenStoreIsCopiedAndChecked(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "psw.db")
	s := open(t, path, store.Options{})
	m := create(t, s, maintenance("node1", at))
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	var copied bytes.Buffer
	if err := s.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(folder, "copy.db")
	if err := os.WriteFile(to, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := open(t, to, store.Options{}); len(c.Maintenances()) != 1 || c.Maintenances()[0].ID != m.ID {
		t.Errorf("the copy has %v", c.Maintenances())
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := range int64(16) { // a disk that returns zeroes where the headers were
		if _, err := f.WriteAt(make([]byte, 4096), page*4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(); ha.KindOf(err) != ha.Invalid {
		t.Errorf("err = %v; want Invalid", err)
	}
}

func TestRestoreBringsACopyBack(t *testing.T) {
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "psw.db"), filepath.Join(folder, "copy.db")
	s := open(t, path, store.Options{})
	m := create(t, s, maintenance("node1", at))
	if _, err := s.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	if err := store.CopyLive(path, copied); err != nil {
		t.Fatal(err)
	}
	create(t, s, maintenance("node2", at))

	if _, err := store.Restore(copied, path, at); ha.KindOf(err) != ha.Conflict || !strings.Contains(err.Error(), "systemctl stop") {
		t.Errorf("err = %v; want a Conflict while a coordinator has the state open", err)
	}
	_ = s.Close()
	aside, err := store.Restore(copied, path, at)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, path, store.Options{})
	if list := s.Maintenances(); len(list) != 1 || list[0].ID != m.ID {
		t.Errorf("maintenances = %v; want the copy's", list)
	}
	if g, err := s.NextGeneration(); err != nil || g <= 1_000_000 {
		t.Errorf("generation %d, %v; want one agents cannot have seen", g, err)
	}
	old := open(t, aside, store.Options{})
	if list := old.Maintenances(); len(list) != 2 {
		t.Errorf("the state set aside has %d maintenances; want 2", len(list))
	}
}

func TestRestoreRepairsADamagedState(t *testing.T) {
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "psw.db"), filepath.Join(folder, "copy.db")
	s := open(t, path, store.Options{})
	create(t, s, maintenance("node1", at))
	_ = s.Close()
	if err := store.CopyLive(path, copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(path, filepath.Join(folder, "new.db"), at); ha.KindOf(err) != ha.Invalid {
		t.Errorf("err = %v; want an Invalid: a damaged copy is not restored", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "new.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused restore left something: %v", err)
	}
	if _, err := store.Restore(copied, path, at); err != nil {
		t.Fatal(err)
	}
	if s := open(t, path, store.Options{}); len(s.Maintenances()) != 1 {
		t.Error("the maintenance did not come back")
	}
	if _, err := store.Restore(copied, filepath.Join(folder, "elsewhere", "psw.db"), at); err != nil {
		t.Errorf("restore to a machine without any state: %v", err)
	}
}

func TestOlderSchemasAreBroughtUpToDateInOneStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	s := open(t, path, store.Options{})
	m := create(t, s, maintenance("node1", at))
	newest := store.Schema(t, s)
	if err := store.MigrateFurther(s, errors.New("boom")); err == nil || store.Schema(t, s) != newest {
		t.Errorf("err = %v, schema %d; want the failure and version %d", err, store.Schema(t, s), newest)
	}
	if err := store.MigrateFurther(s, nil); err != nil || store.Schema(t, s) != newest+2 {
		t.Errorf("err = %v, schema %d; want version %d", err, store.Schema(t, s), newest+2)
	}
	if list := s.Maintenances(); len(list) != 1 || list[0].ID != m.ID {
		t.Errorf("maintenances = %v", list)
	}
}

func BenchmarkChange(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "psw.db"), store.Options{})
	m := create(b, s, maintenance("node1", at))
	for b.Loop() {
		change(b, s, func(tx *store.Tx) error {
			_, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
				m.Message += "."
				return m, tx.Journal(ha.Event{Type: ha.EventDo, Text: "migrate vm:100 live from node1 to node2"})
			})
			return err
		})
	}
}

func BenchmarkOpenWithAFullJournal(b *testing.B) {
	path := filepath.Join(b.TempDir(), "psw.db")
	s := open(b, path, store.Options{})
	for range 100 {
		change(b, s, func(tx *store.Tx) error {
			for range store.JournalMax / 100 {
				if err := tx.Journal(ha.Event{At: at, Type: ha.EventDo, Node: "node1", SID: ha.MustSID("vm:100"),
					Maintenance: "20261121T030000.123Z-node1", Text: "migrate vm:100 live from node1 to node2"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	_ = s.Close()
	for b.Loop() {
		s, err := store.Open(path, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
	info, _ := os.Stat(path)
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}
