package probe

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// redact takes out of a recording what no probe needs: other people's processes, command
// lines, notes and passwords of guests. What is left is chosen line by line from what the
// parsers read, so that a key nobody thought of is dropped and not published.
func (r *Recording) redact() {
	for name, file := range r.files {
		if file.dir {
			continue
		}
		data, keep := redactFile(name, file.data)
		if !keep && file.unreadable == "" {
			delete(r.files, name)
			continue
		}
		file.data = data
		r.files[name] = file
	}
	r.dropProcesses()
	maps.DeleteFunc(r.links, func(name, target string) bool {
		return strings.HasPrefix(name, "proc/") && !strings.HasPrefix(target, "/dev/watchdog")
	})
	for line, run := range r.runs {
		run.output = redactCommand(line, run.output)
		r.runs[line] = run
	}
}

// dropProcesses removes what is left of processes whose name is gone.
func (r *Recording) dropProcesses() {
	maps.DeleteFunc(r.files, func(name string, _ recordedFile) bool {
		pid, ok := processOf(name)
		_, known := r.files["proc/"+pid+"/comm"]
		return ok && !known
	})
}

// processOf returns the PID in proc/PID/….
func processOf(name string) (pid string, ok bool) {
	rest, ok := strings.CutPrefix(name, "proc/")
	pid, _, _ = strings.Cut(rest, "/")
	_, err := strconv.Atoi(pid)
	return pid, ok && err == nil
}

// redactFile returns what may be published of a file; keep is false if nothing may.
func redactFile(name string, data []byte) (redacted []byte, keep bool) {
	if _, ok := processOf(name); ok {
		return redactProcess(path.Base(name), data)
	}
	switch name {
	case "proc/self/mountinfo":
		return keepLines(data, redactMount), true
	case "proc/stat":
		return keepLines(data, redactStat), true
	case "proc/modules":
		return keepLines(data, firstWord), true
	case packageDatabase:
		return redactPackages(data), true
	case "etc/pve/storage.cfg":
		return keepLines(data, redactStorage), true
	case "etc/default/pve-ha-manager":
		return keepLines(data, func(line string) string {
			if strings.Contains(line, "WATCHDOG_MODULE") {
				return line
			}
			return ""
		}), true
	}
	if strings.HasPrefix(name, "etc/pve/nodes/") && path.Ext(name) == ".conf" {
		return keepLines(data, redactGuestLine), true
	}
	return data, true
}

// keepLines passes each line, without its newline, through a function; an empty result
// drops it.
func keepLines(data []byte, redact func(string) string) []byte {
	var kept bytes.Buffer
	for line := range bytes.Lines(data) {
		if text := redact(strings.TrimSuffix(string(line), "\n")); text != "" {
			kept.WriteString(text)
			kept.WriteByte('\n')
		}
	}
	return kept.Bytes()
}

func firstWord(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return word
}

// redactProcess keeps of a process that matters what tells that it does.
func redactProcess(file string, data []byte) ([]byte, bool) {
	switch file {
	case "comm":
		return data, relevant(strings.TrimSuffix(string(data), "\n"))
	case "status":
		return keepLines(data, func(line string) string {
			if strings.HasPrefix(line, "NSpid:") {
				return line
			}
			return ""
		}), true
	case "cmdline":
		return redactCommandLine(data), true
	}
	return data, true
}

// redactCommandLine keeps the arguments that say which guest a process is. A kvm command
// line holds the whole machine, serial numbers and passwords of remote disks included.
func redactCommandLine(data []byte) []byte {
	args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	kept := args[:1:1]
	for k := 1; k < len(args); k++ {
		switch arg := args[k]; {
		case slices.Contains([]string{"-id", "-n", "--name"}, arg) && k+1 < len(args):
			kept = append(kept, arg, args[k+1])
			k++
		case arg == "-incoming" || strings.HasPrefix(arg, "--name="):
			kept = append(kept, arg)
		}
	}
	return []byte(strings.Join(kept, "\x00") + "\x00")
}

// redactMount keeps NFS mounts whole, and of others that something is mounted there.
func redactMount(line string) string {
	m, isNFS, err := parseMount(line)
	if err != nil || isNFS {
		return line
	}
	left, _, _ := strings.Cut(line, " - ")
	return left + " - " + m.Type + " none"
}

// redactStat keeps the names of processors and the boot time of /proc/stat, whose other
// lines are long and of no use here.
func redactStat(line string) string {
	if strings.HasPrefix(line, "cpu") {
		return firstWord(line)
	}
	if strings.HasPrefix(line, "btime ") {
		return line
	}
	return ""
}

// redactPackages keeps two packages of all that are installed.
func redactPackages(data []byte) []byte {
	var kept bytes.Buffer
	for _, name := range []string{"pve-manager", "pve-ha-manager"} {
		paragraph := keepLines(packageParagraph(data, name), func(line string) string {
			for _, key := range []string{"Package: ", "Status: ", "Version: "} {
				if strings.HasPrefix(line, key) {
					return line
				}
			}
			return ""
		})
		if len(paragraph) > 0 {
			kept.Write(append(paragraph, '\n'))
		}
	}
	return kept.Bytes()
}

// redactStorage keeps which storages there are and whether they are shared.
func redactStorage(line string) string {
	if indented := strings.TrimLeft(line, " \t") != line; indented && firstWord(strings.TrimSpace(line)) != "shared" {
		return ""
	}
	return line
}

// redactGuestLine keeps of a guest's configuration the lines that are read here, and all
// section headings.
func redactGuestLine(line string) string {
	if strings.HasPrefix(line, "[") {
		return line
	}
	key, value, ok := configLine(line)
	if !ok {
		return ""
	}
	if slices.Contains([]string{"name", "hostname", "lock", "onboot", "vmstate", "rootfs", "ivshmem", "lxc.mount.entry"}, key) {
		return line
	}
	prefix := strings.TrimRight(key, "0123456789")
	read := []string{
		"ide", "sata", "scsi", "virtio", "efidisk", "tpmstate", "unused", "mp",
		"hostpci", "usb", "serial", "parallel", "virtiofs", "dev",
	}
	if prefix == key || !slices.Contains(read, prefix) {
		return ""
	}
	return key + ": " + redactProperties(value)
}

// redactProperties drops the serial numbers of disks.
func redactProperties(value string) string {
	settings := strings.Split(value, ",")
	settings = slices.DeleteFunc(settings, func(s string) bool {
		return strings.HasPrefix(s, "serial=") || strings.HasPrefix(s, "wwn=")
	})
	return strings.Join(settings, ",")
}

// redactCommand keeps what is read of the two long outputs.
func redactCommand(line string, output []byte) []byte {
	var keep func(key string) bool
	switch line {
	case "corosync-cmapctl":
		keep = func(key string) bool { return key == "runtime.config.totem.token" }
	case "corosync-cmapctl -m stats":
		keep = isLinkStat
	default:
		return output
	}
	return keepLines(output, func(line string) string {
		if key, _, _ := cmapValue(line); keep(key) {
			return line
		}
		return ""
	})
}

// isLinkStat reports whether setLinkStat knows a statistic.
func isLinkStat(key string) bool {
	name, ok := strings.CutPrefix(key, "stats.knet.node")
	field := name[strings.LastIndexByte(name, '.')+1:]
	return ok && slices.Contains([]string{"enabled", "connected", "mtu", "latency_ave", "latency_max"}, field)
}
