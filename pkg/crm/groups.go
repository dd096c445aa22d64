package crm

import (
	"fmt"
	"strconv"
	"strings"
)

// Group is an HA group of PVE 8.
type Group struct {
	ID         string
	Nodes      []RuleNode
	Restricted bool
	NoFailback bool
	Comment    string
}

// GroupRules are the node-affinity rules that the groups in use amount to.
func GroupRules(services []Service, groups []Group) []Rule {
	var out []Rule
	for _, g := range groups {
		var sids []string
		for _, s := range services {
			if s.Group == g.ID {
				sids = append(sids, s.SID)
			}
		}
		if len(sids) == 0 {
			continue
		}
		comment := g.Comment
		if comment == "" {
			comment = fmt.Sprintf("Generated from HA group '%s'.", g.ID)
		}
		out = append(out, Rule{ID: "ha-group-" + g.ID, Type: NodeAffinity, Resources: sids, Nodes: g.Nodes, Strict: g.Restricted, Comment: comment})
	}
	return out
}

// rulesVersion is the pve-manager version from which on a node understands rules.
const rulesVersion = "9.0.0~16"

// tryGroupMigration turns groups into rules for good once every node understands them.
func (m *manager) tryGroupMigration() {
	if m.groupRounds--; m.groupRounds > 0 {
		return
	}
	m.groupRounds = migrateGroupsEvery
	m.log(Notice, "start ha group migration...")
	if why := m.migrateGroups(); why != "" {
		m.log(Err, "abort ha groups migration: %s", why)
		m.log(Err, "ha groups migration failed")
		m.log(Notice, "retry ha groups migration in %d rounds (~ %d seconds)", migrateGroupsEvery, migrateGroupsEvery*MasterRound)
		return
	}
	m.log(Notice, "ha groups migration successful")
}

func (m *manager) migrateGroups() (why string) {
	if !m.env.Quorate() {
		return "not quorate"
	}
	for _, n := range sortedKeys(m.status.Nodes) {
		if why := m.knowsRules(n); why != "" {
			return why
		}
	}
	services := make([]Service, 0, len(m.config.Services))
	for _, s := range m.config.Services {
		s.Failback = m.services[s.SID].Failback
		s.Group = ""
		services = append(services, s)
		m.services[s.SID] = s
	}
	rules := GroupRules(m.config.Services, m.config.Groups)
	if err := m.env.ReplaceGroups(append(append([]Rule(nil), m.config.Rules...), rules...), services); err != nil {
		return err.Error()
	}
	m.log(Notice, "ha groups migration: migration to rules config successful")
	m.log(Notice, "ha groups migration: migration to resources config successful")
	m.log(Notice, "ha groups migration: group config deletion successful")
	c, err := m.env.Config()
	m.must(err)
	m.config = c
	return ""
}

func (m *manager) knowsRules(node string) (why string) {
	st := m.nodeState(node)
	m.log(Notice, "ha groups migration: node '%s' is in state '%s'", node, st)
	if st != NodeOnline {
		return fmt.Sprintf("node '%s' is not online", node)
	}
	lrm := m.lrm[node]
	m.log(Notice, "ha groups migration: lrm '%s' is in state '%s' and mode '%s'", node, lrm.State, m.mode(node))
	if m.mode(node) != ModeActive {
		return fmt.Sprintf("lrm '%s' is not in mode 'active'", node)
	}
	if lrm.State != lrmActive && !(lrm.State == lrmWait && m.active(node) == 0) {
		return fmt.Sprintf("lrm '%s' is not in state 'active'", node)
	}
	v := m.env.Version(node)
	m.log(Notice, "ha groups migration: node '%s' has version '%s'", node, v)
	if !versionAtLeast(v, rulesVersion) {
		return fmt.Sprintf("node '%s' needs at least pve-manager version '%s'", node, rulesVersion)
	}
	return ""
}

// active counts the services that keep a node's LRM busy.
func (m *manager) active(node string) int { return activeOn(m.status, node) }

// versionAtLeast compares versions like 9.0.0~16: a release is above its pre-releases.
func versionAtLeast(v, want string) bool {
	a, okA := parseVersion(v)
	b, okB := parseVersion(want)
	if !okA || !okB {
		return false
	}
	for k := range a {
		if a[k] != b[k] {
			return a[k] > b[k]
		}
	}
	return true
}

// parseVersion reads major.minor, a patch after . or -, and a ~ revision.
func parseVersion(v string) ([4]int, bool) {
	var out [4]int
	v, rev, pre := strings.Cut(v, "~")
	out[3] = 1 << 30 // a final release
	if pre {
		n, err := strconv.Atoi(rev)
		if err != nil {
			return out, false
		}
		out[3] = n
	}
	parts := strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '-' })
	if len(parts) < 2 {
		return out, false
	}
	for k := range min(3, len(parts)) {
		n, err := strconv.Atoi(parts[k])
		if err != nil {
			return out, false
		}
		out[k] = n
	}
	return out, true
}
