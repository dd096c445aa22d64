package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const migrateTask = "UPID:pve1:00000466:000ABB54:6B00F021:vzmigrate:201:root@pam!lab:"

const taskRunning = `{"data":{"status":"running","type":"vzmigrate","id":"201","node":"pve1","pid":1126,"upid":"` + migrateTask + `"}}`

// taskd is a node on which one task runs until end and then reads exit.
func taskd(t *testing.T, end time.Time, exit string) *proxmoxd {
	t.Helper()
	return &proxmoxd{answer: func(req *http.Request, _ string) (*http.Response, error) {
		switch path := strings.TrimPrefix(req.URL.Path, "/api2/json"); {
		case path == "/nodes/pve1/tasks/"+migrateTask+"/log":
			return reply(req, 200, "OK", recorded(t, "tasklog-failed")), nil
		case path != "/nodes/pve1/tasks/"+migrateTask+"/status":
			return refuse(req, 501, "Method 'GET "+path+"' not implemented"), nil
		case time.Now().Before(end):
			return reply(req, 200, "OK", taskRunning), nil
		}
		return reply(req, 200, "OK", fmt.Sprintf(`{"data":{"status":"stopped","exitstatus":%q}}`, exit)), nil
	}}
}

// Seven minutes of migration cost few calls, and its end is seen within five seconds.
func TestWaitTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := taskd(t, begun.Add(7*time.Minute), "OK")
		if err := ours(t, p).WaitTask(t.Context(), migrateTask); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 7*time.Minute || took > 7*time.Minute+taskPauseMax {
			t.Errorf("returned after %s", took)
		}
		if n := len(p.requests()); n > 100 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestWaitTaskVerdicts(t *testing.T) {
	for exit, want := range map[string]ha.Kind{
		"OK": "", "WARNINGS: 1": "", "WARNINGS: 12": "",
		"migration aborted": ha.Conflict, "CT is locked (backup)": ha.Conflict, "unexpected status": ha.Unavailable,
		"WARNINGS: many": ha.Internal, "ok": ha.Internal, "": ha.Internal,
	} {
		synctest.Test(t, func(t *testing.T) {
			err := ours(t, taskd(t, time.Now(), exit)).WaitTask(t.Context(), migrateTask)
			if ha.KindOf(err) != want {
				t.Errorf("%q: %v", exit, err)
			}
			var failed *TaskError
			if want != "" && (!errors.As(err, &failed) || !strings.Contains(err.Error(), "cannot migrate local bind mount point 'mp0'")) {
				t.Errorf("%q: the error lacks the end of the log: %v", exit, err)
			}
		})
	}
}

func TestWaitTaskSentence(t *testing.T) {
	err := ours(t, taskd(t, time.Now(), "migration aborted")).WaitTask(t.Context(), migrateTask)
	want := "cannot follow the vzmigrate task of 201 on pve1: task vzmigrate of 201 on pve1: migration aborted " +
		"(log: 2026-11-21 01:13:05 ERROR: migration aborted (duration 00:00:00): cannot migrate local bind mount point 'mp0' | " +
		"TASK ERROR: migration aborted); the task's log says what stands in the way"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A virtual machine's command line holds the passwords of its remote disks: it is neither in an
// error nor in what is kept of a task.
func TestATasksCommandLineIsNotTold(t *testing.T) {
	const exit = "start failed: command '/usr/bin/kvm -id 201 -name 'web,debug-threads=on' -drive 'file=iscsi://user%hunter2@10.0.0.9/lun'' failed: exit code 1"
	const told = "start failed: command '/usr/bin/kvm …' failed: exit code 1"
	err := ours(t, taskd(t, time.Now(), exit)).WaitTask(t.Context(), migrateTask)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), told) {
		t.Errorf("the error is %v", err)
	}
	if kept := tasks([]clusterTaskRow{{UPID: migrateTask, Status: exit}}); kept[0].Status != told {
		t.Errorf("%q is kept", kept[0].Status)
	}
}

// pveproxy restarts in the middle: 595, 596, broken connections for half a minute.
func TestWaitTaskToleratesTransients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		task := taskd(t, begun.Add(2*time.Minute), "OK")
		p := &proxmoxd{}
		p.answer = func(req *http.Request, body string) (*http.Response, error) {
			switch since := time.Since(begun); {
			case since > 20*time.Second && since < 30*time.Second:
				return reply(req, 596, "Connection timed out", ""), nil
			case since >= 30*time.Second && since < 50*time.Second:
				return nil, errRefused
			}
			return task.answer(req, body)
		}
		if err := ours(t, p).WaitTask(t.Context(), migrateTask); err != nil {
			t.Fatal(err)
		}
	})
}

// The node we asked dies; another one tells.
func TestWaitTaskAsksAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		task := taskd(t, begun.Add(time.Minute), "OK")
		p := &proxmoxd{}
		p.answer = func(req *http.Request, body string) (*http.Response, error) {
			if req.URL.Hostname() == "node1" && time.Since(begun) > 10*time.Second {
				return nil, errRefused
			}
			return task.answer(req, body)
		}
		if err := ours(t, p, "node1", "node2").WaitTask(t.Context(), migrateTask); err != nil {
			t.Fatal(err)
		}
	})
}

// The node the task ran on is gone: after a minute nobody knows, and that is said.
func TestWaitTaskGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		err := ours(t, inTurn(status(200, "OK", taskRunning), status(595, "No route to host", ""))).WaitTask(t.Context(), migrateTask)
		if ha.KindOf(err) != ha.Unavailable || !strings.Contains(err.Error(), "nobody could tell for 1m0s") {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(begun); took < taskSilenceMax || took > taskSilenceMax+2*taskPauseMax {
			t.Errorf("gave up after %s", took)
		}
		if Refused(err) {
			t.Error("the outcome is unknown")
		}
	})
}

func TestWaitTaskStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := ours(t, taskd(t, begun.Add(time.Hour), "OK")).WaitTask(ctx, migrateTask)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 200*time.Millisecond {
			t.Errorf("returned %v after %s", err, time.Since(begun))
		}
	})
	err := ours(t, always(400, "Parameter verification failed.", `{"data":null,"errors":{"upid":"no such task"}}`)).WaitTask(t.Context(), migrateTask)
	if ha.KindOf(err) != ha.NotFound {
		t.Errorf("unknown task: %v", err)
	}
	if err := ours(t, always(403, "Permission check failed", "")).WaitTask(t.Context(), migrateTask); ha.KindOf(err) != ha.Denied {
		t.Errorf("hidden task: %v", err)
	}
	if err := ours(t, always(200, "OK", "{}")).WaitTask(t.Context(), "OK"); ha.KindOf(err) != ha.Invalid {
		t.Errorf("no task: %v", err)
	}
}

func TestDowntime(t *testing.T) {
	c := ours(t, always(200, "OK", recorded(t, "tasklog-live")))
	d, ok, err := c.Downtime(t.Context(), "UPID:pve1:00000D9B:000AF13C:6B00F0AB:qmigrate:150:root@pam!lab:")
	if err != nil || !ok || d != 20*time.Millisecond {
		t.Errorf("%s, %v, %v", d, ok, err)
	}
	c = ours(t, always(200, "OK", recorded(t, "tasklog-failed")))
	if d, ok, err := c.Downtime(t.Context(), migrateTask); ok || err != nil {
		t.Errorf("a log without a downtime: %s, %v, %v", d, ok, err)
	}
	c = ours(t, always(403, "Permission check failed (/nodes/pve1, Sys.Audit)", ""))
	if _, ok, err := c.Downtime(t.Context(), migrateTask); ok || ha.KindOf(err) != ha.Denied {
		t.Errorf("a log that may not be read: %v, %v", ok, err)
	}
}

// A log longer than a page is read to its end.
func TestTaskLogPages(t *testing.T) {
	const lines = 2*taskLogPage + 10
	p := &proxmoxd{}
	p.answer = func(req *http.Request, _ string) (*http.Response, error) {
		var start, limit int
		if _, err := fmt.Sscanf(req.URL.RawQuery, "start=%d&limit=%d", &start, &limit); err != nil {
			t.Errorf("asked for %s", req.URL.RawQuery)
		}
		var rows []string
		for n := start; n < min(start+limit, lines); n++ {
			text := "migration active"
			if n == lines-1 {
				text = "average migration speed: 256.0 MiB/s - downtime 1234 ms"
			}
			rows = append(rows, fmt.Sprintf(`{"n":%d,"t":%q}`, n+1, text))
		}
		return reply(req, 200, "OK", `{"data":[`+strings.Join(rows, ",")+`]}`), nil
	}
	d, ok, err := ours(t, p).Downtime(t.Context(), migrateTask)
	if err != nil || !ok || d != 1234*time.Millisecond || len(p.requests()) != 3 {
		t.Errorf("%s, %v, %v after %d calls", d, ok, err, len(p.requests()))
	}
}
