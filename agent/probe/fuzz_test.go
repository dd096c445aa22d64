package probe

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// seed adds, of every recorded machine, what pick returns.
func seed(f *testing.F, pick func(*Recording) []byte) {
	names, err := filepath.Glob("testdata/hosts/*.txt")
	if err != nil || len(names) == 0 {
		f.Fatal(len(names), err)
	}
	for _, name := range names {
		if text := pick(load(f, strings.TrimSuffix(filepath.Base(name), ".txt"))); text != nil {
			f.Add(string(text))
		}
	}
}

func seedRun(f *testing.F, line string) {
	seed(f, func(r *Recording) []byte { return r.runs[line].output })
}

func seedFile(f *testing.F, name string) {
	seed(f, func(r *Recording) []byte { return r.files[name].data })
}

// Whatever the tool prints, there is quorum only where it says so twice.
func FuzzQuorumtool(f *testing.F) {
	seedRun(f, "corosync-quorumtool -s")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseQuorumtool(text)
		if err != nil && (c.Running || c.Quorate) {
			t.Errorf("an error, and yet %+v", c)
		}
		if c.Quorate && !(strings.Contains(text, "Quorate:") && strings.Contains(text, "Yes") && slices.Contains(c.Flags, "Quorate")) {
			t.Errorf("quorate out of nothing: %+v", c)
		}
		if c.Votes < 0 || c.Expected < 0 || c.Quorum < 0 || !slices.IsSorted(c.Members) {
			t.Errorf("%+v", c)
		}
		if c.QDeviceAlive && !strings.Contains(text, "A,V,") {
			t.Errorf("a QDevice out of nothing: %+v", c)
		}
	})
}

// A link is connected only where the word stands.
func FuzzLinks(f *testing.F) {
	seedRun(f, "corosync-cfgtool -n")
	seedRun(f, "corosync-cfgtool -s")
	seedRun(f, "corosync-cmapctl -m stats")
	f.Fuzz(func(t *testing.T, text string) {
		for name, parse := range map[string]func(string) ([]ha.Link, error){
			"connected": parseCfgtoolPeers, "\tconnected": parseCfgtoolStatus, "connected (": parseLinkStats,
		} {
			links, err := parse(text)
			if err != nil && links != nil {
				t.Errorf("an error, and yet %+v", links)
			}
			for _, l := range links {
				if l.Connected && !strings.Contains(text, strings.TrimSpace(name)) || l.Number < 0 || l.Number > 7 || l.PeerID <= 0 || l.MTU < 0 || l.Latency < 0 {
					t.Errorf("%+v", l)
				}
			}
		}
	})
}

func FuzzCorosyncConf(f *testing.F) {
	seedFile(f, "etc/corosync/corosync.conf")
	seedFile(f, "etc/pve/.members")
	f.Add("nodelist {\n}\n}\nname: x\nnode {\nring99_addr: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := ha.Link{PeerID: 1, Number: 7}
		parseCorosyncConf(text).describe(&l, 2)
		parseMembers([]byte(text)).describe(&l, 2)
		_, _ = parseRunning(text)
	})
}

// No mount is read as answering, and none on a path that something else covers.
func FuzzMounts(f *testing.F) {
	seedFile(f, "proc/self/mountinfo")
	seedFile(f, "proc/self/mountstats")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMountinfo(text)
		if err != nil && mounts != nil {
			t.Errorf("an error, and yet %+v", mounts)
		}
		seen := map[string]bool{}
		for _, m := range mounts {
			if m.Answering || seen[m.Path] || !strings.HasPrefix(m.Type, "nfs") {
				t.Errorf("%+v", m)
			}
			seen[m.Path] = true
		}
		for path, c := range parseMountstats(text) {
			if c.operations < 0 || c.timeouts < 0 || c.mean() < 0 {
				t.Errorf("%s: %+v", path, c)
			}
		}
	})
}

func FuzzSystem(f *testing.F) {
	for _, name := range []string{"proc/uptime", "proc/loadavg", "proc/meminfo", "proc/stat", "proc/1000/stat", "proc/1000/status", packageDatabase} {
		seedFile(f, name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s ha.System
		_ = parseUptime(text, &s)
		_ = parseLoad(text, &s)
		_ = parseMeminfo(text, &s)
		cpus, boot, err := parseStat(text)
		if s.Uptime < 0 || s.Load1 < 0 || s.MemoryTotal < 0 || s.MemoryAvailable < 0 || err == nil && (cpus <= 0 || boot.IsZero()) {
			t.Errorf("%+v, %d processors since %s", s, cpus, boot)
		}
		if _, ticks, err := parseProcessStat([]byte(text)); err == nil && ticks < 0 {
			t.Errorf("%d ticks", ticks)
		}
		inPIDNamespace([]byte(text))
		installed([]byte(text), "pve-manager")
	})
}

// Whatever lies in sysfs, no watchdog is made up: each has its folder.
func FuzzWatchdog(f *testing.F) {
	for _, name := range []string{"sys/class/watchdog/watchdog0/identity", "sys/class/watchdog/watchdog0/timeout", "etc/default/pve-ha-manager", "proc/modules"} {
		seedFile(f, name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host := load(t, "busy.pve1")
		for _, name := range []string{
			"sys/class/watchdog/watchdog0/identity", "sys/class/watchdog/watchdog0/state", "sys/class/watchdog/watchdog0/timeout",
			"sys/class/watchdog/watchdog0/timeleft", "sys/class/watchdog/watchdog0/nowayout", "sys/class/watchdog/watchdog0/bootstatus",
			"etc/default/pve-ha-manager", "proc/modules", "sys/module/softdog/parameters/soft_noboot",
		} {
			host.add(name, text)
		}
		devices, err := watchdogDevices(host)
		if len(devices) != 2 || err == nil && devices[0].Timeout < 0 {
			t.Errorf("%+v, %v", devices, err)
		}
		if module, err := watchdogModule(host); err != nil || !strings.Contains(text, module) {
			t.Errorf("module %q, %v", module, err)
		}
		if noboot, err := softNoboot(host); noboot && err != nil || noboot && strings.TrimSpace(text) != "1" && strings.TrimSpace(text) != "Y" {
			t.Errorf("soft_noboot %t, %v", noboot, err)
		}
		for _, name := range watchdogModules([]byte(text)) {
			if name == "" || !strings.Contains(text, name) {
				t.Errorf("module %q", name)
			}
		}
	})
}

func FuzzStatusFiles(f *testing.F) {
	seedFile(f, "etc/pve/nodes/pve1/lrm_status")
	seedFile(f, "etc/pve/ha/manager_status")
	f.Fuzz(func(t *testing.T, text string) {
		var l ha.LocalHA
		_ = parseLRMStatus([]byte(text), &l)
		_ = parseManagerStatus([]byte(text), "pve1", &l)
		if l.MaintenanceRequested && !strings.Contains(strings.ToLower(text), "maintenance") && !strings.Contains(text, `\u`) {
			t.Errorf("%+v", l)
		}
	})
}

// Every storage named is in the text, and what ties a guest to its node names its line.
func FuzzGuestConfig(f *testing.F) {
	for _, name := range []string{"qemu-server/100", "qemu-server/114", "qemu-server/115", "qemu-server/120", "lxc/201", "lxc/202", "lxc/999"} {
		seedFile(f, "etc/pve/nodes/pve1/"+name+".conf")
	}
	seedFile(f, "etc/pve/storage.cfg")
	f.Fuzz(func(t *testing.T, text string) {
		storages := parseStorages(text)
		for _, sid := range []string{"vm:100", "ct:100"} {
			c := parseGuestConfig(ha.MustSID(sid), text, storages)
			for _, s := range c.Storages {
				if s == "" || !strings.Contains(text, s) {
					t.Errorf("storage %q", s)
				}
			}
			for _, why := range c.Local {
				key, _, ok := strings.Cut(why, ": ")
				if !ok || key != "snapshots" && !strings.Contains(text, key) {
					t.Errorf("bound by %q", why)
				}
			}
			redacted := string(keepLines([]byte(text), redactGuestLine))
			if again := string(keepLines([]byte(redacted), redactGuestLine)); again != redacted {
				t.Errorf("redacting twice changes %q to %q", redacted, again)
			}
		}
	})
}

func FuzzCommandLines(f *testing.F) {
	seedFile(f, "proc/1002/cmdline")
	seedFile(f, "proc/1100/cmdline")
	seedFile(f, "proc/1101/cmdline")
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\x00")
		if sid, _ := parseKVM(args); sid.ID < 0 || sid.ID > 0 && !slices.Contains(args, "-id") {
			t.Errorf("%s of %q", sid, args)
		}
		if sid := parseLXC(args); sid.ID < 0 {
			t.Errorf("%s of %q", sid, args)
		}
		redactCommandLine([]byte(text))
	})
}

// A recording that can be read says the same when written and read again.
func FuzzRecording(f *testing.F) {
	seed(f, (*Recording).Bytes)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecording([]byte(text))
		if err != nil {
			return
		}
		once := r.Bytes()
		again, err := ParseRecording(once)
		if err != nil {
			t.Fatalf("%v: %q", err, once)
		}
		if twice := again.Bytes(); string(once) != string(twice) {
			t.Errorf("%q\nbecame\n%q", once, twice)
		}
		r.redact()
	})
}
