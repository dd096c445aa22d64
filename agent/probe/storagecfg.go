package probe

import "strings"

// share says whether a storage holds the same on every node.
type share int

const (
	shareUnknown share = iota // storage.cfg does not mention it, or could not be read
	shareLocal
	shareShared
)

// sharing is what storage.cfg says of each storage. Proxmox believes it and so do we: the
// coordinator judges the storages, here they only tell a CD image that is everywhere from
// one that is not.
type sharing map[string]share

func (s sharing) of(storage string) share { return s[storage] }

// readStorages reads storage.cfg. A cluster without one has the storages Proxmox assumes.
func readStorages(h Host) (sharing, error) {
	data, err := optional(h, "etc/pve/storage.cfg")
	if err != nil {
		return sharing{}, err
	}
	return parseStorages(string(data)), nil
}

// parseStorages reads the sections of storage.cfg: "TYPE: NAME", then indented settings.
func parseStorages(text string) sharing {
	storages := sharing{"local": shareLocal}
	name := ""
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case !indented:
			kind, id, ok := strings.Cut(line, ":")
			name = strings.TrimSpace(id)
			if ok && name != "" {
				storages[name] = shareLocal
				if alwaysShared(kind) {
					storages[name] = shareShared
				}
			}
		case name != "":
			key, value, _ := strings.Cut(line, " ")
			if key == "shared" && strings.TrimSpace(value) == "1" {
				storages[name] = shareShared
			}
		}
	}
	return storages
}

// alwaysShared reports whether storages of a type are on the network by nature.
func alwaysShared(kind string) bool {
	switch kind {
	case "nfs", "cifs", "glusterfs", "cephfs", "rbd", "iscsi", "iscsidirect", "zfs", "pbs", "esxi":
		return true
	}
	return false
}
