package probe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// parseQuorumtool reads `corosync-quorumtool -s`, also with node ids in hexadecimal as
// `pvecm status` prints them. Quorate needs both places that say so, the line and the
// flag; whatever is incomplete is an error.
func parseQuorumtool(text string) (ha.Corosync, error) {
	c := ha.Corosync{Running: true}
	var quorate string
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "Node ID":
			c.NodeID, err = quorumNumber(value)
		case "Expected votes":
			c.Expected, err = quorumNumber(value)
		case "Total votes":
			c.Votes, err = quorumNumber(value)
		case "Quorum":
			c.Quorum, err = quorumNumber(value)
		case "Quorate":
			quorate = value
		case "Flags":
			c.Flags = strings.Fields(value)
		default:
			if err := parseMember(strings.Fields(line), &c); err != nil {
				return ha.Corosync{}, err
			}
			continue
		}
		if err != nil || seen[key] {
			return ha.Corosync{}, fmt.Errorf("corosync-quorumtool: not to be understood: %.80q", line)
		}
		seen[key] = true
	}
	if len(seen) != 6 || (quorate != "Yes" && quorate != "No") {
		return ha.Corosync{}, errors.New("corosync-quorumtool: its answer is incomplete")
	}
	if len(c.Flags) == 0 {
		c.Flags = nil
	}
	c.Quorate = quorate == "Yes" && slices.Contains(c.Flags, "Quorate")
	c.QDevice = slices.Contains(c.Flags, "Qdevice")
	slices.Sort(c.Members)
	c.Members = slices.Compact(c.Members)
	return c, nil
}

// quorumNumber reads "2", "0x00000002" and "2 Activity blocked".
func quorumNumber(value string) (int, error) {
	first, _, _ := strings.Cut(value, " ")
	n, err := strconv.ParseInt(first, 0, 32)
	if err == nil && n < 0 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// parseMember reads a row of the membership table: id, votes, with a QDevice its flags,
// name, and "(local)" on the asking node's own. The QDevice's row has the id 0. It is
// alive and votes for this node where the flags begin with "A,V".
func parseMember(row []string, c *ha.Corosync) error {
	if len(row) < 3 {
		return nil
	}
	id, err := strconv.ParseInt(row[0], 0, 32)
	if err != nil { // a heading
		return nil
	}
	if _, err := strconv.Atoi(row[1]); err != nil || id < 0 {
		return fmt.Errorf("corosync-quorumtool: not a member: %.80q", strings.Join(row, " "))
	}
	if id == 0 {
		return nil
	}
	c.Members = append(c.Members, int(id))
	if row[len(row)-1] == "(local)" && strings.HasPrefix(row[2], "A,V,") {
		c.QDeviceAlive = true
	}
	return nil
}

// parseCfgtoolPeers reads `corosync-cfgtool -n`: per reachable peer its links, with the
// words enabled and connected where they apply.
func parseCfgtoolPeers(text string) ([]ha.Link, error) {
	var links []ha.Link
	peer, reachable, local := 0, false, false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 4 && fields[0] == "Local" && fields[1] == "node" && fields[2] == "ID":
			local = true
		case len(fields) >= 3 && fields[0] == "nodeid:":
			id, err := strconv.Atoi(strings.TrimSuffix(fields[1], ":"))
			if err != nil || id <= 0 {
				return nil, fmt.Errorf("corosync-cfgtool: not a node: %.80q", line)
			}
			peer, reachable = id, fields[2] == "reachable"
		case len(fields) >= 4 && fields[0] == "LINK:" && peer != 0:
			l, err := parsePeerLink(fields)
			if err != nil {
				return nil, err
			}
			l.PeerID, l.Connected = peer, l.Connected && reachable
			links = append(links, l)
		}
	}
	if !local {
		return nil, errors.New("corosync-cfgtool: its answer is incomplete")
	}
	return links, nil
}

// parsePeerLink reads "LINK: 0 udp (10.0.0.1->10.0.0.2) enabled connected mtu: 1397".
func parsePeerLink(fields []string) (l ha.Link, err error) {
	l.Number, err = linkNumber(fields[1])
	from, to, ok := strings.Cut(strings.Trim(fields[3], "()"), "->")
	if err != nil || !ok {
		return l, fmt.Errorf("corosync-cfgtool: not a link: %.120q", strings.Join(fields, " "))
	}
	l.Local, l.Remote = from, to
	words := fields[4:]
	if at := slices.Index(words, "mtu:"); at >= 0 && at+1 < len(words) {
		if mtu, err := strconv.ParseUint(words[at+1], 10, 31); err == nil {
			l.MTU = int(mtu)
		}
		words = words[:at]
	}
	l.Enabled = slices.Contains(words, "enabled")
	l.Connected = slices.Contains(words, "connected")
	return l, nil
}

// linkNumber reads the number of a link: knet has eight.
func linkNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && (n < 0 || n > 7) {
		err = fmt.Errorf("no link has the number %d", n)
	}
	return n, err
}

// parseCfgtoolStatus reads `corosync-cfgtool -s`: per link its own address, and whether
// each node is connected over it. The node itself is called localhost and left out.
func parseCfgtoolStatus(text string) ([]ha.Link, error) {
	var links []ha.Link
	number, address, local := -1, "", false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 4 && fields[0] == "Local" && fields[1] == "node" && fields[2] == "ID":
			local = true
		case len(fields) >= 3 && fields[0] == "LINK" && fields[1] == "ID":
			n, err := linkNumber(fields[2])
			if err != nil {
				return nil, fmt.Errorf("corosync-cfgtool: not a link: %.80q", line)
			}
			number, address = n, ""
		case len(fields) == 3 && fields[0] == "addr" && fields[1] == "=":
			address = fields[2]
		case len(fields) == 3 && fields[0] == "nodeid:" && number >= 0 && fields[2] != "localhost":
			id, err := strconv.Atoi(strings.TrimSuffix(fields[1], ":"))
			if err != nil || id <= 0 {
				return nil, fmt.Errorf("corosync-cfgtool: not a node: %.80q", line)
			}
			connected := fields[2] == "connected"
			links = append(links, ha.Link{
				PeerID: id, Number: number, Local: address,
				Connected: connected, Enabled: connected || fields[2] == "disconnected",
			})
		}
	}
	if !local {
		return nil, errors.New("corosync-cfgtool: its answer is incomplete")
	}
	return links, nil
}

// cmapValue reads a line of corosync-cmapctl: "key (type) = value".
func cmapValue(line string) (key, value string, ok bool) {
	key, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " (")
	_, value, typed := strings.Cut(rest, ") = ")
	return key, value, ok && typed
}

// parseLinkStats reads knet's statistics from `corosync-cmapctl -m stats`, the asking
// node's link to itself included. Latencies are in microseconds.
func parseLinkStats(text string) ([]ha.Link, error) {
	links := map[linkKey]*ha.Link{}
	var order []linkKey
	for line := range strings.Lines(text) {
		key, value, ok := cmapValue(line)
		name, isLink := strings.CutPrefix(key, "stats.knet.node")
		if !ok || !isLink {
			continue
		}
		node, name, _ := strings.Cut(name, ".link")
		number, field, _ := strings.Cut(name, ".")
		id, idErr := strconv.Atoi(node)
		link, linkErr := linkNumber(number)
		n, err := strconv.ParseUint(value, 10, 64)
		if idErr != nil || id <= 0 || linkErr != nil || err != nil {
			return nil, fmt.Errorf("corosync-cmapctl: not a statistic of a link: %.120q", line)
		}
		at := linkKey{id, link}
		if links[at] == nil {
			links[at] = &ha.Link{PeerID: id, Number: link}
			order = append(order, at)
		}
		setLinkStat(links[at], field, n)
	}
	if len(order) == 0 {
		return nil, errors.New("corosync-cmapctl: no statistics of links")
	}
	list := make([]ha.Link, len(order))
	for k, at := range order {
		list[k] = *links[at]
	}
	return list, nil
}

func setLinkStat(l *ha.Link, field string, n uint64) {
	const most = 1 << 31 // of an MTU or a number of microseconds
	switch field {
	case "enabled":
		l.Enabled = n == 1
	case "connected":
		l.Connected = n == 1
	case "mtu":
		l.MTU = int(min(n, most))
	case "latency_ave":
		l.Latency = time.Duration(min(n, most)) * time.Microsecond
	case "latency_max":
		l.LatencyMax = time.Duration(min(n, most)) * time.Microsecond
	case "down_count":
		l.Downs = int64(min(n, most))
	}
}

// parseRunning reads, from corosync-cmapctl, the timeouts, in milliseconds, and the version of
// the configuration that corosync runs with.
func parseRunning(text string) (running, error) {
	var now running
	for line := range strings.Lines(text) {
		key, value, ok := cmapValue(line)
		if !ok {
			continue
		}
		switch key {
		case "runtime.config.totem.token", "runtime.config.totem.consensus", "totem.config_version":
		default:
			continue
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return running{}, fmt.Errorf("corosync-cmapctl: not to be understood: %.80q", line)
		}
		switch key {
		case "runtime.config.totem.token":
			now.token = time.Duration(n) * time.Millisecond
		case "runtime.config.totem.consensus":
			now.consensus = time.Duration(n) * time.Millisecond
		default:
			now.configVersion = int(n)
		}
	}
	if now.token == 0 {
		return running{}, errors.New("corosync-cmapctl: no token timeout")
	}
	return now, nil
}

// parseDeviceState reads the state of "corosync-qdevice-tool -s": what it says of its server.
func parseDeviceState(text string) (string, error) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "State" {
			if state := strings.TrimSpace(value); state != "" {
				return state, nil
			}
		}
	}
	return "", errors.New("corosync-qdevice-tool: no state")
}
