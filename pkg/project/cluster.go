package project

import (
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

var (
	clusterKeys = []string{"name", "nodes", "qdevice", "rto", "shared_storage", "token_timeout", "networks", "sites", "fencing", "ceph"}
	qdeviceKeys = []string{"host"}
	storageKeys = []string{"type", "server", "export", "mount", "options", "redundant"}
)

// clusterNameMax is the longest cluster name Proxmox takes (clustername of its API).
const clusterNameMax = 15

// rtoMax bounds the recovery time objective; more is a slip in the unit.
const rtoMax = 24 * time.Hour

// readCluster reads the cluster section, which may stand at the top or under management,
// and the shared storage, which may stand at the top or in the cluster.
func (n *network) readCluster(top, management mapping) {
	own, _ := top.get("cluster")
	nested, _ := management.get("cluster")
	section := own
	switch {
	case own.given() && nested.given():
		n.src.fault(later(own, nested).at, "keep one of them; both places are fine", "cluster is given twice, first in line %d", earlier(own, nested).at.line)
	case nested.given():
		section = nested
	}
	n.cluster = section.value
	var fields mapping
	if section.given() {
		fields, n.clusterRead = section.mapping()
		n.policy.Cluster.Name = n.policy.Project
		fields.onlyKnown(clusterKeys)
		n.readClusterFields(section, fields)
		n.readClusterParts(fields)
	} else {
		n.clusterRead = true
	}

	own, _ = top.get("shared_storage")
	nested, _ = fields.get("shared_storage")
	section = own
	switch {
	case own.given() && nested.given():
		n.src.fault(later(own, nested).at, "keep one of them; both places are fine", "shared_storage is given twice, first in line %d", earlier(own, nested).at.line)
	case nested.given():
		section = nested
	}
	if section.given() {
		n.policy.Cluster.Storage = n.readStorage(section)
	}
}

func earlier(a, b entry) entry {
	if b.at.line < a.at.line {
		return b
	}
	return a
}

func later(a, b entry) entry {
	if b.at.line < a.at.line {
		return a
	}
	return b
}

func (n *network) readClusterFields(section entry, fields mapping) {
	c := &n.policy.Cluster
	if name, _ := fields.get("name"); name.given() {
		if text, ok := name.text(); ok {
			c.Name = text
			if len(text) > clusterNameMax || !nodeName.MatchString(text) {
				n.src.fault(name.value.at, "use letters, digits and hyphens, 15 at most, as Proxmox does", "%s is %s, which is no name a cluster can have", name.path, quote(text))
			}
		}
	}
	if q, _ := fields.get("qdevice"); q.given() {
		n.thirdVote = true
		c.QDevice = n.readQDevice(q)
	}
	if rto, _ := fields.get("rto"); rto.given() {
		c.RTO = rto.durationUpTo(rtoMax, "3m", "which no failover can be measured against")
	}
	nodes, _ := fields.get("nodes")
	if !nodes.given() {
		if n.clusterRead {
			n.src.fault(section.at, "list its nodes, e.g. nodes: [node1, node2, node3]", "%s has no nodes", section.path)
			n.clusterRead = false
		}
		return
	}
	list, ok := nodes.list("[node1, node2, node3]")
	n.clusterRead = ok && len(list) > 0
	if ok && len(list) == 0 { // [] was written
		n.src.fault(nodes.value.at, "list its nodes, e.g. nodes: [node1, node2, node3]", "%s is empty", nodes.path)
	}
	for _, v := range list {
		name, ok := n.node(v)
		switch {
		case !ok:
			n.clusterRead = false
		case slices.Contains(c.Nodes, name):
			n.src.fault(v.at, "name each node once", "%s names %s twice", nodes.path, name)
		default:
			c.Nodes = append(c.Nodes, name)
		}
	}
	n.cluster = nodes.value
}

// readClusterParts reads what is declared of the cluster beyond its members, which are
// known by now.
func (n *network) readClusterParts(fields mapping) {
	c := &n.policy.Cluster
	if f, _ := fields.get("token_timeout"); f.given() {
		c.TokenTimeout = n.readToken(f)
	}
	if f, _ := fields.get("networks"); f.given() {
		c.Networks = n.readNetworks(f)
	}
	if f, _ := fields.get("sites"); f.given() {
		c.Sites = n.readSites(f)
	}
	if f, _ := fields.get("fencing"); f.given() {
		c.Fencing = n.readFencing(f)
	}
	if f, _ := fields.get("ceph"); f.given() {
		c.Ceph = n.readCeph(f)
	}
}

func (n *network) readQDevice(e entry) *ha.QDevice {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(qdeviceKeys)
	host, _ := fields.get("host")
	if !host.given() {
		n.src.fault(e.at, "name the machine that runs corosync-qnetd, e.g. host: 10.10.0.60", "%s has no host", e.path)
		return nil
	}
	n.qdevice = host.value
	text, ok := host.server()
	if !ok {
		return nil
	}
	return &ha.QDevice{Host: text}
}

// durationUpTo reads a duration such as 3m or 1m30s, up to high. why ends the sentence
// about one that cannot be meant.
func (v value) durationUpTo(high time.Duration, example, why string) time.Duration {
	text, ok := v.text()
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	switch {
	case err != nil:
		fix := "write a number with its unit, e.g. 3m, 90s or 1m30s"
		if strings.Trim(text, "0123456789") == "" {
			fix = "add the unit: " + text + "m for minutes, " + text + "s for seconds"
		}
		v.src.fault(v.at, fix, "%s is %s, which is no duration", v.path, quote(text))
	case d <= 0 || d > high:
		v.src.fault(v.at, "write a time above zero and up to "+short(high)+", e.g. "+example, "%s is %s, %s", v.path, d, why)
	default:
		return d
	}
	return 0
}

// short is a duration without the parts that are zero: 24h, not 24h0m0s.
func short(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// readStorage reads the shared storage; nil if it cannot be used.
func (n *network) readStorage(e entry) *ha.SharedStorage {
	fields, ok := e.mapping()
	if !ok {
		return nil
	}
	fields.onlyKnown(storageKeys)
	var s ha.SharedStorage
	for _, f := range []struct {
		key, example string
		to           *string
		read         func(value) (string, bool)
	}{
		{"type", "nfs", &s.Type, value.text},
		{"server", "10.10.0.50", &s.Server, value.server},
		{"export", "/mnt/pool/psw", &s.Export, value.absolutePath},
		{"mount", "/mnt/shared", &s.Mount, value.absolutePath},
	} {
		field, _ := fields.get(f.key)
		if !field.given() {
			n.src.fault(e.at, "add e.g. "+f.key+": "+f.example, "%s has no %s", e.path, f.key)
			continue
		}
		*f.to, _ = f.read(field.value)
		if f.key == "server" {
			n.storageServer = field.value
		}
	}
	if s.Type != "" && s.Type != "nfs" {
		field, _ := fields.get("type")
		n.src.fault(field.value.at, "write nfs; it is the only type there is", "%s is %s, which is no supported storage", field.path, quote(s.Type))
	}
	if options, _ := fields.get("options"); options.given() {
		text, ok := options.text()
		if ok && strings.ContainsFunc(text, unicode.IsSpace) {
			n.src.fault(options.value.at, "separate mount options by commas only, e.g. vers=4.2,nconnect=4", "%s contains blanks", options.path)
		}
		s.Options = text
	}
	if f, _ := fields.get("redundant"); f.given() {
		s.Redundant = f.boolean()
	}
	return &s
}

// absolutePath reads a clean absolute path that is not the root.
func (v value) absolutePath() (string, bool) {
	text, ok := v.text()
	if !ok {
		return "", false
	}
	switch {
	case !strings.HasPrefix(text, "/"):
		v.src.fault(v.at, "write the whole path, beginning with /", "%s is %s, which is no absolute path", v.path, quote(text))
	case strings.ContainsFunc(text, unicode.IsSpace):
		v.src.fault(v.at, "use a path without blanks; Proxmox's storage.cfg cannot hold them", "%s contains blanks", v.path)
	case path.Clean(text) == "/":
		v.src.fault(v.at, "name a folder", "%s is the root folder", v.path)
	case slices.Contains(strings.Split(text, "/"), ".."):
		v.src.fault(v.at, "write "+path.Clean(text), "%s contains ..", v.path)
	default:
		return path.Clean(text), true
	}
	return "", false
}
