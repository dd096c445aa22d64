package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// Codes of the checks on the guests of HA targets: could they run elsewhere?
const (
	TargetNotFound           ha.Code = "TARGET_NOT_FOUND"
	TargetWrongType          ha.Code = "TARGET_WRONG_TYPE"
	TargetDiskLocal          ha.Code = "TARGET_DISK_LOCAL"
	TargetDiskUnavailable    ha.Code = "TARGET_DISK_UNAVAILABLE"
	TargetLocalResource      ha.Code = "TARGET_LOCAL_RESOURCE"
	TargetLocked             ha.Code = "TARGET_LOCKED"
	TargetSnapshots          ha.Code = "TARGET_SNAPSHOTS"
	TargetNotOnPreferredNode ha.Code = "TARGET_NOT_ON_PREFERRED_NODE"

	migrateLock = "migrate"
)

var (
	inventoryCauses = []ha.Code{APINotAnswering, ClusterStandalone}
	targetCauses    = after(inventoryCauses, TargetNotFound)
	configCauses    = after(targetCauses, NodeOffline, AgentSilent) // of the node it lies on
	guestParts      = []string{partGuests}
)

var guestChecks = []Check{
	{Code: TargetNotFound, Title: "the target is one guest", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: inventoryCauses, parts: guestParts, target: targetNotFound},
	{Code: TargetWrongType, Title: "the guest is of the declared type", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: targetCauses, parts: guestParts, target: targetWrongType},
	{Code: TargetDiskLocal, Title: "the guest's disks are on shared storage", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: configCauses, parts: []string{partGuests, partStorages}, target: targetDiskLocal},
	{Code: TargetDiskUnavailable, Title: "the guest's disks can be reached from every node it may run on", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: after(configCauses, TargetDiskLocal), parts: []string{partGuests, partStorages, partNodes}, target: targetDiskUnavailable},
	{Code: TargetLocalResource, Title: "nothing binds the guest to its node", Minimum: ha.Fail, Production: ha.Fail,
		DependsOn: configCauses, parts: guestParts, target: targetLocalResource},
	{Code: TargetLocked, Title: "the guest's configuration is not locked", Minimum: ha.Warn, Production: ha.Warn,
		DependsOn: configCauses, parts: guestParts, target: targetLocked},
	{Code: TargetSnapshots, Title: "the guest has no snapshots", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: configCauses, parts: guestParts, target: targetSnapshots},
	{Code: TargetNotOnPreferredNode, Title: "the guest is on its preferred node", Minimum: ha.Notice, Production: ha.Notice,
		DependsOn: targetCauses, parts: guestParts, target: targetNotOnPreferredNode},
}

// config finds the guest's configuration in the report of the node it lies on, or an
// UNKNOWN to answer with.
func (w *world) config(m managed) (c ha.GuestConfig, v verdict, ok bool) {
	if m.err != nil {
		return c, unknown("", "%v", m.err), false
	}
	r, why, ok := w.answered(m.guest.Node, ha.ProbeGuestConfigs)
	if ok {
		if c, ok = r.GuestConfig(m.guest.SID); ok {
			return c, verdict{}, true
		}
		why = fmt.Sprintf("the agent on %s does not see the configuration of %s", m.guest.Node, m.guest.SID)
	}
	v = unknown("", "%s", why)
	v.on = m.guest.Node
	return c, v, false
}

// allowedNodes are the nodes a target may run on: the named ones if it is strict, else
// every member.
func (w *world) allowedNodes(m managed) []ha.NodeName {
	if m.Options.Strict && len(m.Options.Nodes) > 0 {
		return m.Options.Nodes
	}
	return w.nodes
}

func targetNotFound(_ *world, m managed) verdict {
	if m.err != nil {
		return broken("", m.err.Error(), "create the guest with that name, or name its VMID in .psw/converge/state.yml")
	}
	return pass("", "%s on %s", m.guest.SID, m.guest.Node)
}

func targetWrongType(_ *world, m managed) verdict {
	if m.err != nil {
		return unknown("", "%v", m.err)
	}
	if (m.Type == ha.TargetLXC) != (m.guest.SID.Kind == ha.CT) {
		return broken("", fmt.Sprintf("network.yml declares type %s, but the guest is %s", m.Type, m.guest.SID),
			"correct type: in network.yml, or the VMID in .psw/converge/state.yml")
	}
	return pass("", "%s", m.guest.SID)
}

func targetDiskLocal(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	if !ok {
		return v
	}
	if len(c.Storages) == 0 {
		return pass("", "%s has no disk", m.guest.SID)
	}
	var local []string
	zfs := true // what is local can be replicated
	for _, name := range c.Storages {
		s, ok := w.s.Inventory.Storage(name)
		if !ok {
			return unknown("", "the API tells nothing of storage %s, which %s uses", name, m.guest.SID)
		}
		if !s.Shared {
			local = append(local, fmt.Sprintf("%s (%s)", name, s.Type))
			zfs = zfs && s.Type == "zfspool"
		}
	}
	if len(local) > 0 && zfs {
		switch jobs, v, ok := w.replications(m); {
		case !ok:
			return v
		case len(jobs) > 0:
			return pass("", "%s, replicated by %s", joined(local), number(len(jobs), "job"))
		}
	}
	if len(local) > 0 {
		return broken("", fmt.Sprintf("%s has a disk on %s: if %s dies, the disk dies with it, and the guest is started nowhere", m.guest.SID, joined(local), m.guest.Node),
			fmt.Sprintf("%s %d DISK STORAGE for each such disk, to one that every node reaches: Ceph RBD, NFS, iSCSI or GlusterFS; for a ZFS pool, replicate it: pvesr create-local-job %d-0 NODE",
				diskMove(m.guest.SID), m.guest.SID.ID, m.guest.SID.ID))
	}
	return pass("", "%s", joined(c.Storages))
}

func diskMove(sid ha.SID) string {
	if sid.Kind == ha.CT {
		return "pct move-volume"
	}
	return "qm disk move"
}

// targetDiskUnavailable: the HA manager starts a guest without asking whether the node
// reaches its disks (pve-ha-manager 5.2.0; series2 recordings, surprise 10).
func targetDiskUnavailable(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	if !ok {
		return v
	}
	allowed := w.allowedNodes(m)
	var missing []string
	for _, name := range c.Storages {
		if _, ok := w.s.Inventory.Storage(name); !ok {
			return unknown("", "the API tells nothing of storage %s, which %s uses", name, m.guest.SID)
		}
		for _, node := range w.unreachable[name] {
			if slices.Contains(allowed, node) {
				missing = append(missing, fmt.Sprintf("%s on %s", name, node))
			}
		}
	}
	if len(missing) > 0 {
		return broken("", fmt.Sprintf("not available: %s; the HA manager does not look before it starts %s there", joined(missing), m.guest.SID),
			"make the storage available there (pvesm status), or restrict the target: ha_options: {nodes: [...], strict: true}")
	}
	return pass("", "%s on %s", joined(c.Storages), number(len(allowed), "node"))
}

func targetLocalResource(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	if !ok {
		return v
	}
	if len(c.Local) > 0 {
		return broken("", fmt.Sprintf("%s: %s", m.guest.SID, strings.Join(c.Local, "; ")),
			"remove it, use a resource mapping or shared=1 where every node really has it, or take ha: true away")
	}
	return pass("", "%s uses nothing of its node", m.guest.SID)
}

func targetLocked(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	if !ok {
		return v
	}
	switch c.Lock {
	case "":
		return pass("", "%s", m.guest.SID)
	case migrateLock:
		return passing("", "%s is being migrated", m.guest.SID)
	}
	return broken("", fmt.Sprintf("%s has the lock %q: it cannot be moved while it lasts", m.guest.SID, c.Lock),
		fmt.Sprintf("wait for the task that holds it; if there is none: %s unlock %d", tool(m.guest.SID), m.guest.SID.ID))
}

func targetSnapshots(w *world, m managed) verdict {
	c, v, ok := w.config(m)
	switch {
	case !ok:
		return v
	case c.Snapshots > 0:
		return broken("", fmt.Sprintf("%s has %d: they keep disks from being moved to another storage, and a container from some migrations", m.guest.SID, c.Snapshots),
			"delete what is no longer needed; a snapshot is no backup")
	}
	return pass("", "%s", m.guest.SID)
}

func targetNotOnPreferredNode(w *world, m managed) verdict {
	switch {
	case m.err != nil:
		return unknown("", "%v", m.err)
	case m.Node == "" || m.guest.Node == m.Node:
		return pass("", "%s on %s", m.guest.SID, m.guest.Node)
	}
	remedy := fmt.Sprintf("when it suits: psw -C DIR ha move %s %s, or psw -C DIR ha rebalance for all; by hand: ha-manager migrate %s %s", m.Name, m.Node, m.guest.SID, m.Node)
	if _, open := w.s.OpenMaintenance(m.Node); open {
		remedy = fmt.Sprintf("it comes home with psw -C DIR maintenance end %s", m.Node)
	}
	v := broken("", fmt.Sprintf("%s is on %s, network.yml prefers %s", m.guest.SID, m.guest.Node, m.Node), remedy)
	if !slices.Contains(w.nodes, m.Node) {
		v.remedy = fmt.Sprintf("%s is no member of the cluster: correct node: in network.yml", m.Node)
	}
	return v
}
