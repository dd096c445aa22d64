package e2e_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	gib          = 1 << 30
	secret       = "11111111-2222-3333-4444-555555555555"
	sufferSteps  = 60  // of 1 to 6 s each, while things go wrong
	healingSteps = 240 // of 5 s each, in which everything must come to an end
)

// chaos is one simulated world and everything that happens to it.
type chaos struct {
	t      *testing.T
	seed   uint64
	rand   *rand.Rand
	sim    *pvesim.Cluster
	policy ha.Policy
	memory map[int]int64     // of guests, by VMID, in bytes
	room   map[string]int64  // of nodes
	sent   map[string]string // the node each guest was last asked to move to, by SID
	path   string
	began  time.Time
	log    []string

	store   *store.Store
	c       *coordinator.Coordinator
	starts  int
	agents  []*node
	crashIn int // requests until the coordinator is killed; 0: it is not
	down    map[string]bool
	gone    map[string]bool // switched off for good, to be removed
}

// node is one node's agent and its connection to the coordinator.
type node struct {
	name   string
	agent  *agent.Agent
	config agent.Config
	orders <-chan ha.Order
	hangUp context.CancelFunc
}

// killed is what a kill -9 of the coordinator looks like from inside.
type killed struct{}

func newChaos(t *testing.T, seed uint64) *chaos {
	w := &chaos{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 7)), path: filepath.Join(t.TempDir(), "psw.db"), began: time.Now(), down: map[string]bool{}, gone: map[string]bool{},
		memory: map[int]int64{}, room: map[string]int64{}, sent: map[string]string{}}
	w.sim = pvesim.New(w.draw())
	dir := t.TempDir()
	for _, n := range w.sim.Nodes() {
		cfg := agent.DefaultConfig()
		cfg.Node, cfg.StateDir = ha.NodeName(n), filepath.Join(dir, n)
		w.agents = append(w.agents, &node{name: n, config: cfg, agent: agent.New(cfg, w.sim.Host(n), slog.New(slog.DiscardHandler))})
	}
	w.start()
	return w
}

// draw draws the cluster: nodes, guests of both kinds, some of them under HA.
func (w *chaos) draw() pvesim.Spec {
	s := pvesim.Spec{Name: "sim", Tokens: []pvesim.TokenSpec{{User: "root@pam", ID: "ha", Secret: secret}},
		Storages: []pvesim.StorageSpec{{ID: "psw", Type: "nfs", Server: "10.10.0.50", Export: "/pool"}, {ID: "local", Type: "dir", Content: []string{"iso"}}}}
	w.policy = ha.Policy{Project: "sim", Cluster: ha.ClusterPolicy{Name: "sim"}}
	for k := range 3 + w.rand.IntN(2) {
		name := fmt.Sprintf("node%d", k+1)
		w.room[name] = int64(12+w.rand.IntN(40)) * gib
		s.Nodes = append(s.Nodes, pvesim.NodeSpec{Name: name, Memory: w.room[name]})
		w.policy.Cluster.Nodes = append(w.policy.Cluster.Nodes, ha.NodeName(name))
	}
	for k := range 2 + w.rand.IntN(6) {
		w.drawGuest(&s, 100+k)
	}
	w.drawAffinity(&s)
	if *operations {
		drawForeign(&s)
		w.memory[900] = gib
	}
	slices.SortFunc(w.policy.Targets, func(a, b ha.Target) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func (w *chaos) drawGuest(s *pvesim.Spec, id int) {
	home := s.Nodes[w.rand.IntN(len(s.Nodes))].Name
	g := pvesim.GuestSpec{ID: id, Name: fmt.Sprintf("guest%d", id), Node: home, Running: true, Memory: int64(1+w.rand.IntN(8)) * gib,
		Disks: []pvesim.DiskSpec{{Key: "scsi0", Storage: "psw"}}}
	t := ha.Target{Name: g.Name, Type: ha.TargetVM, Node: ha.NodeName(home), Memory: g.Memory, VMID: id, HA: w.rand.IntN(4) > 0}
	sid := ha.SID{Kind: ha.VM, ID: id}
	if w.rand.IntN(3) == 0 {
		g.Type, g.Disks[0].Key, t.Type, sid.Kind = "lxc", "rootfs", ha.TargetLXC, ha.CT
	}
	if t.HA {
		s.Resources = append(s.Resources, pvesim.ResourceSpec{SID: sid.String(), State: "started", Options: map[string]string{"failback": strconv.Itoa(w.rand.IntN(2))}})
		if w.rand.IntN(2) == 0 {
			s.Rules = append(s.Rules, pvesim.RuleSpec{ID: "psw-" + g.Name, Type: "node-affinity", Resources: []string{sid.String()}, Nodes: []string{home + ":100"}})
		}
	}
	w.memory[id] = g.Memory
	s.Guests = append(s.Guests, g)
	w.policy.Targets = append(w.policy.Targets, t)
}

// drawAffinity keeps two HA guests together, or apart, now and then.
func (w *chaos) drawAffinity(s *pvesim.Spec) {
	if len(s.Resources) < 2 || w.rand.IntN(3) > 0 {
		return
	}
	a := w.rand.IntN(len(s.Resources) - 1)
	r := pvesim.RuleSpec{ID: "pair", Type: "resource-affinity", Affinity: "positive", Resources: []string{s.Resources[a].SID, s.Resources[a+1].SID}}
	if w.rand.IntN(2) == 0 {
		r.Affinity = "negative"
	}
	s.Rules = append(s.Rules, r)
}

func (w *chaos) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%6.1f  ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

func (w *chaos) fail(format string, args ...any) {
	w.t.Helper()
	events := w.sim.Events()
	for _, e := range events[max(0, len(events)-12):] {
		w.say("truth: %6.1f  %s %s %s", e.At.Sub(w.began).Seconds(), e.Node, e.SID, e.What)
	}
	for _, n := range w.sim.Nodes() {
		w.say("truth: %s up %v, quorate %v, runs %v", n, w.sim.Up(n), w.sim.Quorate(n), w.sim.Running(n))
	}
	w.sim.HealNFS() // or a hanging probe would keep the bubble from ending
	tail := w.log[max(0, len(w.log)-60):]
	w.t.Fatalf("%s\n\nreplay: go test ./e2e -run Simulation -seed=%d -operations=%v\n\n%s", fmt.Sprintf(format, args...), w.seed, *operations, strings.Join(tail, "\n"))
}

// start starts a coordinator on what is in its file.
func (w *chaos) start() {
	st, err := store.Open(w.path, store.Options{})
	if err != nil {
		w.fail("the state cannot be opened: %v", err)
	}
	var endpoints []string
	for _, n := range w.sim.Nodes() {
		endpoints = append(endpoints, "https://"+n+":8006")
	}
	client, err := pve.New(pve.Config{Endpoints: endpoints, TokenID: "root@pam!ha", TokenSecret: secret, Transport: &wire{w: w, to: w.sim.Transport()}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.starts++
	cfg := coordinator.DefaultConfig()
	cfg.ID = fmt.Sprintf("c%d", w.starts)
	c, err := coordinator.New(cfg, st, client, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		w.fail("the coordinator does not start: %v", err)
	}
	w.store, w.c = st, c
	w.say("coordinator %s starts", cfg.ID)
	for _, n := range w.agents {
		w.connect(n)
	}
}

// connect is an agent that dials.
func (w *chaos) connect(n *node) {
	if n.hangUp != nil {
		n.hangUp()
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.hangUp = cancel
	welcome, err := w.c.Hello(ctx, n.agent.Hello())
	if err != nil || n.agent.Welcome(welcome) != nil {
		n.orders = nil
		return
	}
	if n.orders, err = w.c.Orders(ctx, ha.NodeName(n.name)); err != nil {
		n.orders = nil
	}
}

// crash is what is left after kill -9: the file.
func (w *chaos) crash() {
	w.say("coordinator is killed")
	for _, n := range w.agents {
		n.hangUp()
		n.orders = nil
	}
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.crashIn = 0
}

func (w *chaos) close() {
	for _, n := range w.agents {
		if n.hangUp != nil {
			n.hangUp()
		}
	}
	_ = w.store.Close()
}

// wire is the way to the API: it watches what is asked, and is where the coordinator dies.
type wire struct {
	w  *chaos
	to http.RoundTripper
}

func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w := x.w
	die := w.crashIn == 1
	before := die && w.rand.IntN(2) == 0
	if w.crashIn > 0 {
		w.crashIn--
	}
	if before {
		panic(killed{}) // the request is never sent
	}
	if r.Method != http.MethodGet {
		w.judgeRequest(r)
		w.say("asks: %s %s", r.Method, strings.TrimPrefix(r.URL.Path, "/api2/json"))
	}
	resp, err := x.to.RoundTrip(r)
	if die {
		panic(killed{}) // the answer is never read
	}
	return resp, err
}

// step lets some time pass, lets agents report and the coordinator tick, and judges.
func (w *chaos) step(d time.Duration) {
	time.Sleep(d)
	for _, n := range w.agents {
		if !w.sim.Up(n.name) {
			w.down[n.name] = true
			continue
		}
		if w.down[n.name] { // it booted: a new process, that remembers whom it obeys
			delete(w.down, n.name)
			n.agent = agent.New(n.config, w.sim.Host(n.name), slog.New(slog.DiscardHandler))
			w.connect(n)
		}
		if n.orders == nil {
			w.connect(n)
		}
		_ = w.c.Report(context.Background(), n.agent.Look(context.Background()))
	}
	if !w.tick() {
		w.crash()
		time.Sleep(time.Duration(1+w.rand.IntN(20)) * time.Second)
		w.start()
	}
	w.obey()
	w.judge()
}

// tick is one pass; false if the coordinator was killed in it.
func (w *chaos) tick() (alive bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			alive = false
		}
	}()
	_ = w.c.Tick(context.Background()) // what it could not do it says in its views
	return true
}

// obey lets the agents carry out what they were ordered.
func (w *chaos) obey() {
	for _, n := range w.agents {
		for n.orders != nil {
			var o ha.Order
			var ok bool
			select {
			case o, ok = <-n.orders:
			default:
			}
			if !ok {
				break
			}
			if !w.sim.Up(n.name) {
				continue // the order dies with the node
			}
			res := n.agent.Obey(context.Background(), o)
			w.say("%s obeys: %s (%s%s)", n.name, o.Deed, res.Refused, res.Failed)
			if w.rand.IntN(10) > 0 { // or its answer is lost
				_ = w.c.OrderDone(context.Background(), res)
			}
		}
	}
}
