package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// suffer is the first half: anything may go wrong, and only safety is demanded.
func (w *chaos) suffer() {
	w.step(time.Second)
	for range sufferSteps {
		if w.rand.IntN(3) == 0 {
			w.trouble()
		}
		if w.rand.IntN(4) == 0 {
			w.operator()
		}
		w.step(time.Duration(1+w.rand.IntN(6)) * time.Second)
	}
}

func (w *chaos) anyNode() string {
	names := w.sim.Nodes()
	return names[w.rand.IntN(len(names))]
}

// trouble is one thing going wrong, or right again.
func (w *chaos) trouble() {
	n := w.anyNode()
	up := 0
	for _, name := range w.sim.Nodes() {
		if w.sim.Up(name) {
			up++
		}
	}
	if *operations && w.rand.IntN(15) == 0 {
		w.byHand()
		return
	}
	switch w.rand.IntN(14) {
	case 0:
		if up > 1 {
			w.say("trouble: %s loses power", n)
			w.sim.PowerOff(n)
		}
	case 1, 2:
		if !w.gone[n] {
			w.say("trouble: %s is switched on", n)
			w.sim.PowerOn(n)
		}
	case 3:
		rest := slices.DeleteFunc(slices.Clone(w.sim.Nodes()), func(x string) bool { return x == n })
		w.say("trouble: %s is cut off", n)
		w.sim.Partition([]string{n}, rest)
	case 4, 5:
		w.say("trouble: the network is whole")
		w.sim.Heal()
	case 6:
		w.say("trouble: NFS hangs on %s", n)
		w.sim.HangNFS(n)
	case 7, 8:
		w.say("trouble: NFS answers everywhere")
		w.sim.HealNFS()
	case 9:
		w.say("trouble: the next answer is lost")
		w.sim.LoseAnswers(1+w.rand.IntN(2), "")
	case 10:
		w.sim.RefuseAnswers(1+w.rand.IntN(3), "", 595, "No route to host")
		w.say("trouble: 595")
	case 11:
		if g := w.sim.Guests(); len(g) > 0 {
			sid := g[w.rand.IntN(len(g))].SID
			w.say("trouble: the next migration of %s fails", sid)
			w.sim.FailMigration(sid, 1)
		}
	default:
		w.crashIn = 1 + w.rand.IntN(12)
		w.say("trouble: the coordinator will be killed at its request %d", w.crashIn)
	}
}

// operator is what somebody types.
func (w *chaos) operator() {
	ctx := context.Background()
	n := ha.NodeName(w.anyNode())
	req := ha.MaintenanceRequest{Node: n, By: "operator", Policy: &w.policy, Options: ha.MaintenanceOptions{StopPinned: w.rand.IntN(4) == 0}}
	what := []string{"start", "start", "end", "end", "cancel"}[w.rand.IntN(5)]
	if *operations && w.rand.IntN(8) < 3 {
		what = "operation"
	}
	var err error
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			w.crash()
			w.start()
		}
	}()
	switch what {
	case "operation":
		w.asks()
		return
	case "start":
		_, err = w.c.StartMaintenance(ctx, req)
	case "end":
		_, err = w.c.EndMaintenance(ctx, req)
	case "cancel":
		_, err = w.c.CancelMaintenance(ctx, n, "operator")
	}
	w.say("operator: %s %s: %s", what, n, answer(err))
}

// heal is the second half: everything is mended, and everything must come to an end.
func (w *chaos) heal() {
	w.say("--- healed")
	w.crashIn = 0
	w.sim.ClearAnswers()
	w.sim.Heal()
	w.sim.HealNFS()
	for _, n := range w.sim.Nodes() {
		if !w.gone[n] {
			w.sim.PowerOn(n)
		}
	}
	for k := range healingSteps {
		w.step(5 * time.Second)
		open := w.open()
		o, operating := w.openOperation()
		if len(open) == 0 && !operating {
			w.say("--- nothing is open after %d steps", k+1)
			w.judgeEnd()
			return
		}
		if operating && k == healingSteps/2 {
			_, err := w.c.CancelOperation(context.Background(), o.Operation.ID, "operator")
			w.say("operator: gives up %s, which waits for %v: %v", o.Operation.Kind.Command(), o.Waits, err)
		}
		for _, v := range open {
			// What is drained is brought home; what cannot be drained is given up.
			m := v.Maintenance
			if m.Phase == ha.Drained || k == healingSteps/2 && m.Phase == ha.Draining {
				_, err := w.c.EndMaintenance(context.Background(), ha.MaintenanceRequest{Node: m.Node, By: "operator", Policy: &w.policy})
				w.say("operator: end %s: %v", m.Node, err)
			}
		}
	}
	for _, v := range w.open() {
		if len(v.Waits) == 0 {
			w.fail("the maintenance of %s is still %s and does not say what it waits for", v.Maintenance.Node, v.Maintenance.Phase)
		}
		w.say("still open: %s %s: %v", v.Maintenance.Node, v.Maintenance.Phase, v.Waits)
	}
	w.judgeEnd()
}

func (w *chaos) open() []ha.MaintenanceView {
	views, err := w.c.Maintenances(context.Background(), "")
	if err != nil {
		w.fail("the coordinator does not say what is open: %v", err)
	}
	return views
}

// judge demands what must hold at every instant.
func (w *chaos) judge() {
	for _, d := range w.sim.DoubleRun() {
		if w.proxmoxGap(d) {
			continue
		}
		for _, e := range w.sim.Events() {
			if e.SID == d.SID {
				w.say("truth: %6.1f %s %s %s", e.At.Sub(w.began).Seconds(), e.Node, e.SID, e.What)
			}
		}
		w.fail("%s ran on %v at once", d.SID, d.Nodes)
	}
	draining := 0
	for _, v := range w.open() {
		m := v.Maintenance
		if m.Phase != ha.Restoring {
			draining++
		}
		if !v.Safe {
			continue
		}
		if left := w.sim.Running(string(m.Node)); len(left) > 0 {
			w.fail("%s is called safe to power off, but %s runs there", m.Node, left[0].SID)
		}
	}
	if draining > 1 {
		w.fail("%d nodes are in maintenance at once", draining)
	}
}

// proxmoxGap tells whether a guest ran twice by a gap of the HA manager itself: it moved
// the guest by its own failback to a node that had just returned from being fenced and could
// not arm its watchdog yet, and that node was cut off then. psw must not have sent it there.
func (w *chaos) proxmoxGap(d pvesim.DoubleRun) bool {
	return len(d.Unarmed) > 0 && !slices.ContainsFunc(d.Unarmed, func(node string) bool { return w.sent[d.SID] == node })
}

// judgeRequest demands what must hold when something is asked of Proxmox.
func (w *chaos) judgeRequest(r *http.Request) {
	quorate := false
	for _, n := range w.sim.Nodes() {
		quorate = quorate || w.sim.Quorate(n)
	}
	if !quorate {
		w.fail("%s %s is asked while the cluster has no quorum", r.Method, r.URL.Path)
	}
	w.judgeWrite(r)
	if !strings.HasSuffix(r.URL.Path, "/migrate") || r.Method != http.MethodPost {
		return
	}
	parts := strings.Split(strings.TrimSuffix(r.URL.Path, "/migrate"), "/")
	text := parts[len(parts)-1]
	if _, id, ok := strings.Cut(text, ":"); ok {
		text = id
	}
	id, err := strconv.Atoi(strings.TrimPrefix(text, "vm%3A"))
	if err != nil {
		return
	}
	w.judgeMove(id)
	to := destination(r)
	w.judgeRoom(id, to)
	for _, g := range w.sim.Guests() {
		if g.ID == id {
			w.sent[g.SID] = to
		}
	}
}

// destination reads where a guest is asked to go, and leaves the request as it was.
func destination(r *http.Request) string {
	if r.Body == nil {
		return ""
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var asked struct{ Target, Node string }
	if json.Unmarshal(raw, &asked) == nil {
		return cmp.Or(asked.Target, asked.Node)
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return ""
	}
	return cmp.Or(form.Get("target"), form.Get("node"))
}

// needsMemory tells whether a guest runs, or the HA manager is to have it running; one that
// is just stopped only moves its configuration.
func (w *chaos) needsMemory(id int) bool {
	for _, g := range w.sim.Guests() {
		if g.ID == id && g.Running != "" {
			return true
		}
	}
	return slices.ContainsFunc(w.policy.Targets, func(t ha.Target) bool { return t.VMID == id && t.HA })
}

// judgeRoom demands that no node is promised more memory to guests than it has, counting
// what runs there, what is arriving, and what was asked to go there and has not begun.
func (w *chaos) judgeRoom(id int, node string) {
	if w.room[node] == 0 {
		w.fail("guest %d is asked to move to %q, which is no node", id, node)
	}
	there := map[int]bool{id: true}
	for _, p := range w.sim.Running(node) {
		if !p.Finished { // one that has handed its state over is about to exit
			there[p.ID] = true
		}
	}
	for _, mv := range w.openMoves() {
		if string(mv.To) == node {
			there[mv.SID.ID] = true
		}
	}
	var sum int64
	for guest := range there {
		if w.needsMemory(guest) {
			sum += w.memory[guest]
		}
	}
	if limit := w.room[node] - ha.HostReserve(w.room[node]); sum > limit {
		w.fail("guest %d is asked to move to %s, which would then carry %d MiB and has %d MiB", id, node, sum>>20, limit>>20)
	}
}

// judgeMove demands that a guest is asked to move once only: not while it is arriving
// somewhere, not while a task that can be seen is at work on it, and not while an earlier
// request is written down whose outcome is not.
func (w *chaos) judgeMove(id int) {
	for _, n := range w.sim.Nodes() {
		for _, p := range w.sim.Running(n) {
			if p.ID == id && p.Incoming {
				w.fail("%s is asked to move while it is arriving on %s", p.SID, n)
			}
		}
	}
	for _, task := range w.sim.Tasks() {
		moves := task.Type == "qmigrate" || task.Type == "vzmigrate"
		if moves && task.ID == strconv.Itoa(id) && task.Status == "" && w.sim.Quorate(task.Node) {
			w.fail("guest %d is asked to move while %s is at work on it", id, task.UPID)
		}
	}
	open := 0
	for _, mv := range w.openMoves() {
		if mv.SID.ID == id {
			open++
		}
	}
	if open > 1 {
		w.fail("guest %d is asked to move while an earlier request is open", id)
	}
}
