package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Config is what an agent needs to know. There is no secret in it: keys are files.
type Config struct {
	// Node is the name of the node it runs on, as `pvecm nodes` prints it.
	Node ha.NodeName
	// Coordinators are addresses, host:port, where a coordinator may answer, likeliest
	// first. With gossip they are only a first hint, and may be empty.
	Coordinators []string
	// TLSDir holds ca.crt, agent.crt and agent.key.
	TLSDir string
	// StateDir is where the agent remembers which coordinator it obeys.
	StateDir string
	// Interval is how often it looks and reports, until a coordinator says otherwise.
	Interval time.Duration
	Gossip   GossipConfig
	// WriteEvery is how often it writes a small file to each shared mount and reads it back:
	// those that Proxmox's NFS storages name, and WritePaths. 0 is never.
	WriteEvery time.Duration
	WritePaths []string
	// SecretDir holds bmc/NAME, a file for each BMC, which only root may read.
	SecretDir string
	// AllowPowerOff lets a coordinator have this node cut another node's power.
	AllowPowerOff bool
}

// GossipConfig is how the agent finds coordinators that moved. It is off without Bind.
type GossipConfig struct {
	// Bind is the address to listen at, IP:port, TCP and UDP.
	Bind string
	// Advertise is the IP:port others reach us at, if it is not Bind.
	Advertise string
	// KeyFile holds the cluster's gossip key, base64 of 32 bytes, and nothing else.
	KeyFile string
	// Peers are other members' gossip addresses, host:port. One that answers is enough.
	Peers []string
	// Preset is how patient gossip is; empty: gossip.LAN.
	Preset gossip.Preset
}

// On reports whether gossip is used.
func (g GossipConfig) On() bool { return g.Bind != "" }

// Limits of Interval. A coordinator calls a report unknown after ha.ReportAgeMax: three
// reports must fit into that. More often than once a second would be load for nothing,
// since Proxmox's own HA manager works every ten.
const (
	intervalMin = time.Second
	intervalMax = ha.ReportAgeMax / 3
	// writeEveryMin keeps one more file from being a load on a busy NAS.
	writeEveryMin = 10 * time.Second
)

// DefaultConfig is everything that has a sensible value on every node. Node and
// Coordinators have none.
func DefaultConfig() Config {
	return Config{
		TLSDir:   "/etc/psw-ha/tls",
		StateDir: "/var/lib/psw-ha/agent",
		Interval: ha.ReportInterval,

		SecretDir:  "/etc/psw-ha",
		WriteEvery: probe.WriteEvery,
	}
}

// Validate names every fault, each with what would be right. The error is Invalid.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, ha.Errorf(ha.Invalid, format, args...))
	}
	if !probe.NodeName.Matches(string(c.Node)) {
		fault("node %q is no name of a Proxmox node: want the host name without domain, as `pvecm nodes` prints it", c.Node)
	}
	if len(c.Coordinators) == 0 && !c.Gossip.On() {
		fault("no coordinator can be found: want coordinators (host:port, …), or gossip")
	}
	addresses := func(what string, list []string) {
		for _, a := range list {
			if err := validAddress(a); err != nil {
				fault("%s %q: %w", what, a, err)
			}
		}
	}
	numeric := func(what, a string) {
		if _, err := netip.ParseAddrPort(a); err != nil {
			fault("%s %q: want IP:port", what, a)
		}
	}
	folder := func(what, dir string) {
		if !filepath.IsAbs(dir) {
			fault("%s %q: want an absolute path", what, dir)
		}
	}
	addresses("coordinator", c.Coordinators)
	folder("TLS folder", c.TLSDir)
	folder("state folder", c.StateDir)
	folder("folder of secrets", c.SecretDir)
	if c.Interval < intervalMin || c.Interval > intervalMax {
		fault("interval %s: want between %s and %s, so that three reports fit into the %s after which a node is unknown",
			c.Interval, intervalMin, intervalMax.Round(time.Second), ha.ReportAgeMax)
	}
	if c.WriteEvery != 0 && c.WriteEvery < writeEveryMin {
		fault("writing to shared mounts every %s: want at least %s, or 0 for never", c.WriteEvery, writeEveryMin)
	}
	for _, path := range c.WritePaths {
		folder("mount to write to", path)
	}
	if g := c.Gossip; g.On() {
		numeric("gossip bind address", g.Bind)
		if g.Advertise != "" {
			numeric("gossip advertise address", g.Advertise)
		}
		addresses("gossip peer", g.Peers)
		if len(g.Peers) == 0 {
			fault("gossip has no peers: want the gossip address of at least one other member (host:port)")
		}
		folder("gossip key file", g.KeyFile)
		if g.Preset != "" && g.Preset != gossip.LAN && g.Preset != gossip.Local {
			fault("gossip preset %q: want %s or %s", g.Preset, gossip.LAN, gossip.Local)
		}
	} else if g.Advertise != "" || g.KeyFile != "" || len(g.Peers) > 0 {
		fault("gossip is configured but has no address to listen at: want a bind address (host:port)")
	}
	return errors.Join(faults...)
}

func validAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return errors.New("want host:port")
	}
	if host == "" || strings.ContainsAny(host, " /") {
		return errors.New("the host is missing or no host: want host:port")
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return fmt.Errorf("%q is no port: want a number from 1 to 65535", port)
	}
	return nil
}
