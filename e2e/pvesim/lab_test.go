package pvesim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// lab is a cluster and an administrator with a token who talks to it.
type lab struct {
	*pvesim.Cluster
	t    *testing.T
	http *http.Client
}

const secret = "11111111-2222-4333-8444-555555555555"

// threeNodes is a small cluster with one shared storage and one local.
func threeNodes() pvesim.Spec {
	return pvesim.Spec{
		Name:  "casa",
		Nodes: []pvesim.NodeSpec{{Name: "pve1"}, {Name: "pve2"}, {Name: "pve3"}},
		Storages: []pvesim.StorageSpec{
			{ID: "nas", Type: "nfs"},
			{ID: "local", Type: "dir", Content: []string{"images", "rootdir", "iso", "vztmpl", "backup"}},
		},
		Tokens: []pvesim.TokenSpec{{User: "root@pam", ID: "lab", Secret: secret}},
	}
}

func start(t *testing.T, spec pvesim.Spec) *lab {
	c := pvesim.New(spec)
	return &lab{Cluster: c, t: t, http: &http.Client{Transport: c.Transport()}}
}

// answer is an answer as it came.
type answer struct {
	code   int
	reason string
	body   string
}

// call asks a node; form is the body of a POST or PUT.
func (l *lab) call(node, method, path, form string) answer {
	l.t.Helper()
	req, err := http.NewRequest(method, "https://"+node+":8006/api2/json"+path, strings.NewReader(form))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "PVEAPIToken=root@pam!lab="+secret)
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := l.http.Do(req)
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	return answer{resp.StatusCode, reason, string(b)}
}

// data decodes the answer of a call that must succeed.
func (l *lab) data(node, method, path, form string, into any) {
	l.t.Helper()
	a := l.call(node, method, path, form)
	if a.code != 200 {
		l.t.Fatalf("%s %s: %d %s %s", method, path, a.code, a.reason, a.body)
	}
	var out struct{ Data json.RawMessage }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		l.t.Fatal(err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(out.Data, into); err != nil {
		l.t.Fatalf("%s %s: %v in %s", method, path, err, out.Data)
	}
}

// manager is the part of manager_status the stories look at.
type manager struct {
	Status struct {
		Master   string                    `json:"master_node"`
		Nodes    map[string]string         `json:"node_status"`
		Requests map[string]map[string]int `json:"node_request"`
		Services map[string]struct {
			Node, State, Target string
			Running             int
			Maintenance         string `json:"maintenance_node"`
		} `json:"service_status"`
	} `json:"manager_status"`
	LRM map[string]struct{ State, Mode string } `json:"lrm_status"`
}

func (l *lab) manager(node string) manager {
	l.t.Helper()
	var m manager
	l.data(node, "GET", "/cluster/ha/status/manager_status", "", &m)
	return m
}

// service is "node state" of a service.
func (l *lab) service(node, sid string) string {
	l.t.Helper()
	s := l.manager(node).Status.Services[sid]
	return s.Node + " " + s.State
}

// until lets time pass, second by second, until cond holds, and says how long it took.
func (l *lab) until(limit time.Duration, what string, cond func() bool) time.Duration {
	l.t.Helper()
	begin := time.Now()
	for !cond() {
		if time.Since(begin) > limit {
			l.t.Fatalf("not within %v: %s\n%s", limit, what, l.log())
		}
		time.Sleep(time.Second)
	}
	return time.Since(begin)
}

// runs is where a guest really runs; empty if nowhere.
func (l *lab) runs(sid string) string {
	g, _ := l.Guest(sid)
	return g.Running
}

func (l *lab) log() string {
	var b strings.Builder
	for _, e := range l.Events() {
		fmt.Fprintf(&b, "%s %s\n", e.At.UTC().Format("15:04:05.000"), e)
	}
	return b.String()
}

// noDoubleRun fails if a guest ever ran twice.
func (l *lab) noDoubleRun() {
	l.t.Helper()
	if d := l.DoubleRun(); len(d) > 0 {
		l.t.Fatalf("a guest ran twice: %v\n%s", d, l.log())
	}
}

func (l *lab) command(node, line string) {
	l.t.Helper()
	if err := l.Command(node, strings.Fields(line)...); err != nil {
		l.t.Fatal(err)
	}
}
