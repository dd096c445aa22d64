package probe

import (
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

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

// readStorages reads who shares what from storage.cfg.
func readStorages(h Host) (sharing, error) {
	data, err := optional(h, storageConf)
	if err != nil {
		return sharing{}, err
	}
	return parseStorages(string(data)), nil
}

const storageConf = "etc/pve/storage.cfg"

// parseStorages reads who shares what. A cluster without a storage.cfg has the storage that
// Proxmox assumes.
func parseStorages(text string) sharing {
	storages := sharing{"local": shareLocal}
	for _, s := range parseStorageConf(text) {
		storages[s.Name] = shareLocal
		if s.Shared {
			storages[s.Name] = shareShared
		}
	}
	return storages
}

// section is a section of a configuration of Proxmox's: "TYPE: NAME", then indented settings.
type section struct {
	kind, name string
	settings   map[string]string
}

// parseSections reads the files that are made of such sections. A setting without a value is
// a flag that is on.
func parseSections(text string) []section {
	var list []section
	for line := range strings.Lines(text) {
		indented := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case !indented:
			kind, name, ok := strings.Cut(line, ":")
			if ok && strings.TrimSpace(name) != "" {
				list = append(list, section{strings.TrimSpace(kind), strings.TrimSpace(name), map[string]string{}})
			} else { // settings that follow belong to nothing we know
				list = append(list, section{})
			}
		case len(list) > 0 && list[len(list)-1].settings != nil:
			key, value, hasValue := strings.Cut(line, " ")
			if value = strings.TrimSpace(value); !hasValue || value == "" {
				value = "1"
			}
			list[len(list)-1].settings[key] = value
		}
	}
	known := list[:0]
	for _, s := range list {
		if s.settings != nil {
			known = append(known, s)
		}
	}
	return known
}

// parseStorageConf reads storage.cfg. Of each kind of storage the server and what it exports
// have names of their own.
func parseStorageConf(text string) []ha.LocalStorage {
	var list []ha.LocalStorage
	for _, s := range parseSections(text) {
		first := func(keys ...string) string {
			for _, key := range keys {
				if value := s.settings[key]; value != "" {
					return value
				}
			}
			return ""
		}
		l := ha.LocalStorage{
			Name: s.name, Type: s.kind, Path: s.settings["path"],
			Shared:       alwaysShared(s.kind) || s.settings["shared"] == "1",
			Disabled:     s.settings["disable"] == "1",
			Content:      words(s.settings["content"]),
			Server:       first("server", "portal", "monhost"),
			Export:       first("export", "share", "target", "volume", "datastore", "pool", "vgname"),
			IsMountpoint: s.settings["is_mountpoint"] != "" && s.settings["is_mountpoint"] != "0" && s.settings["is_mountpoint"] != "no",
		}
		for _, node := range words(s.settings["nodes"]) {
			l.Nodes = append(l.Nodes, ha.NodeName(node))
		}
		switch s.kind {
		case "nfs", "cifs", "cephfs", "glusterfs":
			if l.Path == "" {
				l.Path = "/mnt/pve/" + s.name
			}
		}
		list = append(list, l)
	}
	return list
}

// words splits a list of Proxmox's: by commas, semicolons or blanks.
func words(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
}

// alwaysShared reports whether storages of a type are on the network by nature.
func alwaysShared(kind string) bool {
	switch kind {
	case "nfs", "cifs", "glusterfs", "cephfs", "rbd", "iscsi", "iscsidirect", "zfs", "pbs", "esxi":
		return true
	}
	return false
}
