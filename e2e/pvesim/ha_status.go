package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// What the API shows of the HA manager.

// ctime is a time as status texts have it.
func (r *request) ctime(t instant) string {
	return r.c.clock.wall(t).UTC().Format(time.ANSIC)
}

func (r *request) fresh(t instant) bool { return r.c.now().sub(t) <= statusStale }

func haStatus(r *request) (any, error) {
	quorum := object{"id": "quorum", "type": "quorum", "node": r.n.name, "quorate": flag(r.n.quorate), "status": "OK"}
	if !r.n.quorate {
		quorum["status"] = fmt.Sprintf("No quorum on node '%s'!", r.n.name)
	}
	list := []object{quorum}
	ms := r.fs.manager
	if ms != nil && ms.Master != "" {
		list = append(list, r.masterRow(ms))
	}
	if r.n.major() >= 9 {
		list = append(list, r.fencingRow(ms))
	}
	if ms != nil {
		for _, n := range r.peers() {
			if _, known := ms.Nodes[n.name]; known {
				list = append(list, r.lrmRow(n.name, ms))
			}
		}
	}
	return append(list, r.serviceRows(ms)...), nil
}

func (r *request) masterRow(ms *managerStatus) object {
	state := "active"
	if !r.fresh(ms.at) {
		state = "old timestamp - dead?"
		if r.n.quorate && len(r.fs.resources) == 0 {
			state = "idle"
		}
	}
	text := fmt.Sprintf("%s (%s, %s)", ms.Master, state, r.ctime(ms.at))
	if ms.Disarm != nil {
		text += fmt.Sprintf(" - %s, resource mode: %s", ms.Disarm.State, ms.Disarm.Mode)
	}
	if crs := r.fs.haOptions().Scheduler; crs != "basic" {
		text += fmt.Sprintf(" - %s load CRS", crs)
	}
	return object{"id": "master", "type": "master", "node": ms.Master, "timestamp": r.c.unix(ms.at), "status": text}
}

func (r *request) fencingRow(ms *managerStatus) object {
	row := object{"id": "fencing", "type": "fencing", "node": r.n.name}
	switch {
	case ms == nil || ms.Master == "":
		row["armed-state"], row["status"] = "standby", "standby (CRM watchdog standby)"
		return row
	case ms.Disarm != nil:
		watchdog := "active"
		if ms.Disarm.State == "disarmed" {
			watchdog = "released"
		}
		row["armed-state"], row["resource_mode"] = ms.Disarm.State, ms.Disarm.Mode
		row["status"] = fmt.Sprintf("%s, resource mode: %s (CRM watchdog %s)", ms.Disarm.State, ms.Disarm.Mode, watchdog)
	case r.fresh(ms.at):
		row["armed-state"], row["status"] = "armed", "armed (CRM watchdog active)"
	default:
		row["armed-state"], row["status"] = "standby", "standby (CRM watchdog standby)"
	}
	row["node"] = ms.Master
	return row
}

func (r *request) lrmRow(name string, ms *managerStatus) object {
	row := object{"id": "lrm:" + name, "type": "lrm", "node": name}
	st, ok := r.fs.lrm[name]
	if !ok {
		row["status"] = name + " (unable to read lrm status)"
		return row
	}
	fresh := r.fresh(st.at)
	word := st.State
	switch {
	case st.Mode != "active" && (fresh || st.Mode == "maintenance" || st.Mode == "disarm"):
		word = st.Mode + " mode"
	case !fresh:
		word = "old timestamp - dead?"
	case st.State == "wait_for_agent_lock" && ms.Active(name) == 0:
		word = "idle"
	}
	watchdog := "standby"
	switch {
	case fresh && (st.State == "active" || st.State == "maintenance"):
		watchdog = "active"
	case st.Mode == "disarm":
		watchdog = "released"
	}
	row["timestamp"] = r.c.unix(st.at)
	row["status"] = fmt.Sprintf("%s (%s, watchdog %s, %s)", name, word, watchdog, r.ctime(st.at))
	return row
}

// serviceRows are the services the manager knows, then those it has yet to find.
func (r *request) serviceRows(ms *managerStatus) []object {
	var list []object
	var known []string
	if ms != nil {
		known = slices.Sorted(maps.Keys(ms.Services))
	}
	for _, sid := range known {
		list = append(list, r.serviceRow(sid, ms))
	}
	var queued []string
	for _, res := range r.fs.resources {
		if _, known := ms.service(res.sid); !known {
			queued = append(queued, res.sid)
		}
	}
	slices.SortFunc(queued, compareSID)
	for _, sid := range queued {
		list = append(list, r.serviceRow(sid, nil))
	}
	return list
}

func (r *request) serviceRow(sid string, ms *managerStatus) object {
	sd, known := ms.service(sid)
	row := object{"id": "service:" + sid, "type": "service", "sid": sid}
	res, g := r.fs.resource(sid), r.fs.guestBySID(sid)
	node := ""
	if g != nil {
		node = g.node
	}
	if known {
		node, row["crm_state"] = sd.Node, sd.State
	}
	if res != nil {
		row["request_state"], row["max_restart"], row["max_relocate"] = res.request(), res.maxRestart(), res.maxRelocate()
		row["failback"] = flag(res.failback())
		if c := res.opts["comment"]; c != "" {
			row["comment"] = c
		}
	}
	state := r.displayState(res, g, sd, known)
	row["node"], row["state"], row["status"] = node, state, fmt.Sprintf("%s (%s, %s)", sid, node, state)
	return row
}

// displayState is the state as shown, which knows more words than the manager.
func (r *request) displayState(res *resource, g *guestConf, sd crm.ServiceStatus, known bool) string {
	if ms := r.fs.manager; known && ms.Disarm != nil && ms.Disarm.Mode == "ignore" {
		return "ignore"
	}
	switch {
	case res == nil:
		return "deleting"
	case res.request() == "ignored":
		return "ignored"
	case g == nil:
		return "not found"
	case !known:
		return "queued"
	}
	want := res.request()
	switch {
	case sd.State == "stopped" && want == "started":
		return "starting"
	case sd.State == "stopped" && want == "disabled":
		return "disabled"
	case sd.State == "started" && !sd.Running:
		return "starting"
	case sd.State == "started" && want != "started":
		return "stopping"
	case sd.State == "error" && want == "disabled":
		return "clearing error flag"
	}
	return sd.State
}

func haManagerStatus(r *request) (any, error) {
	quorate := ""
	if r.n.quorate {
		quorate = "1"
	}
	ms := r.fs.manager
	out := object{"quorum": object{"node": r.n.name, "quorate": quorate}, "manager_status": r.c.managerJSON(ms)}
	if ms == nil {
		return out, nil
	}
	lrms := object{}
	for name := range ms.Nodes {
		lrms[name] = r.c.lrmJSON(r.fs, name)
	}
	if len(lrms) > 0 {
		out["lrm_status"] = lrms
	}
	return out, nil
}

// service is a service the manager knows.
func (m *managerStatus) service(sid string) (crm.ServiceStatus, bool) {
	if m == nil {
		return crm.ServiceStatus{}, false
	}
	sd, known := m.Services[sid]
	return sd, known
}

// managerJSON is the content of /etc/pve/ha/manager_status.
func (c *Cluster) managerJSON(ms *managerStatus) object {
	if ms == nil {
		return object{"node_status": object{}}
	}
	services := object{}
	for sid, sd := range ms.Services {
		services[sid] = serviceJSON(sd)
	}
	out := object{"master_node": ms.Master, "timestamp": c.unix(ms.at), "node_status": ms.Nodes, "service_status": services}
	if len(ms.Requests) > 0 {
		requests := object{}
		for n, asked := range ms.Requests {
			request := object{} // what is left of one that ended
			if asked {
				request["maintenance"] = 1
			}
			requests[n] = request
		}
		out["node_request"] = requests
	}
	if ms.Disarm != nil {
		out["disarm"] = object{"mode": ms.Disarm.Mode, "state": ms.Disarm.State}
	}
	return out
}

// serviceJSON has only what is set, as in the file.
func serviceJSON(sd crm.ServiceStatus) object {
	o := object{"node": sd.Node, "state": sd.State, "uid": shownUID(sd.UID)}
	if sd.Target != "" {
		o["target"] = sd.Target
	}
	if sd.Running {
		o["running"] = 1
	}
	if sd.HasTime {
		o["timeout"] = strconv.Itoa(sd.Timeout)
	}
	if c := sd.Command; c != nil && c.Verb == "stop" {
		o["cmd"] = []string{c.Verb, strconv.Itoa(c.Timeout)}
	} else if c != nil {
		o["cmd"] = []string{c.Verb, c.Node}
	}
	if len(sd.FailedNodes) > 0 {
		o["failed_nodes"] = sd.FailedNodes
	}
	if sd.MaintenanceNode != "" {
		o["maintenance_node"] = sd.MaintenanceNode
	}
	return o
}

// lrmJSON is the content of a node's lrm_status.
func (c *Cluster) lrmJSON(f *pmxcfs, name string) object {
	st, ok := f.lrm[name]
	if !ok {
		return object{"mode": "unknown"}
	}
	results := object{}
	for uid, res := range st.Results {
		results[shownUID(uid)] = object{"sid": res.SID, "state": res.State, "exit_code": res.Code}
	}
	return object{"state": st.State, "mode": st.Mode, "timestamp": c.unix(st.at), "results": results}
}
