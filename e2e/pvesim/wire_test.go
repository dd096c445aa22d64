package pvesim_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// over asks a node through a client and returns what came, an error included.
func over(client *http.Client, ctx context.Context, method, url, header string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", header)
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	_, reason, _ := strings.Cut(resp.Status, " ")
	return answer{resp.StatusCode, reason, string(b)}, err
}

const rootToken = "PVEAPIToken=root@pam!lab=" + secret

// The deed is done, only its answer is lost: whoever asks again without looking does it twice.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		spec.Guests = []pvesim.GuestSpec{{ID: 100, Node: "pve1"}}
		l := start(t, spec)
		l.LoseAnswers(1, "/ha/resources")
		_, err := over(l.http, t.Context(), "POST", "https://pve1:8006/api2/json/cluster/ha/resources?sid=vm:100", rootToken)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("err %v", err)
		}
		a := l.call("pve1", "POST", "/cluster/ha/resources", "sid=vm:100")
		if want := "create resource failed: resource ID 'vm:100' already defined"; a.code != 500 || a.reason != want {
			t.Errorf("second time: %d %s", a.code, a.reason)
		}
	})
}

func TestRefusedAndSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		l.RefuseAnswers(2, "/cluster/status", 595, "No route to host")
		for range 2 {
			if a := l.call("pve1", "GET", "/cluster/status", ""); a.code != 595 || a.reason != "No route to host" || a.body != "" {
				t.Errorf("refused: %+v", a)
			}
		}
		if a := l.call("pve1", "GET", "/cluster/status", ""); a.code != 200 {
			t.Errorf("afterwards: %+v", a)
		}
		l.DelayAnswers(-1, "", 40*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := over(l.http, ctx, "GET", "https://pve1:8006/api2/json/version", rootToken)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		l.ClearAnswers()
		if a := l.call("pve1", "GET", "/version", ""); a.code != 200 {
			t.Errorf("cleared: %+v", a)
		}
	})
}

// Who is not let in learns so only after 3 s, and a wrong or missing secret looks alike.
func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		for header, reason := range map[string]string{
			"": "No ticket", "pveapitoken=root@pam!lab=" + secret: "No ticket", "PVEAPIToken=root@pam!lab": "Authentication failed!",
			"PVEAPIToken=root@pam!lab=wrong": "Authentication failed!", "PVEAPIToken=root@pam!other=" + secret: "Authentication failed!",
		} {
			begin := time.Now()
			a, err := over(l.http, t.Context(), "GET", "https://pve1:8006/api2/json/version", header)
			if err != nil || a.code != 401 || a.reason != reason || a.body != "" || time.Since(begin) != 3*time.Second {
				t.Errorf("%q: %+v %v after %v", header, a, err, time.Since(begin))
			}
		}
		if a, _ := over(l.http, t.Context(), "GET", "https://pve1:8006/api2/json/version", "PVEAPIToken root@pam!lab="+secret); a.code != 200 {
			t.Errorf("a space instead of = is accepted by Proxmox, here: %+v", a)
		}
	})
}

// A node without power does not answer at all; another node answers for it with 595.
func TestDeadNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		l.PowerOff("pve2")
		if _, err := over(l.http, t.Context(), "GET", "https://pve2:8006/api2/json/version", rootToken); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("asked itself: %v", err)
		}
		begin := time.Now()
		if a := l.call("pve1", "GET", "/nodes/pve2/status", ""); a.code != 595 || a.reason != "Connection timed out" || time.Since(begin) != 30*time.Second {
			t.Errorf("asked at once: %+v after %v", a, time.Since(begin))
		}
		time.Sleep(10 * time.Second)
		if a := l.call("pve1", "GET", "/nodes/pve2/status", ""); a.code != 595 || a.reason != "No route to host" {
			t.Errorf("asked later: %+v", a)
		}
		if _, err := over(l.http, t.Context(), "GET", "https://nosuch:8006/api2/json/version", rootToken); err == nil {
			t.Error("a host that does not exist answered")
		}
		l.PowerOn("pve2")
		time.Sleep(2 * time.Minute)
		if a := l.call("pve2", "GET", "/version", ""); a.code != 200 {
			t.Errorf("powered on again: %+v", a)
		}
	})
}

// On real sockets the reason phrases arrive as well, and a dead node ends the connection.
func TestRealSockets(t *testing.T) {
	spec := threeNodes()
	spec.Options.Speed = 100
	c := pvesim.New(spec)
	srv := httptest.NewUnstartedServer(c.API("pve1"))
	srv.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	client := srv.Client()
	a, err := over(client, t.Context(), "GET", srv.URL+"/api2/json/cluster/ha/resources/vm:9", rootToken)
	if err != nil || a.code != 500 || a.reason != "invalid VMID" || a.body != `{"data":null,"message":"invalid VMID\n"}` {
		t.Errorf("%+v %v", a, err)
	}
	a, err = over(client, t.Context(), "GET", srv.URL+"/api2/json/version", "nobody")
	if err != nil || a.code != 401 || a.reason != "No ticket" || a.body != "" {
		t.Errorf("%+v %v", a, err)
	}
	if a, err = over(client, t.Context(), "GET", srv.URL+"/api2/json/version", rootToken); err != nil || a.code != 200 {
		t.Errorf("%+v %v", a, err)
	}
	c.PowerOff("pve1")
	if a, err = over(client, t.Context(), "GET", srv.URL+"/api2/json/version", rootToken); err == nil {
		t.Errorf("a dead node answered %+v", a)
	}
}

// The raw answer is HTTP/1.1 that closes the connection, as pveproxy does on errors.
func TestErrorsCloseTheConnection(t *testing.T) {
	c := pvesim.New(threeNodes())
	srv := httptest.NewServer(c.API("pve2"))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", srv.URL+"/api2/json/cluster/ha/resources", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Status != "501 method 'PATCH' not available" || !resp.Close {
		t.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	if _, err := bufio.NewReader(resp.Body).ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("body: %v", err)
	}
}

// Many at once, while nodes come and go.
func TestConcurrentUse(t *testing.T) {
	spec := threeNodes()
	spec.Options.Speed = 1000
	for id := range 20 {
		spec.Guests = append(spec.Guests, pvesim.GuestSpec{ID: 100 + id, Node: "pve2", Running: true})
		spec.Resources = append(spec.Resources, pvesim.ResourceSpec{SID: fmt.Sprintf("vm:%d", 100+id)})
	}
	c := pvesim.New(spec)
	client := &http.Client{Transport: c.Transport()}
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for n := range 20 {
				path := []string{"/cluster/resources", "/cluster/ha/status/current", "/cluster/tasks", "/nodes/pve3/qemu"}[(k+n)%4]
				_, _ = over(client, t.Context(), "GET", "https://pve1/api2/json"+path, rootToken) // pve3 may be down
				switch {
				case k == 0 && n == 3:
					c.PowerOff("pve3")
				case k == 0 && n == 10:
					c.PowerOn("pve3")
				case k == 1:
					_ = c.Command("pve1", "node-maintenance", []string{"enable", "disable"}[n%2], "pve2")
				}
			}
		})
	}
	wg.Wait()
	if d := c.DoubleRun(); len(d) > 0 {
		t.Errorf("ran twice: %v", d)
	}
}
