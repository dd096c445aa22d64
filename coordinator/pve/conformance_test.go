package pve_test

import (
	"cmp"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// One suite against the simulator, always, and against a real cluster on demand, so that
// the simulator does not flatter the adapter:
//
//	go test ./coordinator/pve -run Conformance -v -pve=https://10.0.0.1:8006,https://10.0.0.2:8006 \
//	    -pve-token-file=token -pve-ca=pve-root-ca.pem -pve-guest=vm:9100
//
// The token file holds USER@REALM!NAME=SECRET. Without -pve-guest nothing is changed. With
// it, that guest is registered, moved, shut down and started: give one that nobody needs,
// on shared storage, running, and not HA-managed.
var (
	realPVE         = flag.String("pve", "", "endpoints of a real Proxmox VE cluster, separated by commas")
	realToken       = flag.String("pve-token-file", "", "file with the API token, USER@REALM!NAME=SECRET")
	realCA          = flag.String("pve-ca", "", "CA file of the cluster")
	realFingerprint = flag.String("pve-fingerprint", "", "fingerprints of the nodes' certificates")
	realGuest       = flag.String("pve-guest", "", "SID of a guest that may be registered, moved and restarted")
)

// subject is a cluster under test.
type subject struct {
	*pve.Client
	// guest may be changed; zero if none may.
	guest ha.SID
	// denied is the same cluster through a token that is not valid.
	denied *pve.Client
}

const simToken, simSecret = "psw@pve!ha", "5f3c0f7e-0000-4000-8000-c0ffee5ec4e7"

// lab is the simulated cluster: three nodes, shared storage, a VM and a container running.
func lab() *pvesim.Cluster {
	return pvesim.New(pvesim.Spec{
		Nodes:    []pvesim.NodeSpec{{Name: "node1"}, {Name: "node2"}, {Name: "node3"}},
		Storages: []pvesim.StorageSpec{{ID: "nas", Type: "nfs", Server: "10.99.7.250", Export: "/srv/psw"}},
		Guests: []pvesim.GuestSpec{
			{ID: 100, Name: "web", Node: "node1", Running: true},
			{ID: 101, Name: "db", Node: "node2", Running: true},
			{ID: 102, Name: "peer", Node: "node2", Running: true},
			{ID: 200, Type: "lxc", Name: "files", Node: "node1", Running: true, Config: map[string]string{"cpulimit": "0.5"}},
			{ID: 201, Type: "lxc", Name: "idle", Node: "node3"},
		},
		Resources: []pvesim.ResourceSpec{{SID: "vm:101", State: "started"}, {SID: "vm:102", Options: map[string]string{"failback": "0", "comment": "by hand"}}},
		Rules:     []pvesim.RuleSpec{{ID: "pin-db", Type: "node-affinity", Resources: []string{"vm:101"}, Nodes: []string{"node2:2", "node1"}}},
		Tokens:    []pvesim.TokenSpec{{User: "psw@pve", ID: "ha", Secret: simSecret}},
	})
}

func simulated(t *testing.T, c *pvesim.Cluster, secret string) *pve.Client {
	t.Helper()
	client, err := pve.New(pve.Config{
		Endpoints: []string{"https://node1:8006", "https://node2:8006", "https://node3:8006"},
		TokenID:   simToken, TokenSecret: secret, Transport: c.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func real(t *testing.T) subject {
	t.Helper()
	raw, err := os.ReadFile(*realToken)
	if err != nil {
		t.Fatal(err)
	}
	id, secret, ok := strings.Cut(strings.TrimSpace(string(raw)), "=")
	if !ok {
		t.Fatalf("%s does not hold USER@REALM!NAME=SECRET", *realToken)
	}
	cfg := pve.Config{Endpoints: strings.Split(*realPVE, ","), TokenID: id, TokenSecret: secret, CAFile: *realCA, Fingerprint: *realFingerprint}
	client, err := pve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TokenSecret = "00000000-0000-0000-0000-000000000000"
	denied, err := pve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := subject{Client: client, denied: denied}
	if *realGuest != "" {
		if s.guest, err = ha.ParseSID(*realGuest); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// statements are what must hold of any cluster. The second half changes subject.guest.
var statements = []struct {
	name    string
	changes bool
	check   func(*testing.T, subject)
}{
	{"the inventory is complete and in order", false, inventoryInOrder},
	{"a token that is not valid is denied", false, deniedToken},
	{"what does not exist is not found, and nothing happens", false, notFound},
	{"what is gone already can be removed", false, alreadyGone},
	{"a guest is registered, changed and unregistered", true, registration},
	{"a rule is made, changed and removed", true, rules},
	{"the HA manager moves a guest", true, movedByHA},
	{"a guest is moved live, shut down and started", true, movedByTask},
}

func TestConformance(t *testing.T) {
	for _, s := range statements {
		t.Run(s.name, func(t *testing.T) {
			if *realPVE != "" {
				subject := real(t)
				if s.changes && subject.guest.IsZero() {
					t.Skip("needs -pve-guest")
				}
				s.check(t, subject)
				return
			}
			synctest.Test(t, func(t *testing.T) {
				c := lab()
				s.check(t, subject{Client: simulated(t, c, simSecret), guest: ha.MustSID("vm:100"), denied: simulated(t, c, "wrong")})
			})
		})
	}
}

func (s subject) inventory(t *testing.T) ha.Inventory {
	t.Helper()
	inv, err := s.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// until reads the inventory until ok, for at most five minutes.
func (s subject) until(t *testing.T, what string, ok func(ha.Inventory) bool) ha.Inventory {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(2 * time.Second) {
		inv := s.inventory(t)
		if ok(inv) {
			return inv
		}
		if time.Now().After(end) {
			t.Fatalf("waited five minutes until %s", what)
		}
	}
}

func (s subject) do(t *testing.T, a ha.Action) string {
	t.Helper()
	upid, err := s.Do(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return upid
}

// refused carries out an action that must be refused with that kind.
func (s subject) refused(t *testing.T, a ha.Action, kind ha.Kind) {
	t.Helper()
	_, err := s.Do(t.Context(), a)
	if ha.KindOf(err) != kind || !pve.Refused(err) {
		t.Errorf("%s: %v (kind %q, refused %v; want %q)", a, err, ha.KindOf(err), pve.Refused(err), kind)
	}
}

func inventoryInOrder(t *testing.T, s subject) {
	missing, err := s.Permissions(t.Context())
	if err != nil || len(missing) > 0 {
		t.Errorf("the token lacks %v, %v", missing, err)
	}
	inv := s.inventory(t)
	if len(inv.Failures) > 0 || inv.Version == "" || inv.At.IsZero() {
		t.Errorf("failures %v, version %q, at %s", inv.Failures, inv.Version, inv.At)
	}
	if n, ok := inv.Node(inv.Source); !ok || !n.Online || n.ID == 0 || n.CPUs == 0 || n.MemoryMax == 0 || n.MemoryUsed == 0 || n.Uptime == 0 {
		t.Errorf("the node that answered is %q: %+v", inv.Source, n)
	}
	if !inv.Cluster.Quorate || !inv.HA.Quorate || inv.Cluster.Name == "" || inv.Cluster.Expected != len(inv.Nodes) || inv.Cluster.Votes == 0 {
		t.Errorf("cluster %+v, HA quorate %v", inv.Cluster, inv.HA.Quorate)
	}
	for _, g := range inv.Guests {
		if found, ok := inv.Guest(g.SID); !ok || found.Name != g.Name {
			t.Errorf("%s is not found: the guests are out of order", g.SID)
		}
		if _, ok := inv.Node(g.Node); !ok || g.Name == "" || g.MemoryMax == 0 {
			t.Errorf("guest %+v", g)
		}
		if g.Running() && g.MemoryUsed == 0 {
			t.Errorf("running guest %+v", g)
		}
	}
	for _, r := range inv.Resources {
		if _, ok := inv.Guest(r.SID); !ok || r.State == "" || r.Digest == "" {
			t.Errorf("resource %+v", r)
		}
	}
	for _, r := range inv.Rules {
		if r.Type == ha.NodeAffinity && len(r.Nodes) == 0 || r.Type == ha.ResourceAffinity && r.Affinity == "" || len(r.Resources) == 0 || r.ID == "" {
			t.Errorf("rule %+v", r)
		}
	}
	for _, st := range inv.Storages {
		for _, on := range st.On {
			if n, ok := inv.Node(on.Node); !ok || !n.Online || !st.Offers(on.Node) || on.Available && on.Total == 0 {
				t.Errorf("storage %s on %+v", st.Name, on)
			}
		}
	}
	if inv.Options.ShutdownPolicy == "" || inv.Options.Scheduler == "" || inv.Options.MaxWorkers == 0 || inv.HA.Armed == "" {
		t.Errorf("options %+v, armed %q", inv.Options, inv.HA.Armed)
	}
	if !slices.IsSortedFunc(inv.Tasks, func(a, b ha.Task) int { return b.Started.Compare(a.Started) }) {
		t.Error("the tasks are not newest first")
	}
	for _, task := range inv.Tasks {
		if u, err := pve.ParseUPID(task.UPID); err != nil || u.Node != task.Node || u.Type != task.Type || !u.Started.Equal(task.Started) {
			t.Errorf("task %+v: %v", task, err)
		}
	}
}

func deniedToken(t *testing.T, s subject) {
	if _, err := s.denied.Inventory(t.Context()); ha.KindOf(err) != ha.Denied {
		t.Errorf("inventory: %v", err)
	}
	if _, err := s.denied.Permissions(t.Context()); ha.KindOf(err) != ha.Denied {
		t.Errorf("permissions: %v", err)
	}
	_, err := s.denied.Do(t.Context(), ha.RemoveRule{ID: "psw-conformance"})
	var api *pve.APIError
	if ha.KindOf(err) != ha.Denied || !pve.Refused(err) || !errors.As(err, &api) || api.Status != 401 {
		t.Errorf("deed: %v", err)
	}
}

// nobody is a guest no cluster has.
var nobody = ha.MustSID("vm:999999998")

func notFound(t *testing.T, s subject) {
	inv := s.inventory(t)
	here, there := inv.Source, other(inv, inv.Source)
	r := ha.Resource{SID: nobody, State: ha.RequestStopped, MaxRestart: 1, MaxRelocate: 1, Failback: true}
	s.refused(t, ha.AddResource{Resource: r}, ha.NotFound)
	s.refused(t, ha.UpdateResource{Resource: r}, ha.NotFound)
	s.refused(t, ha.Migrate{SID: nobody, From: here, To: there, Method: ha.MethodLive, HA: true}, ha.NotFound)
	s.refused(t, ha.Migrate{SID: nobody, From: here, To: there, Method: ha.MethodLive}, ha.NotFound)
	s.refused(t, ha.PutRule{Create: true, Rule: ha.Rule{ID: "psw-conformance", Type: ha.NodeAffinity, Resources: []ha.SID{nobody}, Nodes: []ha.RuleNode{{Node: here}}}}, ha.NotFound)
	s.refused(t, ha.PutRule{Rule: ha.Rule{ID: "psw-conformance", Type: ha.NodeAffinity, Resources: []ha.SID{nobody}, Nodes: []ha.RuleNode{{Node: here}}}}, ha.NotFound)
	task := "UPID:" + string(here) + ":00000001:00000001:60000000:qmigrate:100:psw@pve!ha:"
	if err := s.WaitTask(t.Context(), task); ha.KindOf(err) != ha.NotFound {
		t.Errorf("a task that never was: %v", err)
	}
}

// other is an online node besides one.
func other(inv ha.Inventory, than ha.NodeName) ha.NodeName {
	for _, n := range inv.Nodes {
		if n.Online && n.Name != than {
			return n.Name
		}
	}
	return ""
}

func alreadyGone(t *testing.T, s subject) {
	s.do(t, ha.RemoveResource{SID: nobody})
	s.do(t, ha.RemoveRule{ID: "psw-conformance"})
}

func registration(t *testing.T, s subject) {
	want := ha.Resource{SID: s.guest, State: ha.RequestStarted, MaxRestart: 2, MaxRelocate: 3, Failback: false, Comment: "psw conformance"}
	has := func(want ha.Resource) ha.Resource {
		t.Helper()
		got, ok := s.inventory(t).Resource(s.guest)
		digest := got.Digest
		if got.Digest = ""; !ok || got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		return ha.Resource{Digest: digest}
	}
	s.do(t, ha.AddResource{Resource: want})
	t.Cleanup(func() { _, _ = s.Do(t.Context(), ha.RemoveResource{SID: s.guest}) })
	old := has(want).Digest
	s.do(t, ha.AddResource{Resource: want}) // twice is once
	contrary := want
	contrary.Failback = true
	s.refused(t, ha.AddResource{Resource: contrary}, ha.Conflict)

	want.Failback, want.Comment, want.MaxRestart = true, "", 1
	s.do(t, ha.UpdateResource{Resource: want})
	has(want)
	s.do(t, ha.UpdateResource{Resource: want}) // nothing to do
	stale := want
	stale.MaxRelocate, stale.Digest = 1, old
	s.refused(t, ha.UpdateResource{Resource: stale}, ha.Conflict)
	has(want)

	s.do(t, ha.RemoveResource{SID: s.guest})
	if r, ok := s.inventory(t).Resource(s.guest); ok {
		t.Errorf("still registered: %+v", r)
	}
	s.do(t, ha.RemoveResource{SID: s.guest}) // twice is once
}

func rules(t *testing.T, s subject) {
	s.do(t, ha.AddResource{Resource: ha.Resource{SID: s.guest, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}})
	t.Cleanup(func() { _, _ = s.Do(t.Context(), ha.RemoveResource{SID: s.guest}) })
	inv := s.inventory(t)
	g, _ := inv.Guest(s.guest)
	want := ha.Rule{
		ID: "psw-conformance", Type: ha.NodeAffinity, Resources: []ha.SID{s.guest}, Strict: true, Comment: "one",
		Nodes: []ha.RuleNode{{Node: g.Node, Priority: 2}, {Node: other(inv, g.Node), Priority: 1}},
	}
	slices.SortFunc(want.Nodes, func(a, b ha.RuleNode) int { return cmp.Compare(a.Node, b.Node) })
	has := func() {
		t.Helper()
		for _, r := range s.inventory(t).Rules {
			if r.ID == want.ID {
				if r.Strict != want.Strict || r.Disabled != want.Disabled || r.Comment != want.Comment || !slices.Equal(r.Nodes, want.Nodes) ||
					!slices.Equal(r.Resources, want.Resources) || len(r.Errors) > 0 {
					t.Fatalf("got %+v, want %+v", r, want)
				}
				return
			}
		}
		t.Fatalf("no rule %s", want.ID)
	}
	s.do(t, ha.PutRule{Rule: want, Create: true})
	t.Cleanup(func() { _, _ = s.Do(t.Context(), ha.RemoveRule{ID: want.ID}) })
	has()
	s.do(t, ha.PutRule{Rule: want, Create: true}) // twice is once
	for _, change := range []func(){
		func() { want.Strict, want.Comment = false, "" },
		func() { want.Disabled = true },
		func() { want.Disabled, want.Strict, want.Comment = false, true, "two" },
		func() { want.Nodes = want.Nodes[:1] },
		func() {},
	} {
		change()
		s.do(t, ha.PutRule{Rule: want})
		has()
	}
	// Unregistering the guest must leave the rule alone.
	s.do(t, ha.RemoveResource{SID: s.guest})
	if !slices.ContainsFunc(s.inventory(t).Rules, func(r ha.Rule) bool { return r.ID == want.ID }) {
		t.Error("the rule was purged with its resource")
	}
	s.do(t, ha.RemoveRule{ID: want.ID})
	if slices.ContainsFunc(s.inventory(t).Rules, func(r ha.Rule) bool { return r.ID == want.ID }) {
		t.Error("the rule is still there")
	}
}

func movedByHA(t *testing.T, s subject) {
	s.do(t, ha.AddResource{Resource: ha.Resource{SID: s.guest, State: ha.RequestStarted, MaxRestart: 1, MaxRelocate: 1, Failback: true}})
	t.Cleanup(func() { _, _ = s.Do(t.Context(), ha.RemoveResource{SID: s.guest}) })
	at := func(n ha.NodeName) func(ha.Inventory) bool {
		return func(inv ha.Inventory) bool {
			svc, ok := inv.HA.Service(s.guest)
			g, _ := inv.Guest(s.guest)
			return ok && svc.State == ha.ServiceStarted && svc.Running && svc.Node == n && g.Node == n
		}
	}
	inv := s.inventory(t)
	g, _ := inv.Guest(s.guest)
	inv = s.until(t, "the HA manager runs the guest", at(g.Node))
	if inv.HA.Master == "" || inv.HA.MasterAt.IsZero() || inv.HA.Armed != "armed" {
		t.Errorf("HA %+v", inv.HA)
	}
	to := other(inv, g.Node)
	if upid := s.do(t, ha.Migrate{SID: s.guest, From: g.Node, To: to, Method: ha.MethodLive, HA: true}); upid != "" {
		t.Errorf("a queued request has no task, but %s", upid)
	}
	inv = s.until(t, "the guest has moved", at(to))
	moved := slices.IndexFunc(inv.Tasks, func(task ha.Task) bool { return task.Type == "qmigrate" && task.Node == g.Node && !task.Ended.IsZero() })
	if moved < 0 {
		t.Fatalf("the task of the move is not listed: %+v", inv.Tasks)
	}
	if d, ok, err := s.Downtime(t.Context(), inv.Tasks[moved].UPID); err != nil || !ok || d <= 0 || d > time.Minute {
		t.Errorf("downtime %s, %v, %v", d, ok, err)
	}
}

func movedByTask(t *testing.T, s subject) {
	inv := s.inventory(t)
	g, _ := inv.Guest(s.guest)
	to := other(inv, g.Node)
	wait := func(upid string) {
		t.Helper()
		if err := s.WaitTask(t.Context(), upid); err != nil {
			t.Fatal(err)
		}
	}
	// Without --online Proxmox refuses to move what runs.
	s.refused(t, ha.Migrate{SID: s.guest, From: g.Node, To: to, Method: ha.MethodOffline}, ha.Conflict)
	s.refused(t, ha.Migrate{SID: s.guest, From: g.Node, To: g.Node, Method: ha.MethodLive}, ha.Conflict)
	s.refused(t, ha.Migrate{SID: s.guest, From: g.Node, To: "no-such-node", Method: ha.MethodLive}, ha.NotFound)

	upid := s.do(t, ha.Migrate{SID: s.guest, From: g.Node, To: to, Method: ha.MethodLive})
	wait(upid)
	if d, ok, err := s.Downtime(t.Context(), upid); err != nil || !ok || d <= 0 || d > time.Minute {
		t.Errorf("downtime %s, %v, %v", d, ok, err)
	}
	s.until(t, "the guest has moved", func(inv ha.Inventory) bool { g, _ := inv.Guest(s.guest); return g.Node == to })
	wait(s.do(t, ha.Shutdown{SID: s.guest, Node: to}))
	s.until(t, "the guest is down", func(inv ha.Inventory) bool { g, _ := inv.Guest(s.guest); return g.Status == ha.GuestStopped })
	wait(s.do(t, ha.Start{SID: s.guest, Node: to}))
	s.until(t, "the guest is up", func(inv ha.Inventory) bool { g, _ := inv.Guest(s.guest); return g.Running() })
}
