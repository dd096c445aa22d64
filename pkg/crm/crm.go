package crm

import (
	"fmt"
	"slices"
)

// States of a CRM.
const (
	crmWait   = "wait_for_quorum"
	crmMaster = "master"
	crmLost   = "lost_manager_lock"
	crmSlave  = "slave"
)

// CRM is the cluster resource manager of one node: every node runs one, one of them is
// master.
type CRM struct {
	env      Env
	state    string
	manager  *manager
	idle     int
	shutdown bool
	disarmed bool // it is master of a disarmed stack and has no watchdog open
}

// NewCRM starts a CRM.
func NewCRM(env Env) *CRM {
	c := &CRM{env: env, state: "startup"}
	c.become(crmWait)
	return c
}

// State is wait_for_quorum, master, lost_manager_lock or slave.
func (c *CRM) State() string { return c.state }

// Shutdown asks the CRM to leave at its next round.
func (c *CRM) Shutdown() {
	c.env.Log(Info, "server received shutdown request")
	c.shutdown = true
}

func (c *CRM) become(state string) {
	if state != c.state {
		c.env.Log(Info, fmt.Sprintf("status change %s => %s", c.state, state))
		c.state = state
	}
}

// Round is one iteration: it refreshes the cluster state, decides a transition and does
// the work of the state. It returns how long to sleep, in seconds, and whether the daemon
// has left.
func (c *CRM) Round() (sleep int, exit bool) {
	fresh := c.env.Refresh()
	c.transit(fresh)
	if c.shutdown {
		if c.state == crmMaster {
			c.env.Log(Info, "voluntary release CRM lock")
			c.env.CloseWatchdog("crm")
			c.env.ReleaseManager()
		}
		return 0, true
	}
	switch c.state {
	case crmWait:
		return WaitRound, false
	case crmMaster:
		c.lead(fresh)
		return MasterRound, false
	case crmLost:
		c.env.CloseWatchdog("crm")
		c.become(crmWait)
		return WaitRound, false
	}
	return 1, false
}

func (c *CRM) transit(fresh bool) {
	switch c.state {
	case crmWait:
		if c.mayBeActive(fresh, false) {
			if c.takeLock() {
				c.lead0()
			} else {
				c.become(crmSlave)
			}
		}
	case crmSlave:
		if !c.mayBeActive(fresh, false) {
			c.become(crmWait)
		} else if c.takeLock() {
			c.lead0()
		}
	case crmLost:
		if c.mayBeActive(fresh, true) && c.takeLock() {
			c.lead0()
		}
	case crmMaster:
		if !c.takeLock() {
			c.become(crmLost)
			return
		}
		c.countIdle(fresh)
	}
}

// lead0 becomes master.
func (c *CRM) lead0() {
	c.become(crmMaster)
	c.manager, c.idle = nil, 0
}

// takeLock takes or refreshes the manager lock and feeds the watchdog.
func (c *CRM) takeLock() bool {
	if !c.env.LockManager() {
		return false
	}
	if c.state == crmMaster && c.disarmed {
		return true
	}
	if c.state != crmMaster && c.stackDisarmed() {
		c.env.Log(Info, "taking over as disarmed master, skipping watchdog")
		c.disarmed = true
		return true
	}
	c.disarmed = false
	c.env.FeedWatchdog("crm")
	return true
}

func (c *CRM) stackDisarmed() bool {
	s, err := c.env.ReadManagerStatus()
	return err == nil && s.Disarm != nil && s.Disarm.State == "disarmed"
}

// mayBeActive tells whether this CRM may take part: with quorum, a readable state, no
// fence pending against its own node, and something to manage.
func (c *CRM) mayBeActive(fresh, emptyAllowed bool) bool {
	if !c.env.Quorate() || !fresh {
		return false
	}
	s, ok := c.read()
	if !ok {
		return false
	}
	if fencing(s, c.env.Node()) {
		return false
	}
	cfg, err := c.env.Config()
	if err != nil {
		return false
	}
	if len(cfg.Services) > 0 || emptyAllowed {
		return true
	}
	return c.emptyButBusy(s)
}

// fencing tells whether a service of node waits for it to be fenced.
func fencing(s ManagerStatus, node string) bool {
	return slices.ContainsFunc(s.on(node), func(sid string) bool {
		return s.Services[sid].State == Fence && s.Services[sid].Node == node
	})
}

// emptyButBusy tells whether, without any resource, there is still something to clean up
// and nobody healthy to do it.
func (c *CRM) emptyButBusy(s ManagerStatus) bool {
	if s.Master != "" && s.Master != c.env.Node() && s.Nodes[s.Master] == NodeOnline {
		return false
	}
	if c.env.HasCommands() || len(s.Services) > 0 || s.Disarm != nil {
		return true
	}
	for n, st := range s.Nodes {
		if st == NodeMaintenance && !s.Requests[n] {
			return true
		}
	}
	return false
}

func (c *CRM) read() (ManagerStatus, bool) {
	s, err := c.env.ReadManagerStatus()
	if err != nil {
		c.env.Log(Err, "could not read manager status: "+err.Error())
		return ManagerStatus{}, false
	}
	return s, true
}

// countIdle gives up the lock after many rounds with nothing to manage.
func (c *CRM) countIdle(fresh bool) {
	if !c.idleAllowed(fresh) {
		c.idle = 0
		return
	}
	if c.idle++; c.idle <= crmIdleRounds {
		return
	}
	c.env.Log(Info, fmt.Sprintf("cluster had no service configured for %d rounds, going idle.", crmIdleRounds))
	c.env.ReleaseManager()
	c.env.CloseWatchdog("crm")
	c.become(crmWait)
}

func (c *CRM) idleAllowed(fresh bool) bool {
	if !c.env.Quorate() || !fresh {
		return false
	}
	s, ok := c.read()
	if !ok {
		return false
	}
	if fencing(s, c.env.Node()) {
		return false
	}
	cfg, err := c.env.Config()
	return err == nil && len(cfg.Services) == 0 && len(s.Services) == 0 && s.Disarm == nil
}

// lead is the master's work.
func (c *CRM) lead(fresh bool) {
	if !fresh {
		c.env.Log(Notice, "temporary inconsistent cluster state (cfs restart?), skip round")
		return
	}
	if c.manager == nil {
		m, err := newManager(c.env)
		if err != nil {
			c.env.Log(Err, "got unexpected error - "+err.Error())
			return
		}
		c.manager = m
	}
	if err := c.manager.pass(); err != nil {
		c.env.Log(Err, "got unexpected error - "+err.Error())
		return
	}
	d := c.manager.status.Disarm
	switch {
	case d != nil && d.State == "disarmed" && !c.disarmed:
		c.env.Log(Info, "HA stack fully disarmed, releasing CRM watchdog")
		c.env.CloseWatchdog("crm")
		c.disarmed = true
	case d == nil && c.disarmed:
		c.env.Log(Info, "re-arming HA stack")
		c.disarmed = false // the watchdog is opened again at the next refresh of the lock
	}
}
