package probe

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// crowded is the busy machine with more processes and guests.
func crowded(b *testing.B, guests, processes int) *Recording {
	b.Helper()
	host := load(b, "busy.pve1")
	stat := string(host.files["proc/1000/stat"].data)
	for k := range guests {
		pid, id := 10_000+k, 2000+k
		dir := fmt.Sprintf("proc/%d/", pid)
		host.add(dir+"comm", "kvm\n")
		host.add(dir+"stat", strings.Replace(stat, "1000", fmt.Sprint(pid), 1))
		host.add(dir+"status", fmt.Sprintf("NSpid:\t%d\n", pid))
		host.add(dir+"cmdline", fmt.Sprintf("/usr/bin/kvm\x00-id\x00%d\x00-name\x00guest%d\x00-incoming\x00", id, k)+strings.Repeat("-device\x00virtio\x00", 60))
		host.add(fmt.Sprintf("etc/pve/nodes/pve1/qemu-server/%d.conf", id),
			strings.Repeat("net0: virtio=BC:24:11:00:01:10,bridge=vmbr0\n", 20)+fmt.Sprintf("name: guest%d\nscsi0: nas:%d/vm-%d-disk-0.raw,size=16M\n", k, id, id))
	}
	for k := range processes {
		host.add(fmt.Sprintf("proc/%d/comm", 100_000+k), "kworker/0:1\n")
	}
	return host
}

// BenchmarkLook is one round on a node with 100 guests and 800 other processes: what an
// agent costs every five seconds, without the corosync tools themselves.
func BenchmarkLook(b *testing.B) {
	p := New(indexed(crowded(b, 100, 800)), "pve1")
	if r := p.Look(b.Context()); len(r.Running) != 105 || len(r.Failures) != 0 {
		b.Fatalf("%d guests, %v", len(r.Running), r.Failures)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Look(b.Context())
	}
}

// BenchmarkLookHere is a round on the machine the benchmark runs on, with its real /proc.
func BenchmarkLookHere(b *testing.B) {
	p := New(Local(LocalOptions{}), "node1")
	b.ReportAllocs()
	for b.Loop() {
		p.Look(b.Context())
	}
}

// BenchmarkStatfsHere is what asking one mount costs: a child process. Its processor time
// is that of children alone.
func BenchmarkStatfsHere(b *testing.B) {
	host := Local(LocalOptions{})
	used := func() (d time.Duration) {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	for b.Loop() {
		if _, _, err := host.Statfs(b.Context(), "/"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "child-cpu-µs/op")
}

// BenchmarkMounts is our reading of mountinfo and mountstats of a machine with four NFS mounts;
// BenchmarkMountsByProcfs is that of Prometheus' procfs, from files in memory-backed /tmp.
func BenchmarkMounts(b *testing.B) {
	host := load(b, "nfs-healthy.pve1")
	info, stats := string(host.files["proc/self/mountinfo"].data), string(host.files["proc/self/mountstats"].data)
	b.ReportAllocs()
	for b.Loop() {
		if mounts, err := parseMountinfo(info); err != nil || len(mounts) == 0 || len(parseMountstats(stats)) == 0 {
			b.Fatal(mounts, err)
		}
	}
}

func BenchmarkMountsByProcfs(b *testing.B) {
	host := load(b, "nfs-healthy.pve1")
	fsys, err := procfs.NewFS(procFolder(b, keepLines(host.files["proc/self/mountinfo"].data, func(line string) string {
		if _, isNFS, _ := parseMount(line); isNFS { // of others a recording has no options, which procfs refuses
			return line
		}
		return ""
	}), host.files["proc/self/mountstats"].data))
	if err != nil {
		b.Fatal(err)
	}
	process, err := fsys.Proc(1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		mounts, err := process.MountInfo()
		if err != nil || len(mounts) == 0 {
			b.Fatal(err)
		}
		if stats, err := process.MountStats(); err != nil || len(stats) == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkGuestConfig(b *testing.B) {
	text := string(crowded(b, 1, 0).files["etc/pve/nodes/pve1/qemu-server/2000.conf"].data)
	storages := parseStorages("nfs: nas\n")
	b.ReportAllocs()
	for b.Loop() {
		parseGuestConfig(ha.MustSID("vm:2000"), text, storages)
	}
}

// listed is a recording that remembers its folders: a real /proc does not search all
// files of the machine to list one.
type listed struct {
	*Recording
	folders map[string][]fs.DirEntry
}

func indexed(r *Recording) *listed {
	l := &listed{Recording: r, folders: map[string][]fs.DirEntry{}}
	for _, dir := range []string{"proc", "etc/pve/nodes/pve1/qemu-server", "etc/pve/nodes/pve1/lxc"} {
		l.folders[dir] = r.children(dir)
	}
	return l
}

func (l *listed) ReadDir(name string) ([]fs.DirEntry, error) {
	if entries, ok := l.folders[name]; ok {
		return entries, nil
	}
	f, err := l.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.(fs.ReadDirFile).ReadDir(-1)
}

func (l *listed) ReadFile(name string) ([]byte, error) {
	if file, ok := l.files[name]; ok && !file.dir {
		return file.data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
