package probe

import (
	"encoding/json"
	"slices"
	"strings"
)

// keepKeys keeps lines that begin with one of the keys, before a separator.
func keepKeys(separator string, keys ...string) func(string) string {
	return func(line string) string {
		if key, _, ok := strings.Cut(line, separator); ok && slices.Contains(keys, strings.TrimSpace(key)) {
			return line
		}
		return ""
	}
}

// keepWords keeps the words of a line that begin with one of the prefixes.
func keepWords(prefixes ...string) func(string) string {
	return func(line string) string {
		words := slices.DeleteFunc(strings.Fields(line), func(w string) bool {
			return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(w, p) })
		})
		return strings.Join(words, " ")
	}
}

// storageSettings are the settings of a storage that are read.
var storageSettings = []string{
	"path", "shared", "content", "nodes", "disable", "server", "portal", "monhost", "export", "share", "target", "volume",
	"datastore", "pool", "vgname", "is_mountpoint",
}

// keepSettings keeps, of a file in sections, the headings and some settings.
func keepSettings(settings ...string) func(string) string {
	return func(line string) string {
		indented := strings.TrimLeft(line, " \t") != line
		if indented && !slices.Contains(settings, firstWord(strings.TrimSpace(line))) || strings.HasPrefix(strings.TrimSpace(line), "#") {
			return ""
		}
		return line
	}
}

// redactFenceLine keeps that there is a device, and its name: what follows are addresses and
// passwords.
func redactFenceLine(line string) string {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "device" {
		return ""
	}
	return strings.Join(f[:3], " ")
}

// redactCephLine keeps the networks and which cluster it is.
func redactCephLine(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "[") {
		return line
	}
	key, _, ok := strings.Cut(line, "=")
	name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.TrimSpace(key))
	if ok && slices.Contains([]string{"fsid", "public_network", "cluster_network"}, name) {
		return line
	}
	return ""
}

func redactModuleLine(line string) string {
	if strings.Contains(line, "WATCHDOG_MODULE") {
		return line
	}
	return ""
}

// redactManagerLine keeps what systemd does with watchdogs.
func redactManagerLine(line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "[") {
		return line
	}
	return keepKeys("=", "RuntimeWatchdogSec", "WatchdogDevice")(line)
}

// redactModprobeLine keeps which watchdogs are blacklisted, and whether softdog is told not to
// reset.
func redactModprobeLine(line string) string {
	f := strings.Fields(line)
	switch {
	case len(f) == 2 && f[0] == "blacklist" && isWatchdogModule(f[1]):
		return line
	case len(f) > 2 && f[0] == "options" && f[1] == "softdog":
		return "options softdog " + keepWords("soft_noboot=")(line)
	}
	return ""
}

// redactKey keeps a public key without its comment, and nothing that is none.
func redactKey(line string) string {
	key, _ := publicKey(line)
	return key
}

// redactCommand keeps what is read of long or telling outputs.
func redactCommand(line string, output []byte) []byte {
	var keep func(key string) bool
	switch {
	case line == "corosync-cmapctl":
		keep = isRunning
	case line == "corosync-cmapctl -m stats":
		keep = isLinkStat
	case strings.HasPrefix(line, "journalctl "):
		return keepLines(output, redactJournal)
	case line == "ip -j addr":
		return redactAddresses(output)
	case strings.HasPrefix(line, "ceph ") && strings.Contains(line, " osd dump "):
		return redactCephDump(output)
	default:
		return output
	}
	return keepLines(output, func(line string) string {
		if key, _, _ := cmapValue(line); keep(key) {
			return line
		}
		return ""
	})
}

// isRunning reports whether parseRunning reads a key.
func isRunning(key string) bool {
	return slices.Contains([]string{"runtime.config.totem.token", "runtime.config.totem.consensus", "totem.config_version"}, key)
}

// isLinkStat reports whether setLinkStat knows a statistic.
func isLinkStat(key string) bool {
	name, ok := strings.CutPrefix(key, "stats.knet.node")
	field := name[strings.LastIndexByte(name, '.')+1:]
	return ok && slices.Contains([]string{"enabled", "connected", "mtu", "latency_ave", "latency_max", "down_count"}, field)
}

// redactAddresses keeps the addresses of interfaces that are not guests', and no hardware
// addresses.
func redactAddresses(output []byte) []byte {
	type info struct {
		Local  string `json:"local"`
		Prefix int    `json:"prefixlen"`
		Scope  string `json:"scope"`
	}
	type device struct {
		Name  string `json:"ifname"`
		Infos []info `json:"addr_info"`
	}
	var list []device
	if json.Unmarshal(output, &list) != nil {
		return output // what nobody can read is worth a look
	}
	list = slices.DeleteFunc(list, func(d device) bool { return ofGuest(d.Name) })
	return marshal(list, output)
}

// redactCephDump keeps what parseCephDump reads.
func redactCephDump(output []byte) []byte {
	type pool struct {
		Name    string `json:"pool_name"`
		Type    int    `json:"type"`
		Size    int    `json:"size"`
		MinSize int    `json:"min_size"`
		Rule    int    `json:"crush_rule"`
	}
	var dump struct {
		Flags   string          `json:"flags"`
		Stretch json.RawMessage `json:"stretch_mode,omitempty"`
		Pools   []pool          `json:"pools"`
		OSDs    []struct{}      `json:"osds"`
	}
	if json.Unmarshal(output, &dump) != nil {
		return output
	}
	return marshal(dump, output)
}

func marshal(v any, otherwise []byte) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return otherwise
	}
	return append(text, '\n')
}
