package planner

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

const (
	// createPatience, joinPatience and devicePatience are how long pvecm is waited for: a
	// little longer than an agent gives it.
	createPatience = 3 * time.Minute
	joinPatience   = 6 * time.Minute
	devicePatience = 4 * time.Minute
	// joinLetIn is how long a node is let in to join; renewed before joinLetInRest is left.
	joinLetIn     = 15 * time.Minute
	joinLetInRest = 8 * time.Minute
)

// formCluster forms the declared cluster, or joins the nodes that are not in it yet, one at
// a time. Whether something is done is what the cluster says, never what pvecm said.
func (w *world) formCluster(o ha.Operation) (ha.Operation, ha.Plan) {
	if dead, ended := w.deadJoin(o); ended {
		return dead, ha.Plan{}
	}
	return w.walk(o, w.clusterGates(), (*journey).cluster)
}

// deadJoin ends an operation whose join has died half way. A cluster of one that waits for
// its second has no quorum then, so that no gate may stand before this.
func (w *world) deadJoin(o ha.Operation) (ha.Operation, bool) {
	if !w.InventoryFresh() || w.Inventory.Cluster.Quorate {
		return o, false // the leg itself sees it, and cleans up
	}
	for k := range o.Steps {
		st := &o.Steps[k]
		n, isJoin := strings.CutPrefix(st.Key, "join ")
		if !isJoin || st.State != ha.StepDoing || !w.joinDied(*st, ha.NodeName(n)) {
			continue
		}
		if why, fix := w.halfJoined(ha.NodeName(n)); why != "" {
			st.State, st.Ended, st.Note = ha.StepFailed, w.At, why+"; "+fix
			w.closeOperation(&o, ha.OperationFailed, st.Key+": "+st.Note)
			return o, true
		}
	}
	return o, false
}

// PreviewCluster is how the cluster would be formed, and what forbids it.
func PreviewCluster(o ha.Operation, s ha.Snapshot) ha.OperationPreview {
	w := newWorld(s)
	return w.previewJourney(o, append(w.clusterGates(), w.joinGates()...), (*journey).cluster)
}

// first is the node that the others join: one of the cluster's, or the one to begin with.
func (w *world) first() ha.NodeName {
	if !w.Inventory.Cluster.Standalone {
		for _, n := range w.Policy.Cluster.Nodes {
			if r, ok := w.FreshReport(n); ok && w.online(n) && r.Membership.Clustered && r.Membership.Quorate {
				return n
			}
		}
		return w.Inventory.Source
	}
	if len(w.Policy.Cluster.Nodes) == 0 {
		return w.Inventory.Source // the gates say that nothing is declared
	}
	return w.Policy.Cluster.Nodes[0]
}

// cluster is the legs: the cluster itself, each node, the QDevice.
func (j *journey) cluster() {
	c := j.Policy.Cluster
	first := j.first()
	name := cmp.Or(c.Name, j.Inventory.Cluster.Name, "psw")
	l := leg{key: "cluster " + name, text: fmt.Sprintf("make %s a cluster of one node", first), reached: !j.Inventory.Cluster.Standalone,
		action: ha.CreateCluster{Node: first, Name: name, Links: j.links(first)}, patience: createPatience}
	if g := j.nodeGates(first, true); !l.reached && len(g) > 0 && !j.doing(l.key) {
		l.wait, l.fix = g[0].Reason, g[0].Fix
	}
	j.step(l)
	j.dropDevice(len(j.joiners()) > 0)
	for _, n := range c.Nodes {
		if n != first || !j.Inventory.Cluster.Standalone && !l.reached {
			j.join(n, first)
		}
	}
	j.setUpDevice()
	if len(c.Nodes) == 2 && c.QDevice == nil {
		j.notice("two nodes without a QDevice: when one fails the other has no quorum, and nothing is started again; declare cluster.qdevice")
	}
}

// doing reports whether a leg was asked for and has no end yet.
func (j *journey) doing(key string) bool {
	st, ok := j.o.Step(key)
	return ok && st.State == ha.StepDoing && st.Tries > 0
}

// join is the legs of one node: it is let in, joins, and what let it in is taken back.
func (j *journey) join(n, first ha.NodeName) {
	authorize, join, revoke := "authorize "+string(n), "join "+string(n), "revoke "+string(n)
	member, listed := j.Inventory.Node(n)
	in := listed && member.Online && !j.Inventory.Cluster.Standalone
	links := j.links(n)
	_, begun := j.o.Step(authorize)
	r, fresh := j.FreshReport(n)
	peer, _ := j.FreshReport(first)
	if len(links) > 0 && in && member.IP != "" && member.IP != links[0].String() {
		j.notice("%s is a member by the address %s, and network.yml says %s", n, member.IP, links[0])
	}
	if in && !begun {
		j.step(leg{key: join, text: fmt.Sprintf("%s is a member", n), reached: true})
		return
	}
	l := leg{key: join, text: fmt.Sprintf("join %s to the cluster", n), reached: in && fresh && r.Membership.Quorate, patience: joinPatience}
	if len(links) > 0 && len(j.links(first)) > 0 {
		l.action = ha.JoinCluster{Node: n, Peer: j.links(first)[0], PeerKeys: peer.Membership.HostKeys, Links: links}
	}
	st, _ := j.o.Step(join)
	asked := st.State == ha.StepDoing && st.Tries > 0
	why, fix := j.halfJoined(n)
	switch {
	case l.reached:
	case why != "" && (!asked || j.joinDied(st, n)):
		l.fail = why + "; " + fix
	case asked && j.joinLost(st, n):
		l.patience = pvecmBegins
	case asked:
	case listed && !in:
		l.wait, l.fix = "the cluster lists it, and it is offline", fmt.Sprintf("power %s on, or see why it is not in the cluster: `pvecm status` on it", n)
	case listed && !fresh:
		l.wait, l.fix = j.silence(n), fmt.Sprintf("on %s: `systemctl status psw-agent`, `journalctl -u psw-agent`", n)
	case listed:
		l.wait, l.fix = "the cluster lists it, and it sees no quorum itself", fmt.Sprintf("on %s: `pvecm status`, `journalctl -u corosync`", n)
	default:
		if g := append(j.nodeGates(n, false), j.quorumGate()...); len(g) > 0 {
			l.wait, l.fix = g[0].Reason, g[0].Fix
		}
	}
	j.letIn(n, first, in, l, r)
	j.step(l)
	out := leg{key: revoke, text: fmt.Sprintf("take back what let %s in", n), word: true, always: begun,
		action: ha.RevokeJoin{On: first, Node: n, Joined: in}}
	if in && !j.joinEnded(st, n) {
		out.wait = fmt.Sprintf("waiting for pvecm on %s to end", n)
	}
	if j.failed != "" && j.pending {
		j.pending = false // the failed join is over, and its key must go
	}
	j.step(out)
}

// letIn is the leg before a join. A permission that runs out is given anew.
func (j *journey) letIn(n, first ha.NodeName, in bool, join leg, r ha.Report) {
	l := leg{key: "authorize " + string(n), text: fmt.Sprintf("let root of %s in for %d min, by its public key", n, int(joinLetIn.Minutes())), word: true,
		action: ha.AuthorizeJoin{On: first, Node: n, Keys: r.Membership.RootKeys, From: j.links(n), For: joinLetIn}}
	if st, ok := j.o.Step(l.key); ok && st.State == ha.StepDone && !in && !j.doing(join.key) && j.At.Sub(st.Asked) > joinLetIn-joinLetInRest {
		again := stepOf(j.o, l.key)
		again.State, again.Answered, again.Tries = ha.StepTodo, time.Time{}, 0 // it did not fail, it ran out
	}
	switch st, ok := j.o.Step(l.key); {
	case ok && st.State == ha.StepDone:
	case in:
		l.reached = true
	case join.fail != "":
		l.skip = "because of " + join.key
	default:
		l.wait, l.fix = join.wait, join.fix
	}
	j.step(l)
}

// device is the host of the cluster's QDevice; "" if it has none, "?" if only that one is
// there is known.
func (w *world) device() string {
	for _, known := range w.Reports {
		if r, ok := w.FreshReport(known.Node); ok && w.online(r.Node) && !w.Inventory.Cluster.Standalone {
			if c := r.Corosync.Config; c.QDeviceHost != "" {
				return c.QDeviceHost
			}
			if r.Corosync.QDevice {
				return "?"
			}
		}
	}
	return ""
}

// dropDevice removes a QDevice that must not be there while the number of nodes changes, or
// that is another than the declared one.
func (j *journey) dropDevice(changes bool) {
	have := j.device()
	_, begun := j.o.Step("qdevice remove")
	if !begun && (have == "" || !changes && !j.otherDevice()) {
		return
	}
	l := leg{key: "qdevice remove", text: "remove the QDevice while the cluster changes", reached: have == "",
		action: ha.RemoveQDevice{On: j.first()}, patience: devicePatience}
	if g := j.deviceGate(); len(g) > 0 && !j.doing(l.key) {
		l.wait, l.fix = g[0].Reason, g[0].Fix
	}
	j.step(l)
}

// otherDevice reports whether the cluster has another QDevice than the declared one.
func (w *world) otherDevice() bool {
	have, want := w.device(), w.Policy.Cluster.QDevice
	return want != nil && have != "" && have != "?" && have != want.Host
}

// setUpDevice sets the declared QDevice up, where Proxmox supports one: with an even number of
// nodes.
func (j *journey) setUpDevice() {
	want := j.Policy.Cluster.QDevice
	if want == nil {
		return
	}
	have := j.device()
	removing := j.o.Kind == ha.OperationRemoveNode
	members := 0 // when all is done
	for _, n := range j.Inventory.Nodes {
		if !removing || n.Name != j.o.Node {
			members++
		}
	}
	if !removing { // which joins nobody, least of all the node that is still declared
		members += len(j.joiners())
	}
	l := leg{key: "qdevice " + want.Host, text: "set up the QDevice " + want.Host, reached: have == want.Host || have == "?",
		action: ha.SetupQDevice{On: j.first(), Host: want.Host}, patience: devicePatience}
	if !l.reached && members%2 == 1 {
		l.skip = fmt.Sprintf("the cluster has %d nodes, and Proxmox supports a QDevice with an even number only", members)
	}
	j.step(l)
}
