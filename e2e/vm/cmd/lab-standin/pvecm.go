package main

import (
	"context"
	"fmt"

	"github.com/casaeureka/psw-ha/agent/probe"
)

// delnode runs pvecm as an agent's hands do, in whatever sandbox it is called in.
func delnode(ctx context.Context) error {
	out, err := probe.Local(probe.LocalOptions{}).Run(ctx, "pvecm", "delnode", "pve9")
	fmt.Printf("%s", out)
	return err
}
