package agent

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func TestTheNewestCoordinatorIsRememberedAcrossRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	first := openLineage(dir)
	for _, a := range []accepted{{1, "c1"}, {3, "c3"}, {3, "c3"}, {4, "c4"}} {
		if err := first.admit(a); err != nil {
			t.Fatalf("admit %v: %v", a, err)
		}
	}
	again := openLineage(dir)
	if got := again.current(); got != (accepted{4, "c4"}) {
		t.Errorf("after a restart it remembers %v", got)
	}
	for _, a := range []accepted{{3, "c3"}, {4, "c5"}} {
		if err := again.admit(a); ha.KindOf(err) != ha.Conflict {
			t.Errorf("after a restart it admits %v: %v", a, err)
		}
	}
	if err := again.admit(accepted{4, "c4"}); err != nil {
		t.Errorf("after a restart it refuses the one it obeys: %v", err)
	}
}

// A damaged file: who is the newest cannot be known, so nobody is obeyed until the
// operator has looked and removed it.
func TestADamagedMemoryObeysNobodyUntilAnOperatorLooked(t *testing.T) {
	for _, content := range []string{"", "{", `{"generation":0,"coordinator":""}`, `{"generation":7}`, "\x00\x00\x00"} {
		dir := t.TempDir()
		file := filepath.Join(dir, lineageFile)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		m := newMachine()
		a := newAgent(t, m, dir)
		if err := a.Welcome(ha.Welcome{Coordinator: "c1", Generation: 7}); err != nil {
			t.Errorf("%q: Welcome: %v; a coordinator that sees is better than a blind one", content, err)
		}
		r := a.Obey(t.Context(), order("o1"))
		if !strings.Contains(r.Refused, "then remove "+file) || len(m.commands()) > 0 {
			t.Errorf("%q: %+v after %q, want it refused with what to do", content, r, m.commands())
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if r := a.Obey(t.Context(), order("o2")); r.Refused != "" {
			t.Errorf("%q: after the file was removed: %+v", content, r)
		}
	}
}

// A process that is killed while it accepts one coordinator after another leaves behind
// a whole file, which says at least what was last admitted.
func TestAKillLeavesAWholeMemory(t *testing.T) {
	if dir := os.Getenv("PSW_HA_TEST_ADMIT"); dir != "" {
		l := openLineage(dir)
		for g := l.current().Generation + 1; ; g++ {
			if err := l.admit(accepted{g, fmt.Sprintf("c%d", g)}); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("admitted %d\n", g) //nolint:forbidigo // the parent reads it
		}
	}
	dir := t.TempDir()
	var last uint64
	for range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestAKillLeavesAWholeMemory$", "-test.v")
		child.Env = append(os.Environ(), "PSW_HA_TEST_ADMIT="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// It is killed after it has said a few times that it admitted somebody, whatever
		// it is doing then.
		var said uint64
		lines := bufio.NewScanner(out)
		for n := 0; n < 20 && lines.Scan(); {
			if k, _ := fmt.Sscanf(lines.Text(), "admitted %d", &said); k == 1 {
				n++
			}
		}
		if err := child.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		l := openLineage(dir)
		if l.fault != nil {
			t.Fatalf("after the kill: %v", l.fault)
		}
		if got := l.current(); said == 0 || got.Generation < said || got.Generation <= last || got.Coordinator != fmt.Sprintf("c%d", got.Generation) {
			t.Fatalf("after the kill it remembers %v; it had said that it admitted %d", got, said)
		}
		last = l.current().Generation
	}
}
