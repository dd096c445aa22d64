package ha

import (
	"cmp"
	"slices"
)

// Sort puts every list of the report into its documented order. Whoever makes a
// report calls it once, so that equal worlds are equal values.
func (r *Report) Sort() {
	slices.SortFunc(r.Mounts, func(a, b Mount) int { return cmp.Compare(a.Path, b.Path) })
	r.Watchdog.sort()
	slices.Sort(r.Corosync.Members)
	slices.SortFunc(r.Corosync.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.PeerID, b.PeerID), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(r.Corosync.Config.Nodes, func(a, b CorosyncNode) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(r.HA.Failed, func(a, b LRMResult) int { return a.SID.Compare(b.SID) })
	slices.SortFunc(r.Running, func(a, b LocalGuest) int { return a.SID.Compare(b.SID) })
	slices.SortFunc(r.GuestConfigs, func(a, b GuestConfig) int { return a.SID.Compare(b.SID) })
	slices.SortFunc(r.Failures, func(a, b ProbeFailure) int { return cmp.Compare(a.Probe, b.Probe) })
	slices.SortFunc(r.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	for _, i := range r.Interfaces {
		slices.Sort(i.Lower)
		slices.Sort(i.Physical)
		slices.Sort(i.Addresses)
	}
	slices.SortFunc(r.Units, func(a, b Unit) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Fencing.SBD.Devices, func(a, b SBDDevice) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortFunc(r.Storages, func(a, b LocalStorage) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Replications, func(a, b Replication) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(r.Ceph.Hosts, func(a, b CephHost) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Ceph.Pools, func(a, b CephPool) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(r.Ceph.Checks)
	slices.SortFunc(r.Membership.Members, func(a, b PmxcfsMember) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(r.Membership.RootKeys)
	slices.Sort(r.Membership.HostKeys)
}

func (w *Watchdog) sort() {
	slices.SortFunc(w.Devices, func(a, b WatchdogDevice) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(w.Loaded)
	slices.Sort(w.Blacklisted)
	slices.SortFunc(w.Options, func(a, b ModuleOption) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(w.Holders, func(a, b WatchdogHolder) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.PID, b.PID))
	})
}
