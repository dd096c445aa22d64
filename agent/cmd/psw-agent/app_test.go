package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

var update = flag.Bool("update", false, "write the golden files anew")

// bare is a machine on which nothing but Linux is installed.
type bare struct{ fstest.MapFS }

func linux() bare {
	return bare{fstest.MapFS{
		"proc/sys/kernel/random/boot_id": {Data: []byte("5f5e3f3a-7a9d-4f5b-9d3c-8a4d8c1f2b3c\n")},
		"proc/sys/kernel/osrelease":      {Data: []byte("6.12.0\n")},
		"proc/uptime":                    {Data: []byte("3600.00 7000.00\n")},
		"proc/loadavg":                   {Data: []byte("0.10 0.10 0.10 1/100 4242\n")},
		"proc/meminfo":                   {Data: []byte("MemTotal:        8000000 kB\nMemAvailable:    6000000 kB\n")},
		"proc/stat":                      {Data: []byte("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nbtime 1790000000\n")},
		"proc/self/mountinfo":            {Data: []byte("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")},
		"var/lib/dpkg/status":            {Data: []byte("Package: bash\nStatus: install ok installed\nVersion: 5.2\n\n")},
		"sys/class/watchdog":             {Mode: fs.ModeDir | 0o755},
		"proc/modules":                   {Data: []byte("ext4 1 1 - Live 0x0\n")},
	}}
}

func (bare) Statfs(context.Context, string) (total, free uint64, err error) {
	return 0, 0, syscall.ENOENT
}

func (bare) TryWrite(context.Context, string) error { return syscall.ENOENT }

func (bare) Clock() (offset, errorMax, errorEstimated time.Duration, synchronized bool, err error) {
	return 0, 16 * time.Second, 16 * time.Second, false, nil
}

func (bare) Run(context.Context, string, ...string) ([]byte, error) { return nil, os.ErrNotExist }

// a console is what somebody who types psw-agent sees.
type console struct{ stdout, stderr bytes.Buffer }

// laptop runs a command line on a machine that is no Proxmox node.
func laptop(t *testing.T, env map[string]string, args ...string) (code int, c *console) {
	t.Helper()
	c = &console{}
	a := app{env: env, stdout: &c.stdout, stderr: &c.stderr,
		hostname: func() (string, error) { return "laptop.example.org", nil },
		host:     func() probe.Host { return linux() }}
	return a.main(t.Context(), args), c
}

func TestExitCodesAndWhereThingsAreSaid(t *testing.T) {
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"version", exitDone, "psw-agent ", ""},
		{"--help", exitDone, "Exit codes: 0 done or ready", ""},
		{"check", exitNotReady, "FAIL: pve-manager is not installed", ""},
		{"check --quiet", exitNotReady, "This node is not ready for HA.", ""},
		{"check --quiet --verbose", exitUsage, "", "--quiet and --verbose exclude each other"},
		{"check -o yaml", exitUsage, "", `-o is text or json, not "yaml"`},
		{"check now", exitUsage, "", "usage: psw-agent check"},
		{"chekc", exitUsage, "", `there is no command "chekc"`},
		{"check --profile production", exitUsage, "", "unknown flag: --profile"},
		{"record", exitUsage, "", "usage: psw-agent record DIR"},
		{"run --config /nonexistent", exitUsage, "", "/nonexistent"},
		{"run --coordinators node2", exitUsage, "", `coordinator "node2": want host:port`},
		{"run", exitUsage, "", "settings are read from " + configFile},
		{"run --coordinators node2:7443 --tls /nonexistent", exitUsage, "", "/nonexistent/ca.crt"},
	} {
		code, c := laptop(t, nil, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(c.stdout.String(), tt.stdout) || !strings.Contains(c.stderr.String(), tt.stderr) {
			t.Errorf("psw-agent %s: exit %d, want %d\nstdout: %s\nstderr: %s", tt.args, code, tt.code, &c.stdout, &c.stderr)
		}
		if tt.stdout == "" && c.stdout.Len() > 0 {
			t.Errorf("psw-agent %s says on stdout, which is for answers: %s", tt.args, &c.stdout)
		}
	}
}

// On a machine without Proxmox the one thing that matters is said, and nothing else fails.
func TestCheckOnALaptop(t *testing.T) {
	code, c := laptop(t, nil, "check", "-o", "json")
	var d document
	if err := json.Unmarshal(c.stdout.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if code != exitNotReady || d.Ready || d.Node != "laptop" || d.Totals.Failures != 1 || d.Totals.Unknown != 0 {
		t.Errorf("exit %d: %+v", code, d.Totals)
	}
	if d.Totals.Total != len(d.Findings) || d.Totals.Total == 0 {
		t.Errorf("%d findings, the totals say %d", len(d.Findings), d.Totals.Total)
	}
	for _, f := range d.Findings {
		if !strings.HasPrefix(f.Docs, "docs/checks.md#") {
			t.Errorf("%s is explained at %q", f.Code, f.Docs)
		}
	}
}

// In the text that one thing is not drowned in its effects; --verbose names them.
func TestTheTextOnALaptopIsShort(t *testing.T) {
	_, c := laptop(t, nil, "check")
	if lines := strings.Count(c.stdout.String(), "\n"); lines > 20 || !strings.Contains(c.stdout.String(), "checks are effects of PVE_NOT_INSTALLED (--verbose names them)") {
		t.Errorf("%d lines:\n%s", lines, &c.stdout)
	}
	if _, c := laptop(t, nil, "check", "--verbose"); !strings.Contains(c.stdout.String(), "[WATCHDOG_MISSING]") {
		t.Errorf("--verbose does not name what was left out:\n%s", &c.stdout)
	}
}

// node1 is a node with one of everything: a single link, an NFS server that hangs, an LRM
// nobody could look at.
func node1() ha.Report {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	link := ha.Link{PeerID: 2, Peer: "node2", Enabled: true, Connected: true, Latency: 400 * time.Microsecond, LatencyMax: 3 * time.Millisecond, Local: "10.30.0.1", Interface: "eno1"}
	card := func(name string, addresses ...string) ha.Interface {
		return ha.Interface{Name: name, Kind: ha.InterfacePhysical, State: "up", Carrier: true, Speed: 10000, FullDuplex: true, Addresses: addresses, Physical: []string{name}}
	}
	r := ha.Report{
		Node: "node1", Taken: noon,
		System: ha.System{Kernel: "6.17.2-1-pve", PVEVersion: "9.2.11", PVEHAVersion: "5.2.0", PmxcfsMounted: true, PmxcfsWritable: true},
		Mounts: []ha.Mount{{Source: "nas:/mnt/pool/psw", Path: "/mnt/pve/psw", Type: "nfs4", Version: "4.2", Hard: true, Stuck: 40 * time.Second}},
		Watchdog: ha.Watchdog{Devices: []ha.WatchdogDevice{{Name: "watchdog0", Identity: "Software Watchdog", Driver: "softdog", State: "active", Timeout: 10 * time.Second}},
			MuxRunning: true, MuxDevice: "/dev/watchdog0", MuxActive: true, Loaded: []string{"softdog"}},
		Corosync: ha.Corosync{Running: true, NodeID: 1, Quorate: true, Votes: 3, Expected: 3, Quorum: 2, Members: []int{1, 2, 3}, Links: []ha.Link{link},
			TokenTimeout: 3650 * time.Millisecond, ConfigVersion: 5, Config: ha.CorosyncConfig{Version: 5, ClusterVersion: 5, ClusterName: "home"}},
		Hardware: ha.Hardware{Vendor: "Supermicro", CPUVendor: "GenuineIntel", CPUModel: "Xeon E-2336", CPULevel: 4, Virtualization: true, NewestKernel: "6.17.2-1-pve"},
		Clock:    ha.Clock{Synchronized: true, Offset: time.Millisecond, Daemon: "chronyd", Source: "10.10.0.1"},
		Interfaces: []ha.Interface{card("eno1", "10.30.0.1/24"), card("eno2"),
			{Name: "vmbr0", Kind: ha.InterfaceBridge, State: "up", Carrier: true, Lower: []string{"eno2"}, Physical: []string{"eno2"}, Addresses: []string{"10.10.0.1/24"}, Gateway: true}},
		Storages: []ha.LocalStorage{{Name: "psw", Type: "nfs", Shared: true, Path: "/mnt/pve/psw", Mounted: "nas:/mnt/pool/psw", MountedType: "nfs4"}},
		Stalls: ha.Stalls{Looked: true, Watched: time.Hour, PressureKnown: true, Pressure: 0.31, StuckCount: 1,
			Stuck: []ha.StuckProcess{{PID: 900, Name: "pvestatd", For: 40 * time.Second}}},
		Failures: []ha.ProbeFailure{{Probe: ha.ProbeLRM, Reason: "pmxcfs did not answer within 2s"}},
	}
	for _, name := range []string{"corosync", "pve-cluster", "pve-ha-crm", "pve-ha-lrm", "watchdog-mux"} {
		r.Units = append(r.Units, ha.Unit{Name: name, Active: "active", Sub: "running", Enabled: "enabled"})
	}
	return r
}

func TestTheTextOfACheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		much detail
	}{{"check", usual}, {"check-quiet", quiet}, {"check-verbose", verbose}} {
		var b bytes.Buffer
		if err := writeText(&b, check.JudgeNode(node1()), tt.much); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", tt.name+".golden")
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got), -update if it is right:\n%s", file, diff)
		}
	}
}

func TestRecordWritesAFileThatCanBeReadAgain(t *testing.T) {
	dir := t.TempDir()
	code, c := laptop(t, nil, "record", dir)
	file := strings.TrimSpace(c.stdout.String())
	if code != exitDone || file != filepath.Join(dir, "laptop.txt") {
		t.Fatalf("exit %d, stdout %q, stderr %q", code, file, &c.stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := probe.ParseRecording(text); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{"PRIVATE", "password", "secret"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the recording holds %q", secret)
		}
	}
	// A recording is never overwritten: it may be the only one of what went wrong.
	if code, c = laptop(t, nil, "record", dir); code != exitFailed || !strings.Contains(c.stderr.String(), "cannot record laptop") {
		t.Errorf("a second time: exit %d, stderr %q", code, &c.stderr)
	}
}

// loaded are the settings that `run` would begin with.
func loaded(t *testing.T, file string, env map[string]string, args ...string) (config, error) {
	t.Helper()
	a := app{env: env, hostname: func() (string, error) { return "node1.example.org", nil }}
	var got config
	var failed error
	cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error {
		got, failed = a.load(cmd)
		return nil
	}, SilenceUsage: true, SilenceErrors: true}
	settingFlags(cmd)
	path := filepath.Join(t.TempDir(), "agent.env")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.SetArgs(append([]string{"--config", path}, args...))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return got, failed
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	file := `# what the package installs
PSW_HA_COORDINATORS="10.10.0.1:7443, 10.10.0.2:7443"
PSW_HA_TLS_DIR=/from/file
PSW_HA_STATE_DIR='/from/file'
PSW_HA_INTERVAL=4s
GOMEMLIMIT=18MiB
`
	s, err := loaded(t, file, map[string]string{"PSW_HA_STATE_DIR": "/from/env", "PSW_HA_INTERVAL": "3s", "HOME": "/root"},
		"--interval", "2s", "--log-level", "debug")
	if err != nil {
		t.Fatal(err)
	}
	if s.Node != "node1" || strings.Join(s.Coordinators, " ") != "10.10.0.1:7443 10.10.0.2:7443" || s.TLSDir != "/from/file" ||
		s.StateDir != "/from/env" || s.Interval != 2*time.Second || s.logLevel != slog.LevelDebug {
		t.Errorf("%+v", s)
	}
}

func TestFaultsOfAConfigurationFileAreAllNamedWithTheirLine(t *testing.T) {
	_, err := loaded(t, "PSW_HA_COORDINATOR=node2:7443\n\nexport PSW_HA_NODE=node1\nPSW_HA_INTERVAL=often\nrubbish\nPSW_HA_TLS_DIR=\"/tls\n", nil)
	if ha.KindOf(err) != ha.Invalid {
		t.Fatalf("%v, want an Invalid error", err)
	}
	for _, want := range []string{
		":1: there is no PSW_HA_COORDINATOR: want one of PSW_HA_NODE, PSW_HA_COORDINATORS",
		":3: this is no shell script: want PSW_HA_NODE=…",
		`:4: time: invalid duration "often"`,
		":5: this is no assignment: want KEY=value",
		":6: the closing quote is missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestEveryReportableMistakeOfAnEnvironmentSaysWhere(t *testing.T) {
	_, err := loaded(t, "", map[string]string{"PSW_HA_INTERVAL": "often"})
	if err == nil || !strings.Contains(err.Error(), "PSW_HA_INTERVAL in the environment") {
		t.Error(err)
	}
	_, err = loaded(t, "", nil, "--interval", "often")
	if err == nil || !strings.Contains(err.Error(), "--interval") {
		t.Error(err)
	}
}

// systemd is told that the agent is ready only after the first round, and that it lives
// after each.
func TestSystemdIsToldAfterEachRound(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "notify")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	beat := heartbeat(slog.New(slog.DiscardHandler))
	for _, want := range []string{"READY=1\nWATCHDOG=1", "WATCHDOG=1"} {
		beat()
		buf := make([]byte, 100)
		n, _, err := syscall.Recvfrom(fd, buf, 0)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("systemd was told %q, %v; want %q", buf[:n], err, want)
		}
	}
}
