package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// configFile is read if it exists. A packaged unit names it as its EnvironmentFile too.
const configFile = "/etc/psw-ha/agent.env"

// settings are the agent's configuration and what concerns this program only.
type settings struct {
	agent.Config
	logLevel slog.Level
}

// A setting can be written in the configuration file and the environment by its key, and
// on the command line by its flag. Later ones win.
type setting struct {
	key   string
	flag  string
	usage string
	set   func(s *settings, value string) error
}

// allSettings is everything that can be set.
var allSettings = []setting{
	{"PSW_HA_NODE", "node", "this node's `NAME` (default: the host name without domain)",
		func(s *settings, v string) error { s.Node = ha.NodeName(v); return nil }},
	{"PSW_HA_COORDINATORS", "coordinators", "where a coordinator may answer: `HOST:PORT,…`",
		func(s *settings, v string) error { s.Coordinators = words(v); return nil }},
	{"PSW_HA_TLS_DIR", "tls", "`DIR` with ca.crt, agent.crt and agent.key",
		func(s *settings, v string) error { s.TLSDir = v; return nil }},
	{"PSW_HA_STATE_DIR", "state", "`DIR` where the agent remembers which coordinator it obeys",
		func(s *settings, v string) error { s.StateDir = v; return nil }},
	{"PSW_HA_INTERVAL", "interval", "`TIME` between two reports",
		func(s *settings, v string) (err error) { s.Interval, err = time.ParseDuration(v); return err }},
	{"PSW_HA_GOSSIP_BIND", "gossip-bind", "listen for gossip at `IP:PORT`; without it there is no gossip",
		func(s *settings, v string) error { s.Gossip.Bind = v; return nil }},
	{"PSW_HA_GOSSIP_ADVERTISE", "gossip-advertise", "be reached for gossip at `IP:PORT`",
		func(s *settings, v string) error { s.Gossip.Advertise = v; return nil }},
	{"PSW_HA_GOSSIP_KEY_FILE", "gossip-key-file", "`FILE` with the gossip key",
		func(s *settings, v string) error { s.Gossip.KeyFile = v; return nil }},
	{"PSW_HA_GOSSIP_PEERS", "gossip-peers", "other members of gossip: `HOST:PORT,…`",
		func(s *settings, v string) error { s.Gossip.Peers = words(v); return nil }},
	{"PSW_HA_LOG_LEVEL", "log-level", "`LEVEL` of what is logged: debug, info, warn or error",
		func(s *settings, v string) error { return s.logLevel.UnmarshalText([]byte(v)) }},
}

// words splits a list at commas and white space.
func words(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// settingFlags gives a command a flag for every setting.
func settingFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.String("config", configFile, "read `FILE` of KEY=value lines")
	for _, s := range allSettings {
		f.String(s.flag, "", s.usage+" ["+s.key+"]")
	}
}

// load gathers the settings: file, then environment, then flags.
func (a app) load(cmd *cobra.Command) (settings, error) {
	s := settings{Config: agent.DefaultConfig()}
	var err error
	if s.Node, err = a.node(); err != nil {
		return s, err
	}
	file, _ := cmd.Flags().GetString("config")
	if err := s.loadFile(file, cmd.Flags().Changed("config")); err != nil {
		return s, err
	}
	for _, one := range allSettings {
		if v, ok := a.env[one.key]; ok {
			if err := one.set(&s, v); err != nil {
				return s, ha.Errorf(ha.Invalid, "%s in the environment: %w", one.key, err)
			}
		}
		if cmd.Flags().Changed(one.flag) {
			v, _ := cmd.Flags().GetString(one.flag)
			if err := one.set(&s, v); err != nil {
				return s, ha.Errorf(ha.Invalid, "--%s: %w", one.flag, err)
			}
		}
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%w\nsettings are read from %s, the environment (PSW_HA_…) and flags: see psw-agent run --help", err, file)
	}
	return s, nil
}

// loadFile reads a configuration file. The one we look for by ourselves may be missing.
func (s *settings) loadFile(file string, asked bool) error {
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return nil
	case err != nil:
		return ha.Errorf(ha.Invalid, "no configuration: %w", err)
	}
	var faults []error
	for _, l := range envLines(string(data)) {
		fault := l.err
		if fault == nil {
			fault = s.setKey(l.key, l.value)
		}
		if fault != nil {
			faults = append(faults, ha.Errorf(ha.Invalid, "%s:%d: %w", file, l.number, fault))
		}
	}
	return errors.Join(faults...)
}

// setKey sets one key of a file. Keys that are not ours (GOMEMLIMIT, GOGC) are left to
// systemd, which reads the same file; a mistyped key of ours is a fault.
func (s *settings) setKey(key, value string) error {
	for _, one := range allSettings {
		if one.key == key {
			return one.set(s, value)
		}
	}
	if !strings.HasPrefix(key, "PSW_HA_") {
		return nil
	}
	keys := make([]string, len(allSettings))
	for k, one := range allSettings {
		keys[k] = one.key
	}
	return fmt.Errorf("there is no %s: want one of %s", key, strings.Join(keys, ", "))
}
