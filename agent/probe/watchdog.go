package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookWatchdog reads what would reset this node and who feeds it. It never connects to
// /run/watchdog-mux.sock: each connection counts as an HA client, and one that ends
// without the closing byte makes watchdog-mux reset the node.
func lookWatchdog(_ context.Context, r *round) (facts, error) {
	var w ha.Watchdog
	var missing faults
	var err error
	w.Devices, err = watchdogDevices(r.host)
	missing.add("sys/class/watchdog", err)
	w.MuxRunning, w.MuxDevice, err = muxProcess(r)
	missing.add(nameMux, err)
	w.MuxActive, err = exists(r.host, "run/watchdog-mux.active")
	missing.add("run/watchdog-mux.active", bare(err))
	w.Module, err = watchdogModule(r.host)
	missing.add("etc/default/pve-ha-manager", bare(err))
	w.SoftNoboot, err = softNoboot(r.host)
	missing.add("soft_noboot of softdog", bare(err))
	w.Loaded, err = loadedWatchdogs(r.host)
	missing.add("proc/modules", bare(err))
	w.Holders, err = watchdogHolders(r, w)
	missing.add("holders of watchdogs", err)
	r.settings.read(r.host, &w, &missing)
	return func(report *ha.Report) { report.Watchdog = w }, missing.err()
}

// watchdogDevices reads the devices the kernel has registered. IPMI's is not among them:
// it registers itself elsewhere, and only its module shows (see watchdogModules).
func watchdogDevices(h Host) ([]ha.WatchdogDevice, error) {
	entries, err := fs.ReadDir(h, "sys/class/watchdog")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no driver was ever loaded
	}
	if err != nil {
		return nil, bare(err)
	}
	var list []ha.WatchdogDevice
	var missing faults
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "watchdog") {
			continue
		}
		device, err := watchdogDevice(h, entry.Name())
		missing.add(entry.Name(), err)
		list = append(list, device)
	}
	return list, missing.err()
}

func watchdogDevice(h Host, name string) (ha.WatchdogDevice, error) {
	d := ha.WatchdogDevice{Name: name}
	var missing faults
	attribute := func(name string, parse func(string) error) {
		data, err := read(h, "sys/class/watchdog/"+d.Name+"/"+name)
		if err == nil {
			err = parse(strings.TrimSpace(string(data)))
		}
		missing.add(name, bare(err))
	}
	attribute("identity", func(s string) error { d.Identity = s; return nil })
	attribute("state", func(s string) error { d.State = s; return nil })
	attribute("timeout", func(s string) (err error) { d.Timeout, err = seconds(s); return err })
	attribute("nowayout", func(s string) (err error) { d.Nowayout, err = strconv.ParseBool(s); return err })
	attribute("bootstatus", func(s string) (err error) { d.BootStatus, err = strconv.Atoi(s); return err })
	// Devices that cannot warn before they act have no pretimeout.
	if data, err := read(h, "sys/class/watchdog/"+d.Name+"/pretimeout"); err == nil {
		if before, err := seconds(strings.TrimSpace(string(data))); err == nil {
			d.Pretimeout = before
		}
	}
	d.Driver = watchdogDriver(h, d)
	// Most drivers, softdog among them, cannot tell what is left: the file then is
	// missing or refuses to be read.
	if data, err := read(h, "sys/class/watchdog/"+d.Name+"/timeleft"); err == nil {
		if left, err := seconds(strings.TrimSpace(string(data))); err == nil {
			d.TimeLeft = left
		}
	}
	return d, missing.err()
}

func seconds(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return time.Duration(n) * time.Second, err
}

// muxProcess finds watchdog-mux and the watchdog device it holds open.
func muxProcess(r *round) (running bool, device string, err error) {
	pid, err := r.pidOf(nameMux)
	if pid == 0 || err != nil {
		return false, "", err
	}
	held, err := heldWatchdogs(r.host, pid)
	if gone(err) {
		return false, "", nil
	}
	if err != nil {
		return true, "", fmt.Errorf("open files: %w", bare(err))
	}
	if len(held) > 0 {
		device = held[0]
	}
	return true, device, nil
}

// exists reports whether a file or folder is there.
func exists(h Host, name string) (bool, error) {
	f, err := h.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// optional reads a file that need not be there; it is empty then.
func optional(h Host, name string) ([]byte, error) {
	data, err := read(h, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// watchdogModule returns WATCHDOG_MODULE of the environment file that watchdog-mux is
// started with. The file is written for a shell: KEY=value, # for comments, quotes.
func watchdogModule(h Host) (string, error) {
	data, err := optional(h, "etc/default/pve-ha-manager")
	module := ""
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if strings.TrimSpace(strings.TrimPrefix(key, "export ")) == "WATCHDOG_MODULE" {
			module = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return module, err
}
