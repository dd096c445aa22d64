package probe

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Names of the daemons that keep a clock right, as the kernel cuts them.
var clockDaemons = []string{"chronyd", "systemd-timesyn", "ntpd", "openntpd", "ptp4l", "phc2sys"}

// Clock asks the kernel with adjtimex, changing nothing.
func (h *localHost) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	var t unix.Timex // Modes 0: only look
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return 0, 0, 0, false, fmt.Errorf("adjtimex: %w", err)
	}
	unit := time.Microsecond
	if t.Status&unix.STA_NANO != 0 {
		unit = time.Nanosecond
	}
	synchronized = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	return time.Duration(t.Offset) * unit, time.Duration(t.Maxerror) * time.Microsecond,
		time.Duration(t.Esterror) * time.Microsecond, synchronized, nil
}

// lookClock asks the kernel, and chrony where it runs, which is what Proxmox installs.
func lookClock(ctx context.Context, r *round) (facts, error) {
	var c ha.Clock
	var missing faults
	var err error
	c.Offset, c.ErrorMax, c.ErrorEstimated, c.Synchronized, err = r.host.Clock()
	missing.add("clock", err)
	list, err := r.processes()
	missing.add("daemons", err)
	for _, p := range list {
		if !slices.Contains(clockDaemons, p.name) {
			continue
		}
		if _, alive, err := lifeOf(r.host, p.pid); err != nil {
			missing.add(p.name, err)
		} else if alive {
			c.Daemon = p.name
			break
		}
	}
	if c.Daemon == "chronyd" {
		missing.add("chronyc", askChrony(ctx, r.host, &c))
	}
	return func(report *ha.Report) { report.Clock = c }, missing.err()
}

// askChrony fills in what chrony goes by. Without chronyc nobody can tell, and the kernel's
// word must do.
func askChrony(ctx context.Context, h Host, c *ha.Clock) error {
	out, code, err := tool(ctx, h, "chronyc", "-n", "-c", "tracking")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("exited with %d", code)
	}
	return parseChronyTracking(string(out), c)
}

// parseChronyTracking reads "chronyc -c tracking": reference id, its address, stratum, time,
// and the rest, which the kernel knows as well. Without a source the stratum is 0 and the
// address empty; with the local clock for one it is 127.127.1.1.
func parseChronyTracking(text string, c *ha.Clock) error {
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord = -1
	fields, err := reader.Read()
	if err != nil || len(fields) < 14 {
		return fmt.Errorf("not what chronyc prints: %.60q", text)
	}
	stratum, err := strconv.ParseUint(fields[2], 10, 8)
	if err != nil {
		return fmt.Errorf("not a stratum: %.20q", fields[2])
	}
	c.Source, c.Stratum = fields[1], int(stratum)
	return nil
}
