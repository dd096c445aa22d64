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
		data, keep := r.redactFile(name, file.data)
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
func (r *Recording) redactFile(name string, data []byte) (redacted []byte, keep bool) {
	if pid, ok := processOf(name); ok {
		if idleThread(name, data) {
			return nil, false
		}
		return redactProcess(path.Base(name), data, r.holdsWatchdog(pid))
	}
	if name == packageDatabase {
		return redactPackages(data), true
	}
	if redact, known := redactLines[name]; known {
		return keepLines(data, redact), true
	}
	for _, folder := range redactFolders {
		if strings.HasPrefix(name, folder.prefix) && strings.HasSuffix(name, folder.suffix) {
			return keepLines(data, folder.redact), true
		}
	}
	return data, true
}

// redactLines says, of whole files, what is kept of a line.
var redactLines = map[string]func(line string) string{
	"proc/self/mountinfo":        redactMount,
	"proc/stat":                  redactStat,
	"proc/modules":               firstWord,
	"proc/cmdline":               keepWords("systemd.watchdog_", "softdog.soft_noboot="),
	"proc/cpuinfo":               keepKeys(":", "processor", "vendor_id", "model name", "microcode", "flags", "Features"),
	"etc/pve/storage.cfg":        keepSettings(storageSettings...),
	"etc/pve/replication.cfg":    keepSettings("target", "schedule", "disable"),
	"etc/pve/datacenter.cfg":     keepKeys(":", "fencing"),
	"etc/pve/ha/fence.cfg":       redactFenceLine,
	"etc/pve/ceph.conf":          redactCephLine,
	"etc/ceph/ceph.conf":         redactCephLine,
	"etc/default/sbd":            keepKeys("=", "SBD_DEVICE"),
	"etc/default/pve-ha-manager": redactModuleLine,
	"etc/systemd/system.conf":    redactManagerLine,
	"root/.ssh/id_rsa.pub":       redactKey,
	"root/.ssh/id_ed25519.pub":   redactKey,
	"root/.ssh/id_ecdsa.pub":     redactKey,
}

// redactFolders says it of files by their folders.
var redactFolders = []struct {
	prefix, suffix string
	redact         func(string) string
}{
	{"etc/pve/nodes/", ".conf", redactGuestLine},
	{"etc/systemd/system.conf.d/", ".conf", redactManagerLine},
	{"usr/lib/systemd/system.conf.d/", ".conf", redactManagerLine},
	{"run/systemd/system.conf.d/", ".conf", redactManagerLine},
	{"etc/modprobe.d/", ".conf", redactModprobeLine},
	{"run/modprobe.d/", ".conf", redactModprobeLine},
	{"lib/modprobe.d/", ".conf", redactModprobeLine},
	{"usr/lib/modprobe.d/", ".conf", redactModprobeLine},
	{"etc/ssh/ssh_host_", ".pub", redactKey},
}

// holdsWatchdog reports whether a process was seen to hold a watchdog.
func (r *Recording) holdsWatchdog(pid string) bool {
	for name, target := range r.links {
		if strings.HasPrefix(name, "proc/"+pid+"/fd/") && strings.HasPrefix(target, "/dev/watchdog") {
			return true
		}
	}
	return false
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
func redactProcess(file string, data []byte, holder bool) ([]byte, bool) {
	switch file {
	case "comm":
		return data, holder || relevant(strings.TrimSuffix(string(data), "\n"))
	case "status":
		return keepLines(data, func(line string) string {
			for _, key := range []string{"NSpid:", "voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
				if strings.HasPrefix(line, key) {
					return line
				}
			}
			return ""
		}), true
	case "cmdline":
		return redactCommandLine(data), true
	case "stat":
		return redactProcessStat(data), true
	}
	return data, true
}

// redactProcessStat keeps of /proc/PID/stat the fields up to the start time: those after it
// are addresses in the process's memory.
func redactProcessStat(data []byte) []byte {
	const kept = 20 // fields behind the name: 3 to 22 of proc(5)
	end := bytes.LastIndexByte(data, ')')
	fields := bytes.Fields(data[end+1:])
	if end < 0 || len(fields) <= kept {
		return data
	}
	return append(append(bytes.Clone(data[:end+1]), ' '), append(bytes.Join(fields[:kept], []byte(" ")), '\n')...)
}

// idleThread reports whether a file is of a thread that does not wait in the kernel: nobody
// asks more of it than that.
func idleThread(name string, data []byte) bool {
	_, state, _, err := parseTask(data)
	return strings.Contains(name, "/task/") && path.Base(name) == "stat" && err == nil && state != 'D'
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

// redactMount keeps NFS mounts whole, and of others what is mounted there, but for options.
func redactMount(line string) string {
	m, isNFS, err := parseMount(line)
	if err != nil || isNFS {
		return line
	}
	left, _, _ := strings.Cut(line, " - ")
	return left + " - " + m.Type + " " + strings.Fields(line[len(left)+len(" - "):])[1]
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
	if slices.Contains([]string{"name", "hostname", "lock", "cpu", "onboot", "vmstate", "rootfs", "ivshmem", "lxc.mount.entry"}, key) {
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
