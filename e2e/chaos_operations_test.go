package e2e_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Operations among the chaos: somebody registers, bootstraps again, moves, brings home and
// removes nodes, at any instant and whatever else goes on.

// What somebody else made by hand, and psw must never touch.
const (
	foreignGuest = "vm:900"
	foreignRule  = "theirs"
)

// drawForeign adds a guest, a resource and a rule of somebody else's.
func drawForeign(s *pvesim.Spec) {
	s.Guests = append(s.Guests, pvesim.GuestSpec{ID: 900, Name: "foreign", Node: s.Nodes[0].Name, Running: true, Memory: gib,
		Disks: []pvesim.DiskSpec{{Key: "scsi0", Storage: "psw"}}})
	s.Resources = append(s.Resources, pvesim.ResourceSpec{SID: foreignGuest, State: "started", Options: map[string]string{"comment": "by hand"}})
	s.Rules = append(s.Rules, pvesim.RuleSpec{ID: foreignRule, Type: "node-affinity", Resources: []string{foreignGuest}, Nodes: []string{s.Nodes[0].Name + ":10"}, Comment: "mine"})
}

// asks is somebody who asks for an operation, or gives the open one up.
func (w *chaos) asks() {
	if w.rand.IntN(6) == 0 {
		_, err := w.c.CancelOperation(context.Background(), "", "operator")
		w.say("operator: gives the operation up: %s", answer(err))
		return
	}
	r := ha.OperationRequest{By: "operator", Policy: &w.policy, Kind: []ha.OperationKind{
		ha.OperationApply, ha.OperationApply, ha.OperationBootstrap, ha.OperationMove, ha.OperationMove, ha.OperationRebalance, ha.OperationRemoveNode,
	}[w.rand.IntN(7)]}
	switch r.Kind {
	case ha.OperationApply:
		r.Options.Keep = w.rand.IntN(2) == 0
	case ha.OperationMove:
		r.Target, r.Options.To = w.policy.Targets[w.rand.IntN(len(w.policy.Targets))].Name, ha.NodeName(w.anyNode())
		r.Options.Manual = w.rand.IntN(2) == 0
	case ha.OperationRemoveNode:
		if r.Node = w.leaver(); r.Node == "" {
			return
		}
		r.Options.PoweredOff = true
	}
	if w.rand.IntN(4) == 0 {
		r.Options.Deadline = time.Now().Add(time.Duration(1+w.rand.IntN(4)) * time.Minute)
	}
	if w.rand.IntN(4) > 0 { // as one who reads the findings and goes on all the same
		blockers, _ := check.Blockers(w.c.Snapshot(), r.Policy, nil)
		for _, b := range blockers {
			r.Options.Accept = append(r.Options.Accept, b.Code)
		}
		slices.Sort(r.Options.Accept)
		r.Options.Accept = slices.Compact(r.Options.Accept)
	}
	_, err := w.c.StartOperation(context.Background(), r)
	if err == nil && r.Kind == ha.OperationRemoveNode {
		w.gone[string(r.Node)] = true // as was promised, it is never switched on again
		w.policy.Cluster.Nodes = slices.DeleteFunc(slices.Clone(w.policy.Cluster.Nodes), func(n ha.NodeName) bool { return n == r.Node })
	}
	w.say("operator: %s %s%s %s: %s", r.Kind.Command(), r.Node, r.Target, r.Options.To, answer(err))
}

func answer(err error) string {
	if err == nil {
		return "done"
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// leaver is a node without a guest, which is switched off to be removed; "" if there is
// none, or the others are not all there.
func (w *chaos) leaver() ha.NodeName {
	var empty []string
	for _, n := range w.sim.Nodes() {
		holds := slices.ContainsFunc(w.sim.Guests(), func(g pvesim.Guest) bool { return g.Config == n || g.Running == n })
		switch {
		case w.gone[n]:
			return "" // one is enough
		case !holds:
			empty = append(empty, n)
		case !w.sim.Quorate(n):
			return ""
		}
	}
	if len(empty) == 0 {
		return ""
	}
	n := empty[w.rand.IntN(len(empty))]
	w.say("trouble: %s is switched off for good", n)
	w.sim.PowerOff(n)
	return ha.NodeName(n)
}

// byHand is an administrator who undoes a rule or a resource of ours.
func (w *chaos) byHand() {
	t := w.policy.Targets[w.rand.IntN(len(w.policy.Targets))]
	path := "/cluster/ha/rules/psw-" + t.Name
	if w.rand.IntN(3) == 0 {
		path = "/cluster/ha/resources/" + sidOf(t).String()
	}
	for _, n := range w.sim.Nodes() {
		if !w.sim.Up(n) || !w.sim.Quorate(n) {
			continue
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodDelete, "https://"+n+":8006/api2/json"+path, http.NoBody)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Authorization", "PVEAPIToken=root@pam!ha="+secret)
		resp, err := w.sim.Transport().RoundTrip(req)
		if err != nil {
			return // its answer was lost
		}
		_ = resp.Body.Close()
		w.say("trouble: somebody deletes %s: %s", path, resp.Status)
		return
	}
}

func sidOf(t ha.Target) ha.SID {
	if t.Type == ha.TargetLXC {
		return ha.SID{Kind: ha.CT, ID: t.VMID}
	}
	return ha.SID{Kind: ha.VM, ID: t.VMID}
}

// openOperation is the one under way, with what it waits for.
func (w *chaos) openOperation() (ha.OperationView, bool) {
	views, err := w.c.Operations(context.Background(), "")
	if err != nil {
		w.fail("the coordinator does not say what it does: %v", err)
	}
	k := slices.IndexFunc(views, func(v ha.OperationView) bool { return !v.Operation.Closed() })
	if k < 0 {
		return ha.OperationView{}, false
	}
	return views[k], true
}

// judgeWrite demands that nothing of somebody else's is changed, and that nothing is
// registered while a node is emptied or filled.
func (w *chaos) judgeWrite(r *http.Request) {
	path, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/api2/json"))
	if err != nil {
		w.t.Fatal(err)
	}
	registers := strings.HasPrefix(path, "/cluster/ha/rules") || strings.HasPrefix(path, "/cluster/ha/resources") && !strings.HasSuffix(path, "/migrate")
	if !registers {
		return
	}
	for _, theirs := range []string{foreignGuest, foreignRule, "pair"} {
		if strings.HasSuffix(path, "/"+theirs) {
			w.fail("%s %s changes what somebody else made", r.Method, path)
		}
	}
	open := 0
	for _, m := range w.store.Maintenances() {
		if !m.Phase.Closed() {
			open++
		}
	}
	for _, o := range w.store.Operations() {
		if !o.Closed() && open > 0 && (o.Kind == ha.OperationApply || o.Kind == ha.OperationBootstrap) {
			w.fail("%s asks %s %s while a node is in maintenance", o.Kind.Command(), r.Method, path)
		}
	}
}

// openMoves are all moves whose outcome is not known, of maintenances and of operations.
func (w *chaos) openMoves() (all []ha.Move) {
	for _, m := range w.store.Maintenances() {
		all = append(all, m.Moves...)
	}
	for _, o := range w.store.Operations() {
		all = append(all, o.Moves...)
	}
	return slices.DeleteFunc(all, func(mv ha.Move) bool { return !mv.Open() })
}

// judgeEnd demands that operations ended with an outcome, and left nothing without the HA
// manager.
func (w *chaos) judgeEnd() {
	if v, open := w.openOperation(); open {
		if len(v.Waits) == 0 {
			w.fail("%s is still open and does not say what it waits for: %+v", v.Operation.Kind.Command(), v.Operation.Steps)
		}
		w.say("still open: %s: %v", v.Operation.Kind.Command(), v.Waits)
		return
	}
	for _, o := range w.store.Operations() {
		if o.Outcome == ha.OperationFailed && o.Reason == "" {
			w.fail("%s failed and does not say why", o.Kind.Command())
		}
	}
	for _, r := range w.c.Snapshot().Inventory.Resources {
		if r.State == ha.RequestIgnored {
			w.fail("%s is left ignored by the HA manager", r.SID)
		}
	}
}
