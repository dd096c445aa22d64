package pvesim

import (
	"fmt"
	"slices"
	"time"
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
	if ms != nil && ms.master != "" {
		list = append(list, r.masterRow(ms))
	}
	list = append(list, r.fencingRow(ms))
	if ms != nil {
		for _, n := range r.c.nodes {
			if _, known := ms.nodes[n.name]; known {
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
	text := fmt.Sprintf("%s (%s, %s)", ms.master, state, r.ctime(ms.at))
	if ms.disarm != nil {
		text += fmt.Sprintf(" - %s, resource mode: %s", ms.disarm.state, ms.disarm.mode)
	}
	return object{"id": "master", "type": "master", "node": ms.master, "timestamp": r.c.unix(ms.at), "status": text}
}

func (r *request) fencingRow(ms *managerStatus) object {
	row := object{"id": "fencing", "type": "fencing", "node": r.n.name}
	switch {
	case ms == nil || ms.master == "":
		row["armed-state"], row["status"] = "standby", "standby (CRM watchdog standby)"
		return row
	case ms.disarm != nil:
		watchdog := "active"
		if ms.disarm.state == "disarmed" {
			watchdog = "released"
		}
		row["armed-state"], row["resource_mode"] = ms.disarm.state, ms.disarm.mode
		row["status"] = fmt.Sprintf("%s, resource mode: %s (CRM watchdog %s)", ms.disarm.state, ms.disarm.mode, watchdog)
	case r.fresh(ms.at):
		row["armed-state"], row["status"] = "armed", "armed (CRM watchdog active)"
	default:
		row["armed-state"], row["status"] = "standby", "standby (CRM watchdog standby)"
	}
	row["node"] = ms.master
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
	word := st.state
	switch {
	case st.mode != "active" && (fresh || st.mode == "maintenance" || st.mode == "disarm"):
		word = st.mode + " mode"
	case !fresh:
		word = "old timestamp - dead?"
	case st.state == "wait_for_agent_lock" && ms.activeServices(name) == 0:
		word = "idle"
	}
	watchdog := "standby"
	switch {
	case fresh && (st.state == "active" || st.state == "maintenance"):
		watchdog = "active"
	case st.mode == "disarm":
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
		known = ms.sids()
	}
	for _, sid := range known {
		list = append(list, r.serviceRow(sid, ms.services[sid]))
	}
	var queued []string
	for _, res := range r.fs.resources {
		if ms == nil || ms.services[res.sid] == nil {
			queued = append(queued, res.sid)
		}
	}
	slices.SortFunc(queued, compareSID)
	for _, sid := range queued {
		list = append(list, r.serviceRow(sid, nil))
	}
	return list
}

func (r *request) serviceRow(sid string, sd *service) object {
	row := object{"id": "service:" + sid, "type": "service", "sid": sid}
	res, g := r.fs.resource(sid), r.fs.guestBySID(sid)
	node := ""
	if g != nil {
		node = g.node
	}
	if sd != nil {
		node, row["crm_state"] = sd.node, sd.state
	}
	if res != nil {
		row["request_state"], row["max_restart"], row["max_relocate"] = res.request(), res.maxRestart(), res.maxRelocate()
		row["failback"] = flag(res.failback())
		if c := res.opts["comment"]; c != "" {
			row["comment"] = c
		}
	}
	state := r.displayState(res, g, sd)
	row["node"], row["state"], row["status"] = node, state, fmt.Sprintf("%s (%s, %s)", sid, node, state)
	return row
}

// displayState is the state as shown, which knows more words than the manager.
func (r *request) displayState(res *resource, g *guestConf, sd *service) string {
	if ms := r.fs.manager; sd != nil && ms.disarm != nil && ms.disarm.mode == "ignore" {
		return "ignore"
	}
	switch {
	case res == nil:
		return "deleting"
	case res.request() == "ignored":
		return "ignored"
	case g == nil:
		return "not found"
	case sd == nil:
		return "queued"
	}
	want := res.request()
	switch {
	case sd.state == "stopped" && want == "started":
		return "starting"
	case sd.state == "stopped" && want == "disabled":
		return "disabled"
	case sd.state == "started" && !sd.running:
		return "starting"
	case sd.state == "started" && want != "started":
		return "stopping"
	case sd.state == "error" && want == "disabled":
		return "clearing error flag"
	}
	return sd.state
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
	for name := range ms.nodes {
		lrms[name] = r.c.lrmJSON(r.fs, name)
	}
	if len(lrms) > 0 {
		out["lrm_status"] = lrms
	}
	return out, nil
}

// managerJSON is the content of /etc/pve/ha/manager_status.
func (c *Cluster) managerJSON(ms *managerStatus) object {
	if ms == nil {
		return object{"node_status": object{}}
	}
	out := object{"master_node": ms.master, "timestamp": c.unix(ms.at), "node_status": ms.nodes}
	services := object{}
	for sid, sd := range ms.services {
		services[sid] = sd.json()
	}
	out["service_status"] = services
	if ms.requests != nil {
		out["node_request"] = ms.requests
	}
	if ms.disarm != nil {
		out["disarm"] = object{"mode": ms.disarm.mode, "state": ms.disarm.state}
	}
	return out
}

// json has only what is set, as in the file.
func (sd *service) json() object {
	o := object{"node": sd.node, "state": sd.state, "uid": sd.uid}
	if sd.target != "" {
		o["target"] = sd.target
	}
	if sd.running {
		o["running"] = 1
	}
	if sd.timeout != "" {
		o["timeout"] = sd.timeout
	}
	if len(sd.cmd) > 0 {
		o["cmd"] = sd.cmd
	}
	if len(sd.failed) > 0 {
		o["failed_nodes"] = sd.failed
	}
	if sd.maintenance != "" {
		o["maintenance_node"] = sd.maintenance
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
	for uid, res := range st.results {
		results[uid] = object{"sid": res.sid, "state": res.state, "exit_code": res.code}
	}
	return object{"state": st.state, "mode": st.mode, "timestamp": c.unix(st.at), "results": results}
}
