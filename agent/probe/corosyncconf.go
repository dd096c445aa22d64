package probe

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// corosyncConf is what corosync.conf says.
type corosyncConf struct {
	text     string
	declared ha.CorosyncConfig
}

// readCorosyncConf reads the node's own copy of corosync.conf, which is there even while
// pmxcfs is not. Without it, names come from pmxcfs, or are left out.
func readCorosyncConf(h Host) corosyncConf {
	if data, err := read(h, "etc/corosync/corosync.conf"); err == nil {
		return parseCorosyncConf(string(data))
	}
	if data, err := read(h, "etc/pve/.members"); err == nil {
		return parseMembers(data)
	}
	return corosyncConf{}
}

// parseCorosyncConf reads corosync.conf: sections in braces, key: value lines.
func parseCorosyncConf(text string) corosyncConf {
	conf := corosyncConf{text: text}
	d := &conf.declared
	var sections []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, opens := strings.CutSuffix(line, "{")
		if opens {
			sections = append(sections, strings.TrimSpace(name))
			if strings.Join(sections, ".") == "nodelist.node" {
				d.Nodes = append(d.Nodes, ha.CorosyncNode{Votes: 1})
			}
			continue
		}
		if line == "}" {
			sections = sections[:max(0, len(sections)-1)]
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch strings.Join(sections, ".") {
		case "totem":
			setTotem(d, key, value)
		case "nodelist.node":
			setNode(&d.Nodes[len(d.Nodes)-1], key, value)
		case "quorum.device":
			if key == "model" {
				d.QDeviceModel = value
			}
		case "quorum.device.net":
			switch key {
			case "host":
				d.QDeviceHost = value
			case "algorithm":
				d.QDeviceAlgorithm = value
			}
		}
	}
	if d.Version != 0 || d.Nodes != nil {
		d.Transport = cmp.Or(d.Transport, "knet")
	}
	return conf
}

// setTotem notes a setting of the section totem. What turns encryption on is secauth, or a
// cipher; Proxmox writes secauth.
func setTotem(d *ha.CorosyncConfig, key, value string) {
	number := func() int {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return 0
		}
		return int(n)
	}
	switch key {
	case "cluster_name":
		d.ClusterName = value
	case "config_version":
		d.Version = number()
	case "transport":
		d.Transport = value
	case "link_mode":
		d.LinkMode = value
	case "token":
		d.Token = time.Duration(number()) * time.Millisecond
	case "secauth":
		d.Secauth = value == "on"
	case "crypto_cipher":
		d.Secauth = value != "none"
	}
}

func setNode(n *ha.CorosyncNode, key, value string) {
	switch key {
	case "name":
		n.Name = ha.NodeName(value)
	case "nodeid":
		n.ID, _ = strconv.Atoi(value)
	case "quorum_votes":
		n.Votes, _ = strconv.Atoi(value)
	}
	if ring, ok := strings.CutPrefix(key, "ring"); ok {
		if number, err := linkNumber(strings.TrimSuffix(ring, "_addr")); err == nil {
			for len(n.Addresses) <= number {
				n.Addresses = append(n.Addresses, "")
			}
			n.Addresses[number] = value
		}
	}
}

// addressOf is a node's address on a link, empty if it has none.
func addressOf(n ha.CorosyncNode, link int) string {
	if link < len(n.Addresses) {
		return n.Addresses[link]
	}
	return ""
}

// parseMembers reads names and addresses from /etc/pve/.members.
func parseMembers(data []byte) corosyncConf {
	var members struct {
		Nodelist map[string]struct {
			ID int    `json:"id"`
			IP string `json:"ip"`
		} `json:"nodelist"`
	}
	conf := corosyncConf{text: string(data)}
	if json.Unmarshal(data, &members) != nil {
		return conf
	}
	for name, m := range members.Nodelist {
		conf.declared.Nodes = append(conf.declared.Nodes, ha.CorosyncNode{ID: m.ID, Name: ha.NodeName(name), Votes: 1, Addresses: []string{m.IP}})
	}
	return conf
}

// describe fills in the peer's name, and addresses where corosync itself gave none.
func (c corosyncConf) describe(l *ha.Link, self int) {
	for _, n := range c.declared.Nodes {
		if n.ID == l.PeerID {
			l.Peer = n.Name
			if l.Remote == "" {
				l.Remote = addressOf(n, l.Number)
			}
		}
		if n.ID == self && l.Local == "" {
			l.Local = addressOf(n, l.Number)
		}
	}
}
