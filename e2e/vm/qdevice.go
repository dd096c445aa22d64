package vm

import "strings"

// AddQDevice does what `pvecm qdevice setup` does, without the certificates: a QNetd on the
// NFS server's machine, a device section in corosync.conf, a reload, and the daemons.
func (l *Lab) AddQDevice() {
	l.t.Helper()
	conf, err := overlay.ReadFile("overlay/etc/corosync/corosync.conf")
	l.must(err)
	text := withQDevice(string(conf))
	l.NAS().StartQNetd()
	for _, name := range nodeNames {
		n := l.Node(name)
		l.must(n.m.put(l.t.Context(), "/etc/corosync/corosync.conf", text))
		l.must(n.m.put(l.t.Context(), "/etc/pve/corosync.conf", text))
	}
	l.Node("pve1").Run("corosync-cfgtool -R")
	for _, name := range nodeNames {
		l.Node(name).Run("mkdir -p /run/corosync-qdevice; corosync-qdevice")
	}
}

// withQDevice returns a corosync.conf with a QDevice that has one vote, one version later.
// With an odd number of nodes Proxmox takes last-man-standing too.
func withQDevice(conf string) string {
	const device = `quorum {
  device {
    model: net
    net {
      algorithm: ffsplit
      host: ` + nasAddress + `
      tls: off
    }
    votes: 1
  }
`
	conf = strings.Replace(conf, "quorum {\n", device, 1)
	return strings.Replace(conf, "config_version: 1", "config_version: 2", 1)
}

// StartQNetd starts the QDevice's other end.
func (n *NAS) StartQNetd() {
	n.l.t.Helper()
	n.Run("mkdir -p /run/corosync-qnetd; corosync-qnetd -s off -4")
}

// StopQNetd ends it.
func (n *NAS) StopQNetd() { n.l.t.Helper(); n.Run("pkill -KILL -x corosync-qnetd") }
