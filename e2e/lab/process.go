package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// restartAfter is how long a process that died stays away, as systemd's RestartSec does.
const restartAfter = 3 * time.Second

// process is a child process, kept running if asked to.
type process struct {
	name   string
	path   string
	args   []string
	env    []string
	log    io.Writer
	notify func(format string, args ...any)

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   bool
	restart bool
	done    chan struct{} // closed when the present command has ended
}

// start starts the process and returns at once.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.startLocked()
}

func (p *process) startLocked() error {
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = p.env
	cmd.Stdout, cmd.Stderr = p.log, p.log
	// A Ctrl-C in the lab's terminal is for the lab, which then ends its children itself;
	// and if the lab is killed, they must not stay behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go p.wait(cmd, p.done)
	return nil
}

func (p *process) wait(cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(done)
	if p.ended || !p.restart {
		return
	}
	p.notify("%s (process %d) has ended: %s; started again in %s, as systemd would", p.name, cmd.Process.Pid, exitText(err), restartAfter)
	time.AfterFunc(restartAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended {
			return
		}
		if err := p.startLocked(); err != nil {
			p.notify("%v", err)
			return
		}
		p.notify("%s runs again as process %d", p.name, p.cmd.Process.Pid)
	})
}

func exitText(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "it stopped"
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return s.Signal().String()
	}
	return exit.String()
}

// pid is the running process's.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// kill ends the process as kill -9 does.
func (p *process) kill() error {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	<-done
	return nil
}

// end ends the process for good: politely, then for real.
func (p *process) end() {
	p.mu.Lock()
	p.ended = true
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

// environment is the lab's own, without what would change how psw-ha behaves, and more.
func environment(own []string, add ...string) []string {
	var out []string
	for _, e := range own {
		if !strings.HasPrefix(e, "PSW_HA_") {
			out = append(out, e)
		}
	}
	return append(out, add...)
}

// KillCoordinator is kill -9 of the coordinator. It comes back if the lab restarts it.
func (l *Lab) KillCoordinator() error { return l.coordinator.kill() }

// StartCoordinator starts the coordinator again after KillCoordinator.
func (l *Lab) StartCoordinator(ctx context.Context) error {
	if err := l.coordinator.start(); err != nil {
		return err
	}
	return l.awaitCoordinator(ctx)
}

// CoordinatorPID is the coordinator's process number.
func (l *Lab) CoordinatorPID() int { return l.coordinator.pid() }
