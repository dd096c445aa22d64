package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// WriteFolder is the folder below a mount's root that is written to.
const WriteFolder = ".psw-ha"

// TryWrite writes a small file and reads it back, in a child process: see fileChild.
func (h *localHost) TryWrite(ctx context.Context, path string) error {
	_, err := h.fileChild(ctx, "write", path)
	return err
}

// childWrite is TryWrite in the child. Each attempt has a file of its own, so that nodes do
// not meet, and neither does an attempt that was killed and the next one.
func childWrite(path string, _ io.Writer) error {
	dir := filepath.Join(path, WriteFolder)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return bare(err)
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	prefix := "write-" + host + "-"
	removeLeftovers(dir, prefix)
	want := []byte(rand.Text() + "\n")
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return bare(err)
	}
	got := make([]byte, len(want)+1)
	n := 0
	_, err = f.Write(want)
	if err == nil {
		err = f.Sync() // NFS keeps what is written until then
	}
	if err == nil {
		n, err = f.ReadAt(got, 0)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	err = errors.Join(bare(err), bare(f.Close()), bare(os.Remove(f.Name())))
	if err == nil && !bytes.Equal(got[:n], want) {
		err = fmt.Errorf("wrote %d bytes and read %d others", len(want), n)
	}
	return err
}

// removeLeftovers removes what attempts of this host left behind that were killed. There is
// never more than one attempt at a time, so that none of it is in use.
func removeLeftovers(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // it is tried again next time
		}
	}
}
