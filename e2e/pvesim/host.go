package pvesim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"
)

// Host is a node as a program sees it that runs there: files below /proc, /sys, /run, /etc
// and /var, file systems to ask for their size, and a few commands, in the shapes that were
// recorded on real nodes. On a node without power every call fails.
//
// It has the methods an agent's probes want of a machine, without knowing of them.
type Host struct {
	n *node
	// versions count the changes of each file of pmxcfs that were seen through this Host,
	// as /etc/pve/.version does.
	versions map[string]fileVersion
}

// Host returns a node as its own programs see it.
func (c *Cluster) Host(name string) *Host {
	c.lock()
	defer c.unlock()
	return &Host{n: c.mustNode(name), versions: map[string]fileVersion{}}
}

// errNoPower is what every call on a node without power fails with.
var errNoPower = errors.New("the node is down")

// enter locks the cluster, brings it to the present and fails if the node is down. The lock is
// held if it does not.
func (h *Host) enter(op, name string) error {
	h.n.c.lock()
	if h.n.up {
		return nil
	}
	h.n.c.unlock()
	return &fs.PathError{Op: op, Path: name, Err: errNoPower}
}

// Open opens a file or folder by its path without the leading slash.
func (h *Host) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err := h.enter("open", name); err != nil {
		return nil, err
	}
	defer h.n.c.unlock()
	e, ok := h.lookup(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return e.open(path.Base(name))
}

// ReadFile reads a whole file.
func (h *Host) ReadFile(name string) ([]byte, error) {
	f, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// ReadLink returns the target of a symbolic link.
func (h *Host) ReadLink(name string) (string, error) {
	if err := h.enter("readlink", name); err != nil {
		return "", err
	}
	defer h.n.c.unlock()
	if target, ok := h.link(name); ok {
		return target, nil
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
}

// link is where a symbolic link points.
func (h *Host) link(name string) (string, bool) {
	if name == "etc/pve/local" {
		return "nodes/" + h.n.name, true
	}
	fd, ok := strings.CutPrefix(name, fmt.Sprintf("proc/%d/fd/", muxPID))
	target, known := muxFiles[fd]
	return target, ok && known
}

// Statfs asks the file system mounted at path. While NFS hangs on the node, so does an NFS
// mount, until ctx ends; a path that is no mount answers for the root disk, as it would.
func (h *Host) Statfs(ctx context.Context, path string) (total, free uint64, err error) {
	if err := h.enter("statfs", path); err != nil {
		return 0, 0, err
	}
	total, free = rootDisk, rootDisk-rootUsed
	hangs := false
	for _, s := range h.n.mounted() {
		if s.path == path {
			total, free, hangs = uint64(s.size), uint64(s.size-s.used), h.n.silent(s)
		}
	}
	h.n.c.unlock()
	if hangs {
		<-ctx.Done()
		return 0, 0, &fs.PathError{Op: "statfs", Path: path, Err: ctx.Err()}
	}
	return total, free, nil
}

// commandError is a command that exited with something else than 0.
type commandError struct {
	name, stderr string
	code         int
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s: exit status %d: %s", e.name, e.code, e.stderr)
}
func (e *commandError) ExitCode() int { return e.code }

// Run runs a command and returns what it writes to standard output. An exit code other
// than 0 is an error with ExitCode() int, and what it wrote to standard error in its text.
func (h *Host) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := h.enter("run", name); err != nil {
		return nil, err
	}
	defer h.n.c.unlock()
	line := strings.Join(append([]string{name}, args...), " ")
	if name == "pvecm" {
		return h.await(ctx, name, h.n.pvecmUnit(args))
	}
	if out, known := h.n.hostTool(line); known {
		return []byte(out), nil
	}
	out, code, stderr, known := h.n.corosyncTool(line)
	if name == "ipmitool" {
		out, code, stderr = h.n.ipmitool(args)
		known = true
	}
	if !known {
		if name != "ha-manager" || len(args) != 4 || args[0] != "crm-command" || args[1] != "node-maintenance" {
			return nil, fmt.Errorf("no such command here: %s: %w", line, fs.ErrNotExist)
		}
		code, stderr = h.n.nodeMaintenance(args[1:])
	}
	if code != 0 {
		return []byte(out), &commandError{name: name, stderr: stderr, code: code}
	}
	return []byte(out), nil
}

// await waits for the end of a command that runs in a unit of its own. When ctx ends only the
// waiting does. The cluster is locked before and after, not while time passes.
func (h *Host) await(ctx context.Context, name string, k *command) ([]byte, error) {
	const look = 200 * time.Millisecond
	for !k.over() {
		h.n.c.unlock()
		err := wait(ctx, h.n.c.clock.real(look))
		h.n.c.lock()
		if err != nil && !k.over() {
			return []byte(k.out.String()), err
		}
	}
	switch {
	case !k.done:
		return nil, &fs.PathError{Op: "run", Path: name, Err: errNoPower}
	case k.code != 0:
		return []byte(k.out.String()), &commandError{name: name, stderr: k.complaint, code: k.code}
	}
	return []byte(k.out.String()), nil
}

// nodeMaintenance is ha-manager's: it only queues a line for the CRM.
func (n *node) nodeMaintenance(args []string) (code int, stderr string) {
	if n.peer(args[2]) == nil {
		return 255, fmt.Sprintf("no such cluster node '%s'", args[2])
	}
	if err := n.crmCommand(args); err != nil {
		return 255, err.Error()
	}
	return 0, ""
}

// entry is a file, or a folder with the kinds of what is in it.
type entry struct {
	text     string
	mode     fs.FileMode
	children map[string]fs.FileMode
}

// file is a file anyone may read.
func file(text string) (entry, bool) { return entry{text: text, mode: 0o444}, true }

// folder lists names; those that end in a slash are folders, those that end in an at sign
// links.
func folder(mode fs.FileMode, names ...string) (entry, bool) {
	e := entry{mode: fs.ModeDir | mode, children: map[string]fs.FileMode{}}
	for _, name := range names {
		kind := fs.FileMode(0o444)
		switch {
		case strings.HasSuffix(name, "/"):
			kind = fs.ModeDir | 0o755
		case strings.HasSuffix(name, "@"):
			kind = fs.ModeSymlink | 0o777
		}
		e.children[strings.TrimRight(name, "/@")] = kind
	}
	return e, true
}

// lookup finds what a path names.
func (h *Host) lookup(name string) (entry, bool) {
	top, rest, _ := strings.Cut(name, "/")
	switch {
	case top == "proc":
		return h.n.proc(rest)
	case h.n.stopped && (name == "etc/pve" || strings.HasPrefix(name, "etc/pve/")):
		if name == "etc/pve" { // an empty folder, as nothing is mounted there
			return folder(0o755)
		}
		return entry{}, false
	case strings.HasPrefix(name, "root/.ssh/"), strings.HasPrefix(name, "etc/ssh/"), name == "etc/pve/priv/authorized_keys", name == "etc/pve/priv/known_hosts":
		return h.n.sshFile(name)
	case strings.HasPrefix(name, "etc/pve/local/"):
		return h.pmxcfs("nodes/" + h.n.name + "/" + strings.TrimPrefix(name, "etc/pve/local/"))
	case name == "etc/pve":
		return h.pmxcfs("")
	case strings.HasPrefix(name, "etc/pve/"):
		return h.pmxcfs(strings.TrimPrefix(name, "etc/pve/"))
	}
	return h.n.system(name)
}

// system is what lies neither in /proc nor in /etc/pve.
func (n *node) system(name string) (entry, bool) {
	switch name {
	case "etc/corosync/corosync.conf":
		switch {
		case n.conf != nil:
			return file(n.conf.text())
		case n.copied != nil:
			return file(n.copied.text())
		}
		return entry{}, false
	case "etc/corosync/authkey":
		if n.conf == nil && n.copied == nil {
			return entry{}, false
		}
		return entry{text: strings.Repeat("\x00", 256), mode: 0o400}, true
	case "etc/default/pve-ha-manager":
		return file("# select watchdog module (default is softdog)\n#WATCHDOG_MODULE=ipmi_watchdog\n")
	case "run/watchdog-mux.active": // a folder that is there while an HA client holds the watchdog
		if len(n.dogs) > 0 {
			return folder(0o755)
		}
	case "run/systemd/transient/psw-pvecm.service": // there as long as the unit is
		if n.unit != nil && !n.unit.over() {
			return file("# This is a transient unit file, created programmatically via the systemd API. Do not edit.\n")
		}
		return entry{}, false
	case "run/watchdog-mux.sock":
		return file("")
	case "etc/psw-ha/bmc/" + path.Base(name):
		return n.bmcFile(path.Base(name))
	case "sys/class/watchdog":
		return folder(0o755, "watchdog0@")
	case "sys/class/watchdog/watchdog0":
		return folder(0o755, slices.Collect(maps.Keys(softdog))...)
	case "var/lib/dpkg/status":
		return file(fmt.Sprintf(packages, n.haManager(), n.version()))
	}
	attribute, ok := strings.CutPrefix(name, "sys/class/watchdog/watchdog0/")
	if value, known := softdog[attribute]; ok && known {
		return file(value + "\n")
	}
	return n.machineFile(name)
}

// softdog is the watchdog of every node, held open by watchdog-mux whether HA is armed or
// not. It cannot tell what time is left.
var softdog = map[string]string{
	"identity": "Software Watchdog", "state": "active", "timeout": "10", "nowayout": "0", "bootstatus": "0", "status": "0x200",
	"min_timeout": "1", "max_timeout": "65535", "pretimeout": "0",
}

const packages = `Package: pve-ha-manager
Status: install ok installed
Priority: optional
Section: perl
Version: %s

Package: pve-manager
Status: install ok installed
Priority: optional
Section: admin
Version: %s
`

// open makes an open file of an entry: what it says stays as it was when opened.
func (e entry) open(name string) (fs.File, error) {
	files := fstest.MapFS{name: {Data: []byte(e.text), Mode: e.mode}}
	for child, mode := range e.children {
		files[name+"/"+child] = &fstest.MapFile{Mode: mode}
	}
	return files.Open(name)
}
