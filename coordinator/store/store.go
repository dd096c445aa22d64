// Package store keeps what the coordinator must not forget when it is killed: the policy,
// the maintenances, the generation, the journal, the agents' last reports. Its secret is
// bbolt: buckets, keys, transactions, and what can go wrong with a file.
//
// One file, one owner: a second process that opens it is refused. Values are JSON, so that
// `bbolt get` and a text editor are enough to read a broken cluster's state at 2 a.m. Every
// change is one transaction, on disk (fsync) before the method returns; a process killed at
// any instant finds its last finished change again and nothing of an unfinished one.
package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Options are the knobs of Open. The zero value is right for production.
type Options struct {
	// LockTimeout is how long Open waits for another process to let go of the file;
	// 0 means LockTimeout.
	LockTimeout time.Duration
	// JournalMax is how many events are kept; 0 means JournalMax.
	JournalMax int
	// ClosedMax is how many maintenances that ended or were cancelled are kept; 0 means
	// ClosedMax. Open ones are always kept.
	ClosedMax int
	// SizeMax limits the file in bytes, and a write beyond it fails as on a full disk.
	// 0 means no limit.
	SizeMax int
	// Log hears of what Open put right. nil: nobody does.
	Log *slog.Logger
}

// The defaults of Options.
const (
	// LockTimeout: systemd may start the new process while the old one still writes its
	// last transaction, which takes milliseconds. Longer than a few seconds it is not a
	// restart but a second coordinator.
	LockTimeout = 5 * time.Second
	// JournalMax: a drain of forty guests writes about two hundred events, so this is
	// hundreds of drains, about 25 MB.
	JournalMax = 100_000
	// ClosedMax: the planner and the operator look at the newest of each node; more is history.
	ClosedMax = 200
)

// Store is an open state file. Its methods may be called from any goroutine.
type Store struct {
	db      *bolt.DB
	path    string
	options Options

	// changing serialises Change, so that memory follows the file in the same order.
	changing sync.Mutex
	// memory is what Maintenances and Policy answer from: decoded once, replaced after
	// each commit, never changed in place.
	memory atomic.Pointer[memory]
}

// memory is the part of the file that is read on every tick.
type memory struct {
	maintenances []ha.Maintenance // by ID
	operations   []ha.Operation   // by ID
	proofs       []ha.Proof       // see ha.CompareProofs
	policy       ha.Policy
	hasPolicy    bool
	vouched      vouched
}

// Open opens the state file, making it (mode 0600) and its folder (0700) if missing, checks
// every page, and brings an older schema up to date. The errors are sentences for people:
// Conflict if another process holds the file, Invalid if it is damaged, foreign or newer
// than this program, Unavailable if the file system refuses.
func Open(path string, o Options) (*Store, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = LockTimeout
	}
	if o.JournalMax == 0 {
		o.JournalMax = JournalMax
	}
	if o.ClosedMax == 0 {
		o.ClosedMax = ClosedMax
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, ha.Errorf(ha.Unavailable, "cannot make the folder of the coordinator's state: %w", err)
	}
	version, err := verified(path, o.LockTimeout)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := openFile(path, &bolt.Options{Timeout: o.LockTimeout, FreelistType: bolt.FreelistMapType, MaxSize: o.SizeMax})
	if err != nil {
		return nil, openError(path, err)
	}
	s := &Store{db: db, path: path, options: o}
	if err := s.prepare(version); err != nil {
		_ = db.Close()
		return nil, err
	}
	return s, nil
}

// prepare does what an opened file needs before its first use.
func (s *Store) prepare(version int) error {
	if err := s.tighten(); err != nil {
		return err
	}
	if err := migrate(s.db, version, migrations); err != nil {
		return s.wrong("bring the schema up to date of", err)
	}
	return s.remember()
}

// tighten takes group's and others' rights away: the journal and the policy tell where
// everything is, and whoever may write the file decides what is moved.
func (s *Store) tighten() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return s.wrong("read", err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return s.wrong("protect", err)
	}
	s.options.Log.Warn("state file was open to others; now mode 0600", "path", s.path, "was", info.Mode().Perm().String())
	return nil
}

// Path is the file's path.
func (s *Store) Path() string { return s.path }

// Close releases the file. No other method may be running or called afterwards.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return s.wrong("close", err)
	}
	return nil
}

// verified checks the state file at path and returns its schema version. os.ErrNotExist if
// there is none; a newer schema is refused, and the file not touched.
func verified(path string, timeout time.Duration) (version int, err error) {
	err = locked(path, timeout, func(f *os.File) error {
		if version, err = verify(f); err != nil {
			return damagedError(path, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, openError(path, err)
	case version > len(migrations):
		return 0, ha.Errorf(ha.Invalid, "cannot use the coordinator's state %s: its schema is version %d and this psw-coordinator knows version %d; "+
			"install the newer psw-coordinator again, or bring back a copy made before the upgrade with: psw-coordinator restore FILE",
			path, version, len(migrations))
	}
	return version, nil
}

// openFile opens a bbolt file. Restore renames another file over a stopped coordinator's;
// a process that waited for the lock meanwhile would get it on a file without a name, so
// the name is looked up again once the lock is held.
func openFile(path string, o *bolt.Options) (*bolt.DB, error) {
	for range 3 {
		var file *os.File
		o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		}
		db, err := bolt.Open(path, 0o600, o)
		if err != nil {
			return nil, err
		}
		held, err1 := file.Stat()
		named, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, named) {
			return db, nil
		}
		_ = db.Close()
	}
	return nil, errors.New("the file is being replaced; try again")
}

// openError says what is wrong with a file that could not be opened.
func openError(path string, err error) error {
	const cannot = "cannot open the coordinator's state %s: "
	var known *ha.Error
	switch {
	case errors.As(err, &known), errors.Is(err, os.ErrNotExist):
		return err
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, errInUse):
		return ha.Errorf(ha.Conflict, cannot+"%w", path, errInUse)
	case errors.Is(err, os.ErrPermission):
		return ha.Errorf(ha.Denied, cannot+"%w; it belongs to the user psw-coordinator runs as", path, err)
	default:
		return ha.Errorf(ha.Unavailable, cannot+"%w", path, err)
	}
}

var errInUse = errors.New("another process has it open; a state file belongs to one psw-coordinator, " +
	"stop the other one first (systemctl stop psw-coordinator)")

func damagedError(path string, err error) error {
	return ha.Errorf(ha.Invalid, "cannot use the coordinator's state %s: it is damaged or no state file (%w); "+
		"bring back a copy with: psw-coordinator restore FILE", path, err)
}

// wrong says what is wrong with a file in use. A full disk gets its own words, because it
// is the one a person mends: nothing was lost, and nothing is done until it can be written.
func (s *Store) wrong(what string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return ha.Errorf(ha.Unavailable, "cannot %s the coordinator's state %s: no space left (%w); "+
			"the change was not made, what was stored before is intact; make room on that file system", what, s.path, err)
	}
	return ha.Errorf(ha.Unavailable, "cannot %s the coordinator's state %s: %w", what, s.path, err)
}
