// Package vm is a cluster of real machines for stories: three nodes with a real kernel, real
// corosync on two links and real watchdogs, and a server with real NFS, built from Debian
// packages and run in QEMU. Agents run in the machines, by their packaged unit and with
// mutual TLS; psw-coordinator runs on the host and judges what they report. Its secret is how
// four machines without KVM are made, broken in every way a cluster breaks, and made whole
// again in seconds.
//
// # What is real and what is not
//
// Kernel, systemd, corosync, QDevice, NFS client and server, softdog, the emulated i6300ESB,
// nftables, psw-agent, psw-coordinator, gossip and the certificates are real. Debian has
// nothing of Proxmox: /etc/pve is a plain folder with files as recordings show them, and one
// small program, lab-standin, does in the place of watchdog-mux, pve-ha-lrm and pve-ha-crm
// what can be seen of them, and what makes a node reset itself. The package database says
// that pve-manager is installed, and the Proxmox API that the coordinator asks is
// e2e/pvesim's, with nodes of the same names that are always well.
//
// # How it is made
//
// mmdebstrap unpacks Debian into a folder; the full kernel is unpacked beside it, since the
// cloud kernel has neither i6300esb nor 9p. The kernel's ELF file is cut out of its
// compressed form, because unpacking it would cost every boot seconds. The root is a
// read-only squashfs for all machines, with a memory file system above it in each; who a
// machine is stands in its kernel's command line. Images are kept in the user's cache
// folder, under a hash of what they are made of.
//
// The machines boot cold once. When the cluster is whole, all four are stopped within
// milliseconds and their states saved; every story begins by restoring them, which they do
// not notice. The states, too, are kept, under a hash of image, programs and QEMU.
//
// Commands reach a machine by the QEMU guest agent, so that they work with every network
// cut. Faults come from outside (a tap taken down, a cable pulled by QEMU's monitor, a
// process killed or stopped) or from inside (nft, ip, date).
//
// # What it leaves behind
//
// Nothing. The test program runs itself again in namespaces of its own (Sandbox). When its
// first process ends, by Ctrl-C, a time-out or kill -9, the kernel ends every process in
// there and removes every interface and mount; nobody has to clean up. Only the cache stays.
package vm
