package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) factsCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "facts",
		Short: "Save everything the coordinator knows, to ask psw ha simulate offline",
		Long: `Print the coordinator's newest snapshot as JSON: nodes, guests, storages, HA resources,
rules and states, what the agents report. psw ha simulate -f and psw ha capacity -f
answer from it, without a coordinator and without a network, as they would have answered
then. It holds names and addresses, and no secrets; the file is readable by you alone.`,
		Example: `  psw ha facts -f facts.json
  psw ha simulate --fail node2 -f facts.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.saveFacts(cmd.Context(), file) },
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "write them to `FILE` instead of stdout")
	must(cmd.MarkFlagFilename("file", "json"))
	return cmd
}

func (a *app) saveFacts(ctx context.Context, file string) error {
	s, err := a.askFacts(ctx)
	if err != nil {
		return err
	}
	if file == "" {
		return a.document(s)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = replaceFile(file, append(text, '\n'))
	}
	if err != nil {
		return exit(exitFailed, "cannot save the facts: %v", err)
	}
	a.talk("%s: %s, %s, as of %s", file, count(len(s.Inventory.Nodes), "node"), count(len(s.Inventory.Guests), "guest"), stamp(s.At))
	return nil
}

// replaceFile writes a file that only its owner may read, whole or not at all.
func replaceFile(path string, text []byte) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// askFacts asks the coordinator for its newest snapshot. As for a status, a broken
// network.yml does not stand in the way: then the coordinator's own copy counts.
func (a *app) askFacts(ctx context.Context) (ha.Snapshot, error) {
	var s ha.Snapshot
	err := a.with(func(op *rpc.Operator) (err error) {
		s, err = op.Facts(ctx, a.knownPolicy())
		return err
	})
	return s, cannot("ask what is known of the cluster", err)
}

// facts are those of a file, or the coordinator's. Whoever reads on is told what they
// lack.
func (a *app) facts(ctx context.Context, file string) (ha.Snapshot, error) {
	var s ha.Snapshot
	var err error
	switch {
	case file == "":
		s, err = a.askFacts(ctx)
	case len(a.flags.coordinators) > 0:
		return s, exit(exitUsage, "-f and --coordinator contradict each other: the facts are either a file's or the coordinator's")
	default:
		s, err = readFacts(file)
	}
	if err != nil {
		return s, err
	}
	if !s.InventoryFresh() {
		a.warn("WARN: Proxmox last answered %s before these facts were written down; much may be different", span(s.At.Sub(s.Inventory.At)))
	}
	if parts := s.Inventory.Failures; len(parts) > 0 {
		a.warn("WARN: these facts are incomplete, not read: %s", strings.Join(parts, "; "))
	}
	return s, nil
}

func readFacts(file string) (ha.Snapshot, error) {
	var s ha.Snapshot
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, exit(exitUsage, "there is no file %s; psw ha facts -f %s makes it, where the coordinator can be reached", file, file)
	}
	if err != nil {
		return s, exit(exitFailed, "cannot read the facts: %v", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, exit(exitUsage, "%s holds no facts, as psw ha facts writes them: %v", file, err)
	}
	if len(s.Inventory.Nodes) == 0 {
		return s, exit(exitUsage, "%s holds no facts, as psw ha facts writes them: it names no node", file)
	}
	return s, nil
}
