package main

import (
	"io"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/pkg/version"
)

func (a app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Look, report and obey, until told to stop",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load(cmd)
			if err != nil {
				return err
			}
			log := newLogger(a.stderr, s.logLevel, a.env["JOURNAL_STREAM"] != "")
			log.Info("agent starts", "node", s.Node, "version", version.String(), "coordinators", s.Coordinators, "gossip", s.Gossip.On())
			one := agent.New(s.Config, a.host(), log)
			one.Heartbeat = heartbeat(log)
			stopMetrics, err := serveMetrics(s.metrics, one.Page, log)
			if err != nil {
				return err
			}
			defer stopMetrics()
			err = one.Run(cmd.Context())
			tell(log, daemon.SdNotifyStopping)
			if err == nil {
				log.Info("agent stops")
			}
			return err
		},
	}
	settingFlags(cmd)
	return cmd
}

// newLogger logs lines of key=value. The journal has the time already.
func newLogger(w io.Writer, level slog.Level, journal bool) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level,
		ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
			if journal && len(groups) == 0 && attr.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return attr
		}}))
}

// heartbeat tells systemd after each round that we live, and after the first that we are
// ready: an agent that cannot even look once is not.
func heartbeat(log *slog.Logger) func() {
	state := daemon.SdNotifyReady + "\n" + daemon.SdNotifyWatchdog
	return func() {
		tell(log, state)
		state = daemon.SdNotifyWatchdog
	}
}

// tell says something to systemd; without systemd it says nothing.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd does not listen", "error", err)
	}
}
