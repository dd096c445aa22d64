package store_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var at = time.Date(2026, 11, 21, 3, 0, 0, 123456789, time.UTC)

// open opens a state file for the length of the test.
func open(t testing.TB, path string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func change(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Change(at, fn); err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, s *store.Store, m ha.Maintenance) ha.Maintenance {
	t.Helper()
	change(t, s, func(tx *store.Tx) (err error) {
		m, err = tx.Create(m)
		return err
	})
	return m
}

func maintenance(node ha.NodeName, requested time.Time) ha.Maintenance {
	return ha.Maintenance{Node: node, Phase: ha.Requested, RequestedAt: requested, By: "anna"}
}

func TestStateIsThereAfterAReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "psw.db")
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	policy := ha.Policy{Project: "home", Targets: []ha.Target{{Name: "core", Type: ha.TargetLXC, Node: "node1", HA: true}}}
	report := ha.Report{Node: "node1", Agent: "v1", Received: at, Took: time.Second}
	var m ha.Maintenance
	change(t, s, func(tx *store.Tx) (err error) {
		if changed, err := tx.SetPolicy(policy); err != nil || !changed {
			t.Fatalf("SetPolicy = %v, %v; want changed", changed, err)
		}
		if m, err = tx.Create(maintenance("node1", at)); err != nil {
			return err
		}
		return errors.Join(tx.SaveReports([]ha.Report{report}), tx.SetFacts(store.Facts{"guest/vm:100": "node1"}),
			tx.Journal(ha.Event{Type: ha.EventStarted, Text: "started"}))
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, store.Options{})
	if got, ok := s.Policy(); !ok || !cmp.Equal(got, policy) {
		t.Errorf("policy: %s", cmp.Diff(policy, got))
	}
	if diff := cmp.Diff([]ha.Maintenance{m}, s.Maintenances()); diff != "" {
		t.Errorf("maintenances: %s", diff)
	}
	if got, err := s.Reports(); err != nil || !cmp.Equal(got, []ha.Report{report}) {
		t.Errorf("reports: %v %s", err, cmp.Diff([]ha.Report{report}, got))
	}
	if got, err := s.Facts(); err != nil || got["guest/vm:100"] != "node1" {
		t.Errorf("facts: %v %v", err, got)
	}
	want := []ha.Event{{Seq: 1, At: at, Type: ha.EventStarted, Text: "started"}}
	if got, err := s.Events(0, 10); err != nil || !cmp.Equal(got, want) {
		t.Errorf("events: %v %s", err, cmp.Diff(want, got))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

func TestAFileOpenToOthersIsClosedToThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	s := open(t, path, store.Options{})
	_ = s.Close()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, store.Options{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

func TestASecondCoordinatorIsRefusedByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "psw.db")
		open(t, path, store.Options{})
		began := time.Now()
		_, err := store.Open(path, store.Options{})
		if ha.KindOf(err) != ha.Conflict || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "stop the other one") {
			t.Errorf("err = %v; want a Conflict that names %s and says what to do", err, path)
		}
		if waited := time.Since(began); waited < store.LockTimeout-time.Second || waited > store.LockTimeout {
			t.Errorf("waited %s; want about %s", waited, store.LockTimeout)
		}
	})
}

func TestANewerSchemaIsRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	s := open(t, path, store.Options{})
	store.SetSchema(t, s, 99)
	_ = s.Close()
	before, _ := os.ReadFile(path)
	_, err := store.Open(path, store.Options{})
	if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), "version 99") || !strings.Contains(err.Error(), "newer psw-coordinator") {
		t.Errorf("err = %v; want an Invalid that names both versions and the way out", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the refused file was changed")
	}
}

func TestAnotherProgramsFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	store.ForeignFile(t, path)
	if _, err := store.Open(path, store.Options{}); ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), "raft") {
		t.Errorf("err = %v; want an Invalid that says what was found", err)
	}
}

// Whatever happened to the file, Open answers with a sentence, or the file is still whole;
// it never panics, faults or hangs, and never leaves the lock behind.
func TestADamagedFileIsASentence(t *testing.T) {
	folder := t.TempDir()
	whole := filepath.Join(folder, "whole.db")
	s := open(t, whole, store.Options{})
	for k := range 40 {
		change(t, s, func(tx *store.Tx) error {
			return tx.Journal(ha.Event{Type: ha.EventDo, Text: strings.Repeat("migrate ", 30) + strconv.Itoa(k)})
		})
	}
	create(t, s, maintenance("node1", at))
	_ = s.Close()
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, bad []byte) error {
		path := filepath.Join(folder, "damaged.db")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time shows that the first let go of the lock
			s, err := store.Open(path, store.Options{LockTimeout: 100 * time.Millisecond})
			if err == nil {
				_ = s.Close()
				continue
			}
			if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "psw-coordinator restore") {
				t.Errorf("%s: %v; want an Invalid that names the file and the way out", name, err)
			}
			return err
		}
		return nil
	}
	if try("text", []byte(strings.Repeat("not a database\n", 2000))) == nil {
		t.Error("a text file was accepted")
	}
	if try("half a page", good[:2000]) == nil {
		t.Error("half a page was accepted")
	}
	for _, size := range []int{4096, 8192, 3 * 4096, len(good) / 2} {
		if try(fmt.Sprintf("cut to %d bytes", size), good[:size]) == nil {
			t.Errorf("a file cut to %d of %d bytes was accepted", size, len(good))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for k := range 300 {
		bad := bytes.Clone(good)
		for range 1 + random.IntN(8) {
			// Page headers and element tables are what bbolt trusts; hit them more often.
			at := random.IntN(len(bad)/4096)*4096 + random.IntN(64)
			if k%3 == 0 {
				at = random.IntN(len(bad))
			}
			bad[at] ^= byte(1 + random.IntN(255))
		}
		if try(fmt.Sprintf("flipped bytes, round %d", k), bad) != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed in 300 rounds")
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "psw.db")
	s := open(t, path, store.Options{SizeMax: 1 << 17})
	m := create(t, s, maintenance("node1", at))
	var last uint64
	var full error
	for range 1000 {
		err := s.Change(at, func(tx *store.Tx) error {
			if _, err := tx.Amend(m.ID, func(m ha.Maintenance) (ha.Maintenance, error) {
				m.Message = strings.Repeat("x", int(last))
				return m, nil
			}); err != nil {
				return err
			}
			return tx.Journal(ha.Event{Type: ha.EventDo, Text: strings.Repeat("a long story ", 300)})
		})
		if err != nil {
			full = err
			break
		}
		last++
	}
	if ha.KindOf(full) != ha.Unavailable || !strings.Contains(full.Error(), "no space left") || !strings.Contains(full.Error(), path) {
		t.Fatalf("err = %v; want an Unavailable that says there is no space, and where", full)
	}
	check := func(s *store.Store) {
		t.Helper()
		if got := len(s.Maintenances()[0].Message); got != int(last)-1 {
			t.Errorf("message has %d characters; want the last stored %d", got, last-1)
		}
		if events, err := s.Events(0, 10000); err != nil || uint64(len(events)) != last {
			t.Errorf("%d events, %v; want %d", len(events), err, last)
		}
	}
	check(s)
	_ = s.Close()
	s = open(t, path, store.Options{}) // room was made
	check(s)
	change(t, s, func(tx *store.Tx) error { return tx.Journal(ha.Event{Text: "goes on"}) })
	if events, _ := s.Events(last, 10); len(events) != 1 || events[0].Seq != last+1 {
		t.Errorf("events = %v; want the one with the next number", events)
	}
}

// The child of this test appends events as fast as it can and says which are stored; then it
// is killed in the middle. Every event it had said is there, and the numbers have no gap.
func TestKillNineLosesNothingThatWasSaid(t *testing.T) {
	if path := os.Getenv("PSW_TEST_STORE"); path != "" {
		s := open(t, path, store.Options{})
		for {
			change(t, s, func(tx *store.Tx) error {
				return tx.Journal(ha.Event{Text: "one"}, ha.Event{Text: "two"})
			})
			last, _, _ := s.LastEvent(1, func(ha.Event) bool { return true })
			fmt.Println("stored", last.Seq)
		}
	}
	path := filepath.Join(t.TempDir(), "psw.db")
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestKillNineLosesNothingThatWasSaid$")
		child.Env = append(os.Environ(), "PSW_TEST_STORE="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		said := uint64(0)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if v, ok := strings.CutPrefix(lines.Text(), "stored "); ok {
				if said, err = strconv.ParseUint(v, 10, 64); err != nil {
					t.Fatal(err)
				}
			}
			if n == 20+7*round {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait()
		s := open(t, path, store.Options{})
		events, err := s.Events(0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range events {
			if e.Seq != uint64(k)+1 {
				t.Fatalf("round %d: event %d has the number %d", round, k, e.Seq)
			}
		}
		if uint64(len(events)) < said || len(events)%2 != 0 || said == 0 {
			t.Fatalf("round %d: %d events are there, %d were said to be stored; each transaction had two", round, len(events), said)
		}
		_ = s.Close()
	}
}
