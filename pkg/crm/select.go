package crm

import (
	"cmp"
	"maps"
	"slices"
)

// preference is what a selection is for.
type preference int

const (
	preferNone preference = iota // keep it where it is if that is as good
	bestScore                    // a start or a recovery: the best node
	tryNext                      // after a failed start: a node not tried yet
)

// affinity is where a service may be: all nodes it may be on, and the best class of them.
func (m *manager) affinity(sid string) (allowed, best map[string]bool) {
	rule, bound := m.compiled.nodes[sid]
	if !bound {
		all := make(map[string]bool)
		for _, n := range m.usage.nodes() {
			all[n] = true
		}
		return all, maps.Clone(all)
	}
	allowed, best = make(map[string]bool), make(map[string]bool)
	highest, any := 0, false
	for _, n := range m.usage.nodes() {
		prio, may := rule.class(n)
		if !may {
			continue
		}
		allowed[n] = true
		if !any || prio > highest {
			highest, any = prio, true
		}
	}
	for n := range allowed {
		if prio, _ := rule.class(n); prio == highest {
			best[n] = true
		}
	}
	return allowed, best
}

// counted returns the nodes on which a service in this state counts, for load and for
// resource affinity.
func counted(s ServiceStatus) (current, target string) {
	switch s.State {
	case Started, RequestStop, Fence, Freeze, ErrorState, Recovery:
		return s.Node, ""
	case Migrate, Relocate:
		return s.Node, s.Target
	case RequestStartBalance:
		return "", s.Target
	}
	return "", ""
}

// peers tells how many positive peers are on each online node, and on which nodes negative
// peers are or are going to be.
func (m *manager) peers(sid string) (together map[string]int, separate map[string]bool) {
	together, separate = make(map[string]int), make(map[string]bool)
	for peer := range m.compiled.together[sid] {
		s, known := m.status.Services[peer]
		if !known {
			continue
		}
		current, target := counted(s)
		if n := cmp.Or(target, current); n != "" && m.usage.knows(n) {
			together[n]++
		}
	}
	for peer := range m.compiled.apart[sid] {
		s, known := m.status.Services[peer]
		if !known {
			continue
		}
		current, target := counted(s)
		for _, n := range []string{current, target} {
			if n != "" && m.usage.knows(n) {
				separate[n] = true
			}
		}
	}
	return together, separate
}

// stays tells at once of the ordinary case, a service that is where it may and should be:
// in the best class of nodes, with no peers to follow or to leave and nowhere to return to.
func (m *manager) stays(sid string, sd ServiceStatus) bool {
	if sd.MaintenanceNode != "" || !m.usage.knows(sd.Node) || len(m.compiled.together[sid]) > 0 {
		return false
	}
	if rule, bound := m.compiled.nodes[sid]; bound {
		own, allowed := rule.class(sd.Node)
		if !allowed {
			return false
		}
		for n, prio := range rule.priority {
			if prio > own && m.usage.knows(n) {
				return false
			}
		}
	}
	for peer := range m.compiled.apart[sid] {
		if s, known := m.status.Services[peer]; known {
			if current, target := counted(s); current == sd.Node || target == sd.Node {
				return false
			}
		}
	}
	return true
}

// selectNode chooses a node for a service; "" if there is none.
func (m *manager) selectNode(sid string, cd Service, sd ServiceStatus, p preference) string {
	if p == preferNone && m.stays(sid, sd) {
		return sd.Node
	}
	allowed, best := m.affinity(sid)
	if len(best) == 0 {
		return ""
	}
	together, separate := m.peers(sid)
	if p == preferNone && !cd.Failback && allowed[sd.Node] && (together[sd.Node] > 0 || !separate[sd.Node]) {
		return sd.Node
	}
	if p == tryNext {
		for _, n := range sd.FailedNodes {
			delete(best, n)
		}
	}
	for n := range separate {
		delete(best, n)
	}
	keepTogether(best, together)
	if sd.MaintenanceNode != "" && best[sd.MaintenanceNode] {
		return sd.MaintenanceNode
	}
	if p == preferNone && best[sd.Node] {
		return sd.Node
	}
	scores := m.usage.scores(sid, sd.Node)
	order := slices.Collect(maps.Keys(best))
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(scores[a], scores[b]), cmp.Compare(a, b))
	})
	if len(order) == 0 {
		return ""
	}
	if k := slices.Index(order, sd.Node); p == tryNext && k >= 0 && k < len(order)-1 {
		return order[k+1]
	}
	return order[0]
}

// keepTogether leaves only the node with most positive peers, if one of them is possible.
func keepTogether(best map[string]bool, together map[string]int) {
	most, count := "", 0
	for _, n := range sortedKeys(together) {
		if best[n] && together[n] > count {
			most, count = n, together[n]
		}
	}
	if most == "" {
		return
	}
	for n := range best {
		if n != most {
			delete(best, n)
		}
	}
}
