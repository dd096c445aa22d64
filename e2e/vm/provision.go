package vm

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/gossip"
	"github.com/casaeureka/psw-ha/pkg/rpc"
)

// pki is where the lab's certificates and its gossip key lie on the host.
type pki struct{ coordinator, operator, gossipKey string }

// makePKI makes the lab's CA, and everybody's certificate; an agent's is in its machine
// from the beginning.
func (r *Rig) makePKI() error {
	ca, err := rpc.NewCA("psw-ha vm lab")
	if err != nil {
		return err
	}
	issue := func(dir string, role rpc.Role, name string, hosts ...string) error {
		cert, err := ca.Issue(role, name, hosts...)
		if err != nil {
			return err
		}
		_, err = cert.Save(dir)
		return err
	}
	faults := []error{
		issue(r.pki.coordinator, rpc.RoleCoordinator, "lab", hostAddress),
		issue(r.pki.operator, rpc.RoleOperator, "operator"),
	}
	key, err := gossip.NewKey()
	if err != nil {
		return err
	}
	faults = append(faults, key.Save(r.pki.gossipKey))
	for _, node := range nodeNames {
		faults = append(faults,
			issue(filepath.Join(r.share(node), "etc/psw-ha/tls"), rpc.RoleAgent, node),
			key.Save(filepath.Join(r.share(node), "etc/psw-ha/gossip.key")))
	}
	return errors.Join(faults...)
}

// Ports of the lab.
const (
	rpcPort    = "7443"
	gossipPort = "7946"
)

// agentSettings are an agent's: what a package's /etc/psw-ha/agent.env would hold.
func agentSettings(id int, writeEvery time.Duration) string {
	peers := []string{hostAddress + ":" + gossipPort}
	for k := range nodeNames {
		if k+1 != id {
			peers = append(peers, fmt.Sprintf("%s:%s", storageAddress(k+1), gossipPort))
		}
	}
	return strings.Join([]string{
		"PSW_HA_COORDINATORS=" + hostAddress + ":" + rpcPort,
		"PSW_HA_GOSSIP_BIND=" + storageAddress(id) + ":" + gossipPort,
		"PSW_HA_GOSSIP_KEY_FILE=/etc/psw-ha/gossip.key",
		"PSW_HA_GOSSIP_PEERS=" + strings.Join(peers, ","),
		"PSW_HA_WRITE_EVERY=" + writeEvery.String(),
	}, "\n") + "\n"
}

func storageAddress(id int) string { return fmt.Sprintf("10.10.2.%d", id) }

// etcPVE is what the cluster file system would show on a node that matters here. It is a
// plain folder, and each machine has its own: Debian has no pmxcfs.
func etcPVE(node string) map[string]string {
	var members []string
	for k, n := range nodeNames {
		members = append(members, fmt.Sprintf("  %q: { \"id\": %d, \"online\": 1, \"ip\": \"10.10.0.%d\"}", n, k+1, k+1))
	}
	files := map[string]string{
		".members": fmt.Sprintf("{\n\"nodename\": %q,\n\"version\": 7,\n\"cluster\": { \"name\": \"lab\", \"version\": 1, \"nodes\": 3, \"quorate\": 1 },\n\"nodelist\": {\n%s\n  }\n}\n",
			node, strings.Join(members, ",\n")),
		".vmlist":          "{\n\"version\": 1,\n\"ids\": {}\n}\n",
		"storage.cfg":      "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\nnfs: shared\n\tpath /mnt/shared\n\tserver " + nasAddress + "\n\texport /export\n\tcontent images,rootdir\n\toptions vers=4.2,hard\n",
		"ha/.keep":         "",
		"ha/resources.cfg": "",
	}
	for _, n := range nodeNames {
		files["nodes/"+n+"/qemu-server/.keep"] = ""
		files["nodes/"+n+"/lxc/.keep"] = ""
	}
	conf, err := overlay.ReadFile("overlay/etc/corosync/corosync.conf")
	if err == nil { // embedded: it is there
		files["corosync.conf"] = string(conf)
	}
	return files
}
