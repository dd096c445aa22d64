package pvesim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/casaeureka/psw-ha/pkg/crm"
)

// GroupSpec is an entry of /etc/pve/ha/groups.cfg, as a cluster has it that comes from PVE 8.
// The manager turns groups into rules once all nodes are online and their LRMs are active.
type GroupSpec struct {
	ID string
	// Nodes are name or name:priority.
	Nodes      []string
	Restricted bool
	NoFailback bool
	Comment    string
}

func (f *pmxcfs) addGroup(s GroupSpec) {
	f.groups = append(f.groups, crm.Group{
		ID: s.ID, Nodes: parseNodes(strings.Join(s.Nodes, ",")), Restricted: s.Restricted, NoFailback: s.NoFailback, Comment: s.Comment,
	})
}

// groupsText is groups.cfg.
func (f *pmxcfs) groupsText() string {
	var b strings.Builder
	for k, g := range f.groups {
		if k > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "group: %s\n", g.ID)
		if g.Comment != "" {
			fmt.Fprintf(&b, "\tcomment %s\n", g.Comment)
		}
		fmt.Fprintf(&b, "\tnodes %s\n", nodesText(g.Nodes))
		if g.NoFailback {
			b.WriteString("\tnofailback 1\n")
		}
		if g.Restricted {
			b.WriteString("\trestricted 1\n")
		}
	}
	return b.String()
}

// replaceGroups is the end of the groups: rules take their place.
func (f *pmxcfs) replaceGroups(rules []crm.Rule, services []crm.Service) {
	for _, r := range rules {
		if f.rule(r.ID) == nil {
			f.rules = append(f.rules, ruleOf(r))
		}
	}
	for _, s := range services {
		r := f.resource(s.SID)
		delete(r.opts, "group")
		if !s.Failback {
			r.opts["failback"] = "0"
		}
	}
	f.groups = nil
	f.resourcesChanged()
	f.rulesChanged()
}

// resourcesChanged says that the HA resources, or the node of a guest, have changed.
func (f *pmxcfs) resourcesChanged() {
	f.services = nil
	f.resourceChanges++
}

// rulesChanged says that the HA rules have changed.
func (f *pmxcfs) rulesChanged() {
	f.model = nil
	f.ruleChanges++
}

// haConfig is the HA configuration as the daemons read it. The list of services is the same
// one until something changes.
func (f *pmxcfs) haConfig() crm.Config {
	if f.services == nil {
		f.services = make([]crm.Service, 0, len(f.resources))
		for _, r := range f.resources {
			if g := f.guestBySID(r.sid); g != nil {
				f.services = append(f.services, crm.Service{
					SID: r.sid, Node: g.node, State: r.request(), MaxRestart: r.maxRestart(), MaxRelocate: r.maxRelocate(),
					Failback: r.failback(), Group: r.opts["group"],
				})
			}
		}
		slices.SortFunc(f.services, func(a, b crm.Service) int { return compareSID(a.SID, b.SID) })
	}
	c := crm.Config{Services: f.services, Rules: f.modelRules(), Groups: f.groups, Datacenter: f.haOptions()}
	c.RulesDigest = strconv.Itoa(f.ruleChanges)
	if len(f.groups) > 0 {
		c.GroupsDigest, c.ServicesDigest = "groups", strconv.Itoa(f.resourceChanges)
	}
	return c
}

// modelRules are the rules as the manager's model has them.
func (f *pmxcfs) modelRules() []crm.Rule {
	if f.model == nil {
		f.model = modelRules(f.rules)
	}
	return f.model
}

// haOptions are the lines of datacenter.cfg that HA reads. Threshold and margin are read as
// they are written, though the documentation means percent: pve-ha-manager 5.2.0 takes 30
// for thirty times as much, and so never rebalances.
func (f *pmxcfs) haOptions() crm.Datacenter {
	o := crm.DefaultDatacenter()
	if n := atoi(f.datacenter["max_workers"]); n > 0 {
		o.MaxWorkers = n
	}
	o.ShutdownPolicy = cmp.Or(properties(f.datacenter["ha"], "")["shutdown_policy"], o.ShutdownPolicy)
	crs := properties(f.datacenter["crs"], "ha")
	float := func(key string, missing float64) float64 {
		v, err := strconv.ParseFloat(crs["ha-auto-rebalance"+key], 64)
		if err != nil {
			return missing
		}
		return v
	}
	o.Scheduler = cmp.Or(crs["ha"], o.Scheduler)
	o.RebalanceOnStart, o.AutoRebalance = crs["ha-rebalance-on-start"] == "1", crs["ha-auto-rebalance"] == "1"
	o.Threshold, o.Margin = float("-threshold", o.Threshold), float("-margin", o.Margin)
	o.Hold = int(float("-hold-duration", float64(o.Hold)))
	o.Method = cmp.Or(crs["ha-auto-rebalance-method"], o.Method)
	return o
}

// properties reads a line of comma separated key=value pairs; a value alone belongs to main.
func properties(line, main string) map[string]string {
	m := map[string]string{}
	for item := range strings.SplitSeq(line, ",") {
		key, val, ok := strings.Cut(item, "=")
		if !ok {
			key, val = main, item
		}
		m[key] = val
	}
	return m
}

// usage is what the schedulers know of loads and sizes on this node: what pvestatd of each
// node has broadcast, and the guests' configurations.
func (n *node) usage() crm.Usage {
	fs := n.fs
	u := crm.Usage{Nodes: map[string]crm.NodeUsage{}, Services: map[string]crm.GuestUsage{}}
	for _, o := range n.peers() {
		if s, ok := fs.nodeStats[o.name]; ok {
			cpus := float64(o.spec.CPUs)
			u.Nodes[o.name] = crm.NodeUsage{CPUs: cpus, Memory: float64(o.spec.Memory), CPUUsed: s.cpu * cpus, MemoryUsed: float64(s.mem)}
		}
	}
	sized := fs.haOptions().Scheduler != "basic"
	for id, g := range fs.guests {
		s := fs.guestStats[id]
		r := fs.resource(g.sid())
		managed := r != nil && r.request() != "ignored"
		switch {
		case managed && sized:
			u.Services[g.sid()] = g.usage(s)
		case !managed && s.running:
			u.Others = append(u.Others, crm.OtherGuest{SID: g.sid(), Node: g.node, GuestUsage: g.usage(s)})
		}
	}
	slices.SortFunc(u.Others, func(a, b crm.OtherGuest) int { return compareSID(a.SID, b.SID) })
	return u
}

// usage is a guest's size and load. A container without a limit has no size of its own.
func (g *guestConf) usage(s guestStat) crm.GuestUsage {
	u := crm.GuestUsage{MaxCPU: g.cpus(nil), MaxMemory: float64(g.memory())}
	if s.running {
		u.CPU, u.Memory = guestLoad, float64(s.mem)
	}
	return u
}
