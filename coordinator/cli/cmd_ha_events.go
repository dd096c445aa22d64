package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
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
	op, err := a.dial()
	if err != nil {
		return err
	}
	defer op.Close()
	show := func(e ha.Event) error {
		after = e.Seq
		if a.json() {
			return a.line(e)
		}
		a.print(eventLine(a.style, e))
		return a.stdout.err
	}
	if !follow {
		return cannot("read the journal", op.Events(ctx, after, false, show))
	}
	err = keepAsking(ctx, a.warnLine, func(answered func()) error {
		return endless(op.Events(ctx, after, true, func(e ha.Event) error { answered(); return show(e) }))
	})
	return cannot("follow the journal", err)
}

// eventLine renders an entry of the journal.
func eventLine(st style, e ha.Event) string {
	word := fmt.Sprintf("%-11s", e.Type)
	switch e.Type {
	case ha.EventFailed, ha.EventNodeDown, ha.EventFenced, ha.EventSplitBrain, ha.EventGuestDown, ha.EventSuperseded:
		word = st.bad(word)
	case ha.EventSafe, ha.EventDone, ha.EventNodeUp, ha.EventGuestUp:
		word = st.good(word)
	}
	return fmt.Sprintf("%s  %5d  %s  %s", stamp(e.At), e.Seq, word, e.Text)
}
