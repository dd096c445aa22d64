package coordinator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// The kinds of trait, each the head of a name.
const (
	traitNode     = "node "
	traitOptions  = "datacenter options"
	traitStorage  = "storage "
	traitResource = "HA resource "
	traitRule     = "HA rule "
	traitCluster  = "cluster in network.yml"
	traitTarget   = "target "
	traitVersions = "versions of "
	traitLinks    = "corosync links of "
	traitWatchdog = "watchdog of "
)

// reported are the kinds that an agent's report tells: while there is none of a node they
// are missing, which is no change.
var reported = []string{traitVersions, traitLinks, traitWatchdog}

// traits are what the cluster is built of, by name: what a verdict on it stands on. Loads,
// whereabouts, ages and states are none of it: they change on a good day.
func traits(s ha.Snapshot) []ha.Trait {
	var list []ha.Trait
	add := func(kind, name, format string, args ...any) {
		list = append(list, ha.Trait{Name: kind + name, Value: fmt.Sprintf(format, args...)})
	}
	inv := s.Inventory
	for _, n := range inv.Nodes {
		add(traitNode, string(n.Name), "id %d at %s", n.ID, cmp.Or(n.IP, "an unknown address"))
	}
	if o := inv.Options; !inv.At.IsZero() {
		add(traitOptions, "", "shutdown policy %s, %d workers, scheduler %s, rebalance %v %v",
			o.ShutdownPolicy, o.MaxWorkers, o.Scheduler, o.RebalanceOnStart, o.AutoRebalance)
	}
	for _, st := range inv.Storages {
		add(traitStorage, st.Name, "%s %s:%s at %s, shared %v, disabled %v, content %v, nodes %v",
			st.Type, st.Server, st.Export, st.Path, st.Shared, st.Disabled, sorted(st.Content), sorted(st.Nodes))
	}
	for _, r := range inv.Resources {
		add(traitResource, r.SID.String(), "%s, max_restart %d, max_relocate %d, failback %v%s",
			r.State, r.MaxRestart, r.MaxRelocate, r.Failback, strings.TrimRight(" "+r.Group, " "))
	}
	for _, r := range inv.Rules {
		add(traitRule, r.ID, "%s%s of %v, strict %v, disabled %v, nodes %v", r.Type, strings.TrimRight(" "+string(r.Affinity), " "),
			r.Resources, r.Strict, r.Disabled, r.Nodes)
	}
	for _, r := range s.Reports {
		reportTraits(r, add)
	}
	if len(s.Policy.Cluster.Nodes) > 0 {
		add(traitCluster, "", "%s", digest(s.Policy.Cluster))
	}
	for _, t := range s.Policy.Targets {
		t.VMID = 0 // not declared: converge's state says it
		add(traitTarget, t.Name, "%s", digest(t))
	}
	slices.SortFunc(list, func(a, b ha.Trait) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func reportTraits(r ha.Report, add func(kind, name, format string, args ...any)) {
	node := string(r.Node)
	if _, failed := r.Failed(ha.ProbeSystem); !failed {
		add(traitVersions, node, "pve-manager %s, pve-ha-manager %s, kernel %s", r.System.PVEVersion, r.System.PVEHAVersion, r.System.Kernel)
	}
	if _, failed := r.Failed(ha.ProbeCorosync); !failed && r.Corosync.Running {
		var links []string
		for _, l := range r.Corosync.Links {
			links = append(links, fmt.Sprintf("%d at %s", l.Number, cmp.Or(l.Local, "?")))
		}
		slices.Sort(links)
		add(traitLinks, node, "%s", strings.Join(slices.Compact(links), ", "))
	}
	if _, failed := r.Failed(ha.ProbeWatchdog); !failed {
		var devices []string
		for _, d := range r.Watchdog.Devices {
			devices = append(devices, d.Identity)
		}
		slices.Sort(devices) // their numbers change from boot to boot
		add(traitWatchdog, node, "%s, module %q, soft_noboot %v", strings.Join(devices, ", "), r.Watchdog.Module, r.Watchdog.SoftNoboot)
	}
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }

// digest is short for what nobody would read: two values of one digest are the same.
func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error() // plain values: it cannot happen, and would only differ from what was
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// drift names what a cluster is built of otherwise than it was, sorted. What is not known
// at the moment, because a node's agent said nothing, has not changed.
func drift(before, now []ha.Trait) []string {
	values := make(map[string]string, len(now))
	for _, t := range now {
		values[t.Name] = t.Value
	}
	var changed []string
	for _, t := range before {
		value, there := values[t.Name]
		delete(values, t.Name)
		switch isReported := slices.ContainsFunc(reported, func(kind string) bool { return strings.HasPrefix(t.Name, kind) }); {
		case !there && isReported:
		case !there:
			changed = append(changed, t.Name+" is gone")
		case value == t.Value:
		case strings.HasPrefix(t.Name, traitVersions):
			changed = append(changed, fmt.Sprintf("%s: %s => %s", t.Name, t.Value, value))
		default:
			changed = append(changed, t.Name+" changed")
		}
	}
	for name := range values {
		changed = append(changed, name+" is new")
	}
	slices.Sort(changed)
	return changed
}
