package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

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

// fates are what can happen to who does these deeds: at each the coordinator dies, and the
// agents do, once before it and once after it, or one of both.
func fates(deeds []string) (all []fate) {
	for k, deed := range deeds {
		for v, victim := range []string{"coordinator", "agent"} {
			for _, before := range []bool{true, false} {
				if *everyKill || before == ((k+v)%2 == 0) {
					all = append(all, fate{victim, before, deed, k})
				}
			}
		}
	}
	return all
}

// viaAPI tells a write to the API from an order. It is no agent's deed.
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
		return !viaAPI(deed) // who writes to the API goes on
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

// registry is what Proxmox keeps of the cluster, of storages and of HA, byte by byte.
func (s *site) registry() string {
	s.t.Helper()
	var all strings.Builder
	for _, name := range []string{"corosync.conf", "storage.cfg", "ha/resources.cfg", "ha/rules.cfg", "ha/groups.cfg"} {
		if data, err := s.sim.Host("node1").ReadFile("etc/pve/" + name); err == nil {
			fmt.Fprintf(&all, "# %s\n%s", name, data)
		}
	}
	if !strings.Contains(all.String(), "quorum {") {
		s.t.Errorf("there is no cluster:\n%s", all.String())
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

// bootstrapped runs a bootstrap to its end, whatever happens to it. The hook must have been
// effective, for this operation only, and every target be registered.
func (s *site) bootstrapped() {
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
	for _, want := range []string{"nfs: psw", "psw-ha: target web", "psw-ha: target db"} {
		if !strings.Contains(s.registry(), want) {
			s.t.Errorf("%q is missing in\n%s", want, s.registry())
		}
	}
}

// killedAtTheHook is a bootstrap whose coordinator dies while the hook runs: it is called
// anew, by the same name.
func (s *site) killedAtTheHook(when string) {
	s.t.Helper()
	s.populate()
	s.installHook()
	if err := os.WriteFile(filepath.Join(s.dir, when), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.untilTheHook()
	if _, err := os.ReadFile(filepath.Join(s.dir, "pipe")); err != nil { // until it stopped
		s.t.Fatal(err)
	}
	s.crash()
	s.bootstrapped()
	times := map[string]int{"before": 1, "after": 2}[when]
	if called := s.called(); len(called) != times || called[0] != called[len(called)-1] {
		s.t.Errorf("the hook was effective %d times, want %d, by the same name:\n%s", len(called), times, strings.Join(called, "\n"))
	}
}
