package vm

import (
	"context"
	"fmt"
)

// The cluster's networks are bridges. A node is on all three, the NAS on the last only,
// where the host is as well: the coordinator reaches agents by the storage network, so that
// a node cut off from corosync can still say so.
var networks = []string{"ring0", "ring1", "stor"}

// hostAddress is the host's own on the storage network, nasAddress the NFS server's.
const (
	hostAddress = "10.10.2.254"
	nasAddress  = "10.10.2.10"
)

func makeNetworks(ctx context.Context) error {
	if err := ip(ctx, "link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, n := range networks {
		if err := ip(ctx, "link", "add", n, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"); err != nil {
			return err
		}
		if err := ip(ctx, "link", "set", n, "up"); err != nil {
			return err
		}
	}
	return ip(ctx, "addr", "add", hostAddress+"/24", "dev", "stor")
}

// tap is the host's end of a machine's interface.
func tap(machine string, nic int) string { return fmt.Sprintf("%s-%d", machine, nic) }

func makeTap(ctx context.Context, name, network string) error {
	if err := ip(ctx, "tuntap", "add", name, "mode", "tap"); err != nil {
		return err
	}
	return ip(ctx, "link", "set", name, "master", network, "up")
}

func ip(ctx context.Context, args ...string) error { return run(ctx, "/", "ip", args...) }
