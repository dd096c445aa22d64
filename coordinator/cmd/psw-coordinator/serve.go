package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/metrics"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/coordinator/store"
	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
	"github.com/casaeureka/psw-ha/pkg/version"
)

const (
	// leaveTimeout is for telling the other members of gossip that we go.
	leaveTimeout = 2 * time.Second
	// tickSilenceMax: with this long since the last tick ended, systemd's watchdog is no
	// longer fed. A tick asks Proxmox a handful of things, each limited to half a minute.
	tickSilenceMax = 5 * time.Minute
)

func (a app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Coordinate, until told to stop",
		Long: `Coordinate, until told to stop. It may be killed at any moment: what it is about to do is
written down before it is done.

The API token's secret is read from --pve-token-file, or from PSW_HA_PVE_TOKEN_SECRET in the
environment; it has no flag, because command lines are read by everybody on a machine.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.configured(cmd)
			if err != nil {
				return err
			}
			log := newLogger(a.stderr, c.LogLevel, a.env["JOURNAL_STREAM"] != "")
			return serve(cmd.Context(), c, log)
		},
	}
	settingFlags(cmd, allSettings)
	return cmd
}

// configured is the whole configuration, or everything that is wrong with it.
func (a app) configured(cmd *cobra.Command) (config, error) {
	c, err := a.load(cmd)
	file, _ := cmd.Flags().GetString("config")
	if err == nil {
		err = errors.Join(guarded(file, c), c.complete())
	}
	if err != nil {
		return c, ha.Errorf(ha.Invalid, "%w\nsettings are read from %s, the environment (PSW_HA_…) and flags: see psw-coordinator serve --help", err, file)
	}
	return c, nil
}

// serve is the composition root: the one place where the parts meet.
func serve(ctx context.Context, c config, log *slog.Logger) (err error) {
	log.Info("coordinator starts", "version", version.String(), "state", c.State, "endpoints", c.PVE.Endpoints, "gossip", c.Gossip.Bind != "")
	st, err := store.Open(c.State, store.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	c.PVE.Log = log
	client, err := pve.New(c.PVE)
	if err != nil {
		return err
	}
	tls, err := rpc.ServerTLS(rpc.FilesIn(c.TLSDir, rpc.RoleCoordinator))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return ha.Errorf(ha.Unavailable, "cannot listen for agents and operators: %w", err)
	}
	defer func() { _ = listener.Close() }() // closed already unless something below failed
	members, leave, err := joinGossip(ctx, c, listener.Addr(), log)
	if err != nil {
		return err
	}
	defer leave()
	one, err := coordinator.New(c.Config, st, client, members, log)
	if err != nil {
		return err
	}
	stopMetrics, err := serveMetrics(c.Metrics, metrics.Handler(one.Measures), log)
	if err != nil {
		return err
	}
	defer stopMetrics()
	server := rpc.NewServer(one, tls, log)
	return run(ctx, one, listener, server.Serve, server.Stop, log)
}

// run ticks and serves until ctx ends or serving fails, and returns when both have ended,
// so that nothing uses the store any more.
func run(ctx context.Context, one *coordinator.Coordinator, l net.Listener, serve func(net.Listener) error, stopServing func(), log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- serve(l)
		stop()
	}()
	log.Info("listening", "address", l.Addr().String(), "coordinator", one.Identity().ID, "generation", one.Identity().Generation)
	go feedWatchdog(ctx, one, log)
	tell(log, daemon.SdNotifyReady)
	err := one.Run(ctx)
	tell(log, daemon.SdNotifyStopping)
	stopServing()
	if serveErr := <-served; serveErr != nil {
		err = errors.Join(err, ha.Errorf(ha.Unavailable, "cannot serve agents and operators: %w", serveErr))
	}
	log.Info("coordinator stops")
	return err
}

// serveMetrics answers Prometheus, if it is asked for. stop ends that.
func serveMetrics(address string, handler http.Handler, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, ha.Errorf(ha.Unavailable, "cannot listen for Prometheus: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served", "error", err)
		}
	})
	log.Info("serving metrics", "address", l.Addr().String())
	return func() {
		_ = server.Close()
		serving.Wait()
	}, nil
}

// joinGossip starts gossip if it is configured. leave ends it.
func joinGossip(ctx context.Context, c config, listening net.Addr, log *slog.Logger) (members func() []ha.Member, leave func(), err error) {
	if c.Gossip.Bind == "" {
		return nil, func() {}, nil
	}
	key, err := gossip.LoadKey(c.Gossip.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	address := c.Advertise
	if address == "" {
		if address, err = reachable(listening, c.Gossip); err != nil {
			return nil, nil, err
		}
	}
	g, err := gossip.Join(ctx, gossip.Config{Name: c.Name, Role: gossip.RoleCoordinator, Bind: c.Gossip.Bind, Advertise: c.Gossip.Advertise,
		Key: key, Peers: c.Gossip.Peers, RPCAddress: address, Log: log, Preset: c.Gossip.Preset})
	if err != nil {
		return nil, nil, err
	}
	return g.Members, func() {
		if err := g.Leave(leaveTimeout); err != nil {
			log.Warn("gossip did not end well", "error", err)
		}
	}, nil
}

// reachable is where others reach us: the listening address, or, if that is every address
// of the machine, the one gossip uses.
func reachable(listening net.Addr, g gossipConfig) (string, error) {
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return "", err
	}
	for _, candidate := range []string{host, hostOf(g.Advertise), hostOf(g.Bind)} {
		if ip := net.ParseIP(candidate); candidate != "" && (ip == nil || !ip.IsUnspecified()) {
			return net.JoinHostPort(candidate, port), nil
		}
	}
	return "", ha.Errorf(ha.Invalid, "gossip cannot tell agents where to dial, since %s is every address of this machine: want PSW_HA_ADVERTISE=HOST:%s", listening, port)
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// feedWatchdog tells systemd that we live, as long as ticks end.
func feedWatchdog(ctx context.Context, one *coordinator.Coordinator, log *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return
	}
	began := time.Now()
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		last := one.Ticked()
		if last.IsZero() {
			last = began
		}
		if time.Since(last) > tickSilenceMax {
			log.Error("no tick has ended for too long; systemd will restart this coordinator", "since", last)
			continue
		}
		tell(log, daemon.SdNotifyWatchdog)
	}
}

// tell says something to systemd; without systemd it says nothing.
func tell(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd does not listen", "error", err)
	}
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

func (a app) checkConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Say whether serve could start, and with --ask whether Proxmox lets it in",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.configured(cmd)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "The configuration is complete: token %s, %d endpoint(s), state %s.\n", c.PVE.TokenID, len(c.PVE.Endpoints), c.State)
			if ask, _ := cmd.Flags().GetBool("ask"); !ask {
				return nil
			}
			return a.askProxmox(cmd.Context(), c)
		},
	}
	settingFlags(cmd, allSettings)
	cmd.Flags().Bool("ask", false, "ask Proxmox what the token may do, and read the cluster once")
	return cmd
}

// askProxmox tries the token and reads the cluster once.
func (a app) askProxmox(ctx context.Context, c config) error {
	client, err := pve.New(c.PVE)
	if err != nil {
		return err
	}
	missing, err := client.Permissions(ctx)
	if err != nil {
		return err
	}
	for _, m := range missing {
		fmt.Fprintf(a.stdout, "The token lacks %s.\n", m)
	}
	if len(missing) > 0 {
		return ha.Errorf(ha.NotReady, "the API token %s does not suffice: give it a role with what it lacks, and with privilege separation its user too", c.PVE.TokenID)
	}
	inv, err := client.Inventory(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Proxmox VE %s on %s answers: cluster %s, %d nodes, %d guests, quorate: %t.\n",
		inv.Version, inv.Source, inv.Cluster.Name, len(inv.Nodes), len(inv.Guests), inv.Cluster.Quorate)
	return nil
}
