package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var after uint64
	cmd := &cobra.Command{
		Use:   "events",
		Short: "The coordinator's journal: what was decided, done and seen",
		Long: `Print the coordinator's journal, oldest first, one line an entry: its number, when, what
sort, and the sentence. With --follow go on with new ones as they come; a coordinator that
restarts is waited for, and no entry is missed or told twice.`,
		Example: `  psw ha events --after 1200
  psw ha events --follow -o json | jq -r .text`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.events(cmd.Context(), after, follow) },
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with new entries as they come")
	cmd.Flags().Uint64Var(&after, "after", 0, "only entries after number `N`")
	return cmd
}

func (a *app) events(ctx context.Context, after uint64, follow bool) error {
	show := func(e ha.Event) error {
		after = e.Seq
		if a.json() {
			return a.line(e)
		}
		a.print(eventLine(a.style, e))
		return a.stdout.err
	}
	err := a.with(func(op *rpc.Operator) error {
		if !follow {
			return op.Events(ctx, after, false, show)
		}
		return keepAsking(ctx, a.warnLine, func(answered func()) error {
			return endless(op.Events(ctx, after, true, func(e ha.Event) error { answered(); return show(e) }))
		})
	})
	return cannot("read the journal", err)
}

// badEvents and goodEvents are the types that are coloured.
var (
	badEvents  = []ha.EventType{ha.EventFailed, ha.EventNodeDown, ha.EventFenced, ha.EventSplitBrain, ha.EventGuestDown, ha.EventSuperseded}
	goodEvents = []ha.EventType{ha.EventSafe, ha.EventDone, ha.EventNodeUp, ha.EventGuestUp}
)

// eventLine renders an entry of the journal.
func eventLine(st style, e ha.Event) string {
	word := fmt.Sprintf("%-13s", e.Type)
	switch {
	case slices.Contains(badEvents, e.Type):
		word = st.bad(word)
	case slices.Contains(goodEvents, e.Type):
		word = st.good(word)
	}
	return fmt.Sprintf("%s  %5d  %s  %s", stamp(e.At), e.Seq, word, e.Text)
}
