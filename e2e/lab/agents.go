package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
	issue := func(dir string, role rpc.Role, name string, hosts ...string) error {
		cert, err := ca.Issue(role, name, hosts...)
		if err != nil {
			return err
		}
		_, err = cert.Save(dir)
		return err
	}
	if err := issue(l.dir("coordinator"), rpc.RoleCoordinator, "lab", "127.0.0.1", "localhost"); err != nil {
		return err
	}
	for _, n := range l.Cluster.Nodes() {
		if err := issue(l.dir("agents", n), rpc.RoleAgent, n); err != nil {
			return err
		}
	}
	return issue(filepath.Join(l.Project, ".psw", "ha"), rpc.RoleOperator, "operator")
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

// freeAddress is a loopback address that nobody listens at just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startAgents runs an agent on each node for as long as the node is up: a power cut or a
// watchdog takes the agent along, a boot brings it back.
func (l *Lab) startAgents(ctx context.Context) error {
	for _, n := range l.Cluster.Nodes() {
		c := agent.DefaultConfig()
		c.Node = ha.NodeName(n)
		c.Coordinators = []string{l.address}
		c.TLSDir, c.StateDir = l.dir("agents", n), l.dir("agents", n, "state")
		c.Interval = time.Second
		l.gossipFor(&c, n)
		if err := c.Validate(); err != nil {
			return err
		}
		l.done.Go(func() { l.keepAgent(ctx, n, c) })
	}
	return nil
}

// awaitAgents waits until every agent has reported, as an operator would find it.
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
		if err != nil || len(st.Nodes) == 0 || st.Master == "" || len(st.Warnings) > 0 {
			return false
		}
		for _, n := range st.Nodes {
			if n.ReportAge < 0 || n.ReportAge > 5*time.Second {
				return false
			}
		}
		return true
	})
}

// keepAgent starts and ends a node's agent with the node.
func (l *Lab) keepAgent(ctx context.Context, node string, c agent.Config) {
	log := l.options.Log.With("node", node)
	for ctx.Err() == nil {
		if !l.Cluster.Up(node) {
			pause(ctx, 200*time.Millisecond)
			continue
		}
		life, end := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- agent.New(c, l.Cluster.Host(node), log).Run(life) }()
		for life.Err() == nil && l.Cluster.Up(node) {
			pause(life, 100*time.Millisecond)
		}
		end()
		if err := <-ended; err != nil && ctx.Err() == nil {
			l.options.Notify("the agent of %s ended: %v", node, err)
			pause(ctx, time.Second)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
