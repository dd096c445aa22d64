package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// proc gives a recorded host a process, or a thread of one.
func proc(h *Recording, folder, name string, state byte, flags uint, switches int) {
	pid := folder[strings.LastIndexByte(folder, '/')+1:]
	h.add(folder+"/comm", name+"\n")
	h.add(folder+"/stat", fmt.Sprintf("%s (%s) %c 1 1 1 0 -1 %d 0 0 0 0 1 1 0 0 20 0 1 0 5000 0 0\n", pid, name, state, flags))
	h.add(folder+"/status", fmt.Sprintf("Name:\t%s\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t1\n", name, switches))
}

func stalls(t *testing.T, w *stallWatch, h Host, at time.Duration) ha.Stalls {
	t.Helper()
	var s ha.Stalls
	if err := w.look(h, time.Unix(1_800_000_000, 0).Add(at), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A process that waits is stuck while it has done nothing else in between; a busy disk is not.
func TestStuckIsWhoHasDoneNothingElse(t *testing.T) {
	h := newRecording("pve1")
	proc(h, "proc/900", "pvestatd", 'D', 0, 70)
	proc(h, "proc/901", "dd", 'D', 0, 10)
	proc(h, "proc/902", "nfsd", 'D', 0x00200040, 5) // a kernel thread
	proc(h, "proc/903", "sleep", 'S', 0, 5)
	var w stallWatch
	if s := stalls(t, &w, h, 0); !s.Looked || s.StuckCount != 0 || s.Watched != 0 {
		t.Errorf("at the first look: %+v", s)
	}
	proc(h, "proc/901", "dd", 'D', 0, 4000)
	s := stalls(t, &w, h, time.Minute)
	if s.StuckCount != 1 || s.Stuck[0] != (ha.StuckProcess{PID: 900, Name: "pvestatd", For: time.Minute}) || s.Watched != time.Minute {
		t.Errorf("a minute later: %+v", s)
	}
	proc(h, "proc/900", "pvestatd", 'S', 0, 71)
	if s := stalls(t, &w, h, 2*time.Minute); s.StuckCount != 1 || s.Stuck[0].PID != 901 {
		t.Errorf("when it goes on: %+v", s)
	}
}

// What waits of a virtual machine is one of its threads.
func TestAVirtualMachinesThreadsAreLookedAt(t *testing.T) {
	h := newRecording("pve1")
	proc(h, "proc/1002", "kvm", 'S', 0, 70)
	proc(h, "proc/1002/task/1002", "kvm", 'S', 0, 70)
	proc(h, "proc/1002/task/1009", "iou-wrk-1002", 'D', 0, 3)
	var w stallWatch
	stalls(t, &w, h, 0)
	if s := stalls(t, &w, h, 30*time.Second); s.StuckCount != 1 || s.Stuck[0].PID != 1002 || s.Stuck[0].Name != "kvm" || s.Stuck[0].For != 30*time.Second {
		t.Errorf("%+v", s)
	}
}

// Many that are stuck are counted, and the longest named.
func TestManyThatAreStuckAreCounted(t *testing.T) {
	h := newRecording("pve1")
	var w stallWatch
	for k := range 20 {
		proc(h, fmt.Sprintf("proc/%d", 2000+k), "kvm", 'D', 0, 1)
		stalls(t, &w, h, time.Duration(k)*time.Second)
	}
	s := stalls(t, &w, h, time.Minute)
	if s.StuckCount != 20 || len(s.Stuck) != ha.StuckMax || s.Stuck[0].PID != 2000 || s.Stuck[1].PID != 2001 {
		t.Errorf("%+v", s)
	}
}

func TestPressure(t *testing.T) {
	got, err := parsePressure("some avg10=12.00 avg60=80.00 avg300=4.00 total=1\nfull avg10=9.00 avg60=63.50 avg300=3.00 total=1\n")
	if err != nil || got != 0.635 {
		t.Errorf("%g, %v", got, err)
	}
	for _, text := range []string{"", "full", "full avg60=\n", "full avg60=NaN\n", "full avg60=101\n", "some avg60=3.00\n"} {
		if got, err := parsePressure(text); err == nil {
			t.Errorf("%q is read as %g", text, got)
		}
	}
}

// Nobody is stuck but who stands there in that state, and pressure is a share.
func FuzzStalls(f *testing.F) {
	f.Add("1002 (kvm) D 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5000 0 0\n", "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t1\n")
	f.Add("1002 (a) D (b) D 1 1 1 0 -1 2097152 0 0 0 0 1 1 0 0 20 0 1 0 5000 0 0\n", "voluntary_ctxt_switches:\t-3\n")
	f.Add("full avg10=9.00 avg60=63.50 avg300=3.00 total=1\n", "")
	f.Fuzz(func(t *testing.T, stat, status string) {
		if share, err := parsePressure(stat); err == nil && !(share >= 0 && share <= 1 && strings.Contains(stat, "full")) {
			t.Errorf("pressure %g", share)
		}
		h := newRecording("pve1")
		h.add("proc/7/stat", stat)
		h.add("proc/7/status", status)
		var w stallWatch
		var s ha.Stalls
		for k := range 3 {
			s = ha.Stalls{}
			if err := w.look(h, time.Unix(int64(1_800_000_000+60*k), 0), &s); err != nil && s.StuckCount != 0 {
				t.Fatalf("%v, and yet %+v", err, s)
			}
		}
		_, state, kernel, err := parseTask([]byte(stat))
		if well := err == nil && state == 'D' && !kernel; s.StuckCount > 0 != well && s.StuckCount > 0 {
			t.Errorf("%q is stuck: %+v", stat, s)
		}
	})
}
