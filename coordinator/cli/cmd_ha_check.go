package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) checkCommand() *cobra.Command {
	var r ha.CheckRequest
	var only []string
	var wait time.Duration
	var prove bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Is HA ready? Every check with its evidence and remedy",
		Long: `Judge whether high availability would really work now. Each check says PASS, NOTICE,
WARN, FAIL, SKIP (an effect of another finding, or nothing to look at) or UNKNOWN (nobody
could look). HA is ready when nothing is FAIL and nothing is UNKNOWN.

With --prove the shared storages and the BMCs are tried first, as psw ha prove and psw ha
fence-test do; otherwise the newest trial counts, which the coordinator makes once a day.

What is muted (psw ha mute) is passed over, unless it is FAIL or UNKNOWN. A check without
--only and --target is recorded: psw ha status says whether the record still counts.

Exit codes: 0 HA is ready, 3 it is not, 4 it was not by the end of --wait.`,
		Example: `  psw ha check
  psw ha check --profile production --wait 5m
  psw ha check --only NFS
  psw ha check --prove
  psw ha check --only NFS_NOT_ANSWERING,NFS_NOT_MOUNTED -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case r.Profile != "minimum" && r.Profile != "production":
				return exit(exitUsage, "--profile is minimum or production, not %q", r.Profile)
			case wait < 0:
				return exit(exitUsage, "--wait is how long to wait at most, e.g. 5m, not %s", wait)
			}
			for _, c := range only {
				r.Only = append(r.Only, check.Named(codeOf(c))...)
			}
			return a.check(cmd.Context(), r, wait, prove)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&r.Profile, "profile", "minimum", "judge by `PROFILE`: minimum (what HA needs to work at all) or production (what others may rely on)")
	f.StringSliceVar(&only, "only", nil, "only the checks `CODE`,… or all whose code begins so: NFS, COROSYNC")
	f.StringVar(&r.Target, "target", "", "only what concerns target `NAME`")
	f.DurationVar(&wait, "wait", 0, "wait until HA is ready, at most `TIME`, e.g. 5m")
	f.BoolVar(&prove, "prove", false, "try the shared storages and the BMCs first")
	must(cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]string{"minimum", "production"}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("target", a.completeTargets))
	must(cmd.RegisterFlagCompletionFunc("only", a.completeCodes))
	return cmd
}

// checkInterval is how often --wait asks again: agents report every ha.ReportInterval,
// so more often would show nothing new.
const checkInterval = ha.ReportInterval

func (a *app) check(ctx context.Context, r ha.CheckRequest, wait time.Duration, prove bool) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	r.Policy = policy
	var verdict ha.Readiness
	err = a.with(func(op *rpc.Operator) error {
		if prove {
			if err := a.proveFirst(ctx, op, policy); err != nil {
				return err
			}
		}
		verdict, err = a.checkUntilReady(ctx, op, r, wait)
		return err
	})
	if err != nil {
		return cannot("judge whether HA is ready", err)
	}
	if len(verdict.Findings) == 0 {
		return exit(exitUsage, "nothing was judged: no check answers to what --only and --target ask for; see docs/checks.md for the codes")
	}
	if a.json() {
		err = a.document(newCheckDocument(verdict))
	} else {
		a.print(checkLines(a.style, verdict, a.flags.quiet, a.flags.verbose)...)
	}
	switch {
	case err != nil || verdict.Ready():
	case wait > 0:
		return exit(exitDeadline, "HA was not ready within %s", span(wait))
	default:
		return &outcome{code: exitRefused}
	}
	return err
}

// proveFirst has tried what can only be tried, and waits for it. What comes of it is for the
// checks to say.
func (a *app) proveFirst(ctx context.Context, op *rpc.Operator, policy *ha.Policy) error {
	for _, kind := range []ha.ProofKind{ha.ProofStorage, ha.ProofFence} {
		a.talk("trying first: %s", triedFirst[kind])
		err := op.Prove(ctx, ha.ProofRequest{Kind: kind, Policy: policy}, func([]ha.Proof) error { return nil })
		switch {
		case ha.KindOf(err) == ha.NotReady: // nobody is there to try it, which the checks call unknown
			a.warn("WARN: not tried: %v", err)
		case err != nil:
			return err
		}
	}
	return nil
}

var triedFirst = map[ha.ProofKind]string{
	ha.ProofStorage: "does every node see what another writes on the shared storages?",
	ha.ProofFence:   "does every node reach every other node's BMC?",
}

// checkUntilReady asks until HA is ready or wait is over, and returns the last verdict.
// While it waits, a coordinator that does not answer is one more thing that may come.
func (a *app) checkUntilReady(ctx context.Context, op *rpc.Operator, r ha.CheckRequest, wait time.Duration) (ha.Readiness, error) {
	deadline := time.Now().Add(wait)
	said := ""
	for {
		verdict, err := op.Check(ctx, r)
		if wait == 0 || err == nil && verdict.Ready() || err != nil && ha.KindOf(err) != ha.Unavailable {
			return verdict, err
		}
		reason := fmt.Sprintf("not ready yet: %s, %d unknown", count(verdict.Count(ha.Fail), "failure"), verdict.Count(ha.Unknown))
		if err != nil {
			reason = err.Error()
		}
		left := time.Until(deadline)
		if left <= 0 {
			return verdict, err
		}
		if reason != said {
			said = reason
			a.talk("%s; waiting until %s", reason, clock(deadline))
		}
		if err := pause(ctx, min(checkInterval, left)); err != nil {
			return verdict, err
		}
	}
}
