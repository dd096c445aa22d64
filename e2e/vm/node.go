package vm

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Node is a node of a story's cluster, and what can happen to it.
type Node struct {
	l *Lab
	m *machine
}

// Node returns a node by name.
func (l *Lab) Node(name string) *Node {
	l.t.Helper()
	for _, m := range l.rig.machines {
		if m.name == name && m.role() == "node" {
			return &Node{l, m}
		}
	}
	l.t.Fatalf("there is no node %s", name)
	return nil
}

// Run runs a shell script on the node and returns what it prints; it must exit with 0.
func (n *Node) Run(script string) string {
	n.l.t.Helper()
	out, err := n.m.run(n.l.t.Context(), script)
	n.l.must(err)
	return strings.TrimSpace(out)
}

// Write writes a file on the node, and the folders it is in.
func (n *Node) Write(path, text string, perm fs.FileMode) {
	n.l.t.Helper()
	n.l.must(n.m.put(n.l.t.Context(), path, text))
	n.Run(fmt.Sprintf("chmod %o %s", perm, path))
}

// Try runs a shell script on the node and returns what it prints and its exit code.
func (n *Node) Try(script string) (out string, code int) {
	n.l.t.Helper()
	out, code, err := n.m.agent.exec(n.l.t.Context(), script)
	n.l.must(err)
	return strings.TrimSpace(out), code
}

// CutLink makes packets of a corosync link vanish on their way, both ways: a switch that
// lost its mind. The node's interface still has its carrier.
func (n *Node) CutLink(number int) { n.l.t.Helper(); n.tap(number, "down") }

// MendLink ends CutLink.
func (n *Node) MendLink(number int) { n.l.t.Helper(); n.tap(number, "up") }

func (n *Node) tap(number int, state string) {
	n.l.t.Helper()
	n.l.must(ip(n.l.t.Context(), "link", "set", tap(n.m.name, number), state))
}

// DeafenLink drops what arrives on a link, but not what leaves: a firewall rule too many.
func (n *Node) DeafenLink(number int) {
	n.l.t.Helper()
	n.Run(fmt.Sprintf("nft add table inet lab; nft add chain inet lab in '{ type filter hook input priority 0; }'; nft add rule inet lab in iifname eth%d drop", number))
}

// HearAgain ends DeafenLink.
func (n *Node) HearAgain() { n.l.t.Helper(); n.Run("nft delete table inet lab") }

// PullCable takes the carrier from a link's interface.
func (n *Node) PullCable(number int) { n.l.t.Helper(); n.cable(number, false) }

// PlugCable ends PullCable.
func (n *Node) PlugCable(number int) { n.l.t.Helper(); n.cable(number, true) }

func (n *Node) cable(number int, up bool) {
	n.l.t.Helper()
	n.l.must(n.m.qmp.run(n.l.t.Context(), "set_link", map[string]any{"name": fmt.Sprintf("eth%d", number), "up": up}))
}

// Unmount takes whatever is mounted on the shared storage's path away. Somebody may be in
// the middle of looking at it.
func (n *Node) Unmount() {
	n.l.t.Helper()
	n.Run("for try in 1 2 3 4 5 6 7 8 9; do mountpoint -q " + sharedPath + " || exit 0; umount " + sharedPath + " || sleep 0.5; done; exit 1")
}

// Mount mounts the shared storage, as Proxmox would; options are besides its own.
func (n *Node) Mount(options ...string) {
	n.l.t.Helper()
	n.Run("/usr/lib/lab/mount-shared " + strings.Join(options, ","))
}

// Impersonate makes the node its own NFS server, by the real one's address: nothing but what
// lies there is another.
func (n *Node) Impersonate() {
	n.l.t.Helper()
	n.Run("set -e; modprobe nfsd; ip addr add " + nasAddress + "/32 dev lo; mkdir -p /nfsroot; mount -t tmpfs tmpfs /nfsroot; mkdir /nfsroot/export; " +
		"mount -t nfsd nfsd /proc/fs/nfsd 2>/dev/null || true; echo 10 >/proc/fs/nfsd/nfsv4leasetime; echo 10 >/proc/fs/nfsd/nfsv4gracetime; " +
		"rpcbind -w; exportfs -ra; rpc.mountd --port 892; rpc.nfsd --no-udp 2; echo Y >/proc/fs/nfsd/v4_end_grace")
}

// StopImpersonating ends Impersonate.
func (n *Node) StopImpersonating() {
	n.l.t.Helper()
	n.Run("rpc.nfsd 0; exportfs -ua; pkill -x rpc.mountd; pkill -x rpcbind; umount /nfsroot; ip addr del " + nasAddress + "/32 dev lo")
}

// Arm has the stand-in of pve-ha-lrm hold the watchdog, as Proxmox's does once the node has
// HA guests: from now on a node without quorum is reset.
func (n *Node) Arm() { n.l.t.Helper(); n.Run("touch /run/lab-armed") }

// FreezeCorosync stops corosync by a signal; ThawCorosync lets it go on.
func (n *Node) FreezeCorosync() { n.l.t.Helper(); n.Run("pkill -STOP -x corosync") }

// ThawCorosync ends FreezeCorosync.
func (n *Node) ThawCorosync() { n.l.t.Helper(); n.Run("pkill -CONT -x corosync") }

// Clock is what the node's own clock says.
func (n *Node) Clock() time.Time {
	n.l.t.Helper()
	seconds, err := strconv.ParseFloat(n.Run("date +%s.%N"), 64)
	n.l.must(err)
	return time.UnixMicro(int64(seconds * 1e6))
}

// SkewClock sets the node's clock wrong.
func (n *Node) SkewClock(by time.Duration) {
	n.l.t.Helper()
	n.l.must(n.m.setClock(n.l.t.Context(), by))
}

// CutPower ends the machine at once.
func (n *Node) CutPower() { n.m.kill() }

// Power starts the machine again, cold.
func (n *Node) Power() { n.l.t.Helper(); n.l.must(n.m.start(n.l.t.Context(), "")) }

// ResetAfter reports when the machine was reset after a time, if it was.
func (n *Node) ResetAfter(t time.Time) (time.Time, bool) { return n.m.qmp.told("RESET", t) }

// BittenAfter reports when the emulated hardware watchdog bit after a time, if it did.
func (n *Node) BittenAfter(t time.Time) (time.Time, bool) { return n.m.qmp.told("WATCHDOG", t) }

// UseWatchdog changes the node's watchdog, for this boot and the next ones, as an
// administrator would: WATCHDOG_MODULE in /etc/default/pve-ha-manager.
func (n *Node) UseWatchdog(module string) {
	n.l.t.Helper()
	const path = "/etc/default/pve-ha-manager"
	setting := "WATCHDOG_MODULE=" + module + "\n"
	n.l.must(replace(n.l.rig.share(n.m.name)+path, []byte(setting), 0o644))
	n.l.must(n.m.put(n.l.t.Context(), path, setting))
	n.Run("systemctl stop watchdog-mux && rmmod softdog && systemctl start watchdog-mux")
}

// Panic crashes the node's kernel, which then stays where it is.
func (n *Node) Panic() {
	n.l.t.Helper()
	n.Run("echo 0 >/proc/sys/kernel/panic; echo 1 >/proc/sys/kernel/sysrq; (sleep 0.3; echo c >/proc/sysrq-trigger) </dev/null >/dev/null 2>&1 &")
}
