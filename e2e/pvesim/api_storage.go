package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

// storageText is storage.cfg.
func (f *pmxcfs) storageText() string {
	var b strings.Builder
	for _, s := range f.storages {
		fmt.Fprintf(&b, "%s: %s\n\tpath %s\n\tcontent %s\n", s.typ, s.id, s.path, strings.Join(s.content, ","))
		if s.typ == "nfs" {
			fmt.Fprintf(&b, "\tserver %s\n\texport %s\n", s.server, s.export)
		} else if s.shared {
			b.WriteString("\tshared 1\n")
		}
		if s.options != "" {
			fmt.Fprintf(&b, "\toptions %s\n", s.options)
		}
		if len(s.nodes) > 0 {
			fmt.Fprintf(&b, "\tnodes %s\n", strings.Join(s.nodes, ","))
		}
		if s.disabled {
			b.WriteString("\tdisable\n")
		}
		for _, key := range sortedKeys(s.extra) {
			fmt.Fprintf(&b, "\t%s %s\n", key, s.extra[key])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// entry is the storage as configured: what is not set is not there.
func (r *request) storageEntry(s *storage) object {
	e := object{"storage": s.id, "type": s.typ, "content": strings.Join(s.content, ","), "digest": digest(r.fs.storageText())}
	if s.path != "" {
		e["path"] = s.path
	}
	if s.typ == "nfs" {
		e["server"], e["export"] = s.server, s.export
	}
	if s.shared {
		e["shared"] = 1
	}
	if s.options != "" {
		e["options"] = s.options
	}
	if len(s.nodes) > 0 {
		e["nodes"] = strings.Join(s.nodes, ",")
	}
	if s.disabled {
		e["disable"] = 1
	}
	for key, v := range s.extra {
		e[key] = v
	}
	return e
}

func (r *request) seesStorage(s *storage) bool {
	return r.may("/storage/"+s.id, "Datastore.Audit", "Datastore.AllocateSpace")
}

func storageConfig(r *request) (any, error) {
	list := []object{}
	for _, s := range r.fs.storages {
		if r.seesStorage(s) && (!r.has("type") || r.get("type") == s.typ) {
			list = append(list, r.storageEntry(s))
		}
	}
	return list, nil
}

func storageEntry(r *request) (any, error) {
	s := r.fs.storage(r.get("storage"))
	if s == nil {
		return nil, die("storage '%s' does not exist", r.get("storage"))
	}
	return r.storageEntry(s), nil
}

// space is the storage as a node sees it now.
func (n *node) space(s *storage) object {
	o := object{
		"type": s.typ, "content": strings.Join(s.content, ","), "shared": flag(s.shared), "enabled": flag(s.on(n.name)),
		"active": 0, "total": 0, "used": 0, "avail": 0,
	}
	if n.active(s) {
		o["active"], o["total"], o["used"], o["avail"] = 1, s.size, s.used, s.size-s.used
	}
	return o
}

func nodeStorages(r *request) (any, error) {
	list := []object{}
	for _, s := range r.fs.storages {
		if !r.seesStorage(s) || !r.lists1(s) {
			continue
		}
		o := r.n.space(s)
		o["storage"] = s.id
		if o["active"] == 1 {
			o["used_fraction"] = float64(s.used) / float64(s.size)
		}
		list = append(list, o)
	}
	return list, nil
}

// lists1 applies the filters of the list of a node's storages.
func (r *request) lists1(s *storage) bool {
	switch target := r.get("target"); {
	case r.has("storage") && r.get("storage") != s.id:
	case target != "" && target != r.n.name && (!s.shared || !s.on(target) || !s.on(r.n.name)):
	case r.has("content") && !anyOf(splitList(r.get("content")), s.content):
	case r.is("enabled") && s.disabled:
	default:
		return true
	}
	return false
}

func anyOf(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func nodeStorage(r *request) (any, error) {
	s := r.fs.storage(r.get("storage"))
	if s == nil {
		return nil, invalid(map[string]string{"storage": "No such storage."})
	}
	return r.n.space(s), nil
}

// storageRows are the storages in /cluster/resources: one per storage and node.
func (r *request) storageRows() []object {
	var list []object
	for _, s := range r.fs.storages {
		if !r.seesStorage(s) || s.disabled {
			continue
		}
		for _, n := range r.peers() {
			if !s.on(n.name) {
				continue
			}
			row := object{
				"id": "storage/" + n.name + "/" + s.id, "type": "storage", "storage": s.id, "node": n.name, "shared": flag(s.shared),
				"content": strings.Join(s.content, ","), "plugintype": s.typ, "status": "unknown",
			}
			if stat, known := r.nodeStat(n); known && slices.Contains(stat.storages, s.id) {
				row["status"], row["disk"], row["maxdisk"] = "available", s.used, s.size
			}
			list = append(list, row)
		}
	}
	return list
}
