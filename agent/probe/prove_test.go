package probe

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// prove does one node's part, as the child does it.
func prove(t *testing.T, path, deed string, mounted bool) ha.StorageSight {
	t.Helper()
	var out bytes.Buffer
	if code := childProve(path, deed, "abcdefghijklmnop", mounted, &out); code != 0 {
		t.Fatalf("exit %d", code)
	}
	var s ha.StorageSight
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// One writes, another reads it back in the same folder, a third in another: the file system
// is the test's own, so that everything but the network is real.
func TestAWordIsSeenWhereItWasWritten(t *testing.T) {
	shared, local := t.TempDir(), t.TempDir()
	wrote := prove(t, shared, "write", false)
	if !wrote.Seen || !wrote.Written || wrote.Lock != ha.LockGiven || wrote.File == 0 || wrote.MountPoint == "" {
		t.Errorf("the writer met %+v", wrote)
	}
	if again := prove(t, shared, "write", false); again.Written || !strings.Contains(again.WriteFault, "exists") {
		t.Errorf("a second writer met %+v, want that the word is there", again)
	}
	read := prove(t, shared, "read", false)
	if !read.Seen || !read.Written || read.FSID != wrote.FSID || read.File != wrote.File {
		t.Errorf("the reader met %+v, the writer %+v", read, wrote)
	}
	if other := prove(t, local, "read", false); other.Seen || other.ReadFault != "what the other node wrote is not there" || !other.Written {
		t.Errorf("a reader of another folder met %+v", other)
	}
	prove(t, shared, "remove", false)
	if left, _ := os.ReadDir(filepath.Join(shared, WriteFolder)); len(left) != 0 {
		t.Errorf("%v is left behind", left)
	}
}

// Where nothing is mounted nothing is written: the guest's disk would be on the node's own.
func TestNothingIsWrittenWhereNothingIsMounted(t *testing.T) {
	dir := t.TempDir()
	for _, deed := range []string{"write", "read"} {
		if s := prove(t, dir, deed, true); s.Seen || s.Written || !strings.Contains(s.WriteFault, "nothing is mounted on "+dir) {
			t.Errorf("%s met %+v", deed, s)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v was written", left)
	}
}

// A word that something else put there is not the other node's.
func TestAWordThatIsNotWholeIsNotSeen(t *testing.T) {
	dir := t.TempDir()
	prove(t, dir, "write", false)
	if err := os.WriteFile(filepath.Join(dir, WriteFolder, "proof-abcdefghijklmnop"), []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := prove(t, dir, "read", false); s.Seen || !strings.Contains(s.ReadFault, "not what the other node wrote") {
		t.Errorf("met %+v", s)
	}
}

// The server's clock may be hours behind: to the nodes what was just written there looks like
// left over from long ago. The first who reads it leaves it for the others all the same.
func TestAWordOnAServerWhoseClockIsBehind(t *testing.T) {
	dir := t.TempDir()
	prove(t, dir, "write", false)
	folder := filepath.Join(dir, WriteFolder)
	if err := os.WriteFile(filepath.Join(folder, "proof-ponmlkjihgfedcba"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	behind := time.Now().Add(-3 * time.Hour)
	for _, name := range []string{"proof-abcdefghijklmnop", "proof-ponmlkjihgfedcba"} {
		if err := os.Chtimes(filepath.Join(folder, name), behind, behind); err != nil {
			t.Fatal(err)
		}
	}
	for _, reader := range []string{"first", "second"} {
		if s := prove(t, dir, "read", false); !s.Seen || !s.Written {
			t.Errorf("the %s reader met %+v", reader, s)
		}
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("%v is there, want this proof's word and nobody else's", left)
	}
}
