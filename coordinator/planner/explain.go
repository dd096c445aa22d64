package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// explainTasksMax is how many of Proxmox's tasks about a guest are told.
const explainTasksMax = 5

// Explain says why a target is not where, or as, it should be. NotFound if the project
// declares none of that name. Events and Findings are the caller's to add.
func Explain(s ha.Snapshot, target string) (ha.Explanation, error) {
	t, ok := s.Policy.Target(target)
	if !ok {
		names := make([]string, len(s.Policy.Targets))
		for k, t := range s.Policy.Targets {
			names[k] = t.Name
		}
		return ha.Explanation{}, ha.Errorf(ha.NotFound, "the project declares no target %q; it declares %s", target, cmp.Or(strings.Join(names, ", "), "none"))
	}
	e := explanation{w: newWorld(s), t: t, Explanation: ha.Explanation{At: s.At, Target: t.Name, Preferred: t.Node}}
	g, err := s.GuestOf(t)
	switch {
	case t.Type == ha.TargetBare:
		e.Well, e.Summary = true, fmt.Sprintf("%s is a bare target: it runs on a machine of its own, and HA takes no part in it", t.Name)
		return e.Explanation, nil
	case err != nil:
		e.why(t.Name, "%v", err)
		e.Summary = fmt.Sprintf("which guest %s is, is not known", t.Name)
		e.next("psw ha status", "shows every target with its guest")
		return e.Explanation, nil
	}
	e.g, e.SID, e.Node, e.Running = g, g.SID, e.w.at(g), e.w.running(g)
	if r, ok := s.Inventory.Resource(g.SID); ok {
		e.Registered, e.Request, e.resource = true, string(r.State), r
	}
	e.service, e.known = s.Inventory.HA.Service(g.SID)
	e.State = e.service.State
	e.places()
	e.rules()
	e.tasks()
	e.facts()
	e.registration()
	e.manager()
	e.node()
	e.jobs()
	e.whereabouts()
	e.summary()
	e.commands()
	return e.Explanation, nil
}

// explanation is one being made.
type explanation struct {
	ha.Explanation
	w        *world
	t        ha.Target
	g        ha.Guest
	resource ha.Resource
	service  ha.HAService
	known    bool // the HA manager has a record of it
}

func (e *explanation) why(subject, format string, args ...any) {
	e.Reasons = append(e.Reasons, ha.Reason{Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (e *explanation) next(command, why string) {
	if !slices.ContainsFunc(e.Next, func(h ha.Hint) bool { return h.Command == command }) {
		e.Next = append(e.Next, ha.Hint{Command: command, Why: why})
	}
}

// places says of each node whether the target could run there: as the planner sees it
// when it looks for a place.
func (e *explanation) places() {
	u := e.w.unit([]ha.Guest{e.g}, "", nil, true)
	p := &placer{w: e.w, where: make(map[ha.SID]ha.NodeName)}
	if e.w.holdsMemory(e.g) { // what it holds itself is not in its own way
		e.w.release(e.Node, e.g)
	} else {
		u.assigned, u.used = e.g.MemoryMax, memoryUsed(e.g)
	}
	for _, n := range e.w.Inventory.Nodes {
		why := p.why(u, n.Name)
		free := max(0, n.MemoryMax-ha.HostReserve(n.MemoryMax)-e.w.nodes[n.Name].assigned)
		place := ha.Place{Node: n.Name, OK: why == "", Text: why}
		if place.OK {
			place.Text = fmt.Sprintf("could run it: needs %s, %s is free", gib(u.assigned), gib(free))
			if n.Name == e.Node {
				place.Text = "it is here"
			}
		}
		if slices.Contains(e.service.FailedNodes, n.Name) {
			place.OK, place.Text = false, "the HA manager tried there and its start failed; "+place.Text
		}
		e.Places = append(e.Places, place)
	}
}

// rules tells what binds it, and what would if it had no errors.
func (e *explanation) rules() {
	for _, r := range e.w.Inventory.Rules {
		if !slices.Contains(r.Resources, e.SID) {
			continue
		}
		text := fmt.Sprintf("%s: %s", r.ID, r.Type)
		switch {
		case r.Type == ha.NodeAffinity && r.Strict:
			text += ", never anywhere but on " + r.NodesText()
		case r.Type == ha.NodeAffinity:
			text += ", rather on " + r.NodesText()
		default:
			var others []string
			for _, sid := range r.Resources {
				if sid != e.SID {
					others = append(others, e.w.label(sid))
				}
			}
			word := "apart from "
			if r.Affinity == ha.Positive {
				word = "together with "
			}
			text += ", " + word + strings.Join(others, ", ")
		}
		switch {
		case len(r.Errors) > 0:
			text += "; it does not bind: " + strings.Join(r.Errors, "; ")
		case r.Disabled:
			text += "; it is disabled"
		}
		e.Rules = append(e.Rules, text)
	}
}

func (e *explanation) tasks() {
	list := e.w.tasksOf[strconv.Itoa(e.SID.ID)]
	e.Tasks = slices.Clone(list[:min(len(list), explainTasksMax)])
}

// facts is what makes every other answer doubtful.
func (e *explanation) facts() {
	inv := e.w.Inventory
	if !e.w.InventoryFresh() {
		e.why("cluster", "the Proxmox API has not answered lately: what follows is what was seen at %s", inv.At.Format("15:04:05 MST"))
	} else if !inv.Cluster.Quorate {
		e.why("cluster", "the cluster is not quorate: nothing can be started or moved")
	}
	for _, f := range inv.Failures {
		e.why("cluster", "could not be read: %s", f)
	}
}

// registration is what is asked of the HA manager, against what network.yml declares.
func (e *explanation) registration() {
	switch {
	case e.t.HA && !e.Registered:
		e.why(e.SID.String(), "network.yml says ha: true, but it is not registered with the HA manager: nothing starts it after a failure")
		e.next("psw ha apply", "registers what network.yml declares")
	case !e.t.HA && e.Registered && e.resource.State != ha.RequestIgnored:
		e.why(e.SID.String(), "it is HA-managed though network.yml does not ask for it")
	case e.t.HA && e.resource.State == ha.RequestIgnored:
		e.why(e.SID.String(), "it is requested ignored: the HA manager leaves it alone, and so nothing starts it after a failure")
		e.next(fmt.Sprintf("ha-manager set %s --state started", e.SID), "puts it under HA again")
	case e.t.HA && e.resource.State == ha.RequestDisabled && e.recovering():
		e.why(e.SID.String(), "it is being led out of error: it stays disabled, and nothing protects it, until somebody says that it is mended")
		e.next("psw ha recover "+e.t.Name+" --mended", "has the HA manager start it, once what led it there is mended")
	case e.t.HA && e.resource.State == ha.RequestDisabled:
		e.why(e.SID.String(), "somebody asked the HA manager to keep it disabled, or a recovery was given up")
		e.next("psw ha recover "+e.t.Name, "has the HA manager start it, once what led it there is mended")
	case e.t.HA && e.resource.State == ha.RequestStopped:
		e.why(e.SID.String(), "somebody asked the HA manager to keep it %s", e.resource.State)
		e.next(fmt.Sprintf("ha-manager set %s --state started", e.SID), "has the HA manager start it")
	}
}

// recovering reports whether an operation leads it out of error just now.
func (e *explanation) recovering() bool {
	return slices.ContainsFunc(e.w.Operations, func(o ha.Operation) bool {
		return !o.Closed() && o.Kind == ha.OperationRecover && (o.Target == e.t.Name || o.Target == e.SID.String())
	})
}

// manager is the HA manager's own reason.
func (e *explanation) manager() {
	h := e.w.Inventory.HA
	sid, svc := e.SID.String(), e.service
	if !e.Registered || e.resource.State == ha.RequestIgnored {
		return
	}
	if h.Armed != "" && h.Armed != "armed" {
		e.why("cluster", "the HA stack is %s: nothing is restarted after a failure", h.Armed)
		e.next("ha-manager crm-command arm-ha", "arms it again")
	}
	if h.Master == "" {
		e.why("cluster", "no CRM leads the HA manager: nobody decides")
		e.next("systemctl status pve-ha-crm", "on each node: at least one must run and have quorum")
	}
	if !e.known {
		e.why(sid, "the HA manager has no record of it yet: a new resource is taken up within a round (10 s)")
		return
	}
	if svc.Command != "" {
		e.why(sid, "a command waits to be carried out: %s", svc.Command)
	}
	switch svc.State {
	case ha.ServiceError:
		e.why(sid, "it is in state error: the HA manager gave it up after its tries on %s, and leaves it alone until somebody clears that%s",
			svc.Node, failedOn(svc))
		e.next("psw ha recover "+e.t.Name, "leads it out of the error state, step by step")
	case ha.ServiceFence:
		e.why(string(svc.Node), "it is being fenced: the guest starts elsewhere once the HA manager has that node's lock, which the dead node's watchdog guarantees after about 2 minutes")
		e.next("psw ha events --follow", "tells when the fence is done")
	case ha.ServiceRecovery:
		e.why(sid, "the HA manager looks for a node to start it on; %s", e.noPlace())
	case ha.ServiceFreeze:
		e.why(string(svc.Node), "it is frozen: the LRM of %s is restarting or its node reboots; nothing is done until that is back", svc.Node)
		e.next("systemctl status pve-ha-lrm", "on "+string(svc.Node))
	case ha.ServiceMigrate, ha.ServiceRelocate, ha.ServiceRequestBalance:
		e.why(sid, "it is on its way from %s to %s (%s)", svc.Node, svc.Target, svc.State)
	case ha.ServiceRequestStart:
		e.why(sid, "the HA manager is starting it on %s", svc.Node)
	case ha.ServiceRequestStop:
		e.why(sid, "the HA manager is stopping it on %s", svc.Node)
	}
	if svc.MaintenanceNode != "" {
		e.why(string(svc.MaintenanceNode), "it left that node for its maintenance, and is brought back at its end")
	}
}

func failedOn(svc ha.HAService) string {
	if len(svc.FailedNodes) == 0 {
		return ""
	}
	return "; its start failed on " + joinNodes(svc.FailedNodes)
}

// noPlace says why no node can take it, or that some can.
func (e *explanation) noPlace() string {
	var reasons []string
	for _, p := range e.Places {
		if p.OK && p.Node != e.service.Node {
			return "it will be found in the next round (10 s)"
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", p.Node, p.Text))
	}
	return "no node is allowed to take it or has room: " + strings.Join(reasons, "; ")
}

// node is what is wrong with the node it is on.
func (e *explanation) node() {
	n, ok := e.w.Inventory.Node(e.Node)
	switch st := e.w.haState(e.Node); {
	case !ok || !n.Online:
		e.why(string(e.Node), "that node has left the cluster")
		e.next("psw ha events", "tells since when, and what the HA manager did about it")
	case st != "" && st != ha.NodeOnline && st != ha.NodeMaintenance && st != ha.NodeFence:
		e.why(string(e.Node), "the HA manager calls that node %s", st)
	}
	if r, fresh := e.w.FreshReport(e.Node); fresh {
		if c, known := e.w.config(e.g); known {
			for _, name := range c.Storages {
				if why := e.w.storageMissing(name, e.Node); why != "" {
					e.why(string(e.Node), "%s", why)
				}
			}
			if c.Lock != "" {
				e.why(e.SID.String(), "its configuration is locked (%s): nothing starts or moves it until that is over", c.Lock)
				e.next(fmt.Sprintf("%s unlock %d", e.tool(), e.SID.ID), "only if no task of that kind runs any more")
			}
		}
		if e.Registered && !r.HA.LRMRunning {
			if _, failed := r.Failed(ha.ProbeLRM); !failed {
				e.why(string(e.Node), "pve-ha-lrm does not run there: nobody starts guests on that node")
				e.next("systemctl status pve-ha-lrm", "on "+string(e.Node))
			}
		}
	} else if ok && n.Online {
		e.why(string(e.Node), "%s: whether the guest runs there is Proxmox's word only", e.w.silence(e.Node))
	}
	for _, t := range e.Tasks {
		if failed := t.Status != "" && t.Status != "OK" && !strings.HasPrefix(t.Status, "WARNINGS"); failed && !e.settled() {
			e.why(e.SID.String(), "the last failed task, %s on %s at %s, said: %s", t.Type, t.Node, t.Started.Format("15:04:05 MST"), t.Status)
			break
		}
	}
}

// jobs are the LRM's last ones for the target that failed, on any node, with what it wrote.
// Those of a target that runs again are history.
func (e *explanation) jobs() {
	if e.settled() {
		return
	}
	for _, r := range e.w.Reports {
		if _, fresh := e.w.FreshReport(r.Node); !fresh {
			continue
		}
		for _, job := range r.HA.Failed {
			if job.SID != e.SID {
				continue
			}
			for _, line := range job.Log {
				e.Log = append(e.Log, fmt.Sprintf("%s  %s", r.Node, line))
			}
			said := "its journal was not read"
			if wrote := job.Wrote(); wrote != "" {
				said = "it wrote: " + wrote
			}
			e.why(string(r.Node), "the last job of its LRM for it, to have it %s, ended with %d; %s", job.State, job.ExitCode, said)
		}
	}
}

// settled reports whether the target runs where the HA manager has it started.
func (e *explanation) settled() bool {
	return e.Running && (!e.known || e.State == ha.ServiceStarted)
}

// whereabouts is why it is not on its preferred node, or does not run.
func (e *explanation) whereabouts() {
	if !e.Running && len(e.Reasons) == 0 {
		e.why(e.SID.String(), "no process of it runs on %s, and nobody asked the HA manager to start it", e.Node)
	}
	if e.t.Node == "" || e.Node == e.t.Node {
		return
	}
	if m, ok := e.w.OpenMaintenance(e.t.Node); ok {
		e.why(string(e.t.Node), "its preferred node is in maintenance (%s): it comes home when that ends", m.Phase)
		e.next("psw maintenance end "+string(e.t.Node), "ends the maintenance and brings its guests home")
		return
	}
	for _, p := range e.Places {
		switch {
		case p.Node != e.t.Node:
		case !p.OK:
			e.why(string(p.Node), "its preferred node cannot take it now: %s", p.Text)
			return
		default:
			e.why(string(p.Node), "its preferred node could take it: a target that was moved by a failure or by hand does not come back by itself")
			e.next("psw ha rebalance", "brings every target to its preferred node")
			return
		}
	}
	e.why(string(e.t.Node), "its preferred node is no node of this cluster")
}

func (e *explanation) summary() {
	e.Well = len(e.Reasons) == 0
	state := "does not run"
	if e.Running {
		state = "runs"
	}
	e.Summary = fmt.Sprintf("%s (%s) %s on %s", e.t.Name, e.SID, state, e.Node)
	switch {
	case e.t.Node == "":
	case e.Node == e.t.Node:
		e.Summary += ", its preferred node"
	default:
		e.Summary += fmt.Sprintf("; its preferred node is %s", e.t.Node)
	}
	switch {
	case e.known:
		e.Summary += fmt.Sprintf("; the HA manager has it as %s", e.State)
	case e.Registered:
		e.Summary += "; the HA manager has no record of it yet"
	default:
		e.Summary += "; it is not HA-managed"
	}
}

// commands are what anybody would look at next, after what the reasons advise.
func (e *explanation) commands() {
	if e.Well {
		return
	}
	if e.known && !e.settled() {
		e.next("journalctl -u pve-ha-lrm -n 50 -o short-iso --no-pager", fmt.Sprintf("on %s: what its LRM did and what it was told", e.service.Node))
		e.next("ha-manager status", "on any node: the HA manager's own word")
	}
	if !e.Running {
		e.next(fmt.Sprintf("%s start %d", e.tool(), e.SID.ID), fmt.Sprintf("on %s: starts it and prints why it does not; for an HA-managed guest that asks the HA manager", e.Node))
	}
	e.next("psw ha check --target "+e.t.Name, "every check that concerns it")
}

func (e *explanation) tool() string {
	if e.SID.Kind == ha.CT {
		return "pct"
	}
	return "qm"
}
