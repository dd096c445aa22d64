package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) proveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prove [STORAGE…]",
		Short: "Prove that the shared storage is shared: one node writes, all others read it back",
		Long: `Have one node write a word on each shared storage that takes guests' disks, under a
lock, and every other node look for it and write one of its own. What is mounted, from where,
and the file system's id are compared. The files are in .psw-ha on the storage and are
removed afterwards. The coordinator does the same by itself once a day and whenever a
mount changes; ha check judges by the newest result.

Exit codes: 0 every storage is one and the same everywhere, 3 one is not, or a node
could not try.`,
		Example: `  psw ha prove
  psw ha prove psw -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.prove(cmd.Context(), ha.ProofStorage, args, proofLines)
		},
	}
}

// proofDocument is the answer of `ha prove -o json` and `ha fence-test -o json`.
type proofDocument struct {
	// Proved: everybody met what was hoped for.
	Proved bool       `json:"proved"`
	Proofs []ha.Proof `json:"proofs"`
}

// prove has something tried, follows it, and prints what came of it.
func (a *app) prove(ctx context.Context, kind ha.ProofKind, subjects []string, render func(style, []ha.Proof, bool) []string) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	var proofs []ha.Proof
	err = a.with(func(op *rpc.Operator) error {
		said := false
		return op.Prove(ctx, ha.ProofRequest{Kind: kind, Subjects: subjects, Policy: policy}, func(now []ha.Proof) error {
			if proofs = now; !said && slices.ContainsFunc(now, ha.Proof.Open) && !a.flags.quiet {
				said = true
				a.talk("asking the nodes; this takes a few seconds, and up to a minute if something hangs")
			}
			return nil
		})
	})
	if err != nil {
		return cannot("have it tried", err)
	}
	if len(proofs) == 0 {
		return exit(exitUsage, "there is nothing to try: %s", nothingToTry[kind])
	}
	d := proofDocument{Proved: !slices.ContainsFunc(proofs, func(p ha.Proof) bool { return !proved(p) }), Proofs: proofs}
	if a.json() {
		err = a.document(d)
	} else {
		a.print(render(a.style, proofs, a.flags.verbose)...)
	}
	if err == nil && !d.Proved {
		return &outcome{code: exitRefused}
	}
	return err
}

var nothingToTry = map[ha.ProofKind]string{
	ha.ProofStorage: "no shared storage of files takes guests' disks",
	ha.ProofFence:   "network.yml declares no BMC that speaks IPMI: management.hosts.NODE.bmc",
}

// proved reports whether everybody met what was hoped for.
func proved(p ha.Proof) bool {
	return !p.Open() && !slices.ContainsFunc(p.Results, func(r ha.ProofResult) bool { return p.Wrong(r) != "" })
}
