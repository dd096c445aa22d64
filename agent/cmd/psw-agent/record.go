package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

func (a app) recordCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "record DIR",
		Short: "Write what the probes read on this node into a file, for a bug report",
		Long: `record looks at this node once and writes everything it read into DIR/NODE.txt: plain
text, without passwords and keys. Read it before you give it away: names, addresses and
the configuration of guests are in it.`,
		Args: arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := a.node()
			if err != nil {
				return err
			}
			file, err := probe.Record(cmd.Context(), a.host(), node, args[0])
			if err != nil {
				return ha.Errorf(ha.Internal, "cannot record %s: %w", node, err)
			}
			fmt.Fprintln(a.stdout, file)
			return nil
		},
	}
}
