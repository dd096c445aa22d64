package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/coordinator"
	"github.com/casaeureka/psw-ha/coordinator/pve"
	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
	"github.com/casaeureka/psw-ha/pkg/settings"
)

// configFile is read if it exists. The packaged unit names it as its EnvironmentFile too.
const configFile = "/etc/psw-ha/coordinator.env"

// config is everything that can be set.
type config struct {
	coordinator.Config
	// Name is what gossip and people call this coordinator.
	Name string
	// State is the state file.
	State string
	// Listen is where agents and operators dial, host:port; Advertise where gossip tells
	// agents to dial, if that is another address.
	Listen, Advertise string
	// TLSDir holds ca.crt, coordinator.crt and coordinator.key.
	TLSDir string
	// PVE is how Proxmox is reached; TokenFile holds the token's secret if the environment
	// does not.
	PVE       pve.Config
	TokenFile string
	// Metrics is where Prometheus may ask, host:port; empty: nowhere.
	Metrics  string
	Gossip   gossipConfig
	LogLevel slog.Level
}

// gossipConfig is off without Bind.
type gossipConfig struct {
	Bind, Advertise, KeyFile string
	Peers                    []string
	Preset                   gossip.Preset
}

func defaultConfig() config {
	return config{
		Config: coordinator.DefaultConfig(),
		State:  "/var/lib/psw-ha/coordinator/state.db",
		Listen: ":7443",
		TLSDir: "/etc/psw-ha/tls",
		Gossip: gossipConfig{Preset: gossip.LAN},
	}
}

type setting = settings.Setting[config]

// text is a setting that is stored as it is written.
func text(key, flag, usage string, field func(*config) *string) setting {
	return setting{Key: key, Flag: flag, Usage: usage, Set: func(c *config, v string) error { *field(c) = v; return nil }}
}

// duration is a setting like 5s or 1m30s.
func duration(key, flag, usage string, field func(*config) *time.Duration) setting {
	return setting{Key: key, Flag: flag, Usage: usage, Set: func(c *config, v string) (err error) {
		*field(c), err = time.ParseDuration(v)
		return err
	}}
}

// list is a setting of several words.
func list(key, flag, usage string, field func(*config) *[]string) setting {
	return setting{Key: key, Flag: flag, Usage: usage, Set: func(c *config, v string) error { *field(c) = settings.Words(v); return nil }}
}

var stateSetting = text("PSW_HA_STATE", "state", "the state `FILE`", func(c *config) *string { return &c.State })

// allSettings are the settings of serve, in the order of its help. The token's secret has no
// flag: a command line is read by everybody on the machine.
var allSettings = []setting{
	text("PSW_HA_LISTEN", "listen", "where agents and operators dial: `HOST:PORT`", func(c *config) *string { return &c.Listen }),
	stateSetting,
	text("PSW_HA_TLS_DIR", "tls", "`DIR` with ca.crt, coordinator.crt and coordinator.key", func(c *config) *string { return &c.TLSDir }),
	list("PSW_HA_PVE_ENDPOINTS", "pve-endpoints", "the API of several nodes: `https://HOST:8006,…`", func(c *config) *[]string { return &c.PVE.Endpoints }),
	text("PSW_HA_PVE_TOKEN_ID", "pve-token-id", "the API token: `USER@REALM!NAME`", func(c *config) *string { return &c.PVE.TokenID }),
	text("PSW_HA_PVE_TOKEN_FILE", "pve-token-file", "`FILE` with the token's secret and nothing else, mode 0600", func(c *config) *string { return &c.TokenFile }),
	text("PSW_HA_PVE_TOKEN_SECRET", "", "", func(c *config) *string { return &c.PVE.TokenSecret }),
	text("PSW_HA_PVE_CA_FILE", "pve-ca-file", "`FILE` with the cluster's CA (/etc/pve/pve-root-ca.pem)", func(c *config) *string { return &c.PVE.CAFile }),
	text("PSW_HA_PVE_FINGERPRINT", "pve-fingerprint", "SHA-256 `FINGERPRINTS` of the nodes' certificates, instead of a CA", func(c *config) *string { return &c.PVE.Fingerprint }),
	duration("PSW_HA_PVE_TIMEOUT", "pve-timeout", "`TIME` for one reading of the API", func(c *config) *time.Duration { return &c.PVE.Timeout }),
	{Key: "PSW_HA_BOOTSTRAP_HOOK", Flag: "bootstrap-hook", Usage: "absolute `PATH` of the command that deploys the core apps at the end of psw bootstrap; it gets the event as JSON on its standard input (default: none)",
		Set: func(c *config, v string) error { c.BootstrapHook = v; return nil }},
	{Key: "PSW_HA_GUEST", Flag: "guest", Usage: "the `GUEST` the coordinator runs in, e.g. ct:101; it is drained last (default: the project's bootstrap target)",
		Set: func(c *config, v string) (err error) { c.Guest, err = ha.ParseSID(v); return err }},
	duration("PSW_HA_INTERVAL", "interval", "`TIME` between two looks at the cluster", func(c *config) *time.Duration { return &c.Interval }),
	text("PSW_HA_NAME", "name", "this coordinator's `NAME` (default: the host name without domain)", func(c *config) *string { return &c.Name }),
	text("PSW_HA_ADVERTISE", "advertise", "where gossip tells agents to dial: `HOST:PORT` (default: the listening address)", func(c *config) *string { return &c.Advertise }),
	text("PSW_HA_GOSSIP_BIND", "gossip-bind", "listen for gossip at `IP:PORT`; without it there is no gossip", func(c *config) *string { return &c.Gossip.Bind }),
	text("PSW_HA_GOSSIP_ADVERTISE", "gossip-advertise", "be reached for gossip at `IP:PORT`", func(c *config) *string { return &c.Gossip.Advertise }),
	text("PSW_HA_GOSSIP_KEY_FILE", "gossip-key-file", "`FILE` with the gossip key", func(c *config) *string { return &c.Gossip.KeyFile }),
	list("PSW_HA_GOSSIP_PEERS", "gossip-peers", "other members of gossip: `HOST:PORT,…`", func(c *config) *[]string { return &c.Gossip.Peers }),
	{Key: "PSW_HA_GOSSIP_PRESET", Flag: "gossip-preset", Usage: "`lan`, or local if everything is on one machine",
		Set: func(c *config, v string) error { c.Gossip.Preset = gossip.Preset(v); return nil }},
	text("PSW_HA_METRICS_LISTEN", "metrics-listen", "answer Prometheus at `HOST:PORT`, unencrypted; without it there are no metrics", func(c *config) *string { return &c.Metrics }),
	{Key: "PSW_HA_LOG_LEVEL", Flag: "log-level", Usage: "`LEVEL` of what is logged: debug, info, warn or error",
		Set: func(c *config, v string) error { return c.LogLevel.UnmarshalText([]byte(v)) }},
}

func settingFlags(cmd *cobra.Command, list []setting) {
	f := cmd.Flags()
	f.SortFlags = false
	f.String("config", configFile, "read `FILE` of KEY=value lines")
	for _, s := range list {
		if s.Flag != "" {
			f.String(s.Flag, "", s.Usage+" ["+s.Key+"]")
		}
	}
}

func stateFlags(cmd *cobra.Command) { settingFlags(cmd, []setting{stateSetting}) }

// load gathers the settings: file, then environment, then flags.
func (a app) load(cmd *cobra.Command) (config, error) {
	c := defaultConfig()
	if name, err := a.hostname(); err == nil {
		c.Name, _, _ = strings.Cut(name, ".")
	}
	file, _ := cmd.Flags().GetString("config")
	err := settings.Load(allSettings, settings.Sources{File: file, Asked: cmd.Flags().Changed("config"), Env: a.env,
		Flag: func(name string) (string, bool) {
			v, _ := cmd.Flags().GetString(name)
			return v, cmd.Flags().Changed(name)
		}}, &c)
	return c, err
}

// statePath is where the state file is, for the commands that need no more.
func (a app) statePath(cmd *cobra.Command) (string, error) {
	c, err := a.load(cmd)
	if err == nil && c.State == "" {
		err = ha.Errorf(ha.Invalid, "no state file is named: want --state FILE")
	}
	return c.State, err
}

// complete reads the token's secret and names every fault of the configuration.
func (c *config) complete() error {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	fault := func(format string, args ...any) { note(ha.Errorf(ha.Invalid, format, args...)) }
	note(c.Validate())
	if c.Name == "" {
		fault("this coordinator has no name: want PSW_HA_NAME")
	}
	if !filepath.IsAbs(c.State) {
		fault("state file %q: want an absolute path", c.State)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listening address %q: want HOST:PORT or :PORT", c.Listen)
	}
	if c.Metrics != "" {
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			fault("metrics address %q: want HOST:PORT, e.g. 127.0.0.1:9753", c.Metrics)
		}
	}
	if c.Advertise != "" {
		if host, _, err := net.SplitHostPort(c.Advertise); err != nil || host == "" {
			fault("advertised address %q: want HOST:PORT", c.Advertise)
		}
	}
	note(c.readToken())
	proxmox := c.PVE
	if proxmox.TokenSecret == "" {
		proxmox.TokenSecret = "missing" // said above; now for what else is wrong
	}
	_, err := pve.New(proxmox)
	note(err)
	_, err = rpc.ServerTLS(rpc.FilesIn(c.TLSDir, rpc.RoleCoordinator))
	note(err)
	note(c.Gossip.validate())
	return errors.Join(faults...)
}

// readToken takes the API token's secret from its file, unless the environment has it.
func (c *config) readToken() error {
	if c.TokenFile == "" {
		if c.PVE.TokenSecret == "" {
			return ha.Errorf(ha.Invalid, "the API token has no secret: want PSW_HA_PVE_TOKEN_FILE, a file with the secret and mode 0600")
		}
		return nil
	}
	if c.PVE.TokenSecret != "" {
		return ha.Errorf(ha.Invalid, "the API token's secret is given twice: PSW_HA_PVE_TOKEN_FILE and PSW_HA_PVE_TOKEN_SECRET")
	}
	info, err := os.Stat(c.TokenFile)
	if err != nil {
		return ha.Errorf(ha.Invalid, "no API token: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return ha.Errorf(ha.Invalid, "API token file %s is open to everybody on this machine: chmod 600 it", c.TokenFile)
	}
	secret, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return ha.Errorf(ha.Invalid, "no API token: %w", err)
	}
	c.PVE.TokenSecret = strings.TrimSpace(string(secret))
	if c.PVE.TokenSecret == "" || strings.ContainsAny(c.PVE.TokenSecret, " \t\r\n=") {
		return ha.Errorf(ha.Invalid, "API token file %s: want the secret and nothing else", c.TokenFile)
	}
	return nil
}

func (g gossipConfig) validate() error {
	if g.Bind == "" {
		if g.Advertise != "" || g.KeyFile != "" || len(g.Peers) > 0 {
			return ha.Errorf(ha.Invalid, "gossip is configured but has no address to listen at: want PSW_HA_GOSSIP_BIND")
		}
		return nil
	}
	if g.KeyFile == "" {
		return ha.Errorf(ha.Invalid, "gossip is always encrypted: want PSW_HA_GOSSIP_KEY_FILE (psw-coordinator gossip-key FILE makes one)")
	}
	_, err := gossip.LoadKey(g.KeyFile)
	return err
}

// guarded refuses a configuration file that holds the token's secret and is open to others.
func guarded(file string, c config) error {
	if c.TokenFile != "" {
		return nil
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm()&0o007 == 0 {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("no configuration: %w", err)
	}
	if strings.Contains(string(text), "PSW_HA_PVE_TOKEN_SECRET") {
		return ha.Errorf(ha.Invalid, "%s holds the API token's secret and is open to everybody on this machine: chmod 600 it", file)
	}
	return nil
}
