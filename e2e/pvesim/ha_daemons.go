package pvesim

import (
	"time"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// The daemons of the HA manager on a node, pve-ha-crm and pve-ha-lrm, are those of pkg/crm,
// which is held to Proxmox's own regression suite. What is here is when their rounds are,
// and what their world is: ha_env.go is a node as they see it, ha_jobs.go what an LRM does
// to guests, ha_config.go the configuration they read.

const (
	// slaveRound is how long a CRM that is not master takes to try for the lock.
	slaveRound = 5 * time.Second
	// workerLoop is how long an LRM looks after its workers within a round, every workerPoll.
	workerLoop = 8 * time.Second
	workerPoll = time.Second
)

// startHA starts both daemons. The rounds of the nodes are staggered, as those of daemons
// that started at different moments are.
func (n *node) startHA(stagger time.Duration) {
	n.crm = crm.NewCRM(&haEnv{node: n})
	n.lrm = newLRM(n)
	n.after(stagger, n.crmRound)
	n.after(2*time.Second+stagger, n.lrm.round)
}

// crmRound is one round of the node's CRM, until it ends.
func (n *node) crmRound() {
	if n.crm == nil { // the node is going down
		return
	}
	sleep, exit := n.crm.Round()
	switch {
	case exit:
		n.crm = nil
		return
	case n.crm.State() == "slave":
		n.after(slaveRound, n.crmRound)
		return
	}
	n.after(time.Duration(sleep)*time.Second, n.crmRound)
}

// stopCRM ends the node's CRM: a master gives its lock away.
func (n *node) stopCRM() {
	if n.crm != nil {
		n.crm.Shutdown()
		n.crm.Round()
		n.crm = nil
	}
}

// lrm is pve-ha-lrm of a node.
type lrm struct {
	*crm.LRM
	n       *node
	begun   bool
	workers map[string]*worker // by SID
	written *lrmStatus         // in this round, not published yet
	exited  func()             // what happens when it has ended its work in a shutdown
}

func newLRM(n *node) *lrm {
	l := &lrm{n: n, workers: map[string]*worker{}}
	l.LRM = crm.NewLRM(&haEnv{node: n, lrm: l}, &l.begun)
	return l
}

// round is one round. With guests to see to it takes up to workerLoop, and the status is
// published at its end. That is why one slow migration delays the results of all others.
func (l *lrm) round() {
	began := l.n.c.now()
	sleep, exit := l.Round()
	if exit {
		l.publish()
		l.exited()
		return
	}
	l.attend(began, began.add(time.Duration(sleep)*time.Second))
}

func (l *lrm) attend(began, next instant) {
	now := l.n.c.now()
	if l.busy() > 0 && now.sub(began) < workerLoop && (l.State() == "active" || l.State() == "maintenance") {
		l.n.after(workerPoll, func() {
			l.Attend()
			l.attend(began, next)
		})
		return
	}
	l.publish()
	l.n.after(max(next.sub(now), 0), l.round)
}

// publish makes the status that was written last the one everybody reads.
func (l *lrm) publish() {
	if l.written != nil && l.n.quorate {
		l.written.at = l.n.c.now()
		l.n.fs.lrm[l.n.name] = *l.written
	}
	l.written = nil
}

// stop asks the LRM to end with the node: command is shutdown or reboot. What it does with
// its services depends on the datacenter's shutdown policy.
func (l *lrm) stop(command string, exited func()) {
	l.exited = exited
	l.Shutdown(command == "shutdown", command == "reboot")
	l.publish()
}
