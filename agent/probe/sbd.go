package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// isSBDDevice reports whether a path can be a disk of SBD's: below /dev, without detours.
func isSBDDevice(path string) bool {
	name, below := strings.CutPrefix(path, "/dev/")
	return below && deviceName.Matches(name) && !strings.Contains(path, "/.")
}

// lookSBD reads which disks SBD uses, and what is on each.
func lookSBD(ctx context.Context, r *round, s *ha.LocalSBD) error {
	conf, err := optional(r.host, "etc/default/sbd")
	if err != nil {
		return bare(err)
	}
	devices := parseSBDConf(string(conf))
	s.Configured = len(devices) > 0
	if !s.Configured {
		return nil
	}
	pid, err := r.pidOf(nameSBD)
	s.Running = pid != 0
	for _, path := range devices {
		// An agent that may see no devices must not say that there is none.
		if isSBDDevice(path) && hidden(r.host, path) {
			return fmt.Errorf("%s cannot be seen: it is missing, or hidden from this service", path)
		}
	}
	s.Devices = make([]ha.SBDDevice, len(devices))
	var all sync.WaitGroup
	for k, path := range devices {
		all.Go(func() { s.Devices[k] = askSBD(ctx, r.host, path) })
	}
	all.Wait()
	return err
}

// hidden reports whether there is nothing at a path. Opening a device is not a way to ask:
// what is there but is no link says that it is none.
func hidden(h Host, path string) bool {
	_, err := h.ReadLink(strings.TrimPrefix(path, "/"))
	return errors.Is(err, fs.ErrNotExist)
}

// parseSBDConf reads SBD_DEVICE: paths with semicolons between them.
func parseSBDConf(text string) []string {
	var devices []string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || key != "SBD_DEVICE" {
			continue
		}
		devices = nil // the last one counts
		for path := range strings.SplitSeq(strings.Trim(strings.TrimSpace(value), `"'`), ";") {
			if path = strings.TrimSpace(path); path != "" {
				devices = append(devices, path)
			}
		}
	}
	return devices
}

// askSBD asks sbd what is on a disk. A disk that cannot be read is a fact, not a failure of
// the probe: so it would be for SBD.
func askSBD(ctx context.Context, h Host, path string) ha.SBDDevice {
	d := ha.SBDDevice{Path: path}
	if !isSBDDevice(path) {
		d.Error = "not the path of a device"
		return d
	}
	header, err := askSBDTool(ctx, h, path, "dump")
	if err == nil {
		err = parseSBDDump(header, &d)
	}
	if err == nil {
		var slots string
		if slots, err = askSBDTool(ctx, h, path, "list"); err == nil {
			d.Slots, err = parseSBDList(slots)
		}
	}
	if err != nil {
		return ha.SBDDevice{Path: path, Error: err.Error()}
	}
	return d
}

func askSBDTool(ctx context.Context, h Host, path, question string) (string, error) {
	out, code, err := tool(ctx, h, "sbd", "-d", path, question)
	if err == nil && code != 0 {
		err = fmt.Errorf("sbd %s exited with %d", question, code)
	}
	return string(out), err
}

// parseSBDDump reads the timeouts, in seconds, of "sbd dump".
func parseSBDDump(text string, d *ha.SBDDevice) error {
	var watchdog, msgwait bool
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		var field *time.Duration
		switch strings.Join(strings.Fields(key), " ") {
		case "Timeout (watchdog)":
			field, watchdog = &d.TimeoutWatchdog, true
		case "Timeout (msgwait)":
			field, msgwait = &d.TimeoutMsgwait, true
		default:
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil {
			return fmt.Errorf("sbd dump: not a timeout: %.80q", line)
		}
		*field = time.Duration(n) * time.Second
	}
	if !watchdog || !msgwait {
		return fmt.Errorf("sbd dump: its answer is incomplete")
	}
	return nil
}

// parseSBDList reads the slots of "sbd list": number, node, message and, where somebody sent
// it, from whom.
func parseSBDList(text string) ([]ha.SBDSlot, error) {
	var slots []ha.SBDSlot
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if _, err := strconv.ParseUint(f[0], 10, 16); err != nil || len(f) < 3 {
			return nil, fmt.Errorf("sbd list: not a slot: %.80q", line)
		}
		slot := ha.SBDSlot{Node: ha.NodeName(f[1]), Message: f[2]}
		if len(f) > 3 {
			slot.From = f[3]
		}
		slots = append(slots, slot)
	}
	return slots, nil
}
