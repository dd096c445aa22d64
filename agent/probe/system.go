package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// lookSystem reads memory, processors, uptime, load, boot and versions.
func lookSystem(_ context.Context, r *round) (facts, error) {
	var s ha.System
	var missing faults
	from := func(name string, parse func(string) error) {
		data, err := read(r.host, name)
		if err == nil {
			err = parse(string(data))
		}
		missing.add(name, bare(err))
	}
	from("proc/sys/kernel/random/boot_id", func(data string) error { return parseLine(data, &s.BootID) })
	from("proc/sys/kernel/osrelease", func(data string) error { return parseLine(data, &s.Kernel) })
	from("proc/uptime", func(data string) error { return parseUptime(data, &s) })
	from("proc/loadavg", func(data string) error { return parseLoad(data, &s) })
	from("proc/meminfo", func(data string) error { return parseMeminfo(data, &s) })
	stat, err := r.stat()
	if err == nil {
		s.CPUs, _, err = parseStat(string(stat))
	}
	missing.add("proc/stat", bare(err))
	s.PVEVersion, s.PVEHAVersion, err = r.packages.versions(r.host)
	missing.add(packageDatabase, bare(err))
	return func(report *ha.Report) {
		s.PmxcfsMounted, s.PmxcfsWritable = report.System.PmxcfsMounted, report.System.PmxcfsWritable
		report.System = s
	}, missing.err()
}

// bare strips the operation and path off a file error, for whoever names them better.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// parseLine reads a file of one line, which must not be empty.
func parseLine(data string, field *string) error {
	*field = strings.TrimSpace(data)
	if *field == "" {
		return errors.New("it is empty")
	}
	return nil
}

// parseUptime reads the first figure of /proc/uptime: seconds since boot.
func parseUptime(data string, s *ha.System) error {
	first, _, _ := strings.Cut(data, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e9) {
		return fmt.Errorf("not an uptime: %.60q", data)
	}
	s.Uptime = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	return nil
}

// parseLoad reads the first figure of /proc/loadavg.
func parseLoad(data string, s *ha.System) error {
	first, _, _ := strings.Cut(data, " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil || !(load >= 0 && load < 1e9) {
		return fmt.Errorf("not a load: %.60q", data)
	}
	s.Load1 = load
	return nil
}

// parseMeminfo reads MemTotal and MemAvailable of /proc/meminfo, which are in KiB.
func parseMeminfo(data string, s *ha.System) error {
	const kib = 1024
	for line := range strings.Lines(data) {
		key, value, _ := strings.Cut(line, ":")
		var field *int64
		switch key {
		case "MemTotal":
			field = &s.MemoryTotal
		case "MemAvailable":
			field = &s.MemoryAvailable
		default:
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil || n < 0 || n > 1<<50/kib {
			return fmt.Errorf("not a size of memory: %.60q", line)
		}
		*field = n * kib
	}
	if s.MemoryTotal == 0 || s.MemoryAvailable == 0 {
		return errors.New("no MemTotal or no MemAvailable")
	}
	return nil
}

// parseStat reads the number of processors that are online, and when the machine was
// booted, from /proc/stat.
func parseStat(data string) (cpus int, boot time.Time, err error) {
	for line := range strings.Lines(data) {
		if cpu, ok := strings.CutPrefix(line, "cpu"); ok && cpu != "" && cpu[0] >= '0' && cpu[0] <= '9' {
			cpus++
		}
		if at, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(at), 10, 64)
			if err != nil || seconds <= 0 || seconds > 1<<40 {
				return 0, time.Time{}, fmt.Errorf("not a boot time: %.60q", line)
			}
			boot = time.Unix(seconds, 0).UTC()
		}
	}
	if cpus == 0 || boot.IsZero() {
		return 0, time.Time{}, errors.New("no processor or no boot time")
	}
	return cpus, boot, nil
}
