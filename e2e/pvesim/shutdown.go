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
	n.lrm.stop(command, n.haDone)
}

// haDone: the LRM has ended. The remaining guests are shut down, then the node goes.
func (n *node) haDone() {
	n.stopCRM()
	left := 0
	for _, p := range n.processes() {
		g := n.procs[p.ID].g
		if p.Incoming || n.fs.managed(g) && !slices.Contains([]string{"shutdown", "restart"}, n.lrm.Mode()) {
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
