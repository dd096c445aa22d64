package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/casaeureka/psw-ha/agent"
	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// certify makes the lab's CA and everybody's certificates, and writes the operator's into
// the project, where psw looks for them.
func (l *Lab) certify() error {
	ca, err := rpc.NewCA("psw-ha lab")
	if err != nil {
		return err
	}
	l.ca = ca
	if err := l.issue(l.dir("coordinator"), rpc.RoleCoordinator, "lab", "127.0.0.1", "localhost"); err != nil {
		return err
	}
	for _, n := range l.Cluster.Nodes() {
		if err := l.issue(l.dir("agents", n), rpc.RoleAgent, n); err != nil {
			return err
		}
	}
	return l.issue(filepath.Join(l.Project, ".psw", "ha"), rpc.RoleOperator, "operator")
}

// issue gives somebody a certificate of the lab's CA.
func (l *Lab) issue(dir string, role rpc.Role, name string, hosts ...string) error {
	cert, err := l.ca.Issue(role, name, hosts...)
	if err != nil {
		return err
	}
	_, err = cert.Save(dir)
	return err
}

func (l *Lab) dir(elem ...string) string {
	return filepath.Join(append([]string{l.options.Dir}, elem...)...)
}

// writeClient tells psw where the coordinator is.
func (l *Lab) writeClient(address string) error {
	raw, err := json.MarshalIndent(map[string]any{"coordinator": []string{address}, "tls": "."}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.Project, ".psw", "ha", "client.json"), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write the client's settings: %w", err)
	}
	return nil
}

// The ports of coordinator and agents, which must find theirs free again when they are
// restarted: below those that the kernel gives to outgoing connections.
const (
	portMin = 20000
	portMax = 32000
)

// freeAddress is a loopback address that nobody listens at just now, neither by TCP nor by
// UDP: gossip uses both.
func freeAddress() (string, error) {
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(portMin+rand.IntN(portMax-portMin)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		p, udp := net.ListenPacket("udp", address)
		_ = l.Close() // it was only to see that it is free
		if udp == nil {
			_ = p.Close()
			return address, nil
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", portMin, portMax)
}

// startAgents runs an agent on each node.
func (l *Lab) startAgents() error {
	for _, n := range l.Cluster.Nodes() {
		if err := l.startAgent(n); err != nil {
			return err
		}
	}
	return nil
}

// startAgent runs an agent on a node for as long as the node is up: a power cut or a watchdog
// takes the agent along, a boot brings it back.
func (l *Lab) startAgent(n string) error {
	c := agent.DefaultConfig()
	c.Node = ha.NodeName(n)
	c.Coordinators = []string{l.address}
	c.TLSDir, c.StateDir = l.dir("agents", n), l.dir("agents", n, "state")
	c.Interval = time.Second
	c.AllowPowerOff = true // nothing but the simulation has power here
	l.gossipFor(&c, n)
	if err := c.Validate(); err != nil {
		return err
	}
	k := &keeper{kill: make(chan struct{})}
	l.mu.Lock()
	l.agents[n] = k
	l.mu.Unlock()
	l.begin(func(ctx context.Context) { l.keepAgent(ctx, n, c, k) })
	return nil
}

// keeper is what keeps a node's agent running.
type keeper struct{ kill chan struct{} }

// KillAgent ends a node's agent; it comes back as systemd would bring it. A pvecm it began
// goes on, in a unit of its own.
func (l *Lab) KillAgent(ctx context.Context, node string) error {
	l.mu.Lock()
	k := l.agents[node]
	l.mu.Unlock()
	if k == nil {
		return fmt.Errorf("no agent on %q", node)
	}
	select {
	case k.kill <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second):
		return fmt.Errorf("no agent runs on %s", node)
	}
}

// nodeName is what a machine of a lab may be called.
var nodeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)

// AddNode installs one more machine in the lab, with an agent on it. It is in no cluster:
// joining it is psw's business.
func (l *Lab) AddNode(name string) error {
	if !nodeName.MatchString(name) {
		return fmt.Errorf("%q is no node name", name)
	}
	nodes := l.Cluster.Nodes()
	if slices.Contains(nodes, name) {
		return fmt.Errorf("there is a node %s already", name)
	}
	p, err := l.reload()
	if err != nil {
		return err
	}
	m := machine(p, ha.NodeName(name), len(nodes))
	m.Alone = true
	address, err := freeAddress()
	if err != nil {
		return fmt.Errorf("cannot find a port for gossip: %w", err)
	}
	l.Cluster.AddNode(m)
	if err := l.pve.serve(name); err != nil {
		return err
	}
	l.mu.Lock()
	l.gossip[name] = address
	l.mu.Unlock()
	if err := l.issue(l.dir("agents", name), rpc.RoleAgent, name); err != nil {
		return err
	}
	return l.startAgent(name)
}

// awaitAgents waits until every agent has reported, as an operator would find it. On blank
// nodes there is no master of the HA manager to wait for, and the coordinator has reasons
// not to act.
func (l *Lab) awaitAgents(ctx context.Context) error {
	tls, err := rpc.ClientTLS(rpc.FilesIn(filepath.Join(l.Project, ".psw", "ha"), rpc.RoleOperator), rpc.RoleCoordinator)
	if err != nil {
		return err
	}
	op, err := rpc.DialOperator([]string{l.address}, tls)
	if err != nil {
		return err
	}
	defer op.Close()
	return WaitFor(ctx, 30*time.Second, "every agent has reported to the coordinator", func() bool {
		st, err := op.Status(ctx, &l.policy.Policy)
		ready := err == nil && len(st.Nodes) > 0 && (l.options.Blank || st.Master != "" && len(st.Warnings) == 0)
		if !ready {
			return false
		}
		for _, n := range st.Nodes {
			if n.ReportAge < 0 || n.ReportAge > 5*time.Second {
				return false
			}
		}
		proofs, err := op.Proofs(ctx) // what was never tried is unknown, and nobody's fault
		protects := !l.options.Blank && slices.ContainsFunc(l.policy.Policy.Targets, func(t ha.Target) bool { return t.HA })
		return err == nil && (len(proofs) > 0 || !protects) && !slices.ContainsFunc(proofs, ha.Proof.Open)
	})
}

// keepAgent starts and ends a node's agent with the node, and starts it again when it died.
func (l *Lab) keepAgent(ctx context.Context, node string, c agent.Config, k *keeper) {
	log := l.options.Log.With("node", node)
	for ctx.Err() == nil {
		if !l.Cluster.Up(node) {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		life, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- agent.New(c, l.Cluster.Host(node), log).Run(life) }()
		killed := l.watchAgent(life, node, k)
		end()
		err := <-ended
		switch {
		case ctx.Err() != nil:
		case err != nil:
			l.options.Notify("the agent of %s ended: %v", node, err)
			pause(ctx, time.Second)
		case killed:
			l.options.Notify("the agent of %s is killed; started again in %s, as systemd would", node, restartAfter)
			pause(ctx, restartAfter)
		}
	}
}

// watchAgent waits until the agent's life ends: with the lab, with its node, or because
// somebody kills it.
func (l *Lab) watchAgent(life context.Context, node string, k *keeper) (killed bool) {
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for l.Cluster.Up(node) {
		select {
		case <-life.Done():
			return false
		case <-k.kill:
			return true
		case <-look.C:
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
