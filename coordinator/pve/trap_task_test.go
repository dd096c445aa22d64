package pve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luthermonson/go-proxmox"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

func stopped(exit string) string { return `{"data":{"status":"stopped","exitstatus":"` + exit + `"}}` }

// The library sleeps through the caller's deadline.
func TestTrapWaitIgnoresContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(wait func(context.Context) error) time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if err := wait(ctx); err == nil {
				t.Error("no error")
			}
			return time.Since(begun)
		}
		p := inTurn(func(req *http.Request) (*http.Response, error) {
			if err := req.Context().Err(); err != nil {
				return nil, err
			}
			return reply(req, 200, "OK", taskRunning), nil
		})
		if took := run(func(ctx context.Context) error {
			return proxmox.NewTask(migrateTask, bare(p)).Wait(ctx, 3*time.Second, time.Minute)
		}); took != 3*time.Second {
			t.Errorf("the library returned after %s", took)
		}
		if took := run(func(ctx context.Context) error { return ours(t, p).WaitTask(ctx, migrateTask) }); took != 200*time.Millisecond {
			t.Errorf("returned after %s", took)
		}
	})
}

// One passing fault ends the library's wait.
func TestTrapWaitEndsWithOneFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := func() *proxmoxd {
			return inTurn(status(200, "OK", taskRunning), status(200, "OK", taskRunning), status(596, "Connection timed out", ""), status(200, "OK", stopped("OK")))
		}
		if err := proxmox.NewTask(migrateTask, bare(p())).WaitFor(t.Context(), 60); err == nil {
			t.Error("the library tolerates it by now")
		}
		if err := ours(t, p()).WaitTask(t.Context(), migrateTask); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// A 595 with an empty answer, in the middle of a migration, is a finished task to it.
func TestTrapFaultTakenForEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := func() *proxmoxd { return inTurn(status(595, "No route to host", `{"data":null}`)) }
		if err := proxmox.NewTask(migrateTask, bare(p())).WaitFor(t.Context(), 60); err != nil {
			t.Errorf("the library calls it an error by now: %v", err)
		}
		if err := ours(t, p()).WaitTask(t.Context(), migrateTask); ha.KindOf(err) != ha.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

// A failed task is waited for successfully, and one with warnings counts as failed.
func TestTrapVerdictOfTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := always(200, "OK", stopped("migration aborted"))
		if err := proxmox.NewTask(migrateTask, bare(failed)).WaitFor(t.Context(), 60); err != nil {
			t.Errorf("the library says so by now: %v", err)
		}
		var task *TaskError
		if err := ours(t, failed).WaitTask(t.Context(), migrateTask); !errors.As(err, &task) || task.Status != "migration aborted" {
			t.Errorf("got %v", err)
		}

		warned := always(200, "OK", stopped("WARNINGS: 1"))
		library := proxmox.NewTask(migrateTask, bare(warned))
		if err := library.Ping(t.Context()); err != nil || !library.IsFailed {
			t.Errorf("the library knows warnings by now: %v %v", err, library.IsFailed)
		}
		if err := ours(t, warned).WaitTask(t.Context(), migrateTask); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

// The library panics on what a broken answer may contain. encoding/json does not recover
// panics of an UnmarshalJSON: the process is gone.
func TestTrapPanics(t *testing.T) {
	if !panics(func() { proxmox.NewTask("UPID:node1:1:2:3:qmstart:100", nil) }) {
		t.Error("a short UPID: the library does not panic any more")
	}
	if _, err := ParseUPID("UPID:node1:1:2:3:qmstart:100"); err == nil {
		t.Error("a short UPID: no error")
	}

	task := `{"upid":"` + migrateTask + `","node":"node1","type":"qmstart","id":"100","starttime":"1795219317","status":"OK"}`
	if !panics(func() { _ = json.Unmarshal([]byte(task), &proxmox.Task{}) }) {
		t.Error("a time in quotes: the library does not panic any more")
	}
	var row clusterTaskRow
	if err := json.Unmarshal([]byte(task), &row); err != nil || row.Started.Unix() != 1795219317 {
		t.Errorf("a time in quotes: %v, %v", row.Started, err)
	}

	for _, node := range []string{`"level":null`, `"online":"1"`, `"local":"1"`} {
		body := `[{"type":"cluster","id":"cluster","name":"lab","quorate":1},{"type":"node","name":"node1","id":"node/node1",` + node + `}]`
		if !panics(func() { _ = json.Unmarshal([]byte(body), &proxmox.Cluster{}) }) {
			t.Errorf("%s: the library does not panic any more", node)
		}
		var s clusterStatus
		if err := json.Unmarshal([]byte(body), &s); err != nil || !s.quorate() {
			t.Errorf("%s: %v", node, err)
		}
	}
}

// Asking twice doubles the cluster.
func TestTrapStatusAccumulates(t *testing.T) {
	p := routes(drainedCluster(t))
	library := (&proxmox.Cluster{}).New(bare(p))
	c := ours(t, p)
	for round := 1; round <= 2; round++ {
		if err := library.Status(t.Context()); err != nil || len(library.Nodes) != 3*round {
			t.Errorf("round %d: the library counts %d nodes, %v", round, len(library.Nodes), err)
		}
		if inv, err := c.Inventory(t.Context()); err != nil || len(inv.Nodes) != 3 {
			t.Errorf("round %d: %d nodes, %v", round, len(inv.Nodes), err)
		}
	}
}

// Numbers in a query come out in scientific notation.
func TestTrapNumbersInQuery(t *testing.T) {
	p := always(200, "OK", `{"data":[]}`)
	var v any
	_ = bare(p).GetWithParams(t.Context(), "/nodes/node1/tasks", map[string]any{"since": 1795219317}, &v)
	if q := p.requests()[0].query; q != "since=1.795219317e%2B09" {
		t.Errorf("the library asks %s by now", q)
	}
	if _, _, err := ours(t, p).Downtime(t.Context(), migrateTask); err != nil || !strings.HasPrefix(p.requests()[1].query, "start=0&limit=2000") {
		t.Errorf("asked %s, %v", p.requests()[1].query, err)
	}
}

// A certificate authority that cannot be read is one log line, and no certificate can be
// pinned.
func TestTrapUnreadableCA(t *testing.T) {
	library := &debugLog{}
	if c := bare(always(200, "OK", `{"data":{}}`), proxmox.WithLogger(library), proxmox.WithRootCAFile("testdata/none.pem")); c == nil || !strings.Contains(library.String(), "none.pem") {
		t.Error("the library does otherwise by now")
	}
	_, err := New(Config{Endpoints: []string{"https://node1:8006"}, TokenID: testToken, TokenSecret: testSecret, CAFile: "testdata/none.pem"})
	if ha.KindOf(err) != ha.Invalid || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("got %v", err)
	}
}
