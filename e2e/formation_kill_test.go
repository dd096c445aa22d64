package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// deadly is the API as the coordinator reaches it. Each write is a deed at which the
// coordinator may be killed: before it was sent, or with its answer unread.
type deadly struct {
	s    *site
	next http.RoundTripper
}

type lifeEnds struct{}

func (d deadly) RoundTrip(req *http.Request) (*http.Response, error) {
	deed := req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api2/json")
	asked := func(before bool) {
		if req.Method != http.MethodGet && d.s.kill != nil && d.s.kill(before, deed) {
			panic(lifeEnds{}) // nothing that came after it in this tick is done
		}
	}
	asked(true)
	resp, err := d.next.RoundTrip(req)
	asked(false)
	return resp, err
}

// tick is one of the coordinator's, which may not live to its end.
func (s *site) tick() {
	defer func() {
		if r := recover(); r != nil && r != (lifeEnds{}) {
			panic(r)
		}
	}()
	_ = s.c.Tick(s.ctx) // that a node's API is away for a moment is not a fault
}

// A fate is who dies, and when: before or after which deed.
type fate struct {
	victim string
	before bool
	deed   string
	nth    int
}

func (f fate) String() string {
	when := "after"
	if f.before {
		when = "before"
	}
	return fmt.Sprintf("%s %s %d %s", f.victim, when, f.nth+1, f.deed)
}

// fates are all that can happen to who does these deeds. Agents know nothing of the API.
func fates(deeds []string) (all []fate) {
	for k, deed := range deeds {
		for _, before := range []bool{true, false} {
			all = append(all, fate{"coordinator", before, deed, k})
			if !viaAPI(deed) {
				all = append(all, fate{"agent", before, deed, k})
			}
		}
	}
	return all
}

func viaAPI(deed string) bool {
	return slices.ContainsFunc([]string{"POST ", "PUT ", "DELETE "}, func(m string) bool { return strings.HasPrefix(deed, m) })
}

// strike lets it happen. happened says whether it did.
func (s *site) strike(f fate) (happened func() bool) {
	n := 0
	s.kill = func(before bool, deed string) bool {
		if before != f.before {
			return false
		}
		if n++; n != f.nth+1 {
			return false
		}
		if deed != f.deed {
			s.t.Errorf("deed %d is %q, and was %q before", n, deed, f.deed)
		}
		if f.victim == "coordinator" {
			s.crash()
			return true
		}
		for name := range s.agents {
			s.install(name)
		}
		return true
	}
	return func() bool { return n > f.nth }
}

// listen notes each deed.
func (s *site) listen() *[]string {
	var deeds []string
	s.kill = func(before bool, deed string) bool {
		if before {
			deeds = append(deeds, deed)
		}
		return false
	}
	return &deeds
}

// registry is what Proxmox keeps of storages and of HA, byte by byte.
func (s *site) registry() string {
	s.t.Helper()
	var all strings.Builder
	for _, name := range []string{"storage.cfg", "ha/resources.cfg", "ha/rules.cfg"} {
		data, err := s.sim.Host("node1").ReadFile("etc/pve/" + name)
		if err != nil || len(data) == 0 {
			s.t.Errorf("%s: %v, %d bytes", name, err, len(data))
		}
		fmt.Fprintf(&all, "# %s\n%s", name, data)
	}
	return all.String()
}

// populate puts two targets on node1, each with a rule, as a project declares them.
func (s *site) populate() {
	nodes := s.policy.Cluster.Nodes
	for k, name := range []string{"web", "db"} {
		s.sim.AddGuest(pvesim.GuestSpec{ID: 100 + k, Node: "node1", Bare: true, Config: map[string]string{"name": name, "memory": "512"}})
		s.policy.Targets = append(s.policy.Targets, ha.Target{Name: name, Type: ha.TargetVM, Node: "node1", HA: true, VMID: 100 + k,
			Options: ha.HAOptions{Nodes: []ha.NodeName{"node1", nodes[len(nodes)-1]}, Strict: k == 0}})
	}
}

// The hook appends its event to a file. Told to, it stops before that or after it, says so
// through a pipe, and is there to be killed.
const hookScript = `#!/bin/sh
event=$(cat)
stopped() { [ -e "%[1]s/$1" ] && rm "%[1]s/$1" && echo "$1" > "%[1]s/pipe" && exec sleep 600; }
stopped before
echo "$event" >> "%[1]s/called"
stopped after
exit 0
`

func (s *site) installHook() {
	s.t.Helper()
	s.hook = filepath.Join(s.dir, "hook")
	if err := os.WriteFile(s.hook, fmt.Appendf(nil, hookScript, s.dir), 0o700); err != nil { //nolint:gosec // it is to be run
		s.t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(s.dir, "pipe"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.crash()
	s.ticks(5)
}

// called are the events the hook was effective for.
func (s *site) called() []string {
	data, err := os.ReadFile(filepath.Join(s.dir, "called"))
	if err != nil {
		s.t.Error("the hook was not called:", err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

var boot = ha.OperationRequest{Kind: ha.OperationBootstrap}

// bootstrapped runs a bootstrap to its end, whatever happens to it, and returns what is
// registered then. The hook must have been effective, for this operation only.
func (s *site) bootstrapped() string {
	s.t.Helper()
	o := s.operate(boot)
	if o.Outcome != ha.OperationDone {
		s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
	}
	s.ticks(10)
	s.whole(3)
	for _, event := range s.called() {
		if !strings.Contains(event, fmt.Sprintf(`"operation":%q`, o.ID)) {
			s.t.Errorf("the hook was called for another operation than %s: %s", o.ID, event)
		}
	}
	return s.registry()
}

// Whoever dies, before or after whichever deed of a bootstrap, Proxmox's files are the same
// in the end, to the byte.
func TestBootstrapSurvivesEveryKill(t *testing.T) {
	var want string
	var deeds []string
	onASite(t, 3, func(s *site) {
		s.populate()
		s.installHook()
		heard := s.listen()
		want, deeds = s.bootstrapped(), *heard
		if n := len(s.called()); n != 1 {
			s.t.Errorf("the hook was called %d times", n)
		}
	})
	for _, f := range fates(deeds) {
		t.Run(f.String(), func(t *testing.T) {
			onASite(t, 3, func(s *site) {
				s.populate()
				s.installHook()
				happened := s.strike(f)
				if have := s.bootstrapped(); have != want {
					s.t.Errorf("registered is\n%s\nwithout a kill it was\n%s", have, want)
				}
				if !happened() {
					s.t.Error("nobody was killed")
				}
			})
		})
	}
	for _, when := range []string{"before", "after"} {
		t.Run("coordinator "+when+" the hook", func(t *testing.T) {
			onASite(t, 3, func(s *site) { s.killedAtTheHook(when, want) })
		})
	}
}

// killedAtTheHook is a bootstrap whose coordinator dies while the hook runs: it is called
// anew, by the same name.
func (s *site) killedAtTheHook(when, want string) {
	s.t.Helper()
	s.populate()
	s.installHook()
	if err := os.WriteFile(filepath.Join(s.dir, when), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
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
	if _, err := os.ReadFile(filepath.Join(s.dir, "pipe")); err != nil { // until it stopped
		s.t.Fatal(err)
	}
	s.crash()
	if have := s.bootstrapped(); have != want {
		s.t.Errorf("registered is\n%s\nwithout a kill it was\n%s", have, want)
	}
	times := map[string]int{"before": 1, "after": 2}[when]
	if called := s.called(); len(called) != times || called[0] != called[len(called)-1] {
		s.t.Errorf("the hook was effective %d times, want %d, by the same name:\n%s", len(called), times, strings.Join(called, "\n"))
	}
}

// removal takes node4 out of a cluster that has rules which name it.
func (s *site) removal(begin func()) string {
	s.t.Helper()
	s.populate()
	if o := s.operate(boot); o.Outcome != ha.OperationDone {
		s.t.Fatalf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
	}
	s.sim.PowerOff("node4")
	s.ticks(10)
	begin()
	o := s.operate(ha.OperationRequest{Kind: ha.OperationRemoveNode, Node: "node4", Options: ha.OperationOptions{PoweredOff: true}})
	if o.Outcome != ha.OperationDone {
		s.t.Errorf("%s: %s\n%s", o.Outcome, o.Reason, steps(o))
	}
	s.ticks(10)
	for _, n := range []ha.NodeName{"node1", "node2", "node3"} {
		if m := s.agents[n].Look(s.t.Context()).Membership; len(m.Members) != 3 || !s.sim.Quorate(string(n)) {
			s.t.Errorf("%s is a member of %+v", n, m)
		}
	}
	return s.registry()
}

// Whoever dies, before or after whichever deed, the node is removed, and no rule names it.
func TestRemovalSurvivesEveryKill(t *testing.T) {
	var want string
	var deeds []string
	onASite(t, 4, func(s *site) {
		var heard *[]string
		want = s.removal(func() { heard = s.listen() })
		deeds = *heard
		if strings.Contains(want, "node4") {
			s.t.Errorf("a rule still names it:\n%s", want)
		}
	})
	for _, f := range fates(deeds) {
		t.Run(f.String(), func(t *testing.T) {
			onASite(t, 4, func(s *site) {
				var happened func() bool
				if have := s.removal(func() { happened = s.strike(f) }); have != want {
					s.t.Errorf("registered is\n%s\nwithout a kill it was\n%s", have, want)
				}
				if !happened() {
					s.t.Error("nobody was killed")
				}
			})
		})
	}
}
