package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A host that counts how often each file is read.
type counting struct {
	*Recording
	reads map[string]int
}

func (c counting) ReadFile(name string) ([]byte, error) {
	c.reads[name]++
	return read(c.Recording, name)
}

const (
	statOfKernel  = "%d (kworker/0:1) I 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 18446744073709551615 0\n"
	statOfProgram = "%d (a (b) c) S 1 9 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 18446744073709551615 0\n"
)

// Threads of the kernel are looked at until they are known, and then no more: until so many
// processes have been started that the PID may be somebody else's. Any other process may
// become a guest in the next moment.
func TestThreadsOfTheKernelAreKnown(t *testing.T) {
	h := counting{newRecording("node1"), map[string]int{}}
	started := func(n int) { h.add("proc/stat", fmt.Sprintf("cpu0 1\nprocesses %d\nbtime 5\n", n)) }
	process := func(pid int, name, stat string) {
		h.add(fmt.Sprintf("proc/%d/comm", pid), name+"\n")
		h.add(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf(stat, pid))
	}
	h.add("proc/sys/kernel/pid_max", "32768\n")
	process(20, "kworker/0:1", statOfKernel)
	process(30, "sleep", statOfProgram)
	var threads kernelThreads
	look := func() (guests int) {
		clear(h.reads)
		list, err := scanProcesses(h, &threads, func() ([]byte, error) { return h.ReadFile("proc/stat") })
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	read := func(what string, times int) {
		t.Helper()
		if h.reads[what] != times {
			t.Errorf("%s was read %d times, want %d", what, h.reads[what], times)
		}
	}
	started(1000)
	look()
	read("proc/20/stat", 0) // who looks once asks nothing more
	look()
	read("proc/20/stat", 1)
	look()
	read("proc/20/comm", 0)
	read("proc/30/comm", 1)
	read("proc/30/stat", 0)

	process(30, "kvm", statOfProgram) // what slept is a guest now
	if look() != 1 {
		t.Error("a process that became a guest was not seen")
	}
	process(20, "kvm", statOfProgram) // the kernel went round
	started(1000 + 32768/4 + 1)
	if look() != 2 {
		t.Error("a guest with the PID of a thread that has ended was not seen")
	}

	// Where nobody counts what was started, nothing is remembered.
	h.add("proc/stat", "cpu0 1\n")
	process(20, "kworker/0:1", statOfKernel)
	look()
	look()
	read("proc/20/comm", 1)
}

// What is remembered of processes that have gone does not pile up.
func TestProcessesThatHaveGoneAreForgotten(t *testing.T) {
	h := newRecording("node1")
	h.add("proc/stat", "processes 1000\n")
	h.add("proc/sys/kernel/pid_max", "4194304\n")
	var threads kernelThreads
	for pid := 100; pid < 200; pid++ {
		comm, stat := fmt.Sprintf("proc/%d/comm", pid), fmt.Sprintf("proc/%d/stat", pid)
		h.add(comm, "sleep\n")
		h.add(stat, fmt.Sprintf(statOfProgram, pid))
		if _, err := scanProcesses(h, &threads, func() ([]byte, error) { return read(h, "proc/stat") }); err != nil {
			t.Fatal(err)
		}
		delete(h.files, comm)
		delete(h.files, stat)
	}
	if n := len(threads.known); n > 1 {
		t.Errorf("%d processes are remembered, want those of the last round", n)
	}
}

// A process whose file is kept open is still seen to become a guest, and nothing is kept of
// one that has ended.
func TestAProcessThatIsKnownBecomesAGuest(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	guest := filepath.Join(t.TempDir(), "kvm")
	if err := os.Symlink(sleep, guest); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `read word; exec "$0" 1000`, guest)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(end)

	host, pid := Local(LocalOptions{}), cmd.Process.Pid
	var threads kernelThreads
	look := func() bool {
		list, err := scanProcesses(host, &threads, func() ([]byte, error) { return read(host, "proc/stat") })
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(list, process{pid, nameKVM})
	}
	t.Cleanup(func() { threads.forget(func(sighted) bool { return true }) })
	for range 2 {
		if look() {
			t.Fatal("a shell was taken for a guest")
		}
	}
	held := threads.known[pid].comm
	if held == nil {
		t.Fatal("its file is not kept open")
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	for seen := false; !seen; seen = look() { // the test's time limit ends it
		time.Sleep(time.Millisecond)
	}
	if threads.known[pid].comm != held {
		t.Error("it was read in another way")
	}
	end()
	if n, err := held.readAgain(make([]byte, nameMax)); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("of a process that has ended %d bytes were read: %v", n, err)
	}
	if look() {
		t.Error("a process that has ended is still seen")
	}
	open := 0
	for _, s := range threads.known {
		if s.comm != nil {
			open++
		}
	}
	if _, known := threads.known[pid]; known || threads.held != open {
		t.Errorf("it is still remembered, or a file was left open: %d of %d are known", open, threads.held)
	}
}
