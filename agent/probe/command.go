package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits on commands.
const (
	// outputMax is how much of a command's output is kept. The statistics of corosync are
	// about 5 kB a peer, so that this is enough for the largest cluster corosync allows.
	outputMax = 1 << 20
	// complaintMax is how much of its standard error.
	complaintMax = 4 << 10
	// commandMax is how long a command may take when its caller sets no deadline.
	// ha-manager was seen to take 10 s on a busy node.
	commandMax = time.Minute
	// pvecmMax is the same for pvecm: a join waits for quorum, without a limit of its own.
	pvecmMax = 15 * time.Minute
	// killMax is how long a killed command is waited for. One that is stuck in the kernel
	// stays behind, and is not started a second time.
	killMax = 500 * time.Millisecond
)

// Allowed reports whether a command line is on the allow-list: all that an agent, which
// runs as root, will ever start. Arguments are compared whole; nothing passes a shell.
func Allowed(name string, args ...string) bool {
	switch name {
	case "corosync-quorumtool":
		return slices.Equal(args, []string{"-s"})
	case "corosync-cfgtool":
		return slices.Equal(args, []string{"-n"}) || slices.Equal(args, []string{"-s"})
	case "corosync-cmapctl":
		return len(args) == 0 || slices.Equal(args, []string{"-m", "stats"})
	case "corosync-qdevice-tool":
		return slices.Equal(args, []string{"-s"})
	case "ip":
		return slices.Equal(args, []string{"-j", "addr"})
	case "systemctl":
		return slices.Equal(args, showUnits)
	case "journalctl":
		return slices.Equal(args, lrmJournal)
	case "chronyc":
		return slices.Equal(args, []string{"-n", "-c", "tracking"})
	case "ceph":
		const common = 4 // --connect-timeout N … --format json
		return len(args) > common && slices.Equal(args[:2], []string{"--connect-timeout", cephConnectMax}) &&
			slices.Equal(args[len(args)-2:], []string{"--format", "json"}) &&
			slices.Contains([]string{"status", "osd dump", "osd df tree"}, strings.Join(args[2:len(args)-2], " "))
	case "sbd":
		return len(args) == 3 && args[0] == "-d" && isSBDDevice(args[1]) && (args[2] == "list" || args[2] == "dump")
	case "pvecm":
		return pvecmAllowed(args)
	case "ipmitool":
		return allowedIPMI(args)
	case "ha-manager":
		return len(args) == 4 && args[0] == "crm-command" && args[1] == "node-maintenance" &&
			(args[2] == "enable" || args[2] == "disable") && NodeName.Matches(args[3])
	}
	return false
}

// CommandError is a command that exited with something else than 0.
type CommandError struct {
	// Name is the command's.
	Name string
	// Code is its exit code, -1 if a signal ended it.
	Code int
	// Complaint is what it wrote to standard error, cut to a limit.
	Complaint string
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s: exit status %d", e.Name, e.Code)
	if e.Complaint != "" {
		text += ": " + strings.ReplaceAll(e.Complaint, "\n", "; ")
	}
	return text
}

// ExitCode is the command's exit code.
func (e *CommandError) ExitCode() int { return e.Code }

// Run runs a command on the allow-list with a clean environment and no input.
func (h *localHost) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if !Allowed(name, args...) {
		return nil, fmt.Errorf("%s is not on the allow-list with these arguments: %q", name, args)
	}
	if name == "systemctl" && h.itself && !startedBySystemd() {
		return nil, &CommandError{Name: name, Code: 1, Complaint: "this machine was not started by systemd"}
	}
	path, err := h.find(name)
	if err != nil {
		return nil, err
	}
	limit, what := commandMax, name+" "+strings.Join(args, " ")
	if name == "pvecm" {
		limit = pvecmMax
		var starter string
		starter, args = outsideSandbox(path, args)
		if path, err = h.find(starter); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + strings.Join(h.options.CommandDirs, ":"), "LC_ALL=C", "HOME=/root"}
	// A group of its own: what it starts is killed with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, complaint, err := h.children.run(ctx, what, cmd)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, &CommandError{Name: name, Code: exit.ExitCode(), Complaint: strings.TrimSpace(string(complaint))}
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// startedBySystemd is sd_booted(3), which systemctl itself asks first.
func startedBySystemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// find returns where a command lies.
func (h *localHost) find(name string) (string, error) {
	for _, dir := range h.options.CommandDirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: %w", name, fs.ErrNotExist)
}

// children are the processes this host started that have not ended, by what they do.
type children struct {
	mu      sync.Mutex
	running map[string]time.Time
}

// run runs a child until it ends or ctx does, then kills it. A child that survives even
// that, stuck in the kernel, is waited for in the background; until it ends, run refuses
// to start the same again, with an error that is context.DeadlineExceeded.
func (c *children) run(ctx context.Context, what string, cmd *exec.Cmd) (out, complaint []byte, err error) {
	c.mu.Lock()
	since, running := c.running[what]
	if !running {
		c.running[what] = time.Now()
	}
	c.mu.Unlock()
	if running {
		return nil, nil, fmt.Errorf("the last one has not come back for %s: %w",
			time.Since(since).Round(time.Second), context.DeadlineExceeded)
	}
	stdout, stderr := &capped{max: outputMax}, &capped{max: complaintMax}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = stdout, stderr, killMax

	started, ended, over := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		unlock := lockThread(cmd)
		defer unlock()
		err := cmd.Start()
		if err != nil {
			c.end(what)
			started <- err
			return
		}
		started <- nil
		err = cmd.Wait()
		c.end(what) // first, so that whoever hears of the end may start the next
		ended <- err
	}()
	if err := <-started; err != nil {
		return nil, nil, err
	}
	select {
	case err := <-ended:
		return stdout.bytes(), stderr.bytes(), err
	case <-ctx.Done():
	}
	kill(cmd)
	limit := time.NewTimer(killMax)
	defer limit.Stop()
	select {
	case <-over:
	case <-limit.C:
	}
	return nil, nil, context.Cause(ctx)
}

func (c *children) end(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, what)
}

// kill ends a child and, if it leads a group, what it started.
func kill(cmd *exec.Cmd) {
	pid := cmd.Process.Pid
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Setpgid {
		pid = -pid
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
}

// capped keeps the first bytes written to it and lets the rest go, so that a command
// that floods does not block and does not fill our memory.
type capped struct {
	mu   sync.Mutex
	kept bytes.Buffer
	max  int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.Write(p[:min(len(p), c.max-c.kept.Len())])
	return len(p), nil
}

func (c *capped) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.kept.Bytes())
}
