package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// A site is freshly installed nodes with real agents and a real coordinator, driven by hand
// in a bubble. Each may be killed at any deed.
type site struct {
	t      *testing.T
	sim    *pvesim.Cluster
	dir    string
	store  *store.Store
	c      *coordinator.Coordinator
	agents map[ha.NodeName]*hand
	policy ha.Policy
	// kill, if set, is asked before (true) and after each order and each write to the API;
	// it may crash something.
	kill func(before bool, deed string) bool
	// given, if set, is asked when an order is on its way; it may crash the coordinator.
	given func() bool
	did   []string
	// hook is the command that deploys the core apps, if there is one.
	hook string
	stop context.CancelFunc
	ctx  context.Context //nolint:containedctx // the life of the coordinator that runs
}

// hand is an agent that runs, and the orders it gets.
type hand struct {
	*agent.Agent
	orders <-chan ha.Order
	hangUp context.CancelFunc
	// arrived are orders that it has and that were not carried out yet.
	arrived []ha.Order
}

const formToken = "11111111-2222-3333-4444-555555555555"

func onASite(t *testing.T, nodes int, tell func(*site)) {
	t.Helper()
	onASiteOf(t, nodes, "", tell)
}

// onASiteOf is onASite with a version of Proxmox VE.
func onASiteOf(t *testing.T, nodes int, version string, tell func(*site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, dir: t.TempDir(), agents: map[ha.NodeName]*hand{}}
		spec := pvesim.Spec{Version: version, Tokens: []pvesim.TokenSpec{{User: "root@pam", ID: "ha", Secret: formToken}}}
		s.policy = ha.Policy{Project: "home", Cluster: ha.ClusterPolicy{Name: "home",
			Storage: &ha.SharedStorage{Type: "nfs", Server: "10.99.7.50", Export: "/mnt/pool/psw", Mount: "/mnt/shared", Options: "vers=4.2"}}}
		for k := range nodes {
			name, one, two := fmt.Sprintf("node%d", k+1), fmt.Sprintf("10.99.7.1%d", k+1), fmt.Sprintf("10.99.8.1%d", k+1)
			spec.Nodes = append(spec.Nodes, pvesim.NodeSpec{Name: name, Address: one, Links: []string{two}, Alone: true})
			s.policy.Cluster.Nodes = append(s.policy.Cluster.Nodes, ha.NodeName(name))
			s.policy.Hosts = append(s.policy.Hosts, ha.Host{Name: ha.NodeName(name), IP: netip.MustParseAddr(one),
				Links: []netip.Addr{netip.MustParseAddr(one), netip.MustParseAddr(two)}})
		}
		s.sim = pvesim.New(spec)
		time.Sleep(time.Minute)
		s.start()
		for _, n := range s.policy.Cluster.Nodes {
			s.install(n)
		}
		s.ticks(3)
		tell(s)
		for _, h := range s.agents {
			if h.hangUp != nil {
				h.hangUp()
			}
		}
		s.stop()
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

// install starts a node's agent anew; what it had on disk stays.
func (s *site) install(n ha.NodeName) {
	if old := s.agents[n]; old != nil && old.hangUp != nil {
		old.hangUp()
	}
	c := agent.DefaultConfig()
	c.Node, c.StateDir, c.Coordinators = n, filepath.Join(s.dir, string(n)), []string{"coordinator:7443"}
	s.agents[n] = &hand{Agent: agent.New(c, s.sim.Host(string(n)), slog.New(slog.DiscardHandler))}
}

func (s *site) start() {
	s.t.Helper()
	st, err := openState(filepath.Join(s.dir, "psw.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	var endpoints []string
	for _, n := range s.sim.Nodes() {
		endpoints = append(endpoints, "https://"+n+":8006")
	}
	client, err := pve.New(pve.Config{Endpoints: endpoints, TokenID: "root@pam!ha", TokenSecret: formToken, Transport: deadly{s, s.sim.Transport()}})
	if err == nil {
		config := coordinator.DefaultConfig()
		config.BootstrapHook = s.hook
		s.c, err = coordinator.New(config, st, client, nil, slog.New(eavesdropper{s}))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = st
	s.ctx, s.stop = context.WithCancel(s.t.Context())
}

// crash is kill -9 of the coordinator, and its next start.
func (s *site) crash() {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.stop() // after the store: what still runs of it stores nothing more
	for _, h := range s.agents {
		if h.hangUp != nil {
			h.hangUp()
		}
		h.orders = nil
	}
	s.start()
}

// ticks lets agents report and obey, and the coordinator tick, that often.
func (s *site) ticks(n int) {
	s.t.Helper()
	for range n {
		for _, name := range s.sim.Nodes() {
			if s.sim.Up(name) {
				s.turn(ha.NodeName(name))
			}
		}
		s.tick()
		time.Sleep(5 * time.Second)
	}
}

func (s *site) turn(n ha.NodeName) {
	h := s.agents[n]
	if h.orders == nil {
		welcome, err := s.c.Hello(s.t.Context(), h.Hello())
		if err != nil || h.Welcome(welcome) != nil {
			return
		}
		ctx, cancel := context.WithCancel(s.t.Context())
		h.hangUp = cancel
		if h.orders, err = s.c.Orders(ctx, n); err != nil {
			s.t.Fatal(err)
		}
	}
	for {
		o, ok := h.next()
		if !ok {
			break
		}
		if s.kill != nil && s.kill(true, o.Deed.String()) {
			return
		}
		r := h.Obey(s.t.Context(), o)
		s.did = append(s.did, o.Deed.String())
		if s.kill != nil && s.kill(false, o.Deed.String()) {
			return
		}
		_ = s.c.OrderDone(s.t.Context(), r) // one of an earlier start is not known any more
	}
	_ = s.c.Report(s.t.Context(), h.Look(s.t.Context()))
}

// next is the order that is to be carried out now, if there is one.
func (h *hand) next() (ha.Order, bool) {
	if len(h.arrived) > 0 {
		o := h.arrived[0]
		h.arrived = h.arrived[1:]
		return o, true
	}
	select {
	case o, open := <-h.orders:
		if !open {
			h.orders = nil
		}
		return o, open
	default:
		return ha.Order{}, false
	}
}

// operate asks for an operation and goes on until it has ended.
func (s *site) operate(r ha.OperationRequest) ha.Operation {
	s.t.Helper()
	r.Policy, r.By = &s.policy, "anna"
	o, err := s.c.StartOperation(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.follow(o.ID)
}

func (s *site) follow(id string) ha.Operation {
	s.t.Helper()
	var last ha.OperationView
	for range 400 {
		s.ticks(1)
		views, err := s.c.Operations(s.t.Context(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		if last = views[0]; last.Operation.Closed() {
			return last.Operation
		}
	}
	s.t.Fatalf("the operation does not end: %+v", last)
	return ha.Operation{}
}

// refused asks for what must be refused, by that code and with a next command.
func (s *site) refused(r ha.OperationRequest, code ha.Code, reason string) {
	s.t.Helper()
	r.Policy, r.By = &s.policy, "anna"
	p, err := s.c.PreviewOperation(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	found := false
	for _, b := range p.Blockers {
		found = found || b.Code == code && strings.Contains(b.Reason, reason) && b.Fix != ""
	}
	if !found {
		s.t.Errorf("want %s, %q; got %+v", code, reason, p.Blockers)
	}
	if _, err := s.c.StartOperation(s.t.Context(), r); ha.KindOf(err) != ha.NotReady {
		s.t.Errorf("want it refused, got %v", err)
	}
}

func steps(o ha.Operation) string {
	var out []string
	for _, st := range o.Steps {
		out = append(out, fmt.Sprintf("%s %s", st.State, st.Key))
	}
	return strings.Join(out, "\n")
}

func (s *site) whole(nodes int) {
	s.t.Helper()
	for _, n := range s.policy.Cluster.Nodes[:nodes] {
		if !s.sim.Quorate(string(n)) {
			s.t.Errorf("%s has no quorum", n)
		}
		if m := s.agents[n].Look(s.t.Context()).Membership; len(m.Members) != nodes || m.ClusterName != "home" {
			s.t.Errorf("%s is a member of %+v", n, m)
		}
	}
	data, err := s.sim.Host("node1").ReadFile("etc/pve/priv/authorized_keys")
	if err != nil || strings.Contains(string(data), "psw-ha") || strings.Count(string(data), "root@node") != nodes {
		s.t.Errorf("%v: who may log in:\n%s", err, data)
	}
}

var form = ha.OperationRequest{Kind: ha.OperationCluster}

// Three blank nodes become a cluster; a second run changes nothing.
func TestBlankNodesBecomeACluster(t *testing.T) {
	onASite(t, 3, func(s *site) {
		o := s.operate(form)
		want := "done cluster home\ndone authorize node2\ndone join node2\ndone revoke node2\ndone authorize node3\ndone join node3\ndone revoke node3"
		if o.Outcome != ha.OperationDone || steps(o) != want {
			s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
		}
		s.whole(3)
		did := len(s.did)
		if o := s.operate(form); steps(o) != "unchanged cluster home\nunchanged join node2\nunchanged join node3" || len(s.did) != did {
			s.t.Errorf("the second run: %s\n%s", o.Reason, steps(o))
		}
	})
}

// Each refusal names its cause and what to type next, before anything is touched.
func TestFormationsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		make   func(*site)
		code   ha.Code
		reason string
	}{
		{"a guest", func(s *site) { s.sim.AddGuest(pvesim.GuestSpec{ID: 100, Node: "node3", Bare: true}) }, "NODE_HOLDS_GUESTS", "it holds guests, and a join would lose their configuration: vm:100"},
		{"an address it does not have", func(s *site) { s.policy.Hosts[1].Links[1] = netip.MustParseAddr("10.99.8.99") }, "ADDRESS_NOT_LOCAL", "link 1 is to be 10.99.8.99"},
		{"an address twice", func(s *site) { s.policy.Hosts[1].Links[1] = s.policy.Hosts[2].Links[1] }, "ADDRESS_TAKEN", "is declared for node"},
		{"no agent", func(s *site) { s.sim.PowerOff("node2"); s.ticks(10) }, "STALE_REPORT", ""},
		{"another cluster", func(s *site) {
			if _, err := s.sim.Host("node3").Run(s.t.Context(), "pvecm", "create", "other", "--link0", "10.99.7.13"); err != nil {
				s.t.Fatal(err)
			}
			s.ticks(3)
		}, "OTHER_CLUSTER", "other"},
		{"fewer links", func(s *site) { s.policy.Hosts[2].Links = s.policy.Hosts[2].Links[:1] }, "LINK_UNREACHABLE", "1 links declared"},
		{"an API of a node that joins", func(s *site) {
			s.policy.Cluster.Nodes = []ha.NodeName{"node2", "node1", "node3"}
		}, "API_OF_ANOTHER_NODE", "asks the API of node1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onASite(t, 3, func(s *site) {
				tt.make(s)
				s.ticks(2)
				s.refused(form, tt.code, tt.reason)
				if len(s.did) > 0 {
					s.t.Errorf("it was done all the same: %v", s.did)
				}
			})
		})
	}
}

// A join that dies half way is recognised, and Proxmox's own repair is printed.
func TestAJoinThatDiesIsRecognised(t *testing.T) {
	onASite(t, 2, func(s *site) {
		s.sim.HoldJoin("node2", pvesim.JoinCopy)
		o := s.operate(form)
		if o.Outcome != ha.OperationFailed || !strings.Contains(o.Reason, "pvecm delnode node2") {
			s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
		}
		s.sim.ReleaseJoin("node2")
	})
}

// A bootstrap forms the cluster and registers its storage, and run again changes nothing.
func TestBootstrapOfBlankNodes(t *testing.T) {
	onASite(t, 3, func(s *site) {
		o := s.operate(boot)
		for _, want := range []string{"done cluster home", "done join node3", "done storage psw", "done mount node3"} {
			if !strings.Contains(steps(o), want) && !strings.Contains(steps(o), strings.Replace(want, "done", "unchanged", 1)) {
				s.t.Errorf("want %q in:\n%s\n%s", want, steps(o), o.Reason)
			}
		}
		t.Log(steps(o), o.Reason)
		again := s.operate(boot)
		if strings.Contains(steps(again), "done ") {
			s.t.Errorf("the second run:\n%s\n%s", steps(again), again.Reason)
		}
	})
}

// A node is removed for good: refused until somebody has said that it is off.
func TestANodeIsRemoved(t *testing.T) {
	onASite(t, 4, func(s *site) {
		if o := s.operate(form); o.Outcome != ha.OperationDone {
			s.t.Fatalf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
		}
		remove := ha.OperationRequest{Kind: ha.OperationRemoveNode, Node: "node4"}
		s.refused(remove, "NODE_NOT_OFF", "nobody has said that it is off")
		remove.Options.PoweredOff = true
		s.sim.AddGuest(pvesim.GuestSpec{ID: 100, Node: "node4", Bare: true})
		s.ticks(2)
		s.refused(remove, "NODE_HAS_GUESTS", "1 guests are on it")
		s.sim.RemoveGuest("vm:100")
		s.sim.PowerOff("node4")
		s.ticks(10)
		o := s.operate(remove)
		if o.Outcome != ha.OperationDone || steps(o) != "unchanged off node4\ndone delnode node4" {
			s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
		}
		if m := s.agents["node1"].Look(s.t.Context()).Membership; len(m.Members) != 3 {
			s.t.Errorf("members: %+v", m.Members)
		}
	})
}

// openState opens the state of a coordinator that has just been killed. What a story beside
// this one forks holds every open file, and with it the lock, until it has become its
// program; that takes real time, which in these stories does not pass by sleeping.
func openState(path string) (st *store.Store, err error) {
	const pause = 5 * time.Millisecond
	for range 400 {
		if st, err = store.Open(path, store.Options{LockTimeout: time.Millisecond}); ha.KindOf(err) != ha.Conflict {
			break
		}
		rest := unix.NsecToTimespec(int64(pause))
		_ = unix.Nanosleep(&rest, nil)
	}
	return st, err
}
