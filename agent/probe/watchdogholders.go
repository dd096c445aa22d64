package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// watchdogHolders finds who else holds a watchdog. Opening every process's list of files is
// the dearest question of all, so it is asked only where the cheap facts do not add up: a
// device is active that watchdog-mux does not hold, or watchdog-mux runs and holds none.
func watchdogHolders(r *round, w ha.Watchdog) ([]ha.WatchdogHolder, error) {
	if !unaccounted(w) {
		return nil, nil
	}
	entries, err := fs.ReadDir(r.host, "proc")
	if err != nil {
		return nil, bare(err)
	}
	var holders []ha.WatchdogHolder
	refused := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 0 {
			continue
		}
		held, err := heldWatchdogs(r.host, pid)
		if errors.Is(err, fs.ErrPermission) {
			refused++
		}
		if len(held) == 0 {
			continue
		}
		comm, err := read(r.host, procFile(pid, "comm"))
		name := string(bytes.TrimSuffix(comm, []byte("\n")))
		if err != nil || name == nameMux {
			continue
		}
		for _, device := range held {
			holders = append(holders, ha.WatchdogHolder{Device: device, PID: pid, Process: name})
		}
	}
	if refused > 0 {
		return holders, fmt.Errorf("the open files of %d processes may not be read", refused)
	}
	return holders, nil
}

// unaccounted reports whether somebody other than watchdog-mux must hold a watchdog.
// /dev/watchdog is the first device under an older name.
func unaccounted(w ha.Watchdog) bool {
	held := path.Base(w.MuxDevice)
	if held == "watchdog" {
		held = "watchdog0"
	}
	for _, d := range w.Devices {
		if d.State == "active" && d.Name != held {
			return true
		}
	}
	return w.MuxRunning && w.MuxDevice == ""
}

// heldWatchdogs are the watchdog devices that a process holds open.
func heldWatchdogs(h Host, pid int) ([]string, error) {
	entries, err := fs.ReadDir(h, procFile(pid, "fd"))
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, entry := range entries {
		target, err := h.ReadLink(procFile(pid, "fd/"+entry.Name()))
		if err == nil && strings.HasPrefix(target, "/dev/watchdog") {
			devices = append(devices, target)
		}
	}
	return devices, nil
}
