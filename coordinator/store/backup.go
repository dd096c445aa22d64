package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// restoreJump is how far Restore lifts the generation. A copy cannot know how often the
// coordinator was started since it was made, and agents refuse whoever is older than what
// they have accepted; nobody starts a coordinator a million times between two backups.
const restoreJump = 1_000_000

// Backup writes a consistent copy of the state as it is now. Changes go on meanwhile.
func (s *Store) Backup(w io.Writer) error {
	err := s.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot copy the coordinator's state %s: %w", s.path, err)
	}
	return nil
}

// Check reads every page and every value of the open file. Invalid if anything is damaged.
func (s *Store) Check() error {
	s.changing.Lock() // nobody else writes
	defer s.changing.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		return s.wrong("read", err)
	}
	defer func() { _ = f.Close() }()
	if _, err := verify(f); err != nil {
		return damagedError(s.path, err)
	}
	return nil
}

// Verify checks a state file that nobody has open, without changing it: every page, every
// value. Invalid if it is damaged, foreign or newer than this program, Conflict if somebody
// has it open, NotFound if it is missing.
func Verify(path string) error {
	version, err := verified(path, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ha.Errorf(ha.NotFound, "cannot read the coordinator's state: %w", err)
	case err == nil && version == 0:
		return damagedError(path, errors.New("it is empty"))
	}
	return err
}

// copyTries bounds CopyLive. Copying takes milliseconds and the coordinator writes every few
// seconds, so a second try is rare and a tenth means something else is wrong.
const copyTries = 10

// CopyLive copies the state file at path to a new file, also while a coordinator has it
// open and locked, and verifies the copy.
//
// It is safe because bbolt never overwrites a page that its newest finished transaction
// uses, and writes one of the two header pages last. If both headers read the same before
// and after the copy, no transaction finished meanwhile, so every page the newest header
// leads to was copied as it was. Otherwise the copy is thrown away and made again.
func CopyLive(path, to string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return ha.Errorf(ha.NotFound, "cannot read the coordinator's state: %w", err)
	}
	defer func() { _ = from.Close() }()
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ha.Errorf(ha.Conflict, "cannot make the copy of the coordinator's state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(to)
		}
	}()
	err = errors.Join(copyQuiet(from, out), out.Close())
	if err != nil {
		return ha.Errorf(ha.Unavailable, "cannot copy the coordinator's state %s to %s: %w", path, to, err)
	}
	return Verify(to)
}

// copyQuiet copies from into out until no transaction finished meanwhile.
func copyQuiet(from, out *os.File) error {
	for range copyTries {
		before, err := headers(from)
		if err != nil {
			return err
		}
		if err := out.Truncate(0); err != nil {
			return err
		}
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.Copy(out, io.NewSectionReader(from, 0, 1<<62)); err != nil {
			return err
		}
		after, err := headers(from)
		if err != nil {
			return err
		}
		if bytes.Equal(before, after) {
			return out.Sync()
		}
	}
	return errors.New("it kept changing; try again")
}

// headers reads the file's first two pages, of which bbolt makes its header pages.
func headers(f *os.File) ([]byte, error) {
	b := make([]byte, 2*os.Getpagesize())
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// Restore puts a copy in the place of the state file at path and returns where the file
// that was there went ("" if there was none). It verifies the copy first, and refuses with
// a Conflict while a coordinator has the state open. The generation is lifted far above the
// copy's, so that agents accept the restored coordinator.
func Restore(copied, path string, at time.Time) (aside string, err error) {
	if err := Verify(copied); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", ha.Errorf(ha.Unavailable, "cannot restore the coordinator's state: %w", err)
	}
	fresh := path + ".restoring"
	_ = os.Remove(fresh) // left by a restore that was interrupted
	if err := CopyLive(copied, fresh); err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(fresh) }()
	if err := lift(fresh); err != nil {
		return "", err
	}
	put := func(*os.File) error {
		return errors.Join(os.Rename(fresh, path), syncFolder(filepath.Dir(path)))
	}
	err = locked(path, 0, func(f *os.File) error {
		aside = path + ".before-restore-" + at.UTC().Format("20060102T150405Z")
		if err := os.Link(path, aside); err != nil {
			return fmt.Errorf("keep the present one: %w", err)
		}
		return put(f)
	})
	if errors.Is(err, os.ErrNotExist) {
		aside, err = "", put(nil)
	}
	switch {
	case errors.Is(err, errInUse):
		return "", ha.Errorf(ha.Conflict, "cannot restore the coordinator's state %s: %w", path, err)
	case err != nil:
		return "", ha.Errorf(ha.Unavailable, "cannot restore the coordinator's state %s: %w", path, err)
	}
	return aside, nil
}

// lift raises the generation of the state file at path by restoreJump.
func lift(path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		own, seen, err := generations(tx)
		if err != nil {
			return err
		}
		_, err = put(tx.Bucket(bucketGeneration), keyOwn, max(own, seen)+restoreJump)
		return err
	})
	if err != nil {
		err = s.wrong("write", err)
	}
	return errors.Join(err, s.Close())
}

// syncFolder makes a rename in folder durable.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
