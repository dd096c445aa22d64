package pvesim

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// /proc of a node.

// Processes that run on every node, besides the guests'.
const (
	corosyncPID = 500
	chronyPID   = 550
	muxPID      = 600
	crmPID      = 700
	lrmPID      = 701
)

// muxFiles are what watchdog-mux holds open.
var muxFiles = map[string]string{"0": "/dev/null", "1": "socket:[9001]", "2": "socket:[9001]", "3": "socket:[9002]", "4": "/dev/watchdog"}

// host process: a daemon or a guest.
type hostProcess struct {
	pid     int
	comm    string
	args    []string
	started instant
}

// hostProcesses are the processes a program on the node would look for, by PID.
func (n *node) hostProcesses() []hostProcess {
	boot := n.booted.add(20 * time.Second)
	list := []hostProcess{
		{chronyPID, "chronyd", []string{"/usr/sbin/chronyd", "-F", "1"}, boot},
		{muxPID, "watchdog-mux", []string{"/usr/sbin/watchdog-mux"}, boot},
	}
	if n.conf != nil {
		list = append(list, hostProcess{corosyncPID, "corosync", []string{"/usr/sbin/corosync", "-f"}, boot})
	}
	if n.crm != nil {
		list = append(list, hostProcess{crmPID, "pve-ha-crm", []string{"pve-ha-crm"}, boot},
			hostProcess{lrmPID, "pve-ha-lrm", []string{"pve-ha-lrm"}, boot})
	}
	for _, p := range n.procs {
		list = append(list, p.host())
	}
	slices.SortFunc(list, func(a, b hostProcess) int { return a.pid - b.pid })
	return list
}

// host is a guest's process: kvm, or the monitor of a container. A kvm that was started to
// receive a migration says so in its command line for the rest of its life.
func (p *process) host() hostProcess {
	id := strconv.Itoa(p.g.id)
	if p.g.kind == lxc {
		return hostProcess{p.pid, "lxc-start", []string{"/usr/bin/lxc-start", "-F", "-n", id}, p.started}
	}
	args := []string{
		"/usr/bin/kvm", "-id", id, "-name", p.g.name() + ",debug-threads=on", "-no-shutdown",
		"-chardev", "socket,id=qmp,path=/var/run/qemu-server/" + id + ".qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control",
		"-pidfile", "/var/run/qemu-server/" + id + ".pid", "-daemonize", "-m", strconv.FormatInt(p.g.memory()>>20, 10),
	}
	if p.arrived {
		args = append(args, "-incoming", "unix:/run/qemu-server/"+id+".migrate", "-S")
	}
	return hostProcess{p.pid, "kvm", args, p.started}
}

// proc finds what a path below /proc names.
func (n *node) proc(name string) (entry, bool) {
	switch name {
	case "":
		names := []string{"self/", "sys/", "cpuinfo", "loadavg", "meminfo", "modules", "stat", "uptime"}
		for _, p := range n.hostProcesses() {
			names = append(names, strconv.Itoa(p.pid)+"/")
		}
		return folder(0o555, names...)
	case "uptime":
		up := n.c.clock.real(n.c.now().sub(n.booted)).Seconds()
		return file(fmt.Sprintf("%.2f %.2f\n", up, up*float64(n.spec.CPUs)*0.9))
	case "loadavg":
		return file(fmt.Sprintf("%.2f 0.25 0.20 1/%d 4711\n", n.stat().cpu*float64(n.spec.CPUs), 300+len(n.procs)))
	case "meminfo":
		return file(n.meminfo())
	case "stat":
		return file(n.procStat())
	case "cpuinfo":
		return file(n.cpuinfo())
	case "modules":
		return file("softdog 16384 1 - Live 0x0000000000000000\nnfsv4 1089536 2 - Live 0x0000000000000000\nkvm_amd 212992 0 - Live 0x0000000000000000\n")
	case "sys":
		return folder(0o555, "kernel/")
	case "sys/kernel":
		return folder(0o555, "osrelease", "random/")
	case "sys/kernel/random":
		return folder(0o555, "boot_id")
	case "sys/kernel/osrelease":
		return file(kernel + "\n")
	case "sys/kernel/random/boot_id":
		return file(uuid("boot "+n.name, n.boot) + "\n")
	case "self":
		return folder(0o555, "mountinfo", "mountstats")
	case "self/mountinfo":
		return file(n.mountinfo())
	case "self/mountstats":
		return file(n.mountstats())
	case "fs/nfsfs/volumes":
		return file(n.volumes())
	case "cmdline":
		return file("BOOT_IMAGE=/boot/vmlinuz-" + kernel + " root=/dev/mapper/pve-root ro quiet\n")
	case "net/route":
		return file("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\nvmbr0\t00000000\t0107630A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	}
	pid, rest, _ := strings.Cut(name, "/")
	for _, p := range n.hostProcesses() {
		if strconv.Itoa(p.pid) == pid {
			return n.processFile(p, rest)
		}
	}
	return entry{}, false
}

func (n *node) processFile(p hostProcess, name string) (entry, bool) {
	switch name {
	case "":
		return folder(0o555, "cmdline", "comm", "fd/", "stat", "status")
	case "comm":
		return file(p.comm + "\n")
	case "cmdline":
		return file(strings.Join(p.args, "\x00") + "\x00")
	case "stat":
		const perSecond = 100
		ticks := int64(n.c.clock.real(p.started.sub(n.booted)).Seconds() * perSecond)
		return file(fmt.Sprintf("%d (%s) S 1 %d %d 0 -1 4194560 5132 0 0 0 311 85 0 0 20 0 1 0 %d 1065103360 5120 18446744073709551615\n",
			p.pid, p.comm, p.pid, p.pid, max(ticks, 0)))
	case "status":
		return file(fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nTgid:\t%d\nPid:\t%d\nNSpid:\t%d\n", p.comm, p.pid, p.pid, p.pid))
	case "fd":
		if p.pid != muxPID {
			return folder(0o500)
		}
		var names []string
		for fd := range muxFiles {
			names = append(names, fd+"@")
		}
		return folder(0o500, names...)
	}
	return entry{}, false
}

func (n *node) meminfo() string {
	total, used := n.spec.Memory>>10, n.stat().mem>>10
	return fmt.Sprintf("MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\nBuffers:        %8d kB\nCached:         %8d kB\n",
		total, (total-used)*3/4, total-used, (total-used)/50, (total-used)/5)
}

func (n *node) procStat() string {
	var b strings.Builder
	busy := int64(n.c.clock.real(n.c.now().sub(n.booted)).Seconds() * 10)
	fmt.Fprintf(&b, "cpu  %d 0 %d %d 0 0 0 0 0 0\n", busy*int64(n.spec.CPUs), busy, busy*9)
	for k := range n.spec.CPUs {
		fmt.Fprintf(&b, "cpu%d %d 0 %d %d 0 0 0 0 0 0\n", k, busy, busy/4, busy*9)
	}
	fmt.Fprintf(&b, "ctxt 12345678\nbtime %d\nprocesses %d\nprocs_running 1\nprocs_blocked 0\n", n.c.unix(n.booted), n.nextPID)
	return b.String()
}

func (n *node) cpuinfo() string {
	var b strings.Builder
	for k := range n.spec.CPUs {
		fmt.Fprintf(&b, "processor\t: %d\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nmicrocode\t: 0xa0011d5\ncpu MHz\t\t: 2596.098\nflags\t\t: %s\n\n", k, cpuFlags)
	}
	return b.String()
}

// cpuFlags are an x86-64-v3 processor's that can run virtual machines.
const cpuFlags = "fpu cx8 cmov mmx fxsr sse sse2 syscall nx lm pni ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand lahf_lm svm abm bmi1 avx2 bmi2"

// mounted are the NFS storages that are mounted on the node, as they were then.
func (n *node) mounted() []*storage {
	var list []*storage
	for _, s := range n.mounts {
		if !n.c.faults.failedStorage[s.id][n.name] && !n.c.faults.masked[s.id+" "+n.name] {
			if export, other := n.c.faults.exports[s.id+" "+n.name]; other {
				s = s.clone()
				s.export = export
			}
			list = append(list, s)
		}
	}
	return list
}

// mountOptions are the kernel's words for how an NFS storage is mounted.
func (n *node) mountOptions(s *storage) string {
	version, behaviour := "4.2", "hard"
	for option := range strings.SplitSeq(s.options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "vers", "nfsvers":
			version = value
		case "soft", "softerr", "hard":
			behaviour = key
		}
	}
	address := s.server
	if _, err := netip.ParseAddr(address); err != nil {
		address = "10.99.7.1" // what the name of the server stands for
	}
	return fmt.Sprintf("rw,vers=%s,rsize=1048576,wsize=1048576,namlen=255,%s,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=%s,local_lock=none,addr=%s",
		version, behaviour, n.spec.Address, address)
}

func nfsType(options string) string {
	if strings.Contains(options, "vers=3") {
		return "nfs"
	}
	return "nfs4"
}

func (n *node) mountinfo() string {
	var b strings.Builder
	b.WriteString("22 29 0:5 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=8158384k,nr_inodes=2039596,mode=755,inode64\n" +
		"23 29 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw\n" +
		"24 29 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n" +
		"29 1 252:1 / / rw,relatime shared:1 - ext4 /dev/mapper/pve-root rw,errors=remount-ro\n" +
		"33 29 0:40 / /etc/pve rw,nosuid,nodev,relatime shared:120 - fuse /dev/fuse rw,user_id=0,group_id=0,default_permissions,allow_other\n")
	for k, s := range n.mounted() {
		options := n.mountOptions(s)
		fmt.Fprintf(&b, "%d 29 0:%d / %s rw,relatime shared:%d - %s %s:%s %s\n", 40+k, 50+k, s.path, 200+k, nfsType(options), s.server, s.export, options)
	}
	return b.String()
}

// volumes is /proc/fs/nfsfs/volumes. The id is the server's own for what it exports, so that
// every node sees the same.
func (n *node) volumes() string {
	var b strings.Builder
	b.WriteString("NV SERVER   PORT DEV          FSID                              FSC\n")
	for k, s := range n.mounted() {
		id := uuid(s.server+":"+s.export, 0)
		fmt.Fprintf(&b, "v4 0a0a0032  801 0:%-10d %s:%s no \n", 50+k, id[:8], id[9:13])
	}
	return b.String()
}

// mountstats counts an operation every ten seconds since boot, a millisecond each; one of
// a server that does not answer has timed out.
func (n *node) mountstats() string {
	var b strings.Builder
	b.WriteString("device proc mounted on /proc with fstype proc\ndevice /dev/mapper/pve-root mounted on / with fstype ext4\n")
	age := int64(n.c.clock.real(n.c.now().sub(n.booted)).Seconds())
	operations := age/10 + 1
	for _, s := range n.mounted() {
		timeouts := flag(n.silent(s))
		options := n.mountOptions(s)
		fmt.Fprintf(&b, "device %s:%s mounted on %s with fstype %s statvers=1.1\n", s.server, s.export, s.path, nfsType(options))
		fmt.Fprintf(&b, "\topts:\t%s\n\tage:\t%d\n\timpl_id:\tname='',domain='',date='0,0'\n", options, age)
		b.WriteString("\tcaps:\tcaps=0xfffbc0bf,wtmult=512,dtsize=1048576,bsize=0,namlen=255\n\tsec:\tflavor=1,pseudoflavor=1\n" +
			"\tevents:\t1 0 0 0 1 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 \n\tbytes:\t0 0 0 0 0 0 0 0 \n" +
			"\tRPC iostats version: 1.1  p/v: 100003/4 (nfs)\n\txprt:\ttcp 0 0 2 0 1 28 28 0 28 0 2 0 0\n\tper-op statistics\n")
		fmt.Fprintf(&b, "\t     GETATTR: %d %d 0 %d %d 0 %d %d 0\n", operations, operations, operations*148, operations*240, operations, operations)
		fmt.Fprintf(&b, "\t      STATFS: %d %d %d %d %d 0 %d %d 0\n\n", operations, operations, timeouts, operations*148, operations*160, operations, operations)
	}
	return b.String()
}
