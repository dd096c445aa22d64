package pvesim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// guest finds the guest of a request. Its configuration must lie on the node that
// answers: elsewhere it does not exist.
func (r *request) guest(k kind) (*guestConf, error) {
	g := r.fs.guests[atoi(r.get("vmid"))]
	if g == nil || g.kind != k || g.node != r.n.name {
		return nil, die("Configuration file 'nodes/%s/%s/%s.conf' does not exist", r.n.name, k.dir(), r.get("vmid"))
	}
	return g, nil
}

// managed reports whether the HA manager decides about the guest.
func (f *pmxcfs) managed(g *guestConf) bool {
	if f.manager != nil && f.manager.Disarm != nil && f.manager.Disarm.Mode == "ignore" {
		return false
	}
	r := f.resource(g.sid())
	return r != nil && r.request() != "ignored"
}

func guests(k kind) handler {
	return func(r *request) (any, error) {
		list := []object{}
		for _, g := range r.fs.sortedGuests() {
			if g.kind == k && g.node == r.n.name && r.may(fmt.Sprintf("/vms/%d", g.id), "VM.Audit") {
				o := r.n.brief(g)
				if k == qemu && r.is("full") {
					r.n.machine(g, o)
				}
				list = append(list, o)
			}
		}
		return list, nil
	}
}

// brief is what lists of guests say.
func (n *node) brief(g *guestConf) object {
	o := object{
		"vmid": g.id, "name": g.name(), "status": "stopped", "cpus": number(g.cpus(n)), "maxmem": g.memory(), "maxdisk": g.maxDisk(),
		"uptime": n.uptime(g.id), "mem": 0, "cpu": 0, "disk": 0, "netin": 0, "netout": 0,
	}
	for _, key := range []string{"tags", "lock"} {
		if v := g.conf[key]; v != "" {
			o[key] = v
		}
	}
	if g.conf["template"] == "1" {
		o["template"] = 1
	}
	if g.hasSerial() {
		o["serial"] = 1
	}
	if g.kind == lxc {
		o["type"], o["swap"], o["maxswap"] = "lxc", 0, int64(atoi(g.conf["swap"]))<<20
		o["diskread"], o["diskwrite"] = 0, 0
	} else {
		o["memhost"] = 0
	}
	p := n.procs[g.id]
	if p == nil || p.incoming {
		return o
	}
	o["status"], o["pid"], o["mem"] = "running", p.pid, g.memory()/2
	for _, what := range []string{"cpu", "io", "memory"} {
		o["pressure"+what+"some"], o["pressure"+what+"full"] = 0, 0
	}
	return o
}

func guestStatus(k kind) handler {
	return func(r *request) (any, error) {
		g, err := r.guest(k)
		if err != nil {
			return nil, err
		}
		o := r.n.brief(g)
		ha := object{"managed": 0}
		if res := r.fs.resource(g.sid()); res != nil {
			ha["managed"] = 1
			ha["state"] = res.request()
			if s := r.fs.manager.state(g.sid()); s != "" {
				ha["state"] = s
			}
		}
		o["ha"] = ha
		if k == qemu {
			r.n.machine(g, o)
		}
		return o, nil
	}
}

// machine adds what only QEMU knows.
func (n *node) machine(g *guestConf, o object) {
	o["qmpstatus"] = o["status"]
	if g.conf["agent"] != "" {
		o["agent"] = 1
	}
	if o["status"] != "running" {
		return
	}
	m := g.memory()
	o["balloon"], o["freemem"], o["diskread"], o["diskwrite"] = m, m/2, 0, 0
	o["ballooninfo"] = object{"actual": m, "max_mem": m, "total_mem": m, "free_mem": m / 2, "last_update": n.c.unix(n.c.now())}
	o["running-qemu"], o["running-machine"] = "10.1.2", "pc-i440fx-10.1+pve0"
	o["proxmox-support"] = object{"pbs-library-version": "1.5.1", "pbs-masterkey": true, "pbs-dirty-bitmap": true, "query-bitmap-info": true}
}

func guestConfig(k kind) handler {
	return func(r *request) (any, error) {
		g, err := r.guest(k)
		if err != nil {
			return nil, err
		}
		if snap := r.get("snapshot"); snap != "" && !slices.Contains(g.snapshots, snap) {
			return nil, die("snapshot '%s' does not exist", snap)
		}
		out := object{"digest": digest(g.text())}
		e, _ := find("PUT", fmt.Sprintf("/nodes/%s/%s/%d/config", r.n.name, k, g.id))
		for key, v := range g.conf {
			out[key] = typed(e.property(key), v)
		}
		if len(g.snapshots) > 0 && r.get("snapshot") == "" {
			out["parent"] = g.snapshots[len(g.snapshots)-1]
		}
		if r.get("snapshot") != "" {
			out["snaptime"] = snapTime
		}
		return out, nil
	}
}

// snapTime is when every snapshot was made.
const snapTime = 1795218000

func (g *guestConf) hasSerial() bool {
	for key := range g.conf {
		if strings.HasPrefix(key, "serial") {
			return true
		}
	}
	return false
}

// typed is a configuration value in JSON: integers and booleans are numbers, all else,
// fractions too, stays a string.
func typed(p *property, v string) any {
	if p != nil && (p.Type == "integer" || p.Type == "boolean") {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	return v
}

func setGuestConfig(k kind) handler {
	return func(r *request) (any, error) {
		g, err := r.guest(k)
		if err != nil {
			return nil, err
		}
		if !r.n.quorate {
			return nil, die("cluster not ready - no quorum?")
		}
		if d := r.get("digest"); d != "" && d != digest(g.text()) {
			if k == lxc {
				return nil, die("detected modified configuration - file changed by other user? Try again.")
			}
			return nil, die("checksum mismatch (file change by other user?)")
		}
		if lock := g.conf["lock"]; lock != "" {
			return nil, die("%s is locked (%s)", k.word(), lock)
		}
		for _, key := range splitList(r.get("delete")) {
			delete(g.conf, key)
		}
		for key, v := range r.args {
			if key != "delete" && key != "digest" {
				g.conf[key] = v
			}
		}
		return nil, nil
	}
}

// haTask is the short task that only hands a wish to the HA manager.
func (r *request) haTask(g *guestConf, typ, text string, do func() string) string {
	t := r.n.newTask(typ, strconv.Itoa(g.id), r.who())
	t.logf("%s", text)
	status := do()
	r.n.after(time.Second, func() { t.finish(status) })
	return t.upid
}

func guestStart(k kind) handler {
	return func(r *request) (any, error) {
		g, err := r.guest(k)
		if err != nil {
			return nil, err
		}
		if r.is("skiplock") {
			return nil, invalid(map[string]string{"skiplock": "Only root may use this option."})
		}
		if !r.n.quorate {
			return nil, die("cluster not ready - no quorum?")
		}
		if !r.fs.managed(g) {
			return r.n.startGuest(g, r.who(), nil).upid, nil
		}
		return r.haTask(g, "hastart", fmt.Sprintf("Requesting HA start for %s %d", k.word(), g.id), func() string {
			r.fs.resource(g.sid()).opts["state"] = "started"
			r.fs.resourcesChanged()
			return "OK"
		}), nil
	}
}

func guestStop(k kind) handler {
	return func(r *request) (any, error) { return r.stop(k, "0") }
}

func guestShutdown(k kind) handler {
	return func(r *request) (any, error) {
		timeout := r.get("timeout")
		if timeout == "" {
			timeout = "60"
		}
		return r.stop(k, timeout)
	}
}

func (r *request) stop(k kind, timeout string) (any, error) {
	g, err := r.guest(k)
	if err != nil {
		return nil, err
	}
	if r.fs.managed(g) {
		return r.haTask(g, "hastop", fmt.Sprintf("Requesting HA stop for %s %d", k.word(), g.id), func() string {
			if r.n.quorate {
				r.fs.queueCommand("stop %s %s", g.sid(), timeout)
				return "OK"
			}
			return fmt.Sprintf("command 'ha-manager crm-command stop %s %s' failed: exit code 255", g.sid(), timeout)
		}), nil
	}
	if k == lxc && !r.n.executing(g.id) {
		return nil, die("CT %d not running", g.id)
	}
	if timeout == "0" {
		return r.n.stopGuest(g, r.who(), nil).upid, nil
	}
	if !r.n.executing(g.id) {
		return nil, die("VM %d not running", g.id)
	}
	return r.n.shutdownGuest(g, r.who(), nil).upid, nil
}

func migrate(k kind) handler {
	return func(r *request) (any, error) {
		target := r.get("target")
		if target == r.n.name {
			return nil, invalid(map[string]string{"target": "target is local node."})
		}
		if r.n.quorate && r.n.peer(target) == nil {
			return nil, die("no such cluster node '%s'", target)
		}
		if !r.n.quorate {
			return nil, die("cluster not ready - no quorum?")
		}
		g, err := r.guest(k)
		if err != nil {
			return nil, err
		}
		m := migration{
			target: target, online: r.is("online"), restart: r.is("restart"), localDisks: r.is("with-local-disks"),
			targetStorage: r.get("targetstorage") + r.get("target-storage"), timeout: 180 * time.Second,
		}
		if t := atoi(r.get("timeout")); t > 0 {
			m.timeout = time.Duration(t) * time.Second
		}
		if err := r.refuseMigration(g, m); err != nil {
			return nil, err
		}
		if r.fs.managed(g) {
			return r.migrateByHA(g, m), nil
		}
		return r.n.migrateGuest(g, m, r.who(), nil).upid, nil
	}
}

// refuseMigration is what the call itself finds out; the rest is found out by its task.
func (r *request) refuseMigration(g *guestConf, m migration) error {
	if g.kind == lxc {
		if r.n.executing(g.id) && !m.online && !m.restart {
			return die("can't migrate running container without --online or --restart")
		}
		return nil
	}
	if lock := g.conf["lock"]; lock != "" {
		return die("VM is locked (%s)", lock)
	}
	if r.n.executing(g.id) && !m.online {
		return die("can't migrate running VM without --online")
	}
	if m.targetStorage != "" && m.targetStorage != "1" && r.fs.storage(m.targetStorage) == nil {
		return die("storage '%s' does not exist", m.targetStorage)
	}
	for _, v := range g.volumes() {
		s := r.fs.storage(v.storage)
		switch {
		case v.storage == "":
		case s == nil:
			return die("storage '%s' does not exist", v.storage)
		case m.targetStorage == "" && !s.on(m.target):
			return die("storage '%s' is not available on node '%s'", s.id, m.target)
		}
	}
	return nil
}

// migrateByHA queues the wish. Its task looks for negative affinity, nothing else.
func (r *request) migrateByHA(g *guestConf, m migration) string {
	return r.haTask(g, "hamigrate", fmt.Sprintf("Requesting HA migration for %s %d to node %s", g.kind.word(), g.id, m.target), func() string {
		r.fs.queueCommand("migrate %s %s", g.sid(), m.target)
		blocking := r.blocking(g.sid(), m.target)
		if len(blocking) == 0 {
			return "OK"
		}
		t := r.n.tasks[len(r.n.tasks)-1]
		t.logf("cannot migrate resource '%s' to node '%s':", g.sid(), m.target)
		t.logf("")
		for _, sid := range blocking {
			t.logf("- resource '%s' on target node '%s' in negative affinity with resource '%s'", sid, m.target, g.sid())
		}
		return fmt.Sprintf("command 'ha-manager migrate %s %s' failed: exit code 2", g.sid(), m.target)
	})
}
