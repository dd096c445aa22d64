package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the declared storage as Proxmox has it.
const (
	StorageNotRegistered ha.Code = "STORAGE_NOT_REGISTERED"
	StorageNotShared     ha.Code = "STORAGE_NOT_SHARED"
	StorageContent       ha.Code = "STORAGE_CONTENT"
	StorageNotAvailable  ha.Code = "STORAGE_NOT_AVAILABLE"
)

var storageCauses = []ha.Code{APINotAnswering, StorageNotRegistered}

var storageChecks = []Check{
	{Code: StorageNotRegistered, Title: "the shared storage is registered in Proxmox", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: []ha.Code{APINotAnswering}, parts: []string{partStorages}, cluster: storageNotRegistered},
	{Code: StorageNotShared, Title: "Proxmox knows that the storage is shared", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: storageCauses, parts: []string{partStorages}, cluster: storageNotShared},
	{Code: StorageContent, Title: "the shared storage takes guests' disks", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: storageCauses, parts: []string{partStorages}, cluster: storageContent},
	{Code: StorageNotAvailable, Title: "the shared storage is available on the node", Minimum: ha.Fail, Production: ha.Fail, Settle: slowSettle,
		DependsOn: after(storageCauses, NodeNotMember, NodeOffline, NFSNotMounted, NFSNotAnswering),
		parts:     []string{partStorages, partNodes}, cluster: storageNotAvailable},
}

// registered finds the Proxmox storage that is the declared one. It goes by what it is,
// not by its name, which the project does not say.
func (w *world) registered() (ha.Storage, bool) {
	st := w.policy.Cluster.Storage
	k := slices.IndexFunc(w.s.Inventory.Storages, func(s ha.Storage) bool {
		return s.Type == st.Type && s.Server == st.Server && path.Clean(s.Export) == path.Clean(st.Export) && path.Clean(s.Path) == path.Clean(st.Mount)
	})
	if k < 0 {
		return ha.Storage{}, false
	}
	return w.s.Inventory.Storages[k], true
}

// judgeStorage judges the declared storage, if there is one.
func (w *world) judgeStorage(judge func(ha.Storage) verdict) []verdict {
	if w.policy.Cluster.Storage == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	s, ok := w.registered()
	if !ok {
		return []verdict{unknown(clusterSubject, "the declared storage is not registered")}
	}
	v := judge(s)
	v.subject = clusterSubject
	return []verdict{v}
}

func storageNotRegistered(w *world) []verdict {
	st := w.policy.Cluster.Storage
	if st == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	if s, ok := w.registered(); ok {
		return []verdict{pass(clusterSubject, "storage %s", s.Name)}
	}
	evidence := fmt.Sprintf("no storage of type %s is %s:%s on %s", st.Type, st.Server, st.Export, st.Mount)
	for _, s := range w.s.Inventory.Storages {
		if s.Server == st.Server && path.Clean(s.Export) == path.Clean(st.Export) {
			evidence = fmt.Sprintf("storage %s is that export, but on %s instead of %s", s.Name, s.Path, st.Mount)
		}
	}
	options := ""
	if st.Options != "" {
		options = " --options " + st.Options
	}
	return []verdict{broken(clusterSubject, evidence, fmt.Sprintf("pvesm add %s NAME --server %s --export %s --path %s --content images,rootdir%s",
		st.Type, st.Server, st.Export, st.Mount, options))}
}

func storageNotShared(w *world) []verdict {
	return w.judgeStorage(func(s ha.Storage) verdict {
		if !s.Shared {
			return broken("", fmt.Sprintf("storage %s is not marked shared: Proxmox copies disks when a guest moves, and cannot recover it", s.Name),
				fmt.Sprintf("pvesm set %s --shared 1", s.Name))
		}
		return pass("", "storage %s", s.Name)
	})
}

// contentOf is the kind of content a target's disk is to Proxmox.
func contentOf(t ha.TargetType) string {
	if t == ha.TargetLXC {
		return "rootdir"
	}
	return "images"
}

// storageContent asks for what the targets need: images for VMs, rootdir for containers.
func storageContent(w *world) []verdict {
	return w.judgeStorage(func(s ha.Storage) verdict {
		var missing []string
		for _, m := range w.targets {
			if c := contentOf(m.Type); !slices.Contains(s.Content, c) && !slices.Contains(missing, c) {
				missing = append(missing, c)
			}
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			return broken("", fmt.Sprintf("storage %s does not take %s", s.Name, joined(missing)),
				fmt.Sprintf("pvesm set %s --content %s", s.Name, strings.Join(slices.Concat(s.Content, missing), ",")))
		}
		return pass("", "storage %s takes %s", s.Name, joined(s.Content))
	})
}

func storageNotAvailable(w *world) []verdict {
	if w.policy.Cluster.Storage == nil {
		return []verdict{skip(clusterSubject, "no shared storage is declared")}
	}
	s, ok := w.registered()
	if !ok {
		return []verdict{unknown(clusterSubject, "the declared storage is not registered")}
	}
	var list []verdict
	for _, name := range w.nodes {
		subject := string(name)
		told := slices.ContainsFunc(s.On, func(on ha.StorageOn) bool { return on.Node == name })
		switch {
		case s.Disabled:
			list = append(list, broken(subject, fmt.Sprintf("storage %s is disabled", s.Name), fmt.Sprintf("pvesm set %s --disable 0", s.Name)))
		case !s.Offers(name):
			list = append(list, broken(subject, fmt.Sprintf("storage %s is restricted to other nodes", s.Name),
				fmt.Sprintf("pvesm set %s --delete nodes", s.Name)))
		case !told:
			list = append(list, unknown(subject, "the API does not tell the state of storage %s here", s.Name))
		case !s.AvailableOn(name):
			list = append(list, broken(subject, fmt.Sprintf("Proxmox cannot use storage %s here", s.Name),
				fmt.Sprintf("on %s: pvesm status; systemctl status pvestatd", name)))
		default:
			list = append(list, pass(subject, "storage %s", s.Name))
		}
	}
	return list
}
