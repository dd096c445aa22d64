package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/pkg/gossip"
)

// startCoordinator starts psw-coordinator as its own process, so that it can be killed, and
// returns when it listens.
func (l *Lab) startCoordinator(ctx context.Context) error {
	var err error
	if l.address, err = freeAddress(); err != nil {
		return fmt.Errorf("cannot find a port for the coordinator: %w", err)
	}
	if err := l.prepareGossip(); err != nil {
		return err
	}
	log, err := os.OpenFile(l.dir("coordinator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the coordinator's log: %w", err)
	}
	env := environment(l.options.Environ,
		"PSW_HA_LISTEN="+l.address,
		"PSW_HA_STATE="+l.dir("coordinator", "state.db"),
		"PSW_HA_TLS_DIR="+l.dir("coordinator"),
		"PSW_HA_PVE_ENDPOINTS="+strings.Join(l.pve.endpoints, ","),
		"PSW_HA_PVE_TOKEN_ID="+tokenUser+"!"+tokenName,
		"PSW_HA_PVE_TOKEN_SECRET="+tokenSecret,
		"PSW_HA_PVE_CA_FILE="+l.pve.ca,
		"PSW_HA_INTERVAL=1s",
		"PSW_HA_NAME=coordinator",
		"PSW_HA_ADVERTISE="+l.address,
		"PSW_HA_GOSSIP_BIND="+l.gossip["coordinator"],
		"PSW_HA_GOSSIP_KEY_FILE="+l.dir("gossip.key"),
		"PSW_HA_GOSSIP_PEERS="+l.gossipPeers("coordinator"),
		"PSW_HA_GOSSIP_PRESET=local",
	)
	if l.options.PSWLab != "" {
		hook := l.dir("core-apps")
		if err := os.WriteFile(hook, fmt.Appendf(nil, hookScript, l.options.PSWLab, l.options.Dir, nothingToDeploy), 0o700); err != nil { //nolint:gosec // it is to be run
			return fmt.Errorf("cannot write the hook for the core apps: %w", err)
		}
		env = append(env, "PSW_HA_BOOTSTRAP_HOOK="+hook)
	}
	none := l.dir("none.env")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		return err
	}
	l.coordinator = &process{name: "psw-coordinator", path: l.options.Coordinator, args: []string{"serve", "--config", none}, env: env,
		log: log, notify: l.options.Notify, restart: l.options.Restart}
	if err := l.coordinator.start(); err != nil {
		return err
	}
	if err := l.awaitCoordinator(ctx); err != nil {
		return err
	}
	return l.writeClient(l.address)
}

// awaitCoordinator waits until the coordinator listens.
func (l *Lab) awaitCoordinator(ctx context.Context) error {
	err := WaitFor(ctx, 20*time.Second, "the coordinator listens at "+l.address, func() bool {
		c, err := net.DialTimeout("tcp", l.address, time.Second)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	if err != nil {
		return fmt.Errorf("%w; see %s", err, l.dir("coordinator.log"))
	}
	return nil
}

// prepareGossip makes the key and chooses everybody's address.
func (l *Lab) prepareGossip() error {
	key, err := gossip.NewKey()
	if err != nil {
		return err
	}
	if err := key.Save(l.dir("gossip.key")); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gossip = make(map[string]string)
	for _, name := range append(l.Cluster.Nodes(), "coordinator") {
		if l.gossip[name], err = freeAddress(); err != nil {
			return fmt.Errorf("cannot find a port for gossip: %w", err)
		}
	}
	return nil
}

// gossipPeers are the addresses of everybody but one.
func (l *Lab) gossipPeers(but string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, name := range append(l.Cluster.Nodes(), "coordinator") {
		if name != but {
			out = append(out, l.gossip[name])
		}
	}
	return strings.Join(out, ",")
}

// gossipFor lets a node's agent take part in gossip.
func (l *Lab) gossipFor(c *agent.Config, node string) {
	l.mu.Lock()
	bind := l.gossip[node]
	l.mu.Unlock()
	c.Gossip = agent.GossipConfig{Bind: bind, KeyFile: l.dir("gossip.key"), Peers: strings.Split(l.gossipPeers(node), ",")}
}

// Dir is the lab's folder.
func (l *Lab) Dir() string { return l.options.Dir }
