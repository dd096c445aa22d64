package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casaeureka/psw-ha/agent/probe"
	"github.com/casaeureka/psw-ha/pkg/ha"
)

// What the machines show of /etc/pve is read by the agent's own probes without a complaint.
func TestEtcPVEIsReadByTheProbes(t *testing.T) {
	root := t.TempDir()
	for path, text := range etcPVE("pve2") {
		if err := replace(filepath.Join(root, "etc/pve", path), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nodes/pve2", filepath.Join(root, "etc/pve/local")); err != nil {
		t.Fatal(err)
	}
	r := probe.Look(t.Context(), recorded{probe.Local(probe.LocalOptions{Root: root})}, "pve2")
	for _, name := range []string{ha.ProbePmxcfs, ha.ProbeGuestConfigs} {
		if reason, failed := r.Failed(name); failed {
			t.Errorf("the %s probe cannot look: %s", name, reason)
		}
	}
	if !r.System.PmxcfsMounted {
		t.Error("there is no cluster file system")
	}
	var members struct {
		Nodelist map[string]struct{ ID int }
	}
	if err := json.Unmarshal([]byte(etcPVE("pve2")[".members"]), &members); err != nil || members.Nodelist["pve3"].ID != 3 {
		t.Errorf(".members: %v %+v", err, members)
	}
}

// recorded is a machine on which no command can be run.
type recorded struct{ probe.Host }

func (recorded) Run(context.Context, string, ...string) ([]byte, error) { return nil, os.ErrNotExist }

func TestAnAgentKnowsEverybodyElse(t *testing.T) {
	s := agentSettings(2, time.Minute)
	for _, want := range []string{"PSW_HA_GOSSIP_BIND=10.10.2.2:7946\n", "PSW_HA_GOSSIP_PEERS=10.10.2.254:7946,10.10.2.1:7946,10.10.2.3:7946\n"} {
		if !strings.Contains(s, want) {
			t.Errorf("the settings of pve2 lack %q:\n%s", want, s)
		}
	}
}

// The configuration with a QDevice is a newer version of the same, or corosync ignores it.
func TestTheQDeviceIsANewVersionOfTheConfiguration(t *testing.T) {
	conf, err := overlay.ReadFile("overlay/etc/corosync/corosync.conf")
	if err != nil {
		t.Fatal(err)
	}
	with := withQDevice(string(conf))
	if !strings.Contains(with, "config_version: 2") || strings.Count(with, "device {") != 1 || strings.Count(with, "{") != strings.Count(with, "}") {
		t.Errorf("not what corosync would take:\n%s", with)
	}
}

// Whatever is in the image is in its key: a change that is not would go on with an old one.
func TestTheImagesKeyHasEverything(t *testing.T) {
	one, other := builder{unit: []byte("[Service]\n")}, builder{unit: []byte("[Service]\nNice=5\n")}
	if one.imageKey() == other.imageKey() {
		t.Error("another unit makes the same image")
	}
	if one.imageKey() != (builder{unit: []byte("[Service]\n")}).imageKey() {
		t.Error("the same recipe makes two images")
	}
	if key("ab", "c") == key("a", "bc") {
		t.Error("the key does not see where one part ends")
	}
}

// A unit that is enabled exists and is not masked.
func TestEnabledUnitsExist(t *testing.T) {
	for unit := range enabled {
		for _, m := range masked {
			if m == unit {
				t.Errorf("%s is enabled and masked", unit)
			}
		}
		if unit == "corosync.service" || unit == "psw-agent.service" {
			continue // of a package, and of deploy/systemd
		}
		if _, err := overlay.ReadFile("overlay/etc/systemd/system/" + unit); err != nil {
			t.Error(err)
		}
	}
}

// A machine's command line says who it is, and never asks for KVM.
func TestAMachinesCommandLine(t *testing.T) {
	node := &machine{name: "pve2", id: 2, networks: networks, dir: "/run/lab", img: image{"k", "i", "r"}}
	args := strings.Join(node.arguments(), " ")
	for _, want := range []string{"-accel tcg", "lab.name=pve2 lab.id=2 lab.role=node", "ifname=pve2-2", "mac=52:54:00:00:02:02"} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	if strings.Contains(args, "kvm") {
		t.Errorf("KVM: %s", args)
	}
	nas := &machine{name: "nas", id: 10, networks: networks[2:], dir: "/run/lab", disk: "/run/lab/nas.disk"}
	if args := fmt.Sprint(nas.arguments()); !strings.Contains(args, "lab.role=nas") || !strings.Contains(args, "file=/run/lab/nas.disk") {
		t.Errorf("no server: %s", args)
	}
}
