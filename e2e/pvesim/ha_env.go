package pvesim

import (
	"fmt"
	"slices"
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// haEnv is a node as its HA daemons see it: what it has in /etc/pve, its watchdog, its guests.
type haEnv struct {
	node *node
	lrm  *lrm // nil for the CRM
}

var _ crm.Env = (*haEnv)(nil)

func (e *haEnv) Node() string { return e.node.name }

// Now is model time, so that Speed does not change what happens.
func (e *haEnv) Now() int64 { return int64(time.Duration(e.node.c.now()) / time.Second) }

// Log goes to the node's journal, which nobody here can read.
func (e *haEnv) Log(crm.Level, string) {}

func (e *haEnv) Quorate() bool { return e.node.quorate }

func (e *haEnv) Members() []crm.Member {
	peers := e.node.peers()
	list := make([]crm.Member, len(peers))
	for k, n := range peers {
		list[k] = crm.Member{Node: n.name, Online: e.node.sees(n.name)}
	}
	return list
}

// Refresh succeeds as long as pmxcfs is mounted.
func (e *haEnv) Refresh() bool { return !e.node.stopped }

// writable fails as pmxcfs does without quorum.
func (e *haEnv) writable() error {
	if !e.node.quorate {
		return fmt.Errorf("no quorum")
	}
	return nil
}

func (e *haEnv) ReadManagerStatus() (crm.ManagerStatus, error) {
	if ms := e.node.fs.manager; ms != nil {
		return ms.ManagerStatus, nil
	}
	return crm.ManagerStatus{}, nil
}

func (e *haEnv) WriteManagerStatus(m crm.ManagerStatus) error {
	if err := e.writable(); err != nil {
		return err
	}
	e.node.fs.manager = &managerStatus{m, e.node.c.now()}
	return nil
}

func (e *haEnv) ReadLRMStatus(node string) (crm.LRMStatus, error) {
	return e.node.fs.lrm[node].LRMStatus, nil
}

// WriteLRMStatus keeps the status for the end of the round.
func (e *haEnv) WriteLRMStatus(s crm.LRMStatus) error {
	if err := e.writable(); err != nil {
		return err
	}
	e.lrm.written = &lrmStatus{LRMStatus: s}
	return nil
}

func (e *haEnv) Config() (crm.Config, error) { return e.node.fs.haConfig(), nil }

func (e *haEnv) Commands() ([]string, error) {
	if err := e.writable(); err != nil {
		return nil, err
	}
	list := e.node.fs.commands
	e.node.fs.commands = nil
	return list, nil
}

func (e *haEnv) HasCommands() bool { return len(e.node.fs.commands) > 0 }

func (e *haEnv) SetRequest(sid, state string) error {
	if err := e.writable(); err != nil {
		return err
	}
	if r := e.node.fs.resource(sid); r != nil {
		r.opts["state"] = state
		e.node.fs.resourcesChanged()
	}
	return nil
}

// Steal fails if the configuration is not where it is looked for. The manager's pass then
// dies of an exception. That happens in every pass from the moment on in which a node died
// after a guest of its had moved away but before the manager had seen it: the status file
// is never written again, and services sorted after that one are never looked at.
func (e *haEnv) Steal(sid, from, to string) error {
	if err := e.writable(); err != nil {
		return err
	}
	g := e.node.fs.guestBySID(sid)
	if g == nil || g.node != from {
		return fmt.Errorf("guest %s is not on node %s", sid, from)
	}
	g.node = to
	e.node.fs.resourcesChanged()
	return nil
}

// leftoverLocks are removed from a guest's configuration when it is recovered.
var leftoverLocks = []string{"backup", "mounted", "migrate", "clone", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended"}

func (e *haEnv) Unlock(sid string) string {
	g := e.node.fs.guestBySID(sid)
	if g == nil || !slices.Contains(leftoverLocks, g.conf["lock"]) {
		return ""
	}
	lock := g.conf["lock"]
	delete(g.conf, "lock")
	return lock
}

func (e *haEnv) ReplaceGroups(rules []crm.Rule, services []crm.Service) error {
	if err := e.writable(); err != nil {
		return err
	}
	e.node.fs.replaceGroups(rules, services)
	return nil
}

// LockManager and LockAgent for the node's own lock try for some seconds, so that they have
// an expired lock at once. The master's attempt for another node's is a single one.
func (e *haEnv) LockManager() bool { return e.node.tryLock(managerLock, true) }

func (e *haEnv) LockAgent(node string) bool {
	return e.node.tryLock(agentLock(node), node == e.node.name)
}

func (e *haEnv) ReleaseManager() { e.node.releaseLock(managerLock) }
func (e *haEnv) ReleaseAgent()   { e.node.releaseLock(agentLock(e.node.name)) }

func (e *haEnv) FeedWatchdog(daemon string)  { e.node.feed(daemon) }
func (e *haEnv) CloseWatchdog(daemon string) { e.node.closeWatchdog(daemon) }

func (e *haEnv) HoldsWatchdog(daemon string) bool {
	_, open := e.node.dogs[daemon]
	return open
}

func (e *haEnv) Usage() crm.Usage { return e.node.usage() }

func (e *haEnv) Version(node string) string {
	if _, known := e.node.fs.nodeStats[node]; known {
		if n := e.node.peer(node); n != nil {
			return n.version()
		}
	}
	return ""
}

func (e *haEnv) Run(j crm.Job) (crm.Result, bool) { return e.lrm.run(j) }
func (e *haEnv) Busy() int                        { return e.lrm.busy() }

func (e *haEnv) Running(sid string) bool {
	g := e.node.fs.guestBySID(sid)
	return g != nil && e.node.executing(g.id)
}
