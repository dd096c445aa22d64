package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// haUnits are the units that HA needs or that get into its way. Of those which are not
// installed systemd says so, and they are left out.
var haUnits = []string{
	"pve-ha-lrm", "pve-ha-crm", "watchdog-mux", "corosync", "corosync-qdevice", "pve-cluster", "pvestatd", "pvedaemon",
	"pveproxy", "pvescheduler", "chrony", "nut-monitor", "nut-server", "apcupsd", "sbd",
}

// showUnits is how systemd is asked about them, in one call.
var showUnits = append([]string{"show", "--property=Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts"}, haUnits...)

// systemctlMax is how long that may take: systemd answers one question after another, of
// everybody, and on a node with nothing left to give that is seconds. No round waits for it.
const systemctlMax = 5 * time.Second

// lookUnits asks systemd. The processes that matter are found without it, every round:
// systemd knows more, but asking it means a process here and work there.
func lookUnits(ctx context.Context, r *round) (facts, error) {
	out, code, err := toolWithin(ctx, systemctlMax, r.host, "systemctl", showUnits...)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("systemctl exited with %d", code)
	}
	units, err := parseUnits(string(out))
	if err != nil {
		return nil, err
	}
	return func(report *ha.Report) { report.Units = units }, nil
}

// parseUnits reads "systemctl show" of several units: KEY=value lines, a blank line between
// two units.
func parseUnits(text string) ([]ha.Unit, error) {
	var units []ha.Unit
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		var u ha.Unit
		loaded := ""
		for line := range strings.Lines(block) {
			key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			if !ok {
				return nil, fmt.Errorf("systemctl: not to be understood: %.80q", line)
			}
			switch key {
			case "Id":
				u.Name = strings.TrimSuffix(value, ".service")
			case "LoadState":
				loaded = value
			case "ActiveState":
				u.Active = value
			case "SubState":
				u.Sub = value
			case "UnitFileState":
				u.Enabled = value
			case "NRestarts":
				n, err := strconv.ParseUint(value, 10, 31)
				if err != nil {
					return nil, fmt.Errorf("systemctl: not to be understood: %.80q", line)
				}
				u.Restarts = int(n)
			}
		}
		if u.Name == "" || loaded == "" || u.Active == "" {
			return nil, errors.New("systemctl: its answer is incomplete")
		}
		if loaded != "not-found" {
			units = append(units, u)
		}
	}
	return units, nil
}
