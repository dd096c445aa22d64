package pvesim

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// What the HA manager has in /etc/pve, its locks and its watchdog. The manager itself is
// pkg/crm's; it meets the rest of the simulator in few places only: its files lie in pmxcfs
// (resources, rules, commands, manager, lrm, locks); ha_status.go shows them; the LRM runs
// guests with the same operations as the API; and the watchdog it feeds resets the node.

const (
	lockLifetime = crm.LockLifetime * time.Second
	// A node is reset 61 to 71 s after it last fed its watchdog: watchdog-mux lets a
	// client go for 60 s and the device then fires within 10 s. This is the middle, and
	// what the partitions in the recordings show (62.8 and 67 s after the cut).
	watchdogReset = 66 * time.Second
	statusStale   = 30 * time.Second
	haStopTimeout = 60 * time.Second
)

// ResourceSpec is an entry of /etc/pve/ha/resources.cfg. Empty fields are not written
// there and mean Proxmox's defaults.
type ResourceSpec struct {
	SID string
	// State is started, stopped, disabled or ignored.
	State string
	// Options are further lines: failback, max_restart, max_relocate, comment, and
	// group in a cluster that has groups.
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

// managerStatus is /etc/pve/ha/manager_status as a master wrote it; it does not change.
type managerStatus struct {
	crm.ManagerStatus
	at instant
}

// lrmStatus is /etc/pve/nodes/NODE/lrm_status.
type lrmStatus struct {
	crm.LRMStatus
	at instant
}

// haLock is a lock below /etc/pve/priv/lock. Without a holder it has expired and was removed
// at that instant, by somebody who wanted it.
type haLock struct {
	holder string
	at     instant
}

const managerLock = "ha_manager_lock"

func agentLock(node string) string { return "ha_agent_" + node + "_lock" }

// tryLock takes a cluster-wide lock or refreshes it. Without quorum nobody can. To try a
// lock that has expired only removes it: a later attempt gets it, or the same one if it goes
// on trying for some seconds. (Power cut recordings: fenced 180 s, recovered 190 s after the
// cut, though the lock had long expired.)
func (n *node) tryLock(name string, goesOn bool) bool {
	if !n.quorate {
		return false
	}
	now := n.c.now()
	switch l, held := n.fs.locks[name]; {
	case !held, l.holder == n.name, l.holder == "" && now > l.at:
	case l.holder != "" && now.sub(l.at) <= lockLifetime:
		return false
	case !goesOn:
		n.fs.locks[name] = haLock{at: now}
		return false
	}
	n.fs.locks[name] = haLock{n.name, now}
	return true
}

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

// shownUID is a service record's identity as Proxmox has it: 22 characters of base64.
func shownUID(uid string) string {
	sum := md5.Sum([]byte(uid))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
