package probe

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// sameReport compares two reports but for when they were made.
func sameReport(t *testing.T, name string, want, got ha.Report) {
	t.Helper()
	for _, r := range []*ha.Report{&want, &got} {
		r.Took = 0
		for k := range r.Mounts {
			r.Mounts[k].Took = 0
		}
	}
	want.Taken = got.Taken
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// recordAgain records a machine, and reads that recording.
func recordAgain(t *testing.T, host *Recording) (read *Recording, text []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { text = record(t.Context(), host, host.Node).Bytes() })
	read, err := ParseRecording(text)
	if err != nil {
		t.Fatalf("%s: %v\n%s", host.Node, err, text)
	}
	return read, text
}

// TestRecordingOfAHostIsThatHost records every machine of testdata once more: a recording
// gives the same report as the machine, and recording it again changes nothing.
func TestRecordingOfAHostIsThatHost(t *testing.T) {
	names, err := filepath.Glob("testdata/hosts/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal(len(names), err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		original := load(t, name)
		read, text := recordAgain(t, original)
		sameReport(t, name, lookAt(t, original), lookAt(t, read))
		if diff := cmp.Diff(string(text), string(read.Bytes())); diff != "" {
			t.Errorf("%s: read and written again (-want +got):\n%s", name, diff)
		}
	}
}

func TestRecordWritesAFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	var file string
	var err error
	synctest.Test(t, func(t *testing.T) { file, err = Record(t.Context(), load(t, "nfs-server-frozen.pve1"), "pve1", dir) })
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecording(text)
	if err != nil || r.Node != "pve1" || !strings.Contains(r.Comment, "lrm could not look: ") || !r.statfs["/mnt/pve/nfshard"].hangs {
		t.Errorf("%s: %v\n%s", file, err, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a recording is for its maker's eyes first: %v, %v", info.Mode(), err)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := Record(t.Context(), load(t, "healthy.pve1"), "pve1", dir); err == nil {
			t.Error("an earlier recording was overwritten")
		}
	})
}

// TestRecordingKeepsNoSecrets puts secrets and other people's business where a node has
// them, and looks for them in the recording.
func TestRecordingKeepsNoSecrets(t *testing.T) {
	host := load(t, "busy.pve1")
	host.add("proc/4000/comm", "mysqld\n")
	host.add("proc/4000/cmdline", "mysqld\x00--password=SECRET1\x00")
	host.add("proc/1000/cmdline", "/usr/bin/kvm\x00-id\x00100\x00-name\x00web,SECRET2\x00-vnc\x00unix:/x,password=SECRET3\x00"+
		"-drive\x00file=rbd:pool/x:id=SECRET4:key=SECRET5,serial=SECRET6\x00-smbios\x00type=1,serial=SECRET7\x00-incoming\x00tcp:SECRET8\x00")
	host.add("etc/pve/nodes/pve1/qemu-server/100.conf", "#SECRET9%3A in the notes\nname: web\ncipassword: SECRET10\nciuser: SECRET11\n"+
		"sshkeys: SECRET12\nargs: -device SECRET13\nsmbios1: uuid=SECRET14\nnet0: virtio=SECRET15\ndescription: SECRET16\n"+
		"scsi0: nas:100/vm-100-disk-0.raw,serial=SECRET17,size=16M,wwn=SECRET18\n[snap]\n#SECRET19\ndescription: SECRET20\nscsi0: nas:100/x.raw\n")
	host.add("etc/pve/storage.cfg", "cifs: media\n\tpassword SECRET21\n\tusername SECRET22\n\npbs: backup\n\tfingerprint SECRET23\n\tusername SECRET24\n\nnfs: nas\n")
	host.add("etc/default/pve-ha-manager", "TOKEN=SECRET25\nWATCHDOG_MODULE=softdog\n")
	host.add("proc/self/mountinfo", "50 29 0:60 / /mnt/cifs rw - cifs //srv/x rw,username=SECRET26,password=SECRET27\n"+
		"40 29 0:50 / /mnt/pve/nas rw - nfs4 10.10.0.50:/mnt/pool/psw rw,vers=4.2,hard,addr=10.10.0.50\n")
	host.add("var/lib/dpkg/status", "Package: SECRET28\nStatus: install ok installed\nVersion: 1\n\nPackage: pve-manager\nStatus: install ok installed\nMaintainer: SECRET29\nVersion: 9.2.11\n")
	host.add("etc/pve/ha/fence.cfg", "device apc rack ip=SECRET31 password=\"SECRET32\"\nconnect rack node=pve1 plug=SECRET33\n# SECRET34\n")
	host.add("etc/pve/datacenter.cfg", "description: SECRET35\nfencing: watchdog\nemail_from: SECRET36\n")
	host.add("etc/pve/ceph.conf", "[global]\nfsid = 5b1c3f80\npublic_network = 10.20.0.0/24\n[client.rgw]\nrgw_key = SECRET37\n")
	host.add("etc/pve/replication.cfg", "local: 100-0\n\ttarget pve2\n\tcomment SECRET38\n")
	host.add("etc/systemd/system.conf", "[Manager]\nDefaultEnvironment=TOKEN=SECRET39\nRuntimeWatchdogSec=10\n")
	host.add("proc/cmdline", "root=SECRET40 systemd.watchdog_sec=20\n")
	host.add("root/.ssh/id_rsa.pub", "ssh-rsa AAAAB3 SECRET41\n")
	host.add("etc/ssh/ssh_host_rsa_key.pub", "-----BEGIN SECRET42-----\n")
	host.add("etc/modprobe.d/x.conf", "options cifs SECRET43\nblacklist softdog\n")
	host.add("proc/cpuinfo", "processor\t: 0\nSerial\t: SECRET44\nflags\t: fpu\n")
	host.runs["ip -j addr"] = recordedAnswer{output: []byte(`[{"ifname":"vmbr0","address":"SECRET45","addr_info":[{"local":"10.10.0.198","prefixlen":24,"scope":"global","label":"SECRET46"}]}]`)}
	run := host.runs["corosync-cmapctl"]
	run.output = append([]byte("totem.key (str) = SECRET30\n"), run.output...)
	host.runs["corosync-cmapctl"] = run

	var copied *Recording
	synctest.Test(t, func(t *testing.T) { copied = record(t.Context(), host, "pve1") })
	for line := range strings.Lines(string(copied.Bytes())) {
		if strings.Contains(line, "SECRET") || strings.Contains(line, "mysqld") {
			t.Errorf("recorded: %s", line)
		}
	}
	sameReport(t, "without its secrets", lookAt(t, host), lookAt(t, copied))
}

func TestRecordingThatIsNone(t *testing.T) {
	for _, text := range []string{
		"", "hello\n", "node: a\n-- what is this --\n", "node: a\n-- dir x --\n", "node: a\n-- dir 999 x --\n",
		"node: a\n-- link a b --\n", "node: a\n-- quoted x --\nabc\n", "node: a\n-- statfs /x --\nfine\n",
		"node: a\n-- run corosync-cmapctl --\n", "node: a\n-- run 0 --\n", "node: a\n-- write /x --\nfine\n", "node: a\n-- write /x --\ntotal 1 free 1\n", "node: a\n-- clock --\nlate\n",
		"node: a\n-- clock --\nsynchronized maybe offset 1 maximum 2 estimated 3\n",
	} {
		if r, err := ParseRecording([]byte(text)); err == nil {
			t.Errorf("%q was taken for %+v", text, r)
		}
	}
}

func TestRecordingIsAFileSystem(t *testing.T) {
	r := load(t, "busy.pve1")
	entries, err := fs.ReadDir(r, "proc/700/fd")
	if err != nil || len(entries) != 1 || entries[0].Name() != "4" || entries[0].Type() != fs.ModeSymlink {
		t.Errorf("%v, %v", entries, err)
	}
	if data, err := fs.ReadFile(r, "etc/pve/local/lrm_status"); err != nil || len(data) == 0 {
		t.Errorf("through a link: %q, %v", data, err)
	}
	if entries, err := fs.ReadDir(r, "run/watchdog-mux.active"); err != nil || len(entries) != 0 {
		t.Errorf("an empty folder: %v, %v", entries, err)
	}
	if _, err := fs.ReadFile(r, "run/watchdog-mux.active"); err == nil {
		t.Error("a folder was read as a file")
	}
}
