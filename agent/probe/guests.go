package probe

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookGuests lists the guests whose processes run here, whatever any configuration or API
// says of them.
func lookGuests(_ context.Context, r *round) (facts, error) {
	processes, err := r.processes()
	if err != nil {
		return nil, err
	}
	stat, err := r.stat()
	if err != nil {
		return nil, err
	}
	_, boot, err := parseStat(string(stat))
	if err != nil {
		return nil, err
	}
	guests, err := r.commands.guests(r.host, processes)
	if err != nil {
		return nil, err
	}
	list := make([]ha.LocalGuest, len(guests))
	var missing faults
	for k, g := range guests {
		list[k] = ha.LocalGuest{SID: g.sid, PID: g.pid, Started: boot.Add(time.Duration(g.ticks) * tick).Truncate(time.Second), Incoming: g.incoming}
		if g.incoming {
			here, err := configLiesHere(r.host, r.node, g.sid)
			missing.add("whether the migration of "+g.sid.String()+" has ended", err)
			list[k].Incoming = !here
		}
	}
	return func(report *ha.Report) { report.Running = list }, missing.err()
}

// tick is the unit of times in /proc/PID/stat: Linux shows 100 a second on every platform
// Proxmox runs on.
const tick = 10 * time.Millisecond

// configLiesHere reports whether a guest's configuration lies on this node. A kvm process
// keeps -incoming in its command line for ever; Proxmox moves the configuration when the
// state has arrived, and only then lets the guest run.
func configLiesHere(h Host, node ha.NodeName, sid ha.SID) (bool, error) {
	if err := needPmxcfs(h); err != nil {
		return false, err
	}
	here, err := exists(h, configFolder(node, sid.Kind)+"/"+strconv.Itoa(sid.ID)+".conf")
	return here, bare(err)
}

// guestProcess is a process that can be a guest.
type guestProcess struct {
	sid      ha.SID // zero if it is none
	incoming bool   // started to wait for a migration
	pid      int
	ticks    int64
}

// commandLineCache remembers, by PID and start time, which guest a process is. Neither
// changes while it lives, and reading a command line can block while the process itself
// waits for a dead NFS server: known guests stay known then.
type commandLineCache struct {
	known map[int]guestProcess
}

// guests returns the guests among processes, by SID. Of two processes of one guest, as
// there are while QEMU detaches itself, the older one counts.
func (c *commandLineCache) guests(h Host, processes []process) ([]guestProcess, error) {
	known := map[int]guestProcess{}
	var list []guestProcess
	for _, p := range processes {
		if !isQEMU(p.name) && !isLXC(p.name) {
			continue
		}
		ticks, alive, err := lifeOf(h, p.pid)
		if err != nil {
			return nil, err
		}
		if !alive {
			continue
		}
		g, ok := c.known[p.pid]
		if !ok || g.ticks != ticks {
			g, err = readGuest(h, p, ticks)
			if gone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		known[p.pid] = g
		if !g.sid.IsZero() {
			list = append(list, g)
		}
	}
	c.known = known
	slices.SortStableFunc(list, func(a, b guestProcess) int {
		return cmp.Or(a.sid.Compare(b.sid), cmp.Compare(a.ticks, b.ticks))
	})
	return slices.CompactFunc(list, func(a, b guestProcess) bool { return a.sid == b.sid }), nil
}

// readGuest reads which guest a process is.
func readGuest(h Host, p process, ticks int64) (guestProcess, error) {
	line, err := read(h, procFile(p.pid, "cmdline"))
	if err != nil {
		return guestProcess{}, err
	}
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	g := guestProcess{pid: p.pid, ticks: ticks}
	if isQEMU(p.name) {
		g.sid, g.incoming = parseKVM(args)
	} else {
		g.sid = parseLXC(args)
	}
	return g, nil
}

// parseKVM reads the command line of a kvm process: -id N is the guest, -incoming makes
// it wait for a migration. A QEMU without -id is somebody's own and no guest.
func parseKVM(args []string) (sid ha.SID, incoming bool) {
	for k, arg := range args {
		switch arg {
		case "-id":
			if k+1 < len(args) {
				sid = guestID(ha.VM, args[k+1])
			}
		case "-incoming":
			incoming = true
		}
	}
	return sid, incoming
}

// parseLXC reads the command line of a container's monitor: either lxc-start with -n N,
// or the title it gives itself when detached, "[lxc monitor] /var/lib/lxc N".
func parseLXC(args []string) ha.SID {
	if title, ok := strings.CutPrefix(args[0], "[lxc monitor] "); ok {
		return guestID(ha.CT, title[strings.LastIndexByte(title, ' ')+1:])
	}
	for k, arg := range args {
		if name, ok := strings.CutPrefix(arg, "--name="); ok {
			return guestID(ha.CT, name)
		}
		if (arg == "-n" || arg == "--name") && k+1 < len(args) {
			return guestID(ha.CT, args[k+1])
		}
	}
	return ha.SID{}
}

// guestID reads a guest's number; what is none gives the zero SID.
func guestID(kind ha.GuestKind, s string) ha.SID {
	id, err := strconv.Atoi(s)
	if err != nil || id <= 0 {
		return ha.SID{}
	}
	return ha.SID{Kind: kind, ID: id}
}

// configFolder is where the configurations of a node's guests lie.
func configFolder(node ha.NodeName, kind ha.GuestKind) string {
	if kind == ha.CT {
		return "etc/pve/nodes/" + string(node) + "/lxc"
	}
	return "etc/pve/nodes/" + string(node) + "/qemu-server"
}

// configIDs lists the guests whose configuration lies on a node.
func configIDs(h Host, node ha.NodeName, kind ha.GuestKind) ([]int, error) {
	entries, err := fs.ReadDir(h, configFolder(node, kind))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, bare(err)
	}
	var ids []int
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".conf")
		if sid := guestID(kind, name); ok && !sid.IsZero() {
			ids = append(ids, sid.ID)
		}
	}
	return ids, nil
}
