package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) ackCommand() *cobra.Command {
	var message string
	var withdraw bool
	cmd := &cobra.Command{
		Use:   "ack ITEM [NODE]",
		Short: "Vouch for what no probe can see, or list what is vouched for",
		Long: `Give your word for something psw cannot look at: that the watchdogs in a BIOS are off,
that a node hangs on a UPS. It is stored with your name and the day, counts for a year,
and checks of the profile production read it. Without NODE it is about the whole cluster.

psw ha ack list shows every item with who vouched for it.`,
		Example: `  psw ha ack bios-watchdog node1 -m "seen in the setup, Advanced > Watchdog"
  psw ha ack ups
  psw ha ack list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return exit(exitUsage, "%s wants ITEM [NODE], or list; the items are in the list", cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "list" {
				return a.listAcks(cmd.Context())
			}
			w := ha.Acknowledgement{Item: args[0], Note: message}
			if len(args) == 2 {
				w.Node = ha.NodeName(args[1])
			}
			if withdraw {
				return a.withdraw(cmd.Context(), w)
			}
			return a.acknowledge(cmd.Context(), w)
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return a.completeNodes(c, nil, text)
			}
			var names []string
			for _, i := range ha.AckItems {
				names = append(names, i.Name+"\t"+i.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVarP(&message, "message", "m", "", "what you looked at: `TEXT`")
	cmd.Flags().BoolVar(&withdraw, "withdraw", false, "take the word back")
	return cmd
}

func (a *app) acknowledge(ctx context.Context, w ha.Acknowledgement) error {
	err := a.with(func(op *rpc.Operator) (err error) {
		w, err = op.Acknowledge(ctx, w)
		return err
	})
	if err != nil {
		return cannot("acknowledge "+w.Item, err)
	}
	if a.json() {
		return a.document(w)
	}
	item, _ := ha.FindAckItem(w.Item)
	a.print(fmt.Sprintf("%s vouches for %s: %s. It counts until %s.", w.By, vouchedFor(w.Node), item.Title, w.At.Add(ha.AckAgeMax).Local().Format(time.DateOnly)))
	return nil
}

func (a *app) withdraw(ctx context.Context, w ha.Acknowledgement) error {
	if err := a.with(func(op *rpc.Operator) error { return op.Withdraw(ctx, w) }); err != nil {
		return cannot("withdraw "+w.Item, err)
	}
	if a.json() {
		return a.document(w)
	}
	a.print(fmt.Sprintf("Nobody vouches for %s of %s any more.", w.Item, vouchedFor(w.Node)))
	return nil
}

func vouchedFor(n ha.NodeName) string {
	if n == "" {
		return "the whole cluster"
	}
	return string(n)
}

// acksDocument is the answer of `ha ack list -o json`.
type acksDocument struct {
	// Items are what can be vouched for, Acknowledgements every word given.
	Items            []ha.AckItem         `json:"items"`
	Acknowledgements []ha.Acknowledgement `json:"acknowledgements"`
}

func (a *app) listAcks(ctx context.Context) error {
	var list []ha.Acknowledgement
	err := a.with(func(op *rpc.Operator) (err error) {
		list, err = op.Acknowledgements(ctx)
		return err
	})
	if err != nil {
		return cannot("list what is vouched for", err)
	}
	if a.json() {
		return a.document(acksDocument{Items: ha.AckItems, Acknowledgements: full(list)})
	}
	a.print(ackLines(a.style, list, time.Now())...)
	return nil
}

// ackLines lists every item with who vouched for it.
func ackLines(st style, list []ha.Acknowledgement, now time.Time) []string {
	t := table{}
	t.head(st, "ITEM", "NODE", "BY", "WHEN", "COUNTS", "WHAT", "NOTE")
	for _, i := range ha.AckItems {
		said := false
		for _, w := range list {
			if w.Item != i.Name {
				continue
			}
			counts := st.good("yes")
			if w.Stale(now) {
				counts = st.warn("too old")
			}
			node := string(w.Node)
			if node == "" {
				node = "all"
			}
			t.row(i.Name, node, w.By, w.At.Local().Format(time.DateOnly), counts, i.Title, w.Note)
			said = true
		}
		if !said {
			t.row(i.Name, "-", "-", "-", st.faint("nobody"), i.Title, "")
		}
	}
	return t.lines()
}
