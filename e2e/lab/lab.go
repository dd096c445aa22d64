// Package lab is the whole of psw-ha on a simulated Proxmox VE cluster: the cluster with
// its REST API, an agent on each node, and the real psw-coordinator as a process of its
// own, with real sockets, real mutual TLS and a state file. An operator uses it with the
// real psw, as they would use a real cluster.
//
// Its secret is how the parts are put together where a real cluster would have machines,
// certificates and systemd.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/casaeureka/psw-ha/deploy/config"
	"github.com/casaeureka/psw-ha/e2e/pvesim"
	"github.com/casaeureka/psw-ha/pkg/project"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// Options say what lab to build.
type Options struct {
	// Project is a project folder; it is copied. Empty: the three-node example.
	Project string
	// Dir is where the lab keeps its files: project, certificates, state. It is emptied.
	Dir string
	// Speed makes the simulated cluster live that much faster than a real one.
	Speed float64
	// Blank: the machines are freshly installed and in no cluster. Nodes is how many there
	// are; 0: the project's, and three at least.
	Blank bool
	Nodes int
	// Coordinator is the psw-coordinator binary.
	Coordinator string
	// PSWLab is the psw-lab binary. If it is named, the core apps of a bootstrap are that the
	// declared targets are deployed.
	PSWLab string
	// Restart starts the coordinator again when it dies, as systemd would.
	Restart bool
	// Environ is the environment of the lab's child processes.
	Environ []string
	// Log is for the agents and the lab itself. The coordinator's goes to Dir/coordinator.log.
	Log *slog.Logger
	// Notify, if set, is told what the lab does on its own account.
	Notify func(format string, args ...any)
}

// Lab is a running lab.
type Lab struct {
	// Cluster is the simulated cluster: the truth, and the place for faults.
	Cluster *pvesim.Cluster
	// Project is the folder to use with `psw -C`.
	Project string

	options     Options
	policy      *project.Project
	pve         *pveServers
	ca          *rpc.CA
	coordinator *process
	address     string            // where the coordinator listens
	mu          sync.Mutex        // guards gossip and agents
	gossip      map[string]string // everybody's gossip address, by name
	agents      map[string]*keeper
	begin       func(func(ctx context.Context)) // does something for as long as the lab lives
	stop        context.CancelFunc
	done        sync.WaitGroup
}

// The one API token of the lab's cluster. It opens nothing but a simulation.
const (
	tokenUser   = "psw@pve"
	tokenName   = "ha"
	tokenSecret = "5a8d2f0e-9c41-4b7e-a3d6-1f0b7c2e4d90"
)

// Authorization is the header of an API request in the name of that token.
const Authorization = "PVEAPIToken=" + tokenUser + "!" + tokenName + "=" + tokenSecret

// Start builds a lab and returns when the coordinator listens. Close ends it.
func Start(ctx context.Context, o Options) (_ *Lab, err error) {
	if o.Speed <= 0 {
		o.Speed = 1
	}
	if o.Notify == nil {
		o.Notify = func(string, ...any) {}
	}
	name := "home"
	if o.Project != "" {
		abs, err := filepath.Abs(o.Project)
		if err != nil {
			return nil, err
		}
		name = filepath.Base(abs)
	}
	l := &Lab{options: o, agents: make(map[string]*keeper), Project: filepath.Join(o.Dir, name)}
	ctx, l.stop = context.WithCancel(ctx)
	l.begin = func(do func(context.Context)) { l.done.Go(func() { do(ctx) }) }
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := l.prepare(); err != nil {
		return nil, err
	}
	token := pvesim.TokenSpec{User: tokenUser, ID: tokenName, Secret: tokenSecret}
	sp, err := spec(l.policy.Policy, token, o)
	if err != nil {
		return nil, err
	}
	l.Cluster = pvesim.New(sp)
	if l.pve, err = servePVE(l.Cluster, filepath.Join(o.Dir, "pve")); err != nil {
		return nil, err
	}
	if err := l.certify(); err != nil {
		return nil, err
	}
	if err := l.startCoordinator(ctx); err != nil {
		return nil, err
	}
	if err := l.startAgents(); err != nil {
		return nil, err
	}
	l.begin(l.control)
	return l, l.awaitAgents(ctx)
}

// Close ends everything the lab started.
func (l *Lab) Close() {
	l.stop()
	if l.coordinator != nil {
		l.coordinator.end()
	}
	if l.pve != nil {
		l.pve.close()
	}
	l.done.Wait()
}

// prepare empties the lab's folder and copies the project into it.
func (l *Lab) prepare() error {
	marker := filepath.Join(l.options.Dir, ".psw-lab")
	if entries, err := os.ReadDir(l.options.Dir); err == nil && len(entries) > 0 {
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("cannot use %s for a lab: it is not empty and was not made by one", l.options.Dir)
		}
		if err := os.RemoveAll(l.options.Dir); err != nil {
			return fmt.Errorf("cannot empty the lab's folder: %w", err)
		}
	}
	if err := os.MkdirAll(l.options.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the lab's folder: %w", err)
	}
	if err := os.WriteFile(marker, []byte("made by psw-lab; it may be deleted\n"), 0o600); err != nil {
		return fmt.Errorf("cannot use the lab's folder: %w", err)
	}
	var from fs.FS
	if l.options.Project != "" {
		from = os.DirFS(l.options.Project)
	} else {
		sub, err := fs.Sub(config.Examples, "three-node")
		if err != nil {
			return err
		}
		from = sub
	}
	if err := os.CopyFS(l.Project, from); err != nil {
		return fmt.Errorf("cannot copy the project: %w", err)
	}
	p, err := project.Load(l.Project)
	if err != nil {
		return err
	}
	l.policy = p
	return nil
}

// WaitFor asks every tenth of a second whether something holds. It is an error, with what
// was waited for, if it does not within limit.
func WaitFor(ctx context.Context, limit time.Duration, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s: not within %s", what, limit)
			}
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}
