package probe

import (
	"context"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookFencing reads what the cluster's files say of fencing, and SBD's disks.
func lookFencing(ctx context.Context, r *round) (facts, error) {
	var f ha.LocalFencing
	var missing faults
	if err := needPmxcfs(r.host); err != nil {
		missing = append(missing, err)
	} else {
		data, err := optional(r.host, "etc/pve/datacenter.cfg")
		missing.add("datacenter.cfg", bare(err))
		f.Mode = fencingMode(string(data))
		data, err = optional(r.host, "etc/pve/ha/fence.cfg")
		missing.add("fence.cfg", bare(err))
		f.Configured = strings.TrimSpace(string(data)) != ""
		f.Devices = fenceDevices(string(data))
	}
	missing.add("sbd", lookSBD(ctx, r, &f.SBD))
	return func(report *ha.Report) { report.Fencing = f }, missing.err()
}

// fencingMode reads "fencing: MODE" of datacenter.cfg.
func fencingMode(text string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "fencing" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fenceDevices reads the names of the devices in fence.cfg: lines "device AGENT NAME …", a
// name with its number after a colon where several act together.
func fenceDevices(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 3 && f[0] == "device" {
			names = append(names, f[2])
		}
	}
	return names
}
