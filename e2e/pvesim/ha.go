package pvesim

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The HA manager of pve-ha-manager 5.2.0: a CRM and an LRM on each node. The rest of the
// simulator meets it in few places only: startServices makes both; their files lie in
// pmxcfs (resources, rules, commands, manager, lrm, locks); ha_status.go shows them; the
// LRM runs guests with the same operations as the API; and the watchdog they feed resets
// the node. What they decide is in ha_crm.go, ha_states.go, ha_select.go and ha_lrm.go.

// Timing of pve-ha-manager 5.2.0, in model time.
const (
	crmRound       = 10 * time.Second
	crmWait        = 5 * time.Second
	lrmRound       = 10 * time.Second
	lrmWait        = 5 * time.Second
	lrmMaintenance = 5 * time.Second
	lrmWorkerLoop  = 8 * time.Second
	lrmPoll        = time.Second
	fenceDelay     = 60 * time.Second
	lockLifetime   = 120 * time.Second
	// A node is reset 61 to 71 s after it last fed its watchdog: watchdog-mux lets a
	// client go for 60 s and the device then fires within 10 s. This is the middle, and
	// what the partitions in the recordings show (62.8 and 67 s after the cut).
	watchdogReset = 66 * time.Second
	statusStale   = 30 * time.Second
	goneAfter     = time.Hour
	workersMax    = 4
	lrmIdleRounds = 60
	crmIdleRounds = 90
	haStopTimeout = 60 * time.Second
)

// ResourceSpec is an entry of /etc/pve/ha/resources.cfg. Empty fields are not written
// there and mean Proxmox's defaults.
type ResourceSpec struct {
	SID string
	// State is started, stopped, disabled or ignored.
	State string
	// Options are further lines: failback, max_restart, max_relocate, comment.
	Options map[string]string
}

// resource is what is configured of a guest under HA, keys as in the file.
type resource struct {
	sid  string
	opts map[string]string
}

func (f *pmxcfs) addResource(s ResourceSpec) {
	if f.guestBySID(s.SID) == nil || f.resource(s.SID) != nil {
		panic(fmt.Sprintf("pvesim: HA resource %q needs a guest and one entry", s.SID))
	}
	r := &resource{sid: s.SID, opts: map[string]string{}}
	maps.Copy(r.opts, s.Options)
	if s.State != "" {
		r.opts["state"] = s.State
	}
	f.putResource(r)
}

// request is the requested state; enabled is an old word for started.
func (r *resource) request() string {
	switch s := r.opts["state"]; s {
	case "", "enabled":
		return "started"
	default:
		return s
	}
}

func (r *resource) number(key string, def int) int {
	if v, ok := r.opts[key]; ok {
		return atoi(v)
	}
	return def
}

func (r *resource) failback() bool  { return r.number("failback", 1) != 0 }
func (r *resource) maxRestart() int { return r.number("max_restart", 1) }
func (r *resource) maxRelocate() int {
	return r.number("max_relocate", 1)
}

// clone, because the options are a map.
func (r *resource) clone() *resource {
	return &resource{sid: r.sid, opts: maps.Clone(r.opts)}
}

// resourcesText is resources.cfg; its SHA-1 is every resource's digest.
func (f *pmxcfs) resourcesText() string {
	var b strings.Builder
	for k, r := range f.resources {
		if k > 0 {
			b.WriteString("\n")
		}
		typ, id, _ := strings.Cut(r.sid, ":")
		fmt.Fprintf(&b, "%s: %s\n", typ, id)
		keys := slices.Sorted(maps.Keys(r.opts))
		slices.SortStableFunc(keys, func(a, c string) int { return commentFirst(a) - commentFirst(c) })
		for _, key := range keys {
			fmt.Fprintf(&b, "\t%s %s\n", key, r.opts[key])
		}
	}
	return b.String()
}

func commentFirst(key string) int {
	if key == "comment" {
		return 0
	}
	return 1
}

// managerStatus is /etc/pve/ha/manager_status.
type managerStatus struct {
	master   string
	at       instant
	nodes    map[string]string // node_status
	services map[string]*service
	requests map[string]map[string]int // node_request; an empty one stays after a maintenance
	disarm   *disarm
	index    *serviceIndex // of a status that is written and does not change any more
}

// serviceIndex finds the services of a node.
type serviceIndex struct {
	here   map[string][]string // SIDs on a node, sorted
	active map[string]int      // see activeServices
}

// service is a resource's runtime record.
type service struct {
	node, state, uid, target string
	timeout                  string
	running                  bool
	cmd                      []string
	failed                   []string // failed_nodes
	maintenance              string   // maintenance_node
}

type disarm struct{ mode, state string }

func newManagerStatus() *managerStatus {
	return &managerStatus{nodes: map[string]string{}, services: map[string]*service{}}
}

func (m *managerStatus) clone() *managerStatus {
	o := *m
	o.index = nil
	o.nodes = maps.Clone(m.nodes)
	o.services = make(map[string]*service, len(m.services))
	for sid, sd := range m.services {
		cp := *sd
		cp.cmd, cp.failed = slices.Clone(sd.cmd), slices.Clone(sd.failed)
		o.services[sid] = &cp
	}
	if m.requests != nil {
		o.requests = map[string]map[string]int{}
		for n, r := range m.requests {
			o.requests[n] = maps.Clone(r)
		}
	}
	if m.disarm != nil {
		d := *m.disarm
		o.disarm = &d
	}
	return &o
}

func (m *managerStatus) maintenanceRequested(node string) bool {
	return m != nil && m.requests[node]["maintenance"] != 0
}

// sids are the services in the order in which the manager treats them.
func (m *managerStatus) sids() []string { return slices.Sorted(maps.Keys(m.services)) }

// lrmStatus is /etc/pve/nodes/NODE/lrm_status.
type lrmStatus struct {
	state, mode string
	at          instant
	results     map[string]result // by uid
}

// result is how a job of the LRM ended.
type result struct {
	sid, state string
	code       int
}

// Exit codes of LRM jobs.
const (
	codeOK        = 0
	codeError     = 1
	codeWrongNode = 3
	codeNoService = 7
)

// activeServices counts the services that keep a node's LRM active: here or on their way
// here, and in a state in which something may have to be done.
func (m *managerStatus) activeServices(node string) int {
	if m == nil {
		return 0
	}
	return m.indexed().active[node]
}

// servicesOn are the SIDs of a written status that are on a node.
func (m *managerStatus) servicesOn(node string) []string {
	if m == nil {
		return nil
	}
	return m.indexed().here[node]
}

func (m *managerStatus) indexed() *serviceIndex {
	if m.index != nil {
		return m.index
	}
	x := &serviceIndex{here: map[string][]string{}, active: map[string]int{}}
	for _, sid := range m.sids() {
		sd := m.services[sid]
		x.here[sd.node] = append(x.here[sd.node], sid)
		switch sd.state {
		case "stopped", "freeze", "error", "request_start":
			continue
		}
		x.active[sd.node]++
		if sd.target != "" && sd.target != sd.node {
			x.active[sd.target]++
		}
	}
	m.index = x
	return x
}

// haLock is a lock below /etc/pve/priv/lock.
type haLock struct {
	holder string
	at     instant
}

const managerLock = "ha_manager_lock"

func agentLock(node string) string { return "ha_agent_" + node + "_lock" }

// tryLock takes a cluster-wide lock or refreshes it. Without quorum nobody can. To try a
// lock that has expired only removes it: the next to try gets it.
func (n *node) tryLock(name string) bool {
	if !n.quorate {
		return false
	}
	l, held := n.fs.locks[name]
	if held && l.holder != n.name {
		if n.c.now().sub(l.at) > lockLifetime {
			delete(n.fs.locks, name)
		}
		return false
	}
	n.fs.locks[name] = haLock{n.name, n.c.now()}
	return true
}

// takeLock is how the daemons get their own locks: they try again within seconds.
func (n *node) takeLock(name string) bool { return n.tryLock(name) || n.tryLock(name) }

func (n *node) releaseLock(name string) {
	if n.quorate && n.fs.locks[name].holder == n.name {
		delete(n.fs.locks, name)
	}
}

// feed keeps the watchdog from resetting the node: client is crm or lrm. The first call
// arms it.
func (n *node) feed(client string) {
	fed := n.c.now()
	n.dogs[client] = fed
	n.after(watchdogReset, func() {
		if at, armed := n.dogs[client]; armed && at == fed {
			n.reset()
		}
	})
}

// closeWatchdog ends a client's protection in an orderly way.
func (n *node) closeWatchdog(client string) { delete(n.dogs, client) }

// queueCommand appends a line to crm_commands; the master takes it in its next round.
func (f *pmxcfs) queueCommand(format string, args ...any) {
	f.commands = append(f.commands, fmt.Sprintf(format, args...))
}

// newUID is a service record's identity, new with every change: 22 characters of base64.
func (c *Cluster) newUID() string {
	sum := md5.Sum(fmt.Appendf(nil, "uid %d", c.number()))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
