package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	tokenSecret = "11111111-2222-3333-4444-555555555555"
	gib         = 1 << 30
)

// world is a simulated cluster with a coordinator and an agent on each node, driven by hand
// inside a synctest bubble: nothing happens but what the test lets happen.
type world struct {
	t     testing.TB
	sim   *pvesim.Cluster
	api   *wire
	path  string
	store *store.Store
	c     *coordinator.Coordinator
	log   bytes.Buffer
	// agents that are connected, by node.
	agents map[string]*agent
	// absent nodes' agents do not run.
	absent map[string]bool
	config coordinator.Config
	token  string // the coordinator's
	// proving says why a node's part in a proof fails; "" if it does not.
	proving func(ha.ProveStorage) string
	// alter changes what an agent sees before it is reported.
	alter func(r *ha.Report)
	tick  error // what the last tick said
}

// agent is one node's agent: it remembers whom it obeys, as the real one does on disk.
type agent struct {
	generation  uint64
	coordinator string
	orders      <-chan ha.Order
	hangUp      context.CancelFunc
	// refuse is what it answers to orders; done counts those it carried out.
	refuse string
	done   []string
}

// home is the cluster of these tests: three nodes, a container and two VMs of the project
// on node1, all HA-managed but the last, and a VM on node2.
func home() pvesim.Spec {
	nfs := func(key string) []pvesim.DiskSpec {
		return []pvesim.DiskSpec{{Key: key, Storage: "psw", Size: 8 * gib}}
	}
	return pvesim.Spec{
		Name:  "home",
		Nodes: []pvesim.NodeSpec{{Name: "node1", Memory: 64 * gib}, {Name: "node2", Memory: 64 * gib}, {Name: "node3", Memory: 64 * gib}},
		Storages: []pvesim.StorageSpec{
			{ID: "psw", Type: "nfs", Server: "10.10.0.50", Export: "/mnt/pool/psw"},
			{ID: "local", Type: "dir", Content: []string{"iso", "vztmpl"}},
		},
		Guests: []pvesim.GuestSpec{
			{ID: 100, Name: "core", Type: "lxc", Node: "node1", Running: true, Memory: 8 * gib, Disks: nfs("rootfs")},
			{ID: 101, Name: "media", Node: "node1", Running: true, Memory: 4 * gib, Disks: nfs("scsi0")},
			{ID: 102, Name: "wiki", Node: "node1", Running: true, Memory: 2 * gib, Disks: nfs("scsi0")},
			{ID: 103, Name: "nas", Node: "node2", Running: true, Memory: 2 * gib, Disks: nfs("scsi0")},
		},
		Resources: []pvesim.ResourceSpec{resource("ct:100", "core"), resource("vm:101", "media")},
		Tokens:    []pvesim.TokenSpec{{User: "root@pam", ID: "ha", Secret: tokenSecret}},
	}
}

func resource(sid, target string) pvesim.ResourceSpec {
	return pvesim.ResourceSpec{SID: sid, State: "started",
		Options: map[string]string{"failback": "0", "max_restart": "1", "max_relocate": "1", "comment": "psw-ha: target " + target}}
}

func homePolicy() *ha.Policy {
	return &ha.Policy{
		Project: "home",
		Cluster: ha.ClusterPolicy{Name: "home", Nodes: []ha.NodeName{"node1", "node2", "node3"}},
		Targets: []ha.Target{
			{Name: "core", Type: ha.TargetLXC, Node: "node1", HA: true, Memory: 8 * gib, VMID: 100},
			{Name: "media", Type: ha.TargetVM, Node: "node1", HA: true, Memory: 4 * gib, VMID: 101},
			{Name: "nas", Type: ha.TargetVM, Node: "node2", Memory: 2 * gib, VMID: 103},
			{Name: "wiki", Type: ha.TargetVM, Node: "node1", Memory: 2 * gib, VMID: 102, Maintenance: ha.MaintenanceMove},
		},
	}
}

// newWorld builds a world; the coordinator has not ticked yet.
func newWorld(t testing.TB, spec pvesim.Spec) *world {
	t.Helper()
	return newWorldAs(t, spec, "root@pam!ha")
}

// newWorldAs is newWorld with another API token for the coordinator.
func newWorldAs(t testing.TB, spec pvesim.Spec, token string) *world {
	t.Helper()
	w := &world{t: t, token: token, sim: pvesim.New(spec), path: filepath.Join(t.TempDir(), "psw.db"), agents: make(map[string]*agent), absent: make(map[string]bool),
		config: coordinator.DefaultConfig()}
	w.api = &wire{sim: w.sim, to: w.sim.Transport()}
	w.start()
	t.Cleanup(func() {
		for _, a := range w.agents {
			a.hangUp()
		}
		if w.store != nil {
			_ = w.store.Close()
		}
		if t.Failed() {
			t.Logf("the coordinator's log:\n%s", w.log.String())
		}
	})
	return w
}

// start starts the coordinator on what is in its state file.
func (w *world) start() {
	w.t.Helper()
	st, err := store.Open(w.path, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	endpoints := make([]string, 0, 3)
	for _, n := range w.sim.Nodes() {
		endpoints = append(endpoints, "https://"+n+":8006")
	}
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	client, err := pve.New(pve.Config{Endpoints: endpoints, TokenID: w.token, TokenSecret: tokenSecret, Transport: w.api})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := coordinator.New(w.config, st, client, nil, log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store, w.c = st, c
}

// crash is kill -9: the coordinator is gone, its agents' connections break, and all that is
// left is its file.
func (w *world) crash() {
	w.t.Helper()
	for _, a := range w.agents {
		a.hangUp()
		a.orders = nil
	}
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// report lets every agent that runs connect, carry out its orders and report.
func (w *world) report() {
	w.t.Helper()
	for _, node := range w.sim.Nodes() {
		a := w.agents[node]
		if a == nil {
			a = &agent{hangUp: func() {}}
			w.agents[node] = a
		}
		if !w.sim.Up(node) || w.absent[node] {
			a.hangUp()
			a.orders = nil
			continue
		}
		if a.orders == nil {
			w.connect(node, a)
		}
		w.obey(node, a)
		r := reportOf(w.sim, node)
		r.Generation, r.Coordinator = a.generation, a.coordinator
		if w.alter != nil {
			w.alter(&r)
		}
		if err := w.c.Report(context.Background(), r); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) connect(node string, a *agent) {
	welcome, err := w.c.Hello(context.Background(), ha.Hello{Node: ha.NodeName(node), Generation: a.generation, Coordinator: a.coordinator})
	if err != nil {
		return // it tries again later
	}
	if welcome.Generation > a.generation {
		a.generation, a.coordinator = welcome.Generation, welcome.Coordinator
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.hangUp = cancel
	if a.orders, err = w.c.Orders(ctx, ha.NodeName(node)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) obey(node string, a *agent) {
	for {
		var o ha.Order
		select {
		case order, open := <-a.orders:
			if !open {
				a.orders = nil
				return
			}
			o = order
		default:
			return
		}
		result := ha.OrderResult{ID: o.ID, Node: ha.NodeName(node)}
		if w.prove(node, o, &result) {
			if err := w.c.OrderDone(context.Background(), result); err != nil {
				w.t.Logf("order of %s: %v", node, err)
			}
			continue
		}
		deed := o.Deed.(ha.SetNodeMaintenance)
		verb := "disable"
		if deed.On {
			verb = "enable"
		}
		if a.refuse != "" {
			result.Refused = a.refuse
		} else if err := w.sim.Command(node, "node-maintenance", verb, string(deed.Node)); err != nil {
			result.Failed = err.Error()
		} else {
			a.done = append(a.done, verb+" "+string(deed.Node))
		}
		if err := w.c.OrderDone(context.Background(), result); err != nil {
			w.t.Logf("order of %s: %v", node, err)
		}
	}
}

// prove does a node's part in a proof; false if the order is none.
func (w *world) prove(node string, o ha.Order, result *ha.OrderResult) bool {
	deed, ok := o.Deed.(ha.ProveStorage)
	if !ok {
		return false
	}
	if w.proving != nil {
		if result.Failed = w.proving(deed); result.Failed != "" {
			return true
		}
	}
	raw, err := w.sim.Host(node).Prove(context.Background(), string(deed.Deed), deed.Path, deed.Nonce, true)
	if err != nil {
		result.Failed = err.Error()
	} else if err := json.Unmarshal(raw, &result.Storage); err != nil {
		result.Failed = err.Error()
	}
	return true
}

// reportOf is what a node's agent would see of it.
func reportOf(sim *pvesim.Cluster, node string) ha.Report {
	quorate := sim.Quorate(node)
	r := ha.Report{
		Node: ha.NodeName(node), Agent: "test", Taken: time.Now(),
		System:   ha.System{CPUs: 4, MemoryTotal: 64 * gib, MemoryAvailable: 40 * gib, PmxcfsMounted: true, PmxcfsWritable: quorate},
		Corosync: ha.Corosync{Running: true, Quorate: quorate, Expected: 3, Quorum: 2, Votes: 3},
		HA:       ha.LocalHA{LRMRunning: true, CRMRunning: true},
		Mounts:   []ha.Mount{{Source: "10.10.0.50:/mnt/pool/psw", Path: "/mnt/pve/psw", Type: "nfs4", Hard: true, Answering: true}},
	}
	where := make(map[string]string)
	for _, g := range sim.Guests() {
		where[g.SID] = g.Config
		if g.Config == node {
			r.GuestConfigs = append(r.GuestConfigs, ha.GuestConfig{SID: ha.MustSID(g.SID), Name: g.Name, Storages: []string{"psw"}})
		}
	}
	for _, p := range sim.Running(node) {
		r.Running = append(r.Running, ha.LocalGuest{SID: ha.MustSID(p.SID), PID: p.PID, Started: p.Started,
			Incoming: p.Incoming || p.Arrived && where[p.SID] != node})
	}
	return r
}

// step is one interval: time passes, agents report, the coordinator ticks, agents obey.
func (w *world) step() {
	w.t.Helper()
	time.Sleep(w.config.Interval)
	w.report()
	w.tick = w.c.Tick(context.Background())
	w.report()
}

// until steps until ok, and fails after limit.
func (w *world) until(limit time.Duration, what string, ok func() bool) {
	w.t.Helper()
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			w.t.Fatalf("no %s within %s\n%s", what, limit, w.story(0))
		}
		w.step()
	}
}

// settled lets the cluster and the coordinator come to rest before a story begins.
func (w *world) settled() *world {
	w.t.Helper()
	w.until(2*time.Minute, "rest", func() bool {
		s := w.c.Snapshot()
		svc, ok := s.Inventory.HA.Service(ha.MustSID("ct:100"))
		return ok && svc.State == ha.ServiceStarted && svc.Running && s.InventoryFresh()
	})
	return w
}

func (w *world) drain(node ha.NodeName) ha.Maintenance {
	w.t.Helper()
	m, err := w.c.StartMaintenance(context.Background(), ha.MaintenanceRequest{Node: node, By: "anna", Policy: homePolicy()})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) end(node ha.NodeName) ha.Maintenance {
	w.t.Helper()
	m, err := w.c.EndMaintenance(context.Background(), ha.MaintenanceRequest{Node: node, By: "anna"})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// view is the newest maintenance of a node as its followers see it.
func (w *world) view(node ha.NodeName) ha.MaintenanceView {
	w.t.Helper()
	views, err := w.c.Maintenances(context.Background(), node)
	if err != nil || len(views) != 1 {
		w.t.Fatalf("maintenances of %s: %v, %v", node, views, err)
	}
	return views[0]
}

func (w *world) phase(node ha.NodeName) ha.Phase { return w.view(node).Maintenance.Phase }

// runs is where a guest really runs.
func (w *world) runs(sid string) string {
	g, _ := w.sim.Guest(sid)
	return g.Running
}

// story is the journal after seq, one line an event.
func (w *world) story(after uint64) string {
	w.t.Helper()
	var b strings.Builder
	for _, e := range w.events(after) {
		fmt.Fprintf(&b, "%s %s\n", e.Type, e.Text)
	}
	return b.String()
}

func (w *world) events(after uint64) []ha.Event {
	w.t.Helper()
	var out []ha.Event
	if err := w.c.Events(context.Background(), after, false, func(e ha.Event) error {
		out = append(out, e)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) lastSeq() uint64 {
	all := w.events(0)
	return all[len(all)-1].Seq
}

// count counts the journal's entries of a type that contain text.
func (w *world) count(typ ha.EventType, text string) int {
	n := 0
	for _, e := range w.events(0) {
		if e.Type == typ && strings.Contains(e.Text, text) {
			n++
		}
	}
	return n
}

// noDoubleRun fails if a guest ever ran twice.
func (w *world) noDoubleRun() {
	w.t.Helper()
	if d := w.sim.DoubleRun(); len(d) > 0 {
		w.t.Errorf("guests ran twice: %v", d)
	}
}

// asked lists the changing requests that reached the API, in order.
func (w *world) asked() []string { return slices.Clone(w.api.asked) }

// wire is the way to the API. Tests look at requests before they arrive, and cut it.
type wire struct {
	sim    *pvesim.Cluster
	to     http.RoundTripper
	asked  []string
	before func(*http.Request) // a changing request is about to arrive
	after  func(*http.Request) // its answer is on its way back
	cut    error
	onGet  func(path string) // a reading request is about to arrive
}

func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if x.cut != nil {
		return nil, x.cut
	}
	if r.Method == http.MethodGet {
		if x.onGet != nil {
			x.onGet(strings.TrimPrefix(r.URL.Path, "/api2/json"))
		}
		return x.to.RoundTrip(r)
	}
	if x.before != nil {
		x.before(r)
	}
	x.asked = append(x.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api2/json"))
	resp, err := x.to.RoundTrip(r)
	if x.after != nil {
		x.after(r)
	}
	return resp, err
}
