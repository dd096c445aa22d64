package pve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// inTurn answers the n-th request by the n-th function, and the last one for ever.
func inTurn(steps ...func(*http.Request) (*http.Response, error)) *proxmoxd {
	p := &proxmoxd{}
	n := 0
	p.answer = func(req *http.Request, _ string) (*http.Response, error) {
		step := steps[min(n, len(steps)-1)]
		n++
		return step(req)
	}
	return p
}

func status(code int, reason, body string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) { return reply(req, code, reason, body), nil }
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hangs until the caller gives up.
func hangs(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

const someOptions = `{"data":{"mac_prefix":"BC:24:11"}}`

// A read survives a passing fault; nothing else is repeated.
func TestReadIsRetried(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(*http.Request) (*http.Response, error)
		tries int
	}{
		{"gateway 502", status(502, "Bad Gateway", "<html>"), 2},
		{"gateway 503", status(503, "Service Unavailable", ""), 2},
		{"gateway 504", status(504, "Gateway Timeout", ""), 2},
		{"peer not connected", status(595, "No route to host", ""), 2},
		{"peer silent", status(596, "Connection timed out", ""), 2},
		{"peer broke off", status(597, "Connection reset by peer", ""), 2},
		{"peer, other", status(599, "Too many redirections", ""), 2},
		{"connection refused", fails(errRefused), 2},
		{"connection broke", fails(errBroken), 2},
		{"no Proxmox behind it", status(200, "OK", "<html>log in</html>"), 2},
		{"refused", status(403, "Permission check failed", ""), 1},
		{"does not exist", status(500, "no such resource 'vm:100'", ""), 1},
		{"not implemented", status(501, "Method not implemented", ""), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inTurn(tt.first, status(200, "OK", someOptions))
				err := get(ours(t, p))
				if n := len(p.requests()); n != tt.tries {
					t.Errorf("asked %d times, want %d", n, tt.tries)
				}
				if (err == nil) != (tt.tries > 1) {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}

// A fault that stays is reported after three tries, 100 and 200 ms apart.
func TestReadGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inTurn(status(595, "No route to host", ""))
		begun := time.Now()
		err := get(ours(t, p))
		var api *APIError
		if !errors.As(err, &api) || api.Status != 595 {
			t.Errorf("err = %v", err)
		}
		if n, took := len(p.requests()), time.Since(begun); n != 3 || took != 300*time.Millisecond {
			t.Errorf("asked %d times within %s", n, took)
		}
	})
}

// With several nodes the next one is asked at once, and stays the one to ask.
func TestReadMovesToAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &proxmoxd{}
		p.answer = func(req *http.Request, _ string) (*http.Response, error) {
			if req.URL.Hostname() == "node1" {
				return nil, errRefused
			}
			return reply(req, 200, "OK", someOptions), nil
		}
		c := ours(t, p, "node1", "node2", "node3")
		begun := time.Now()
		for range 2 {
			if err := get(c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("waited %s before asking another node", took)
		}
		if got := hosts(p); got != "node1:8006 node2:8006 node2:8006" {
			t.Errorf("asked %s", got)
		}
	})
}

func hosts(p *proxmoxd) string {
	var list []string
	for _, r := range p.requests() {
		list = append(list, r.host)
	}
	return strings.Join(list, " ")
}

// A node that hangs costs one timeout and is not asked a second time.
func TestReadDoesNotWaitTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &proxmoxd{}
		p.answer = func(req *http.Request, _ string) (*http.Response, error) {
			if req.URL.Hostname() == "node1" {
				return hangs(req)
			}
			return reply(req, 595, "No route to host", ""), nil
		}
		begun := time.Now()
		err := get(ours(t, p, "node1", "node2"))
		if err == nil {
			t.Fatal("no error")
		}
		if got := hosts(p); got != "node1:8006 node2:8006 node2:8006" {
			t.Errorf("asked %s", got)
		}
		if took := time.Since(begun); took != DefaultTimeout+retryPause {
			t.Errorf("took %s", took)
		}
	})
}

// A changing call is never sent a second time, to whatever node, unless the first could
// not be connected to at all.
func TestWriteIsSentOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(*http.Request) (*http.Response, error)
		asked string
	}{
		{"connection refused", fails(errRefused), "node1:8006 node2:8006"},
		{"connection broke", fails(errBroken), "node1:8006"},
		{"no answer", hangs, "node1:8006"},
		{"gateway 502", status(502, "Bad Gateway", ""), "node1:8006"},
		{"gateway 503", status(503, "Service Unavailable", ""), "node1:8006"},
		{"peer not connected", status(595, "No route to host", ""), "node1:8006"},
		{"peer silent", status(596, "Connection timed out", ""), "node1:8006"},
		{"refused", status(500, "VM is locked (migrate)", ""), "node1:8006"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inTurn(tt.first, status(200, "OK", `{"data":"UPID:node1:00000001:00000001:6B00E143:qmstart:100:psw@pve!ha:"}`))
				_, err := ours(t, p, "node1", "node2").Do(t.Context(), ha.Start{SID: ha.MustSID("vm:100"), Node: "node1"})
				if got := hosts(p); got != tt.asked {
					t.Errorf("asked %s, want %s", got, tt.asked)
				}
				if (err == nil) != strings.Contains(tt.asked, "node2") {
					t.Errorf("err = %v", err)
				}
			})
		})
	}
}

// The body goes along to the second node.
func TestWriteMovesWithItsBody(t *testing.T) {
	p := inTurn(fails(errRefused), status(200, "OK", recorded(t, "migrate-accepted")))
	_, err := ours(t, p, "node1", "node2").Do(t.Context(), ha.Migrate{SID: ha.MustSID("vm:100"), To: "pve1", HA: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.requests() {
		if r.String() != `POST /cluster/ha/resources/vm:100/migrate {"node":"pve1"}` {
			t.Errorf("%s was sent %s", r.host, r)
		}
	}
}

// The caller's deadline and the limit of one attempt are different things: the first is
// the caller's own error, the second a node that does not answer.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ours(t, inTurn(hangs))
		begun := time.Now()
		err := get(c)
		var tr *TransportError
		if !errors.As(err, &tr) || !tr.Timeout || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(begun); took != DefaultTimeout {
			t.Errorf("a hung node was waited for %s", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun = time.Now()
		_, err = read[any](ctx, c, "/cluster/options")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(begun); took != 300*time.Millisecond {
			t.Errorf("returned %s after a deadline of 300ms", took)
		}

		begun = time.Now()
		_, err = c.Do(t.Context(), ha.Start{SID: ha.MustSID("vm:100"), Node: "node1"})
		if err == nil || Refused(err) {
			t.Errorf("an unanswered start is not refused: %v", err)
		}
		if took := time.Since(begun); took != writeTimeoutMin {
			t.Errorf("a changing call was waited for %s", took)
		}
	})
}

// endless is an answer that never stops.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for k := range b {
		b[k] = ' '
	}
	return len(b), nil
}

func (endless) Close() error { return nil }

func TestAnswerIsBounded(t *testing.T) {
	p := inTurn(func(req *http.Request) (*http.Response, error) {
		res := reply(req, 200, "OK", "")
		res.Body, res.ContentLength = endless{}, -1
		return res, nil
	})
	c := ours(t, p)
	_, err := write[any](t.Context(), c, http.MethodPost, "/x", nil)
	if err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("err = %v", err)
	}
	refusal := inTurn(func(req *http.Request) (*http.Response, error) {
		res := reply(req, 500, "boom", "")
		res.Body, res.ContentLength = endless{}, -1
		return res, nil
	})
	var api *APIError
	if err := get(ours(t, refusal)); !errors.As(err, &api) || api.Text() != "boom" {
		t.Errorf("err = %v", err)
	}
}

// An answer that breaks off is no answer.
func TestAnswerBreaksOff(t *testing.T) {
	p := inTurn(func(req *http.Request) (*http.Response, error) {
		res := reply(req, 200, "OK", "")
		res.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"data":[`), broken{}))
		return res, nil
	}, status(200, "OK", someOptions))
	if err := get(ours(t, p)); err != nil {
		t.Errorf("a read is asked again: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// What pveproxy demands of a request.
func TestRequestForm(t *testing.T) {
	p := &proxmoxd{}
	p.answer = func(req *http.Request, body string) (*http.Response, error) {
		if req.Header.Get("Authorization") != "PVEAPIToken="+testToken+"="+testSecret {
			t.Errorf("Authorization is %q", req.Header.Get("Authorization"))
		}
		if len(req.TransferEncoding) > 0 || req.ContentLength != int64(len(body)) {
			t.Errorf("length %d of a body of %d bytes, encoding %v", req.ContentLength, len(body), req.TransferEncoding)
		}
		if body != "" && req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("body of type %q", req.Header.Get("Content-Type"))
		}
		if req.Method == http.MethodDelete && body != "" {
			t.Error("pveproxy refuses a DELETE with a body")
		}
		if strings.HasSuffix(req.URL.Path, "/version") {
			return reply(req, 200, "OK", recorded(t, "version")), nil
		}
		return reply(req, 200, "OK", `{"data":null}`), nil
	}
	c := ours(t, p)
	for _, a := range []ha.Action{
		ha.RemoveResource{SID: ha.MustSID("vm:100")}, ha.RemoveRule{ID: "apart"},
		ha.Shutdown{SID: ha.MustSID("vm:100"), HA: true},
	} {
		if _, err := c.Do(t.Context(), a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

// New refuses a configuration it could only fail with later, naming what is wrong.
func TestNewRefuses(t *testing.T) {
	good := Config{Endpoints: []string{"https://node1:8006"}, TokenID: testToken, TokenSecret: testSecret}
	for name, change := range map[string]func(*Config){
		"no endpoint":        func(c *Config) { c.Endpoints = nil },
		"plain http":         func(c *Config) { c.Endpoints = []string{"http://node1:8006"} },
		"no URL":             func(c *Config) { c.Endpoints = []string{"node1:8006"} },
		"a path":             func(c *Config) { c.Endpoints = []string{"https://node1:8006/api2/json"} },
		"a password in it":   func(c *Config) { c.Endpoints = []string{"https://root:x@node1:8006"} },
		"a user, no token":   func(c *Config) { c.TokenID = "root@pam" },
		"no secret":          func(c *Config) { c.TokenSecret = " " },
		"missing CA file":    func(c *Config) { c.CAFile = "testdata/no-such-file.pem" },
		"CA file without CA": func(c *Config) { c.CAFile = "testdata/refusals.jsonl" },
		"CA without CA":      func(c *Config) { c.CAPEM = []byte("x") },
		"short fingerprint":  func(c *Config) { c.Fingerprint = "1A:FF:8C" },
		"two trusts":         func(c *Config) { c.Fingerprint = strings.Repeat("AB:", 31) + "AB"; c.CAFile = "x" },
	} {
		cfg := good
		change(&cfg)
		_, err := New(cfg)
		if ha.KindOf(err) != ha.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	short := good
	short.Endpoints = []string{"https://node1", "https://[fd00::1]:8006/"}
	c, err := New(short)
	if err != nil || c.transport.endpoints[0].Host != "node1:8006" || c.transport.endpoints[1].Host != "[fd00::1]:8006" {
		t.Errorf("%v %v", c, err)
	}
}
