package probe

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary stands in for psw-agent: Local starts it again to ask a file system.
func TestMain(m *testing.M) {
	if code, handled := RunChild(os.Args[1:]); handled {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// withCommand makes a host on which a command of the allow-list is a shell script.
func withCommand(t *testing.T, name, script string) Host {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Local(LocalOptions{CommandDirs: []string{dir, "/bin", "/usr/bin"}})
}

func TestAllowList(t *testing.T) {
	allowed := []string{
		"corosync-quorumtool -s",
		"corosync-cfgtool -n",
		"corosync-cfgtool -s",
		"corosync-cmapctl",
		"corosync-cmapctl -m stats",
		"corosync-qdevice-tool -s",
		"ip -j addr",
		"chronyc -n -c tracking",
		strings.Join(append([]string{"systemctl"}, showUnits...), " "),
		"ceph --connect-timeout 4 status --format json",
		"ceph --connect-timeout 4 osd dump --format json",
		"ceph --connect-timeout 4 osd df tree --format json",
		"sbd -d /dev/disk/by-id/scsi-36001405 list",
		"sbd -d /dev/sdb dump",
		"ha-manager crm-command node-maintenance enable node1",
		"ha-manager crm-command node-maintenance disable pve-2",
		"pvecm create home --link0 10.10.0.1 --link1 fd00::1",
		"pvecm add 10.10.0.1 --use_ssh 1 --link0 10.10.0.2",
		"pvecm delnode node3", "pvecm qdevice setup 10.10.0.60", "pvecm qdevice setup vote.example.org", "pvecm qdevice remove",
	}
	refused := []string{
		"corosync-quorumtool", "corosync-quorumtool -e 1", "corosync-quorumtool -f", "corosync-quorumtool -s -e 1",
		"corosync-cfgtool -H", "corosync-cfgtool -k 2", "corosync-cfgtool -R",
		"corosync-cmapctl -s totem.token u32 1", "corosync-cmapctl -d nodelist.node.0.name", "corosync-cmapctl -m icmap",
		"corosync-qdevice-tool -H", "ip -j link", "ip addr add 10.0.0.1/8 dev eno1", "chronyc makestep", "systemctl restart corosync", "systemctl show",
		"ceph --connect-timeout 4 osd out 1 --format json", "ceph status", "ceph --connect-timeout 4 --format json", "ceph -s",
		"sbd -d /dev/sdb create", "sbd -d /dev/sdb message node1 reset", "sbd -d /dev/../etc/shadow dump", "sbd -d relative dump", "sbd -d /etc/passwd list",
		"ha-manager", "ha-manager status", "ha-manager remove vm:100", "ha-manager crm-command stop vm:100 0",
		"ha-manager crm-command node-maintenance enable", "ha-manager crm-command node-maintenance enable node1 node2",
		"ha-manager crm-command node-maintenance enable --help", "ha-manager crm-command node-maintenance enable ../x",
		"ha-manager crm-command node-maintenance enable node1;reboot", "ha-manager crm-command node-maintenance toggle node1",
		"ha-manager crm-command disarm-ha freeze",
		"pvecm", "pvecm status", "pvecm expected 1", "pvecm create home", "pvecm create --help --link0 10.10.0.1", "pvecm create home --link1 10.10.0.1",
		"pvecm create home --link0 node1", "pvecm create home --link0 10.10.0.1 --force 1", "pvecm add 10.10.0.1", "pvecm add 10.10.0.1 --use_ssh 1",
		"pvecm add node1 --use_ssh 1 --link0 10.10.0.2", "pvecm add 10.10.0.1 --force 1 --link0 10.10.0.2", "pvecm add 010.10.0.1 --use_ssh 1 --link0 10.10.0.2",
		"pvecm add 10.10.0.1 --use_ssh 1 --link0 fe80::1%eth0", "pvecm delnode", "pvecm delnode --help", "pvecm delnode node3 node2",
		"pvecm qdevice setup -oProxyCommand=reboot", "pvecm qdevice setup host --force 1", "pvecm qdevice", "pvecm updatecerts", "pvecm keygen /etc/x",
		"systemd-run", "systemd-run reboot", "sh", "sh -c true", "reboot", "/usr/sbin/ha-manager status", "qm shutdown 100",
	}
	host := Local(LocalOptions{CommandDirs: []string{t.TempDir()}})
	for _, line := range allowed {
		args := strings.Fields(line)
		if _, err := host.Run(t.Context(), args[0], args[1:]...); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: want it looked for, got %v", line, err)
		}
	}
	for _, line := range refused {
		args := strings.Fields(line)
		if _, err := host.Run(t.Context(), args[0], args[1:]...); err == nil || !strings.Contains(err.Error(), "allow-list") {
			t.Errorf("%s: want it refused, got %v", line, err)
		}
	}
	if Allowed("ha-manager", "crm-command", "node-maintenance", "enable", "node1\n") {
		t.Error("a node's name may not hold a newline")
	}
}

func TestExitCodeComesWithTheOutput(t *testing.T) {
	host := withCommand(t, "corosync-quorumtool", "echo Quorate: No; echo 'no quorum' >&2; exit 2")
	out, err := host.Run(t.Context(), "corosync-quorumtool", "-s")
	var exit *CommandError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || string(out) != "Quorate: No\n" {
		t.Fatalf("out %q, err %v", out, err)
	}
	if got, want := exit.Error(), "corosync-quorumtool: exit status 2: no quorum"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestCommandThatHangsIsKilled(t *testing.T) {
	// The shell starts a child that holds the output open: it has to go as well.
	host := withCommand(t, "corosync-cfgtool", "sleep 1000 & echo $!; wait")
	for range 2 { // nothing is left behind that would refuse the second
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := host.Run(ctx, "corosync-cfgtool", "-n")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "has not come back") {
			t.Fatalf("want it killed at the deadline, got %v", err)
		}
	}
}

func TestCommandThatHangsIsNotStartedTwice(t *testing.T) {
	host := withCommand(t, "corosync-cfgtool", "read line < "+fifo(t)+"; echo done")
	first := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := host.Run(ctx, "corosync-cfgtool", "-n")
		first <- err
	}()
	children := &host.(*localHost).children
	for running := 0; running == 0; {
		children.mu.Lock()
		running = len(children.running)
		children.mu.Unlock()
		runtime.Gosched()
	}
	if _, err := host.Run(t.Context(), "corosync-cfgtool", "-n"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one while the first hangs: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: %v", err)
	}
}

// fifo makes a pipe nobody writes to: whoever opens it for reading waits.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandThatFloodsIsCut(t *testing.T) {
	host := withCommand(t, "corosync-cmapctl", "head -c 5000000 /dev/zero; head -c 100000 /dev/zero >&2; exit 1")
	out, err := host.Run(t.Context(), "corosync-cmapctl")
	var exit *CommandError
	if len(out) != outputMax || !errors.As(err, &exit) || len(exit.Complaint) != complaintMax {
		t.Errorf("kept %d bytes, err %T", len(out), err)
	}
}

func TestCommandRunsInACleanEnvironment(t *testing.T) {
	t.Setenv("PSW_SECRET", "hunter2")
	t.Setenv("PERL5LIB", "/tmp")
	host := withCommand(t, "corosync-cmapctl", "env; cat")
	out, err := host.Run(t.Context(), "corosync-cmapctl")
	if err != nil || bytes.Contains(out, []byte("hunter2")) || bytes.Contains(out, []byte("PERL5LIB")) || !bytes.Contains(out, []byte("LC_ALL=C\n")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// With stat(1) and without, the answer is the same.
func TestStatfsOfThisMachine(t *testing.T) {
	dir := t.TempDir()
	totals := map[uint64]bool{}
	for _, host := range []Host{Local(LocalOptions{}), Local(LocalOptions{CommandDirs: []string{dir}})} {
		total, free, err := host.Statfs(t.Context(), dir)
		if err != nil || total == 0 || free > total {
			t.Errorf("total %d, free %d, %v", total, free, err)
		}
		totals[total] = true
		for _, path := range []string{"/does/not/exist", "/does: not/'exist'"} {
			var said *fs.PathError
			if _, _, err := host.Statfs(t.Context(), path); !errors.As(err, &said) || err.Error() != "statfs "+path+": no such file or directory" {
				t.Errorf("nothing there: %v", err)
			}
		}
	}
	if len(totals) != 1 {
		t.Errorf("stat(1) and statfs(2) disagree: %v", totals)
	}
}

// What stat(1) says of itself is no answer of the file system.
func TestStatThatCouldNotAsk(t *testing.T) {
	for _, script := range []string{"echo stat: out of memory >&2; exit 1", "echo 4096 hello", "kill -9 $$", "exit 1",
		"echo \"stat: cannot read file system information for '/': \" >&2; exit 1",
		"echo \"stat: cannot read file system information for '/': Stale file handle\" >&2; exit 2"} {
		_, _, err := withCommand(t, "stat", script).Statfs(t.Context(), "/")
		if _, answered := ownAnswer(err); err == nil || answered {
			t.Errorf("%q: %v", script, err)
		}
	}
	_, _, err := withCommand(t, "stat", "echo \"stat: cannot read file system information for '/': Stale file handle\" >&2; exit 1").Statfs(t.Context(), "/")
	if said, answered := ownAnswer(err); !answered || said.Error() != "stale file handle" {
		t.Errorf("%v", err)
	}
}

// A child that cannot be started, or dies, is no answer of the file system.
func TestStatfsThatCouldNotBeAsked(t *testing.T) {
	for _, child := range [][]string{{"/does/not/exist"}, {"/bin/sh", "-c", "echo oops >&2; exit 1"}, {"/bin/sh", "-c", "kill -9 $$"}, {"/bin/sh", "-c", "echo hello"}} {
		_, _, err := Local(LocalOptions{Child: child}).Statfs(t.Context(), "/")
		if _, answered := ownAnswer(err); err == nil || answered {
			t.Errorf("%q: %v", child, err)
		}
	}
}

func TestStatfsThatHangsIsKilled(t *testing.T) {
	host := Local(LocalOptions{Child: []string{"/bin/sh", "-c", "read line < " + fifo(t)}})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, _, err := host.Statfs(ctx, "/mnt/pve/nas")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want the deadline, got %v", err)
		}
	}
}

// A real write leaves nothing behind but its folder, not even what an attempt left that was
// killed; and it says what the file system said.
func TestWriteHere(t *testing.T) {
	host, dir := Local(LocalOptions{}), t.TempDir()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, WriteFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	leftover, foreign := filepath.Join(folder, "write-"+name+"-123"), filepath.Join(folder, "write-another-123")
	for _, file := range []string{leftover, foreign} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.TryWrite(t.Context(), dir); err != nil {
		t.Errorf("an ordinary folder: %v", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(foreign) {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	var said *fs.PathError
	if err := host.TryWrite(t.Context(), "/does/not/exist"); !errors.As(err, &said) || said.Op != "write" {
		t.Errorf("nothing there: %v", err)
	}
	if err := host.TryWrite(t.Context(), "/proc/sys"); !errors.As(err, &said) {
		t.Errorf("a file system that refuses: %v", err)
	}
}

func TestWriteThatHangsIsKilled(t *testing.T) {
	host := Local(LocalOptions{Child: []string{"/bin/sh", "-c", "read line < " + fifo(t)}})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := host.TryWrite(ctx, "/mnt/pve/nas")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want the deadline, got %v", err)
		}
	}
}

func TestChild(t *testing.T) {
	var out, complaint bytes.Buffer
	if code := child([]string{"statfs", "/"}, &out, &complaint); code != 0 || out.Len() == 0 {
		t.Errorf("code %d, %q, %q", code, &out, &complaint)
	}
	if code := child(nil, &out, &complaint); code != 2 || !strings.Contains(complaint.String(), "PATH") {
		t.Errorf("without a path: code %d, %q", code, &complaint)
	}
	if _, handled := RunChild([]string{"run"}); handled {
		t.Error("an ordinary command line is not for the child")
	}
}

// TestThisMachine looks at the machine the tests run on: whatever it is, it has memory,
// processors and a boot, and it is no Proxmox node with quorum out of nothing.
func TestThisMachine(t *testing.T) {
	r := Look(t.Context(), Local(LocalOptions{}), "node1")
	s := r.System
	if s.MemoryTotal == 0 || s.MemoryAvailable == 0 || s.CPUs == 0 || s.Uptime == 0 || s.BootID == "" || s.Kernel == "" {
		t.Errorf("system: %+v, failures: %v", s, r.Failures)
	}
	if _, failed := r.Failed("guests"); failed {
		t.Errorf("processes can be listed anywhere: %v", r.Failures)
	}
	if r.Corosync.Quorate && !r.Corosync.Running {
		t.Errorf("quorate without corosync: %+v", r.Corosync)
	}
}

func TestLocalStaysBelowItsRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), bytes.Repeat([]byte("x"), 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	host := Local(LocalOptions{Root: root})
	if data, err := read(host, "file"); err != nil || len(data) != 1000 {
		t.Errorf("read %d bytes: %v", len(data), err)
	}
	for _, name := range []string{"../etc/passwd", "/etc/passwd", "etc/pve/nodes/../../passwd", ""} {
		if _, err := host.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open %q: %v", name, err)
		}
		if _, err := read(host, name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("read %q: %v", name, err)
		}
		if _, err := host.ReadLink(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("readlink %q: %v", name, err)
		}
	}
	if _, err := read(host, "missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// pvecm runs in a unit of systemd's: neither the agent's own limits nor its end reach it.
func TestPvecmRunsOutsideTheSandbox(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{"pvecm": "exit 9", "systemd-run": `echo "$@"`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, err := Local(LocalOptions{CommandDirs: []string{dir}}).Run(t.Context(), "pvecm", "delnode", "node3")
	if err != nil || !strings.Contains(string(out), "--wait") || !strings.Contains(string(out), "RuntimeMaxSec=900") || !strings.HasSuffix(string(out), "-- "+dir+"/pvecm delnode node3\n") {
		t.Errorf("ran systemd-run %s, %v", out, err)
	}
	// What went wrong is pvecm's: it is what was ordered, and its words are what is shown.
	if err := os.WriteFile(filepath.Join(dir, "systemd-run"), []byte("#!/bin/sh\necho no quorum >&2; exit 255"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Local(LocalOptions{CommandDirs: []string{dir}}).Run(t.Context(), "pvecm", "delnode", "node3"); err == nil || err.Error() != "pvecm: exit status 255: no quorum" {
		t.Errorf("pvecm fails: %v", err)
	}
}

// Two files may be written, whole, and no other.
func TestFilesThatMayBeWritten(t *testing.T) {
	root := t.TempDir()
	host := Local(LocalOptions{Root: root}).(interface {
		WriteFile(name string, data []byte, perm fs.FileMode) error
	})
	for _, text := range []string{"first, and longer\n", "second\n"} {
		if err := host.WriteFile("root/.ssh/known_hosts", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(root, "root/.ssh/known_hosts"))
		if err != nil || string(data) != text {
			t.Errorf("%q, %v; want %q", data, err, text)
		}
	}
	if list, _ := os.ReadDir(filepath.Join(root, "root/.ssh")); len(list) != 1 {
		t.Errorf("it left %v behind", list)
	}
	// Where pmxcfs is not mounted nothing takes its place on the node's own disk.
	if err := os.MkdirAll(filepath.Join(root, "etc/pve"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := host.WriteFile("etc/pve/priv/authorized_keys", []byte("key\n"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without pmxcfs: %v", err)
	}
	if list, _ := os.ReadDir(filepath.Join(root, "etc/pve")); len(list) != 0 {
		t.Errorf("without pmxcfs %v was made", list)
	}
	for _, name := range []string{"etc/passwd", "root/.ssh/authorized_keys", "root/.ssh/../.bashrc", "/root/.ssh/known_hosts", "etc/pve/corosync.conf"} {
		if err := host.WriteFile(name, nil, 0o600); err == nil || !strings.Contains(err.Error(), "list of files") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
