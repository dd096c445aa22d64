package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func nodeStatus(r *request) (any, error) {
	n := r.n
	s := n.stat()
	m := n.spec.Memory
	return object{
		"uptime": int64(r.c.clock.real(r.c.now().sub(n.booted)).Seconds()), "cpu": s.cpu, "wait": 0, "idle": 0,
		"loadavg": []string{fmt.Sprintf("%.2f", s.cpu*float64(n.spec.CPUs)), "0.25", "0.20"},
		"memory":  object{"total": m, "used": s.mem, "free": m - s.mem, "available": m - s.mem},
		"swap":    object{"total": 0, "used": 0, "free": 0},
		"rootfs":  object{"total": int64(rootDisk), "used": int64(rootUsed), "free": int64(rootDisk - rootUsed), "avail": int64(rootDisk - rootUsed)},
		"ksm":     object{"shared": 0}, "boot-info": object{"mode": "legacy-bios"},
		"pveversion":     "pve-manager/" + n.version() + "/" + repoID,
		"kversion":       "Linux " + kernel + " " + kernelBuild,
		"current-kernel": object{"sysname": "Linux", "release": kernel, "version": kernelBuild, "machine": "x86_64"},
		"cpuinfo": object{
			"cpus": n.spec.CPUs, "cores": n.spec.CPUs, "sockets": 1, "model": "AMD EPYC", "mhz": "2596.098", "vendor": "AuthenticAMD",
			"family": "26", "hvm": "1", "user_hz": 100, "flags": "fpu vme de pse tsc msr svm",
		},
	}, nil
}

// The kernel the nodes show.
const (
	kernel      = "6.17.4-1-pve"
	kernelBuild = "#1 SMP PREEMPT_DYNAMIC PMX 6.17.4-1"
)

func nodeTime(r *request) (any, error) {
	now := r.c.unix(r.c.now())
	return object{"timezone": "UTC", "time": now, "localtime": now}, nil
}

// nodeCommand reboots or shuts the node down, with what HA's shutdown policy asks first.
func nodeCommand(r *request) (any, error) {
	r.n.shutdown(r.get("command"))
	return nil, nil
}

// maySeeTasks reports whether the caller sees other users' tasks of a node.
func (r *request) maySeeTasks(n *node) bool { return r.may("/nodes/"+n.name, "Sys.Audit") }

func (r *request) owns(t *task) bool {
	return t.user == r.token.User && (t.tokenid == r.token.ID || r.token.ID == "")
}

func clusterTasks(r *request) (any, error) {
	list := []object{}
	for _, n := range r.peers() {
		if !r.n.sees(n.name) {
			continue
		}
		tasks := slices.Clone(n.tasks)
		slices.SortStableFunc(tasks, newestFirst)
		for _, t := range tasks[:min(len(tasks), tasksMax)] {
			if !r.maySeeTasks(n) && !r.owns(t) {
				continue
			}
			list = append(list, t.broadcastRow())
		}
	}
	return list, nil
}

// broadcastRow is a task as its node tells the others of it. saved is a string, or a
// number when the task has only just ended.
func (t *task) broadcastRow() object {
	row := t.row()
	delete(row, "pstart")
	switch {
	case !t.ended:
		row["saved"] = "0"
		return row
	case t.n.c.now().sub(t.end) < time.Second:
		row["saved"] = 1
	default:
		row["saved"] = "1"
	}
	delete(row, "pid")
	return row
}

// row is a task in lists: there its status is how it ended, and absent while it runs.
func (t *task) row() object {
	row := object{
		"upid": t.upid, "node": t.n.name, "pid": t.pid, "pstart": t.pstart, "starttime": t.n.c.unix(t.start),
		"type": t.typ, "id": t.id, "user": t.user,
	}
	if t.tokenid != "" {
		row["tokenid"] = t.tokenid
	}
	if t.ended {
		row["endtime"], row["status"] = t.n.c.unix(t.end), t.status
	}
	return row
}

func nodeTasks(r *request) (any, error) {
	tasks := slices.Clone(r.n.tasks)
	slices.SortStableFunc(tasks, newestFirst)
	tasks = slices.DeleteFunc(tasks, func(t *task) bool { return !r.lists(t) })
	total := len(tasks)
	start := min(atoi(r.get("start")), total)
	limit := 50
	if r.has("limit") {
		limit = atoi(r.get("limit"))
	}
	end := total
	if limit > 0 {
		end = min(start+limit, total)
	}
	list := []object{}
	for _, t := range tasks[start:end] {
		list = append(list, t.row())
	}
	return listing{list, total}, nil
}

// lists reports whether a task belongs into a list by the request's filters. Without
// source a node lists only tasks that ended.
func (r *request) lists(t *task) bool {
	source := r.get("source")
	switch {
	case !r.maySeeTasks(t.n) && !r.owns(t):
	case source == "active" && t.ended, (source == "" || source == "archive") && !t.ended:
	case r.has("vmid") && t.id != r.get("vmid"):
	case r.has("typefilter") && t.typ != r.get("typefilter"):
	case r.is("errors") && (!t.ended || t.status == "OK"):
	case r.has("userfilter") && !strings.Contains(by{t.user, t.tokenid}.String(), r.get("userfilter")):
	case r.has("since") && t.n.c.unix(t.start) < int64(atoi(r.get("since"))):
	case r.has("until") && t.n.c.unix(t.start) > int64(atoi(r.get("until"))):
	default:
		return true
	}
	return false
}

// task finds the task a UPID names.
func (r *request) task() (*task, error) {
	upid := r.get("upid")
	for _, t := range r.n.tasks {
		if t.upid != upid {
			continue
		}
		if !r.owns(t) && !r.maySeeTasks(t.n) {
			return nil, forbidden("/nodes/"+t.n.name, []string{"Sys.Audit"})
		}
		return t, nil
	}
	if strings.Count(upid, ":") < 8 {
		return nil, die("unable to parse worker upid '%s'", upid)
	}
	return nil, invalid(map[string]string{"upid": "no such task"})
}

func taskStatus(r *request) (any, error) {
	t, err := r.task()
	if err != nil {
		return nil, err
	}
	row := t.row()
	delete(row, "endtime")
	row["status"] = "running"
	if t.ended {
		row["status"], row["exitstatus"] = "stopped", t.status
	}
	return row, nil
}

func taskLog(r *request) (any, error) {
	t, err := r.task()
	if err != nil {
		return nil, err
	}
	start, limit := min(atoi(r.get("start")), len(t.log)), 50
	if r.has("limit") {
		limit = atoi(r.get("limit"))
	}
	end := len(t.log)
	if limit > 0 {
		end = min(start+limit, end)
	}
	lines := []object{}
	for k := start; k < end; k++ {
		lines = append(lines, object{"n": k + 1, "t": t.log[k]})
	}
	if len(lines) == 0 && start == 0 {
		lines = append(lines, object{"n": 1, "t": "no content"})
	}
	return listing{lines, len(t.log)}, nil
}

// guestRuns is for lists of guests: seconds since the start of its process.
func (n *node) uptime(id int) int64 {
	p := n.procs[id]
	if p == nil || p.incoming {
		return 0
	}
	return int64(n.c.clock.real(n.c.now().sub(p.started)) / time.Second)
}
