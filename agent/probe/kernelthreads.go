package probe

import (
	"bytes"
	"maps"
	"strconv"
	"strings"
	"sync"
)

// kernelThreads remembers which PIDs are threads of the kernel: most of what a machine with
// many processors lists in /proc, and never of interest. Any other process can become one
// that matters, by running another program, and is looked at in every round: in a file that
// is kept open, where the host can do that, with one system call instead of four.
//
// Linux hands out PIDs in a circle. One that has ended comes again only when all others have
// been handed out, and what is remembered is forgotten long before. Its zero value is ready;
// rounds take turns with it.
type kernelThreads struct {
	turn  sync.Mutex
	known map[int]sighted
	round int
	// off is set where it cannot be told whether a PID has come again.
	off bool
	// since is how many processes the machine had started when known was empty, and circle
	// after how many more it is emptied.
	since, circle int64
	held          int // files kept open
	name          [nameMax]byte
}

const (
	// heldMax is how many processes' files are kept open: half of the 1024 that a process may
	// have where nobody allows it more. On a machine with more processes the others cost what
	// they did before.
	heldMax = 512
	// nameMax is room for what /proc/PID/comm holds: sixteen bytes.
	nameMax = 64
)

// sighted is what is remembered of a PID.
type sighted struct {
	kernel bool
	round  int       // in which it was last there
	comm   *heldFile // of a process that is no thread of the kernel; nil if it is not kept open
}

// begin begins a walk over all processes; end ends it.
func (t *kernelThreads) begin(h Host, stat func() ([]byte, error)) {
	t.turn.Lock()
	t.round++
	if t.round == 1 { // who looks once has nothing to remember
		t.off = true
		return
	}
	started, ok := processesStarted(stat)
	t.off = !ok
	if !ok || t.known == nil || started < t.since || started-t.since > t.circle {
		t.forget(func(sighted) bool { return true })
		t.known, t.since = map[int]sighted{}, started
		t.circle, ok = circleOfPIDs(h)
		t.off = t.off || !ok
	}
}

func (t *kernelThreads) end() {
	t.forget(func(s sighted) bool { return s.round != t.round })
	t.turn.Unlock()
}

// forget forgets PIDs, and closes what was kept open of them.
func (t *kernelThreads) forget(which func(sighted) bool) {
	maps.DeleteFunc(t.known, func(_ int, s sighted) bool {
		gone := which(s)
		if gone && s.comm != nil {
			s.comm.close()
			t.held--
		}
		return gone
	})
}

// nameOf reads the name of a process, which is valid until the next is read. A file kept open
// says that its process has ended even if another has its PID by now.
func (t *kernelThreads) nameOf(h Host, pid int) ([]byte, error) {
	if held := t.known[pid].comm; held != nil {
		if n, err := held.readAgain(t.name[:]); err == nil {
			return t.name[:n], nil
		}
		t.forget(func(s sighted) bool { return s.comm == held })
	}
	return read(h, procFile(pid, "comm"))
}

// have reports whether a PID is known to be a thread of the kernel.
func (t *kernelThreads) have(pid int) bool {
	s, ok := t.known[pid]
	if !ok {
		return false
	}
	s.round = t.round
	t.known[pid] = s
	return s.kernel
}

// ask finds out what a PID is that was not there before. What cannot be told is asked again.
func (t *kernelThreads) ask(h Host, pid int) {
	if _, asked := t.known[pid]; asked || t.off {
		return
	}
	stat, err := read(h, procFile(pid, "stat"))
	if err != nil {
		return
	}
	kernel, ok := isKernelThread(stat)
	if !ok {
		return
	}
	s := sighted{kernel: kernel, round: t.round}
	if host, can := h.(holdingHost); can && !kernel && t.held < heldMax {
		if s.comm, err = host.hold(procFile(pid, "comm")); err == nil {
			t.held++
		}
	}
	t.known[pid] = s
}

// isKernelThread reads the flags in /proc/PID/stat.
func isKernelThread(stat []byte) (is, ok bool) {
	const (
		flagsField = 6          // counted from the state, which follows the name
		kthread    = 0x00200000 // PF_KTHREAD of the kernel
	)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= flagsField {
		return false, false
	}
	flags, err := strconv.ParseUint(fields[flagsField], 10, 64)
	return flags&kthread != 0, err == nil
}

// processesStarted is how many processes and threads the machine has started since boot.
func processesStarted(stat func() ([]byte, error)) (n int64, ok bool) {
	data, err := stat()
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(data) {
		if value, found := bytes.CutPrefix(line, []byte("processes ")); found {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			return n, err == nil && n > 0
		}
	}
	return 0, false
}

// circleOfPIDs is after how many more processes a PID that was seen might come again, with
// plenty of room for those that are in use and for what starts during a walk.
func circleOfPIDs(h Host) (n int64, ok bool) {
	data, err := read(h, "proc/sys/kernel/pid_max")
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n / 4, err == nil && n > 0
}
