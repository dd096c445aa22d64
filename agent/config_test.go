package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// valid is a configuration without a fault.
func valid() Config {
	c := DefaultConfig()
	c.Node, c.Coordinators = "node1", []string{"10.10.0.1:7443", "node2:7443", "[fd00::1]:7443"}
	return c
}

func TestAConfigurationWithoutFault(t *testing.T) {
	c := valid()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Coordinators = nil
	c.Gossip = GossipConfig{Bind: "0.0.0.0:8008", Advertise: "10.10.0.1:8008", KeyFile: "/etc/psw-ha/gossip.key", Peers: []string{"node2:8008"}}
	if err := c.Validate(); err != nil {
		t.Errorf("with gossip: %v", err)
	}
}

func TestFaultsOfAConfigurationSayWhatWouldBeRight(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"no node", func(c *Config) { c.Node = "" }, "want the host name without domain"},
		{"a node with its domain", func(c *Config) { c.Node = "node1.example.org" }, "want the host name without domain"},
		{"nobody to dial", func(c *Config) { c.Coordinators = nil }, "no coordinator can be found"},
		{"an address without port", func(c *Config) { c.Coordinators[1] = "node2" }, `coordinator "node2": want host:port`},
		{"an address without host", func(c *Config) { c.Coordinators[1] = ":7443" }, "the host is missing"},
		{"a URL", func(c *Config) { c.Coordinators[1] = "https://node2:7443" }, "want host:port"},
		{"a port that is none", func(c *Config) { c.Coordinators[1] = "node2:74430" }, "want a number from 1 to 65535"},
		{"a relative folder", func(c *Config) { c.StateDir = "state" }, `state folder "state": want an absolute path`},
		{"too often", func(c *Config) { c.Interval = 10 * time.Millisecond }, "want between 1s and"},
		{"too seldom", func(c *Config) { c.Interval = time.Minute }, "three reports fit into the 20s"},
		{"writing too often", func(c *Config) { c.WriteEvery = time.Second }, "want at least 10s, or 0 for never"},
		{"writing to a relative path", func(c *Config) { c.WritePaths = []string{"mnt"} }, `mount to write to "mnt": want an absolute path`},
		{"gossip at a name", func(c *Config) {
			c.Gossip = GossipConfig{Bind: "node1:8008", KeyFile: "/k", Peers: []string{"node2:8008"}}
		}, "want IP:port"},
		{"gossip of another kind", func(c *Config) {
			c.Gossip = GossipConfig{Bind: "0.0.0.0:8008", KeyFile: "/k", Peers: []string{"node2:8008"}, Preset: "wan"}
		}, `gossip preset "wan": want lan or local`},
		{"gossip with itself", func(c *Config) { c.Gossip = GossipConfig{Bind: "0.0.0.0:8008", KeyFile: "/k"} }, "gossip has no peers"},
		{"gossip without encryption", func(c *Config) { c.Gossip = GossipConfig{Bind: "0.0.0.0:8008", Peers: []string{"node2:8008"}} }, "gossip key file"},
		{"gossip that listens nowhere", func(c *Config) { c.Gossip.Peers = []string{"node2:8008"} }, "has no address to listen at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
			if ha.KindOf(err) != ha.Invalid {
				t.Errorf("its kind is %q, want invalid", ha.KindOf(err))
			}
		})
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	err := Config{}.Validate()
	if n := len(strings.Split(err.Error(), "\n")); n != 6 {
		t.Errorf("%d faults are named, want 6 (node, coordinators, three folders, interval):\n%v", n, err)
	}
}

// Gossip tells where a coordinator is now; what is configured may be old, but is all there
// is until gossip has somebody to talk to.
func TestWhereToDial(t *testing.T) {
	got := strings.Join(addresses([]string{"10.10.0.9:7443", "10.10.0.7:7443"}, []string{"10.10.0.7:7443", "10.10.0.5:7443"}), " ")
	if want := "10.10.0.9:7443 10.10.0.7:7443 10.10.0.5:7443"; got != want {
		t.Errorf("it dials %s, want %s", got, want)
	}
}
