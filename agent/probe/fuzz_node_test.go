package probe

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What corosync runs with is a positive number where it is known, and a state of the QDevice
// stands in the text.
func FuzzCorosyncRunning(f *testing.F) {
	seedRun(f, "corosync-cmapctl")
	seedRun(f, "corosync-qdevice-tool -s")
	f.Fuzz(func(t *testing.T, text string) {
		now, err := parseRunning(text)
		if err != nil && now != (running{}) || err == nil && now.token <= 0 || now.consensus < 0 || now.configVersion < 0 {
			t.Errorf("%+v, %v", now, err)
		}
		state, err := parseDeviceState(text)
		if (err == nil) != (state != "") || !strings.Contains(text, state) {
			t.Errorf("state %q, %v", state, err)
		}
		d := parseCorosyncConf(text).declared
		if d.Version < 0 || d.Token < 0 || d.Secauth && !strings.Contains(text, "secauth") && !strings.Contains(text, "crypto_cipher") {
			t.Errorf("%+v", d)
		}
		for _, n := range d.Nodes {
			if len(n.Addresses) > 8 {
				t.Errorf("%+v", n)
			}
		}
	})
}

// Commands are counted and jobs that failed named only where they stand.
func FuzzHAFiles(f *testing.F) {
	for _, name := range []string{"etc/pve/ha/crm_commands", "etc/pve/nodes/pve2/lrm_status", "etc/pve/ha/manager_status", "etc/pve/.members"} {
		seedFile(f, name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host := newRecording("pve1")
		host.add(crmCommands, text)
		var l ha.LocalHA
		if err := readCommands(host, &l); err != nil || l.Commands < 0 || l.Commands > strings.Count(text, "\n")+1 || (l.Commands > 0) != (strings.TrimSpace(text) != "") {
			t.Errorf("%d commands, %v", l.Commands, err)
		}
		_ = parseLRMStatus([]byte(text), &l)
		for _, job := range l.Failed {
			if job.ExitCode == 0 || job.SID == (ha.SID{}) {
				t.Errorf("%+v", job)
			}
		}
		var m ha.Membership
		if err := parsePmxcfsMembers([]byte(text), &m); err == nil && m.Quorate && !json.Valid([]byte(text)) {
			t.Errorf("%+v", m)
		}
	})
}

// The table of mounts names what stands in the text, and an id of a file system as well.
func FuzzMountTable(f *testing.F) {
	seedFile(f, "proc/self/mountinfo")
	seedFile(f, "proc/fs/nfsfs/volumes")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseMountTable(text)
		if err != nil && table != nil {
			t.Errorf("an error, and yet %+v", table)
		}
		for device, id := range parseVolumes(text) {
			if id == "" || id == "0:0" || !strings.Contains(text, id) || !strings.Contains(text, device) {
				t.Errorf("%q has the id %q", device, id)
			}
		}
	})
}

func FuzzStorageConf(f *testing.F) {
	for _, name := range []string{"etc/pve/storage.cfg", "etc/pve/replication.cfg", "etc/pve/ceph.conf", "etc/pve/ha/fence.cfg", "etc/pve/datacenter.cfg"} {
		seedFile(f, name)
	}
	seed(f, func(r *Recording) []byte { return r.files["var/lib/pve-manager/pve-replication-state.json"].data })
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseStorageConf(text) {
			if s.Name == "" || !strings.Contains(text, s.Name) || s.Mounted != "" {
				t.Errorf("%+v", s)
			}
		}
		jobs := parseReplications(text)
		for _, j := range jobs {
			if j.ID == "" || !j.LastSync.IsZero() {
				t.Errorf("%+v", j)
			}
		}
		_ = readReplicationState([]byte(text), append(jobs, ha.Replication{ID: "100-0", Target: "pve2"}))
		var c ha.LocalCeph
		parseCephConf(text, &c)
		if c.Configured && !strings.Contains(text, "fsid") {
			t.Errorf("%+v", c)
		}
		for _, name := range fenceDevices(text) {
			if !strings.Contains(text, name) {
				t.Errorf("device %q", name)
			}
		}
		if mode := fencingMode(text); !strings.Contains(text, mode) {
			t.Errorf("mode %q", mode)
		}
		for _, redact := range []func(string) string{keepSettings(storageSettings...), redactFenceLine, redactCephLine, redactManagerLine, redactModprobeLine, redactKey} {
			once := string(keepLines([]byte(text), redact))
			if twice := string(keepLines([]byte(once), redact)); once != twice {
				t.Errorf("redacting twice changes %q to %q", once, twice)
			}
		}
	})
}

// Ceph is healthy only where it says so, no pool has fewer copies than one, and no more OSDs
// are up than there are.
func FuzzCeph(f *testing.F) {
	for _, question := range []string{"status", "osd dump", "osd df tree"} {
		seedRun(f, "ceph --connect-timeout 4 "+question+" --format json")
	}
	f.Add(`{"health":{"status":"HEALTH_ERR","checks":{"OSD_DOWN":{}}},"pgmap":{"degraded_objects":5,"recovering_bytes_per_sec":1e300}}`)
	f.Add(`{"nodes":[{"id":1,"type":"host","name":"a","children":[1,1,2]},{"id":2,"type":"osd","status":"down","reweight":-1,"utilization":1e9}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var c ha.LocalCeph
		if _, err := parseCephStatus([]byte(text), &c); (err == nil) != (c.Health != "") || c.Recovery < 0 {
			t.Errorf("%+v, %v", c, err)
		}
		var layout cephCache
		if err := parseCephDump([]byte(text), &layout); err == nil {
			for _, p := range layout.pools {
				if p.Size <= 0 || p.MinSize <= 0 {
					t.Errorf("%+v", p)
				}
			}
		}
		hosts, err := parseCephTree([]byte(text))
		if err != nil && hosts != nil {
			t.Errorf("an error, and yet %+v", hosts)
		}
		for _, h := range hosts {
			if h.Up > h.OSDs || h.In > h.OSDs || h.FillMax < 0 || h.FillMax > 1 {
				t.Errorf("%+v", h)
			}
		}
		redactCephDump([]byte(text))
	})
}

// A slot's message stands in the text, and timeouts are known both or not at all.
func FuzzSBD(f *testing.F) {
	seedRun(f, "sbd -d /dev/disk/by-id/scsi-36001405 dump")
	seedRun(f, "sbd -d /dev/disk/by-id/scsi-36001405 list")
	seedFile(f, "etc/default/sbd")
	f.Add("0\tnode1\treset\tnode2\n")
	f.Add("Timeout (watchdog) : 1\nTimeout (watchdog) : 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		var d ha.SBDDevice
		if err := parseSBDDump(text, &d); err == nil && !(strings.Contains(text, "(watchdog)") && strings.Contains(text, "(msgwait)")) || d.TimeoutMsgwait < 0 || d.TimeoutWatchdog < 0 {
			t.Errorf("%+v, %v", d, err)
		}
		slots, err := parseSBDList(text)
		if err != nil && slots != nil {
			t.Errorf("an error, and yet %+v", slots)
		}
		for _, s := range slots {
			if s.Message == "" || !strings.Contains(text, s.Message) {
				t.Errorf("%+v", s)
			}
		}
		for _, path := range parseSBDConf(text) {
			if isSBDDevice(path) && (!strings.HasPrefix(path, "/dev/") || strings.Contains(path, "..")) {
				t.Errorf("device %q", path)
			}
		}
	})
}

func FuzzChrony(f *testing.F) {
	seedRun(f, "chronyc -n -c tracking")
	f.Add("7F7F0101,,0,0.0,0,0,0,0,0,0,1,1,0,Not synchronised\n")
	f.Fuzz(func(t *testing.T, text string) {
		var c ha.Clock
		if err := parseChronyTracking(text, &c); c.Synchronized || c.Stratum < 0 || err != nil && (c.Source != "" || c.Stratum != 0) {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// A unit is active only where systemd says it, of a unit that is there.
func FuzzUnits(f *testing.F) {
	seedRun(f, strings.Join(append([]string{"systemctl"}, showUnits...), " "))
	f.Fuzz(func(t *testing.T, text string) {
		units, err := parseUnits(text)
		if err != nil && units != nil {
			t.Errorf("an error, and yet %+v", units)
		}
		for _, u := range units {
			if u.Name == "" || u.Active == "" || !strings.Contains(text, "ActiveState="+u.Active) || u.Restarts < 0 {
				t.Errorf("%+v", u)
			}
		}
	})
}

func FuzzAddresses(f *testing.F) {
	seedRun(f, "ip -j addr")
	f.Fuzz(func(t *testing.T, text string) {
		addresses, err := parseAddresses([]byte(text))
		if err != nil && addresses != nil {
			t.Errorf("an error, and yet %+v", addresses)
		}
		redacted := redactAddresses([]byte(text))
		if again := redactAddresses(redacted); err == nil && string(again) != string(redacted) {
			t.Errorf("redacting twice changes %q to %q", redacted, again)
		}
	})
}

func FuzzHardware(f *testing.F) {
	seedFile(f, "proc/cpuinfo")
	seedFile(f, "root/.ssh/id_rsa.pub")
	seedFile(f, "proc/cmdline")
	seedFile(f, "etc/systemd/system.conf.d/10-watchdog.conf")
	f.Add("6.17.2-1-pve")
	f.Fuzz(func(t *testing.T, text string) {
		var w ha.Hardware
		if err := parseCPUInfo(text, &w); w.CPULevel < 0 || w.CPULevel > 4 || err == nil && !strings.Contains(text, "processor") {
			t.Errorf("%+v, %v", w, err)
		}
		if compareVersions(text, text) != 0 || compareVersions(text, "6") != -compareVersions("6", text) {
			t.Errorf("%q does not compare", text)
		}
		if key, ok := publicKey(text); ok && (strings.Contains(key, "PRIVATE") || len(strings.Fields(key)) != 2) {
			t.Errorf("key %q", key)
		}
		host := newRecording("pve1")
		host.add("etc/systemd/system.conf", text)
		if interval, _, err := runtimeWatchdog(host); err != nil || slices.Contains([]string{"0", "off"}, interval) || !strings.Contains(text, interval) {
			t.Errorf("interval %q, %v", interval, err)
		}
		if c, err := parseClockText(text); err == nil && c.errorMax < 0 && !strings.Contains(text, "-") {
			t.Errorf("%+v", c)
		}
	})
}
