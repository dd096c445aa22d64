package pvesim

import (
	"cmp"
	"maps"
	"slices"
)

// Where a service should run (pve-ha-manager 5.2.0, basic scheduler).

type preference int

const (
	preferNone preference = iota // stay unless there is a reason to go
	preferBest                   // the least loaded
	preferNext                   // another one than those that failed
)

// counted says on which nodes a service weighs and is felt by its peers: where it is, and
// where it is going.
func (sd *service) counted() (current, target string) {
	switch sd.state {
	case "stopped", "request_start":
		return "", ""
	case "migrate", "relocate":
		return sd.node, sd.target
	}
	return sd.node, ""
}

func (m *manager) count(sd *service, by int) {
	current, target := sd.counted()
	for _, n := range []string{current, target} {
		if n != "" {
			m.usage[n] += by
		}
	}
}

// buildUsage counts the services of each node, and the running guests HA does not manage.
func (m *manager) buildUsage() {
	m.usage = map[string]int{}
	for _, sd := range m.ms.services {
		m.count(sd, +1)
	}
	for id, s := range m.n.fs.guestStats {
		g := m.n.fs.guests[id]
		if s.running && g != nil && m.ms.services[g.sid()] == nil {
			m.usage[g.node]++
		}
	}
}

// online are the nodes that may be chosen.
func (m *manager) online() map[string]bool {
	set := map[string]bool{}
	for n, state := range m.ms.nodes {
		if state == "online" {
			set[n] = true
		}
	}
	return set
}

// choose selects a node for a service; empty if there is none.
func (m *manager) choose(sid string, sd *service, want preference) string {
	if want == preferNone && sd.maintenance == "" && m.ms.nodes[sd.node] == "online" && m.rules.free(sid) {
		return sd.node // what the rest comes to for most services in most passes
	}
	online := m.online()
	allowed, pref := m.rules.nodes(sid, online)
	if len(pref) == 0 {
		return ""
	}
	together, separate := m.peers(sid, online)
	r := m.n.fs.resource(sid)
	if want == preferNone && r != nil && !r.failback() && allowed[sd.node] &&
		(together[sd.node] > 0 || !separate[sd.node]) {
		return sd.node
	}
	if want == preferNext {
		for _, n := range sd.failed {
			delete(pref, n)
		}
	}
	for n := range separate {
		delete(pref, n)
	}
	m.gather(pref, together)
	if sd.maintenance != "" && pref[sd.maintenance] {
		return sd.maintenance
	}
	if want == preferNone && pref[sd.node] {
		return sd.node
	}
	list := slices.SortedFunc(maps.Keys(pref), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.usage[a], m.usage[b]), cmp.Compare(a, b))
	})
	if at := slices.Index(list, sd.node); want == preferNext && at >= 0 && at+1 < len(list) {
		return list[at+1]
	}
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// gather leaves in pref only the node with most of a service's positive peers.
func (m *manager) gather(pref map[string]bool, together map[string]int) {
	best := ""
	for _, n := range slices.Sorted(maps.Keys(together)) {
		if pref[n] && (best == "" || together[n] > together[best]) {
			best = n
		}
	}
	if best == "" {
		return
	}
	clear(pref)
	pref[best] = true
}

// peers are the nodes that positive peers of a service are on or going to, and those that
// negative peers keep it from.
func (m *manager) peers(sid string, online map[string]bool) (together map[string]int, separate map[string]bool) {
	together, separate = map[string]int{}, map[string]bool{}
	for _, peer := range m.rules.positive[sid] {
		if p := m.ms.services[peer]; p != nil {
			current, target := p.counted()
			if n := cmp.Or(target, current); online[n] {
				together[n]++
			}
		}
	}
	for _, peer := range m.rules.negative[sid] {
		if p := m.ms.services[peer]; p != nil {
			current, target := p.counted()
			for _, n := range []string{current, target} {
				if online[n] {
					separate[n] = true
				}
			}
		}
	}
	return together, separate
}
