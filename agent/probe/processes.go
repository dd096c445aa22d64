package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// process is a process that matters to HA.
type process struct {
	pid  int
	name string // the kernel's name for it, at most 15 characters
}

// Names of processes, as /proc/PID/comm has them.
const (
	nameMux = "watchdog-mux"
	nameLRM = "pve-ha-lrm"
	nameCRM = "pve-ha-crm"
	nameKVM = "kvm"
	nameLXC = "lxc-start"
	nameSBD = "sbd"
)

// relevant reports whether a process of that name can be one of those we look for. QEMU
// is run as kvm by Proxmox and as qemu-system-ARCH by whoever calls it directly; LXC's
// monitor is lxc-start, or gives itself a title.
func relevant(name string) bool {
	switch name {
	case nameMux, nameLRM, nameCRM, nameSBD:
		return true
	}
	return isQEMU(name) || isLXC(name) || slices.Contains(clockDaemons, name)
}

func isQEMU(name string) bool { return name == nameKVM || strings.HasPrefix(name, "qemu-system") }
func isLXC(name string) bool  { return name == nameLXC || strings.HasPrefix(name, "[lxc monitor") }

// scanProcesses walks /proc and returns the relevant processes by PID. It reads only
// comm, which never blocks; cmdline may, while the process waits for a dead NFS server.
func scanProcesses(h Host, threads *kernelThreads, stat func() ([]byte, error)) ([]process, error) {
	entries, err := fs.ReadDir(h, "proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	threads.begin(h, stat)
	defer threads.end()
	var list []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 0 || threads.have(pid) {
			continue
		}
		comm, err := threads.nameOf(h, pid)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		if name := string(bytes.TrimSuffix(comm, []byte("\n"))); relevant(name) {
			list = append(list, process{pid, name})
		} else {
			threads.ask(h, pid)
		}
	}
	return list, nil
}

// gone reports whether err says that a process or file vanished between being listed
// and being read.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// lifeOf returns when a process began, in clock ticks after boot. alive is false if it
// has ended, if only its exit status is left, or if it runs inside a container: a guest
// may call its processes what it likes, and its /proc entries are visible here too.
func lifeOf(h Host, pid int) (ticks int64, alive bool, err error) {
	stat, err := read(h, procFile(pid, "stat"))
	if gone(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	state, ticks, err := parseProcessStat(stat)
	if err != nil || state == 'Z' || state == 'X' {
		return 0, false, err
	}
	status, err := read(h, procFile(pid, "status"))
	if err != nil && !gone(err) {
		return 0, false, err
	}
	return ticks, !inPIDNamespace(status), nil
}

func procFile(pid int, name string) string { return "proc/" + strconv.Itoa(pid) + "/" + name }

// parseProcessStat reads the state and the start time of /proc/PID/stat. The name in
// parentheses may itself hold spaces and parentheses, so fields count from its end.
func parseProcessStat(stat []byte) (state byte, ticks int64, err error) {
	const startField = 19 // field 22 of proc(5), counted from field 3
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) <= startField || len(fields[0]) != 1 {
		return 0, 0, fmt.Errorf("not the stat of a process: %.60q", stat)
	}
	ticks, err = strconv.ParseInt(fields[startField], 10, 64)
	if err != nil || ticks < 0 {
		return 0, 0, fmt.Errorf("start time of a process: %.60q", fields[startField])
	}
	return fields[0][0], ticks, nil
}

// inPIDNamespace reports whether /proc/PID/status lists more than one process id: the
// one here and the one inside a container's own namespace.
func inPIDNamespace(status []byte) bool {
	for line := range bytes.Lines(status) {
		if ids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			return len(bytes.Fields(ids)) > 1
		}
	}
	return false
}

// pidOf returns the PID of the first daemon of that name, 0 if there is none.
func (r *round) pidOf(name string) (int, error) {
	list, err := r.processes()
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		if p.name != name {
			continue
		}
		_, alive, err := lifeOf(r.host, p.pid)
		if err != nil {
			return 0, err
		}
		if alive {
			return p.pid, nil
		}
	}
	return 0, nil
}
