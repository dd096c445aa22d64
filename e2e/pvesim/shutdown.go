package pvesim

import (
	"slices"
	"strings"
	"time"
)

// shutdown takes the node down in an orderly way: HA first, as the datacenter's shutdown
// policy says, then the guests HA does not manage, then the power; a reboot comes back.
func (n *node) shutdown(command string) {
	if n.stopping != "" {
		return
	}
	n.stopping = command
	n.c.truth.note(n, nil, strings.ToUpper(command))
	n.lrm.stop(command, n.fs.shutdownPolicy(), n.haDone)
}

func (f *pmxcfs) shutdownPolicy() string {
	_, policy, _ := strings.Cut(f.datacenter["ha"], "shutdown_policy=")
	policy, _, _ = strings.Cut(policy, ",")
	return policy
}

// stop asks the LRM to end. What it does with its services depends on the policy and on
// whether it is a reboot.
func (l *lrm) stop(command, policy string, exited func()) {
	l.stopping, l.exited = true, exited
	manual := l.mode == "maintenance"
	switch {
	case manual:
	case policy == "migrate":
		l.mode = "maintenance"
	case policy == "freeze", policy != "failover" && command == "reboot":
		l.mode = "restart"
	default:
		l.mode = "shutdown"
	}
	if policy != "migrate" {
		l.queueStops()
	}
	l.write()
}

func (l *lrm) queueStops() {
	ms := l.n.fs.manager
	if ms == nil {
		return
	}
	for _, sid := range ms.sids() {
		if ms.services[sid].node == l.n.name && ms.services[sid].state != "freeze" {
			l.stops = append(l.stops, &job{sid: sid, cmd: "request_stop"})
		}
	}
}

// haDone: the LRM has ended. The remaining guests are shut down, then the node goes.
func (n *node) haDone() {
	n.lrm.write()
	if n.crm.state == "master" {
		n.closeWatchdog("crm")
		n.releaseLock(managerLock)
		n.crm.state = "stopped"
	}
	left := 0
	for _, p := range n.processes() {
		g := n.procs[p.ID].g
		if p.Incoming || n.fs.managed(g) && !slices.Contains([]string{"shutdown", "restart"}, n.lrm.mode) {
			continue
		}
		left++
		n.shutdownGuest(g, system, func(string) {
			if left--; left == 0 {
				n.goDown()
			}
		})
	}
	if left == 0 {
		n.after(time.Second, n.goDown)
	}
}

func (n *node) goDown() {
	n.c.truth.note(n, nil, "DOWN")
	reboot := n.stopping == "reboot"
	n.power = false
	n.die("node went down")
	if reboot {
		n.powerOn()
	}
}
