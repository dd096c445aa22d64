package pvesim

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// /etc/pve of a node. Without quorum it is what it was, and every mode has lost its write
// bits.

// fileVersion is how often a file of pmxcfs was seen to change.
type fileVersion struct {
	digest string
	count  int
}

// counted are the files whose changes .version counts.
var counted = []string{
	"corosync.conf", "storage.cfg", "datacenter.cfg",
	"ha/crm_commands", "ha/manager_status", "ha/resources.cfg", "ha/rules.cfg",
}

// pmxcfs finds what a path below /etc/pve names.
func (h *Host) pmxcfs(name string) (entry, bool) {
	n := h.n
	dir, private := fs.FileMode(0o755), fs.FileMode(0o640)
	if !n.quorate {
		dir, private = 0o555, 0o440
	}
	if text, ok := h.pmxcfsFile(name); ok {
		return entry{text: text, mode: private}, true
	}
	switch name {
	case "":
		names := []string{".members", ".version", ".vmlist", "datacenter.cfg", "ha/", "local@", "lxc@", "nodes/", "qemu-server@", "storage.cfg"}
		if n.fs.corosync != nil {
			names = append(names, "corosync.conf")
		}
		return folder(dir, names...)
	case "local":
		return h.pmxcfs("nodes/" + n.name)
	case "ha":
		names := []string{"crm_commands", "manager_status", "resources.cfg"}
		if n.major() >= 9 {
			names = append(names, "rules.cfg")
		}
		if len(n.fs.groups) > 0 {
			names = slices.Insert(names, 1, "groups.cfg")
		}
		return folder(dir, names...)
	case "nodes":
		var names []string
		for _, o := range n.peers() {
			names = append(names, o.name+"/")
		}
		return folder(dir, names...)
	}
	rest, ok := strings.CutPrefix(name, "nodes/")
	owner, what, _ := strings.Cut(rest, "/")
	if !ok || n.peer(owner) == nil {
		return entry{}, false
	}
	switch what {
	case "":
		return folder(dir, "lrm_status", "lxc/", "qemu-server/")
	case "qemu-server", "lxc":
		var names []string
		for _, g := range n.fs.guests {
			if g.node == owner && g.kind.dir() == what {
				names = append(names, fmt.Sprintf("%d.conf", g.id))
			}
		}
		return folder(dir, names...)
	}
	return entry{}, false
}

// pmxcfsFile is the content of a file below /etc/pve.
func (h *Host) pmxcfsFile(name string) (string, bool) {
	n := h.n
	switch name {
	case ".members":
		return n.membersText(), true
	case ".vmlist":
		return n.vmlistText(), true
	case ".version":
		return h.versionText(), true
	case "corosync.conf":
		if n.fs.corosync == nil {
			return "", false
		}
		return n.fs.corosync.text(), true
	case "storage.cfg":
		return n.fs.storageText(), true
	case "datacenter.cfg":
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(n.fs.datacenter)) {
			fmt.Fprintf(&b, "%s: %s\n", key, n.fs.datacenter[key])
		}
		return b.String(), true
	case "ha/resources.cfg":
		return n.fs.resourcesText(), true
	case "ha/rules.cfg":
		return n.fs.rulesText(), n.major() >= 9
	case "ha/groups.cfg":
		return n.fs.groupsText(), len(n.fs.groups) > 0
	case "ha/crm_commands":
		return strings.Join(append(slices.Clone(n.fs.commands), ""), "\n"), true
	case "ha/manager_status":
		if n.fs.manager == nil || n.fs.manager.Master == "" { // nobody ever was master
			return "", false
		}
		return jsonText(n.c.managerJSON(n.fs.manager)), true
	}
	var owner, dir, conf string
	if parts := strings.Split(name, "/"); len(parts) >= 3 && parts[0] == "nodes" {
		owner, dir = parts[1], parts[2]
		if len(parts) == 4 {
			conf = parts[3]
		}
		if _, written := n.fs.lrm[owner]; dir == "lrm_status" && len(parts) == 3 && written {
			return jsonText(n.c.lrmJSON(n.fs, owner)), true
		}
	}
	id, isConf := strings.CutSuffix(conf, ".conf")
	g := n.fs.guests[atoi(id)]
	if !isConf || g == nil || g.node != owner || g.kind.dir() != dir || conf != fmt.Sprintf("%d.conf", g.id) {
		return "", false
	}
	return g.text(), true
}

// jsonText is a status file: one line without an end.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("pvesim: status file: %v", err)) // plain maps and strings always marshal
	}
	return string(text)
}

// membersText is .members: who corosync on this node says is there.
func (n *node) membersText() string {
	if n.conf == nil {
		return fmt.Sprintf("{\n\"nodename\": %q,\n\"version\": 0\n}\n", n.name)
	}
	var b strings.Builder
	peers := n.peers()
	fmt.Fprintf(&b, "{\n\"nodename\": %q,\n\"version\": %d,\n", n.name, 3+len(n.members))
	fmt.Fprintf(&b, "\"cluster\": { \"name\": %q, \"version\": %d, \"nodes\": %d, \"quorate\": %d },\n",
		n.conf.name, n.conf.version, len(peers), flag(n.quorate))
	b.WriteString("\"nodelist\": {\n")
	for k, o := range peers {
		end := ",\n"
		if k == len(peers)-1 {
			end = "\n"
		}
		fmt.Fprintf(&b, "  %q: { \"id\": %d, \"online\": %d, \"ip\": %q}%s", o.name, n.idOf(o), flag(n.sees(o.name)), o.spec.Address, end)
	}
	b.WriteString("  }\n}\n")
	return b.String()
}

// vmlistText is .vmlist: where each guest's configuration lies.
func (n *node) vmlistText() string {
	var rows []string
	for _, g := range n.fs.sortedGuests() {
		rows = append(rows, fmt.Sprintf("\"%d\": { \"node\": %q, \"type\": %q, \"version\": %d }", g.id, g.node, g.kind, g.created))
	}
	return fmt.Sprintf("{\n\"version\": %d,\n\"ids\": {\n%s}\n\n}\n", len(rows), strings.Join(rows, ",\n"))
}

// versionText is .version: a counter for each file, which grows when it changed since it
// was last looked at.
func (h *Host) versionText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\"starttime\": %d,\n", h.n.c.unix(h.n.booted))
	fmt.Fprintf(&b, "\"clinfo\": %d,\n\"vmlist\": %d", h.count("clinfo", h.n.membersText()), h.count("vmlist", h.n.vmlistText()))
	for _, name := range counted {
		text, _ := h.pmxcfsFile(name)
		fmt.Fprintf(&b, ",\n%q: %d", name, h.count(name, text))
	}
	b.WriteString("\n}\n")
	return b.String()
}

func (h *Host) count(name, text string) int {
	v := h.versions[name]
	if d := digest(text); v.digest != d {
		v = fileVersion{d, v.count + 1}
		h.versions[name] = v
	}
	return v.count
}
