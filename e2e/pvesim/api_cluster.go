package pvesim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// object is a JSON object of an answer.
type object = map[string]any

type handler func(*request) (any, error)

// handlers are the endpoints the simulator serves; every other one is 501.
var handlers map[string]handler

// init, because a handler may lead back to the table.
func init() {
	handlers = map[string]handler{
		"GET /version":                                 showVersion,
		"GET /access/permissions":                      permissions,
		"GET /cluster/status":                          clusterStatus,
		"GET /cluster/resources":                       clusterResources,
		"GET /cluster/tasks":                           clusterTasks,
		"GET /cluster/nextid":                          nextID,
		"GET /cluster/options":                         options,
		"PUT /cluster/options":                         setOptions,
		"GET /cluster/config":                          configIndex,
		"GET /cluster/config/apiversion":               configAPIVersion,
		"GET /cluster/config/join":                     configJoin,
		"GET /cluster/config/qdevice":                  configQDevice,
		"GET /cluster/config/nodes":                    configNodes,
		"GET /cluster/config/totem":                    configTotem,
		"GET /cluster/ha/resources":                    haResources,
		"POST /cluster/ha/resources":                   addHAResource,
		"GET /cluster/ha/resources/{sid}":              haResource,
		"PUT /cluster/ha/resources/{sid}":              setHAResource,
		"DELETE /cluster/ha/resources/{sid}":           deleteHAResource,
		"POST /cluster/ha/resources/{sid}/migrate":     haMotion("migrate"),
		"POST /cluster/ha/resources/{sid}/relocate":    haMotion("relocate"),
		"GET /cluster/ha/groups":                       haGroups,
		"POST /cluster/ha/groups":                      addHAGroup,
		"GET /cluster/ha/groups/{group}":               haGroup,
		"PUT /cluster/ha/groups/{group}":               setHAGroup,
		"DELETE /cluster/ha/groups/{group}":            deleteHAGroup,
		"GET /cluster/ha/rules":                        haRules,
		"POST /cluster/ha/rules":                       addHARule,
		"GET /cluster/ha/rules/{rule}":                 haRule,
		"PUT /cluster/ha/rules/{rule}":                 setHARule,
		"DELETE /cluster/ha/rules/{rule}":              deleteHARule,
		"GET /cluster/ha/status/current":               haStatus,
		"GET /cluster/ha/status/manager_status":        haManagerStatus,
		"POST /cluster/ha/status/arm-ha":               armHA,
		"POST /cluster/ha/status/disarm-ha":            disarmHA,
		"GET /nodes":                                   nodes,
		"GET /nodes/{node}/status":                     nodeStatus,
		"POST /nodes/{node}/status":                    nodeCommand,
		"GET /nodes/{node}/version":                    showVersion,
		"GET /nodes/{node}/time":                       nodeTime,
		"GET /nodes/{node}/tasks":                      nodeTasks,
		"GET /nodes/{node}/tasks/{upid}/status":        taskStatus,
		"GET /nodes/{node}/tasks/{upid}/log":           taskLog,
		"GET /storage":                                 storageConfig,
		"POST /storage":                                addStorage,
		"GET /storage/{storage}":                       storageEntry,
		"PUT /storage/{storage}":                       setStorage,
		"DELETE /storage/{storage}":                    deleteStorage,
		"GET /nodes/{node}/storage":                    nodeStorages,
		"GET /nodes/{node}/storage/{storage}/status":   nodeStorage,
		"GET /nodes/{node}/qemu":                       guests(qemu),
		"GET /nodes/{node}/lxc":                        guests(lxc),
		"GET /nodes/{node}/qemu/{vmid}/config":         guestConfig(qemu),
		"GET /nodes/{node}/lxc/{vmid}/config":          guestConfig(lxc),
		"PUT /nodes/{node}/qemu/{vmid}/config":         setGuestConfig(qemu),
		"PUT /nodes/{node}/lxc/{vmid}/config":          setGuestConfig(lxc),
		"GET /nodes/{node}/qemu/{vmid}/status/current": guestStatus(qemu),
		"GET /nodes/{node}/lxc/{vmid}/status/current":  guestStatus(lxc),
		"GET /nodes/{node}/qemu/{vmid}/migrate":        preconditionsVM,
		"GET /nodes/{node}/lxc/{vmid}/migrate":         preconditionsCT,
		"POST /nodes/{node}/qemu/{vmid}/migrate":       migrate(qemu),
		"POST /nodes/{node}/lxc/{vmid}/migrate":        migrate(lxc),
	}
	for _, k := range []kind{qemu, lxc} {
		path := "POST /nodes/{node}/" + string(k) + "/{vmid}/status/"
		handlers[path+"start"] = guestStart(k)
		handlers[path+"stop"] = guestStop(k)
		handlers[path+"shutdown"] = guestShutdown(k)
	}
}

// PVEVersion is the pve-manager the simulator behaves like.
const PVEVersion = "9.2.11"

const repoID = "5f3a1c7de9a0b246"

func showVersion(r *request) (any, error) {
	v := r.n.version()
	major, rest, _ := strings.Cut(v, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return object{"version": v, "release": major + "." + minor, "repoid": repoID}, nil
}

// version is the node's pve-manager, major what it begins with.
func (n *node) version() string { return cmp.Or(n.spec.Version, n.c.spec.Version, PVEVersion) }

func (n *node) major() int {
	first, _, _ := strings.Cut(n.version(), ".")
	return atoi(first)
}

func permissions(r *request) (any, error) {
	who := r.token
	if u := r.get("userid"); u != "" && u != r.who().String() {
		if !r.may("/access", "Sys.Audit") {
			return nil, forbidden("/access", []string{"Sys.Audit"})
		}
		user, id, _ := strings.Cut(u, "!")
		at := slices.IndexFunc(r.fs.access.tokens, func(t TokenSpec) bool { return t.User == user && (id == "" || t.ID == id) })
		if at < 0 && user != "root@pam" {
			return object{}, nil
		}
		if who = (TokenSpec{User: user}); id != "" {
			who = r.fs.access.tokens[at]
		}
	}
	return r.fs.access.dump(who, r.get("path")), nil
}

func clusterStatus(r *request) (any, error) {
	list := []object{}
	if k := r.n.conf; k != nil {
		list = append(list, object{
			"type": "cluster", "id": "cluster", "name": k.name, "version": k.version, "nodes": len(k.members), "quorate": flag(r.n.quorate),
		})
	}
	for _, n := range r.peers() {
		list = append(list, object{
			"type": "node", "id": "node/" + n.name, "name": n.name, "nodeid": r.n.idOf(n), "ip": n.spec.Address,
			"online": flag(r.n.sees(n.name)), "local": flag(n == r.n), "level": "",
		})
	}
	return list, nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// statsKept is for how long what a node broadcast is shown after its last broadcast.
const statsKept = 5 * time.Minute

func (r *request) nodeStat(n *node) (nodeStat, bool) {
	s, ok := r.fs.nodeStats[n.name]
	return s, ok && r.c.now().sub(s.at) <= statsKept
}

// nodeRow is a node in /nodes and, with more, in /cluster/resources.
func (r *request) nodeRow(n *node) object {
	row := object{"type": "node", "id": "node/" + n.name, "node": n.name}
	s, known := r.nodeStat(n)
	online := r.n.sees(n.name)
	switch {
	case !online:
		row["status"] = "offline"
	case !known:
		row["status"] = "unknown"
	default:
		row["status"] = "online"
	}
	if !known {
		return row
	}
	row["level"] = ""
	if !r.may("/nodes/"+n.name, "Sys.Audit") {
		return row
	}
	row["maxcpu"], row["maxmem"], row["maxdisk"] = n.spec.CPUs, n.spec.Memory, int64(rootDisk)
	if online {
		row["cpu"], row["mem"], row["disk"] = s.cpu, s.mem, int64(rootUsed)
		row["uptime"] = int64(r.c.clock.real(s.at.sub(n.booted)).Seconds())
	}
	return row
}

// The nodes' root file system.
const (
	rootDisk = 100 << 30
	rootUsed = 6 << 30
)

func nodes(r *request) (any, error) {
	var list []object
	for _, n := range r.peers() {
		row := r.nodeRow(n)
		row["ssl_fingerprint"] = n.fingerprint()
		list = append(list, row)
	}
	return list, nil
}

// fingerprint is that of the node's certificate, made up.
func (n *node) fingerprint() string {
	which := fmt.Sprint(n.name, n.ca, n.certificates)
	d := digest("cert a "+which) + digest("cert b "+which)
	var parts []string
	for k := 0; k < 64; k += 2 {
		parts = append(parts, strings.ToUpper(d[k:k+2]))
	}
	return strings.Join(parts, ":")
}

func clusterResources(r *request) (any, error) {
	list := []object{}
	typ := r.get("type")
	if typ == "" || typ == "vm" {
		for _, g := range r.fs.sortedGuests() {
			if r.may(fmt.Sprintf("/vms/%d", g.id), "VM.Audit") {
				list = append(list, r.guestRow(g))
			}
		}
	}
	if typ == "" || typ == "node" {
		for _, n := range r.peers() {
			row := r.nodeRow(n)
			row["cgroup-mode"] = 2
			if state, ok := r.hastate(n.name); ok {
				row["hastate"] = state
			}
			list = append(list, row)
		}
	}
	if typ == "" || typ == "storage" {
		list = append(list, r.storageRows()...)
	}
	if typ == "" || typ == "sdn" {
		for _, n := range r.peers() {
			if r.may("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Allocate") {
				list = append(list, object{
					"id": "network/" + n.name + "/zone/localnetwork", "type": "network", "network-type": "zone",
					"network": "localnetwork", "node": n.name, "status": "ok",
				})
			}
		}
	}
	return list, nil
}

// hastate is a node's state as the HA manager last wrote it; there is none before it ever ran.
func (r *request) hastate(node string) (string, bool) {
	if r.fs.manager == nil {
		return "", false
	}
	state, ok := r.fs.manager.Nodes[node]
	return state, ok
}

// guestRow is a guest in /cluster/resources: where its configuration lies is true now,
// whether it runs is what the last broadcast said.
func (r *request) guestRow(g *guestConf) object {
	row := object{
		"id": fmt.Sprintf("%s/%d", g.kind, g.id), "type": string(g.kind), "vmid": g.id, "node": g.node,
		"template": flag(g.conf["template"] == "1"),
	}
	if n := r.fs.manager.state(g.sid()); n != "" {
		row["hastate"] = n
	}
	if t := g.conf["tags"]; t != "" {
		row["tags"] = t
	}
	if l := g.conf["lock"]; l != "" {
		row["lock"] = l
	}
	s, ok := r.fs.guestStats[g.id]
	if !ok || r.c.now().sub(s.at) > statsKept {
		row["status"] = "unknown"
		return row
	}
	row["name"], row["status"] = g.name(), "stopped"
	row["maxcpu"], row["maxmem"], row["maxdisk"] = number(g.cpus(r.n.peer(g.node))), g.memory(), g.maxDisk()
	row["uptime"], row["cpu"], row["mem"] = 0, 0, 0
	for _, k := range []string{"disk", "diskread", "diskwrite", "netin", "netout", "memhost"} {
		row[k] = 0
	}
	if s.running {
		row["status"], row["mem"] = "running", s.mem
		row["uptime"] = int64(r.c.clock.real(s.at.sub(s.since)).Seconds())
		row["cpu"] = 0.001 * float64(1+g.id%7)
	}
	return row
}

// number is a float that is written without a fraction if it has none.
func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

// state is a service's raw CRM state; empty if the manager does not know it.
func (m *managerStatus) state(sid string) string {
	if m == nil {
		return ""
	}
	return m.Services[sid].State
}

func nextID(r *request) (any, error) {
	if id := r.get("vmid"); id != "" {
		if r.fs.guests[atoi(id)] != nil {
			return nil, invalid(map[string]string{"vmid": fmt.Sprintf("VM %s already exists", id)})
		}
		return id, nil
	}
	id := 100
	for r.fs.guests[id] != nil {
		id++
	}
	return fmt.Sprint(id), nil
}

// property strings of datacenter.cfg, which come back as objects.
var propertyOptions = []string{"crs", "ha", "migration", "next-id", "notify", "replication", "tag-style", "u2f", "user-tag-access", "webauthn", "bwlimit", "location"}

func options(r *request) (any, error) {
	out := object{"allowed-tags": r.tags()}
	if !r.may("/", "Sys.Audit") {
		return out, nil
	}
	out["mac_prefix"], out["description"] = "BC:24:11", ""
	for k, v := range r.fs.datacenter {
		if !slices.Contains(propertyOptions, k) {
			out[k] = v
			continue
		}
		o := object{}
		for item := range strings.SplitSeq(v, ",") {
			key, val, ok := strings.Cut(item, "=")
			if !ok {
				key, val = map[string]string{"migration": "type"}[k], item
			}
			if o[key] = val; val == "1" || val == "0" {
				o[key] = atoi(val)
			}
		}
		out[k] = o
	}
	return out, nil
}

// tags are all tags of guests the caller may see.
func (r *request) tags() []string {
	tags := []string{}
	for _, g := range r.fs.sortedGuests() {
		if r.may(fmt.Sprintf("/vms/%d", g.id), "VM.Audit") {
			tags = append(tags, splitList(g.conf["tags"])...)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func setOptions(r *request) (any, error) {
	if !r.n.quorate {
		return nil, dieSlowly(cfsDelay, "cfs-lock 'file-datacenter_cfg' error: no quorum!")
	}
	for _, k := range splitList(r.get("delete")) {
		delete(r.fs.datacenter, k)
	}
	for k, v := range r.args {
		if k != "delete" && k != "digest" {
			r.fs.datacenter[k] = v
		}
	}
	return nil, nil
}

// byNode sorts tasks: newest first, as lists of them are.
func newestFirst(a, b *task) int {
	return cmp.Or(cmp.Compare(b.start, a.start), cmp.Compare(b.pid, a.pid))
}
