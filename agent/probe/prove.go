package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A Prover is a Host on which it can be tried whether a storage is shared.
type Prover interface {
	// Prove does one node's part of it on an absolute path: deed is write, read or remove.
	// With mounted it touches nothing unless something is mounted on the path. What it met
	// is returned as JSON, in the form of an ha.StorageSight. It may hang as Statfs may,
	// with the same guarantees.
	Prove(ctx context.Context, deed, path, nonce string, mounted bool) (sight []byte, err error)
}

const (
	// mustBeMounted and anywhere are the child's last argument.
	mustBeMounted = "mounted"
	anywhere      = "anywhere"
	// leftoverMin is the age from which a word is one that nobody waits for any more.
	leftoverMin = time.Hour
	// readTries and readPause: a distributed file system may need a moment to show a file.
	readTries = 4
	readPause = 500 * time.Millisecond
)

// Prove does a node's part in a child process: see fileChild.
func (h *localHost) Prove(ctx context.Context, deed, path, nonce string, mounted bool) ([]byte, error) {
	where := anywhere
	if mounted {
		where = mustBeMounted
	}
	return h.fileChild(ctx, "prove", path, deed, nonce, where)
}

// Storages reads storage.cfg. It may hang as long as pmxcfs does.
func Storages(h Host) ([]ha.LocalStorage, error) {
	data, err := optional(h, storageConf)
	if err != nil {
		return nil, bare(err)
	}
	return parseStorageConf(string(data)), nil
}

// childProve is Prove in the child. Faults of the file system are what it is there to see:
// they are part of the answer.
func childProve(path, deed, nonce string, mounted bool, stdout io.Writer) (code int) {
	began := time.Now()
	p := prover{path: filepath.Clean(path), nonce: nonce}
	p.look()
	if mounted && p.sight.MountPoint != p.path {
		p.sight.WriteFault = fmt.Sprintf("nothing is mounted on %s: it is a folder of %s (%s on %s)", p.path, p.sight.MountPoint, p.sight.FSType, p.sight.Source)
		p.sight.ReadFault = p.sight.WriteFault
	} else {
		switch ha.ProofDeed(deed) {
		case ha.ProofWrite:
			p.write()
		case ha.ProofRead:
			p.read()
		case ha.ProofRemove:
			for _, name := range []string{p.file(), p.own()} {
				if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					p.sight.WriteFault = bare(err).Error()
				}
			}
		}
	}
	p.sight.Took = time.Since(began)
	if err := json.NewEncoder(stdout).Encode(p.sight); err != nil {
		return childFailed
	}
	return 0
}

// prover is a node's part in one proof.
type prover struct {
	path, nonce string
	sight       ha.StorageSight
}

func (p *prover) dir() string  { return filepath.Join(p.path, WriteFolder) }
func (p *prover) file() string { return filepath.Join(p.dir(), "proof-"+p.nonce) }

// own is what a reader writes.
func (p *prover) own() string {
	host, _ := os.Hostname()
	return p.file() + "." + host
}

// look finds out what is mounted on the path, and which file system that is.
func (p *prover) look() {
	table, _ := os.ReadFile("/proc/self/mountinfo") // what is not seen there stays empty
	mounts, _ := parseMountTable(string(table))
	for at := p.path; ; at = filepath.Dir(at) {
		if m, ok := mounts[at]; ok {
			p.sight.MountPoint, p.sight.Source, p.sight.FSType, p.sight.ReadOnly = m.Path, m.Source, m.Type, m.ReadOnly
			volumes, _ := os.ReadFile("/proc/fs/nfsfs/volumes")
			p.sight.FSID = parseVolumes(string(volumes))[m.Device]
			break
		}
		if at == "/" || at == "." {
			break
		}
	}
	var s unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Statfs(p.path, &s) }); err == nil {
		p.sight.ReadOnly = p.sight.ReadOnly || s.Flags&unix.ST_RDONLY != 0
		if p.sight.FSID == "" && s.Fsid.Val != [2]int32{} {
			p.sight.FSID = fmt.Sprintf("%08x%08x", uint32(s.Fsid.Val[0]), uint32(s.Fsid.Val[1]))
		}
	}
}

// write writes the word, where nothing of that name is, under a lock.
func (p *prover) write() {
	if err := p.prepare(); err != nil {
		p.sight.WriteFault = bare(err).Error()
		return
	}
	if err := p.put(p.file(), true); err != nil {
		p.sight.WriteFault = bare(err).Error()
		if !errors.Is(err, fs.ErrExist) { // else it is somebody else's
			_ = os.Remove(p.file())
		}
		return
	}
	p.sight.Seen, p.sight.Written = true, true
}

// prepare makes the folder and removes words that were left behind. Those of this proof stay,
// however old they look: the server's clock may be behind.
func (p *prover) prepare() error {
	if err := os.Mkdir(p.dir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Lstat(p.dir()); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no folder", p.dir())
	}
	entries, _ := os.ReadDir(p.dir()) // leftovers do no harm
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "proof-") || strings.HasPrefix(e.Name(), "proof-"+p.nonce) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftoverMin {
			_ = os.Remove(filepath.Join(p.dir(), e.Name()))
		}
	}
	return nil
}

// put writes the word into a new file, syncs it and reads it back.
func (p *prover) put(name string, lock bool) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if lock {
		p.sight.Lock = askLock(f, unix.F_WRLCK)
	}
	if _, err := f.WriteString(p.nonce + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil { // NFS keeps what is written until then
		return err
	}
	p.inspect(f, lock)
	got := make([]byte, len(p.nonce)+2)
	n, err := f.ReadAt(got, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !p.is(got[:n]) {
		return fmt.Errorf("wrote %d bytes and read %d others", len(p.nonce)+1, n)
	}
	return nil
}

func (p *prover) is(got []byte) bool { return bytes.Equal(got, []byte(p.nonce+"\n")) }

// inspect notes whom a file of ours belongs to, and the number of the word's.
func (p *prover) inspect(f *os.File, word bool) {
	info, err := f.Stat()
	if err != nil {
		return
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if word {
			p.sight.File = s.Ino
		}
		p.sight.Squashed = os.Geteuid() == 0 && s.Uid != 0
	}
}

// askLock asks for a lock as QEMU asks for its images'. It goes when the file is closed.
func askLock(f *os.File, kind int16) ha.LockSight {
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: kind})
	switch {
	case err == nil:
		return ha.LockGiven
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return ha.LockHeld
	default:
		return ha.LockNone
	}
}

// read looks for the word, then tries to write as the writer did.
func (p *prover) read() {
	if err := p.find(); err != nil {
		p.sight.ReadFault = bare(err).Error()
	} else {
		p.sight.Seen = true
	}
	if err := p.prepare(); err != nil {
		p.sight.WriteFault = bare(err).Error()
		return
	}
	err := errors.Join(p.put(p.own(), false), os.Remove(p.own()))
	if errors.Is(err, fs.ErrExist) || err == nil {
		p.sight.Written = err == nil
		return
	}
	p.sight.WriteFault = bare(err).Error()
}

func (p *prover) find() error {
	var f *os.File
	var err error
	for try := range readTries {
		if f, err = os.OpenFile(p.file(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); !errors.Is(err, fs.ErrNotExist) || try == readTries-1 {
			break
		}
		<-time.After(readPause) // a child of its own, which is killed when it takes too long
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("what the other node wrote is not there")
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	p.sight.Lock = askLock(f, unix.F_RDLCK)
	p.inspect(f, true)
	got, err := io.ReadAll(io.LimitReader(f, int64(len(p.nonce)+2)))
	if err != nil {
		return err
	}
	if !p.is(got) {
		return fmt.Errorf("it holds %d bytes that are not what the other node wrote", len(got))
	}
	return nil
}
