package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/pkg/check"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

func (a *app) muteCommand() *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:   "mute CODE [SUBJECT] DURATION",
		Short: "Hear no more of a finding for a time, or list what is muted",
		Long: `Pass over a finding for a time: everywhere, or on one node, target or storage. It comes
back when the time is over, and sooner if it becomes worse: more subjects than when it was
muted, or a higher verdict. What is muted warns no longer, in metrics and in the journal.

A FAIL or an UNKNOWN that is muted is shown all the same, and HA is not ready: a mute
silences the messenger, not the verdict.

psw ha mute list shows what is muted, by whom and until when.`,
		Example: `  psw ha mute NFS_SOFT_MOUNT 4h
  psw ha mute CLOCK_SKEW node2 2d -m "new NTP server on Monday"
  psw ha mute list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "list" || len(args) == 2 || len(args) == 3 {
				return nil
			}
			return exit(exitUsage, "%s wants CODE [SUBJECT] DURATION, e.g. %s NFS_SOFT_MOUNT 4h; or list", cmd.CommandPath(), cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.listMutes(cmd.Context())
			}
			length, err := period(args[len(args)-1])
			if err != nil {
				return err
			}
			r := ha.MuteRequest{Code: codeOf(args[0]), For: length, Message: message}
			if len(args) == 3 {
				r.Subject = args[1]
			}
			return a.mute(cmd.Context(), r)
		},
		ValidArgsFunction: a.completeCodes,
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "why, in the journal and in the list: `TEXT`")
	return cmd
}

func (a *app) unmuteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unmute CODE [SUBJECT]",
		Short:   "Hear of a finding again",
		Long:    `End the mutes of a code, or only that of one subject, before their time is over.`,
		Example: `  psw ha unmute NFS_SOFT_MOUNT`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 || len(args) == 2 {
				return nil
			}
			return exit(exitUsage, "%s wants CODE [SUBJECT]; psw ha mute list shows what is muted", cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			subject := ""
			if len(args) == 2 {
				subject = args[1]
			}
			return a.unmute(cmd.Context(), codeOf(args[0]), subject)
		},
		ValidArgsFunction: a.completeCodes,
	}
}

// codeOf reads a code as people type it: nfs-soft-mount is NFS_SOFT_MOUNT, the anchor in
// the docs.
func codeOf(text string) ha.Code {
	return ha.Code(strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(text)), "-", "_"))
}

// period reads a length of time as people type it: 30m, 4h, 2d, 1w.
func period(text string) (time.Duration, error) {
	wrong := exit(exitUsage, "%q is no length of time: want e.g. 30m, 4h, 2d or 1w", text)
	unit := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	for suffix, length := range unit {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || !(n > 0 && n < 1000) {
				return 0, wrong
			}
			return time.Duration(n * float64(length)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, wrong
	}
	return d, nil
}

// completeCodes offers the codes of checks to the shell.
func (a *app) completeCodes(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var codes []string
	for _, c := range check.Checks() {
		codes = append(codes, string(c.Code)+"\t"+c.Title)
	}
	slices.Sort(codes)
	return codes, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) mute(ctx context.Context, r ha.MuteRequest) error {
	var m ha.Mute
	err := a.with(func(op *rpc.Operator) (err error) {
		m, err = op.Mute(ctx, r)
		return err
	})
	if err != nil {
		return cannot("mute "+string(r.Code), err)
	}
	if a.json() {
		return a.document(fullMute(m))
	}
	a.print(muteLines(a.style, []ha.Mute{m})...)
	switch {
	case m.Worst == "":
		a.talk("There is nothing to mute at this moment: whatever comes of it until then is muted.")
	case m.Worst == ha.Fail || m.Worst == ha.Unknown:
		a.talk("It is %s: it is shown all the same, and HA is not ready.", m.Worst)
	}
	return nil
}

func (a *app) unmute(ctx context.Context, code ha.Code, subject string) error {
	var gone []ha.Mute
	err := a.with(func(op *rpc.Operator) (err error) {
		gone, err = op.Unmute(ctx, code, subject, "")
		return err
	})
	if err != nil {
		return cannot("unmute "+string(code), err)
	}
	if a.json() {
		return a.document(newMutesDocument(gone))
	}
	for _, m := range gone {
		a.print(mutedWhat(m) + " is heard of again.")
	}
	return nil
}

func (a *app) listMutes(ctx context.Context) error {
	var list []ha.Mute
	err := a.with(func(op *rpc.Operator) (err error) {
		list, err = op.Mutes(ctx)
		return err
	})
	if err != nil {
		return cannot("list what is muted", err)
	}
	if a.json() {
		return a.document(newMutesDocument(list))
	}
	if len(list) == 0 {
		a.print("Nothing is muted.")
		return nil
	}
	a.print(muteLines(a.style, list)...)
	return nil
}

// mutesDocument is the answer of `ha mute list -o json` and of `ha unmute -o json`.
type mutesDocument struct {
	Mutes []ha.Mute `json:"mutes"`
}

func newMutesDocument(list []ha.Mute) mutesDocument {
	d := mutesDocument{Mutes: []ha.Mute{}}
	for _, m := range list {
		d.Mutes = append(d.Mutes, fullMute(m))
	}
	return d
}

func fullMute(m ha.Mute) ha.Mute {
	m.Subjects = full(m.Subjects)
	return m
}

func mutedWhat(m ha.Mute) string {
	if m.Subject == "" {
		return string(m.Code)
	}
	return string(m.Code) + " of " + m.Subject
}

// muteLines is the table of mutes.
func muteLines(st style, list []ha.Mute) []string {
	t := table{}
	t.head(st, "CODE", "SUBJECT", "UNTIL", "MUTED AT", "BY", "WHY")
	for _, m := range list {
		at := "nothing"
		if m.Worst != "" {
			at = st.status(m.Worst, string(m.Worst)) + " on " + clip(strings.Join(m.Subjects, ", "), 30)
		}
		subject := m.Subject
		if subject == "" {
			subject = "every"
		}
		t.row(string(m.Code), subject, stamp(m.Until), at, dash(m.By), m.Message)
	}
	return t.lines()
}
