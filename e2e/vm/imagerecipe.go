package vm

// What the machines' image is made of. A change here makes a new image.

// packages are installed into the image, without what they recommend.
var packages = []string{
	"corosync", "corosync-qdevice", "corosync-qnetd", "nfs-common", "nfs-kernel-server", "rpcbind",
	"systemd-sysv", "udev", "dbus", "qemu-guest-agent", "kmod", "iproute2", "nftables", "procps", "util-linux",
	"e2fsprogs", "iputils-ping", "busybox-static",
}

// excluded are paths of packages that no machine reads.
var excluded = []string{"/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*"}

// modules are the kernel modules of the image, with whatever they need. The kernel is
// Debian's full one: the cloud kernel has neither i6300esb nor 9p.
var modules = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "9p", "9pnet_virtio",
	"squashfs", "overlay", "ext4", "softdog", "i6300esb", "nfs", "nfsv4", "nfsd",
	"nf_tables", "nft_ct", "sch_netem",
}

// bootModules are loaded by the initrd, in this order, to reach the image.
var bootModules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "squashfs", "overlay",
}

// masked units have nothing to do in a machine that lives for a minute. Devices are made
// by devtmpfs, modules loaded by name.
var masked = []string{
	"systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service",
	"systemd-hwdb-update.service", "systemd-logind.service", "systemd-timesyncd.service", "systemd-tmpfiles-clean.timer",
	"systemd-sysusers.service", "systemd-binfmt.service", "systemd-networkd.service", "systemd-pcrphase.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"getty.target", "getty@.service", "serial-getty@.service", "modprobe@.service",
	"rpcbind.service", "rpcbind.socket", "nfs-server.service", "nfs-client.target", "nfs-blkmap.service", "rpc-statd.service", "rpc-statd-notify.service",
	"qemu-guest-agent.service", "corosync-qdevice.service", "corosync-qnetd.service", "systemd-journal-flush.service", "systemd-update-utmp.service",
}

// enabled units are started at boot; those that are for one role say so themselves.
var enabled = map[string]string{
	"lab-setup.service":       "sysinit.target",
	"lab-guest-agent.service": "sysinit.target",
	"lab-nas.service":         "multi-user.target",
	"lab-mount.service":       "multi-user.target",
	"watchdog-mux.service":    "multi-user.target",
	"pve-ha-lrm.service":      "multi-user.target",
	"pve-ha-crm.service":      "multi-user.target",
	"psw-agent.service":       "multi-user.target",
	"corosync.service":        "multi-user.target",
}
