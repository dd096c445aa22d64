package probe

import (
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// mappingFiles are where pmxcfs keeps what a name of the cluster means on each node, by
// kind. They are read only for guests that use one.
var mappingFiles = map[string]string{
	"pci": "etc/pve/mapping/pci.cfg",
	"usb": "etc/pve/mapping/usb.cfg",
	"dir": "etc/pve/mapping/directory.cfg",
}

// mapped returns the mapping a line of a guest's configuration uses, if any.
func mapped(kind ha.GuestKind, key, value string) (ha.MappedDevice, bool) {
	prefix := strings.TrimRight(key, "0123456789")
	if kind != ha.VM || prefix == key {
		return ha.MappedDevice{}, false
	}
	var m ha.MappedDevice
	switch prefix {
	case "hostpci":
		m = ha.MappedDevice{Kind: "pci", ID: option(value, "mapping")}
	case "usb":
		m = ha.MappedDevice{Kind: "usb", ID: option(value, "mapping")}
	case "virtiofs":
		m = ha.MappedDevice{Kind: "dir", ID: first(value, "dirid")}
	}
	return m, m.ID != ""
}

// resolveMappings fills in the nodes of each mapping that the guests use.
func resolveMappings(h Host, guests []ha.GuestConfig) error {
	var missing faults
	files := map[string]map[string][]ha.NodeName{}
	for g := range guests {
		for k := range guests[g].Mapped {
			m := &guests[g].Mapped[k]
			nodes, done := files[m.Kind]
			if !done {
				data, err := optional(h, mappingFiles[m.Kind])
				missing.add(mappingFiles[m.Kind], bare(err))
				nodes = parseMappings(string(data))
				files[m.Kind] = nodes
			}
			m.Nodes = nodes[m.ID]
		}
	}
	return missing.err()
}

// parseMappings reads which nodes each mapping names: "ID" or "KIND: ID", then indented
// settings of which `map` names a node, as often as there are devices.
func parseMappings(text string) map[string][]ha.NodeName {
	nodes := map[string][]ha.NodeName{}
	id := ""
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case !indented:
			id = line
			if _, after, ok := strings.Cut(line, ":"); ok {
				id = strings.TrimSpace(after)
			}
		case id != "":
			key, value, _ := strings.Cut(line, " ")
			node := ha.NodeName(option(strings.TrimSpace(value), "node"))
			if key == "map" && node != "" && !slices.Contains(nodes[id], node) {
				nodes[id] = append(nodes[id], node)
			}
		}
	}
	for id := range nodes {
		slices.Sort(nodes[id])
	}
	return nodes
}
