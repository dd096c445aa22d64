package e2e_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var everyKill = flag.Bool("every-kill", false, "kill coordinator and agents both before and after every deed; else once each")

// A tale is something that is done to a site. From when it calls begin, anybody may die at
// any deed. It demands what must be so in the end, whoever died.
type tale struct {
	name    string
	nodes   int
	version string // of Proxmox VE; the newest if empty
	tell    func(s *site, begin func())
}

var tales = []tale{
	{"three blank nodes become a cluster", 3, "", func(s *site, begin func()) {
		begin()
		s.ends(form)
		s.whole(3)
	}},
	{"two blank nodes get a QDevice", 2, "", func(s *site, begin func()) {
		s.declareDevice()
		begin()
		s.ends(form)
		s.whole(2)
		s.deviced(true)
	}},
	{"a third node joins where a QDevice was", 3, "", func(s *site, begin func()) {
		s.declareDevice()
		s.formedOf(2)
		s.deviced(true)
		begin()
		s.ends(form)
		s.whole(3)
		s.deviced(false)
	}},
	{"a fourth node joins, and a QDevice comes", 4, "", func(s *site, begin func()) {
		s.declareDevice()
		s.formedOf(3)
		s.deviced(false)
		begin()
		s.ends(form)
		s.whole(4)
		s.deviced(true)
	}},
	{"a fourth node joins a cluster with targets", 4, "", func(s *site, begin func()) {
		all := s.policy.Cluster.Nodes
		s.policy.Cluster.Nodes = all[:3]
		s.populate()
		s.ends(boot)
		s.policy.Cluster.Nodes = all
		s.ticks(3)
		begin()
		s.ends(boot)
		s.whole(4)
	}},
	{"bootstrap", 3, "", bootstraps},
	{"bootstrap on Proxmox VE 8", 3, "8.4.14", bootstraps},
	{"a node leaves", 4, "", func(s *site, begin func()) {
		s.populate()
		s.ends(boot)
		begin()
		s.leaves("node4")
		if strings.Contains(s.registry(), "node4") {
			s.t.Errorf("a rule still names it:\n%s", s.registry())
		}
	}},
	{"a node leaves, and its QDevice before it", 4, "", func(s *site, begin func()) {
		s.declareDevice()
		s.ends(form)
		s.deviced(true)
		begin()
		s.leaves("node4")
		s.deviced(false)
	}},
	{"a node leaves, and a QDevice comes", 3, "", func(s *site, begin func()) {
		s.declareDevice()
		s.ends(form)
		begin()
		s.leaves("node3")
		s.deviced(true)
	}},
}

// bootstraps is a bootstrap with targets and a hook.
func bootstraps(s *site, begin func()) {
	s.populate()
	s.installHook()
	begin()
	s.bootstrapped()
}

// ends asks for an operation, which must end well.
func (s *site) ends(r ha.OperationRequest) {
	s.t.Helper()
	if o := s.operate(r); o.Outcome != ha.OperationDone {
		s.t.Errorf("%s: %s: %s\n%s", r.Kind, o.Outcome, o.Reason, steps(o))
	}
	s.ticks(10)
}

// formedOf forms a cluster of the first nodes; the others are declared then.
func (s *site) formedOf(nodes int) {
	s.t.Helper()
	all := s.policy.Cluster.Nodes
	s.policy.Cluster.Nodes = all[:nodes]
	s.ends(form)
	s.policy.Cluster.Nodes = all
	s.ticks(3)
}

func (s *site) declareDevice() { s.policy.Cluster.QDevice = &ha.QDevice{Host: "10.99.7.60"} }

// deviced demands that the cluster has the declared QDevice, or none.
func (s *site) deviced(want bool) {
	s.t.Helper()
	host := ""
	if want {
		host = s.policy.Cluster.QDevice.Host
	}
	if have := s.agents["node1"].Look(s.t.Context()).Corosync.Config.QDeviceHost; have != host {
		s.t.Errorf("the cluster has the QDevice %q, and is to have %q", have, host)
	}
}

// leaves removes a node for good: it is powered off when its turn has come.
func (s *site) leaves(n ha.NodeName) {
	s.t.Helper()
	r := ha.OperationRequest{Kind: ha.OperationRemoveNode, Node: n, Options: ha.OperationOptions{PoweredOff: true}, Policy: &s.policy, By: "anna"}
	o, err := s.c.StartOperation(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	for waits := 0; !o.Closed(); waits++ {
		if waits == 400 {
			s.t.Fatalf("the removal does not end:\n%s", steps(o))
		}
		s.ticks(1)
		views, err := s.c.Operations(s.t.Context(), o.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		o = views[0].Operation
		if off, _ := o.Step("off " + string(n)); off.State == ha.StepTodo && off.Note != "" && s.sim.Up(string(n)) {
			s.sim.PowerOff(string(n))
		}
	}
	if o.Outcome != ha.OperationDone {
		s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
	}
	s.ticks(10)
	for _, name := range s.policy.Cluster.Nodes {
		if name == n {
			continue
		}
		if m := s.agents[name].Look(s.t.Context()).Membership; len(m.Members) != len(s.policy.Cluster.Nodes)-1 || !s.sim.Quorate(string(name)) {
			s.t.Errorf("%s is a member of %+v", name, m)
		}
	}
}

// Whoever dies, before or after whichever deed, a rerun or the next start finishes what was
// begun, and what Proxmox keeps is the same in the end, to the byte.
func TestEveryFormationSurvivesEveryKill(t *testing.T) {
	for _, x := range tales {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var want string
			var deeds []string
			onASiteOf(t, x.nodes, x.version, func(s *site) {
				heard := &deeds
				x.tell(s, func() { heard = s.listen() })
				want, deeds = s.registry(), *heard
			})
			if len(deeds) == 0 {
				t.Fatal("nothing was done")
			}
			for _, f := range fates(deeds) {
				t.Run(f.String(), func(t *testing.T) {
					t.Parallel()
					onASiteOf(t, x.nodes, x.version, func(s *site) {
						var happened func() bool
						x.tell(s, func() { happened = s.strike(f) })
						if have := s.registry(); have != want {
							s.t.Errorf("Proxmox has\n%s\nwithout a kill it had\n%s", have, want)
						}
						if !happened() {
							s.t.Error("nobody was killed")
						}
					})
				})
			}
		})
	}
}

// The coordinator, or an agent, dies while the hook runs: before that did anything, or after.
// It is called anew by the same name, or not at all.
func TestABootstrapKilledAtItsHook(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run("coordinator "+when, func(t *testing.T) {
			onASite(t, 3, func(s *site) { s.killedAtTheHook(when) })
		})
	}
	t.Run("agents", func(t *testing.T) {
		onASite(t, 3, func(s *site) {
			s.populate()
			s.installHook()
			s.untilTheHook()
			for name := range s.agents {
				s.install(name)
			}
			s.bootstrapped()
			if n := len(s.called()); n != 1 {
				s.t.Errorf("the hook was called %d times", n)
			}
		})
	})
}

// untilTheHook bootstraps until the hook is called.
func (s *site) untilTheHook() {
	s.t.Helper()
	request := boot
	request.Policy, request.By = &s.policy, "anna"
	if _, err := s.c.StartOperation(s.t.Context(), request); err != nil {
		s.t.Fatal(err)
	}
	running := func() bool {
		st, _ := s.store.Operations()[0].Step("core apps")
		return st.State == ha.StepDoing
	}
	for n := 0; !running(); n++ {
		if n == 400 {
			s.t.Fatal("the hook is never called")
		}
		for _, name := range s.policy.Cluster.Nodes {
			s.turn(name)
		}
		s.tick()
		if !running() {
			time.Sleep(5 * time.Second)
		}
	}
}

func (f fate) String() string {
	when := "after"
	if f.before {
		when = "before"
	}
	return fmt.Sprintf("%s %s %d %s", f.victim, when, f.nth+1, f.deed)
}
