package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// armed makes the LRM hold the watchdog, as it does on Proxmox once it has HA guests.
	armed = "/run/lab-armed"
	local = "/etc/pve/local"
	// period is that of Proxmox's LRM.
	period = 5 * time.Second
	// quorumMax is how long corosync's tool may take; it hangs while corosync is frozen.
	quorumMax = 2 * time.Second
)

// lrm writes its status and feeds watchdog-mux while corosync is quorate. pmxcfs makes its
// folders read-only when quorum is lost; this does it in its stead.
func lrm(ctx context.Context) error {
	var mux net.Conn
	return every(ctx, func() error {
		quorate := quorate(ctx)
		dir, err := filepath.EvalSymlinks(local)
		if err != nil {
			return err
		}
		mode := os.FileMode(0o555)
		if quorate {
			mode = 0o755
		}
		if err := os.Chmod(dir, mode); err != nil {
			return err
		}
		if !quorate {
			return nil
		}
		state := "wait_for_agent_lock"
		if _, err := os.Stat(armed); err == nil {
			state = "active"
			if mux == nil {
				if mux, err = net.Dial("unix", socket); err != nil {
					return err
				}
			}
			if _, err := mux.Write([]byte{0}); err != nil {
				return err
			}
		}
		return put(filepath.Join(dir, "lrm_status"), fmt.Sprintf(`{"mode":"active","results":{},"state":"%s","timestamp":%d}`, state, time.Now().Unix()))
	})
}

// crm writes the manager's status while the node is quorate. Nothing is shared: every node
// writes its own, and all name the same master.
func crm(ctx context.Context) error {
	const status = `{"manager_status":{},"master_node":"pve1","node_status":{"pve1":"online","pve2":"online","pve3":"online"},"service_status":{},"timestamp":%d}`
	return every(ctx, func() error {
		info, err := os.Stat(local)
		if err != nil || info.Mode().Perm()&0o200 == 0 {
			return err
		}
		return put("/etc/pve/ha/manager_status", fmt.Sprintf(status, time.Now().Unix()))
	})
}

// every acts at once and then once a period, until ctx ends.
func every(ctx context.Context, act func() error) error {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		if err := act(); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// quorate asks corosync: the tool exits with 0 only if it is.
func quorate(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, quorumMax)
	defer cancel()
	return exec.CommandContext(ctx, "/usr/sbin/corosync-quorumtool", "-s").Run() == nil
}

// put replaces a file in one step, as pmxcfs does.
func put(path, text string) error {
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
