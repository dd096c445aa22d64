// Command lab-standin stands in, in the lab's machines, for what Debian does not have:
// Proxmox's watchdog-mux, pve-ha-lrm and pve-ha-crm. It is none of them; it does of each
// what others can see, and what makes a node reset itself.
//
//	watchdog-mux  holds /dev/watchdog0 and feeds it, unless a client of its socket fell silent
//	pve-ha-lrm    is that client once /run/lab-armed exists; both only while corosync is quorate
//	pve-ha-crm    keeps the manager's status fresh while the node is quorate
//	try-pvecm     runs pvecm by the agent's own code, to see what a sandbox lets it do
//
// It acts by the name it is called by.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	daemons := map[string]func(context.Context) error{"watchdog-mux": multiplex, "pve-ha-lrm": lrm, "pve-ha-crm": crm, "try-pvecm": delnode}
	name := filepath.Base(os.Args[0])
	daemon, ok := daemons[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "lab-standin: call it watchdog-mux, pve-ha-lrm, pve-ha-crm or try-pvecm")
		os.Exit(2)
	}
	if err := daemon(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
