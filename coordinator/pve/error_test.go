package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Every refusal recorded from Proxmox VE 9.2.11 arrives as an *APIError with its status
// and its words, of the right kind, as something that certainly was not done.
func TestRecordedRefusals(t *testing.T) {
	for _, r := range recordedRefusals(t) {
		c := ours(t, always(r.Status, r.Reason, r.Body))
		_, err := c.Do(t.Context(), ha.Migrate{SID: ha.MustSID("vm:100"), To: "pve2", HA: true})
		name := fmt.Sprintf("%d %s", r.Status, r.Reason)
		var api *APIError
		if !errors.As(err, &api) {
			t.Errorf("%s: got %v, want an *APIError", name, err)
			continue
		}
		if api.Status != r.Status || api.Reason != r.Reason {
			t.Errorf("%s: got %d %q", name, api.Status, api.Reason)
		}
		if api.Kind() != r.Kind {
			t.Errorf("%s: kind %s, want %s", api.Text(), api.Kind(), r.Kind)
		}
		if !Refused(err) {
			t.Errorf("%s: not taken for refused", api.Text())
		}
		if api.Text() == "" || strings.Contains(api.Text(), "\n") {
			t.Errorf("%s: text is %q", name, api.Text())
		}
	}
}

// What people read names the deed, says why in Proxmox's words, and what to do.
func TestSentences(t *testing.T) {
	locked := `{"data":null,"message":"VM is locked (migrate)\n"}`
	for _, tt := range []struct {
		name   string
		rt     http.RoundTripper
		action ha.Action
		kind   ha.Kind
		want   string
	}{
		{"locked guest", always(500, "VM is locked (migrate)", locked),
			ha.Migrate{SID: ha.MustSID("vm:100"), From: "node1", To: "node2", Method: ha.MethodLive}, ha.Conflict,
			"cannot migrate vm:100 live from node1 to node2: proxmox on node1:8006 answered 500: VM is locked (migrate); " +
				"another task holds the guest; wait for it, and if there is none, `qm unlock ID` or `pct unlock ID`"},
		{"no privilege", always(403, "Permission check failed (/, Sys.Console)", `{"data":null,"message":"Permission check failed (/, Sys.Console)\n"}`),
			ha.Migrate{SID: ha.MustSID("vm:100"), From: "node1", To: "node2", Method: ha.MethodLive, HA: true}, ha.Denied,
			"cannot migrate vm:100 live from node1 to node2: proxmox on node1:8006 answered 403: Permission check failed (/, Sys.Console); " +
				"the API token lacks Sys.Console on /: `pveum acl modify / --tokens 'USER@REALM!NAME' --roles ROLE`; with privilege separation the token and its user both need it"},
		{"refused parameter", always(400, "Parameter verification failed.", `{"message":"Parameter verification failed.\n","data":null,"errors":{"target":"target is local node."}}`),
			ha.Migrate{SID: ha.MustSID("vm:100"), From: "node1", To: "node1", Method: ha.MethodOffline}, ha.Conflict,
			"cannot move vm:100 offline from node1 to node1: proxmox on node1:8006 answered 400: " +
				"Parameter verification failed: target: target is local node; the guest is there already"},
		{"dead peer", always(595, "No route to host", ""),
			ha.Shutdown{SID: ha.MustSID("vm:100"), Node: "node2"}, ha.Unavailable,
			"cannot shut down vm:100 on node2: proxmox on node1:8006 answered 595: No route to host; a node on the way to it does not answer"},
		{"nobody listens", &proxmoxd{answer: func(*http.Request, string) (*http.Response, error) { return nil, errRefused }},
			ha.Start{SID: ha.MustSID("ct:101"), Node: "node1"}, ha.Unavailable,
			"cannot start ct:101 on node1: no usable answer from node1:8006: dial tcp: connection refused"},
	} {
		_, err := ours(t, tt.rt).Do(t.Context(), tt.action)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		if err.Error() != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, err, tt.want)
		}
		if ha.KindOf(err) != tt.kind {
			t.Errorf("%s: kind %s, want %s", tt.name, ha.KindOf(err), tt.kind)
		}
	}
}

// The difference that decides whether a deed may be repeated: was it refused, or is its
// outcome unknown?
func TestRefused(t *testing.T) {
	message := `{"data":null,"message":"storage 'gone' does not exist\n"}`
	fails := func(err error) *proxmoxd {
		return &proxmoxd{answer: func(*http.Request, string) (*http.Response, error) { return nil, err }}
	}
	for _, tt := range []struct {
		name string
		rt   http.RoundTripper
		want bool
	}{
		{"Proxmox says no", always(500, "storage 'gone' does not exist", message), true},
		{"parameter refused", always(400, "Parameter verification failed.", `{"data":null,"errors":{"target":"x"}}`), true},
		{"not authenticated", always(401, "No ticket", ""), true},
		{"no such call", always(501, "Method not implemented", ""), true},
		{"redirected", always(301, "Moved Permanently", ""), true},
		{"node asked could not connect to the guest's node", always(595, "No route to host", ""), true},
		{"connection refused", fails(errRefused), true},
		{"guest's node went silent", always(596, "Connection timed out", ""), false},
		{"guest's node broke off", always(597, "Connection reset", ""), false},
		{"gateway between us and Proxmox", always(502, "Bad Gateway", "<html>"), false},
		{"500 that is not Proxmox's", always(500, "Internal Server Error", "<html>"), false},
		{"connection broke", fails(errBroken), false},
		{"200 that is not Proxmox's", always(200, "OK", "<html>"), false},
		{"200 without a task", always(200, "OK", `{"data":null}`), false},
	} {
		_, err := ours(t, tt.rt).Do(t.Context(), ha.Migrate{SID: ha.MustSID("vm:100"), From: "node1", To: "node2", Method: ha.MethodLive})
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		} else if got := Refused(err); got != tt.want {
			t.Errorf("%s: Refused = %v, want %v (%v)", tt.name, got, tt.want, err)
		}
	}
	if Refused(nil) {
		t.Error("no error is no refusal")
	}
	if Refused(get(ours(t, always(403, "Permission check failed", "")))) {
		t.Error("only a deed can be refused")
	}
}

// The body's message is whole where the reason phrase was lost or cut.
func TestMessageBeforeReason(t *testing.T) {
	two := "create ha rule failed: 400 Rule 'ra1' is invalid.\nresources: rule is ineffective\n"
	body, _ := json.Marshal(map[string]any{"data": nil, "message": two})
	for reason, want := range map[string]string{
		"create ha rule failed: 400 Rule 'ra1' is invalid.": "create ha rule failed: 400 Rule 'ra1' is invalid.; resources: rule is ineffective",
		"": "create ha rule failed: 400 Rule 'ra1' is invalid.; resources: rule is ineffective",
	} {
		err := get(ours(t, always(500, reason, string(body))))
		var api *APIError
		if !errors.As(err, &api) || api.Text() != want {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
	err := get(ours(t, always(401, "Authentication failed!", "")))
	var api *APIError
	if !errors.As(err, &api) || api.Text() != "Authentication failed!" {
		t.Errorf("without a body the reason phrase counts: %v", err)
	}
}

// get is any read.
func get(c *Client) error {
	_, err := read[any](context.Background(), c, "/cluster/options")
	return err
}

// Whatever comes back, nothing panics, and success is only what is a 2xx in Proxmox's form.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "OK", recorded(f, "migrate-blocked"))
	f.Add(200, "OK", `{"data":"UPID:node1:00000DE6:0004ECAB:6B00E143:qmigrate:100:psw@pve!ha:"}`)
	f.Add(200, "OK", recorded(f, "tasklog-live"))
	f.Add(200, "OK", recorded(f, "taskstatus-failed"))
	f.Add(204, "No Content", "")
	f.Add(400, "Parameter verification failed.", `{"errors":{"a":{"b":1},"c":null},"data":null,"message":17}`)
	f.Add(595, "", "")
	f.Add(301, "Moved", "<html>")
	f.Fuzz(func(t *testing.T, status int, reason, body string) {
		synctest.Test(t, func(t *testing.T) {
			c := ours(t, always(status, reason, body))
			form := status >= 200 && status <= 299 && strings.HasPrefix(strings.TrimLeft(body, " \t\r\n"), "{")
			_, moved := c.Do(t.Context(), ha.Migrate{SID: vm100, To: "node2", HA: true})
			upid, begun := c.Do(t.Context(), ha.Start{SID: vm100, Node: "node1"})
			if !form && (moved == nil || begun == nil && upid != "") {
				t.Errorf("success out of %d %q", status, body)
			}
			if begun == nil && upid != "" {
				if _, err := ParseUPID(upid); err != nil {
					t.Error(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.WaitTask(ctx, migrateTask); err == nil && !form {
				t.Errorf("a task ended well by %d %q", status, body)
			}
			_, _, _ = c.Downtime(ctx, migrateTask)
		})
	})
}
