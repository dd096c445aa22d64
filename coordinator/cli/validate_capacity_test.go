package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casaeureka/psw-ha/pkg/ha"
	"github.com/casaeureka/psw-ha/pkg/project"
)

// capacityProject is a project of three nodes with a large target on node1, and as much
// memory per node as told, in GiB; 0 leaves hardware.yml out.
func capacityProject(t *testing.T, memory ...string) *project.Project {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("network.yml", `management:
  hosts:
    node1: {ip: 10.0.0.1, roles: [proxmox]}
    node2: {ip: 10.0.0.2, roles: [proxmox]}
    node3: {ip: 10.0.0.3, roles: [proxmox]}
cluster:
  nodes: [node1, node2, node3]
  shared_storage: {type: nfs, server: 10.0.0.50, export: /pool, mount: /mnt/shared}
targets:
  core: {type: lxc, node: node1, ha: true, cores: 4, memory: 40960, disk: 10}
  dns: {type: lxc, node: node2, ha: true, cores: 1, memory: 1024, disk: 10}
`)
	for k, gib := range memory {
		if gib != "0" {
			write("nodes/node"+string(rune('1'+k))+"/hardware.yml", "server:\n  cpu: {cores: 8, threads: 16}\n  memory: {total_gb: "+gib+"}\n")
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The sum would fit, the biggest target fits nowhere: the loss of its node is warned of,
// with what is missing where and the cheapest way out.
func TestValidateWarnsWhenALossDoesNotFit(t *testing.T) {
	got := declaredCapacity(capacityProject(t, "64", "32", "32"))
	if len(got) != 1 || got[0].Status != ha.Warn || !strings.Contains(got[0].Text, "when node1 is lost") || !strings.Contains(got[0].Text, "core") || !strings.HasPrefix(got[0].Fix, "+") {
		t.Errorf("want one warning about core and node1 with the memory it takes, got %v", got)
	}
	if got := declaredCapacity(capacityProject(t, "64", "64", "64")); len(got) != 0 {
		t.Errorf("there is room for everybody, and yet: %v", got)
	}
}

// Without a node's memory nothing is judged, and that is said.
func TestValidateSaysWhenCapacityIsNotKnown(t *testing.T) {
	got := declaredCapacity(capacityProject(t, "64", "0", "64"))
	if len(got) != 1 || got[0].Status != ha.Notice || !strings.Contains(got[0].Fix, "nodes/node2/hardware.yml") {
		t.Errorf("want one notice that names nodes/node2/hardware.yml, got %v", got)
	}
}
