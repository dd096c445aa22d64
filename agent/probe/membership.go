package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Whose public keys a node tells. The private ones beside them are never opened.
var (
	rootKeys = []string{"root/.ssh/id_rsa.pub", "root/.ssh/id_ed25519.pub", "root/.ssh/id_ecdsa.pub"}
	hostKeys = []string{"etc/ssh/ssh_host_rsa_key.pub", "etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_ecdsa_key.pub"}
)

// lookMembership reads which cluster the node is in, and what another needs to know to form
// one with it. It fills in the version of pmxcfs's corosync.conf as well: whoever reads
// /etc/pve may hang, and corosync's own probe must not.
func lookMembership(_ context.Context, r *round) (facts, error) {
	var m ha.Membership
	var missing faults
	var clusterVersion int
	own, err := exists(r.host, "etc/corosync/corosync.conf")
	missing.add("etc/corosync/corosync.conf", bare(err))
	if err := needPmxcfs(r.host); err != nil {
		missing = append(missing, err)
	} else {
		conf, err := optional(r.host, "etc/pve/corosync.conf")
		missing.add("etc/pve/corosync.conf", bare(err))
		own = own || conf != nil
		clusterVersion = parseCorosyncConf(string(conf)).declared.Version
		data, err := read(r.host, "etc/pve/.members")
		if err == nil {
			err = parsePmxcfsMembers(data, &m)
		}
		missing.add("etc/pve/.members", bare(err))
	}
	m.Clustered = own
	if len(m.Members) == 0 {
		m.RootKeys, err = publicKeys(r.host, rootKeys)
		missing.add("keys of root", err)
	}
	m.HostKeys, err = publicKeys(r.host, hostKeys)
	missing.add("keys of the host", err)
	m.HostKeys = shortest(m.HostKeys)
	// After the members: where the node is in, and pvecm does not run any more, the join is over.
	switch runs, err := exists(r.host, pvecmUnitFile); {
	case err != nil:
		missing.add(pvecmUnitFile, bare(err))
	case runs:
		m.Pvecm = ha.PvecmRuns
	default:
		m.Pvecm = ha.PvecmIdle
	}
	return func(report *ha.Report) {
		report.Membership = m
		report.Corosync.Config.ClusterVersion = clusterVersion
	}, missing.err()
}

// parsePmxcfsMembers reads /etc/pve/.members. A node that stands alone lists nobody.
func parsePmxcfsMembers(data []byte, m *ha.Membership) error {
	var file struct {
		Cluster struct {
			Name    string `json:"name"`
			Quorate number `json:"quorate"`
		} `json:"cluster"`
		Nodelist map[ha.NodeName]struct {
			ID     number `json:"id"`
			Online number `json:"online"`
			IP     string `json:"ip"`
		} `json:"nodelist"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	m.ClusterName, m.Quorate = file.Cluster.Name, file.Cluster.Quorate == 1
	for name, n := range file.Nodelist {
		m.Members = append(m.Members, ha.PmxcfsMember{ID: int(n.ID), Name: name, Online: n.Online == 1, Address: n.IP})
	}
	return nil
}

// publicKeys reads public keys, each file's type and key without its comment. A file that
// holds something else is an error, and none of it is repeated.
func publicKeys(h Host, names []string) ([]string, error) {
	var keys []string
	var missing faults
	for _, name := range names {
		data, err := optional(h, name)
		if err == nil && data == nil {
			continue
		}
		key, ok := publicKey(string(data))
		if err == nil && !ok {
			err = fmt.Errorf("not a public key")
		}
		missing.add(name, bare(err))
		if err == nil {
			keys = append(keys, key)
		}
	}
	return keys, missing.err()
}

// shortest keeps one host key if the node has the kind that every SSH of today prefers: the
// others are ten times as long, and would be most of what some reports say.
func shortest(keys []string) []string {
	for _, key := range keys {
		if strings.HasPrefix(key, "ssh-ed25519 ") {
			return []string{key}
		}
	}
	return keys
}

func publicKey(text string) (key string, ok bool) {
	fields := strings.Fields(text)
	if len(fields) < 2 || !strings.HasPrefix(fields[1], "AAAA") {
		return "", false
	}
	known := strings.HasPrefix(fields[0], "ssh-") || strings.HasPrefix(fields[0], "ecdsa-") || strings.HasPrefix(fields[0], "sk-")
	return fields[0] + " " + fields[1], known
}
