package probe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookStalls looks for processes that wait in the kernel, and for how long they have. What it
// reads of a process never waits for what that process waits for.
func lookStalls(_ context.Context, r *round) (facts, error) {
	var s ha.Stalls
	var missing faults
	pressure, err := optional(r.host, "proc/pressure/io")
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP) || err == nil && pressure == nil: // started with psi=0
	case err == nil:
		s.Pressure, err = parsePressure(string(pressure))
		s.PressureKnown = err == nil
		fallthrough
	default:
		missing.add("proc/pressure/io", bare(err))
	}
	missing.add("processes", r.stalls.look(r.host, time.Now(), &s))
	return func(report *ha.Report) {
		for k, p := range s.Stuck {
			if at := slices.IndexFunc(report.Running, func(g ha.LocalGuest) bool { return g.PID == p.PID }); at >= 0 {
				s.Stuck[k].SID = report.Running[at].SID
			}
		}
		report.Stalls = s
	}, missing.err()
}

// parsePressure reads the share of the last minute in which everything waited:
// "full avg10=0.00 avg60=1.53 avg300=0.87 total=8123", in percent.
func parsePressure(text string) (float64, error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != "full" {
			continue
		}
		for _, word := range words[1:] {
			value, ok := strings.CutPrefix(word, "avg60=")
			percent, err := strconv.ParseFloat(value, 64)
			if ok && err == nil && percent >= 0 && percent <= 100 {
				return percent / 100, nil
			}
		}
	}
	return 0, fmt.Errorf("not the pressure of storage: %.80q", text)
}

// stallWatch remembers who was waiting when it looked last. Its zero value is ready; one
// goroutine uses it.
type stallWatch struct {
	began   time.Time
	waiting map[task]waiter
}

// task is one thread of one process: PIDs come again, start times with them do not.
type task struct {
	pid, tid int
	ticks    int64
}

// waiter is since when a task was seen to wait, and how often it had been scheduled by then.
// While that number stays, it has done nothing else.
type waiter struct {
	since    time.Time
	switches int64
}

// look fills in who waits. Kernel threads are left out: they wait for work the same way.
func (w *stallWatch) look(h Host, now time.Time, s *ha.Stalls) error {
	entries, err := fs.ReadDir(h, "proc")
	if err != nil {
		return err
	}
	if w.began.IsZero() {
		w.began = now
	}
	s.Watched = now.Sub(w.began)
	waiting := make(map[task]waiter)
	var stuck []ha.StuckProcess
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 0 {
			continue
		}
		name, longest, seen, err := w.process(h, pid, now, waiting)
		if err != nil {
			return err
		}
		s.Looked = s.Looked || seen
		if longest > 0 {
			stuck = append(stuck, ha.StuckProcess{PID: pid, Name: name, For: longest})
		}
	}
	w.waiting = waiting
	slices.SortFunc(stuck, func(a, b ha.StuckProcess) int { return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.PID, b.PID)) })
	s.StuckCount, s.Stuck = len(stuck), slices.Clip(stuck[:min(len(stuck), ha.StuckMax)])
	if len(s.Stuck) == 0 {
		s.Stuck = nil
	}
	return nil
}

// process looks at one process and returns for how long the thread of it that has waited
// longest has. Of a virtual machine every thread is looked at: those that do its disks' work
// are not the first one.
func (w *stallWatch) process(h Host, pid int, now time.Time, waiting map[task]waiter) (name string, longest time.Duration, seen bool, err error) {
	folder := "proc/" + strconv.Itoa(pid)
	name, _, userland, err := w.task(h, folder, task{pid: pid, tid: pid}, now, waiting, &longest)
	if err != nil || !userland {
		return name, 0, userland, err
	}
	if !isQEMU(name) {
		return name, longest, true, nil
	}
	threads, err := fs.ReadDir(h, folder+"/task")
	if gone(err) {
		return name, longest, true, nil
	}
	for _, entry := range threads {
		if tid, numeric := strconv.Atoi(entry.Name()); numeric == nil && tid != pid {
			if _, _, _, err := w.task(h, folder+"/task/"+entry.Name(), task{pid: pid, tid: tid}, now, waiting, &longest); err != nil {
				return name, 0, true, err
			}
		}
	}
	return name, longest, true, err
}

// task looks at one thread, notes it if it waits, and keeps the longest wait seen.
func (w *stallWatch) task(h Host, folder string, t task, now time.Time, waiting map[task]waiter, longest *time.Duration) (name string, state byte, userland bool, err error) {
	stat, err := read(h, folder+"/stat")
	if gone(err) {
		return "", 0, false, nil
	}
	if err != nil {
		return "", 0, false, err
	}
	name, state, kernel, err := parseTask(stat)
	if err != nil || kernel || state != 'D' {
		return name, state, err == nil && !kernel, err
	}
	_, t.ticks, err = parseProcessStat(stat)
	if err != nil {
		return name, state, true, err
	}
	status, err := read(h, folder+"/status")
	if gone(err) {
		return name, state, true, nil
	}
	if err != nil {
		return name, state, true, err
	}
	switches, known := parseSwitches(status)
	if !known {
		return name, state, true, nil
	}
	was, waited := w.waiting[t]
	if !waited || was.switches != switches {
		was = waiter{since: now, switches: switches}
	}
	waiting[t] = was
	*longest = max(*longest, now.Sub(was.since))
	return name, state, true, nil
}

// parseTask reads name, state and kind of /proc/PID/stat: kernel threads have PF_KTHREAD in
// their flags, the ninth field of proc(5).
func parseTask(stat []byte) (name string, state byte, kernel bool, err error) {
	const (
		flagsField   = 6 // counted from field 3
		kernelThread = 0x00200000
	)
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if begin < 0 || end < begin {
		return "", 0, false, fmt.Errorf("not the stat of a process: %.60q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) <= flagsField || len(fields[0]) != 1 {
		return "", 0, false, fmt.Errorf("not the stat of a process: %.60q", stat)
	}
	flags, err := strconv.ParseUint(fields[flagsField], 10, 64)
	if err != nil {
		return "", 0, false, fmt.Errorf("not the stat of a process: %.60q", stat)
	}
	return string(stat[begin+1 : end]), fields[0][0], flags&kernelThread != 0, nil
}

// parseSwitches reads from /proc/PID/status how often a task was scheduled so far.
func parseSwitches(status []byte) (n int64, known bool) {
	found := 0
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		if string(key) != "voluntary_ctxt_switches" && string(key) != "nonvoluntary_ctxt_switches" {
			continue
		}
		count, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil || count < 0 {
			return 0, false
		}
		n += count
		found++
	}
	return n, found == 2
}
