package probe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// parseMountinfo returns the NFS mounts in /proc/self/mountinfo that can be reached: of
// several mounts on one path only the last is visible, and it may be something else.
func parseMountinfo(data string) ([]ha.Mount, error) {
	var list []ha.Mount
	for line := range strings.Lines(data) {
		mount, isNFS, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(m ha.Mount) bool { return m.Path == mount.Path })
		if isNFS {
			list = append(list, mount)
		}
	}
	return list, nil
}

// parseMount reads one line: six fixed fields, any number of tags, a dash, then type,
// source and the options of the file system (proc_pid_mountinfo(5)).
func parseMount(line string) (m ha.Mount, isNFS bool, err error) {
	left, right, ok := strings.Cut(line, " - ")
	place, system := strings.Fields(left), strings.Fields(right)
	if !ok || len(place) < 6 || len(system) < 2 {
		return m, false, fmt.Errorf("not a mount: %.120q", line)
	}
	m.Path = unescapeMount(place[4])
	m.Type, m.Source, m.Device = system[0], unescapeMount(system[1]), place[2]
	if m.Type != "nfs" && m.Type != "nfs4" {
		return m, false, nil
	}
	m.ReadOnly = slices.Contains(strings.Split(place[5], ","), "ro")
	if len(system) < 3 {
		return m, true, nil
	}
	m.Options = system[2]
	for option := range strings.SplitSeq(m.Options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "ro":
			m.ReadOnly = true
		case "hard":
			m.Hard = true
		case "vers":
			m.Version = value
		case "addr":
			m.Server = value
		}
	}
	return m, true, nil
}

// filesystemIDs reads, by device, what the kernel knows of the file systems that NFS servers
// export: the id is the server's own, and thus the same on whoever mounts it. Kernels have
// the file as long as the NFS client is loaded.
func filesystemIDs(h Host, wanted bool) (map[string]string, error) {
	if !wanted {
		return nil, nil
	}
	data, err := optional(h, "proc/fs/nfsfs/volumes")
	if err != nil {
		return nil, bare(err)
	}
	return parseVolumes(string(data)), nil
}

// parseVolumes reads /proc/fs/nfsfs/volumes: under the heading "NV SERVER PORT DEV FSID FSC"
// the version, the server's address and port in hexadecimal, the device, the id.
func parseVolumes(data string) map[string]string {
	ids := map[string]string{}
	for line := range strings.Lines(data) {
		f := strings.Fields(line)
		if len(f) < 5 || f[0] == "NV" || f[4] == "0:0" { // an id of zero says nothing
			continue
		}
		ids[f[3]] = f[4]
	}
	return ids
}

// unescapeMount undoes the kernel's \040 for blanks, tabs, newlines and backslashes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for k := 0; k < len(s); k++ {
		if s[k] == '\\' && k+3 < len(s) {
			if c, err := strconv.ParseUint(s[k+1:k+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				k += 3
				continue
			}
		}
		b.WriteByte(s[k])
	}
	return b.String()
}

// mountCounters are what /proc/self/mountstats counts of one mount.
type mountCounters struct {
	operations, timeouts int64
	roundTrips           time.Duration // of all operations together
}

// mean is the mean round-trip of an operation.
func (c mountCounters) mean() time.Duration {
	if c.operations == 0 {
		return 0
	}
	return c.roundTrips / time.Duration(c.operations)
}

// parseMountstats adds up, per mount point, what the kernel counted of the operations of
// each NFS mount: operations, major timeouts, milliseconds until the answer. Lines it
// does not know are left alone, so that a newer kernel's additions do no harm.
func parseMountstats(data string) map[string]mountCounters {
	counters := map[string]mountCounters{}
	var path string
	var perOperation bool
	for line := range strings.Lines(data) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "device":
			path, perOperation = mountstatsPath(fields), false
			delete(counters, path)
		case path == "":
		case fields[0] == "per-op":
			perOperation = true
		case perOperation:
			c := counters[path]
			if c.add(fields) {
				counters[path] = c
			}
		}
	}
	return counters
}

// mountstatsPath returns the mount point of "device SOURCE mounted on PATH with fstype
// TYPE …", empty if it is no NFS mount.
func mountstatsPath(fields []string) string {
	if len(fields) < 8 || fields[2] != "mounted" || !strings.HasPrefix(fields[7], "nfs") {
		return ""
	}
	return unescapeMount(fields[4])
}

// add reads "NAME: operations transmissions timeouts sent received queued roundtrip total".
func (c *mountCounters) add(fields []string) bool {
	const operations, timeouts, roundTrip, most = 1, 3, 7, 1 << 40
	if len(fields) <= roundTrip || !strings.HasSuffix(fields[0], ":") {
		return false
	}
	var n [3]int64
	for k, at := range []int{operations, timeouts, roundTrip} {
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil || v < 0 || v > most {
			return false
		}
		n[k] = v
	}
	c.operations += n[0]
	c.timeouts += n[1]
	c.roundTrips += time.Duration(n[2]) * time.Millisecond
	return true
}
