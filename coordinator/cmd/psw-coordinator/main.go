// Command psw-coordinator watches over a Proxmox cluster's high availability: it judges
// readiness, drains nodes and brings them back. It also makes the certificates and keys of
// psw-ha, and takes care of its own state. Its secret is how it is put together and
// started: arguments, environment, configuration file, signals and systemd are met nowhere
// else.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/casaeureka/psw-ha/pkg/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills, which does no harm
	a := app{env: settings.Environment(os.Environ()), stdout: os.Stdout, stderr: os.Stderr, hostname: os.Hostname}
	os.Exit(a.main(ctx, os.Args[1:]))
}
