package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// bbolt trusts its file: a page number that leads nowhere is a fault that ends the process,
// one that leads in a circle never ends. So a file is walked here before bbolt sees it,
// with every number checked, in bbolt's file format 2 (unchanged since 2013).

// The format: a page begins with id u64, flags u16, count u16, overflow u32; overflow is
// the number of further pages it covers.
const (
	pageHeader   = 16
	elementSize  = 16 // both kinds
	bucketHeader = 16 // root u64, sequence u64, before an inline bucket's page

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	leafIsBucket = 0x01

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 56 // of the checksummed part
	noFreelist  = ^uint64(0)
	freelistBig = 0xFFFF // then the first id is the count

	// depthMax: a tree this deep would hold more keys than there are atoms of iron in a disk.
	depthMax = 32
)

// walk is one walk over a file.
type walk struct {
	file     io.ReaderAt
	size     int64
	pageSize int64
	pages    uint64 // page numbers in use are below
	seen     map[uint64]bool
	schema   int
	foreign  string // a bucket of somebody else's
}

// verify reads every page of a locked file, decodes every value, and returns the schema
// version: 0 for an empty file, which becomes a new one.
func verify(f *os.File) (schema int, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	w := &walk{file: f, size: info.Size(), seen: make(map[uint64]bool)}
	root, freelist, err := w.header()
	if err != nil {
		return 0, err
	}
	if need := int64(w.pages) * w.pageSize; w.size < need {
		return 0, fmt.Errorf("truncated: %d of %d bytes are there", w.size, need)
	}
	if err := w.tree(nil, root, depthMax); err != nil {
		return 0, err
	}
	if err := w.free(freelist); err != nil {
		return 0, err
	}
	if w.schema == 0 && w.foreign != "" {
		return 0, fmt.Errorf("it holds a bucket %q and no schema version", w.foreign)
	}
	return w.schema, nil
}

// header finds the newest valid of the two header pages. The page size is in it, so that
// the second one is looked for at every size bbolt could have chosen.
func (w *walk) header() (root, freelist uint64, err error) {
	newest := uint64(0)
	found := false
	try := func(at int64) {
		b := make([]byte, pageHeader+metaSize+8)
		if n, _ := w.file.ReadAt(b, at); n < len(b) {
			return
		}
		b = b[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(b[:metaSize])
		u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
		if u32(b) != metaMagic || u32(b[4:]) != metaVersion || u64(b[metaSize:]) != sum.Sum64() {
			return
		}
		if txid := u64(b[48:]); !found || txid > newest {
			found, newest = true, txid
			w.pageSize, root, freelist, w.pages = int64(u32(b[8:])), u64(b[16:]), u64(b[32:]), u64(b[40:])
		}
	}
	try(0)
	for at := int64(1024); at <= 1<<24; at *= 2 {
		try(at)
	}
	switch {
	case !found:
		return 0, 0, errors.New("no valid header")
	case w.pageSize < 1024 || w.pages > 1<<40/uint64(w.pageSize):
		return 0, 0, errors.New("impossible sizes in the header")
	}
	return root, freelist, nil
}

// page reads page id with the pages it covers, and notes that they are in use.
func (w *walk) page(id uint64) (flags, count uint16, b []byte, err error) {
	if id < 2 || id >= w.pages {
		return 0, 0, nil, fmt.Errorf("page %d does not exist", id)
	}
	head := make([]byte, pageHeader)
	if _, err := w.file.ReadAt(head, int64(id)*w.pageSize); err != nil {
		return 0, 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head) != id || overflow >= w.pages-id {
		return 0, 0, nil, fmt.Errorf("page %d: its header is not its own", id)
	}
	for k := id; k <= id+overflow; k++ {
		if w.seen[k] {
			return 0, 0, nil, fmt.Errorf("page %d is used twice", k)
		}
		w.seen[k] = true
	}
	b = make([]byte, int64(overflow+1)*w.pageSize)
	if _, err := w.file.ReadAt(b, int64(id)*w.pageSize); err != nil {
		return 0, 0, nil, fmt.Errorf("page %d: %w", id, err)
	}
	return binary.NativeEndian.Uint16(b[8:]), binary.NativeEndian.Uint16(b[10:]), b, nil
}

// tree walks a bucket's pages from id down. name is the bucket's, nil for the root.
func (w *walk) tree(name []byte, id uint64, depth int) error {
	flags, count, b, err := w.page(id)
	switch {
	case err != nil:
		return err
	case depth == 0:
		return fmt.Errorf("page %d: the tree is too deep", id)
	case flags&flagLeaf != 0:
		if err := w.leaf(name, b, count, depth); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		return nil
	case flags&flagBranch == 0:
		return fmt.Errorf("page %d: unknown kind %#x", id, flags)
	}
	var last []byte
	for k := range int(count) {
		at := pageHeader + k*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("page %d: %d branches do not fit", id, count)
		}
		e := b[at:]
		key, ok := part(e, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if !ok || k > 0 && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("page %d: branch %d has an impossible key", id, k)
		}
		last = key
		if err := w.tree(name, binary.NativeEndian.Uint64(e[8:]), depth-1); err != nil {
			return err
		}
	}
	return nil
}

// leaf reads the keys and values of a leaf page.
func (w *walk) leaf(name, b []byte, count uint16, depth int) error {
	var last []byte
	for k := range int(count) {
		at := pageHeader + k*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("%d values do not fit", count)
		}
		e := b[at:]
		pos, ksize, vsize := binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:]), binary.NativeEndian.Uint32(e[12:])
		key, ok := part(e, pos, ksize)
		if !ok || k > 0 && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("value %d has an impossible key", k)
		}
		last = key
		value, ok := part(e[int(pos)+int(ksize):], 0, vsize)
		if !ok {
			return fmt.Errorf("value %d is longer than its page", k)
		}
		if err := w.entry(name, key, value, binary.NativeEndian.Uint32(e)&leafIsBucket != 0, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry reads one entry of a leaf: a value, or a bucket, which lies in pages of its own or,
// while it is small, inline.
func (w *walk) entry(name, key, value []byte, bucket bool, depth int) error {
	if !bucket {
		return w.value(name, key, value)
	}
	if name == nil && w.foreign == "" && !bytes.Equal(key, bucketMeta) {
		w.foreign = string(key)
	}
	if len(value) < bucketHeader {
		return fmt.Errorf("bucket %q has no header", key)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(key, root, depth-1)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || depth == 0 {
		return fmt.Errorf("bucket %q has no page", key)
	}
	return w.leaf(key, inline, binary.NativeEndian.Uint16(inline[10:]), depth-1)
}

// value decodes a value as reading it back would.
func (w *walk) value(bucket, key, value []byte) (err error) {
	if bytes.Equal(bucket, bucketMeta) && bytes.Equal(key, keySchema) {
		w.schema, err = strconv.Atoi(string(value))
		if err != nil || w.schema < 1 {
			return fmt.Errorf("schema version %q", value)
		}
		return nil
	}
	return decode(bucket, key, value)
}

// free reads the list of free pages: each must exist, once, and nobody may use it.
func (w *walk) free(id uint64) error {
	if id == noFreelist {
		return nil
	}
	flags, n, b, err := w.page(id)
	if err != nil {
		return err
	}
	count, ids := uint64(n), b[pageHeader:]
	if count == freelistBig && len(ids) >= 8 {
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if flags&flagFreelist == 0 || count > uint64(len(ids))/8 {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	for k := range count {
		free := binary.NativeEndian.Uint64(ids[8*k:])
		if free < 2 || free >= w.pages || w.seen[free] {
			return fmt.Errorf("page %d is listed as free and is not", free)
		}
		w.seen[free] = true
	}
	return nil
}

// part returns b[pos:pos+size] if there is such a part.
func part(b []byte, pos, size uint32) ([]byte, bool) {
	end := uint64(pos) + uint64(size)
	if end > uint64(len(b)) {
		return nil, false
	}
	return b[pos:end], true
}

// lockRetry is the pause between two attempts at a lock, as bbolt's.
const lockRetry = 50 * time.Millisecond

// locked runs fn while it holds bbolt's lock on the file at path, damaged or not. It waits
// for the lock up to timeout, then it is errInUse. A missing file is os.ErrNotExist.
func locked(path string, timeout time.Duration, fn func(*os.File) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for waited := time.Duration(0); ; waited += lockRetry {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return fn(f)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if waited+lockRetry > timeout {
			return errInUse
		}
		<-time.After(lockRetry)
	}
}
