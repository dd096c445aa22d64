// Command psw-agent runs on every node: it looks at what decides high availability,
// reports to the coordinator and obeys it. It can also judge the node it is on by itself,
// and record what it sees for a bug report. Its secret is how it is started: arguments,
// environment, configuration file, signals and systemd are met nowhere else.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/casaeureka/psw-ha/agent/probe"
)

func main() {
	// A file system that may hang is asked by a child of ours, which is this program again.
	if code, handled := probe.RunStatfsChild(os.Args[1:]); handled {
		os.Exit(code)
	}
	env := environment(os.Environ())
	limitResources(env)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := app{env: env, stdout: os.Stdout, stderr: os.Stderr, hostname: os.Hostname,
		host: func() probe.Host { return probe.Local(probe.LocalOptions{}) }}
	os.Exit(a.main(ctx, os.Args[1:]))
}

// environment is the environment by key.
func environment(list []string) map[string]string {
	env := make(map[string]string, len(list))
	for _, line := range list {
		if key, value, ok := strings.Cut(line, "="); ok {
			env[key] = value
		}
	}
	return env
}
