package main

import (
	"context"
	"os"

	"github.com/casaeureka/psw-ha/agent/probe"
)

// delnode runs pvecm as an agent's hands do, in whatever sandbox it is called in.
func delnode(ctx context.Context) error {
	out, err := probe.Local(probe.LocalOptions{}).Run(ctx, "pvecm", "delnode", "pve9")
	_, _ = os.Stdout.Write(out) // what it said is for who looks at the journal
	return err
}
