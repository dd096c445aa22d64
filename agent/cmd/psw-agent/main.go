// Command psw-agent runs on every node: it looks at what decides high availability,
// reports to the coordinator and obeys it. It can also judge the node it is on by itself,
// and record what it sees for a bug report. Its secret is how it is started: arguments,
// environment, configuration file, signals and systemd are met nowhere else.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/settings"
)

func main() {
	// A file system that may hang is asked by a child of ours, which is this program again.
	if code, handled := probe.RunChild(os.Args[1:]); handled {
		os.Exit(code)
	}
	env := settings.Environment(os.Environ())
	limitResources(env)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := app{env: env, stdout: os.Stdout, stderr: os.Stderr, hostname: os.Hostname,
		host: func() probe.Host { return probe.Local(probe.LocalOptions{}) }}
	os.Exit(a.main(ctx, os.Args[1:]))
}
