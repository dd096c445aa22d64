package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// nodeNames are the cluster's nodes; their corosync ids are 1, 2, 3.
var nodeNames = []string{"pve1", "pve2", "pve3"}

// Options say where the lab finds and keeps what it is made of.
type Options struct {
	// Cache is where images are kept between runs.
	Cache string
	// Source is the module's root.
	Source string
	// Log is told what takes time.
	Log func(format string, args ...any)
}

// Prepare makes everything that needs the outside world: tools, image, programs. It waits
// for another lab to end; what it returns is held as long as this one lasts.
func Prepare(ctx context.Context, o Options) (held io.Closer, err error) {
	run := filepath.Join(o.Cache, "run")
	if err := os.MkdirAll(run, 0o755); err != nil {
		return nil, fmt.Errorf("cannot keep the lab's files: %w", err)
	}
	f, err := lock(filepath.Join(o.Cache, "lock"), func() { o.Log("another lab is running; waiting for it to end") })
	if err != nil {
		return nil, fmt.Errorf("cannot have the lab alone: %w", err)
	}
	if err := InstallTools(ctx, o.Log); err != nil {
		return f, err
	}
	b, err := o.builder()
	if err != nil {
		return f, err
	}
	if _, err := b.build(ctx); err != nil {
		return f, err
	}
	return f, o.buildPrograms(ctx)
}

func (o Options) builder() (builder, error) {
	unit, err := os.ReadFile(filepath.Join(o.Source, "deploy/systemd/psw-agent.service"))
	return builder{cache: o.Cache, unit: unit, log: o.Log}, err
}

// buildPrograms builds ours: static, as they are shipped.
func (o Options) buildPrograms(ctx context.Context) error {
	began := time.Now()
	o.Log("building the programs that run in the machines")
	bin := filepath.Join(o.Cache, "bin") + string(filepath.Separator)
	err := run(ctx, o.Source, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", bin,
		"./agent/cmd/psw-agent", "./coordinator/cmd/psw-coordinator", "./e2e/vm/cmd/lab-standin")
	if err == nil {
		o.Log("programs built, %.1f s", time.Since(began).Seconds())
	}
	return err
}

// Rig is what all stories share: image, certificates, networks, and the saved state of a
// cluster that is whole and quorate. A story gets a fresh cluster from it in seconds.
type Rig struct {
	o        Options
	dir      string
	machines []*machine // pve1, pve2, pve3, nas
	pki      pki
	// kept is the folder of the machines' saved states, if it is there, and of what lay in
	// the host's folders then. It stays for the next run, as long as nothing of it changes.
	kept string
	// environ is for child processes.
	environ []string

	// now is the cluster that runs, if one does; coordinators are those started so far.
	now          *running
	coordinators int
	// stories are those told so far; cold is what making the first cluster took of them.
	stories []told
	cold    time.Duration
}

// Open puts the rig together. It is called in a Sandbox, after Prepare outside.
func Open(ctx context.Context, o Options, environ []string) (*Rig, error) {
	r := &Rig{o: o, dir: filepath.Join(o.Cache, "run"), environ: environ}
	if err := settle(ctx, r.dir); err != nil {
		return nil, err
	}
	b, err := o.builder()
	if err != nil {
		return nil, err
	}
	if r.kept, err = r.statesFolder(ctx, b); err != nil {
		return nil, err
	}
	img, err := b.build(ctx) // made by Prepare
	if err != nil {
		return nil, err
	}
	for k, name := range nodeNames {
		r.machines = append(r.machines, &machine{name: name, id: k + 1, networks: networks, dir: r.dir, img: img})
	}
	r.machines = append(r.machines, &machine{name: "nas", id: 10, networks: networks[2:], dir: r.dir, img: img, disk: filepath.Join(r.dir, "nas.disk")})
	for _, m := range r.machines {
		for k, n := range m.networks {
			if err := makeTap(ctx, tap(m.name, k), n); err != nil {
				return nil, err
			}
		}
	}
	r.pki = pki{filepath.Join(r.dir, "tls/coordinator"), filepath.Join(r.dir, "tls/operator"), filepath.Join(r.dir, "tls/gossip.key")}
	return r, nil
}

// statesFolder is where this image's states lie with these programs, machines and QEMU.
func (r *Rig) statesFolder(ctx context.Context, b builder) (string, error) {
	qemu, err := output(ctx, "qemu-system-x86_64", "--version")
	if err != nil {
		return "", err
	}
	parts := []string{b.imageKey(), qemu, fmt.Sprint((&machine{name: "pve1", networks: networks}).arguments())}
	for _, name := range machinePrograms {
		data, err := os.ReadFile(filepath.Join(r.o.Cache, "bin", name))
		if err != nil {
			return "", err
		}
		parts = append(parts, string(data))
	}
	return filepath.Join(r.o.Cache, "states-"+key(parts...)), nil
}

// machinePrograms are ours that run in the machines.
var machinePrograms = []string{"psw-agent", "lab-standin"}

// provision fills the folder that machines copy from when they boot.
func (r *Rig) provision() error {
	for _, name := range machinePrograms {
		to := filepath.Join(r.dir, "share/bin", name)
		if err := errors.Join(copyFile(filepath.Join(r.o.Cache, "bin", name), to), os.Chmod(to, 0o755)); err != nil {
			return err
		}
	}
	if err := r.makePKI(); err != nil {
		return err
	}
	for _, node := range nodeNames {
		for path, text := range etcPVE(node) {
			if err := replace(filepath.Join(r.share(node), "etc/pve", path), []byte(text), 0o640); err != nil {
				return err
			}
		}
	}
	return nil
}

// share is where a file must lie on the host to be in a machine when it boots.
func (r *Rig) share(machine string) string { return filepath.Join(r.dir, "share", machine, "root") }

// diskSize is the NFS server's: sparse, in memory.
const diskSize = 256 << 20

// boot starts all machines cold and returns when the cluster is whole, with its storage
// mounted and Proxmox's stand-ins at work.
func (r *Rig) boot(ctx context.Context) error {
	began := time.Now()
	r.o.Log("booting four machines cold (a minute; once, their state is kept)")
	if err := r.provision(); err != nil {
		return err
	}
	disk, err := os.Create(filepath.Join(r.dir, "nas.disk"))
	if err != nil {
		return err
	}
	if err := errors.Join(disk.Truncate(diskSize), disk.Close()); err != nil {
		return err
	}
	for _, m := range r.machines {
		if err := m.start(ctx, ""); err != nil {
			return err
		}
	}
	err = each(r.machines, func(m *machine) error {
		whole := "systemctl is-active lab-nas >/dev/null"
		if m.role() == "node" {
			whole = "corosync-quorumtool -s | grep -q '^Total votes: *3' && grep -q ' /mnt/shared nfs4 ' /proc/mounts && grep -q wait_for_agent_lock /etc/pve/local/lrm_status && test -f /etc/pve/ha/manager_status"
		}
		err := eventually(ctx, bootMax, m.name+" is up", func(ctx context.Context) error {
			_, err := m.run(ctx, whole)
			return err
		})
		if err != nil {
			return fmt.Errorf("%w\nits console:\n%s", err, m.console())
		}
		return nil
	})
	if err == nil {
		r.o.Log("four machines booted cold to a whole cluster, %.1f s", time.Since(began).Seconds())
	}
	return err
}

// bootMax is generous: four machines without KVM on two busy cores.
const bootMax = 6 * time.Minute

// save keeps the states of all machines, ends them, and removes older states.
func (r *Rig) save(ctx context.Context) error {
	began := time.Now()
	making := r.kept + ".making"
	if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o700)); err != nil {
		return err
	}
	if err := r.tell(ctx, "stop"); err != nil {
		return err
	}
	if err := each(r.machines, func(m *machine) error { return m.save(ctx, filepath.Join(making, m.name+".state")) }); err != nil {
		return err
	}
	r.kill()
	if err := run(ctx, r.dir, "cp", "-a", "--sparse=always", "nas.disk", "share", "tls", making); err != nil {
		return err
	}
	if err := removeOthers(filepath.Join(r.o.Cache, "states-*"), making); err != nil {
		return err
	}
	if err := os.Rename(making, r.kept); err != nil {
		return err
	}
	r.o.Log("the cluster's state saved, %.1f s", time.Since(began).Seconds())
	return nil
}

// restore starts all machines from their saved states. They do not notice: there is no
// membership change and no NFS error, only the clock is behind, and is set.
func (r *Rig) restore(ctx context.Context) error {
	if _, err := os.Stat(r.kept); err != nil {
		began := time.Now()
		if err := r.boot(ctx); err != nil {
			return err
		}
		if err := r.save(ctx); err != nil {
			return err
		}
		r.cold = time.Since(began)
	}
	if err := run(ctx, r.dir, "rm", "-rf", "share", "tls", "nas.disk"); err != nil {
		return err
	}
	if err := run(ctx, r.kept, "cp", "-a", "--sparse=always", "nas.disk", "share", "tls", r.dir); err != nil {
		return err
	}
	if err := each(r.machines, func(m *machine) error { return m.start(ctx, filepath.Join(r.kept, m.name+".state")) }); err != nil {
		return err
	}
	if err := each(r.machines, func(m *machine) error { return m.awaitState(ctx) }); err != nil {
		return err
	}
	if err := r.tell(ctx, "cont"); err != nil {
		return err
	}
	return each(r.machines, func(m *machine) error {
		return eventually(ctx, awakeMax, m.name+" has the right time", func(ctx context.Context) error { return m.setClock(ctx, 0) })
	})
}

// awakeMax is how long a restored machine may take to answer. It begins without a single
// translated instruction.
const awakeMax = 3 * time.Minute

// tell gives all QEMUs a command, as nearly at once as can be.
func (r *Rig) tell(ctx context.Context, command string) error {
	return each(r.machines, func(m *machine) error { return m.qmp.run(ctx, command, nil) })
}

// kill pulls every plug.
func (r *Rig) kill() {
	for _, m := range r.machines {
		m.kill()
	}
}

// setClock sets a machine's clock to the host's, or beside it.
func (m *machine) setClock(ctx context.Context, off time.Duration) error {
	at := time.Now().Add(off)
	_, err := m.run(ctx, "date -s @"+strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)+" >/dev/null")
	return err
}

// consoles are the ends of what all machines printed, for a story that failed.
func (r *Rig) consoles() string {
	var b strings.Builder
	for _, m := range r.machines {
		fmt.Fprintf(&b, "--- console of %s\n%s\n", m.name, m.console())
	}
	return b.String()
}
