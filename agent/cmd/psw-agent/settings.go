package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/settings"
)

// configFile is read if it exists. A packaged unit names it as its EnvironmentFile too.
const configFile = "/etc/psw-ha/agent.env"

// config is the agent's configuration and what concerns this program only.
type config struct {
	agent.Config
	// metrics is where Prometheus may ask, host:port; empty: nowhere.
	metrics  string
	logLevel slog.Level
}

type setting = settings.Setting[config]

// text is a setting that is taken as it is, words one that is a list.
func text(key, flag, usage string, field func(*config) *string) setting {
	return setting{Key: key, Flag: flag, Usage: usage, Set: func(c *config, v string) error { *field(c) = v; return nil }}
}

func words(key, flag, usage string, field func(*config) *[]string) setting {
	return setting{Key: key, Flag: flag, Usage: usage, Set: func(c *config, v string) error { *field(c) = settings.Words(v); return nil }}
}

// allSettings is everything that can be set.
var allSettings = []setting{
	{Key: "PSW_HA_NODE", Flag: "node", Usage: "this node's `NAME` (default: the host name without domain)",
		Set: func(c *config, v string) error { c.Node = ha.NodeName(v); return nil }},
	words("PSW_HA_COORDINATORS", "coordinators", "where a coordinator may answer: `HOST:PORT,…`", func(c *config) *[]string { return &c.Coordinators }),
	text("PSW_HA_TLS_DIR", "tls", "`DIR` with ca.crt, agent.crt and agent.key", func(c *config) *string { return &c.TLSDir }),
	text("PSW_HA_STATE_DIR", "state", "`DIR` where the agent remembers which coordinator it obeys", func(c *config) *string { return &c.StateDir }),
	{Key: "PSW_HA_INTERVAL", Flag: "interval", Usage: "`TIME` between two reports, until a coordinator says otherwise",
		Set: func(c *config, v string) (err error) { c.Interval, err = time.ParseDuration(v); return err }},
	{Key: "PSW_HA_WRITE_EVERY", Flag: "write-every", Usage: "`TIME` between two attempts to write to a shared mount; 0 for never",
		Set: func(c *config, v string) (err error) { c.WriteEvery, err = time.ParseDuration(v); return err }},
	words("PSW_HA_WRITE_PATHS", "write-paths", "`PATH,…` of mounts to write to besides those of Proxmox's storages", func(c *config) *[]string { return &c.WritePaths }),
	text("PSW_HA_SECRET_DIR", "secrets", "`DIR` with bmc/NAME, a file for each BMC that only root may read", func(c *config) *string { return &c.SecretDir }),
	{Key: "PSW_HA_ALLOW_POWER_OFF", Flag: "allow-power-off", Usage: "`yes` lets the coordinator have this node cut a drained node's power",
		Set: func(c *config, v string) error {
			if v != "yes" && v != "no" {
				return fmt.Errorf("%q: want yes or no", v)
			}
			c.AllowPowerOff = v == "yes"
			return nil
		}},
	text("PSW_HA_GOSSIP_BIND", "gossip-bind", "listen for gossip at `IP:PORT`; without it there is no gossip", func(c *config) *string { return &c.Gossip.Bind }),
	text("PSW_HA_GOSSIP_ADVERTISE", "gossip-advertise", "be reached for gossip at `IP:PORT`", func(c *config) *string { return &c.Gossip.Advertise }),
	text("PSW_HA_GOSSIP_KEY_FILE", "gossip-key-file", "`FILE` with the gossip key", func(c *config) *string { return &c.Gossip.KeyFile }),
	words("PSW_HA_GOSSIP_PEERS", "gossip-peers", "other members of gossip: `HOST:PORT,…`", func(c *config) *[]string { return &c.Gossip.Peers }),
	{Key: "PSW_HA_GOSSIP_PRESET", Flag: "gossip-preset", Usage: "`lan`, or local if everything is on one machine",
		Set: func(c *config, v string) error { c.Gossip.Preset = gossip.Preset(v); return nil }},
	text("PSW_HA_METRICS_LISTEN", "metrics-listen", "answer Prometheus at `HOST:PORT`, unencrypted; without it there are no metrics", func(c *config) *string { return &c.metrics }),
	{Key: "PSW_HA_LOG_LEVEL", Flag: "log-level", Usage: "`LEVEL` of what is logged: debug, info, warn or error",
		Set: func(c *config, v string) error { return c.logLevel.UnmarshalText([]byte(v)) }},
}

// settingFlags gives a command a flag for every setting.
func settingFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.String("config", configFile, "read `FILE` of KEY=value lines")
	for _, s := range allSettings {
		f.String(s.Flag, "", s.Usage+" ["+s.Key+"]")
	}
}

// load gathers the configuration: file, then environment, then flags.
func (a app) load(cmd *cobra.Command) (config, error) {
	c := config{Config: agent.DefaultConfig()}
	var err error
	if c.Node, err = a.node(); err != nil {
		return c, err
	}
	flags := cmd.Flags()
	file, _ := flags.GetString("config")
	err = settings.Load(allSettings, settings.Sources{
		File: file, Asked: flags.Changed("config"), Env: a.env,
		Flag: func(name string) (string, bool) {
			v, _ := flags.GetString(name)
			return v, flags.Changed(name)
		},
	}, &c)
	if err == nil {
		err = c.Validate()
	}
	if _, _, wrong := net.SplitHostPort(c.metrics); err == nil && c.metrics != "" && wrong != nil {
		err = ha.Errorf(ha.Invalid, "metrics address %q: want HOST:PORT, e.g. 127.0.0.1:9754", c.metrics)
	}
	if err != nil {
		return c, ha.Errorf(ha.Invalid, "%w\nsettings are read from %s, the environment (PSW_HA_…) and flags: see psw-agent run --help", err, file)
	}
	return c, nil
}
