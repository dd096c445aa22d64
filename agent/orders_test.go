package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// order is one of coordinator c1 in its seventh generation.
func order(id string) ha.Order {
	return ha.Order{ID: id, Coordinator: "c1", Generation: 7, TTL: time.Minute, Deed: ha.SetNodeMaintenance{Node: "node2", On: true}}
}

func TestMaintenanceModeIsSwitchedOnAndOff(t *testing.T) {
	m := newMachine()
	a := newAgent(t, m, t.TempDir())
	on, off := order("o1"), order("o2")
	off.Deed = ha.SetNodeMaintenance{Node: "node2"}
	for _, o := range []ha.Order{on, off} {
		if r := a.Obey(t.Context(), o); r.Refused != "" || r.Failed != "" || r.ID != o.ID || r.Node != "node1" || r.Output != "queued\n" {
			t.Errorf("order %s: %+v, want it done by node1", o.ID, r)
		}
	}
	want := []string{"ha-manager crm-command node-maintenance enable node2", "ha-manager crm-command node-maintenance disable node2"}
	if got := m.commands(); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

// A foreignDeed is one a newer coordinator might know: by embedding an old one it has its
// methods, but not its type.
type foreignDeed struct{ ha.SetNodeMaintenance }

// Whatever is refused says why, and nothing is run.
func TestOrdersThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *ha.Order)
		why    string
	}{
		{"a deed the agent does not know", func(o *ha.Order) { o.Deed = foreignDeed{} }, "update it"},
		{"no deed", func(o *ha.Order) { o.Deed = nil }, "update it"},
		{"no ID", func(o *ha.Order) { o.ID = "" }, "no ID"},
		{"an older coordinator", func(o *ha.Order) { o.Generation = 6 }, "obeys c1 of generation 7"},
		{"an older start of the same coordinator", func(o *ha.Order) { o.Coordinator, o.Generation = "c0", 6 }, "outdated"},
		{"a second coordinator of the same generation", func(o *ha.Order) { o.Coordinator = "c2" }, "claims generation 7"},
		{"a coordinator that does not say who it is", func(o *ha.Order) { o.Coordinator, o.Generation = "", 0 }, "does not say who it is"},
		{"an order that has expired", func(o *ha.Order) { o.TTL = 0 }, "expired"},
		{"an order that expired long ago", func(o *ha.Order) { o.TTL = -time.Hour }, "expired"},
		{"an option instead of a node", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: "--help"} }, "no name of a node"},
		{"a second argument", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: "node1 node2"} }, "no name of a node"},
		{"a path", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: "../node1"} }, "no name of a node"},
		{"a domain", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: "node1.example.org"} }, "no name of a node"},
		{"a name that is too long", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: ha.NodeName(strings.Repeat("a", 64))} }, "no name of a node"},
		{"no node", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{} }, "no name of a node"},
		{"a machine outside the cluster", func(o *ha.Order) { o.Deed = ha.SetNodeMaintenance{Node: "node9"} }, "its members are node1, node2, node3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine()
			a := newAgent(t, m, t.TempDir())
			if err := a.Welcome(ha.Welcome{Coordinator: "c1", Generation: 7}); err != nil {
				t.Fatal(err)
			}
			o := order("o1")
			tt.change(&o)
			r := a.Obey(t.Context(), o)
			if !strings.Contains(r.Refused, tt.why) || r.Failed != "" {
				t.Errorf("%+v, want it refused because %q", r, tt.why)
			}
			if ran := m.commands(); len(ran) > 0 {
				t.Errorf("it ran %q", ran)
			}
		})
	}
}

func TestAnOrderThatComesTwiceIsDoneOnce(t *testing.T) {
	m := newMachine()
	m.complaint = errors.New("exit status 255: got timeout")
	a := newAgent(t, m, t.TempDir())
	first := a.Obey(t.Context(), order("o1"))
	if !strings.Contains(first.Failed, "cannot enable maintenance mode of node2: exit status 255") {
		t.Errorf("%+v, want the failure of the command", first)
	}
	m.complaint = nil
	if second := a.Obey(t.Context(), order("o1")); second != first {
		t.Errorf("the second answer is %+v, the first was %+v", second, first)
	}
	if ran := m.commands(); len(ran) != 1 {
		t.Errorf("it ran %q", ran)
	}
}

// What is remembered of orders is bounded: an agent runs for years.
func TestTheMemoryOfOutcomesIsBounded(t *testing.T) {
	a := newAgent(t, newMachine(), t.TempDir())
	for k := range 3 * outcomesMax {
		a.Obey(t.Context(), order(strings.Repeat("o", k+1)))
	}
	if len(a.outcomes) != outcomesMax {
		t.Errorf("%d outcomes are remembered, want %d", len(a.outcomes), outcomesMax)
	}
}

// pmxcfs hangs while the cluster has no quorum. The order is refused in time, and the
// next one does not add a second reader that hangs.
func TestAHungClusterFileSystemRefusesOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.hung = make(chan struct{})
		a := newAgent(t, m, t.TempDir())
		began := time.Now()
		if r := a.Obey(t.Context(), order("o1")); !strings.Contains(r.Refused, "did not answer within 5s") {
			t.Errorf("%+v, want it refused because the list of members does not answer", r)
		}
		if took := time.Since(began); took != readMax {
			t.Errorf("it took %s, want %s", took, readMax)
		}
		if r := a.Obey(t.Context(), order("o2")); !strings.Contains(r.Refused, "hangs") {
			t.Errorf("%+v, want it refused because the first reader still hangs", r)
		}
		close(m.hung)
		synctest.Wait()
		if r := a.Obey(t.Context(), order("o3")); r.Refused != "" || r.Failed != "" {
			t.Errorf("%+v, want it done once pmxcfs is back", r)
		}
	})
}

// An order that is short of time expires while the list of members is read.
func TestAnOrderExpiresWhileTheAgentLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.hung = make(chan struct{})
		a := newAgent(t, m, t.TempDir())
		time.AfterFunc(3*time.Second, func() { close(m.hung) })
		o := order("o1")
		o.TTL = 2 * time.Second
		if r := a.Obey(t.Context(), o); !strings.Contains(r.Refused, "expired") || len(m.commands()) > 0 {
			t.Errorf("%+v after %q, want it refused and nothing run", r, m.commands())
		}
	})
}

// A deed that was begun is finished, though the agent is told to stop.
func TestADeedIsNotCutOff(t *testing.T) {
	m := newMachine()
	a := newAgent(t, m, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if r := a.Obey(ctx, order("o1")); r.Refused != "" || r.Failed != "" || len(m.commands()) != 1 {
		t.Errorf("%+v after %q, want it done", r, m.commands())
	}
}

// A node in no cluster lists no members; it is its own.
func TestANodeInNoClusterIsItsOwnMember(t *testing.T) {
	m := newMachine()
	m.MapFS["etc/pve/.members"].Data = []byte(`{"nodename": "node1", "version": 0}`)
	a := newAgent(t, m, t.TempDir())
	if r := a.Obey(t.Context(), order("o1")); !strings.Contains(r.Refused, "its members are node1") {
		t.Errorf("%+v, want node2 refused", r)
	}
	m.MapFS["etc/pve/.members"].Data = []byte(`{`)
	if r := a.Obey(t.Context(), order("o2")); !strings.Contains(r.Refused, "cannot be seen") {
		t.Errorf("%+v, want it refused because the list is unreadable", r)
	}
}

// Nobody is obeyed before it is on disk who is obeyed.
func TestNoOrderIsObeyedThatCannotBeRemembered(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	m := newMachine()
	a := newAgent(t, m, state)
	if err := a.Welcome(ha.Welcome{Coordinator: "c1", Generation: 7}); err != nil {
		t.Errorf("Welcome: %v; it is still to be reported to", err)
	}
	r := a.Obey(t.Context(), order("o1"))
	if r.Refused == "" || len(m.commands()) > 0 {
		t.Errorf("%+v after %q, want it refused", r, m.commands())
	}
	if h := a.Hello(); h.Generation != 0 {
		t.Errorf("it claims to have accepted generation %d", h.Generation)
	}
}
