// Command psw is the operator's command of psw-ha: it asks the coordinator, shows the
// answer and follows what was begun. Packages install it as psw-ha as well.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/casaeureka/psw-ha/coordinator/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first Ctrl-C is asked politely, a second one kills
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()...))
}
