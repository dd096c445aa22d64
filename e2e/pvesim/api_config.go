package pvesim

import (
	"fmt"
)

// What the API tells of a cluster's configuration. Forming and joining a cluster is for
// root@pam alone, which no token is; pvecm does it.

// peers are the nodes of the cluster of the node that answers.
func (r *request) peers() []*node { return r.n.peers() }

// idOf is a node's id as this node's corosync.conf has it; 0 without one.
func (n *node) idOf(o *node) int {
	if m := n.conf.member(o.name); m != nil {
		return m.id
	}
	return 0
}

func configIndex(*request) (any, error) {
	list := []object{}
	for _, name := range []string{"nodes", "totem", "join", "qdevice", "apiversion"} {
		list = append(list, object{"name": name})
	}
	return list, nil
}

func configAPIVersion(*request) (any, error) { return joinVersion, nil }

// joinVersion is the version of the join protocol that pvecm apiver prints.
const joinVersion = "1"

func configNodes(r *request) (any, error) {
	list := []object{}
	if r.n.conf == nil {
		return list, nil
	}
	for _, m := range r.n.conf.members {
		row := m.row()
		row["node"] = m.name
		list = append(list, row)
	}
	return list, nil
}

// row is a node as corosync.conf says it: numbers are text there.
func (m confNode) row() object {
	row := object{"name": m.name, "nodeid": fmt.Sprint(m.id), "quorum_votes": fmt.Sprint(m.votes)}
	for link, addr := range m.addrs {
		row[fmt.Sprintf("ring%d_addr", link)] = addr
	}
	return row
}

func (k *conf) totem() object {
	links := object{}
	for link := range k.links {
		links[fmt.Sprint(link)] = object{"linknumber": fmt.Sprint(link)}
	}
	return object{
		"version": "2", "cluster_name": k.name, "config_version": fmt.Sprint(k.version), "ip_version": "ipv4-6",
		"link_mode": "passive", "secauth": "on", "interface": links,
	}
}

func configTotem(r *request) (any, error) {
	if r.n.conf == nil {
		return object{}, nil
	}
	return r.n.conf.totem(), nil
}

// configJoin is what a node needs to know to join. The text of the 424 is not from a
// recording.
func configJoin(r *request) (any, error) {
	k := r.n.conf
	if k == nil {
		const text = "node is not in a cluster, no join info available!"
		return nil, &apiError{status: 424, reason: text, message: text + "\n"}
	}
	preferred := r.n.name
	if name := r.get("node"); name != "" {
		if k.member(name) == nil {
			return nil, die("unknown node '%s'", name)
		}
		preferred = name
	}
	list := []object{}
	for _, m := range k.members {
		row := m.row()
		row["pve_fp"], row["pve_addr"] = r.c.node(m.name).fingerprint(), r.c.node(m.name).spec.Address
		list = append(list, row)
	}
	return object{"config_digest": digest(k.text()), "nodelist": list, "preferred_node": preferred, "totem": k.totem()}, nil
}

// configQDevice is what the answering node's corosync-qdevice says of itself. Only the
// empty answer of a node without one is from a recording.
func configQDevice(r *request) (any, error) {
	k := r.n.conf
	if k == nil || k.qdevice == "" {
		return object{}, nil
	}
	state := "Connected"
	if !r.n.reachesDevice() {
		state = "Connect failed"
	}
	return object{"Model": "Net", "QNetd host": k.qdevice + ":5403", "Algorithm": k.algorithm(), "State": state, "Cluster name": k.name}, nil
}
