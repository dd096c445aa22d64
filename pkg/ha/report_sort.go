package ha

import (
	"cmp"
	"slices"
)

// Sort puts every list of the report into its documented order. Whoever makes a
// report calls it once, so that equal worlds are equal values.
func (r *Report) Sort() {
	arrange(r.Mounts, func(a, b Mount) int { return cmp.Compare(a.Path, b.Path) })
	r.Watchdog.sort()
	slices.Sort(r.Corosync.Members)
	arrange(r.Corosync.Links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.PeerID, b.PeerID), cmp.Compare(a.Number, b.Number))
	})
	arrange(r.Corosync.Config.Nodes, func(a, b CorosyncNode) int { return cmp.Compare(a.ID, b.ID) })
	arrange(r.HA.Failed, func(a, b LRMResult) int { return a.SID.Compare(b.SID) })
	arrange(r.Running, func(a, b LocalGuest) int { return a.SID.Compare(b.SID) })
	arrange(r.GuestConfigs, func(a, b GuestConfig) int { return a.SID.Compare(b.SID) })
	arrange(r.Failures, func(a, b ProbeFailure) int { return cmp.Compare(a.Probe, b.Probe) })
	arrange(r.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	for _, i := range r.Interfaces {
		slices.Sort(i.Lower)
		slices.Sort(i.Physical)
		slices.Sort(i.Addresses)
	}
	arrange(r.Units, func(a, b Unit) int { return cmp.Compare(a.Name, b.Name) })
	arrange(r.Fencing.SBD.Devices, func(a, b SBDDevice) int { return cmp.Compare(a.Path, b.Path) })
	arrange(r.Storages, func(a, b LocalStorage) int { return cmp.Compare(a.Name, b.Name) })
	arrange(r.Replications, func(a, b Replication) int { return cmp.Compare(a.ID, b.ID) })
	arrange(r.Ceph.Hosts, func(a, b CephHost) int { return cmp.Compare(a.Name, b.Name) })
	arrange(r.Ceph.Pools, func(a, b CephPool) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(r.Ceph.Checks)
	arrange(r.Membership.Members, func(a, b PmxcfsMember) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(r.Membership.RootKeys)
	slices.Sort(r.Membership.HostKeys)
}

func (w *Watchdog) sort() {
	arrange(w.Devices, func(a, b WatchdogDevice) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(w.Loaded)
	slices.Sort(w.Blacklisted)
	arrange(w.Options, func(a, b ModuleOption) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Name, b.Name))
	})
	arrange(w.Holders, func(a, b WatchdogHolder) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.PID, b.PID))
	})
}

// arrange sorts a list in place. Reports are sorted every round on every node, and mostly
// are sorted already. What is sorted is the order of the elements, not the elements:
// slices.SortFunc is compiled anew for every type of element, and a report has twenty.
func arrange[T any](list []T, compare func(a, b T) int) {
	if slices.IsSortedFunc(list, compare) {
		return
	}
	order := make([]int, len(list))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(compare(list[a], list[b]), a-b) })
	sorted := make([]T, len(list))
	for k, from := range order {
		sorted[k] = list[from]
	}
	copy(list, sorted)
}
