package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// operate carries out the lines of a story that are about operations.
func (st *story) operate(t *testing.T, f []string) (answer string, known bool) {
	switch f[0] {
	case "asks": // asks apply | rebalance | recover TARGET [mended] | move TARGET NODE [manual]
		st.o = ha.Operation{ID: "o1", Kind: ha.OperationKind(f[1]), RequestedAt: st.s.At, Policy: st.s.Policy}
		switch st.o.Kind {
		case ha.OperationRecover:
			st.o.Target = f[2]
		case ha.OperationMove:
			st.o.Target, st.o.Options.To = f[2], ha.NodeName(f[3])
		}
		st.o.Options.Manual, st.o.Options.Mended = strings.Contains(strings.Join(f, " "), " manual"), strings.Contains(strings.Join(f, " "), " mended")
	case "shows":
		return st.shows(), true
	case "mended":
		st.o.Options.Mended = true
	case "gives-up":
		st.o.Cancelling = true
	case "deadline":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		st.o.Options.Deadline = st.s.At.Add(d)
	case "step":
		return st.step(), true
	case "applied", "keeper": // applied [keep]: an operator's apply is over; keeper: the keeper's
		by := map[string]string{"applied": "anna", "keeper": ha.Keeper}[f[0]]
		st.runApply(t, by, f[0] == "keeper" || len(f) > 1)
	case "keeps":
		o, due, why := Keep(st.look())
		switch {
		case due:
			return fmt.Sprintf("applies: %s\n", o.Message), true
		case why != "":
			return fmt.Sprintf("held: %s\n", why), true
		}
		return "nothing\n", true
	case "over":
		st.m = ha.Maintenance{}
	case "obeys": // Proxmox does what the last step asked for
		for _, a := range st.plan.Actions {
			if _, moves := a.(ha.Migrate); moves {
				continue // stories say where guests arrive
			}
			if why := st.obey(a); why != "" {
				t.Errorf("Proxmox would refuse %q: %s", a, why)
			}
		}
	case "refuses": // Proxmox refuses what the last step asked for
		for k := range st.o.Steps {
			if x := &st.o.Steps[k]; x.State == ha.StepDoing {
				x.Note = strings.Join(f[1:], " ")
			}
		}
	case "forgets": // the HA manager drops its record of what it ignores
		s := sid(t, f[1])
		r, _ := st.s.Inventory.Resource(s)
		st.setResource(s, nil)
		st.s.Inventory.Resources = append(st.s.Inventory.Resources, r)
		slices.SortFunc(st.s.Inventory.Resources, func(a, b ha.Resource) int { return a.SID.Compare(b.SID) })
	case "steps":
		var b strings.Builder
		for _, x := range st.o.Steps {
			fmt.Fprintf(&b, "%-9s %s: %s\n", x.State, x.Key, strings.TrimSuffix(x.Text+" ("+x.Note+")", " ()"))
		}
		return b.String(), true
	default:
		return "", false
	}
	return "", true
}

// runApply carries an apply out, to its end.
func (st *story) runApply(t *testing.T, by string, keep bool) {
	st.o = ha.Operation{ID: fmt.Sprint("o", len(st.s.Operations)), Kind: ha.OperationApply, By: by, RequestedAt: st.s.At, Policy: st.s.Policy,
		Options: ha.OperationOptions{Keep: keep}}
	for range 10 {
		if st.step(); st.o.Closed() {
			st.s.Operations = append(st.s.Operations, st.o)
			return
		}
		for _, a := range st.plan.Actions {
			if why := st.obey(a); why != "" {
				t.Errorf("Proxmox would refuse %q: %s", a, why)
			}
		}
	}
	t.Error("an apply does not end")
}

// step is one tick of the operation.
func (st *story) step() string {
	var b strings.Builder
	before := st.o.Clone()
	st.o, st.plan = Operate(st.o, st.look(), Aside{})
	for _, x := range st.o.Steps {
		if was, ok := before.Step(x.Key); (!ok || was.State != x.State) && x.State.Over() && st.o.Kind != ha.OperationApply {
			fmt.Fprintf(&b, "%-9s %s\n", x.State, strings.TrimSuffix(x.Key+" ("+x.Note+")", " ()"))
		}
	}
	for _, a := range st.plan.Actions {
		fmt.Fprintf(&b, "do        %s\n", a.Command())
	}
	for _, x := range st.plan.Waits {
		if x.Blocked {
			fmt.Fprintf(&b, "block     %s\n          fix: %s\n", x, x.Fix)
		} else {
			fmt.Fprintf(&b, "wait      %s\n", x)
		}
	}
	if st.o.Closed() {
		fmt.Fprintf(&b, "ends      %s\n", strings.TrimSuffix(string(st.o.Outcome)+": "+st.o.Reason, ": "))
	}
	st.s.At = st.s.At.Add(5 * time.Second)
	return b.String()
}

// shows is the preview of the operation.
func (st *story) shows() string {
	var b strings.Builder
	var v ha.Preview
	switch st.o.Kind {
	case ha.OperationRebalance:
		v = PreviewRebalance(st.o, st.look())
	case ha.OperationRecover:
		v = PreviewRecover(st.o, st.look())
	case ha.OperationMove:
		v = PreviewMove(st.o, st.look())
	}
	for _, c := range v.Commands {
		fmt.Fprintf(&b, "command   %s\n", c)
	}
	for _, x := range v.Blockers {
		fmt.Fprintf(&b, "blocker   %s %s: %s\n          fix: %s\n", x.Code, x.Subject, x.Reason, x.Fix)
	}
	for _, x := range v.Notices {
		fmt.Fprintf(&b, "notice    %s\n", x)
	}
	return b.String()
}

// A container that is brought home is down for the way, and its start waits for a storage that
// hangs. Its room is kept for it until that is over: nobody else is asked to go there instead.
func TestAGuestThatIsDownForItsWayKeepsItsRoom(t *testing.T) {
	s := threeNodes(3)
	sid := ha.MustSID("ct:100")
	s.Inventory.Guests = []ha.Guest{{SID: sid, Name: "core", Node: "node2", Status: "stopped", MemoryMax: 8 << 30}}
	mv := ha.Move{SID: sid, Method: ha.MethodRestart, From: "node3", To: "node2", Asked: s.At, Gone: s.At}
	s.Maintenances = []ha.Maintenance{{ID: "m", Node: "node2", Phase: ha.Restoring, Moves: []ha.Move{mv}}}
	if got := newWorld(s).nodes["node2"].assigned; got != 8<<30 {
		t.Errorf("node2 keeps %d MiB for it, want 8192", got>>20)
	}
	s.Maintenances[0].Moves[0].Failed = "its start failed"
	if got := newWorld(s).nodes["node2"].assigned; got != 0 {
		t.Errorf("it stays stopped, and node2 keeps %d MiB for it", got>>20)
	}
}
