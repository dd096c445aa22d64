package pvesim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/casaeureka/psw-ha/e2e/pvesim"
)

// exit runs a command on a node and returns its output, exit code and complaint.
func exit(t *testing.T, h *pvesim.Host, line string) (out string, code int, complaint string) {
	t.Helper()
	args := strings.Fields(line)
	text, err := h.Run(t.Context(), args[0], args[1:]...)
	var coded interface{ ExitCode() int }
	if err == nil {
		return string(text), 0, ""
	}
	if !errors.As(err, &coded) {
		t.Fatalf("%s: %v", line, err)
	}
	return string(text), coded.ExitCode(), err.Error()
}

func readFile(t *testing.T, h *pvesim.Host, name string) string {
	t.Helper()
	text, err := h.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Everything a folder lists is there, in every folder of the node.
func TestHostListsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := threeNodes()
		spec.Guests = []pvesim.GuestSpec{
			{ID: 100, Node: "pve1", Running: true}, {ID: 101, Node: "pve2"}, {ID: 200, Type: "lxc", Node: "pve1", Running: true, Snapshots: []string{"a"}},
		}
		spec.Resources = []pvesim.ResourceSpec{{SID: "vm:100"}}
		l := start(t, spec)
		time.Sleep(2 * time.Minute)
		h := l.Host("pve1")
		files := 0
		for _, root := range []string{"proc", "etc/pve", "sys/class/watchdog", "sys/class/watchdog/watchdog0", "run/watchdog-mux.active"} {
			err := fs.WalkDir(h, root, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || d.Type() == fs.ModeSymlink {
					return err
				}
				files++
				text, err := h.ReadFile(path)
				if len(text) == 0 && !strings.HasSuffix(path, "crm_commands") && !strings.HasSuffix(path, "rules.cfg") && !strings.HasSuffix(path, "datacenter.cfg") {
					t.Errorf("%s is empty", path)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", root, err)
			}
		}
		if files < 40 {
			t.Errorf("only %d files", files)
		}
		var members struct {
			Cluster  struct{ Quorate int }
			Nodelist map[string]struct {
				ID, Online int
				IP         string
			}
		}
		if err := json.Unmarshal([]byte(readFile(t, h, "etc/pve/.members")), &members); err != nil || members.Cluster.Quorate != 1 || members.Nodelist["pve3"].ID != 3 || members.Nodelist["pve3"].Online != 1 {
			t.Errorf("%+v, %v", members, err)
		}
		for _, name := range []string{".vmlist", ".version", "ha/manager_status", "nodes/pve2/lrm_status"} {
			if text := readFile(t, h, "etc/pve/"+name); !json.Valid([]byte(text)) {
				t.Errorf("%s: %s", name, text)
			}
		}
		for _, name := range []string{"etc/pve/nodes/pve9", "etc/pve/nodes/pve1/qemu-server/101.conf", "etc/pve/nodes/pve1/lxc/100.conf", "proc/1", "etc/passwd"} {
			if _, err := h.Open(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := h.Open("../etc/passwd"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("outside: %v", err)
		}
	})
}

func TestHostCountsChangesOfPmxcfs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		h := l.Host("pve1")
		count := func() (v map[string]int) {
			if err := json.Unmarshal([]byte(readFile(t, h, "etc/pve/.version")), &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		before := count()
		if again := count(); again["storage.cfg"] != before["storage.cfg"] || again["ha/crm_commands"] != before["ha/crm_commands"] {
			t.Errorf("nothing changed: %v, then %v", before, again)
		}
		if _, code, why := exit(t, h, "ha-manager crm-command node-maintenance enable pve2"); code != 0 {
			t.Fatal(why)
		}
		if after := count(); after["ha/crm_commands"] != before["ha/crm_commands"]+1 {
			t.Errorf("%v, then %v", before, after)
		}
		if got := readFile(t, h, "etc/pve/ha/crm_commands"); got != "enable-node-maintenance pve2\n" {
			t.Errorf("queued: %q", got)
		}
	})
}

func TestHostWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		l.Partition([]string{"pve1"})
		time.Sleep(10 * time.Second)
		h := l.Host("pve1")
		if out, code, _ := exit(t, h, "corosync-quorumtool -s"); code != 2 || !strings.Contains(out, "Quorum:           2 Activity blocked\nFlags:            \n") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		if out, _, _ := exit(t, h, "corosync-cfgtool -n"); out != "Local node ID 1, transport knet\n" {
			t.Errorf("peers: %s", out)
		}
		if _, code, why := exit(t, h, "ha-manager crm-command node-maintenance enable pve1"); code != 255 || !strings.Contains(why, "no quorum") {
			t.Errorf("exit code %d: %s", code, why)
		}
		f, err := h.Open("etc/pve/local")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o555 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if _, code, why := exit(t, l.Host("pve2"), "ha-manager crm-command node-maintenance enable nosuch"); code != 255 || !strings.Contains(why, "no such cluster node 'nosuch'") {
			t.Errorf("exit code %d: %s", code, why)
		}
	})
}

func TestHostOfANodeThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		h := l.Host("pve1")
		l.PowerOff("pve1")
		if _, err := h.Open("proc/uptime"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file: %v", err)
		}
		if _, err := h.ReadLink("etc/pve/local"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link: %v", err)
		}
		if _, err := h.Run(t.Context(), "corosync-cfgtool", "-n"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a command: %v", err)
		}
		if _, _, err := h.Statfs(t.Context(), "/mnt/pve/nas"); err == nil {
			t.Error("a file system answered")
		}
		l.PowerOn("pve1")
		time.Sleep(3 * time.Minute)
		if up := readFile(t, h, "proc/uptime"); !strings.HasPrefix(up, "120.00 ") {
			t.Errorf("two minutes after it came up: %s", up)
		}
	})
}

func TestHostWhoseNFSHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, threeNodes())
		l.HangNFS("pve1")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if _, _, err := l.Host("pve1").Statfs(ctx, "/mnt/pve/nas"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if total, free, err := l.Host("pve2").Statfs(t.Context(), "/mnt/pve/nas"); err != nil || total == 0 || free == 0 {
			t.Errorf("elsewhere: %d, %d, %v", total, free, err)
		}
		if total, _, err := l.Host("pve1").Statfs(t.Context(), "/"); err != nil || total == 0 {
			t.Errorf("the root disk: %d, %v", total, err)
		}
	})
}
