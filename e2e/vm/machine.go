package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine is one virtual machine: how QEMU is called for it, and the QEMU that runs.
type machine struct {
	name string
	id   int
	// networks are those its interfaces are on, eth0 first.
	networks []string
	// disk is a file that is its second disk, or empty.
	disk string
	dir  string // where its sockets and its console are
	img  image

	cmd   *exec.Cmd
	ended chan struct{}
	qmp   *monitor
	agent guestAgent
}

// machineMemory is enough for corosync, which locks 137 MB, and an agent.
const machineMemory = "448"

func (m *machine) file(suffix string) string { return filepath.Join(m.dir, m.name+suffix) }

func (m *machine) role() string {
	if m.disk != "" {
		return "nas"
	}
	return "node"
}

// arguments are QEMU's. There is no KVM, by choice: where /dev/kvm exists it may still not
// work, and what works everywhere is tested everywhere.
func (m *machine) arguments() []string {
	kernel := fmt.Sprintf("console=ttyS0 quiet loglevel=4 net.ifnames=0 panic=5 mitigations=off tsc=reliable no_timer_check "+
		"systemd.show_status=0 lab.name=%s lab.id=%d lab.role=%s", m.name, m.id, m.role())
	args := []string{
		"-name", m.name, "-nodefaults", "-no-user-config", "-accel", "tcg,thread=multi,tb-size=128", "-M", "q35,usb=off,vmport=off",
		"-cpu", "max", "-smp", "1", "-m", machineMemory, "-display", "none",
		"-kernel", m.img.kernel, "-initrd", m.img.initrd, "-append", kernel,
		"-serial", "file:" + m.file(".console"), "-qmp", "unix:" + m.file(".qmp") + ",server=on,wait=off",
		"-drive", "file=" + m.img.root + ",format=raw,if=none,id=d0,readonly=on,cache=unsafe", "-device", "virtio-blk-pci,drive=d0",
		"-device", "virtio-serial-pci", "-chardev", "socket,path=" + m.file(".agent") + ",server=on,wait=off,id=qga",
		"-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0", "-device", "virtio-rng-pci",
		"-virtfs", "local,path=" + filepath.Join(m.dir, "share") + ",mount_tag=lab,security_model=none,multidevs=remap",
		"-device", "i6300esb", "-action", "watchdog=reset",
	}
	if m.disk != "" {
		args = append(args, "-drive", "file="+m.disk+",format=raw,if=none,id=d1,cache=unsafe", "-device", "virtio-blk-pci,drive=d1")
	}
	for k := range m.networks {
		args = append(args, "-netdev", fmt.Sprintf("tap,id=n%d,ifname=%s,script=no,downscript=no,vhost=off", k, tap(m.name, k)),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=n%d,id=eth%d,mac=52:54:00:00:%02x:%02x,romfile=", k, k, m.id, k))
	}
	return args
}

// start starts QEMU; with incoming, from a saved state, and then it stands still.
func (m *machine) start(ctx context.Context, incoming string) error {
	if m.running() {
		return fmt.Errorf("%s runs already", m.name)
	}
	args := m.arguments()
	if incoming != "" {
		args = append(args, "-incoming", "exec:cat "+incoming)
	}
	for _, s := range []string{".qmp", ".agent"} {
		if err := os.Remove(m.file(s)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	talk, err := os.OpenFile(m.file(".qemu"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer talk.Close()
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = talk, talk
	if err := cmd.Start(); err != nil {
		return err
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, cmd.Process.Pid, niceness) // see there
	m.cmd, m.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(m.ended)
	m.agent = guestAgent{socket: m.file(".agent")}
	m.qmp, err = dialMonitor(ctx, m.file(".qmp"), m.ended)
	if err != nil {
		talk, _ := os.ReadFile(m.file(".qemu"))
		return fmt.Errorf("%s: %w\n%s", m.name, err, talk)
	}
	return nil
}

func (m *machine) running() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// kill pulls the plug, and returns when the machine is gone.
func (m *machine) kill() {
	if !m.running() {
		return
	}
	_ = m.cmd.Process.Signal(syscall.SIGKILL) // it may just have ended
	<-m.ended
	m.qmp.close()
}

// save writes the state of a machine that stands still.
func (m *machine) save(ctx context.Context, path string) error {
	if err := m.qmp.run(ctx, "migrate", map[string]any{"uri": "exec:cat > " + path}); err != nil {
		return err
	}
	return m.qmp.until(ctx, "query-migrate", func(status string) (bool, error) {
		if status == "failed" {
			return false, fmt.Errorf("the state of %s could not be saved", m.name)
		}
		return status == "completed", nil
	})
}

// awaitState returns when a machine started with a saved state has taken it in.
func (m *machine) awaitState(ctx context.Context) error {
	return m.qmp.until(ctx, "query-status", func(status string) (bool, error) { return status != "inmigrate", nil })
}

// run runs a shell script in the machine, by the guest agent: it works with every network
// cut. Whatever exits with something else than 0 is an error that has its talk.
func (m *machine) run(ctx context.Context, script string) (string, error) {
	out, code, err := m.agent.exec(ctx, script)
	if err != nil {
		return "", fmt.Errorf("%s: %w", m.name, err)
	}
	if code != 0 {
		return out, fmt.Errorf("%s: exit %d of: %s\n%s", m.name, code, script, out)
	}
	return out, nil
}

// put writes a file in the machine.
func (m *machine) put(ctx context.Context, path, text string) error {
	if strings.Contains(text, "\nEND-OF-FILE\n") {
		return errors.New("the text holds its own end mark")
	}
	_, err := m.run(ctx, fmt.Sprintf("mkdir -p %s && cat > %s <<'END-OF-FILE'\n%sEND-OF-FILE\n", filepath.Dir(path), path, strings.TrimSuffix(text, "\n")+"\n"))
	return err
}

// console is the end of what the machine printed.
func (m *machine) console() string {
	data, _ := os.ReadFile(m.file(".console"))
	return lastLines(data)
}

// eventually waits until something holds, asking again and again with growing patience.
func eventually(ctx context.Context, limit time.Duration, what string, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := 100 * time.Millisecond
	var last error
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%s: not within %s: %w", what, limit, last)
		case <-t.C:
		}
		pause = min(pause*5/4, time.Second)
	}
}

// each does something to all machines side by side.
func each(machines []*machine, do func(*machine) error) error {
	faults := make([]error, len(machines))
	done := make(chan int)
	for k, m := range machines {
		go func() { faults[k] = do(m); done <- k }()
	}
	for range machines {
		<-done
	}
	return errors.Join(slices.DeleteFunc(faults, func(e error) bool { return e == nil })...)
}
