package pve

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luthermonson/go-proxmox"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The files trap_*_test.go hold the reasons for this package. Each test shows what
// go-proxmox v0.8.0 does by itself and then what the adapter does with the very same
// answers. When the library mends one, the first half fails and the code that works around
// it can go.

// The library takes 400, 401, 403, 500 and 501 for errors and everything else for success.
func TestTrapStatusTakenForSuccess(t *testing.T) {
	for _, tt := range []struct {
		status int
		reason string
		body   string
	}{
		{404, "Not Found", `{"data":null}`},
		{409, "Conflict", `{"data":null}`},
		{424, "Failed Dependency", `{"data":null}`},
		{502, "Bad Gateway", "<html><body>502</body></html>"},
		{503, "Service Unavailable", ""},
		{504, "Gateway Timeout", ""},
		{595, "No route to host", ""},
		{596, "Connection timed out", ""},
		{597, "Connection reset by peer", ""},
		{599, "Too many redirections", ""},
		{595, "No route to host", `{"data":null}`},
		{301, "Moved Permanently", ""}, // what pveproxy says to plain http
	} {
		name := fmt.Sprintf("%d %q", tt.status, tt.body)
		library := (&proxmox.Cluster{}).New(bare(always(tt.status, tt.reason, tt.body)))
		if err := library.HAResourceMigrate(t.Context(), "vm:100", "node2"); err != nil {
			t.Errorf("%s: the library calls it an error by now: %v", name, err)
		}
		if err := library.NewHAResource(t.Context(), &proxmox.HAResourceCreateOption{SID: "vm:100"}); err != nil {
			t.Errorf("%s: the library calls it an error by now: %v", name, err)
		}

		_, err := ours(t, always(tt.status, tt.reason, tt.body)).Do(t.Context(), ha.Migrate{SID: vm100, To: "node2", HA: true})
		var api *APIError
		if !errors.As(err, &api) || api.Status != tt.status || api.Reason != tt.reason {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A read answered so yields a zero value and no error.
func TestTrapEmptyAnswerTakenForFacts(t *testing.T) {
	for _, status := range []int{404, 424, 595} {
		library := (&proxmox.Cluster{}).New(bare(always(status, "", `{"data":null}`)))
		if rules, err := library.HARules(t.Context(), "", ""); err != nil || len(rules) != 0 {
			t.Errorf("%d: the library calls it an error by now: %v", status, err)
		}
		synctest.Test(t, func(t *testing.T) {
			if _, err := read[[]ruleRow](t.Context(), ours(t, always(status, "", `{"data":null}`)), "/cluster/ha/rules"); err == nil {
				t.Errorf("%d: no error", status)
			}
		})
	}
	library := (&proxmox.Cluster{}).New(bare(always(200, "OK", `{"data":null}`)))
	if _, err := library.HARules(t.Context(), "", ""); err != nil {
		t.Errorf("null: the library calls it an error by now: %v", err)
	}
	if _, err := read[[]ruleRow](t.Context(), ours(t, always(200, "OK", `{"data":null}`)), "/cluster/ha/rules"); err == nil {
		t.Error("no rules because the answer was null is not the same as no rules")
	}
}

// A migration that never began: no task and no error. Waiting for it then panics.
func TestTrapMigrationWithoutTask(t *testing.T) {
	p := routes(map[string]string{
		"GET /nodes/node1/qemu/100/status/current": `{"data":{"vmid":100,"status":"running"}}`,
		"GET /nodes/node1/qemu/100/config":         `{"data":{"name":"web"}}`,
	})
	inner := p.answer
	p.answer = func(req *http.Request, body string) (*http.Response, error) {
		if req.Method == http.MethodPost {
			return reply(req, 596, "Connection timed out", `{"data":null}`), nil
		}
		return inner(req, body)
	}
	vm, err := (&proxmox.Node{}).New(bare(p), "node1").VirtualMachine(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	task, err := vm.Migrate(t.Context(), &proxmox.VirtualMachineMigrateOptions{Target: "node2", Online: true})
	if task != nil || err != nil {
		t.Errorf("the library says %v, %v by now", task, err)
	}
	if !panics(func() { _ = task.WaitFor(t.Context(), 1) }) {
		t.Error("the library does not panic any more")
	}

	upid, err := ours(t, p).Do(t.Context(), ha.Migrate{SID: vm100, From: "node1", To: "node2", Method: ha.MethodLive})
	if upid != "" || ha.KindOf(err) != ha.Unavailable || Refused(err) {
		t.Errorf("got %q, %v", upid, err)
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// Why it was refused is thrown away, and with it any way of telling one refusal from
// another.
func TestTrapReasonThrownAway(t *testing.T) {
	noConsole := `{"data":null,"message":"Permission check failed (/, Sys.Console)\n"}`
	bareErr := func(status int, reason, body string) string {
		return fmt.Sprint((&proxmox.Cluster{}).New(bare(always(status, reason, body))).HAArm(t.Context()))
	}
	if a, b := bareErr(401, "No ticket", ""), bareErr(403, "Permission check failed (/, Sys.Console)", noConsole); a != b {
		t.Errorf("the library tells them apart by now: %q, %q", a, b)
	}
	if text := bareErr(400, "Parameter verification failed.", ""); text != "unexpected end of JSON input" {
		t.Errorf("the library says %q by now", text)
	}
	longer := `{"data":null,"message":"create ha rule failed: 400 Rule 'r' is invalid.\nresources: why\n"}`
	if text := bareErr(500, "create ha rule failed: 400 Rule 'r' is invalid.", longer); strings.Contains(text, "why") {
		t.Errorf("the library says %q by now", text)
	}

	do := func(status int, reason, body string) error {
		_, err := ours(t, always(status, reason, body)).Do(t.Context(), ha.Shutdown{SID: vm100, HA: true})
		return err
	}
	for want, err := range map[string]error{
		"401: No ticket": do(401, "No ticket", ""),
		"403: Permission check failed (/, Sys.Console)": do(403, "Permission check failed (/, Sys.Console)", noConsole),
		"400: Parameter verification failed":            do(400, "Parameter verification failed.", ""),
		"resources: why":                                do(500, "create ha rule failed: 400 Rule 'r' is invalid.", longer),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Without Sys.Audit the library reports a cluster without nodes and without quorum.
func TestTrapForbiddenReadsAsNoQuorum(t *testing.T) {
	forbidden := `{"data":null,"message":"Permission check failed (/, Sys.Audit)\n"}`
	cluster, err := bare(always(403, "Permission check failed (/, Sys.Audit)", forbidden)).Cluster(t.Context())
	if err != nil || cluster.Quorate != 0 || len(cluster.Nodes) != 0 {
		t.Errorf("the library says %+v, %v by now", cluster, err)
	}
	_, err = ours(t, always(403, "Permission check failed (/, Sys.Audit)", forbidden)).Inventory(t.Context())
	if ha.KindOf(err) != ha.Denied || !strings.Contains(err.Error(), "Sys.Audit") {
		t.Errorf("got %v", err)
	}
}

// The library has no time limit of its own: a hung node is waited for for ever.
func TestTrapNoTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inTurn(func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(24 * time.Hour):
				return reply(req, 200, "OK", someOptions), nil
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		})
		begun := time.Now()
		var v map[string]any
		if err := bare(p).Get(t.Context(), "/cluster/options", &v); err != nil || time.Since(begun) != 24*time.Hour {
			t.Errorf("the library returned %v after %s", err, time.Since(begun))
		}
		begun = time.Now()
		if err := get(ours(t, p)); err == nil || time.Since(begun) > DefaultTimeout {
			t.Errorf("returned %v after %s", err, time.Since(begun))
		}
	})
}

// The library's retry repeats a POST that reached the server, does not retry what Proxmox
// says when it lost sight of a node, and takes the last 503 for success.
func TestTrapRetry(t *testing.T) {
	lost := func() *proxmoxd { return inTurn(fails(errBroken)) }
	p := lost()
	_ = (&proxmox.Cluster{}).New(bare(p, proxmox.WithRetry(proxmox.WithRetryBackoff(1, 1)))).HAResourceMigrate(t.Context(), "vm:100", "node2")
	if n := len(p.requests()); n != 3 {
		t.Errorf("the library sent it %d times", n)
	}
	p = always(503, "Service Unavailable", "")
	if err := (&proxmox.Cluster{}).New(bare(p, proxmox.WithRetry(proxmox.WithRetryBackoff(1, 1)))).HAResourceMigrate(t.Context(), "vm:100", "node2"); err != nil {
		t.Errorf("the library calls it an error by now: %v", err)
	}
	p = always(595, "No route to host", "")
	var v map[string]any
	_ = bare(p, proxmox.WithRetry(proxmox.WithRetryBackoff(1, 1))).Get(t.Context(), "/cluster/options", &v)
	if n := len(p.requests()); n != 1 {
		t.Errorf("the library asked %d times", n)
	}

	p = lost()
	if _, err := ours(t, p).Do(t.Context(), ha.Migrate{SID: vm100, To: "node2", HA: true}); err == nil || len(p.requests()) != 1 {
		t.Errorf("sent %d times, %v", len(p.requests()), err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := always(595, "No route to host", "")
		if err := get(ours(t, p)); err == nil || len(p.requests()) != 3 {
			t.Errorf("asked %d times, %v", len(p.requests()), err)
		}
	})
}

// debugLog takes down what go-proxmox's own logger would print at its debug level.
type debugLog struct{ bytes.Buffer }

func (l *debugLog) Debugf(f string, v ...any) { fmt.Fprintf(l, f+"\n", v...) }
func (l *debugLog) Infof(f string, v ...any)  { l.Debugf(f, v...) }
func (l *debugLog) Warnf(f string, v ...any)  { l.Debugf(f, v...) }
func (l *debugLog) Errorf(f string, v ...any) { l.Debugf(f, v...) }

// The library logs whole bodies, and prints its token with the client.
func TestTrapSecretsInLogs(t *testing.T) {
	body := `{"data":{"value":"` + testSecret + `"}}` // a node that answers with a secret
	library := &debugLog{}
	client := bare(always(200, "OK", body), proxmox.WithLogger(library))
	var v map[string]any
	if err := client.Get(t.Context(), "/access/users/x/token/y", &v); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(library.String(), testSecret) || !strings.Contains(fmt.Sprintf("%+v", client), testSecret) {
		t.Error("the library keeps its secrets by now")
	}

	log, text := logged()
	cfg := Config{Endpoints: []string{"https://node1:8006"}, TokenID: testToken, TokenSecret: testSecret, Transport: always(200, "OK", body), Log: log}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read[map[string]any](t.Context(), c, "/access/users/x/token/y"); err != nil {
		t.Fatal(err)
	}
	log.Info("configured", "config", cfg, "client", c)
	fmt.Fprintf(text, "%v %+v %#v %s %q\n", cfg, cfg, cfg, cfg, cfg)
	fmt.Fprintf(text, "%v %+v %#v %s %q\n", c, c, c, c, c)
	if strings.Contains(text.String(), testSecret) {
		t.Errorf("the secret is in\n%s", text)
	}
	if !strings.Contains(text.String(), "proxmox api") || !strings.Contains(text.String(), testToken) {
		t.Errorf("nothing useful is in\n%s", text)
	}
}

// A server that echoes the token does not get it into an error.
func TestSecretsInErrors(t *testing.T) {
	echo := `{"data":null,"message":"bad header PVEAPIToken=` + testToken + `=` + testSecret + `\n","errors":{"x` + `":"` + testSecret + `"}}`
	for _, rt := range []http.RoundTripper{
		always(500, "bad header "+testSecret, echo),
		always(400, "bad header "+testSecret, echo),
		always(401, "bad header "+testSecret, ""),
		always(200, "OK", testSecret),
		inTurn(fails(errors.New("cannot send " + testSecret))),
	} {
		_, err := ours(t, rt).Do(t.Context(), ha.Migrate{SID: vm100, To: "node2", HA: true})
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), testSecret) {
			t.Errorf("the secret is in %v", err)
		}
		var api *APIError
		if errors.As(err, &api) && strings.Contains(fmt.Sprintf("%+v", *api), testSecret) {
			t.Errorf("the secret is in %+v", *api)
		}
	}
}
